"""A process that speaks ClickHouse's HTTP protocol over the embedded engine (chDB).

    python -m tradewire.operations.clickhouse_server --host 127.0.0.1 --port 8123 --data DIR

What of the protocol is covered, and what is not: docs/clickhouse-endpoint.md.
"""

from tradewire.operations.clickhouse_server.errors import ClickHouseError

__all__ = ["ClickHouseError"]

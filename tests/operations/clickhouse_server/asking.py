"""Questions several tests ask, and what they need for it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from tests.operations.clickhouse_server.conftest import Running

BR = pytest.param(
    "br", marks=pytest.mark.skipif(find_spec("brotli") is None, reason="the package brotli is missing: `make install`")
)
needs_cityhash = pytest.mark.skipif(
    find_spec("clickhouse_cityhash") is None, reason="the package clickhouse-cityhash is missing: `make install`"
)


def query_is_running(server: Running, query_id: str) -> bool:
    """Whether system.processes shows a query of that id."""
    return server.text(f"SELECT count() FROM system.processes WHERE query_id = '{query_id}'") == "1\n"

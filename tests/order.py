"""In which order files are tested, and which of their tests: those that take longest begin, so that no process that
runs tests is left alone at the end with a long one.

xdist hands out whole files (``--dist loadfile``), those with most tests first unless ``--no-loadscope-reorder`` leaves
them in the order of the collection. But a file with one test may take a minute, and one with a thousand a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

# Seconds, by ``--durations=0`` on two cores; what is not named here takes less than half a minute.
_SECONDS = {
    "processors/test_worker_rebalance.py": 150,
    "processors/test_faust_faults.py": 125,
    "benchmarks/test_rows.py": 110,
    "operations/test_chaos.py": 100,
    "sinks/test_sink.py": 95,
    "producers/test_spool.py": 85,
    "operations/test_up.py": 80,
    "sinks/test_sink_crashes.py": 75,
    "processors/test_worker_handlers.py": 70,
    "processors/test_parking_faults.py": 65,
    "processors/test_worker_deadlines.py": 65,
    "operations/test_schemas_command.py": 60,
    "processors/test_worker_parking.py": 55,
    "sinks/test_audit_damage.py": 60,
    "processors/test_worker_watchdog.py": 55,
    "sinks/test_audit_columns.py": 55,
    "producers/test_network.py": 55,
    "processors/test_worker_crash.py": 50,
    "processors/test_subscriber.py": 50,
    "processors/test_subscriber_failover.py": 50,
    "operations/test_demo.py": 45,
    "processors/test_static_members.py": 45,
    "producers/test_refusals.py": 45,
    "processors/test_worker_guards.py": 40,
    "sinks/test_sink_faults.py": 40,
    "processors/test_worker.py": 40,
    "operations/test_kafka_part.py": 40,
    "operations/test_supervisor.py": 40,
    "sinks/test_history.py": 35,
    "sinks/test_retention_run.py": 35,
    "processors/test_worker_duties.py": 35,
    "operations/test_retention_command.py": 30,
    "operations/test_cli.py": 30,
    "schemas/test_compiled_codec.py": 30,
    "processors/test_full_disk.py": 35,
    "sinks/test_full_disk.py": 30,
    "sinks/test_sink_clickhouse_away.py": 420,
    "sinks/test_sink_fencing.py": 30,
    "producers/test_outage.py": 45,
    "producers/test_publishing_page.py": 20,
    "house/test_wheel.py": 30,
    "house/test_readme.py": 30,
}
# A test of whatever other file.
_SECONDS_A_TEST = 0.05


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The same tests; those of one file stay together and in their order."""
    files = Counter(_file(item) for item in items)
    seconds = {file: _SECONDS.get(file, _SECONDS_A_TEST * count) for file, count in files.items()}
    return sorted(items, key=lambda item: (-seconds[_file(item)], _file(item)))


def is_left_to_chaos(item: pytest.Item, expression: str) -> bool:
    """Whether a test is run by ``make chaos`` alone, and ``-m`` does not ask for such tests."""
    return item.get_closest_marker("long") is not None and "long" not in expression


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0].removeprefix("tests/")

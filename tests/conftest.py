"""Real servers for all tests, started once: Kafka, a schema registry, the ClickHouse engine.

Addresses from the environment win (``TRADEWIRE_TEST_KAFKA`` host:port, ``TRADEWIRE_TEST_REGISTRY`` URL,
``TRADEWIRE_TEST_CLICKHOUSE`` host:port); otherwise the local stack's own servers are started on free ports and stopped
at the end. Tests share them: count by your own subjects, groups and databases.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.needs import java_or_skip
from tests.order import is_left_to_chaos, longest_first
from tests.waiting import http_answers, wait_until
from tradewire.core import Settings, load_settings
from tradewire.core.settings import ClickHouseSettings, KafkaSettings, RegistrySettings
from tradewire.operations.setup import apply_contract
from tradewire.operations.stack import _ports, free_ports
from tradewire.operations.stack.cluster import local_kafka, local_registry
from tradewire.schemas import Contract

REPO = Path(__file__).resolve().parents[1]
# The default of 5 s is for a registry that has a processor when it needs one.
_REGISTRY_TIMEOUT_MS = 30_000
# How long an example takes says more about the machine, which tests share with brokers, than about the code.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")
# Threads of librdkafka log to a stream that pytest has closed after the test that made the handler.
logging.raiseExceptions = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-seeds", help="seeds of the fault suite, as 0-19 or 7,12; see tests/operations/test_chaos.py"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Each process that runs tests draws its ports from a share of its own: one that is drawn, or whose server a test
    has killed, is free until the server listens, and the other process must not take it meanwhile."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        lowest, highest = _ports._range()
        share = (highest - lowest) // count
        _ports._range = lambda: (lowest + number * share, lowest + (number + 1) * share - 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files first; longer forms of tests are left to ``make chaos``."""
    left_out = [item for item in items if is_left_to_chaos(item, config.option.markexpr)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = longest_first([item for item in items if item not in set(left_out)])


@pytest.fixture(scope="session", autouse=True)
def _settings_of_this_machine_do_not_count() -> None:
    """A developer's own settings must not change what is tested."""
    for name in list(os.environ):
        if name.startswith("TRADEWIRE_") and not name.startswith("TRADEWIRE_TEST_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def kafka_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A running broker."""
    given = os.environ.get("TRADEWIRE_TEST_KAFKA")
    if given:
        yield KafkaSettings(bootstrap_servers=given)
        return
    java_or_skip()
    with local_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)


@pytest.fixture(scope="session")
def registry_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrySettings]:
    """A running registry."""
    given = os.environ.get("TRADEWIRE_TEST_REGISTRY")
    if given:
        yield RegistrySettings(url=given, timeout_ms=_REGISTRY_TIMEOUT_MS)
        return
    java_or_skip()
    with local_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield RegistrySettings(url=registry.url, timeout_ms=_REGISTRY_TIMEOUT_MS)


@pytest.fixture(scope="session")
def clickhouse_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseSettings]:
    """A running engine behind ClickHouse's HTTP protocol."""
    given = os.environ.get("TRADEWIRE_TEST_CLICKHOUSE")
    if given:
        host, _, port = given.partition(":")
        yield ClickHouseSettings(host=host, port=int(port))
        return
    from tradewire.operations.stack import start_child

    folder = tmp_path_factory.mktemp("clickhouse")
    (port_number,) = free_ports(1)
    command = [sys.executable, "-m", "tradewire.operations.clickhouse_server", "--host", "127.0.0.1"]
    command += ["--port", str(port_number), "--data", str(folder / "data")]
    child = start_child(command, name="clickhouse", log_file=folder / "clickhouse.log")
    try:
        wait_until(lambda: http_answers(f"http://127.0.0.1:{port_number}/ping"), within_s=120, alive=child.poll)
        yield ClickHouseSettings(port=port_number)
    finally:
        child.stop(20)


@pytest.fixture(scope="session")
def settings(
    kafka_settings: KafkaSettings,
    registry_settings: RegistrySettings,
    clickhouse_settings: ClickHouseSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """Settings of all three, with topics applied and every schema registered and archived."""
    made = load_settings(
        kafka=kafka_settings.model_dump(),
        registry=registry_settings.model_dump() | {"archive_folder": tmp_path_factory.mktemp("schema-archive")},
        clickhouse=clickhouse_settings.model_dump(),
    )
    apply_contract(made)
    return made


@pytest.fixture(scope="session")
def contract(settings: Settings) -> Contract:
    """The contract against the running registry."""
    return Contract.load(settings)


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data; a test that needs it is skipped where it is not there."""
    folder = Path(os.environ.get("TRADEWIRE_TEST_DATA") or REPO.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            f"the folder of real market data, {folder}, is missing: make it and put the files into it that their "
            "publishers give away (Binance's public trades and websocket, LOBSTER's sample), or name it in "
            "TRADEWIRE_TEST_DATA"
        )
    return folder

"""What the tests of the sink share: a database of their own in the running engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sinks.arena import Arena, make_arena

from tradewire.core import Settings, new_id
from tradewire.core.settings import ClickHouseSettings
from tradewire.schemas import Contract
from tradewire.sinks.store import Store


@pytest.fixture
def database(clickhouse_settings: ClickHouseSettings) -> Iterator[str]:
    """A database that no other test uses; dropped afterwards."""
    name = f"test_{new_id().replace('-', '')}"
    yield name
    store = Store(clickhouse_settings)
    store.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")
    store.close()


@pytest.fixture
def store(clickhouse_settings: ClickHouseSettings, database: str) -> Iterator[Store]:
    """The sink's way to ClickHouse, in a database of its own."""
    found = Store(clickhouse_settings.model_copy(update={"database": database}))
    yield found
    found.close()


@pytest.fixture(scope="module")
def arena_database(clickhouse_settings: ClickHouseSettings) -> Iterator[str]:
    """A database for the sinks of one module; their topics keep them apart."""
    name = f"test_{new_id().replace('-', '')}"
    yield name
    store = Store(clickhouse_settings)
    store.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")
    store.close()


@pytest.fixture
def arena(settings: Settings, contract: Contract, tmp_path: Path, arena_database: str) -> Iterator[Arena]:
    """Topics, a group and settings for one sink."""
    made = make_arena(settings, contract, tmp_path, new_id()[-12:], arena_database)
    try:
        yield made
    finally:
        made.close()

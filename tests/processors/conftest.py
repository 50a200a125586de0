"""A broker of this room's own: what is read back are whole topics, which the tests of other rooms write to as well."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from tests.needs import java_or_skip
from tests.processors.running import Broker
from tests.waiting import wait_until

from tradewire.core import KafkaUnavailable, Settings, load_settings
from tradewire.core.settings import KafkaSettings, RegistrySettings
from tradewire.operations.setup import apply_contract
from tradewire.operations.stack.cluster import local_kafka


def _is_applied(settings: Settings) -> bool:
    """A broker that is slow to make ninety partitions is asked again: it is safe to repeat."""
    try:
        apply_contract(settings)
    except KafkaUnavailable:
        return False
    return True


def _broker(registry: RegistrySettings, folders: pytest.TempPathFactory) -> Iterator[Broker]:
    java_or_skip()
    with local_kafka(folders.mktemp("kafka"), ready_timeout_s=180) as kafka:
        settings = load_settings(
            kafka=KafkaSettings(bootstrap_servers=kafka.bootstrap_servers).model_dump(),
            registry=registry.model_dump() | {"archive_folder": folders.mktemp("archive")},
        )
        wait_until(partial(_is_applied, settings), within_s=120, every_s=0.5)
        made = Broker(settings, kafka)
        yield made
        made.close()


@pytest.fixture(scope="session")
def broker(registry_settings: RegistrySettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with all topics."""
    yield from _broker(registry_settings, tmp_path_factory)


@pytest.fixture(scope="module")
def own_broker(registry_settings: RegistrySettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One for tests whose flows stall: workers of all groups write the same read models."""
    yield from _broker(registry_settings, tmp_path_factory)

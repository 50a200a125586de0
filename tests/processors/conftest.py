"""A broker of this room's own: what is read back are whole topics, which the tests of other rooms write to as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.needs import java_or_skip
from tests.processors.running import Broker

from tradewire.core import load_settings
from tradewire.core.settings import KafkaSettings, RegistrySettings
from tradewire.operations.setup import apply_contract
from tradewire.operations.stack.cluster import local_kafka


def _broker(registry: RegistrySettings, folders: pytest.TempPathFactory) -> Iterator[Broker]:
    java_or_skip()
    with local_kafka(folders.mktemp("kafka")) as kafka:
        settings = load_settings(
            kafka=KafkaSettings(bootstrap_servers=kafka.bootstrap_servers).model_dump(),
            registry=registry.model_dump() | {"archive_folder": folders.mktemp("archive")},
        )
        apply_contract(settings)
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

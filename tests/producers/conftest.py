"""Publishers against the real broker, and a reader of what they wrote."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.producers.records import Reader

from tradewire.core import Settings
from tradewire.core.settings import KafkaSettings
from tradewire.producers import Publisher
from tradewire.schemas import Contract


@pytest.fixture
def publisher(settings: Settings, contract: Contract) -> Iterator[Publisher]:
    """A publisher that is closed at the end; a test that leaves events unconfirmed says so itself."""
    publisher = Publisher(settings, contract, source="tests/producers")
    yield publisher
    publisher.close(10)


@pytest.fixture
def reader(kafka_settings: KafkaSettings, settings: Settings) -> Iterator[Reader]:
    """Reads records by position; ``settings`` is asked for so that the topics are there."""
    reader = Reader(kafka_settings)
    yield reader
    reader.close()


@pytest.fixture
def trade() -> dict[str, Any]:
    """Data of a trade."""
    return {
        "venue": "binance.spot",
        "symbol": "BTCUSDT",
        "trade_id": "3735683259",
        "price": Decimal("61837.63"),
        "quantity": Decimal("0.02"),
        "aggressor_side": "SELL",
        "trade_time_ns": 1_723_161_255_342_000_000,
        "received_time_ns": None,
    }

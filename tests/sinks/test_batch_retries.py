"""An insert that fails is tried again for ever, in the same memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from tests.sinks.samples import batch_of, record_of
from tests.waiting import wait_until

from tradewire.core.settings import ClickHouseSettings
from tradewire.operations.stack import free_ports
from tradewire.schemas import Catalogue
from tradewire.sinks import batch as batch_module
from tradewire.sinks.batch import Inserter, Job, Plan
from tradewire.sinks.container import Block
from tradewire.sinks.protocol import Intent
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Target

TRADE = Catalogue.load()["market.trade.reported"].latest
SHAPE = RowShape.of(7, TRADE.type, TRADE.schema)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """As in a sink, which has its collector all but switched off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_attempt_that_failed_keeps_nothing_of_its_block(
    monkeypatch: pytest.MonkeyPatch, no_collection: None
) -> None:
    """Nobody listens: each attempt builds its block anew, and lets go of it before the next."""
    alive: list[int] = []
    peaks: list[int] = []

    class Body(bytes):
        def __init__(self, _: bytes) -> None:
            alive.append(1)
            peaks.append(len(alive))

        def __del__(self) -> None:
            alive.pop()

    monkeypatch.setattr(batch_module, "_BACKOFF_S_MAX", 0.01)
    monkeypatch.setattr(batch_module, "_BACKOFF_S_MIN", 0.01)
    monkeypatch.setattr(batch_module, "build_block", lambda *_: Block(3, Body(b"x" * 100), []))
    (port,) = free_ports(1)
    records = [record_of(TRADE, 7, number) for number in range(3)]
    plan = Plan(targets={7: Target("landing", SHAPE)}, groups={7: [0, 1, 2]})
    job = Job(batch_of(records), Intent(0, 2, 3), plan, replayed=False)
    inserter = Inserter([Store(ClickHouseSettings(port=port))])
    inserter.start()
    inserter.submit(job)
    wait_until(lambda: len(peaks) >= 10, within_s=60)
    job.cancelled.set()
    inserter.close()
    inserter.join(60)

    assert max(peaks) <= 2

"""Who serves delivery reports: the publishing thread while it is busy, else the publisher's own."""

from __future__ import annotations

import pytest

from tradewire.producers import _client
from tradewire.producers._client import Turns


def test_a_thread_serves_reports_only_while_it_publishes_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks every 64 events: within 5 ms that is busy. A slow one leaves its longest calls to the other thread."""
    now = [10_000_000_000]
    monkeypatch.setattr(_client.time, "monotonic_ns", lambda: now[0])
    turns = Turns()
    asked = []
    for step_ns in (0, 4_000_000, 4_999_999, 5_000_000, 12_800_000, 1_000):
        now[0] += step_ns
        asked.append(turns.due())

    assert [False, True, True, False, False, True] == asked
    assert turns.taken == 3

"""Ids, correlation, clock and logs."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tradewire.core.errors as errors
from tradewire.core import ManualClock, configure_logs, correlation, current_correlation, derived_id, get_logger, new_id


def test_new_ids_are_version_7_and_sort_by_time() -> None:
    """A later millisecond sorts later, so ids of one process are in order of time."""
    first = new_id()
    last = first
    while last[:13] == first[:13]:
        last = new_id()

    assert first < last
    assert "7" == first[14]


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4), st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_derived_ids_are_equal_exactly_when_their_parts_are(left: list[str], right: list[str]) -> None:
    """The same cause gives the same id; joining parts differently gives another."""
    joinable = all("\x1f" not in part for part in (*left, *right))

    if joinable:
        assert (left == right) == (derived_id(*left) == derived_id(*right))


def test_the_correlation_nests_and_survives_an_exception() -> None:
    """The outer flow is current again after the inner one ended, however it ended."""
    assert current_correlation() is None
    with correlation("outer", "cause"):
        with pytest.raises(RuntimeError), correlation("inner"):
            assert "inner" == current_correlation().correlation_id
            raise RuntimeError
        assert ("outer", "cause") == current_correlation()
    assert current_correlation() is None


def test_the_correlation_follows_tasks_and_not_threads() -> None:
    """Tasks inherit the flow they were started in; a thread starts outside any."""

    async def inside() -> str:
        return current_correlation().correlation_id

    async def main() -> list[str]:
        with correlation("one"):
            first = asyncio.create_task(inside())
        with correlation("two"):
            second = asyncio.create_task(inside())
        return [await first, await second]

    seen: list[object] = []
    with correlation("here"):
        thread = threading.Thread(target=lambda: seen.append(current_correlation()))
        thread.start()
        thread.join()

    assert ["one", "two"] == asyncio.run(main())
    assert [None] == seen


def test_a_manual_clock_stands_and_steps_both_ways() -> None:
    """Deadlines can be tested without waiting, also against a clock that is set back."""
    clock = ManualClock(5_000_000)
    clock.advance_ms(2)
    assert 7_000_000 == clock.now_ns()
    clock.advance_ms(-5)
    assert 2_000_000 == clock.now_ns()


def test_json_logs_carry_the_correlation(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, one object, with the flow it belongs to."""
    configure_logs(format="json", component="worker")
    with correlation("flow-1", "event-1"):
        get_logger("tradewire.test").warning("deliveries_unknown", count=3)

    line = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert {
        "event": "deliveries_unknown",
        "count": 3,
        "correlation_id": "flow-1",
        "causation_id": "event-1",
    }.items() <= (line.items())
    assert ("warning", "worker") == (line["level"], line["component"])


def test_every_error_is_of_one_tree_and_says_when_it_is_raised() -> None:
    """One base to catch; the docstring tells operator or author what to do."""
    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass) if item.__module__ == errors.__name__]

    assert [] == [item for item in classes if not issubclass(item, errors.TradewireError)]
    assert [] == [item for item in classes if not (item.__doc__ or "").startswith("Raised when")]
    assert errors.TradewireError("m", topic="t").context == {"topic": "t"}

"""Ids, correlation, clock and logs."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
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


def test_every_line_in_a_flow_carries_it_whoever_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Our loggers and the standard library's (librdkafka's lines come that way), below and outside of the flow."""
    configure_logs(format="json", component="worker")
    with correlation("flow-1"):
        get_logger("tradewire.test").info("root")
        with correlation("flow-1", "event-1"):
            logging.getLogger("a.library").warning("from a library")
            get_logger("tradewire.test").error("said otherwise", correlation_id="own")
            try:
                raise ValueError("bad")
            except ValueError:
                logging.getLogger("a.library").exception("with a traceback")
    get_logger("tradewire.test").info("outside")

    lines = [json.loads(line) for line in capsys.readouterr().err.strip().splitlines()]
    assert [(line["event"], line.get("correlation_id"), line.get("causation_id")) for line in lines] == [
        ("root", "flow-1", None),
        ("from a library", "flow-1", "event-1"),
        ("said otherwise", "own", "event-1"),
        ("with a traceback", "flow-1", "event-1"),
        ("outside", None, None),
    ]
    assert "ValueError: bad" in lines[3]["exception"]
    assert {(line["component"], "timestamp" in line, line["logger"]) for line in lines} == {
        ("worker", True, "tradewire.test"),
        ("worker", True, "a.library"),
    }


def test_lines_of_tasks_carry_the_flow_of_their_own_task(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where they take turns."""
    configure_logs(format="json")

    async def work(flow: str) -> None:
        with correlation(flow):
            for _ in range(3):
                await asyncio.sleep(0)
                get_logger("tradewire.test").info(flow)

    async def main() -> None:
        await asyncio.gather(work("one"), work("two"))

    asyncio.run(main())
    lines = [json.loads(line) for line in capsys.readouterr().err.strip().splitlines()]
    assert len(lines) == 6
    assert all(line["event"] == line["correlation_id"] for line in lines)


def test_every_error_is_of_one_tree_and_says_when_it_is_raised() -> None:
    """One base to catch; the docstring tells operator or author what to do."""
    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass) if item.__module__ == errors.__name__]

    assert [] == [item for item in classes if not issubclass(item, errors.TradewireError)]
    assert [] == [item for item in classes if not (item.__doc__ or "").startswith("Raised when")]
    assert errors.TradewireError("m", topic="t").context == {"topic": "t"}

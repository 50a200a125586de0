"""What the growth command makes of its figures."""

from __future__ import annotations

from benchmarks.disk import sizes_elsewhere
from benchmarks.growth import Answer, verdict

from tradewire.producers.feeds import simulate

TRACE = "trace by correlation id"


def answer(rows: int, p50_ms: float, question: str = TRACE) -> Answer:
    return Answer(question, rows, p50_ms, p50_ms, p50_ms, p50_ms)


def test_a_question_may_be_less_than_three_times_slower_and_below_fifty_milliseconds() -> None:
    assert [] == verdict([answer(1_000_000, 10), answer(100_000_000, 29.9)])
    assert [f"{TRACE}: 3.0 times slower from 1,000,000 to 100,000,000 rows"] == verdict(
        [answer(1_000_000, 10), answer(100_000_000, 30)]
    )
    assert [f"{TRACE}: 50 ms at 1,000,000 rows"] == verdict([answer(1_000_000, 50)])


def test_a_question_without_a_bar_is_only_shown() -> None:
    assert [] == verdict([answer(1_000_000, 1, "newest"), answer(100_000_000, 1_000, "newest")])


def test_compressed_forms_of_the_same_events_are_smaller_and_avro_is_smaller_than_json() -> None:
    sizes = sizes_elsewhere(list(simulate(1, 2_000)))

    assert sizes["Avro files, null"] < sizes["JSON lines"] / 2
    assert sizes["JSON lines, zstd"] < sizes["JSON lines"] / 3
    assert sizes["Avro files, zstandard"] < sizes["Avro files, null"] / 2

"""Patterns against a brute-force oracle: any order of arrival within the lateness, repeats, ties; and their alerts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.pure import PureWorker, Record, pure_contract
from tests.processors.workload import Workload

from tradewire.processors.applied import At
from tradewire.processors.declarations import DeclarationInvalid
from tradewire.processors.patterns import (
    AbsenceWithin,
    ChangeWithin,
    CountWithin,
    Match,
    Memory,
    Patterns,
    Rule,
    Seen,
    SequenceWithin,
    empty,
    memory_data,
    memory_of,
    observe,
    pass_time,
    wakes_at,
)
from tradewire.processors.records import REPLAY_HEADER
from tradewire.processors.tables import KEYED_PATTERN, MARKET_PATTERN
from tradewire.schemas import Event, encode_headers

CONTRACT = pure_contract()
ALL_PATTERNS = Patterns.load(CONTRACT.catalogue, Path(__file__).with_name("all_patterns.yaml"))
A, B, C = "a", "b", "c"
WITHIN = 10
Found = tuple[str, str, int]


# --- the oracle: all events that were not late are in a list, in order; look at every combination of them


def not_late(arrived: Sequence[Seen], lateness: int) -> list[Seen]:
    """What counts of the events, in the order in which it counts."""
    taken: list[Seen] = []
    newest = -(10**9)
    for event in arrived:
        if any(event.event_id == one.event_id for one in taken):
            continue
        late = event.time_ns <= newest - lateness if lateness else event.time_ns < newest
        if not late:
            taken.append(event)
            newest = max(newest, event.time_ns)
    return sorted(taken) if lateness else taken


def count_oracle(events: Sequence[Seen], count: int) -> list[Found]:
    found, begin = [], 0
    for end in range(len(events)):
        window = [one for one in events[begin : end + 1] if events[end].time_ns - one.time_ns <= WITHIN]
        if len(window) >= count:
            found.append((window[0].event_id, events[end].event_id, events[end].time_ns))
            begin = end + 1
    return found


def sequence_oracle(events: Sequence[Seen], steps: Sequence[frozenset[str]]) -> list[Found]:
    found, begin = [], 0
    for end in range(len(events)):
        chains = [
            chain
            for before in itertools.combinations(events[begin:end], len(steps) - 1)
            for chain in [(*before, events[end])]
            if all(one.type in step for one, step in zip(chain, steps, strict=True))
            and chain[-1].time_ns - chain[0].time_ns <= WITHIN
        ]
        if chains:
            # The latest first event, by its place in the list.
            first = max((chain[0] for chain in chains), key=events.index)
            found.append((first.event_id, events[end].event_id, events[end].time_ns))
            begin = end + 1
    return found


def absence_oracle(events: Sequence[Seen], reached: int) -> list[Found]:
    return [
        (one.event_id, one.event_id, one.time_ns + WITHIN)
        for place, one in enumerate(events)
        if one.type == A
        and one.time_ns + WITHIN < reached
        and not any(later.type == B and later.time_ns <= one.time_ns + WITHIN for later in events[place + 1 :])
    ]


def change_oracle(events: Sequence[Seen], ratio: Decimal) -> list[Found]:
    found, begin = [], 0
    for end, last in enumerate(events):
        window = [one for one in events[begin:end] if last.time_ns - one.time_ns <= WITHIN]
        for extreme in (min, max):
            values = [one.value for one in window]
            if not values:
                continue
            first = max((one for one in window if one.value == extreme(values)), key=events.index)
            moved = last.value - first.value  # type: ignore[operator]
            right_way = moved > 0 if extreme is min else moved < 0
            if right_way and abs(moved) >= first.value * ratio:  # type: ignore[operator]
                found.append((first.event_id, last.event_id, last.time_ns))
                begin = end
                break
    return found


# --- ours, record by record, each memory read again from its record


def run(rule: Rule, lateness: int, arrived: Sequence[Seen]) -> tuple[Memory, list[Match]]:
    memory, matches = empty("p", "k", rule), []
    for offset, event in enumerate(arrived):
        memory, found = observe(rule, lateness, memory, event, At("t:0", offset), event.time_ns)
        matches += found
        again, nothing = observe(rule, lateness, memory, event, At("t:0", offset), event.time_ns)
        assert again is memory and not nothing, "a record that is delivered again changes nothing"
        encoded = CONTRACT.codec.encode("patterns.keyed.changed", memory_data(memory), "patterns.state")
        memory = memory_of(CONTRACT.codec.decode(encoded).data)
    # Long after: what was held back is taken.
    end = (memory.last_recorded_ns or 0) + 10_000
    memory, found = pass_time(rule, lateness, memory, end)
    assert not memory.pending
    return memory, [*matches, *found]


def told(matches: Sequence[Match]) -> list[Found]:
    return [(match.first.event_id, match.last.event_id, match.time_ns) for match in matches]


@st.composite
def arrivals(draw: st.DrawFn, *, repeats: bool = True) -> list[Seen]:
    """Events with many equal times and values, in any order, some of them twice."""
    count = draw(st.integers(0, 14))
    events = [
        Seen(
            draw(st.integers(0, 30)),
            f"e{number:02}",
            "c",
            draw(st.sampled_from([A, B, C])),
            Decimal(draw(st.sampled_from([90, 95, 99, 100, 101, 105, 110]))),
        )
        for number in range(count)
    ]
    if draw(st.booleans()):
        events.sort()
    if repeats and events:
        for _ in range(draw(st.integers(0, 2))):
            events.insert(draw(st.integers(0, len(events))), draw(st.sampled_from(events)))
    return events


LATENESS = st.sampled_from([0, 3, 40])
STEPS = st.sampled_from(
    [(frozenset({A}), frozenset({B})), (frozenset({A}), frozenset({B, C}), frozenset({A})), (frozenset({A}),) * 3]
)


@settings(max_examples=150)
@given(arrivals(), LATENESS, st.integers(2, 4))
def test_a_count_is_what_looking_at_every_window_finds(arrived: list[Seen], lateness: int, count: int) -> None:
    rule = CountWithin(frozenset({A, B, C}), count, WITHIN)
    assert told(run(rule, lateness, arrived)[1]) == count_oracle(not_late(arrived, lateness), count)


@settings(max_examples=150)
@given(arrivals(), LATENESS, STEPS)
def test_a_sequence_is_what_looking_at_every_combination_finds(
    arrived: list[Seen], lateness: int, steps: tuple[frozenset[str], ...]
) -> None:
    events = [one for one in arrived if any(one.type in step for step in steps)]
    rule = SequenceWithin(steps, WITHIN)
    assert told(run(rule, lateness, events)[1]) == sequence_oracle(not_late(events, lateness), steps)


@settings(max_examples=150)
@given(arrivals(), LATENESS)
def test_an_absence_is_what_looking_behind_every_event_finds(arrived: list[Seen], lateness: int) -> None:
    events = [one for one in arrived if one.type in (A, B)]
    memory, matches = run(AbsenceWithin(frozenset({A}), frozenset({B}), WITHIN), lateness, events)
    assert sorted(told(matches)) == sorted(absence_oracle(not_late(events, lateness), 10**9))
    assert memory.match_count == len(matches)


@settings(max_examples=150)
@given(arrivals(), LATENESS, st.sampled_from(["0.01", "0.05", "0.1"]))
def test_a_change_is_what_comparing_every_pair_finds(arrived: list[Seen], lateness: int, ratio: str) -> None:
    rule = ChangeWithin(frozenset({A, B, C}), Decimal(ratio), WITHIN)
    assert told(run(rule, lateness, arrived)[1]) == change_oracle(not_late(arrived, lateness), Decimal(ratio))


@settings(max_examples=100)
@given(arrivals(repeats=False).flatmap(lambda events: st.tuples(st.just(sorted(events)), st.permutations(events))))
def test_within_the_lateness_the_order_of_arrival_does_not_matter(case: tuple[list[Seen], list[Seen]]) -> None:
    in_order, shuffled = case
    for rule in (
        CountWithin(frozenset({A, B, C}), 3, WITHIN),
        ChangeWithin(frozenset({A, B, C}), Decimal("0.05"), WITHIN),
    ):
        assert told(run(rule, 40, shuffled)[1]) == told(run(rule, 40, in_order)[1])


def test_late_events_are_counted_and_left_out() -> None:
    rule = CountWithin(frozenset({A}), 2, WITHIN)
    memory, matches = run(rule, 3, [Seen(100, "x", "c", A), Seen(95, "late", "c", A), Seen(98, "y", "c", A)])
    assert (memory.late_count, told(matches)) == (1, [("y", "x", 100)])


def test_an_absence_is_found_when_the_clock_says_so_although_no_event_comes() -> None:
    rule = AbsenceWithin(frozenset({A}), frozenset({B}), WITHIN)
    # Recorded long after it occurred: occurrence goes on from there as the clock does.
    memory, _ = observe(rule, 3, empty("p", "k", rule), Seen(100, "x", "c", A), At("t:0", 0), 5_000)
    due_ns = wakes_at(rule, 3, memory)
    assert due_ns == 5_003
    memory, nothing = pass_time(rule, 3, memory, due_ns)
    assert not nothing
    due_ns = wakes_at(rule, 3, memory)
    assert due_ns == 5_000 + WITHIN + 3 + 1
    assert pass_time(rule, 3, memory, due_ns - 1)[0] is memory
    memory, matches = pass_time(rule, 3, memory, due_ns)
    assert told(matches) == [("x", "x", 100 + WITHIN)]
    assert wakes_at(rule, 3, memory) is None


# --- declared patterns, and what they raise


def patterns_of(tmp_path: Path, text: str) -> Patterns:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return Patterns.load(CONTRACT.catalogue, file)


def test_ours_are_three_risk_alerts_and_a_price_move() -> None:
    """Both are off unless asked for: an alarm is its owner's to set up."""
    assert list(Patterns.load(CONTRACT.catalogue).by_name) == []
    patterns = ALL_PATTERNS
    assert {name: pattern.in_place for name, pattern in patterns.by_name.items()} == {
        "risk_alerts_in_a_minute": False,
        "price_move": True,
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("of: [risk.alert.raised]", "one of count, sequence, absence, change is needed; found none"),
        ("count: 3, change: 1, of: [risk.alert.raised]", "found count and change"),
        ("count: 3", "of: the event types"),
        ("count: 1, of: [risk.alert.raised]", "count: "),
        ("count: 3, of: [risk.alert.raisd]", "of: 'risk.alert.raisd' is not an event type"),
        (
            "count: 3, of: [trading.order.*]",
            "of: trading.order.*: wildcards are not taken here; write [trading.order.a",
        ),
        ("sequence: [[risk.alert.raised], [risk.alert.raisd]]", "sequence.1: 'risk.alert.raisd' is not an event type"),
        (
            "absence: { after: [risk.alert.raised], missing: [a.b.c] }",
            "absence.missing: 'a.b.c' is not an event type",
        ),
        (
            "absence: { afte: [risk.alert.raised], missing: [risk.alert.raised] }",
            "absence.afte: is not a key here; did you mean after? the keys are after, missing",
        ),
        ("counts: 3, of: [risk.alert.raised]", "counts: is not a key here; did you mean count? the keys are count, "),
        ("count: three, of: [risk.alert.raised]", "count: 'three' is not a whole number"),
        (
            "change: 5%, of: [market.trade.reported], value: price",
            "change: '5%' is not a number: write 0.05",
        ),
        ("count: 3, of: [risk.alert.raised], per: acount", "per: risk.alert.raised has no field acount"),
        ("change: 0.1, of: [market.trade.reported]", "value: the field that change watches"),
        ("change: 0.1, of: [market.trade.reported], value: symbol", "value: symbol of market.trade.reported is not"),
        ("count: 3, of: [risk.alert.raised], lateness: soon", "lateness: 'soon' is not a span"),
        ("sequence: [[trading.order.created]]", "sequence: "),
        (
            "absence: { after: [risk.alert.raised], missing: [risk.alert.raised] }",
            "absence: risk.alert.raised is",
        ),
    ],
)
def test_a_mistake_is_told_with_file_pattern_and_field(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        patterns_of(tmp_path, f"patterns:\n  mine: {{ {entry}, within: 1 s, raises: risk.alert.raised }}\n")
    assert f"{tmp_path / 'mine.yaml'}: patterns.mine: " in str(refused.value)
    assert said in str(refused.value)


def worker(patterns: Patterns | None = None) -> PureWorker:
    return PureWorker(CONTRACT, patterns=ALL_PATTERNS if patterns is None else patterns)


def risk_alert(number: int, at_s: int, account: str | None = "acc") -> Event:
    data: dict[str, Any] = {"alert_id": f"r{number}", "rule": "margin", "message": "low", "account": account}
    time_ns = (1_700_000_000 + at_s) * 10**9
    return Event(
        id=f"id{number}",
        type="risk.alert.raised",
        data=data,
        source="tests",
        subject=f"r{number}",
        time_ns=time_ns,
        correlation_id=f"c{number}",
    )


def look(pure: PureWorker, later_s: int) -> None:
    """Lets the clock go on for every pattern that waits."""
    from tradewire.processors.timers import Place

    now_ns = (pure.recorded_ms // 1000 + later_s) * 10**9
    for key in list(pure.states[KEYED_PATTERN.name]):
        pure.folds.look(Place(KEYED_PATTERN.name, 0, key), now_ns, pure, written=False)


def raised(pure: PureWorker, topic: str) -> list[Event]:
    return [event for event in pure.events(topic) if event.source == "tradewire.processors/pure"]


def test_three_risk_alerts_of_an_account_within_a_minute_raise_one() -> None:
    pure = worker()
    for number, at_s in enumerate((0, 30, 59)):
        pure.publish(risk_alert(number, at_s))
        pure.publish(risk_alert(number + 10, at_s, account=f"other{number}"))
    assert raised(pure, "risk.events") == [], "the last of them is held back for older ones"
    look(pure, 2)
    (alert,) = raised(pure, "risk.events")
    assert (alert.data["rule"], alert.data["account"], alert.data["severity"]) == (
        "risk_alerts_in_a_minute",
        "acc",
        "CRITICAL",
    )
    assert (alert.data["observed"], alert.data["limit_value"], alert.data["unit"]) == (3, 3, "count")
    assert (alert.correlation_id, alert.causation_id) == ("c2", "id2")
    assert alert.subject == alert.data["alert_id"]
    assert "deadletter.pure" not in pure.logs


def test_four_minutes_are_no_minute() -> None:
    pure = worker()
    for number in range(4):
        pure.publish(risk_alert(number, 61 * number))
    look(pure, 5)
    assert raised(pure, "risk.events") == []


def trade(made: Workload, price: str, at_ms: int) -> Event:
    event = made.trade()
    time_ns = 1_700_000_000 * 10**9 + at_ms * 10**6
    data = {**event.data, "symbol": "S", "price": Decimal(price), "trade_time_ns": time_ns}
    return Event(
        id=event.id,
        type=event.type,
        data=data,
        source="tests",
        subject="binance.spot:S",
        time_ns=time_ns,
        correlation_id=event.correlation_id,
    )


def test_a_price_that_moves_by_five_percent_within_ten_seconds_raises_an_alert() -> None:
    pure, made = worker(), Workload(1)
    for price, at_ms in (("100", 0), ("104.99", 4_000), ("104.999", 9_000), ("106", 20_000), ("100.7", 29_000)):
        pure.publish(trade(made, price, at_ms))
    (alert,) = raised(pure, "market.events")
    assert alert.subject == "price_move:binance.spot:S"
    assert (alert.data["venue"], alert.data["symbol"], alert.data["condition"]) == ("binance.spot", "S", "PRICE_CHANGE")
    assert alert.data["threshold"] == Decimal("0.05")
    assert alert.data["observed"] == Decimal("-0.05")
    assert "deadletter.pure" not in pure.logs


def test_what_a_replay_writes_again_raises_nothing() -> None:
    pure, made = worker(), Workload(1)
    replayed = (REPLAY_HEADER, b"r1")
    for price, at_ms in (("100", 0), ("110", 1_000)):
        pure.publish(trade(made, price, at_ms), replayed)
    for number in range(3):
        pure.publish(risk_alert(number, number), replayed)
    look(pure, 60)
    assert raised(pure, "market.events") == raised(pure, "risk.events") == []
    assert not pure.states[MARKET_PATTERN.name] and not pure.states[KEYED_PATTERN.name]


def test_an_alert_written_again_after_a_crash_has_the_same_id() -> None:
    pure, made = worker(), Workload(1)
    pure.publish(trade(made, "100", 0))
    before = dict(pure.states[MARKET_PATTERN.name])
    pure.publish(trade(made, "110", 1_000))
    # The alert stands, the memory of its match does not.
    pure.states[MARKET_PATTERN.name] = before
    last: Record = pure.logs["market.events"][1]
    pure.take([last])
    first, second = raised(pure, "market.events")
    assert (first.id, first.data) == (second.id, second.data)


def test_a_record_that_is_keyed_anew_twice_counts_once() -> None:
    pure = worker()
    for number in range(2):
        pure.publish(risk_alert(number, number))
    pure.take(list(pure.logs["patterns.events"]))
    copy = pure.logs["patterns.events"][0]
    pure.take([copy._replace(offset=99)])
    look(pure, 60)
    assert raised(pure, "risk.events") == []


def test_an_absence_over_two_topics_is_raised_when_nothing_comes(tmp_path: Path) -> None:
    patterns = patterns_of(
        tmp_path,
        """patterns:
  unanswered:
    absence: { after: [strategy.signal.generated], missing: [trading.order.created] }
    within: 5 s
    per: symbol
    lateness: 1 s
    raises: risk.alert.raised
""",
    )
    pure = worker(patterns)
    fields = CONTRACT.catalogue["strategy.signal.generated"].latest.schema["fields"]
    plain: dict[str, Any] = {"string": "x", "long": 0, "int": 0, "boolean": False}
    data = {
        field["name"]: plain.get(field["type"] if isinstance(field["type"], str) else "", Decimal(1))
        for field in fields
        if "default" not in field
    }
    signal = Event(
        id="s",
        type="strategy.signal.generated",
        data={**data, "symbol": "BTCUSDT"},
        source="tests",
        subject="strategy",
        time_ns=1_700_000_000 * 10**9,
        correlation_id="c",
    )
    pure.publish(signal)
    look(pure, 2)
    assert raised(pure, "risk.events") == []
    look(pure, 7)
    (alert,) = raised(pure, "risk.events")
    assert (alert.data["symbol"], alert.data["severity"]) == ("BTCUSDT", "WARNING")
    assert "no trading.order.created within 5 s" in alert.data["message"]
    assert dict(encode_headers(alert))["ce_causationid"] == b"s"

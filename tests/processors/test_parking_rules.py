"""The rules of parking against a model: any interleaving of failures, crashes, re-drives, discards and rebalances."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tradewire.core.errors import MalformedRecord
from tradewire.processors.dead_letters import FAILED, PARKED_BEHIND
from tradewire.processors.parking.errors import NotOwned, ParkingFull
from tradewire.processors.parking.facts import (
    Discard,
    Edit,
    Facts,
    Kind,
    ParkedKey,
    ParkedState,
    Request,
    Write,
    decode_key,
    encode_fact,
    encode_key,
)
from tradewire.processors.parking.rules import Parking, Standing

TOPIC = "t"
SOURCE = (TOPIC, 0)
KEYS = [b"a", b"a", b"a", b"b", None, b"c|d"]


class Consumer(RuleBasedStateMachine):
    """One partition, two topics of dead letters, a consumer that may end anywhere and be followed by another.

    A ``cautious`` consumer (the lot) has each write of a parking confirmed before the next. The other one (the worker's
    engine) has letters and effects confirmed together, then the states: a crash leaves any beginning of each.
    Key ``b"c|d"`` never fails: it must never notice anything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[bytes | None] = []
        self.bad: set[int] = set()
        # Kafka as it is confirmed, and what is on its way there.
        self.keys_topic: list[tuple[bytes, bytes | None]] = []
        self.letters: list[tuple[ParkedKey, int]] = []
        self.effects: list[int] = []
        self.committed = 0
        self.new_letters: list[tuple[ParkedKey, int]] = []
        self.new_effects: list[int] = []
        # Written when letters and effects are confirmed: nothing may count as settled whose effects are lost. All of
        # them, or one of a later batch would be overwritten by one of an earlier.
        self.new_states: list[Write] = []
        self.discarded: set[int] = set()
        self.requests = 0
        self.begin()

    @initialize(cautious=st.booleans())
    def kind_of_consumer(self, cautious: bool) -> None:
        self.cautious = cautious

    # --- the shell, as plain as can be

    def facts(self) -> Facts:
        facts = Facts()
        for key, value in self.keys_topic:
            facts.take(key, value)
        return facts

    def confirm(self) -> None:
        self.arrive(1_000, 1_000, 1_000)

    def arrive(self, states: int, letters: int, effects: int) -> None:
        """Only so many of what is on its way arrive."""
        self.letters += self.new_letters[:letters]
        self.effects += self.new_effects[:effects]
        if letters >= len(self.new_letters) and effects >= len(self.new_effects):
            for write in self.new_states[:states]:
                value = None if write.state is None else encode_fact(write.state)
                self.keys_topic.append((encode_key("state", write.key), value))
        self.new_states, self.new_letters, self.new_effects = [], [], []

    def wish(self, kind: Kind, key: ParkedKey, fact: Request | Discard | None) -> None:
        self.keys_topic.append((encode_key(kind, key), None if fact is None else encode_fact(fact)))

    def begin(self) -> None:
        self.parking = Parking(1_000, "me")
        self.position = self.committed
        self.parking.assigned({SOURCE: self.committed}, self.facts().states, self.letters)

    def key_at(self, offset: int) -> ParkedKey:
        return ParkedKey.of(TOPIC, 0, self.log[offset], offset)

    def handle(self, offset: int) -> bool:
        if offset in self.bad:
            return False
        assert offset not in self.discarded, f"{offset} was discarded and is handled"
        key, done = self.key_at(offset), {*self.effects, *self.new_effects, *self.discarded}
        before = [other for other in range(offset) if self.key_at(other) == key and other not in done]
        assert before == [] or offset in done, f"{offset} of {key} has overtaken {before}"
        self.new_effects.append(offset)
        return True

    # --- what may happen

    @precondition(lambda self: self.position == len(self.log))
    @rule(events=st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=5))
    def publish(self, events: list[tuple[bytes | None, bool]]) -> None:
        for key, bad in events:
            if bad and key != b"c|d":
                self.bad.add(len(self.log))
            self.log.append(key)

    @precondition(lambda self: self.bad)
    @rule(data=st.data())
    def correct(self, data: st.DataObject) -> None:
        self.bad.discard(data.draw(st.sampled_from(sorted(self.bad))))

    @precondition(lambda self: self.position < len(self.log))
    @rule(count=st.integers(1, 3), crash_after=st.sampled_from(["", "", "", "state", "letter"]))
    def read(self, count: int, crash_after: str = "") -> None:
        for offset in range(self.position, min(self.position + count, len(self.log))):
            standing = self.parking.standing(TOPIC, 0, self.log[offset], offset)
            failed = standing is Standing.FREE and not self.handle(offset)
            if (failed or standing is Standing.PARKED) and self.park(offset, failed, crash_after):
                return
            self.position = offset + 1

    def park(self, offset: int, failed: bool, crash_after: str) -> bool:
        key = self.key_at(offset)
        letter = self.parking.park(key, offset, error="bad" if failed else None, now_ms=offset)
        if letter is None:
            return False
        if letter.state is not None:
            self.new_states.append(letter.state)
            if self.cautious:
                self.confirm()
            if crash_after == "state":
                self.crash(1_000, 1_000, 1_000)
                return True
        if self.cautious:
            assert (key, offset) not in self.letters, "a second letter"
        self.new_letters.append((key, offset))
        if self.cautious:
            self.confirm()
        if crash_after == "letter":
            self.crash(1_000, 1_000, 1_000)
            return True
        return False

    @precondition(lambda self: self.committed < self.position)
    @rule()
    def commit(self) -> None:
        self.confirm()
        self.committed = self.position
        self.new_states += self.parking.committed({SOURCE: self.committed})

    @rule(states=st.integers(0, 3), letters=st.integers(0, 3), effects=st.integers(0, 3))
    def crash(self, states: int, letters: int, effects: int) -> None:
        self.arrive(states, letters, effects)
        self.begin()

    @rule()
    def rebalance(self) -> None:
        """Away and back, with everything confirmed and nothing committed."""
        self.confirm()
        self.parking.revoked([SOURCE])
        with pytest.raises(NotOwned):
            self.parking.park(ParkedKey(TOPIC, 0, b"a"), 0, error="late", now_ms=0)
        self.position = self.committed
        self.parking.assigned({SOURCE: self.committed}, self.facts().states, self.letters)

    def parked(self) -> list[ParkedKey]:
        facts = self.facts()
        return [key for key, state in facts.states.items() if not state.drained and not facts.requested(key)]

    @precondition(lambda self: self.parked())
    @rule(correct=st.booleans())
    def request(self, correct: bool) -> None:
        """Re-drive all that is not asked for yet, mostly after what was wrong has been corrected."""
        if correct:
            self.bad.clear()
        for key in self.parked():
            self.ask(key)

    def ask(self, key: ParkedKey) -> None:
        self.requests += 1
        state = self.facts().states.get(key)
        if state is not None:
            self.wish("request", key, Request(str(self.requests), state.parked_from, "me", 0))

    def waiting(self) -> list[int]:
        return [offset for key in self.parking.keys for offset in self.parking.waiting(key)]

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(self.waiting()))
        self.wish("discard", ParkedKey(TOPIC, 0, None, offset), Discard("me", 0))

    @precondition(lambda self: self.requests)
    @rule()
    def prune(self) -> None:
        """The operator's tidying up: wishes about what is not parked any more."""
        facts = self.facts()
        parked = [state.parked_from for state in facts.states.values() if not state.drained]
        for key in list(facts.requests):
            if facts.requested(key) is None:
                self.wish("request", key, None)
        for place in list(facts.discards):
            if place.offset < min(parked, default=1 << 62):
                self.wish("discard", place, None)

    @precondition(lambda self: next(self.parking.due(self.facts().requests), None) is not None)
    @rule(steps=st.integers(1, 4))
    def redrive(self, steps: int) -> None:
        """Some letters of a key that is due; what is left stays due."""
        facts = self.facts()
        key = next(self.parking.due(facts.requests))
        for _ in range(steps):
            assert self.parking.missing(key) is None
            if self.redrive_one(key, facts):
                break
        if self.cautious:
            self.confirm()

    def redrive_one(self, key: ParkedKey, facts: Facts) -> bool:
        offset, request = self.parking.first_waiting(key), facts.requests[key]
        if offset is None:
            self.new_states.append(self.parking.drained(key, request.id))
            return True
        if ParkedKey(TOPIC, 0, None, offset) in facts.discards:
            self.discarded.add(offset)
        elif not self.handle(offset):
            self.new_states.append(self.parking.failed(key, "bad again", request.id))
            return True
        self.new_states.append(self.parking.done(key, offset))
        return False

    @invariant()
    def the_good_key_is_never_parked(self) -> None:
        assert ParkedKey(TOPIC, 0, b"c|d") not in self.parking.keys

    def teardown(self) -> None:
        """All that was published and not discarded is handled in the end, and nothing is left behind."""
        self.bad.clear()
        if hasattr(self, "cautious"):
            self.read(len(self.log))
        self.confirm()
        for key, state in list(self.parking.keys.items()):
            if not state.drained:
                self.ask(key)
        for _ in range(len(self.log) + 1):
            if next(self.parking.due(self.facts().requests), None) is not None:
                self.redrive(1_000)
                self.confirm()
        self.commit()
        assert {} == dict(self.parking.keys), "everything is drained, committed and forgotten"
        lost = {*range(len(self.log))} - {*self.effects} - self.discarded
        assert set() == lost


TestConsumer = Consumer.TestCase
TestConsumer.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


def parking_with(*offsets: int, most: int = 100) -> Parking:
    """Key ``a`` is parked with records at these offsets."""
    parking = Parking(most)
    parking.assigned({SOURCE: 0}, {}, [])
    for number, offset in enumerate(offsets):
        parking.park(A, offset, error=None if number else "E: first", now_ms=1)
    return parking


A = ParkedKey(TOPIC, 0, b"a")


def test_a_state_is_written_with_the_first_letter_alone() -> None:
    parking = parking_with()
    first = parking.park(A, 5, error="E: x", attempts=3, event_type="t.e.f", now_ms=9)
    assert first is not None
    assert Write(A, ParkedState(5, 9, 3, "E: x", "t.e.f", first=5)) == first.state
    assert (FAILED, (None, PARKED_BEHIND)) == (first.kind, parking.park(A, 8, error=None, now_ms=9))


def test_a_record_that_is_a_letter_already_is_not_written_again() -> None:
    parking = parking_with(5, 8)
    assert parking.park(A, 8, error=None, now_ms=1) is None
    assert [5, 8] == parking.waiting(A)


def test_a_key_with_its_most_letters_halts_before_anything_is_written() -> None:
    parking = parking_with(5, 8, most=2)
    with pytest.raises(ParkingFull, match=r"t\[0\] a: 2 records are parked.*offset 9"):
        parking.park(A, 9, error=None, now_ms=1)
    assert [5, 8] == parking.waiting(A)
    assert Standing.FREE is parking.standing(TOPIC, 0, b"b", 9)


def test_a_record_that_is_free_and_has_not_failed_is_not_parked() -> None:
    with pytest.raises(ValueError, match="must not be parked"):
        parking_with().park(A, 5, error=None, now_ms=1)


def test_a_crash_between_state_and_letter_leaves_a_record_that_becomes_the_failed_letter_untried() -> None:
    parking = Parking(100)
    parking.assigned({SOURCE: 5}, {A: ParkedState(5, 1, 1, "E: first", first=5)}, [])
    request = {A: Request("r", 5, "me", 0)}
    assert [] == list(parking.due(request)), "not before the record is a letter, or it would be settled unseen"
    assert Standing.PARKED is parking.standing(TOPIC, 0, b"a", 5)
    letter = parking.park(A, 5, error=None, now_ms=2)
    assert letter is not None
    assert (None, FAILED) == letter
    assert [A] == list(parking.due(request))


def test_a_redrive_waits_until_what_lies_before_the_parked_records_was_read_again() -> None:
    parking = Parking(100)
    parking.assigned({SOURCE: 2}, {A: ParkedState(5, 1, 1, "E: first", first=5)}, [(A, 5)])
    request = {A: Request("r", 5, "me", 0)}
    assert [] == list(parking.due(request))
    assert Standing.FREE is parking.standing(TOPIC, 0, b"a", 4)
    assert [] == list(parking.due(request))
    assert Standing.PARKED is parking.standing(TOPIC, 0, b"a", 6)
    assert [A] == list(parking.due(request))


def test_records_that_a_redrive_has_settled_are_skipped_when_they_come_again() -> None:
    parking = parking_with(5, 8)
    parking.done(A, 5)
    assert Standing.SETTLED is parking.standing(TOPIC, 0, b"a", 5)
    assert Standing.PARKED is parking.standing(TOPIC, 0, b"a", 8)
    parking.done(A, 8)
    parking.drained(A, "r")
    assert Standing.SETTLED is parking.standing(TOPIC, 0, b"a", 8)
    assert Standing.FREE is parking.standing(TOPIC, 0, b"a", 9)
    assert [] == parking.committed({SOURCE: 8})
    assert [Write(A, None)] == parking.committed({SOURCE: 9})


def test_a_request_of_an_earlier_parking_is_not_of_a_later_one() -> None:
    parking = parking_with(5)
    parking.done(A, 5)
    parking.drained(A, "r")
    parking.park(A, 9, error="E: again", now_ms=2)
    assert [] == list(parking.due({A: Request("r", 5, "me", 0)}))
    assert [] == list(parking.due({A: Request("later", 5, "me", 0)}))
    assert [A] == list(parking.due({A: Request("later", 9, "me", 0)}))


def test_letters_that_retention_has_taken_are_missed() -> None:
    parking = Parking(100)
    parking.assigned({SOURCE: 50}, {A: ParkedState(5, 1, 1, "E", first=5)}, [(A, 20)])
    assert 5 == parking.missing(A)
    with pytest.raises(ValueError, match="letters wait or are missing"):
        parking.drained(A, "r")
    parking.done(A, 5)
    assert (None, 20) == (parking.missing(A), parking.first_waiting(A))


def test_what_a_consumer_wrote_that_had_lost_its_partition_does_not_count_against_the_owner() -> None:
    parking = parking_with(5)
    mine = parking.keys[A]
    stray = ParkedState(3, 1, 1, "E", first=3, writer="zombie")
    assert Write(A, mine) == parking.meet(A, stray)
    other = ParkedKey(TOPIC, 0, b"b")
    assert parking.meet(other, stray) is None
    assert Standing.PARKED is parking.standing(TOPIC, 0, b"b", 9), "a parking that is not known is taken over"
    assert parking.meet(ParkedKey(TOPIC, 1, b"b"), stray) is None
    assert ParkedKey(TOPIC, 1, b"b") not in parking.keys, "of a partition of another"


def test_facts_are_read_back_as_they_were_written() -> None:
    place = ParkedKey(TOPIC, 3, None, 7)
    facts = Facts()
    odd = ParkedKey("a.b-c", 3, b"\xff|k|@1")
    edit = Edit(b"\x00\xff", (("h", b"\xfe"), ("none", None)), "me", 5, "id")
    for kind, key, fact in (
        ("state", odd, ParkedState(1, 2, 3, "é", "t", 1, 4, True, 5, 6, "r", "w")),
        ("request", odd, Request("r", 1, "me", 2)),
        ("edit", place, edit),
        ("discard", place, Discard("me", 2, "why")),
    ):
        assert (kind, key) == facts.take(encode_key(kind, key), encode_fact(fact))  # type: ignore[arg-type]
        assert fact == getattr(facts, f"{kind}s")[key]
    facts.take(encode_key("edit", place), None)
    assert {} == facts.edits


@pytest.mark.parametrize(
    "raw", [None, b"", b"state|t|x|kk", b"other|t|0|kk", b"state|t|0|", b"state|t|0|@x", b"\xff|t|0|k"]
)
def test_a_key_that_is_none_is_malformed(raw: bytes | None) -> None:
    with pytest.raises(MalformedRecord):
        decode_key(raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"parked_from": 1}', b"\xff"])
def test_a_fact_that_cannot_be_read_changes_nothing(raw: bytes) -> None:
    facts = Facts()
    with pytest.raises(MalformedRecord):
        facts.take(encode_key("state", A), raw)
    assert {} == facts.states

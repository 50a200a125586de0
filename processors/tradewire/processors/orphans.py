"""Orphans: events that were published and that a group never processed, though its offsets say that it is past them.

A commit can jump: offsets reset by hand, a retention that took what was not read, a bug. What can be known:

- of a worker that correlates, all: each event becomes a step of its flow, so one without a step was not processed. A
  flow that has more steps than it keeps (``truncated_count``) leaves some unknown; they are counted, not guessed.
- of a subscriber, what its members write down of the offsets they were at (``parking.coverage``): a jump between two
  of them. Behind a crash the end of a range is some seconds too low, so what seems to be passed over may have been
  handled (``sure`` is False). What lies before the group's first member that wrote it down cannot be known, nor a
  jump of a group that had no committed offset left and began at the newest.

A record that was dead-lettered is no orphan, nor is one that was recovered before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from tradewire.core.errors import TradewireError
from tradewire.core.settings import KafkaSettings
from tradewire.processors.dead_letters import ORPHAN, dead_letter
from tradewire.processors.flows import flow_of
from tradewire.processors.parking.coverage import gaps
from tradewire.processors.parking.facts import ParkedKey, Partition, Request
from tradewire.processors.parking.operating import CONFIRM_TIMEOUT_S, Operator
from tradewire.processors.parking.reading import asked, committed_of, read_to_end, reader_config, told
from tradewire.processors.parking.writing import ConfirmedWriter
from tradewire.processors.step_records import steps_of
from tradewire.processors.tables import FLOW, STEPS_TOPIC
from tradewire.schemas import Contract, Header, decode_headers

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Orphan:
    """A source record; ``sure`` is False where it may have been processed after all."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Stretch:
    """Offsets ``first`` to below ``end``."""

    topic: str
    partition: int
    first: int
    end: int
    sure: bool = True


@dataclass(slots=True)
class Search:
    """What was found. ``gone`` are stretches that Kafka no longer has; ``unknown`` records may be orphans or not."""

    orphans: list[Orphan] = field(default_factory=list)
    looked_at: int = 0
    unknown: int = 0
    gone: list[Stretch] = field(default_factory=list)


def known_positions(operator: Operator) -> set[tuple[str, int, int]]:
    """Positions of records that are dead letters, or were asked to be recovered. Raises KafkaUnavailable."""
    letters = {
        (letter.topic, letter.partition, letter.offset)
        for letter in operator.look().all_letters()
        if letter.failure.kind != ORPHAN
    }
    asked = {
        (key.topic, key.partition, key.offset) for key, request in operator.facts().requests.items() if request.orphan
    }
    return letters | asked


def of_worker(
    kafka: KafkaSettings, contract: Contract, group: str, topics: Iterable[str], since_ms: int, operator: Operator
) -> Search:
    """Events since a time (broker's, ms) below a worker group's committed offsets that are a step of no flow.

    Reads those topics and the topics of steps and flows: memory grows with the number of events since then.

    Raises:
        KafkaUnavailable: something could not be read; nothing is concluded from a part.
    """
    stretches = _since(kafka, group, topics, since_ms)
    known = known_positions(operator)
    # In this order: whatever the group had committed is in the steps, and what left the steps is in the flows.
    steps, truncated = _steps(kafka, contract, since_ms)
    search = Search()
    for record in _read(kafka, stretches):
        search.looked_at += 1
        position = (record.topic, record.partition, record.offset)
        if position in steps or position in known:
            continue
        if truncated and _correlation_of(record) in truncated:
            search.unknown += 1
        else:
            search.orphans.append(record)
    return search


def of_subscriber(kafka: KafkaSettings, group: str, operator: Operator) -> Search:
    """Records that a group's committed offsets have passed over, by what its members have written down.

    Raises:
        KafkaUnavailable: something could not be read.
    """
    coverages = {key.source: coverage for key, coverage in operator.facts().coverages.items()}
    committed = committed_of(kafka, group, coverages)
    stretches = [
        Stretch(*place, gap.first, gap.end, gap.sure)
        for place, coverage in coverages.items()
        for gap in gaps(coverage, committed[place])
    ]
    known = known_positions(operator)
    search = Search()
    within: list[Stretch] = []
    for stretch, low in _lows(kafka, stretches):
        if stretch.first < low:
            search.gone.append(
                Stretch(stretch.topic, stretch.partition, stretch.first, min(low, stretch.end), stretch.sure)
            )
        if stretch.end > low:
            begin = max(low, stretch.first)
            within.append(Stretch(stretch.topic, stretch.partition, begin, stretch.end, stretch.sure))
    for record in _read(kafka, within):
        search.looked_at += 1
        if (record.topic, record.partition, record.offset) not in known:
            search.orphans.append(record)
    return search


def recover(kafka: KafkaSettings, operator: Operator, requests: Sequence[tuple[Orphan, Request]]) -> None:
    """Hands orphans to their group alone: each becomes a dead letter of its own and is asked to be re-driven.

    1. the letters are written, and confirmed.    Nobody acts on them; of a letter that is written again one counts.
    2. the requests are written, and confirmed.   The owners of the partitions act on them.

    An orphan is handled late, behind later events of its key. Orphans of a key are handled in order.

    Raises:
        ParkingUnconfirmed: repeat it.
    """
    writer = ConfirmedWriter(kafka, operator.group, operator.partitions, CONFIRM_TIMEOUT_S)
    at_ms = time.time_ns() // 1_000_000
    for orphan, _ in requests:
        reason = "never processed by the group; recovered"
        writer.letter(orphan.partition, dead_letter(orphan, operator.group, reason, 0, kind=ORPHAN, at_ms=at_ms))
    writer.confirm("a letter of an orphan")
    for orphan, request in requests:
        writer.fact("request", ParkedKey(orphan.topic, orphan.partition, None, orphan.offset), request)
    writer.confirm("a request for an orphan")
    writer.close()


def _steps(kafka: KafkaSettings, contract: Contract, since_ms: int) -> tuple[set[tuple[str, int, int]], set[str]]:
    """Positions of events that are steps, and correlation ids of flows that do not keep all of theirs."""
    steps: set[tuple[str, int, int]] = set()
    for message in _all(kafka, STEPS_TOPIC, since_ms):
        for one in _read_or_none(lambda: steps_of(contract.codec.decode(message.value()).data)) or ():  # noqa: B023
            steps.add((one.step.topic, one.step.partition, one.step.offset))
    truncated: set[str] = set()
    for message in _all(kafka, FLOW.topic, 0):
        flow = None
        if message.value() is not None:
            flow = _read_or_none(lambda: flow_of(contract.codec.decode(message.value()).data))  # noqa: B023
        if flow is not None:
            steps.update((step.topic, step.partition, step.offset) for step in flow.steps)
            if flow.truncated_count:
                truncated.add(flow.correlation_id)
    return steps, truncated


def _read_or_none(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except TradewireError:
        return None  # a record that its own reader could not read either


def _correlation_of(record: Orphan) -> str:
    envelope = _read_or_none(lambda: decode_headers(record.headers, fallback_time_ns=0))
    return "" if envelope is None else str(envelope.correlation_id)


def _all(kafka: KafkaSettings, topic: str, since_ms: int) -> Iterator[Any]:
    consumer = Consumer(reader_config(kafka))
    try:
        numbers = asked(kafka, lambda: consumer.list_topics(topic, timeout=_TIMEOUT_S)).topics[topic].partitions
        places = [TopicPartition(topic, number, max(0, since_ms)) for number in numbers]
        starts = _at_times(kafka, consumer, places) if since_ms > 0 else places
    finally:
        consumer.close()
    yield from read_to_end(kafka, starts)


def _at_times(kafka: KafkaSettings, consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    return asked(kafka, lambda: told(consumer.offsets_for_times(places, timeout=_TIMEOUT_S)))


def _since(kafka: KafkaSettings, group: str, topics: Iterable[str], since_ms: int) -> list[Stretch]:
    consumer = Consumer(reader_config(kafka))
    try:
        known = asked(kafka, lambda: consumer.list_topics(timeout=_TIMEOUT_S)).topics
        present = [name for name in topics if name in known]
        places: list[Partition] = [(name, number) for name in present for number in known[name].partitions]
        committed = committed_of(kafka, group, places)
        wanted = [TopicPartition(*place, max(0, since_ms)) for place in places if committed[place] > 0]
        starts = _at_times(kafka, consumer, wanted) if wanted else []
        return [
            Stretch(start.topic, start.partition, start.offset, committed[start.topic, start.partition])
            for start in starts
            if 0 <= start.offset < committed[start.topic, start.partition]
        ]
    finally:
        consumer.close()


def _lows(kafka: KafkaSettings, stretches: Iterable[Stretch]) -> Iterator[tuple[Stretch, int]]:
    consumer = Consumer(reader_config(kafka))
    try:
        for stretch in stretches:
            place = TopicPartition(stretch.topic, stretch.partition)
            ask = partial(consumer.get_watermark_offsets, place, timeout=_TIMEOUT_S, cached=False)
            yield stretch, asked(kafka, ask)[0]
    finally:
        consumer.close()


def _read(kafka: KafkaSettings, stretches: Sequence[Stretch]) -> Iterator[Orphan]:
    """Records of stretches, which may be several of one partition."""
    rounds: list[list[Stretch]] = []
    for stretch in stretches:
        free = next(
            (
                one
                for one in rounds
                if all((other.topic, other.partition) != (stretch.topic, stretch.partition) for other in one)
            ),
            None,
        )
        if free is None:
            rounds.append([stretch])
        else:
            free.append(stretch)
    for one in rounds:
        ends = {(stretch.topic, stretch.partition): stretch for stretch in one}
        for message in read_to_end(
            kafka,
            [TopicPartition(stretch.topic, stretch.partition, stretch.first) for stretch in one],
            {place: stretch.end for place, stretch in ends.items()},
        ):
            stretch = ends[message.topic(), message.partition()]
            yield Orphan(
                stretch.topic,
                stretch.partition,
                message.offset(),
                message.timestamp()[1],
                message.key(),
                message.value(),
                tuple(message.headers() or ()),
                stretch.sure,
            )

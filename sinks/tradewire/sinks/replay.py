"""Replay: a stretch of one partition again, byte for byte; from ClickHouse what Kafka no longer has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradewire.core import get_logger, new_id
from tradewire.core.errors import KafkaUnavailable, ReplayError
from tradewire.core.settings import Settings
from tradewire.sinks.digest import Digest, Digester, write_lines
from tradewire.sinks.folders import cause_of
from tradewire.sinks.records import Record, RecordColumns
from tradewire.sinks.retention.archived_history import ArchivedHistory
from tradewire.sinks.topic_target import TopicTarget

_log = get_logger(__name__)
_TIMEOUT_S: Final = 30.0
_CHUNK_ROWS: Final = 5_000
# A broker that gives nothing for so long, although it said that there is more, is taken for gone.
_SILENCE_S: Final = 60.0
# What a broker says of a partition while it has no leader, or a leader that has just begun.
_SETTLING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
_LOOK_AGAIN_S: Final = 0.1

Source = Literal["history", "kafka"]


class RangeInvalid(ReplayError):
    """Raised when a range is empty or reaches beyond the partition's end; nothing has been read."""


class RecordsMissing(ReplayError):
    """Raised when records of the range are neither in Kafka nor in ClickHouse; names the first missing offset.

    Offsets may be missing without loss (transaction markers, compaction): allow gaps if that is known.
    """


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets ``lo`` to ``hi`` of one partition, both inclusive; ``hi`` None means up to the present end."""

    topic: str
    partition: int
    lo: int
    hi: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a range and where it is read, ``lo`` to ``hi`` inclusive."""

    source: Source
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay would read now. ``records_max`` is exact for history, and for Kafka without gaps."""

    segments: Sequence[Segment]
    records_max: int


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did. ``digest`` is of the records as they were read, without what a target adds to them."""

    replay_id: str
    digest: Digest
    first: int | None
    last: int | None
    from_history: int
    from_kafka: int


def segments(lo: int, hi: int, low: int) -> list[Segment]:
    """Where each part of a range is read when Kafka begins at ``low``: no offset twice, none left out. Pure."""
    found: list[Segment] = []
    if lo < low:
        found.append(Segment("history", lo, min(hi, low - 1)))
    if hi >= low:
        found.append(Segment("kafka", max(lo, low), hi))
    return found


class Replay:
    """Reads ranges and gives them to targets. Not thread-safe; ``close`` it, or use it as a context manager.

    No consumer group is used and nothing is committed: a replay disturbs nobody. A failure while reading raises
    ReplayError (or KafkaUnavailable, ClickHouseUnavailable); ``next_offset`` then says where to go on.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = Consumer(
            {
                **settings.kafka.client_config(),
                # librdkafka wants a group's name even where no group is used.
                "group.id": "tradewire-replay",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "allow.auto.create.topics": False,
                # A refused connection comes back as our error, not as a stream of lines on stderr.
                "log_level": 2,
            }
        )
        self._history: ArchivedHistory | None = None
        self.next_offset: int | None = None
        self._position = 0
        self._targets: dict[str, TopicTarget] = {}
        self._from: dict[Source, int] = {"history": 0, "kafka": 0}

    def close(self) -> None:
        self._consumer.close()
        if self._history is not None:
            self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self, wanted: OffsetRange) -> ReplayPlan:
        """A dry run: what would be read from where. Raises RangeInvalid, KafkaUnavailable, ClickHouseUnavailable."""
        hi, low = self._bounds(wanted)
        found = segments(wanted.lo, hi, low)
        records = 0
        for segment in found:
            if segment.source == "history":
                records += self._raw().count(wanted.topic, wanted.partition, segment.lo, segment.hi)
            else:
                records += segment.hi - segment.lo + 1
        return ReplayPlan(found, records)

    def records(self, wanted: OffsetRange, *, allow_gaps: bool = False) -> Iterator[Record]:
        """The records of a range in offset order.

        When retention removes records from Kafka while they are read, the rest of them comes from ClickHouse.

        Raises:
            RangeInvalid: before the first record.
            RecordsMissing: ClickHouse lacks records that Kafka no longer has, and gaps are not allowed.
        """
        for found in self._columns(wanted, allow_gaps):
            for record in found.records():
                self.next_offset = record.offset + 1
                yield record
        # Behind the last record may lie offsets that are known to hold none.
        self.next_offset = self._position

    def _columns(self, wanted: OffsetRange, allow_gaps: bool) -> Iterator[RecordColumns]:
        """``records`` by columns; ``next_offset`` is behind what was given last."""
        hi, low = self._bounds(wanted)
        self.next_offset = self._position = wanted.lo
        self._from = {"history": 0, "kafka": 0}
        while self._position <= hi:
            segment = segments(self._position, hi, low)[0]
            given = (
                self._from_history(wanted, segment, allow_gaps)
                if segment.source == "history"
                else self._from_kafka(wanted, segment)
            )
            for found in given:
                self._position = self.next_offset = found.offsets[-1] + 1
                self._from[segment.source] += len(found)
                yield found
            if self._position <= hi:
                low = self._watermarks(wanted)[0]
        self.next_offset = self._position

    def to_stream(self, wanted: OffsetRange, stream: IO[str], *, allow_gaps: bool = False) -> ReplayResult:
        """Writes JSON lines (see ``read_file``). What was written before an error stays written."""
        records = write_lines(stream, wanted.topic, wanted.partition, self.records(wanted, allow_gaps=allow_gaps))
        digester, replay_id = Digester(), new_id()
        first, last = wanted.lo, wanted.lo
        for record in records:
            first = first if digester.records else record.offset
            last = record.offset
            digester.add(record)
        return self._result(replay_id, digester, first, last)

    def to_file(self, wanted: OffsetRange, file: Path, *, allow_gaps: bool = False) -> ReplayResult:
        """Writes a new file of JSON lines, whole or not at all; it is on the disk when this returns.

        Raises:
            ReplayError: the file exists, or cannot be written (no folder, no right, no room); nothing of it is left.
        """
        if file.exists():
            raise ReplayError(f"{file} exists; a replay does not overwrite files", file=str(file))
        part = file.with_name(f"{file.name}.part")
        try:
            with part.open("w", encoding="utf-8") as stream:
                result = self.to_stream(wanted, stream, allow_gaps=allow_gaps)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(file)
        except OSError as error:
            raise ReplayError(
                f"{file} cannot be written: {error.strerror or error}{cause_of(error, file.parent)}. "
                "Nothing of it is left",
                file=str(file),
            ) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return result

    def to_topic(
        self, wanted: OffsetRange, topic: str, *, exact: bool = False, allow_gaps: bool = False
    ) -> ReplayResult:
        """Produces the records to another topic and returns when the brokers have confirmed all of them.

        Each gets a ``tradewire_replay_id`` header, so that handlers with side effects can refuse it, and goes to the
        partition of its key; ``exact`` adds nothing and keeps the partition's number. Timestamps are kept where the
        topic has CreateTime.

        Raises:
            ReplayError: the topic is the source or is missing, or a record was not confirmed: ``next_offset`` is then
                the first one to replay again; later ones may have been written.
        """
        if topic == wanted.topic:
            raise ReplayError(f"{topic} is the source: every consumer of it would get its events twice", topic=topic)
        replay_id, digester = new_id(), Digester()
        target = self._target(topic, None if exact else replay_id, wanted.partition)
        first, last = wanted.lo, wanted.lo
        try:
            for found in self._columns(wanted, allow_gaps):
                first = first if digester.records else found.offsets[0]
                last = found.offsets[-1]
                target.produce(found)
                digester.add_columns(found)
            target.finish()
        except BaseException:
            with suppress(ReplayError):
                target.finish()
            self.next_offset = target.next_offset if target.next_offset is not None else wanted.lo
            self._targets.pop(topic, None)
            raise
        return self._result(replay_id, digester, first, last)

    def _target(self, topic: str, replay_id: str | None, partition: int) -> TopicTarget:
        """Of one topic all replays have the same producer, which has its connection and its id then."""
        target = self._targets.get(topic)
        if target is None:
            target = TopicTarget(self._settings, topic)
        target.begin(replay_id, partition)
        self._targets[topic] = target
        return target

    def _result(self, replay_id: str, digester: Digester, first: int, last: int) -> ReplayResult:
        some = digester.records > 0
        return ReplayResult(
            replay_id,
            digester.digest(),
            first if some else None,
            last if some else None,
            self._from["history"],
            self._from["kafka"],
        )

    def _bounds(self, wanted: OffsetRange) -> tuple[int, int]:
        """The last offset of the range, and the oldest offset that Kafka has."""
        where = f"{wanted.topic}[{wanted.partition}]"
        low, high = self._watermarks(wanted)
        hi = high - 1 if wanted.hi is None else wanted.hi
        if wanted.lo < 0 or hi < wanted.lo:
            raise RangeInvalid(f"{where}: the range {wanted.lo} to {hi} is empty; the partition ends before {high}")
        if hi >= high:
            raise RangeInvalid(
                f"{where}: the range ends at {hi}, the partition before {high}: is the topic the right one?"
            )
        return hi, low

    def _asked(self, wanted: OffsetRange) -> tuple[int, int] | None:
        """Begin and end of the partition; waits for a leader, which a broker that has just started may not have."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                return self._consumer.get_watermark_offsets(
                    TopicPartition(wanted.topic, wanted.partition), timeout=_TIMEOUT_S, cached=False
                )
            except KafkaException as error:
                if error.args[0].code() not in _SETTLING or time.monotonic() >= deadline:
                    raise
            time.sleep(_LOOK_AGAIN_S)

    def _watermarks(self, wanted: OffsetRange) -> tuple[int, int]:
        try:
            found = self._asked(wanted)
        except KafkaException as error:
            cause = error.args[0]
            where = f"{wanted.topic}[{wanted.partition}]"
            if cause.code() in (
                KafkaError._UNKNOWN_PARTITION,
                KafkaError.UNKNOWN_TOPIC_OR_PART,
                KafkaError._UNKNOWN_TOPIC,
            ):
                raise RangeInvalid(f"{where} does not exist on {self._settings.kafka.bootstrap_servers}") from error
            raise KafkaUnavailable(
                f"{self._settings.kafka.bootstrap_servers} does not say where {where} begins and ends: {cause.str()}. "
                "Is the broker up, and is kafka.bootstrap_servers right?"
            ) from error
        assert found is not None, "only a cached answer may be none"
        return found

    def _raw(self) -> ArchivedHistory:
        if self._history is None:
            self._history = ArchivedHistory(self._settings)
        return self._history

    def _from_history(self, wanted: OffsetRange, segment: Segment, allow_gaps: bool) -> Iterator[RecordColumns]:
        expected = segment.lo
        for found in self._raw().columns(wanted.topic, wanted.partition, segment.lo, segment.hi):
            whole = found.offsets[0] == expected and found.offsets[-1] - expected + 1 == len(found)
            if not whole and not allow_gaps:
                rows = next(row for row, offset in enumerate(found.offsets) if offset != expected + row)
                gap_ends = found.offsets[rows] - 1
                if rows:
                    yield found.head(rows)
                raise self._missing(wanted, expected + rows, gap_ends)
            expected = found.offsets[-1] + 1
            yield found
        if expected <= segment.hi and not allow_gaps:
            raise self._missing(wanted, expected, segment.hi)
        self._position = segment.hi + 1

    @staticmethod
    def _missing(wanted: OffsetRange, first: int, last: int) -> RecordsMissing:
        return RecordsMissing(
            f"{wanted.topic}[{wanted.partition}]: offsets {first} to {last} are neither in Kafka nor in ClickHouse: "
            "were they compacted, transaction markers, or never stored? `allow gaps` replays what there is",
            topic=wanted.topic,
            partition=wanted.partition,
            offset=first,
        )

    def _from_kafka(self, wanted: OffsetRange, segment: Segment) -> Iterator[RecordColumns]:
        """Reads until the segment ends, or until Kafka no longer has its beginning (then the caller looks again)."""
        self._consumer.assign([TopicPartition(wanted.topic, wanted.partition, segment.lo)])
        try:
            while self._position <= segment.hi:
                messages = self._poll()
                errors = [message for message in messages if message.error() is not None]
                records = [message for message in messages if message.error() is None] if errors else messages
                ends = [self._end(message, segment) for message in errors]
                within = [message for message in records if message.offset() <= segment.hi]
                if within:
                    found = RecordColumns(wanted.topic, wanted.partition)
                    found.extend(within)
                    yield found
                if len(within) < len(records) or "end" in ends:
                    self._position = segment.hi + 1
                if "cut" in ends:
                    return
        finally:
            self._consumer.unassign()

    def _poll(self) -> Sequence[Any]:
        messages: Sequence[Any] = self._consumer.consume(_CHUNK_ROWS, 0.2)
        if not messages:
            first = self._consumer.poll(_SILENCE_S)
            if first is None:
                raise KafkaUnavailable(f"{self._settings.kafka.bootstrap_servers} gives nothing for {_SILENCE_S:.0f} s")
            return [first]
        return messages

    def _end(self, message: Any, segment: Segment) -> Literal["end", "cut"] | None:
        """What an error says: nothing is left of the segment, or Kafka no longer has what comes next."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            # Nothing but transaction markers is left below the end that was asked for.
            return "end" if message.offset() > segment.hi else None
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            _log.info("retention_overtook_replay", topic=message.topic(), next_offset=self.next_offset)
            return "cut"
        if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            return None
        raise ReplayError(f"reading stopped at offset {self.next_offset}: {error}", offset=self.next_offset)

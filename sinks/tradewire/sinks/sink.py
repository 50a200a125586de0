"""The sink: Kafka to ClickHouse, every record once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tradewire.core import get_logger
from tradewire.core.errors import (
    ClickHouseUnavailable,
    KafkaUnavailable,
    RegistryUnavailable,
    SinkError,
    UnknownSchemaId,
)
from tradewire.core.failpoints import failpoint
from tradewire.core.membership import static_config
from tradewire.core.settings import Settings
from tradewire.schemas import Contract
from tradewire.schemas.topics import Topic
from tradewire.sinks import metrics
from tradewire.sinks.batch import Inserter
from tradewire.sinks.partition import AssignedPartition, Enough
from tradewire.sinks.planner import Planner
from tradewire.sinks.protocol import PartitionProtocol, Phase, RecordsGone
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables

_log = get_logger(__name__)
_CONSUME_ROWS: Final = 10_000
_CONSUME_S: Final = 0.05
_KAFKA_TIMEOUT_S: Final = 30.0
_RETRY_S: Final = 1.0
# At a rebalance the insert that is running may end; the others are done by the next owner from their intents.
_REVOKE_WAIT_S: Final = 5.0
_DRAIN_S: Final = 20.0
# While ClickHouse works on one block the next is built; a third would only wait for the same processor.
_INSERTERS: Final = 2
# Reading is paused at so many times the ceilings of one batch, over all partitions, and goes on below half of it.
_BUFFERED_BATCHES_MAX: Final = 2
_LAG_S: Final = 5.0


def sink_topics(topics: Sequence[Topic]) -> list[str]:
    """The topics that the sink stores: all but what workers only pass to one another."""
    return [topic.name for topic in topics if topic.stored]


class Sink:
    """Stores every record of its topics in ClickHouse once. One instance per process; several share the partitions.

    For each partition, in this order, never two batches of it at once:

    1. read records into the buffer. A crash here loses nothing: nothing has been promised.
    2. cut a batch (rows, bytes or age are up) and sort it by schema id.
    3. commit the intent: offset ``lo`` with the boundaries of the batch as metadata. The group coordinator accepts it
       only from the present owner of the partition: the fence against a sink that was paused and has been replaced.
       Crash before: the records are read again and cut anew. Crash after: the next owner finds it, goes on at 4.
    4. insert one block per schema id, each with a token made of the boundaries, the schema id and the number of rows.
       Crash in between or after: the next owner reads exactly ``lo`` to ``hi`` and repeats all inserts; ClickHouse
       drops those whose tokens it remembers.
    5. commit offset ``hi + 1`` without metadata. Crash after: the next owner begins with the next batch. Where Kafka
       says that only ends of transactions and aborted records follow, the offset behind them is committed, at once or
       later: else a partition that is written in transactions would never be seen to be stored to its end.

    An insert that fails is repeated with the same bytes until it is done; meanwhile Kafka is polled, so that the group
    keeps its members, and reading is paused when the buffer is full. An insert of a sink that is gone may still arrive:
    its token was used again by the next owner, so that one of the two is dropped, as long as fewer inserts than
    ``sink.deduplication_window`` lie between them.

    The assignment is cooperative: a partition that stays keeps its buffer and its running insert when others move.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        *,
        topics: Sequence[str] | None = None,
        instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
    ) -> None:
        """``instance_id`` names a static member: it comes back at once after a restart, unless with other topics."""
        self._limits = settings.sink
        self._contract = contract
        self._topics = list(topics) if topics is not None else sink_topics(list(contract.topics.values()))
        self._compacted = {topic.name for topic in contract.topics.values() if topic.cleanup == "compact"}
        self._consumer_config = _consumer_config(settings, session_timeout_ms) | static_config(
            instance_id, self._topics
        )
        self._store = Store(settings.clickhouse)
        window = settings.sink.deduplication_window
        wait_s = settings.sink.unknown_schema_wait_ms / 1000
        self._tables = Tables(self._store, contract.catalogue, contract.schema_ids, window, unknown_wait_s=wait_s)
        parked = {topic.name for topic in contract.topics.values() if topic.domain == "deadletter"}
        self._planner = Planner(self._tables, parked)
        self._inserter = Inserter([Store(settings.clickhouse) for _ in range(_INSERTERS)])
        self._partitions: dict[tuple[str, int], AssignedPartition] = {}
        self._stopping = threading.Event()
        self._paused = False
        self._lag_at = 0.0
        self.ready = threading.Event()
        self.running = True

    def stop(self) -> None:
        """Asks ``run`` to end after the batches that are under way; may be called from a signal handler or a thread."""
        self._stopping.set()

    def run(self) -> None:
        """Stores records until ``stop``. ClickHouse or the registry being away is waited out.

        Raises:
            RecordsGone, ForeignCommit: a partition cannot go on without a human; what was stored stays.
            KafkaUnavailable: the broker cannot be asked for the group's offsets; start again.
            SinkError: the consumer was fenced or failed for good.
        """
        try:
            if self._make_tables():
                self._store_until_stopped()
        finally:
            self.running = False

    def _store_until_stopped(self) -> None:
        self._consumer = Consumer(self._consumer_config, logger=None)
        self._inserter.start()
        try:
            self._consumer.subscribe(
                self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            self.ready.set()
            while not self._stopping.is_set():
                self._turn()
            self._drain()
        finally:
            # Closing revokes what is assigned, which waits for the running insert and commits what is done.
            self._consumer.close()
            for assigned in self._partitions.values():
                assigned.cancel()
            self._inserter.close()
            self._inserter.join(_REVOKE_WAIT_S)
            self._store.close()

    def _make_tables(self) -> bool:
        while not self._stopping.is_set():
            try:
                self._tables.ensure()
            except ClickHouseUnavailable as error:
                _log.warning("clickhouse_unavailable", error=str(error), again_in_s=_RETRY_S)
                self._stopping.wait(_RETRY_S)
            else:
                return True
        return False

    def _drain(self) -> None:
        """Finishes the batches whose intent is stored; what takes too long is finished by the next owner."""
        self._consumer.pause(self._consumer.assignment())
        deadline = time.monotonic() + _DRAIN_S
        under_way = (Phase.INSERTING, Phase.COMMITTING)
        while time.monotonic() < deadline and any(
            assigned.protocol.phase in under_way for assigned in self._partitions.values()
        ):
            self._consumer.consume(1, _CONSUME_S)
            self._finish()
            done = [found for found in self._partitions.values() if found.protocol.phase is Phase.COMMITTING]
            self._commit(done)

    def _finish(self) -> None:
        if self._inserter.failure is not None:
            raise SinkError(f"the inserting thread ended: {self._inserter.failure!r}") from self._inserter.failure
        for assigned in self._partitions.values():
            assigned.finish()

    def _turn(self) -> None:
        self._take(self._consumer.consume(_CONSUME_ROWS, _CONSUME_S))
        self._finish()
        if self._inserter.waiting <= _INSERTERS:
            self._cut()
        self._commit(list(self._partitions.values()))
        self._throttle()
        self._show_lag()

    def _take(self, messages: list[Any]) -> None:
        by_partition: dict[tuple[str, int], list[Any]] = {}
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    ends[message.topic(), message.partition()] = message.offset()
                else:
                    self._refuse(message)
                continue
            key = (message.topic(), message.partition())
            try:
                by_partition[key].append(message)
            except KeyError:
                by_partition[key] = [message]
        messages.clear()  # from here on a message is let go as soon as its fields are taken
        message = None
        for key, found in by_partition.items():
            assigned = self._partitions.get(key)
            if assigned is not None:
                assigned.add(found)
        for key, end in ends.items():
            if (assigned := self._partitions.get(key)) is not None:
                assigned.read_to = end

    def _refuse(self, message: Any) -> None:
        error = message.error()
        where = f"{message.topic()}[{message.partition()}]"
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise RecordsGone(
                f"{where}: Kafka does not have the offset that the sink is to read next ({error}): was it away for "
                "longer than the retention, or was the topic deleted and made again?",
                topic=message.topic(),
                partition=message.partition(),
            )
        if error.fatal() or error.code() == KafkaError._FATAL:  # as a message it has the code alone
            raise SinkError(f"the consumer failed for good: {error}")
        _log.warning("consumer_error", where=where, error=str(error))

    def _cut(self) -> None:
        """Cuts the batches that are due and fixes their boundaries."""
        now = time.monotonic()
        given = 0
        for assigned in sorted(self._partitions.values(), key=lambda found: len(found.buffer), reverse=True):
            idle = assigned.protocol.phase in (Phase.CONSUMING, Phase.REPLAYING)
            if not idle or now < assigned.not_before:
                continue
            if not assigned.cut(self._limits, now, self._enough(given)):
                continue
            given += 1
            try:
                job = assigned.fix(self._planner)
            except (ClickHouseUnavailable, RegistryUnavailable, UnknownSchemaId) as error:
                topic = assigned.buffer.topic
                _log.warning("batch_waits", topic=topic, error=str(error), again_in_s=_RETRY_S)
                assigned.not_before = time.monotonic() + _RETRY_S
                continue
            if job is not None:
                where = {"topic": job.batch.topic, "partition": job.batch.partition}
                metrics.INTENTS_REPLAYED.labels(job.batch.topic).inc()
                _log.info("intent_replayed", **where, lo=job.intent.lo, hi=job.intent.hi)
                self._inserter.submit(job)

    def _enough(self, given: int) -> Enough:
        """What makes a batch when ``given`` have been cut in this turn: little while nobody inserts."""
        busy = self._inserter.waiting + given
        if busy >= _INSERTERS:
            return Enough.FULL
        return Enough.SOME if busy == 0 or self._paused else Enough.HALF

    def _commit(self, partitions: Sequence[AssignedPartition]) -> None:
        """Stores intents and finished batches in Kafka, in one request; what is not confirmed is tried again later."""
        offsets: list[TopicPartition] = []
        for assigned in partitions:
            protocol, intent = assigned.protocol, assigned.protocol.intent
            if protocol.phase is Phase.INTENDING and intent is not None:
                failpoint("sink.before_intent")
                at = TopicPartition(protocol.topic, protocol.partition, intent.lo, metadata=intent.encode())
            elif (done_to := assigned.done_to()) is not None:
                at = TopicPartition(protocol.topic, protocol.partition, done_to, metadata="")
            else:
                continue
            offsets.append(at)
        if not offsets:
            return
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            cause = error.args[0]
            if cause.fatal() or cause.code() == KafkaError._FATAL:
                raise SinkError(f"the consumer failed for good: {cause}") from error
            metrics.COMMIT_ERRORS.inc()
            _log.warning("commit_failed", error=str(cause))
            return
        for result in results or ():
            assigned_now = self._partitions.get((result.topic, result.partition))
            if result.error is not None:
                metrics.COMMIT_ERRORS.inc()
                _log.warning("commit_failed", topic=result.topic, partition=result.partition, error=str(result.error))
            elif assigned_now is not None:
                self._committed(assigned_now, result.offset)

    def _committed(self, assigned: AssignedPartition, offset: int) -> None:
        protocol = assigned.protocol
        if protocol.phase is Phase.INTENDING:
            failpoint("sink.after_intent")
            protocol.intent_stored()
            self._inserter.submit(assigned.start())
        elif protocol.phase is Phase.COMMITTING:
            failpoint("sink.after_commit")
            protocol.offset_stored(offset)
        elif protocol.phase is Phase.CONSUMING:
            protocol.skipped_to(offset)

    def _throttle(self) -> None:
        """Pauses reading when the buffers are full; polling goes on, so that the group does not evict this member."""
        buffered = sum(assigned.buffer_bytes for assigned in self._partitions.values())
        rows = sum(len(assigned.buffer) for assigned in self._partitions.values())
        metrics.BUFFERED_BYTES.set(buffered)
        full = max(
            buffered / (self._limits.batch_bytes_max * _BUFFERED_BATCHES_MAX),
            rows / (self._limits.batch_rows_max * _BUFFERED_BATCHES_MAX),
        )
        if full >= 1 and not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        elif full < 0.5 and self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        metrics.PAUSED.set(self._paused)

    def _show_lag(self) -> None:
        now = time.monotonic()
        if now < self._lag_at:
            return
        self._lag_at = now + _LAG_S
        for (topic, partition), assigned in self._partitions.items():
            low_high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            if low_high is not None and low_high[1] >= 0:
                metrics.LAG.labels(topic, partition).set(max(0, low_high[1] - assigned.protocol.position))

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            consumer.incremental_assign([])
            return
        try:
            committed = consumer.committed(partitions, timeout=_KAFKA_TIMEOUT_S)
            for stored in committed:
                if stored.error is not None:
                    raise KafkaException(stored.error)
                key = (stored.topic, stored.partition)
                low, _ = consumer.get_watermark_offsets(TopicPartition(*key), timeout=_KAFKA_TIMEOUT_S, cached=False)
                protocol = PartitionProtocol(*key, compacted=stored.topic in self._compacted)
                stored.offset = protocol.begin(stored.offset, stored.metadata, low)
                self._partitions[key] = AssignedPartition(protocol)
        except KafkaException as error:
            raise KafkaUnavailable(f"the group's offsets cannot be read: {error.args[0]}") from error
        consumer.incremental_assign([TopicPartition(at.topic, at.partition, at.offset) for at in committed])
        # librdkafka keeps a pause over revocation and assignment: what left paused would never be read again.
        (consumer.pause if self._paused else consumer.resume)(partitions)
        _log.info("assigned", partitions=len(partitions), of=len(self._partitions))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        leaving = [found for at in partitions if (found := self._partitions.get((at.topic, at.partition))) is not None]
        deadline = time.monotonic() + min(_REVOKE_WAIT_S, self._limits.poll_interval_ms_max / 2000)
        for assigned in leaving:
            if assigned.job is not None and not assigned.job.finished.wait(max(0.0, deadline - time.monotonic())):
                assigned.cancel()
            assigned.finish()
        self._commit([assigned for assigned in leaving if assigned.protocol.phase is Phase.COMMITTING])
        self._forget(partitions)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else owns them already: nothing is committed, their batches are done again from their intents."""
        self._forget(partitions)
        consumer.incremental_unassign(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for at in partitions:
            assigned = self._partitions.pop((at.topic, at.partition), None)
            if assigned is not None:
                assigned.cancel()
                with suppress(KeyError):
                    metrics.LAG.remove(at.topic, str(at.partition))
        _log.info("revoked", partitions=len(partitions), left=len(self._partitions))


def _consumer_config(settings: Settings, session_timeout_ms: int) -> dict[str, Any]:
    return {
        **settings.kafka.client_config(),
        "group.id": settings.sink.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where to begin is said explicitly; an offset that is gone is an error, never a silent skip.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        # The end is told behind the records before it; what librdkafka has of an earlier assignment it throws away.
        "enable.partition.eof": True,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": max(100, session_timeout_ms // 5),
        "max.poll.interval.ms": settings.sink.poll_interval_ms_max,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 10_000,
        # What librdkafka reads ahead, per partition: bounds memory with dozens of partitions.
        "queued.max.messages.kbytes": 8_192,
        "queued.min.messages": 50_000,
        "fetch.queue.backoff.ms": 10,  # by default a partition is left alone for a second when the queue is full
        # A fetch waits for so much or for 50 ms: answers of a few records each cost the broker more than they gain.
        "fetch.min.bytes": 1_000_000,
        "fetch.wait.max.ms": 50,
    }

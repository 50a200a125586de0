"""A worker process under test, the broker that it works on, and what can be read back from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from tests.processors.asking import ASKED_S, answered, committed_by, passes
from tests.processors.pure import PureWorker, Record
from tests.waiting import wait_until

from tradewire.core import Settings
from tradewire.operations.stack.cluster import LocalKafka
from tradewire.processors.liveness import read_membership
from tradewire.processors.records import Forward
from tradewire.processors.tables import FILLS_TOPIC, PATTERNS_TOPIC, STEPS_TOPIC, TABLES
from tradewire.processors.worker import EXIT_CRASHED
from tradewire.schemas import Contract, Event, Header, encode_headers

CONSUMED = ("market.events", "trading.events", "system.events", "risk.events", STEPS_TOPIC, FILLS_TOPIC, PATTERNS_TOPIC)


def steps_about(found: dict[str, dict[str, Any]], prefix: str) -> int:
    """Number of steps in the flows of one test's events."""
    return sum(prefix in step["subject"] for flow in found["flow"].values() for step in flow["steps"])


class Broker:
    """Publishes to a broker and reads whole topics back."""

    def __init__(self, settings: Settings, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self.settings = settings
        self.contract = Contract.load(settings)
        self._consumers: dict[str, Consumer] = {}
        self._producer = Producer(
            {**settings.kafka.client_config(), "partitioner": "murmur2_random", "enable.idempotence": True}
        )

    def publish(self, events: Iterable[Event]) -> int:
        """Delivers events; returns how many."""
        count = 0
        for event in events:
            topic = self.contract.topic_of(event.type)
            value = self.contract.codec.encode(event.type, event.data, topic)
            self._produce(topic, event.subject.encode(), value, encode_headers(event))
            count += 1
        assert self._producer.flush(150) == 0
        return count

    def produce(self, topic: str, key: bytes | None, value: bytes | None, headers: list[Header], **more: int) -> None:
        """Delivers one record as it is."""
        self._produce(topic, key, value, headers, **more)
        assert self._producer.flush(150) == 0

    def _produce(self, topic: str, key: bytes | None, value: bytes | None, headers: list[Header], **more: int) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, **more)
                return
            except BufferError:
                self._producer.poll(0.1)

    def log(self, *topics: str) -> list[Record]:
        """All records of topics, each partition in order."""
        consumer = self._consumer("reader", **{"enable.partition.eof": True})
        try:
            left = {}
            for place in self._places(consumer, topics):
                low, high = answered(lambda: self._range(consumer, place))  # noqa: B023
                if low < high:
                    left[place.topic, place.partition] = (low, high)
            consumer.assign([TopicPartition(*place, low) for place, (low, _) in left.items()])
            records = []
            while left:
                for message in consumer.consume(5_000, timeout=0.2):
                    place = (str(message.topic()), int(message.partition() or 0))
                    error = message.error()
                    if error is not None:
                        # The last offset may be no record: the end of a transaction.
                        if error.code() == KafkaError._PARTITION_EOF:
                            left.pop(place, None)
                        else:
                            assert passes(error), error
                    elif place in left and int(message.offset() or 0) < left[place][1]:
                        offset = int(message.offset() or 0)
                        key, value, headers = message.key(), message.value(), tuple(message.headers() or ())
                        records.append(Record(*place, offset, message.timestamp()[1], key, value, headers))
                        if offset + 1 == left[place][1]:
                            del left[place]
            return records
        finally:
            consumer.close()

    def read_models(self) -> dict[str, dict[str, Any]]:
        """The newest state of every key by table, as the topics have it."""
        newest: dict[str, dict[str, Any]] = {table.name: {} for table in TABLES}
        names = {table.topic: table.name for table in TABLES}
        for record in self.log(*names):
            assert record.key is not None
            states, key = newest[names[record.topic]], record.key.decode()
            if record.value is None:
                states.pop(key, None)
            else:
                states[key] = self.contract.codec.decode(record.value).data
        return newest

    def folded(self) -> dict[str, dict[str, Any]]:
        """The same by a plain fold over the logs that the worker reads."""
        worker = _LogReader(self.contract)
        worker.take(self.log(*CONSUMED))
        return {
            table.name: {key: dict(table.data_of(state)) for key, state in worker.states[table.name].items()}
            for table in TABLES
        }

    def assert_fold_of_the_log(self) -> dict[str, dict[str, Any]]:
        """Every read model is the plain fold of the logs, no key more or less; returns the read models."""
        found, expected = self.read_models(), self.folded()
        for table in expected:
            assert found[table] == expected[table], table
        return found

    def behind(self, group: str, topics: Collection[str] = CONSUMED) -> int:
        """Records that a group has not committed yet; very many while the broker cannot tell."""
        consumer = self._of_group(group)
        try:
            places = self._named(consumer, topics)
            if places is None:
                return sys.maxsize
            committed = committed_by(consumer, places)
            behind = 0
            for place, offset in zip(places, committed, strict=True):
                low, high = self._range(consumer, place)
                behind += high - max(low, offset)
            return behind
        except KafkaException as error:
            if passes(error.args[0]):
                return sys.maxsize
            raise

    def end_of(self, topic: str) -> int:
        """The offsets that a topic has given away, over its partitions."""
        return sum(self.end_of_partition(place) for place in self.places(topic))

    def end_of_partition(self, place: TopicPartition) -> int:
        """The offset that the next record of a partition will get."""
        return answered(lambda: self._range(self._of_group("reader"), place))[1]

    def places(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic."""
        return self._places(self._of_group("reader"), [topic])

    def committed(self, group: str, topic: str, partition: int) -> int:
        """The offset that a group has committed; negative if none."""
        consumer = self._of_group(group)
        (offset,) = answered(lambda: committed_by(consumer, [TopicPartition(topic, partition)]))
        return offset

    def _places(self, consumer: Consumer, topics: Collection[str]) -> list[TopicPartition]:
        """All partitions of topics, once the broker names them all."""
        found = wait_until(lambda: answered(lambda: self._named(consumer, topics)), within_s=60, every_s=0.1)
        assert found is not None
        return found

    def _named(self, consumer: Consumer, topics: Collection[str]) -> list[TopicPartition] | None:
        """All partitions of topics; None as long as a broker that has just started does not name all of them."""
        declared, known = self.contract.topics, consumer.list_topics(timeout=ASKED_S).topics
        for name in topics:
            wanted = declared[name].partitions if name in declared else 1
            if name not in known or len(known[name].partitions) < wanted:
                return None
        return [TopicPartition(name, number) for name in topics for number in known[name].partitions]

    @staticmethod
    def _range(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
        """First offset and end of a partition. Raises KafkaException."""
        low, high = consumer.get_watermark_offsets(place, timeout=ASKED_S, cached=False)
        return low, high

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()
        self._producer.close()

    def _of_group(self, group: str) -> Consumer:
        if group not in self._consumers:
            self._consumers[group] = self._consumer(group)
        return self._consumers[group]

    def _consumer(self, group: str, **more: Any) -> Consumer:
        config = {**self.settings.kafka.client_config(), "group.id": group, "enable.auto.commit": False}
        return Consumer({**config, **more})


class _LogReader(PureWorker):
    """Writes nothing: what the worker forwarded is in the logs already."""

    def append(self, forward: Forward) -> None:
        pass


_PROGRAM = ("-m", "tradewire.processors.worker")


class RunningWorker:
    """``python -m tradewire.processors.worker`` as a process, with a group and a data folder of its own.

    No deadline ends unless told: what it writes is then a fold of the log alone.
    """

    def __init__(self, broker: Broker, group: str, folder: Path, **worker_settings: int | str | Path) -> None:
        self.group = group
        self.folder = folder
        self._broker = broker
        settings = broker.settings
        self.environment = {
            **os.environ,
            "TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "TRADEWIRE_REGISTRY__URL": settings.registry.url,
            "TRADEWIRE_REGISTRY__ARCHIVE_FOLDER": str(settings.registry.archive_folder),
            "TRADEWIRE_WORKER__GROUP": group,
            "TRADEWIRE_WORKER__DATA_FOLDER": str(folder),
            "TRADEWIRE_WORKER__DEADLINE_GRACE_MS": str(3_600_000),
            # Each new group reads what tests before it have left on this broker, ids that nobody knows among them.
            "TRADEWIRE_WORKER__UNKNOWN_SCHEMA_WAIT_MS": str(500),
            **{f"TRADEWIRE_WORKER__{name.upper()}": str(value) for name, value in worker_settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._begun_as: tuple[Sequence[str], dict[str, str]] = (_PROGRAM, {})
        self.log_file = folder.parent / f"{folder.name}.log"

    def start(self, program: Sequence[str] = _PROGRAM, **environment: str) -> None:
        self._begun_as = (program, environment)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *program], env={**self.environment, **environment}, stdout=log, stderr=log
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(90)

    def wait_until_done(self, within_s: float = 150.0) -> None:
        """Returns when the group has committed all that there is to read."""
        wait_until(lambda: self.behind() == 0, within_s=within_s, every_s=0.2, alive=self.process.poll)

    def wait_supervised(self, condition: Callable[[], bool], within_s: float) -> None:
        """Waits until the condition holds, and starts the worker again whenever it has crashed, as a supervisor does.

        It may: a broker that does not answer in time, on a machine under load, is a reason to.
        """

        def look() -> bool:
            self.supervise()
            return condition()

        wait_until(look, within_s=within_s, every_s=0.5)

    def supervise(self) -> None:
        """Starts it again, as it was begun, if it has crashed; with another exit code it must not have ended."""
        code = self.process.poll()
        if code is not None:
            assert code == EXIT_CRASHED, f"the worker has ended with {code}"
            program, environment = self._begun_as
            self.start(program, **environment)

    def behind(self) -> int:
        """Records of the topics that it reads which its group has not committed; very many before it says which."""
        member = read_membership(self.folder)
        if member is None:
            return sys.maxsize
        return self._broker.behind(self.group, set(member.topics) & set(CONSUMED))

    def is_behind(self) -> bool:
        """Whether there is anything that its group has not committed, once the broker can tell."""

        def known() -> list[int] | None:
            behind = self.behind()
            return [behind] if behind < sys.maxsize else None

        return (wait_until(known, within_s=120, every_s=0.1) or [0])[0] > 0

    def __enter__(self) -> RunningWorker:
        """Starts it, unless it runs: a test may have done that in a way of its own."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

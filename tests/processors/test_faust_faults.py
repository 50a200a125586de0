"""Faults of the pinned Faust, each shown on a real broker: what it does as it comes, and what the worker does.

Should a test of plain Faust fail, the fault is gone from it and the guard can be looked at again. ``plain_faust`` holds
the agents; the numbers are those of the table in ``docs/design.md``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic
from tests.processors.pure import Record
from tests.processors.running import Broker, RunningWorker
from tests.processors.workload import VENUE, Workload
from tests.waiting import wait_until

from tradewire.processors.group_watch import GroupWatch
from tradewire.processors.tables import FILLS_TOPIC
from tradewire.processors.watchdog import Hang, Rules
from tradewire.processors.worker import EXIT_CRASHED
from tradewire.schemas import Event, encode_headers

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(700)]

PLAIN = Path(__file__).with_name("plain_faust.py")
FAULTY = Path(__file__).with_name("faulty_worker.py")
STATELESS = ("hang", "raise", "take", "decode", "send")


class PlainFaust:
    """The pinned Faust on topics of its own, one process after the other."""

    def __init__(self, broker: Broker, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self.folder = folder
        self._broker = broker
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = 0
        names = {f"{prefix}.{name}": {} for name in (*STATELESS, "count")}
        names[f"{prefix}.small"] = {"max.message.bytes": "1000"}
        names[f"{prefix}.counts-changelog"] = {"cleanup.policy": "compact"}
        admin = AdminClient(broker.settings.kafka.client_config())
        made = admin.create_topics([NewTopic(name, 1, 1, config=config) for name, config in names.items()])
        for future in made.values():
            future.result(30)

    def put(self, name: str, *values: bytes, key: bytes | None = None) -> None:
        for value in values:
            self._broker.produce(f"{self.prefix}.{name}", key, value, [])

    def start(self, *apps: str, release: bool = False, guards: Sequence[str] = (), uvloop: bool = False) -> None:
        config = {
            "broker": self._broker.settings.kafka.bootstrap_servers,
            "prefix": self.prefix,
            "folder": str(self.folder),
            "apps": apps,
            "release": release,
            "commit_s": 3_600.0,
            "guards": guards,
            "uvloop": uvloop,
        }
        self._runs += 1
        self.folder.mkdir(exist_ok=True)
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            command = [sys.executable, str(PLAIN), json.dumps(config)]
            self._process = subprocess.Popen(command, stdout=out, stderr=err)

    def _file(self, kind: str) -> Path:
        return self.folder.parent / f"{self.folder.name}.{self._runs}.{kind}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def said(self, what: str, app: str) -> list[str]:
        """What the running process has said of an agent so far: the values that it has ``begun`` or ``done``."""
        lines = [json.loads(line) for line in self._file("out").read_text().splitlines() if line.endswith("]")]
        return [value for kind, name, value in lines if (kind, name) == (what, app)]

    def wait_until_said(self, what: str, app: str, *values: str, within_s: float = 120.0) -> None:
        wait_until(lambda: set(values) <= set(self.said(what, app)), within_s=within_s, alive=self.process.poll)

    def committed(self, name: str) -> int:
        return self._broker.committed(f"{self.prefix}.events", f"{self.prefix}.{name}", 0)

    def has_partitions(self, app: str) -> bool:
        """Whether its group has given partitions away."""
        group = f"{self.prefix}.{app}"
        admin = AdminClient(self._broker.settings.kafka.client_config())
        try:
            found = admin.describe_consumer_groups([group], request_timeout=10)[group].result(15)
        except KafkaException:  # there is no such group yet
            return False
        stable = found.state == ConsumerGroupState.STABLE
        return stable and any(member.assignment.topic_partitions for member in found.members if member.assignment)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)


@dataclass
class PlainRun:
    """What became of events in two runs of plain Faust, the first of them killed."""

    committed: dict[str, int] = field(default_factory=dict)
    begun: dict[str, list[str]] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)
    done_again: dict[str, list[str]] = field(default_factory=dict)
    counts: list[bytes | None] = field(default_factory=list)
    sent: list[bytes | None] = field(default_factory=list)


@pytest.fixture(scope="module")
def plain(own_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainRun]:
    """Plain Faust, killed with -9 while one event hangs, then started again where nothing hangs or raises any more."""
    faust = PlainFaust(own_broker, "plain", tmp_path_factory.mktemp("plain") / "faust")
    faust.put("hang", b"0", b"hang", b"2", b"3", b"4")
    faust.put("raise", b"0", b"poison", b"2")
    faust.put("take", b"0", b"poison")
    faust.put("decode", b'"0"', b"{no JSON", b'"2"')
    faust.put("send", b"0", b"large" + b"x" * 5_000, b"2")
    faust.put("count", b"0", b"1", b"2", key=b"k")
    run = PlainRun()
    try:
        faust.start("events", "counts")
        faust.wait_until_said("done", "count", "2")
        ends = {"hang": 5, "raise": 3, "take": 2, "decode": 3, "send": 3}
        wait_until(
            lambda: {name: faust.committed(name) for name in ends} == ends, within_s=120, alive=faust.process.poll
        )
        wait_until(lambda: len(own_broker.log("plain.counts-changelog")) == 3, within_s=150, every_s=0.1)
        faust.kill()
        run.committed = {name: faust.committed(name) for name in STATELESS}
        run.begun = {name: faust.said("begun", name) for name in STATELESS}
        run.done = {name: faust.said("done", name) for name in STATELESS}
        for name in STATELESS:
            faust.put(name, b'"end"')
        faust.start("events", "counts", release=True)
        for name in ("hang", "raise", "take", "send"):
            faust.wait_until_said("done", name, '"end"')
        faust.wait_until_said("done", "decode", "end")
        faust.wait_until_said("done", "count", "2")
        run.done_again = {name: faust.said("done", name) for name in STATELESS}
        wait_until(lambda: len(own_broker.log("plain.counts-changelog")) == 6, within_s=150, every_s=0.1)
        run.counts = [record.value for record in own_broker.log("plain.counts-changelog")]
        wait_until(lambda: own_broker.log("plain.small")[-1].value == b'"end"', within_s=150, every_s=0.1)
        run.sent = [record.value for record in own_broker.log("plain.small")]
    finally:
        faust.kill()
    yield run


class TestPlainFaust:
    """What happens without the guards. After the kill all events were there to be read again; most never were."""

    def test_f1_commits_past_an_event_in_work_which_is_then_lost(self, plain: PlainRun) -> None:
        assert ("hang" in plain.begun["hang"], "hang" in plain.done["hang"]) == (True, False)
        assert plain.committed["hang"] == 5
        assert plain.done_again["hang"] == ['"end"']

    def test_f3_acknowledges_an_event_whose_agent_raised(self, plain: PlainRun) -> None:
        assert plain.done["raise"] == ["0", "2"]
        assert plain.done_again["raise"] == ['"end"']

    def test_f4_acknowledges_a_whole_batch_of_which_one_event_raised(self, plain: PlainRun) -> None:
        assert plain.done["take"] == ["0"]
        assert plain.committed["take"] == 2
        assert plain.done_again["take"] == ['"end"']

    def test_f5_acknowledges_a_value_that_it_cannot_decode(self, plain: PlainRun) -> None:
        assert plain.done["decode"] == ["0", "2"]
        assert plain.done_again["decode"] == ["end"]

    def test_f6_acknowledges_an_event_whose_output_the_broker_refused(self, plain: PlainRun) -> None:
        assert plain.done["send"] == ["0", "largexxx", "2"]
        assert plain.done_again["send"] == ['"end"']
        # What it was sent with, in one batch of the producer's, may have gone as well.
        assert plain.sent[-1] == b'"end"'
        assert not any(value and value.startswith(b"large") for value in plain.sent)

    def test_f10_counts_twice_after_a_crash(self, plain: PlainRun) -> None:
        """Three events; the table was stored, the offset was not."""
        assert plain.counts == [b"1", b"2", b"3", b"4", b"5", b"6"]


@dataclass
class OurRun:
    """What became of events in two runs of the worker, under the same faults."""

    held_at: TopicPartition
    committed_held: int = 0
    committed_refused: tuple[int, int] = (0, 0)
    left_with: int | None = None
    letters: list[Record] = field(default_factory=list)
    processed_before: set[str] = field(default_factory=set)
    recovered: bool = False


def order_events(made: Workload, order_id: str, *, side: str = "BUY", parts: int = 2) -> list[Event]:
    """An order that is filled in parts, of a position of its own."""
    base = {"order_id": order_id, "account": f"{order_id}.acc", "symbol": "faults.S", "venue": VENUE}
    created = {**base, "side": "BUY", "order_type": "LIMIT", "quantity": made._quantity()}
    events = [made._event("trading.order.created", order_id, created)]
    for part in range(parts):
        fill = {
            **base,
            "fill_id": f"{order_id}-{part}",
            "side": side,
            "price": made._price(),
            "quantity": made._quantity(),
            "cumulative_quantity": made._quantity(),
            "leaves_quantity": made._quantity(),
            "fee": made._quantity(),
            "fill_time_ns": made._time_ns,
        }
        events.append(made._event("trading.order.filled", order_id, fill, events[0]))
    return events


def end_with_an_aborted_transaction(broker: Broker, topic: str) -> None:
    """Makes the last offset of each partition something that no reader of committed records will ever be given."""
    config = {**broker.settings.kafka.client_config(), "transactional.id": f"faults.{topic}"}
    producer = Producer(config)
    producer.init_transactions(90)
    producer.begin_transaction()
    for place in broker.places(topic):
        producer.produce(topic, b"never seen", b"faults.never", partition=place.partition)
    producer.flush(90)
    producer.abort_transaction(90)


@contextlib.contextmanager
def outputs_refused(broker: Broker, topic: str) -> Iterator[None]:
    """The broker refuses records of any size for a topic.

    The controller says that it does before the broker does: the topic's last record is offered again until it is
    refused, and in the end until it is not. As the newest state of its key it changes nothing.
    """
    admin = AdminClient(broker.settings.kafka.client_config())
    *_, last = broker.log(topic)
    last = [record for record in broker.log(topic) if record.key == last.key][-1]

    def is_refused() -> bool:
        errors: list[KafkaError | None] = []
        producer = Producer(broker.settings.kafka.client_config())
        producer.produce(
            topic, last.value, last.key, partition=last.partition, headers=list(last.headers),
            on_delivery=lambda error, _: errors.append(error),
        )  # fmt: skip
        assert producer.flush(60) == 0
        return [KafkaError.MSG_SIZE_TOO_LARGE] == [error.code() for error in errors if error is not None]

    def set_bytes_max(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("max.message.bytes", "10", incremental_operation=operation)
        resource = ConfigResource("topic", topic, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(60)

    set_bytes_max(AlterConfigOpType.SET)
    wait_until(is_refused, within_s=60, every_s=0.1)
    yield
    set_bytes_max(AlterConfigOpType.DELETE)
    wait_until(lambda: not is_refused(), within_s=60, every_s=0.1)


@pytest.fixture(scope="module")
def ours(own_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OurRun]:
    """The worker, one record in work all the time, until it ends for an output; then as a worker that lost its disk."""
    broker, made = own_broker, Workload(51, "faults.")
    folder = tmp_path_factory.mktemp("faults") / "data"
    worker = RunningWorker(broker, "faults", folder, batch_rows_max=1, session_timeout_ms=10_000)
    broker.publish(order_events(made, "faults.held"))
    *_, held, _ = broker.log("trading.events")
    run = OurRun(TopicPartition(held.topic, held.partition, held.offset))
    try:
        hold = f"{held.topic}:{held.partition}:{held.offset}"
        worker.start([str(FAULTY)], TRADEWIRE_TEST_HOLD=hold)
        broker.publish(order_events(made, "faults.unfoldable", side="UNKNOWN"))
        broker.produce("trading.events", b"faults.junk", b"\x07junk", encode_headers(made.trade()))
        broker.publish(events := list(made.events(20, orders_share=0.2)))
        wait_until(
            lambda: broker.read_models() == broker.folded() and broker.behind("faults", [FILLS_TOPIC]) == 0,
            within_s=150,
            every_s=0.5,
            alive=worker.process.poll,
        )
        run.processed_before = {key for key, order in broker.read_models()["order"].items() if order["event_count"]}
        # A commit that came after all of it was done.
        broker.publish([trade := made.trade()])
        (at,) = [record for record in broker.log("market.events") if dict(record.headers)["ce_id"] == trade.id.encode()]
        wait_until(lambda: broker.committed("faults", at.topic, at.partition) > at.offset, within_s=150)
        run.committed_held = broker.committed("faults", held.topic, held.partition)
        with outputs_refused(broker, "readmodel.candle.v1"):
            broker.publish([refused := made.trade()])
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.left_with = worker.process.wait(150)
            (at,) = [
                record for record in broker.log("market.events") if dict(record.headers)["ce_id"] == refused.id.encode()
            ]
            run.committed_refused = (broker.committed("faults", at.topic, at.partition), at.offset)
        if run.left_with is None:
            worker.kill()
        shutil.rmtree(worker.folder)
        end_with_an_aborted_transaction(broker, "readmodel.order.v1")
        worker.start()
        broker.publish(made.events(20, orders_share=0.2))
        worker.wait_until_done()
        run.recovered = True
        run.letters = broker.log("deadletter.faults")
        assert events
    finally:
        if worker._process is not None and worker.process.poll() is None:
            worker.kill()
    yield run


class TestTheWorker:
    """The same faults; nothing is lost and nothing counts twice."""

    def test_f1_does_not_commit_past_a_record_in_work(self, ours: OurRun) -> None:
        assert "faults.held" in ours.processed_before
        assert ours.committed_held == ours.held_at.offset

    def test_f3_keeps_an_event_that_cannot_be_folded(self, own_broker: Broker, ours: OurRun) -> None:
        letters = {str(dict(letter.headers)["__dlq.errors.topic"]) for letter in ours.letters}
        assert str(b"positions.fills") in letters
        kept = {letter.value for letter in ours.letters}
        fills = [record for record in own_broker.log("positions.fills") if record.value in kept]
        assert len({record.value for record in fills}) == 2

    def test_f5_keeps_a_value_that_cannot_be_decoded(self, ours: OurRun) -> None:
        assert [letter.key for letter in ours.letters if letter.value == b"\x07junk"][:1] == [b"faults.junk"]

    def test_f6_ends_rather_than_commit_an_event_whose_output_was_refused(self, ours: OurRun) -> None:
        committed, offset = ours.committed_refused
        assert ours.left_with == EXIT_CRASHED
        assert committed <= offset

    def test_f10_f12_counts_once_after_a_crash_and_recovers_past_the_end_of_a_transaction(
        self, own_broker: Broker, ours: OurRun
    ) -> None:
        """The held record and all behind it in its partition were stored, not committed, and came again."""
        assert ours.recovered
        found, expected = own_broker.read_models(), own_broker.folded()
        for table in expected:
            assert expected[table] or table.endswith("_pattern"), table
            assert found[table] == expected[table], table


def test_f12_recovery_waits_for_ever_for_an_offset_that_is_no_record_and_with_the_watch_it_does_not(
    own_broker: Broker, tmp_path: Path
) -> None:
    """The same table twice; one of the two processes has ``RecoveryWatch`` beside it."""
    waiting = PlainFaust(own_broker, "waiting", tmp_path / "waiting")
    watched = PlainFaust(own_broker, "watched", tmp_path / "watched")
    try:
        for faust in (waiting, watched):
            faust.put("count", b"0", key=b"k")
            own_broker.produce(f"{faust.prefix}.counts-changelog", b"k", b"41", [])
            end_with_an_aborted_transaction(own_broker, f"{faust.prefix}.counts-changelog")
            faust.start("counts", guards=["recovery"] if faust is watched else [])
        # Before that it would be found outside of its group.
        wait_until(lambda: waiting.has_partitions("counts"), within_s=150, every_s=0.2, alive=waiting.process.poll)
        watch = GroupWatch(
            own_broker.settings.kafka, "waiting.counts", topics=["waiting.count"], rules=Rules(standing_ms_max=8_000)
        )
        standing = wait_until(watch.look, within_s=150, every_s=0.1, alive=waiting.process.poll)
        assert (standing.hang, list(standing.places)) == (Hang.WORKER, [("waiting.count", 0)])
        watched.wait_until_said("done", "count", "0")
        wait_until(lambda: own_broker.log("watched.counts-changelog")[-1].value == b"42", within_s=150, every_s=0.1)
        assert waiting.said("done", "count") == []
    finally:
        for faust in (waiting, watched):
            faust.kill()


def test_f17_a_broken_connection_stops_plain_faust_for_good_and_the_mended_one_goes_on(
    own_broker: Broker, tmp_path: Path
) -> None:
    """Connections that end in the moment in which metadata are asked for, then a broker that is killed and comes back.

    The watch from outside sees the one that hangs; started again, it goes on where it stood.
    """
    hung = PlainFaust(own_broker, "torn", tmp_path / "torn")
    mended = PlainFaust(own_broker, "mended", tmp_path / "mended")
    both = (hung, mended)
    try:
        hung.start("events", uvloop=True)
        mended.start("events", uvloop=True, guards=["connections"])
        for faust in both:
            faust.put("raise", b"0")
        for faust in both:
            faust.wait_until_said("done", "raise", "0")
            wait_until(lambda: faust.committed("raise") == 1, within_s=150, every_s=0.1)  # noqa: B023
            faust.process.send_signal(signal.SIGUSR1)
            faust.put("raise", b"1")
            faust.wait_until_said("done", "raise", "1")
            wait_until(lambda: faust.committed("raise") == 2, within_s=150, every_s=0.1)  # noqa: B023
        own_broker.kafka.kill()
        own_broker.kafka.start(timeout_s=150)
        for faust in both:
            faust.put("raise", b"2")
        watch = GroupWatch(
            own_broker.settings.kafka, "torn.events", topics=["torn.raise"], rules=Rules(standing_ms_max=5_000)
        )
        mended.wait_until_said("done", "raise", "2")
        standing = wait_until(watch.look, within_s=150, every_s=0.1, alive=hung.process.poll)
        # It may still read, outside of its group; it never commits again.
        assert standing.hang in (Hang.WORKER, Hang.OUTSIDE)
        assert hung.committed("raise") == 2
        hung.kill()
        hung.start("events", uvloop=True)
        hung.wait_until_said("done", "raise", "2")
        wait_until(lambda: hung.committed("raise") == 3, within_s=150, every_s=0.1)
    finally:
        for faust in both:
            faust.kill()

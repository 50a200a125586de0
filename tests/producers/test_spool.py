"""The spool against real brokers and real deaths: what was accepted arrives once and in order per subject."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.needs import java_or_skip
from tests.producers.records import Reader, headers_of
from tests.producers.spooling_service import SUBJECTS
from tests.producers.spooling_service import TRADE as TRADE_DATA
from tests.waiting import wait_until

from tradewire.core import Settings, correlation, load_settings, new_id
from tradewire.core.failpoints import EXIT_CODE
from tradewire.core.settings import KafkaSettings
from tradewire.operations.stack.cluster import LocalKafka, local_kafka
from tradewire.producers import (
    AsyncPublisher,
    BreakerState,
    DeliveryUnknown,
    LeftInSpool,
    Publisher,
    PublisherClosed,
    SpoolFull,
    SpoolUnusable,
)
from tradewire.producers.spool import Spool
from tradewire.schemas import Contract, Event, FixedIds, TopicAdmin

REPO = Path(__file__).resolve().parents[2]
TRADE = "market.trade.reported"
ALERT = "risk.alert.raised"
ALERT_DATA = {"alert_id": "a", "rule": "r", "message": "m"}
NOWHERE = "127.0.0.1:9"


def spooling(bootstrap: str, folder: Path, **limits: Any) -> Publisher:
    """A publisher with a spool that notices an outage soon."""
    settings = load_settings(
        kafka={"bootstrap_servers": bootstrap},
        publisher={"spool_folder": folder, "breaker_stall_ms": 1_000, "breaker_probe_ms": 100} | limits,
    )
    return Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))


def publish_numbers(publisher: Publisher, run: str, numbers: range) -> None:
    """The events of ``spooling_service``, from here."""
    for number in numbers:
        publisher.publish(TRADE, TRADE_DATA, subject=f"{run}:{number % SUBJECTS}", sequence=number)


class Service:
    """``spooling_service`` in a process."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.run = folder, run
        self.account = folder / "accepted"

    def start(
        self, bootstrap: str, then: str, *, first: int = 0, count: int = 0, pace: int = 100_000, failpoint: str = ""
    ) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWIRE_")}
        arguments = [bootstrap, str(self.folder / "spool"), str(self.account), self.run, first, count, pace, then]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.producers.spooling_service", *map(str, arguments)],
            env=environment | ({"TRADEWIRE_FAILPOINT": failpoint} if failpoint else {}),
            cwd=REPO, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finish(self, bootstrap: str, then: str, **more: Any) -> str:
        """Runs it to its end and returns what it said."""
        service = self.start(bootstrap, then, **more)
        said, _ = service.communicate(timeout=150)
        assert service.returncode == (EXIT_CODE if more.get("failpoint") else 0), said
        return said.splitlines()[-1] if said else ""

    @property
    def accepted(self) -> int:
        return int(self.account.read_bytes() or b"0") if self.account.exists() else 0


def arrived(reader: Reader, before: dict[int, int], run: str) -> dict[str, list[int]]:
    """The numbers of the run's events by subject, in the order of the partition, repeated ones included."""
    seen: dict[str, list[int]] = {}
    for message in reader.since("market.events", before):
        key = bytes(message.key() or b"").decode()  # type: ignore[arg-type]
        if key.startswith(run):
            seen.setdefault(key, []).append(int(headers_of(message)["ce_sequence"]))
    return seen


def once_in_order(run: str, count: int) -> dict[str, list[int]]:
    """What ``arrived`` must give for ``count`` events."""
    return {f"{run}:{subject}": list(range(subject, count, SUBJECTS)) for subject in range(min(SUBJECTS, count))}


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker of these tests' own, to be killed, with topics for trades and warnings; it runs when a test ends."""
    java_or_skip()
    with local_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        settings = load_settings(kafka={"bootstrap_servers": kafka.bootstrap_servers})
        topics = Contract.load(settings, schema_ids=FixedIds()).topics
        TopicAdmin(settings.kafka).ensure({name: topics[name] for name in ("market.events", "system.events")})
        yield kafka


# The name of a step of the protocol, and how often it is reached before the process dies there. The rows are 600.
GAPS = ["spool.based", "spool.handed:300", "spool.confirmed", "spool.deleted"]
GAPS += [pytest.param(gap, marks=pytest.mark.long) for gap in ("spool.handed:600", "spool.confirmed:2")]


@pytest.mark.chaos
@pytest.mark.parametrize("gap", GAPS)
def test_a_crash_at_any_step_of_the_drain_neither_loses_nor_doubles(
    settings: Settings, reader: Reader, tmp_path: Path, gap: str
) -> None:
    """A process fills the spool, a second dies at the named step while it drains, a third finishes."""
    run, before = new_id(), reader.ends("market.events")
    bootstrap = settings.kafka.bootstrap_servers
    early = spooling(NOWHERE, tmp_path / "spool")
    if gap == "spool.based":
        # Events that were never with librdkafka have no base yet: another topic's opens the breaker before them.
        early.publish("system.component.started", {"component": "x"}, subject=run)
        wait_until(lambda: early.breaker_state == "open", within_s=30)
    publish_numbers(early, run, range(600))
    assert early.close(0).in_spool >= 600

    Service(tmp_path, run).finish(bootstrap, "drain", failpoint=gap)

    with spooling(bootstrap, tmp_path / "spool") as late:
        publish_numbers(late, run, range(600, 650))
        assert late.flush(90) == 0
    assert late.outcome.in_spool == 0
    assert arrived(reader, before, run) == once_in_order(run, 650)


@pytest.mark.chaos
def test_a_crash_right_after_the_row_leaves_the_event(settings: Settings, reader: Reader, tmp_path: Path) -> None:
    """An event on disk arrives, though ``publish`` had not returned when the process died."""
    run, before = new_id(), reader.ends("market.events")
    service = Service(tmp_path, run)
    early = spooling(NOWHERE, tmp_path / "spool")
    publish_numbers(early, run, range(40))
    early.close(0)

    service.finish(NOWHERE, "leave", first=40, count=60, failpoint="spool.accepted:30")

    assert service.accepted == 40 + 29
    with spooling(settings.kafka.bootstrap_servers, tmp_path / "spool") as late:
        assert late.flush(60) == 0
    assert arrived(reader, before, run) == once_in_order(run, 70)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("down_for", [10.0, pytest.param(30.0, marks=pytest.mark.long)])
def test_seconds_without_a_broker_cost_no_event_and_no_order(
    own_kafka: LocalKafka, tmp_path: Path, trade: dict[str, Any], down_for: float
) -> None:
    """Broker killed for so long at 5,000 events a second: each once, in order, and publish never fails."""
    publisher = spooling(own_kafka.bootstrap_servers, tmp_path / "spool")
    reader = Reader(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers))
    before, warned = reader.ends("market.events"), reader.ends("system.events")
    run, number, pace = new_id(), 0, 5_000
    began, states = time.monotonic(), set()
    killed_at = 2.0
    starting = None
    calm_from = killed_at + down_for + 6
    while (now := time.monotonic() - began) < calm_from or publisher.breaker_state != "closed":
        if now > killed_at and starting is None:
            own_kafka.kill()
            starting = False
        if starting is False and now > killed_at + down_for:
            for node in own_kafka.nodes.values():
                node.launch()
            starting = True
        # At most what is due in a tenth of a second, so that a slow machine sees the time pass; and when the broker has
        # been back for a while only a trickle, so that it gets done.
        due = pace * min(now, calm_from) + pace // 10 * max(0.0, now - calm_from)
        for _ in range(min(pace // 10, int(due) - number)):
            publisher.publish(TRADE, trade, subject=f"{run}:{number % SUBJECTS}", sequence=number)
            number += 1
        states.add(publisher.breaker_state)
        time.sleep(0.001)
        assert now < 300
    outcome = publisher.close(60)

    assert (outcome.published, outcome.unknown, outcome.in_spool) == (number, 0, 0)
    assert states == set(BreakerState)
    assert arrived(reader, before, run) == once_in_order(run, number)
    warnings = [headers_of(message)["ce_type"] for message in reader.since("system.events", warned)]
    assert warnings
    assert set(warnings) == {b"system.warning.raised"}
    reader.close()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("outage", ["killed", pytest.param("hung", marks=pytest.mark.long)])
def test_a_service_killed_with_a_full_spool_loses_nothing(own_kafka: LocalKafka, tmp_path: Path, outage: str) -> None:
    """Broker gone, then the service too by kill -9; both come back: every accepted event once, in order per subject."""
    reader = Reader(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers))
    run, before = new_id(), reader.ends("market.events")
    service = Service(tmp_path, run)
    process = service.start(own_kafka.bootstrap_servers, "hold", count=8_000, pace=2_000)
    wait_until(lambda: service.accepted > 1_500, within_s=60, alive=process.poll)
    if outage == "killed":
        own_kafka.kill()
    else:
        for node in own_kafka.nodes.values():
            node.pause()
    assert process.stdout is not None
    assert any(line.startswith("spooled") for line in process.stdout)
    process.kill()
    process.wait()
    process.stdout.close()

    for node in own_kafka.nodes.values():
        node.resume()
    own_kafka.start()
    assert service.finish(own_kafka.bootstrap_servers, "drain", first=8_000, count=100) == "closed 0 0 0"
    assert arrived(reader, before, run) == once_in_order(run, 8_100)
    reader.close()


@pytest.mark.slow
@pytest.mark.chaos
def test_every_way_to_publish_goes_by_the_spool(own_kafka: LocalKafka, tmp_path: Path) -> None:
    """``publish_many``, ``publish_columns``, ``publish_event``, and alerts in their lane: each once and in order.

    Columns keep their row numbers at SpoolFull's place as at QueueFull's; what was accepted before it arrives.
    """
    publisher = spooling(own_kafka.bootstrap_servers, tmp_path / "spool", spool_bytes_max=4 * 1024 * 1024)
    kafka = KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers)
    TopicAdmin(kafka).ensure({"risk.events": publisher.contract.topics["risk.events"]})
    reader = Reader(kafka)
    before, alerted = reader.ends("market.events"), reader.ends("risk.events")
    run = new_id()
    publisher.prepare(ALERT, TRADE)
    publisher.publish(ALERT, ALERT_DATA, subject=run, sequence=0).result(60)
    own_kafka.kill()
    alerts = [publisher.publish(ALERT, ALERT_DATA, subject=run, sequence=number) for number in range(1, 50)]
    wait_until(lambda: publisher.breaker_state == "open", within_s=30)
    alerts += [publisher.publish(ALERT, ALERT_DATA, subject=run, sequence=number) for number in range(50, 100)]
    many = [
        Event(
            id=new_id(), type=TRADE, data=TRADE_DATA, source="x", subject=f"{run}:{number % SUBJECTS}", time_ns=1,
            correlation_id="x", sequence=number,
        )
        for number in range(700)
    ]  # fmt: skip
    assert publisher.publish_many(many[:350]) == 350
    for event in many[350:]:
        publisher.publish_event(event)
    columns: dict[str, Any] = {name: [value] * 20_000 for name, value in TRADE_DATA.items()}
    columns["trade_id"] = [str(row) for row in range(20_000)]
    with pytest.raises(SpoolFull) as full:
        publisher.publish_columns(TRADE, columns, subject=[f"{run}:columns"] * 20_000)
    taken = int(str(full.value.context["row"]))
    assert 0 < taken < 20_000

    own_kafka.start()
    wait_until(lambda: publisher.breaker_state == "closed" and not publisher.pending, within_s=90)
    while taken < 20_000:
        try:
            taken += publisher.publish_columns(TRADE, columns, first_row=taken, subject=[f"{run}:columns"] * 20_000)
        except SpoolFull as again:  # a broker that has just started may stand still for a second
            taken = int(str(again.context["row"]))
            wait_until(lambda: publisher.breaker_state == "closed" and not publisher.pending, within_s=90)
    assert publisher.flush(60) == 0
    outcome = publisher.close(60)

    assert (taken, outcome.unknown, outcome.in_spool) == (20_000, 0, 0)
    assert sorted(handle.result(0).offset for handle in alerts) == [handle.result(0).offset for handle in alerts]
    by_key: dict[str, list[str]] = {}
    for message in reader.since("market.events", before):
        key = bytes(message.key() or b"").decode()  # type: ignore[arg-type]
        headers = headers_of(message)
        if key == f"{run}:columns":
            data = publisher.contract.codec.decode(bytes(message.value() or b""))  # type: ignore[arg-type]
            by_key.setdefault(key, []).append(str(int(data.data["trade_id"])))
        elif key.startswith(run):
            by_key.setdefault(key, []).append(str(int(headers["ce_sequence"])))
    found = [int(headers_of(message)["ce_sequence"]) for message in reader.since("risk.events", alerted)]
    reader.close()
    assert found == list(range(100))
    assert by_key.pop(f"{run}:columns") == [str(row) for row in range(20_000)]
    assert by_key == {
        f"{run}:{subject}": [str(number) for number in range(subject, 700, SUBJECTS)] for subject in range(SUBJECTS)
    }


def test_a_full_spool_refuses_and_drops_nothing(tmp_path: Path, trade: dict[str, Any]) -> None:
    """SpoolFull names the setting; the event is not counted, and those on disk stay."""
    publisher = spooling(NOWHERE, tmp_path, spool_bytes_max=1024 * 1024)
    wait_until(lambda: publisher.publish(TRADE, trade, subject="x") and publisher.breaker_state == "open", within_s=30)
    publisher.publish(TRADE, trade, subject="x")

    with pytest.raises(SpoolFull, match="spool_bytes_max") as full:
        for _ in range(10_000):
            publisher.publish(TRADE, trade, subject="x", tags={"big": "x" * 2_000})

    assert full.value.retriable
    published = publisher.outcome.published
    assert publisher.spool is not None
    wait_until(lambda: publisher.spool.unprotected == 0)
    outcome = publisher.close(0)
    assert (outcome.published, outcome.unknown, outcome.in_spool) == (published, 0, published)


def test_a_full_disk_refuses_drops_nothing_and_goes_on_when_there_is_room(
    settings: Settings, reader: Reader, tmp_path: Path
) -> None:
    """SpoolFull quotes the disk's error; every accepted event, before and after, arrives once and in order.

    The disk is full for one process by its limit of file size.
    """
    run, before = new_id(), reader.ends("market.events")
    script = f"""
        import resource
        from pathlib import Path
        from tests.producers.test_spool import *
        publisher = spooling(NOWHERE, Path({str(tmp_path)!r}))
        publish_numbers(publisher, {run!r}, range(1))
        wait_until(lambda: publisher.breaker_state == "open" and not publisher.spool.unprotected, within_s=60)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        number, refused = 1, []
        for _ in range(5_000):
            try:
                publish_numbers(publisher, {run!r}, range(number, number + 1))
                number += 1
            except SpoolFull as error:
                refused.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        publish_numbers(publisher, {run!r}, range(number, number + 10))
        outcome = publisher.close(0)
        print(number + 10, outcome.in_spool, outcome.unknown, len(refused), refused[0])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=REPO, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    accepted, in_spool, unknown, refused, said = done.stdout.splitlines()[-1].split(maxsplit=4)

    assert (accepted, "0") == (in_spool, unknown)
    assert int(refused) > 0
    assert "spool.sqlite: " in said
    with spooling(settings.kafka.bootstrap_servers, tmp_path) as late:
        assert late.flush(60) == 0
    assert arrived(reader, before, run) == once_in_order(run, int(accepted))


def test_a_handle_says_that_its_event_is_in_the_spool(tmp_path: Path, trade: dict[str, Any]) -> None:
    """Held by librdkafka or on disk already, at close the handle raises LeftInSpool, which is not to be retried."""
    publisher = spooling(NOWHERE, tmp_path)
    deliveries = [publisher.publish(TRADE, trade, subject="x")]
    wait_until(lambda: publisher.breaker_state == "open", within_s=30)
    deliveries.append(publisher.publish(TRADE, trade, subject="x"))

    began = time.monotonic()
    outcome = publisher.close()

    assert time.monotonic() - began < 60  # and not the 120 s of the delivery timeout
    assert (outcome.unknown, outcome.in_spool) == (0, 2)
    for delivery in deliveries:
        with pytest.raises(LeftInSpool, match=delivery.event_id) as left:
            delivery.result(0)
        assert not left.value.retriable
    with pytest.raises(PublisherClosed):
        publisher.publish(TRADE, trade, subject="x")


async def test_coroutines_have_the_spool_too(settings: Settings, reader: Reader, tmp_path: Path) -> None:
    """What was accepted without a broker is delivered by the next publisher, and the loop never stood still."""
    run, before = new_id(), reader.ends("market.events")

    def made(bootstrap: str) -> AsyncPublisher:
        own = load_settings(
            kafka={"bootstrap_servers": bootstrap}, publisher={"spool_folder": tmp_path, "breaker_probe_ms": 100}
        )
        return AsyncPublisher(own, Contract.load(own, schema_ids=FixedIds()))

    early = made(NOWHERE)
    for number in range(300):
        await early.publish(TRADE, TRADE_DATA, subject=f"{run}:{number % SUBJECTS}", sequence=number)
        if number == 100:
            await asyncio.to_thread(wait_until, lambda: early.breaker_state == "open", within_s=30)
    assert (await early.close(0)).in_spool == 300

    async with made(settings.kafka.bootstrap_servers) as late:
        assert await late.flush(60) == 0

    assert arrived(reader, before, run) == once_in_order(run, 300)


async def test_a_slow_disk_holds_up_the_task_and_not_the_loop(
    settings: Settings, reader: Reader, tmp_path: Path
) -> None:
    """While the disk takes its time the loop runs on; tasks keep their order and their flow."""
    run, before = new_id(), reader.ends("market.events")
    own = load_settings(
        kafka={"bootstrap_servers": NOWHERE}, publisher={"spool_folder": tmp_path, "breaker_probe_ms": 100}
    )
    early = AsyncPublisher(own, Contract.load(own, schema_ids=FixedIds()))
    await early.publish(TRADE, TRADE_DATA, subject=run, sequence=0)
    await asyncio.to_thread(wait_until, lambda: early.breaker_state == "open", within_s=30)
    spool = early._publisher.spool
    assert spool is not None

    async def publish(number: int) -> None:
        with correlation(f"flow-{number}"):
            await early.publish(TRADE, TRADE_DATA, subject=run, sequence=number)

    with spool._disk:  # as an fsync that does not come back
        waiting = [asyncio.create_task(publish(number)) for number in range(1, 50)]
        for _ in range(300):  # a loop that is held up does not come to the second turn
            await asyncio.sleep(0.001)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert (await early.close(0)).in_spool == 50
    with pytest.raises(PublisherClosed):
        await early.publish(TRADE, TRADE_DATA, subject=run)

    with spooling(settings.kafka.bootstrap_servers, tmp_path) as late:
        assert late.flush(60) == 0
    found = [headers_of(message) for message in reader.since("market.events", before) if message.key() == run.encode()]
    assert [int(headers["ce_sequence"]) for headers in found] == list(range(50))
    assert {headers["ce_correlationid"] for headers in found[1:]} == {f"flow-{n}".encode() for n in range(1, 50)}


def test_what_fails_while_it_is_copied_to_disk_is_copied_all_the_same(tmp_path: Path, trade: dict[str, Any]) -> None:
    """A report of an error that may pass, between the number and the row, leaves the event in the spool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spool, "copy", lambda _spool: None)
        publisher = spooling(NOWHERE, tmp_path)
        delivery = publisher.publish(TRADE, trade, subject="x")
        wait_until(lambda: publisher.breaker_state == "open", within_s=30)
        spool = publisher.spool
        assert spool is not None
        (held,) = spool._copying
        for lane in publisher._lanes.values():
            lane.producer.purge(in_queue=True, in_flight=True, blocking=True)
        with pytest.raises(LeftInSpool):
            delivery.result(30)
        assert (held.seq, spool.rows) == (1, 0)
    assert publisher.close(0).in_spool == 1


def test_a_forked_child_leaves_the_spool_to_its_parent(tmp_path: Path) -> None:
    """The child is refused and ends; the parent goes on, and after its death nobody holds the folder."""
    script = f"""
        import os, sys, time
        from pathlib import Path
        from tests.producers.test_spool import NOWHERE, TRADE, TRADE_DATA, spooling
        from tradewire.producers import PublisherForked
        publisher = spooling(NOWHERE, Path({str(tmp_path)!r}))
        publisher.publish(TRADE, TRADE_DATA, subject="x")
        while publisher.breaker_state != "open":
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            try:
                publisher.publish(TRADE, TRADE_DATA, subject="x")
            except PublisherForked:
                print("refused", flush=True)
            time.sleep(1)
            sys.exit(0)
        publisher.publish(TRADE, TRADE_DATA, subject="x")
        os.waitpid(child, 0)
        publisher.publish(TRADE, TRADE_DATA, subject="x")
        print("in spool", publisher.close(0).in_spool, flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )

    assert "refused" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "in spool 3"
    spooling(NOWHERE, tmp_path).close(0)


def test_a_spool_belongs_to_one_publisher(tmp_path: Path) -> None:
    """The second one is refused with the number of the process that has it; after a close it may have it."""
    publisher = spooling(NOWHERE, tmp_path)
    with pytest.raises(SpoolUnusable, match=f"in use by process {os.getpid()}"):
        spooling(NOWHERE, tmp_path)
    publisher.close(0)

    spooling(NOWHERE, tmp_path).close(0)


def test_a_damaged_spool_is_refused_and_kept(tmp_path: Path) -> None:
    """A file that is no database is not overwritten."""
    (tmp_path / "spool.sqlite").write_bytes(b"not a database" * 1_000)

    with pytest.raises(SpoolUnusable, match="move it away and keep it"):
        spooling(NOWHERE, tmp_path)

    assert (tmp_path / "spool.sqlite").read_bytes().startswith(b"not a database")


def test_a_handle_of_a_spooled_event_gets_its_position(
    settings: Settings, reader: Reader, tmp_path: Path, trade: dict[str, Any]
) -> None:
    """Events accepted while a start finds old rows wait behind them, and their handles are settled by the drain."""
    run = new_id()
    early = spooling(NOWHERE, tmp_path)
    early.publish(TRADE, trade, subject=run, sequence=0)
    assert early.close(0).in_spool == 1

    with spooling(settings.kafka.bootstrap_servers, tmp_path) as publisher:
        position = publisher.publish(TRADE, trade, subject=run, sequence=1).result(60)
        second = publisher.publish(TRADE, trade, subject=run, sequence=2).result(60)

    found = reader.stretch("market.events", position.partition, 0, second.offset + 1)
    numbers = [int(headers_of(message)["ce_sequence"]) for message in found if message.key() == run.encode()]
    assert numbers == [0, 1, 2]


def test_an_event_that_kafka_refuses_does_not_hold_up_the_spool(
    settings: Settings, tmp_path: Path, trade: dict[str, Any]
) -> None:
    """It is set aside with the reason, its handle raises, and what lies behind it arrives."""
    early = spooling(NOWHERE, tmp_path, event_bytes_max=4_000_000, compression="none")
    early.publish("setup.message.received", {
        "message_id": "1", "channel_id": "1", "author": "a", "posted_ns": 1,
        "content": "".join(new_id() for _ in range(60_000)),
    }, subject="1")  # fmt: skip
    early.publish(TRADE, trade, subject="x")
    assert early.close(0).in_spool == 2

    publisher = spooling(settings.kafka.bootstrap_servers, tmp_path, event_bytes_max=4_000_000, compression="none")
    assert publisher.flush(60) == 0
    outcome = publisher.close(10)

    assert (outcome.unknown, outcome.in_spool) == (1, 0)


def test_without_a_spool_an_outage_is_still_noticed(trade: dict[str, Any]) -> None:
    """The breaker opens and publishing goes on into the queue, as before."""
    settings = load_settings(kafka={"bootstrap_servers": NOWHERE}, publisher={"breaker_stall_ms": 200})
    publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))
    delivery = publisher.publish(TRADE, trade, subject="x")

    wait_until(lambda: publisher.breaker_state == "open", within_s=30)

    publisher.publish(TRADE, trade, subject="x")
    wait_until(lambda: publisher.pending == 2)
    publisher.close(0)
    with pytest.raises(DeliveryUnknown):
        delivery.result(0)

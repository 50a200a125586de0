"""Everything that runs beside each other under faults, the faults, and what is true when they have ended.

Broker, registry and engine are real and the stack's own; services reach broker and registry through links that can be
cut. Whoever ends without having been killed is started again, as a supervisor does, and counted.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from tests.network import Link, cuttable_kafka
from tests.operations.chaos_parts import Engine, Part
from tests.operations.chaos_schedule import Fault, steps
from tests.operations.chaos_service import EVENTS_MAX, HANDLED, accounted, prefix_of, workload
from tests.operations.chaos_verdict import anomalies
from tests.processors.running import CONSUMED, Broker
from tests.processors.subscribing import Account
from tests.waiting import wait_until

from tradewire.core import KafkaUnavailable, Settings, load_settings
from tradewire.operations.setup import apply_contract
from tradewire.operations.stack import free_ports
from tradewire.processors.group_watch import GroupWatch
from tradewire.processors.liveness import read_membership, read_progress
from tradewire.processors.watchdog import Rules
from tradewire.sinks.audit import Auditor, AuditRange
from tradewire.sinks.positions import SinkPositions
from tradewire.sinks.sink import sink_topics

GROUP = "chaos"
STORED = ("market.events", "trading.events")
_SESSION_MS, _SUBSCRIBER_SESSION_MS = 6_000, 3_000


class ChaosStack:
    """The parts. One stack serves seed after seed, as long as they end well."""

    def __init__(self, broker: Broker, engine: Engine, settings: Settings, links: Mapping[str, Link], folder: Path):
        self.broker, self.engine, self.settings, self.links, self.folder = broker, engine, settings, links, folder
        self.parts: dict[str, Part] = {}
        self.infos: set[int] = set()
        self.account = Account(folder / "account.db")
        registry = settings.registry.url.replace(settings.registry.url.split("/")[2], links["registry"].address)
        common = {
            "KAFKA__BOOTSTRAP_SERVERS": links["network"].address,
            "REGISTRY__URL": registry,
            "REGISTRY__ARCHIVE_FOLDER": str(settings.registry.archive_folder),
            "CLICKHOUSE__PORT": str(engine.port),
            "SINK__GROUP": settings.sink.group,
            "SINK__BATCH_ROWS_MAX": "500",
            "SINK__BATCH_AGE_MS_MAX": "200",
            "WORKER__GROUP": GROUP,
            "WORKER__BATCH_ROWS_MAX": "100",
            "WORKER__SESSION_TIMEOUT_MS": str(_SESSION_MS),
            # No deadline of a flow ends: what the worker writes is a fold of the log alone.
            "WORKER__DEADLINE_GRACE_MS": "3600000",
            "SUBSCRIBER__SESSION_TIMEOUT_MS": str(_SUBSCRIBER_SESSION_MS),
            "SUBSCRIBER__RETRY_BASE_MS": "10",
            "SUBSCRIBER__CONCURRENCY": "1",
            "PUBLISHER__BREAKER_STALL_MS": "1000",
            "PUBLISHER__BREAKER_PROBE_MS": "100",
            "LOG__FORMAT": "json",
        }
        self._environment = {f"TRADEWIRE_{name}": value for name, value in common.items()}

    def start(self) -> None:
        """All but the publisher, which each seed has for itself."""
        for number in (1, 2):
            self._add(
                f"worker-{number}", "tradewire.processors.worker", WORKER__DATA_FOLDER=self._worker_folder(number)
            )
            # Static members keep their partitions until their session ends; who comes for seconds is not one.
            static = number == 1
            named = ("--instance-id", "sink-1") if static else ()
            self._add(f"sink-{number}", "tradewire.sinks.worker", *named, "--session-timeout-ms", str(_SESSION_MS))
            service = ("tests.operations.chaos_service", "subscribe", str(self.folder), f"{GROUP}.subscriber")
            self._add(f"subscriber-{number}", *service, "static" if static else "passing")
        for name in ("worker-1", "sink-1", "subscriber-1"):
            self.parts[name].start()

    def _add(self, name: str, *command: str, **more: object) -> Part:
        values = self._environment | {f"TRADEWIRE_{key}": str(value) for key, value in more.items()}
        self.parts[name] = Part(name, command, values, self.folder)
        return self.parts[name]

    def _worker_folder(self, number: int) -> Path:
        return self.folder / f"worker-{number}"

    def publish(self, seed: int) -> None:
        """A publisher of the seed's events begins; returns when every part works."""
        self.infos = set()
        for part in self.parts.values():
            part.restarts = 0
        self._published = self.folder / f"publisher-{seed}"
        self._published.mkdir()
        command = ("tests.operations.chaos_service", "publish", str(self._published), str(seed))
        self._add("publisher", *command, PUBLISHER__SPOOL_FOLDER=self._published / "spool").start()
        wait_until(self._is_warm, within_s=240, every_s=0.1)

    def _is_warm(self) -> bool:
        """Every part works."""
        self.look()
        assigned = ("assigned" in self.parts[name].log_file.read_text() for name in ("sink-1", "subscriber-1"))
        return all(assigned) and accounted(self._published)[1] > 20 and bool(read_progress(self._worker_folder(1)))

    def look(self) -> None:
        for part in self.parts.values():
            part.look()

    def suffer(self, faults: Sequence[Fault]) -> None:
        """Makes the faults when they are due, and ends them; returns when the last one has ended."""
        todo, began = steps(faults), time.monotonic()
        while todo:
            at, fault, begins = todo[0]

            def due(at: float = at) -> bool:
                self.look()
                return time.monotonic() - began >= at

            wait_until(due, within_s=at + 60)
            todo.pop(0)
            print(f"{time.monotonic() - began:6.2f} s {fault.name} {'begins' if begins else 'ends'}")
            self._do(fault, begins)

    def _do(self, fault: Fault, begins: bool) -> None:
        if fault.part == "broker":
            self._broker(fault.what, begins)
        elif fault.part == "engine":
            self._engine(fault.what, begins)
        elif fault.part in self.links:
            self._link(self.links[fault.part], fault.what, begins)
        else:
            self._process(fault.part, fault.what, begins)

    def _broker(self, what: str, begins: bool) -> None:
        for node in self.broker.kafka.nodes.values():
            if what == "killed":
                node.kill() if begins else node.launch()
            else:
                node.pause() if begins else node.resume()

    def _engine(self, what: str, begins: bool) -> None:
        if what == "killed":
            self.engine.child.kill() if begins else self.engine.start()
        else:
            self.engine.child.signal(signal.SIGSTOP if begins else signal.SIGCONT)

    def _link(self, link: Link, what: str, begins: bool) -> None:
        if not begins:
            link.slow(0)
            link.mend()
        elif what == "slow":
            link.slow(0.15)
        elif what == "reset":
            link.mend(forget=True)
        else:
            link.cut(replies_only=what == "deaf")

    def _process(self, name: str, what: str, begins: bool) -> None:
        if what == "joined":
            other = self.parts[f"{name}-2"]
            other.start() if begins else other.leave()
            return
        part = self.parts[name if name == "publisher" else f"{name}-1"]
        if what == "killed":
            part.kill() if begins else part.start()
            if begins and name == "publisher":
                safe, begun = accounted(self._published)
                # It may have reached Kafka, and may not: nobody was told either.
                self.infos.update(range(safe, begun + 1))
        elif not begins:
            part.wake()
        elif name == "subscriber" and not part.ended:
            # While the test has SQLite's only lock: else the one that hangs might have it, and hold up all others.
            self.account.connection.execute("BEGIN IMMEDIATE")
            part.hang()
            wait_until(lambda: _stands(part.child.pid))
            self.account.connection.execute("ROLLBACK")
        else:
            part.hang()

    def calm(self) -> None:
        """Ends the load, and waits until everything has been worked off."""
        began = time.monotonic()
        self.broker.kafka.start(timeout_s=90)
        self.engine.wait_ready()
        # One that was just started again knows no SIGTERM until it publishes.
        begun = accounted(self._published)[1]
        wait_until(lambda: self.look() or accounted(self._published)[1] > begun, within_s=90)
        leaving = [part for name, part in self.parts.items() if part.ran and not name.endswith("-1")]
        for part in leaving:
            part.leave()
        for part in leaving:
            wait_until(lambda: self.look() or part.ended, within_s=240)  # noqa: B023
            print(f"{part.name} left after {time.monotonic() - began:.1f} s")
        publisher = self.parts["publisher"].child
        assert publisher.poll() == 0, publisher.log_tail(30)
        watch = GroupWatch(
            self.settings.kafka, GROUP, folder=self._worker_folder(1), rules=Rules(standing_ms_max=15_000)
        )
        for what in (self._worker_is_done, self._subscriber_is_done, self._sink_is_done):
            wait_until(lambda: self._watched(watch) or _answered(what), within_s=240, every_s=0.25)  # noqa: B023
            print(f"{what.__name__.strip('_')} after {time.monotonic() - began:.1f} s")

    def _watched(self, watch: GroupWatch) -> None:
        """What whoever runs the parts does: starts what has ended, ends a worker that hangs."""
        self.look()
        if hang := watch.look():
            print(f"the watchdog ends the worker: {hang.hang.value}, after {hang.stood_ms} ms")
            self.parts["worker-1"].kill()
            self.parts["worker-1"].start()
            watch.restarted(hang)

    def _worker_is_done(self) -> bool:
        member = read_membership(self._worker_folder(1))
        return member is not None and self.broker.behind(GROUP, set(member.topics) & set(CONSUMED)) == 0

    def _subscriber_is_done(self) -> bool:
        return self.broker.behind(f"{GROUP}.subscriber", ["trading.events"]) == 0

    def _sink_is_done(self) -> bool:
        return all(place.behind == 0 for place in SinkPositions.of(self.settings).read(self._topics()))

    def _topics(self) -> list[str]:
        return sink_topics(list(self.broker.contract.topics.values()))

    def assert_nothing_is_lost_or_doubled(self, seed: int) -> None:
        """What was published is in the log once and in order; log, read models, effects and history say the same."""
        log = self.broker.log(*STORED)
        self._assert_published(seed, log)
        found, expected = self.broker.read_models(), self.broker.folded()
        for table in expected:
            assert expected[table] == found[table], table
        self._assert_handled(log)
        report = Auditor(self.settings, self.broker.contract).run(AuditRange(self._topics()))
        assert report.equal, [partition for partition in report.to_json()["partitions"] if partition["findings"]]
        assert len(log) == sum(partition.rows for partition in report.partitions if partition.topic in STORED)

    def _assert_published(self, seed: int, log: Sequence[Any]) -> None:
        _, begun = accounted(self._published)
        assert begun < EVENTS_MAX - 1_000
        sent = {event.id: number for number, event in zip(range(begun + 1), workload(seed), strict=False)}
        found: dict[bytes, list[int]] = defaultdict(list)
        for record in log:
            if record.key is not None and prefix_of(seed).encode() in record.key:
                found[record.key].append(sent.get(_header(record.headers, "ce_id"), -1))
        assert {} == anomalies(found, range(begun + 1), self.infos)

    def _assert_handled(self, log: Sequence[Any]) -> None:
        """Each event of an order had its effect once, and was handled first in the order of its key."""
        ordered: dict[str, list[str]] = defaultdict(list)
        for record in log:
            if _header(record.headers, "ce_type").startswith(HANDLED.removesuffix("*")):
                ordered[(record.key or b"").decode()].append(_header(record.headers, "ce_id"))
        assert {id: 1 for ids in ordered.values() for id in ids} == dict(self.account.effects())
        handled: dict[str, dict[str, None]] = defaultdict(dict)
        for _, key, id in self.account.calls():
            handled[key].setdefault(id)
        assert ordered == {key: list(ids) for key, ids in handled.items()}

    def close(self) -> None:
        for part in self.parts.values():
            if part.ran:
                part.child.kill()
        self.account.connection.close()


def _answered(what: Callable[[], bool]) -> bool:
    """False while the broker cannot tell."""
    try:
        return what()
    except (KafkaException, KafkaUnavailable):
        return False


def _stands(pid: int) -> bool:
    """Whether SIGSTOP holds the process."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "TZ"


def _header(headers: Sequence[tuple[str, bytes | None]], name: str) -> str:
    return next((value or b"").decode() for key, value in headers if key == name)


@contextlib.contextmanager
def chaos_stack(folder: Path, registry: str) -> Iterator[ChaosStack]:
    """A stack of its own before the first fault. ``registry`` is the URL of a running one."""
    with contextlib.ExitStack() as running:
        engine = Engine(folder / "engine")
        running.callback(engine.close)
        engine.start()
        kafka, network = running.enter_context(cuttable_kafka(folder / "kafka"))
        (port,) = free_ports(1)
        to_registry = Link(port, int(registry.split("/")[2].rpartition(":")[2]))
        to_registry.start()
        running.callback(to_registry.stop)
        engine.wait_ready()
        settings = load_settings(
            kafka={"bootstrap_servers": kafka.bootstrap_servers},
            registry={"url": registry, "archive_folder": folder / "archive"},
            clickhouse={"port": engine.port},
            sink={"group": f"{GROUP}.sink"},
        )
        apply_contract(settings)
        broker = Broker(settings, kafka)
        running.callback(broker.close)
        made = ChaosStack(broker, engine, settings, {"network": network, "registry": to_registry}, folder)
        running.callback(made.close)
        made.start()
        yield made

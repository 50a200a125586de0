"""Handlers inside the worker, against the real broker; and the contract that they share with those of a Subscriber."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.waiting import wait_until

from tradewire.core import new_id
from tradewire.processors._worker_handlers import handlers_group_of
from tradewire.processors.parking.operating import Operator
from tradewire.processors.records import REPLAY_HEADER
from tradewire.schemas import Event, Header, encode_headers

pytestmark = pytest.mark.timeout(400)

TAKEN, UPDATED = "model.action.taken", "model.policy.updated"
TOPIC = "model.events"
QUICK = {
    "TRADEWIRE_SUBSCRIBER__RETRY_BASE_MS": "10",
    "TRADEWIRE_SUBSCRIBER__RETRY_CAP_MS": "50",
    "TRADEWIRE_SUBSCRIBER__BUFFER_ROWS_MAX": "50",
    "TRADEWIRE_SUBSCRIBER__BEGIN": "earliest",
}
ALONE = {"projections": "[]", "correlation": "false", "session_timeout_ms": 10_000}
HANDLERS = '["tests.processors.handled:subscriptions"]'


class Calls:
    """The folder of ``tests.processors.handled``. Keys begin with a prefix of their own: the topic is everybody's."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        folder.mkdir()
        self.folder, self._broker = folder, broker
        self.prefix = new_id()[-12:]

    def publish(self, name: str, numbers: Sequence[int], *, headers: Sequence[Header] = (), **data: str) -> list[Event]:
        """Events of a key; ``algorithm`` makes them updates of the policy."""
        key = self.key(name)
        type = UPDATED if "algorithm" in data else TAKEN
        made = []
        for number in numbers:
            numbered = {"step_count": number} if type == UPDATED else {"step": number, "action": "buy"}
            made.append(
                Event(
                    id=(id := new_id()),
                    type=type,
                    data={"model_id": key, "model_version": "1", **numbered, **data},
                    source="tests",
                    subject=key,
                    time_ns=1_700_000_000_000_000_000,
                    correlation_id=id,
                )
            )
        for event in made:
            value = self._broker.contract.codec.encode(event.type, event.data, TOPIC)
            self._broker.produce(TOPIC, key.encode(), value, [*encode_headers(event), *headers])
        return made

    def key(self, name: str) -> str:
        return f"{name}-{self.prefix}"

    def switch(self, what: str, name: str) -> Path:
        file = self.folder / f"{what}.{self.key(name)}"
        file.touch()
        return file

    def of(self, handler: str) -> dict[str, list[int]]:
        """Numbers of the events that a handler was called with, in order, by name of the key."""
        found: dict[str, list[int]] = defaultdict(list)
        for _, name, key, number in self.lines():
            if name == handler and key.endswith(self.prefix):
                found[key.removesuffix(f"-{self.prefix}")].append(int(number))
        return dict(found)

    def lines(self) -> list[list[str]]:
        file = self.folder / "calls"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def calls(tmp_path: Path, broker: Broker) -> Calls:
    return Calls(tmp_path / "calls", broker)


def environment_of(calls: Calls) -> dict[str, str]:
    return {**QUICK, "TRADEWIRE_TEST_FOLDER": str(calls.folder), "TRADEWIRE_TEST_PREFIX": calls.prefix}


@contextmanager
def a_worker(broker: Broker, group: str, calls: Calls, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    worker = RunningWorker(
        broker, group, folder / "worker", handlers=HANDLERS, **{**ALONE, "session_timeout_ms": 30_000}
    )
    worker.start(**environment_of(calls))
    with worker:
        yield worker.process


@contextmanager
def a_subscriber(broker: Broker, group: str, calls: Calls, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    service = RunningWorker(broker, group, folder / "subscriber", session_timeout_ms=6_000)
    service.start(("-m", "tests.processors.handled", group), **environment_of(calls))
    with service:
        yield service.process


def committed(broker: Broker, group: str) -> int:
    """Records of the topic that a group has committed; all, when it equals ``broker.end_of(TOPIC)``."""
    numbers = range(broker.contract.topics[TOPIC].partitions)
    return sum(max(0, broker.committed(group, TOPIC, number)) for number in numbers)


def upto(count: int) -> list[int]:
    return list(range(1, count + 1))


@pytest.mark.parametrize(("host", "letters_of"), [(a_subscriber, str), (a_worker, handlers_group_of)])
def test_the_contract_of_handlers_is_kept_by_whoever_runs_them(
    host: Callable[..., object], letters_of: Callable[[str], str], broker: Broker, calls: Calls, tmp_path: Path
) -> None:
    """Patterns, sync and async, order, retries, parking, re-drive, replays, a change while it runs, acknowledgement."""
    group = f"handlers.{calls.prefix}"
    keys = [f"k{number}" for number in range(6)]
    broken, standing = calls.switch("fail", "bad"), calls.switch("stand", "slow")
    for name in (*keys, "flaky", "bad"):
        calls.publish(name, upto(10))
    calls.publish("slow", upto(120))  # more than the buffer of its partition
    calls.publish("k0", [11], headers=[(REPLAY_HEADER, b"r1")])
    with host(broker, group, calls, tmp_path) as process:  # type: ignore[attr-defined]

        def wait_for(condition: Callable[[], object]) -> None:
            wait_until(condition, within_s=150, every_s=0.1, alive=process.poll)

        free = {*keys, "flaky"}
        wait_for(lambda: all(len(calls.of("mail").get(name, ())) == 10 for name in free))
        wait_for(lambda: calls.of("async").get("k0") == upto(11))

        expected = {name: upto(10) for name in free}
        assert expected == calls.of("mail"), "k0's event 11 is a replay, bad is parked, slow still stands"
        assert expected | {"k0": upto(11)} == calls.of("work")
        assert expected | {"k0": upto(11)} == calls.of("async")

        assert committed(broker, group) < broker.end_of(TOPIC), "what stands is not acknowledged"
        calls.publish("slow", [121])
        standing.unlink()
        wait_for(lambda: calls.of("mail").get("slow") == upto(121))
        wait_for(lambda: committed(broker, group) == broker.end_of(TOPIC))

        operator = Operator(broker.settings.kafka, letters_of(group), "tests")
        parked = {str(key.key, "utf-8"): len(seen.letters) for key, seen in operator.look().keys.items() if key.key}
        assert {calls.key("bad"): 10} == {key: count for key, count in parked.items() if key.endswith(calls.prefix)}
        calls.publish("bad", [11])
        broken.unlink()
        wait_for(lambda: committed(broker, group) == broker.end_of(TOPIC))
        operator.redrive(operator.requests(operator.look().keys.values()))
        wait_for(lambda: calls.of("mail").get("bad") == upto(11))
        assert upto(11) == calls.of("work")["bad"] == calls.of("async")["bad"]

        calls.publish("k1", [11], algorithm="late on")
        wait_for(lambda: 11 in calls.of("async")["k1"])
        calls.publish("k1", [12])
        wait_for(lambda: calls.of("late") == {"k1": [12]})
        calls.publish("k1", [13], algorithm="late off")
        wait_for(lambda: 13 in calls.of("async")["k1"])
        calls.publish("k1", [14])
        wait_for(lambda: 14 in calls.of("mail")["k1"])
        assert {"k1": [12]} == calls.of("late")
        wait_for(lambda: committed(broker, group) == broker.end_of(TOPIC))
        process.terminate()
        assert 0 == process.wait(90)


def test_after_kill_9_and_sigterm_every_event_is_handled_and_nothing_was_committed_before(
    broker: Broker, calls: Calls, tmp_path: Path
) -> None:
    """In workers that fold as well; one joins while a handler stands, so that its partition goes with its work open.

    One is killed, the other one told to end: it commits what is done, and leaves behind what stands.
    """
    group = f"handlers.{calls.prefix}"
    keys = [f"k{number}" for number in range(8)]
    for name in keys:
        calls.publish(name, upto(20))
    standing = calls.switch("stand", "k3")
    duties = {"handlers": HANDLERS, **ALONE, "projections": '["order"]'}
    first = RunningWorker(broker, group, tmp_path / "first", **duties)
    second = RunningWorker(broker, group, tmp_path / "second", **duties)
    waits = {f"TRADEWIRE_SUBSCRIBER__{name}_WAIT_MS": "500" for name in ("REVOKE", "STOP")}
    quick = environment_of(calls) | waits

    def wait_for_others(upto_number: int) -> None:
        others = [name for name in keys if name != "k3"]
        wait_until(
            lambda: all(sorted(set(calls.of("mail").get(name, ()))) == upto(upto_number) for name in others),
            within_s=150,
            alive=first.process.poll,
        )

    first.start(**quick)
    with first:
        wait_for_others(20)
        second.start(**quick)
        with second:
            joined = "handlers have partitions"
            wait_until(lambda: joined in second.log_file.read_text(), within_s=150, alive=second.process.poll)
            for name in keys:
                calls.publish(name, [21])
            wait_for_others(21)
            second.kill()
        assert 0 == first.stop(), "what stands is left behind"
    log = [record for record in broker.log(TOPIC) if record.key == calls.key("k3").encode()]
    assert 21 == len(log)
    assert broker.committed(group, TOPIC, log[0].partition) <= log[0].offset
    assert "k3" not in calls.of("work")
    standing.unlink()

    first.start(**environment_of(calls))
    with first:
        wait_until(lambda: committed(broker, group) == broker.end_of(TOPIC), within_s=150, alive=first.process.poll)
        seen = calls.of("mail")
        assert dict.fromkeys(keys, upto(21)) == {name: sorted(set(rows)) for name, rows in seen.items()}
        assert upto(21) == seen["k3"]


def test_the_code_of_the_page_runs_as_it_says(broker: Broker, calls: Calls, tmp_path: Path) -> None:
    """Module and command are those of docs/processing.md; names of group and folder are the test's. Every handler is
    called with an event of its type."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "processing.md").read_text()
    section = page.split("## Handlers in the worker\n")[1].split("\n## ")[0]
    (module,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (command,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (tmp_path / "risk_desk.py").write_text(module)
    words = command.replace("/var/lib/risk-desk", str(tmp_path / "w")).replace("group risk-desk", "group page").split()
    assert "tradewire" == words[0]
    worker = RunningWorker(broker, "not.used", tmp_path / "log")
    worker.start(("-m", "tradewire.operations.cli", *words[1:]), PYTHONPATH=str(tmp_path))
    order = {"order_id": calls.prefix, "account": "a", "symbol": "BTCUSDT", "venue": "v", "quantity": Decimal(250)}
    run = {"run_id": calls.prefix, "run_subject": "", "begin_event_id": "e-1", "begun_ns": 1, "deadline_ns": 2}
    stall = {**run, "flow_name": calls.prefix, "waiting_step": "accepted", "waited_after": "e-1"}
    with worker:
        broker.publish(
            Event(
                id=(id := new_id()),
                type=type,
                data=data,
                source="tests",
                subject=calls.prefix,
                time_ns=1_700_000_000_000_000_000,
                correlation_id=id,
            )
            for type, data in (("trading.order.created", order), ("flow.run.stalled", stall))
        )
        for said in (f"large order {calls.prefix}", f"page: {calls.prefix} waits for accepted"):
            wait_until(
                lambda: said in worker.log_file.read_text(),  # noqa: B023
                within_s=150,
                every_s=0.2,
                alive=worker.process.poll,
            )
        assert 0 == worker.stop()


def test_every_row_of_the_table_of_the_page_names_a_test_that_exists() -> None:
    """But for what is shared with the Subscriber."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "processing.md").read_text()
    section = page.split("## Handlers in the worker\n")[1].split("\n## ")[0]
    named = re.findall(r"`test_worker_handlers\.py::(test_\w+)`", section)

    assert 3 == len(named)
    assert [] == [test for test in named if test not in globals()]


def test_a_worker_whose_handlers_cannot_be_had_does_not_start(broker: Broker, tmp_path: Path) -> None:
    """Exit code 2, and why. ``test_handler_targets`` has the other reasons."""
    (tmp_path / "mine.py").write_text(
        "from tradewire.processors import subscribe\n@subscribe('*')\ndef all(event): ...\n"
    )
    worker = RunningWorker(broker, "never", tmp_path / "folder")
    done = subprocess.run(
        [sys.executable, "-m", "tradewire.operations.cli", "worker", "--handlers", "mine:all", "--handlers-only"],
        cwd=tmp_path,
        env=worker.environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert 2 == done.returncode, done.stderr
    # Where the console breaks its lines does not count.
    assert "name the domains" in " ".join((done.stderr + done.stdout).split())

"""Several members of a group: one is killed, hangs, joins or leaves under load; and the broker goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.needs import java_or_skip
from tests.processors.subscribing import Account, Feed, Seen
from tests.waiting import wait_until

from tradewire.core import new_id
from tradewire.core.settings import KafkaSettings
from tradewire.operations.stack.cluster import LocalKafka, local_kafka
from tradewire.processors import Subscriber
from tradewire.processors.parking.operating import Operator
from tradewire.schemas import Event

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(500)]
REPO = Path(__file__).resolve().parents[2]
KEYS = [f"k{number}" for number in range(20)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that may be killed."""
    java_or_skip()
    with local_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def feed(kafka: LocalKafka) -> Iterator[Feed]:
    made = Feed(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), f"failover.{new_id()}")
    yield made
    made.close()


class Members:
    """Processes of one service, all with one account."""

    def __init__(self, feed: Feed, folder: Path) -> None:
        self._feed, self._folder = feed, folder
        self.account = Account(folder / "account.db")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        feed, log = self._feed, (self._folder / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "tests.processors.subscribing_service"]
        arguments = [feed.kafka.bootstrap_servers, feed.topic, feed.group, str(self._folder / "account.db"), name]
        process = subprocess.Popen([*command, *arguments], cwd=REPO, env=os.environ, stdout=log, stderr=log)
        log.close()
        self._processes[name] = process
        return process

    def end(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(90)
        self.account.connection.close()


@pytest.fixture
def members(feed: Feed, tmp_path: Path) -> Iterator[Members]:
    made = Members(feed, tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("fault", ["killed", pytest.param("hung", marks=pytest.mark.long)])
def test_the_other_member_goes_on_when_one_is(fault: str, feed: Feed, members: Members) -> None:
    """Every event is handled, in the order of its key; what was done and not committed is handled twice, and its
    effects are there once. The one that hung learns that its partitions are lost, and does not commit them."""
    account, rounds = members.account, 0
    first, second = members.start("first"), members.start("second")

    def both_work() -> bool:
        nonlocal rounds
        feed.publish(*feed.numbered(KEYS, 1, first=rounds))
        rounds += 1
        return bool(account.count("first") and account.count("second"))

    def in_the_midst() -> bool:
        """Whether work is left; this process may have stood still until all was done."""
        nonlocal rounds
        done = account.count("first")
        feed.publish(*feed.numbered(KEYS, 40, first=rounds))
        rounds += 40
        wait_until(lambda: account.count("first") > done + 20, within_s=120, alive=first.poll)
        return feed.committed() < feed.end()

    # Not more while they begin, which may take half a minute, than they can do afterwards.
    wait_until(both_work, within_s=120, every_s=0.5, alive=lambda: first.poll() or second.poll())
    wait_until(in_the_midst, within_s=60, alive=lambda: first.poll() or second.poll())
    if fault == "killed":
        first.kill()
    else:
        stop_outside_of_a_transaction(first, account)
    wait_until(lambda: feed.committed() == feed.end(), within_s=200, alive=second.poll)
    if fault == "hung":
        first.send_signal(signal.SIGCONT)
        feed.publish(*feed.numbered(KEYS, 10, first=rounds))
        rounds += 10
        wait_until(lambda: feed.committed() == feed.end(), within_s=200, alive=second.poll)
        first.terminate()
        assert 0 == first.wait(120)
    second.terminate()
    assert 0 == second.wait(120)

    calls = account.calls()
    assert_order(calls, rounds)
    assert [1] * (len(KEYS) * rounds) == list(account.effects().values())
    # A handler runs alone in each member: at most the one that was cut off, and what the last commits had not told.
    repeated = [what for what, count in Counter((key, message) for _, key, message in calls).items() if count > 1]
    assert {2} >= {count for count in Counter((key, message) for _, key, message in calls).values() if count > 1}
    assert len(repeated) < len(KEYS) * rounds / 4
    assert feed.committed() == feed.end()


def stop_outside_of_a_transaction(process: subprocess.Popen[bytes], account: Account) -> None:
    """SIGSTOP while the test has SQLite's only lock: else the one that hangs might have it, and hold up all others."""
    account.connection.execute("BEGIN IMMEDIATE")
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    account.connection.execute("ROLLBACK")


def assert_order(calls: list[tuple[str, str, str]], rounds: int) -> None:
    """The first call of each event, by key, in order and without a gap."""
    first: dict[str, dict[str, None]] = defaultdict(dict)
    for _, key, message in calls:
        first[key].setdefault(message)
    assert {key: [str(number) for number in range(rounds)] for key in KEYS} == {
        key: list(found) for key, found in first.items()
    }


def test_members_that_join_and_leave_in_order_repeat_nothing(feed: Feed) -> None:
    """A partition that moves is committed to its last event first; no inbox, and no window over processes.

    The buffer is small, so partitions are paused when they move: librdkafka would keep them so when they come back.
    """
    seen, rounds = Seen(), 100

    def member() -> Subscriber:
        # A member that this machine keeps from its group for a whole session would repeat something.
        limits = {"dedupe_rows": 0, "buffer_rows_max": 20, "session_timeout_ms": 12_000}
        return feed.subscriber(seen.add_slowly, subscriber=limits)

    def publish_a_round() -> None:
        nonlocal rounds
        feed.publish(*feed.numbered(KEYS, 1, first=rounds))
        rounds += 1

    def all_have_partitions(*members: Subscriber) -> bool:
        publish_a_round()
        return all(member.assignment for member in members)

    feed.publish(*feed.numbered(KEYS, rounds))
    with member() as first:
        wait_until(lambda: len(seen) > 100, within_s=120)
        with member() as second, member() as third:
            wait_until(lambda: all_have_partitions(first, second, third), within_s=120, every_s=0.1)
            for _ in range(10):
                publish_a_round()
        wait_until(lambda: 4 == len(first.assignment), within_s=120)
        publish_a_round()
        wait_until(lambda: feed.committed() == feed.end(), within_s=150)

    assert {key: [str(number) for number in range(rounds)] for key in KEYS} == seen.by_key


def test_a_broker_that_goes_away_is_waited_for(feed: Feed, kafka: LocalKafka) -> None:
    """kill -9 of the broker under load: the subscriber stays, goes on when it is back, and loses nothing.

    One that is started meanwhile waits as well.
    """
    seen, late = Seen(), Seen()
    feed.publish(*feed.numbered(KEYS, 100))
    with feed.subscriber(seen.add_slowly) as subscriber:
        wait_until(lambda: len(seen) > 200, within_s=120)
        kafka.kill()
        with feed.subscriber(late.add, group=f"late.{feed.group}") as started:
            kafka.start(timeout_s=150)
            feed.publish(*feed.numbered(KEYS, 10, first=100))
            wait_until(lambda: feed.committed() == feed.end(), within_s=200)
            wait_until(lambda: len(late) >= 110 * len(KEYS), within_s=120)
            assert subscriber.failure is started.failure is None

    assert {key: [str(number) for number in range(110)] for key in KEYS} == {
        key: list(dict.fromkeys(found)) for key, found in seen.by_key.items()
    }


def test_a_broker_killed_while_a_key_is_parked_costs_no_letter_and_none_is_doubled_or_out_of_order(
    feed: Feed, kafka: LocalKafka
) -> None:
    """The letters are those of the log, and a re-drive hands each of them over once."""
    seen, is_broken, count = Seen(), True, 0

    def picky(event: Event) -> None:
        if is_broken and event.subject == "bad" and event.data["message"] == "0":
            raise ValueError("no such account")
        seen.add(event)

    def written() -> float:
        return feed.counted("tradewire_subscriber_dead_letters_total", topic=feed.topic)

    def killed_in_the_midst() -> bool:
        """Whether letters were still to be written; this process may have stood still until all were."""
        nonlocal count
        before = written()
        feed.publish(*feed.numbered(["bad", "good"], 150, first=count))
        count += 150
        wait_until(lambda: written() > before + 5, within_s=120)
        kafka.kill()
        is_in_time = written() < count
        kafka.start(timeout_s=150)
        wait_until(lambda: feed.committed() == feed.end(), within_s=200)
        return is_in_time

    with feed.subscriber(picky) as subscriber:
        assert any(killed_in_the_midst() for _ in range(4)), "always killed too late"
        assert subscriber.failure is None
        operator = Operator(feed.kafka, feed.group, "tests")
        (key,) = operator.look().keys.values()
        assert [letter.offset for letter in key.letters] == sorted({letter.offset for letter in key.letters})
        assert (b"bad", count) == (key.key.key, len(key.letters))
        is_broken = False
        operator.redrive(operator.requests([key]))
        wait_until(lambda: not operator.look().keys, within_s=150, every_s=0.2)

    assert {key: [str(number) for number in range(count)] for key in ("bad", "good")} == seen.by_key

"""A real sink process ended at each point of its protocol, against the real broker and the real engine."""

from __future__ import annotations

import signal

import pytest
from tests.sinks.arena import Arena
from tests.waiting import wait_until

from tradewire.core.failpoints import EXIT_CODE

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("failpoint", "replays", "partitions"),
    [
        ("sink.before_intent", False, 2),
        ("sink.after_intent", True, 2),
        ("sink.mid_insert", True, 2),
        pytest.param("sink.mid_insert:4", True, 2, marks=pytest.mark.long),
        ("sink.after_insert", True, 2),
        pytest.param("sink.after_insert:3", True, 2, marks=pytest.mark.long),
        ("sink.after_commit", False, 1),
    ],
)
def test_a_crash_in_a_gap_loses_and_doubles_nothing(
    arena: Arena, failpoint: str, replays: bool, partitions: int
) -> None:
    """The process ends at the point as if by kill -9; the next one stores what is missing and nothing twice."""
    for partition in range(partitions):
        arena.send(arena.topic("market"), arena.events(250), partition)

    assert arena.start(failpoint=failpoint).wait() == EXIT_CODE
    arena.send(arena.topic("market"), arena.events(30), 0)
    again = arena.start()
    wait_until(arena.all_stored, within_s=90, alive=again.process.poll)

    assert again.stop() == 0
    assert arena.expected() == arena.stored()
    assert replays == ("intent_replayed" in again.text())


@pytest.mark.long
def test_crash_after_crash_loses_and_doubles_nothing(arena: Arena) -> None:
    """The same batch may be begun and left several times, each time at another point."""
    arena.send(arena.topic("market"), arena.events(400), 0)

    for failpoint in (
        "sink.after_intent",
        "sink.mid_insert",
        "sink.after_insert",
        "sink.after_intent",
        "sink.after_commit",
    ):
        assert arena.start(failpoint=failpoint).wait() == EXIT_CODE
    last = arena.start()
    wait_until(arena.all_stored, within_s=90, alive=last.process.poll)

    assert last.stop() == 0
    assert arena.expected() == arena.stored()


def test_a_zombie_stores_nothing_new(arena: Arena) -> None:
    """A sink is stopped behind its intent, replaced, and goes on with its insert when it wakes up."""
    arena.send(arena.topic("market"), arena.events(150), 0)
    zombie = arena.start("a", failpoint="sink.after_intent:1:stop")
    wait_until(zombie.is_stopped, within_s=90)
    successor = arena.start("b")
    wait_until(arena.all_stored, within_s=90, alive=successor.process.poll)
    assert "intent_replayed" in successor.text()
    before = arena.stored()

    zombie.process.send_signal(signal.SIGCONT)
    arena.send(arena.topic("market"), arena.events(120), 1)
    wait_until(arena.all_stored, within_s=90, alive=successor.process.poll)
    wait_until(lambda: "revoked" in zombie.text() or zombie.process.poll() is not None, within_s=90)

    assert arena.expected() == arena.stored()
    assert before.items() <= arena.stored().items()
    assert successor.stop() == 0


def test_two_sinks_share_the_partitions_while_they_come_and_go(arena: Arena) -> None:
    """Partitions move four times under load."""
    topic = arena.topic("market")

    def send() -> None:
        for partition in (0, 1):
            arena.send(topic, arena.events(300), partition)

    first = arena.start("a")
    send()
    second = arena.start("b")
    wait_until(lambda: "assigned" in second.text(), within_s=90, alive=second.process.poll)
    send()
    first.process.kill()
    send()
    third = arena.start("c")
    wait_until(lambda: "assigned" in third.text(), within_s=90, alive=third.process.poll)
    send()
    assert second.stop() == 0
    arena.send(topic, arena.events(50), 0)
    wait_until(arena.all_stored, within_s=120, alive=third.process.poll)

    assert third.stop() == 0
    assert arena.expected() == arena.stored()

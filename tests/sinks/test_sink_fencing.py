"""The fence of the group's coordinator: a sink that has been replaced commits nothing more, and so stores nothing new.

That its late *insert* adds nothing is shown beside this, in ``test_sink_crashes`` and ``test_sink_faults``: there the
token is what holds. Here it is the refused commit.
"""

from __future__ import annotations

import signal

import pytest
from tests.sinks.arena import Arena
from tests.waiting import wait_until

from tradewire.core.errors import SinkError
from tradewire.sinks import Sink
from tradewire.sinks.positions import SinkPositions

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
# Nobody is evicted for being silent: whoever takes the name takes the partitions, at once.
_LONG_SESSION_MS = 120_000


def cut_into(arena: Arena, rows: int) -> None:
    """Sinks that start from here on make batches of so many records: boundaries, and so tokens, of their own."""
    limits = arena.settings.sink.model_copy(update={"batch_rows_max": rows})
    arena.settings = arena.settings.model_copy(update={"sink": limits})


def behind(arena: Arena) -> dict[tuple[str, int], int | None]:
    """Records that the group has not committed, by partition."""
    return {(at.topic, at.partition): at.behind for at in SinkPositions.of(arena.settings).read(list(arena.topics))}


def test_a_sink_whose_name_is_taken_ends_with_an_error(arena: Arena) -> None:
    """Its partitions are another's, and nothing would ever be given to it again: whoever supervises it has to know."""
    topic = arena.topic("market")
    arena.send(topic, arena.events(150), 0)
    same = {"instance_id": "same", "session_timeout_ms": _LONG_SESSION_MS}
    with pytest.raises(SinkError, match=r"failed for good.*fenced"), arena.running(**same) as older:
        wait_until(arena.all_stored, within_s=90)
        with arena.running(**same):
            wait_until(lambda: not older.running, within_s=90)
            for partition in (0, 1):
                arena.send(topic, arena.events(60), partition)
            wait_until(arena.all_stored, within_s=90)

    assert not any(thread.is_alive() for thread in older._inserter._threads)
    assert arena.expected() == arena.stored()
    assert set(behind(arena).values()) == {0}


def test_the_name_under_which_a_sink_joins_is_of_its_id_and_its_topics(arena: Arena) -> None:
    """Under its former name a sink that knows one topic more would never be given that topic."""

    def name(topics: list[str], instance_id: str | None = "same") -> str | None:
        sink = Sink(arena.settings, arena.contract, topics=topics, instance_id=instance_id)
        return sink._consumer_config.get("group.instance.id")

    assert name(["a", "b"]) == name(["b", "a"]) != name(["a", "b", "c"])
    assert name(["a"], None) is None


def test_a_zombie_whose_name_is_taken_cannot_commit_what_it_inserted_and_exits(arena: Arena) -> None:
    """It is stopped between insert and commit. Its successor does the batch again, and goes on behind it."""
    topic = arena.topic("market")
    arena.send(topic, arena.events(30), 0)
    zombie = arena.start("same", failpoint="sink.after_insert:1:stop", session_timeout_ms=_LONG_SESSION_MS)
    wait_until(zombie.is_stopped, within_s=90, alive=zombie.process.poll)
    successor = arena.start("same", session_timeout_ms=_LONG_SESSION_MS)
    arena.send(topic, arena.events(70), 0)
    wait_until(lambda: not any(behind(arena).values()), within_s=90, every_s=0.2, alive=successor.process.poll)
    assert "intent_replayed" in successor.text()

    zombie.process.send_signal(signal.SIGCONT)

    assert zombie.wait() == 1
    assert "failed for good" in zombie.text() and "fenced" in zombie.text()
    arena.send(topic, arena.events(40), 1)
    wait_until(arena.all_stored, within_s=90, alive=successor.process.poll)
    assert successor.stop() == 0
    assert arena.expected() == arena.stored()
    assert set(behind(arena).values()) == {0}


def test_a_zombie_that_was_evicted_cannot_commit_its_intent_and_inserts_nothing(arena: Arena) -> None:
    """It is stopped with a batch in its hands; another stores those records in other batches, whose tokens differ.

    So no token would stop the zombie's insert: only its refused intent does.
    """
    topic = arena.topic("market")
    arena.send(topic, arena.events(30), 0)
    zombie = arena.start("a", failpoint="sink.before_intent:1:stop")
    wait_until(zombie.is_stopped, within_s=90, alive=zombie.process.poll)
    cut_into(arena, 7)
    successor = arena.start("b")
    wait_until(arena.all_stored, within_s=90, alive=successor.process.poll)
    assert "intent_replayed" not in successor.text()

    zombie.process.send_signal(signal.SIGCONT)

    wait_until(lambda: "commit_failed" in zombie.text(), within_s=90, alive=zombie.process.poll)
    # What it had begun it ends: it is a member like any other again.
    assert [0, 0] == [sink.stop() for sink in (zombie, successor)]
    assert arena.expected() == arena.stored()
    assert set(behind(arena).values()) == {0}

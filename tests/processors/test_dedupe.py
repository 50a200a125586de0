"""Repeats within the window, against a plain reading of its rule; and the inbox in a database."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewire.processors import DedupeWindow, Inbox

logs = st.lists(st.sampled_from("abcdefgh"), max_size=80)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs, st.integers(0, 20))
def test_a_record_repeats_the_one_that_its_rule_names(log: list[str], rows: int) -> None:
    """The rule: the id was that of a record at most ``rows`` offsets before, repeats included."""
    window = DedupeWindow(rows)
    for offset, id in enumerate(log):
        expected = rows > 0 and id in log[max(0, offset - rows) : offset]
        assert expected == (window.repeated(id, offset) is not None)
        window.remember(id, offset)
        window.advance(offset + 1)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs, st.integers(1, 20), st.data())
def test_a_restart_changes_nothing_of_what_is_found(log: list[str], rows: int, data: st.DataObject) -> None:
    """The next owner reads ``rows`` records before where the last one stopped, and answers as that one would have."""
    stopped = data.draw(st.integers(0, len(log)))
    before, after = DedupeWindow(rows), DedupeWindow(rows)
    for offset, id in enumerate(log[:stopped]):
        before.remember(id, offset)
    first = max(0, stopped - rows)
    for offset, id in enumerate(log[first:stopped], start=first):
        after.remember(id, offset, is_mine=False)
    for offset, id in enumerate(log[stopped:], start=stopped):
        assert (before.repeated(id, offset) is None) == (after.repeated(id, offset) is None)
        before.remember(id, offset)
        after.remember(id, offset)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs, st.integers(1, 20), st.randoms(use_true_random=False))
def test_work_that_ends_in_another_order_is_remembered_as_well(log: list[str], rows: int, random: object) -> None:
    window, offsets = DedupeWindow(rows), list(range(len(log)))
    random.shuffle(offsets)  # type: ignore[attr-defined]
    for offset in offsets:
        window.remember(log[offset], offset)
    for id in set(log):
        newest = max(offset for offset, other in enumerate(log) if other == id)
        assert window.repeated(id, newest + rows) is not None
        assert window.repeated(id, newest + rows + 1) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 50), st.integers(1, 500))
def test_memory_is_bounded_by_the_window(rows: int, records: int) -> None:
    window = DedupeWindow(rows)
    for offset in range(records):
        window.remember(str(offset), offset)
        window.advance(offset + 1)
    assert len(window) <= rows + 1


def test_a_record_that_is_read_again_repeats_itself() -> None:
    """After a lost assignment the offset of work that was done comes back."""
    window = DedupeWindow(10)
    window.remember("a", 5)
    seen = window.repeated("a", 5)
    assert seen is not None and seen.is_mine


def test_what_this_process_did_stays_its_own() -> None:
    """The look back after a rebalance must not make it foreign: a letter is a repeat of own work only."""
    window = DedupeWindow(10)
    window.remember("a", 5)
    window.remember("a", 5, is_mine=False)
    window.remember("b", 6, is_mine=False)
    assert [True, False] == [seen.is_mine for id in "ab" if (seen := window.repeated(id, 7)) is not None]


def test_no_rows_remember_nothing() -> None:
    window = DedupeWindow(0)
    window.remember("a", 5)
    assert window.repeated("a", 5) is None


def test_an_inbox_lets_an_id_in_once_per_group(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "effects.db")
    billing, mailing = Inbox("billing"), Inbox("mailing")
    with connection:
        billing.create(connection.cursor())
        entered = [inbox.enter(connection.cursor(), "id-1") for inbox in (billing, billing, mailing)]
    assert [True, False, True] == entered
    connection.close()


def test_an_inbox_forgets_with_its_transaction(tmp_path: Path) -> None:
    """Effect and id stand or fall together."""
    connection = sqlite3.connect(tmp_path / "effects.db")
    inbox = Inbox("billing")
    inbox.create(connection.cursor())
    connection.commit()
    assert inbox.enter(connection.cursor(), "id-1")
    connection.rollback()
    assert inbox.enter(connection.cursor(), "id-1")
    connection.commit()
    assert not inbox.enter(connection.cursor(), "id-1")
    connection.close()


def test_of_two_that_enter_at_once_one_gets_in(tmp_path: Path) -> None:
    """Two members with the same event, as after a lost assignment."""
    file, entered = tmp_path / "effects.db", []
    with sqlite3.connect(file) as connection:
        Inbox("g").create(connection.cursor())
    gate = threading.Barrier(4)

    def enter() -> None:
        own = sqlite3.connect(file, timeout=30)
        gate.wait()
        with own:
            entered.append(Inbox("g").enter(own.cursor(), "id-1"))
        own.close()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [False, False, False, True] == sorted(entered)


def test_an_inbox_can_be_pruned(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "effects.db")
    inbox, cursor = Inbox("g"), connection.cursor()
    inbox.create(cursor)
    for id in ("a", "b"):
        inbox.enter(cursor, id)
    cursor.execute("UPDATE tradewire_inbox SET entered_s = entered_s - 100 WHERE event_id = 'a'")
    assert 1 == inbox.forget(cursor, older_than_s=50)
    assert inbox.enter(cursor, "a")
    assert not inbox.enter(cursor, "b")
    connection.close()


def test_a_table_that_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no name of a table"):
        Inbox("g", table="a; DROP TABLE b")

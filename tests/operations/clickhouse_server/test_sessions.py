"""What one request leaves behind for the next of its session, and for nobody else."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from tests.operations.clickhouse_server.asking import query_is_running
from tests.operations.clickhouse_server.conftest import Running
from tests.waiting import wait_until


@pytest.fixture
def session() -> dict[str, str]:
    return {"session_id": f"s-{uuid.uuid4()}"}


def test_temporary_tables_live_in_their_session(server: Running, session: dict[str, str]) -> None:
    """With data inserted in both ways, and not outside it."""
    server.text("CREATE TEMPORARY TABLE tt (a Int64)", **session)
    server.text("INSERT INTO tt VALUES (1)", **session)
    assert server.insert("tt FORMAT TSV", b"2\n", **session).status_code == 200
    assert server.text("SELECT sum(a) FROM tt", **session) == "3\n"
    assert server.post("SELECT sum(a) FROM tt").status_code == 404
    assert server.post("SELECT sum(a) FROM tt", session_id="another").status_code == 404


@pytest.mark.parametrize("temporary", [False, True], ids=["without", "with"])
def test_set_and_use_last_and_parameters_of_the_url_do_not(
    server: Running, session: dict[str, str], temporary: bool
) -> None:
    """Also when a temporary table makes the session keep an engine handle of its own."""
    if temporary:
        server.text("CREATE TEMPORARY TABLE tt (a Int64)", **session)
    asked = "SELECT getSetting('max_threads'), getSetting('max_result_rows'), currentDatabase()"
    server.text("SET max_threads = 7", **session)
    server.text("USE system", **session)
    assert server.text(asked, **session) == "7\t0\tsystem\n"
    assert server.text(asked, max_threads=3, max_result_rows=9, database="default", **session) == "3\t9\tdefault\n"
    assert server.text(asked, **session) == "7\t0\tsystem\n"
    assert server.post("SELECT {p:Int8}", param_p=1, **session).text == "1\n"
    assert "Code: 456." in server.post("SELECT {p:Int8}", **session).text
    assert "Code: 115." in server.post("SELECT 1", nonsense=1, **session).text
    assert server.text(asked, **session) == "7\t0\tsystem\n"
    if temporary:
        assert "Code: 164." in server.post("INSERT INTO tt VALUES (1)", readonly=1, **session).text
        server.text("INSERT INTO tt VALUES (1)", **session)


def test_a_session_serves_one_query_at_a_time(server: Running, session: dict[str, str]) -> None:
    """A second one is refused with 373, not queued."""
    id = f"slow-{uuid.uuid4()}"
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
    thread = threading.Thread(target=lambda: server.post(endless, query_id=id, **session))
    thread.start()
    wait_until(lambda: query_is_running(server, id))
    assert "Code: 373." in server.post("SELECT 1", **session).text
    assert server.post(f"KILL QUERY WHERE query_id = '{id}' SYNC").status_code == 200
    thread.join()
    assert server.text("SELECT 1", **session) == "1\n"


def test_a_session_ends_when_it_is_idle_or_closed(server: Running, session: dict[str, str]) -> None:
    """``session_check`` tells a session that is there from one that is not."""
    assert "Code: 372." in server.post("SELECT 1", session_check=1, **session).text
    server.text("SET max_threads = 7", session_timeout=60, **session)
    assert server.text("SELECT getSetting('max_threads')", session_check=1, **session) == "7\n"
    server.text("SELECT 1", close_session=1, **session)
    assert "Code: 372." in server.post("SELECT 1", session_check=1, **session).text
    server.text("CREATE TEMPORARY TABLE tt (a Int64)", session_timeout=1, **session)

    def gone() -> bool:
        # Asking would keep it alive: a session that must exist but is locked or there answers something else.
        return "Code: 372." in server.post("SELECT 1", session_check=1, session_timeout=1, **session).text

    def gone_when_left_alone() -> bool:
        time.sleep(2.5)  # the timeout itself: asking earlier would begin it anew
        return gone()

    wait_until(gone_when_left_alone)

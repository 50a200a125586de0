"""What ClickHouse and its client say is told with the setting or the limit that it is about."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from tradewire.core.errors import ClickHouseUnavailable, QueryError
from tradewire.core.settings import ClickHouseSettings
from tradewire.sinks.store import cause_of_silence, unavailable
from tradewire.sinks.stored_history import refusal

CONNECTION = "HTTPConnection(host='h', port=2): Failed to establish a new connection: [Errno 111] Connection refused"
LONG = (
    f"Error HTTPConnectionPool(host='h', port=2): Max retries exceeded (Caused by NewConnectionError(\"{CONNECTION}\"))"
)


def with_code(code: int, text: str) -> ClickHouseError:
    error = DatabaseError(f"Received ClickHouse exception, code: {code}, server response: Code: {code}. {text}")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (LONG, "Connection refused"),
        ("Failed to resolve 'nowhere' ([Errno -2] Name or service not known)", "Name or service not known"),
        ("HTTPConnectionPool(host='h', port=2): Read timed out. (read timeout=1)", "timed out"),
        ("something else", "something else"),
    ],
)
def test_silence_is_told_by_what_the_system_said(said: str, expected: str) -> None:
    assert expected == cause_of_silence(OSError(said))


def test_nobody_at_home_names_the_address_and_its_settings() -> None:
    error = unavailable(ClickHouseSettings(host="h", port=2), OSError(LONG))

    assert isinstance(error, ClickHouseUnavailable)
    assert (
        "ClickHouse at h:2 does not answer: Connection refused. Is it up (`tradewire up` starts one), and are "
        "clickhouse.host and clickhouse.port right?" == str(error)
    )


@pytest.mark.parametrize(
    ("code", "expected"), [(243, "is full: make room there"), (516, "clickhouse.username"), (999, "")]
)
def test_codes_with_a_known_cause_name_it(code: int, expected: str) -> None:
    error = unavailable(ClickHouseSettings(), with_code(code, "DB::Exception: no."))

    assert str(error).split("no.", 1)[1].endswith("right?" if code == 516 else expected)
    assert expected in str(error)


def test_a_table_that_is_not_there_is_told_without_the_question() -> None:
    text = (
        "DB::Exception: Unknown table expression identifier 'tradewire.events'. Maybe you meant x? In scope SELECT a\n"
        "FROM tradewire.events (WHERE b). (UNKNOWN_TABLE) (version 26.9.2.1 (official build))"
    )
    error = refusal(with_code(60, text))

    assert isinstance(error, QueryError)
    assert (
        "ClickHouse refuses (code 60): Unknown table expression identifier 'tradewire.events'. Maybe you meant x? "
        "(UNKNOWN_TABLE) Has the sink run, and is clickhouse.database right?" == str(error)
    )

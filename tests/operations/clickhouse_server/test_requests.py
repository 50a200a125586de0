"""A request as a value, and errors as values. Pure: no server."""

from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict

from tradewire.operations.clickhouse_server import request
from tradewire.operations.clickhouse_server.errors import ClickHouseError, from_engine, http_status


def test_everything_that_is_not_the_protocols_own_is_a_setting() -> None:
    """Parameters of HTTP, query parameters and settings are told apart by name alone."""
    pairs = [("query", "SELECT 1"), ("param_x", "a\\tb"), ("max_threads", "2"), ("database", "d"), ("", "skipped")]
    ask = request.parse("POST", pairs, CIMultiDict())
    assert (ask.query, ask.database) == ("SELECT 1", "d")
    assert (ask.settings, ask.parameters) == ({"max_threads": "2"}, {"x": "a\\tb"})
    assert ask.query_id


def test_headers_win_over_parameters_for_database_and_format() -> None:
    """As on a server."""
    headers = CIMultiDict({"x-clickhouse-database": "h", "x-clickhouse-format": "CSV"})
    ask = request.parse("POST", [("database", "p"), ("default_format", "TSV")], headers)
    assert (ask.database, ask.default_format) == ("h", "CSV")


def test_only_a_form_may_declare_external_tables() -> None:
    """``date_time_input_format`` is a setting, unless the body is a form."""
    pairs = [("date_time_input_format", "basic")]
    assert request.parse("POST", pairs, CIMultiDict()).settings == dict(pairs)
    form = CIMultiDict({"Content-Type": "multipart/form-data; boundary=x"})
    assert request.parse("POST", pairs, form).external == dict(pairs)


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([("session_id", "s"), ("session_timeout", "soon")], 374),
        ([("session_id", "s"), ("session_timeout", "3601")], 374),
        ([("wait_end_of_query", "maybe")], 467),
        ([("buffer_size", "-1")], 72),
        ([("client_protocol_version", "54454")], 48),
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused(pairs: list[tuple[str, str]], code: int) -> None:
    """With the code a server gives it."""
    with pytest.raises(ClickHouseError) as refused:
        request.parse("POST", pairs, CIMultiDict())
    assert refused.value.code == code


def test_credentials_come_from_one_place_only() -> None:
    """Header, basic or parameters; two of them at once are refused, none means the default user."""
    basic = "Basic " + base64.b64encode(b"u:p:q").decode()
    assert request.credentials([], CIMultiDict({"Authorization": basic})) == request.Credentials("u", "p:q", "basic")
    assert request.credentials([("user", "u")], CIMultiDict()).user == "u"
    assert request.credentials([], CIMultiDict()).user == "default"
    for pairs, headers in (
        ([("user", "u")], {"Authorization": basic}),
        ([("password", "p")], {"X-ClickHouse-Key": "k"}),
        ([], {"X-ClickHouse-User": "u", "Authorization": basic}),
        ([], {"Authorization": "Bearer x"}),
        ([], {"Authorization": "Basic %%%"}),
    ):
        with pytest.raises(ClickHouseError) as refused:
            request.credentials(pairs, CIMultiDict(headers))
        assert refused.value.code == 516


def test_an_engine_message_becomes_code_text_and_name() -> None:
    """The version a message already carries is not repeated, and a message without a code is still an error."""
    error = from_engine(
        RuntimeError(
            "Streaming insert finish failed: Code: 27. DB::Exception: Bad (row 2) (NAME_OF_IT) (version 26.9.2.1)"
        )
    )
    assert (error.code, error.name, error.detail) == (27, "NAME_OF_IT", "Bad (row 2)")
    assert error.body("1.2") == "Code: 27. DB::Exception: Bad (row 2) (NAME_OF_IT) (version 1.2 (official build))"
    assert from_engine(RuntimeError("what?")).code == 1002


def test_an_error_within_an_error_is_told_once_and_names_no_file_of_ours() -> None:
    """A client that sent rows is told of its rows."""
    error = from_engine(
        RuntimeError(
            "Code: 27. DB::Exception: Code: 27. DB::Exception: Cannot parse input: (at row 2)\n: (in file/uri"
            " /dev/fd/31): While executing CSVRowInputFormat: While executing File: data for INSERT was parsed"
            " from file. (CANNOT_PARSE) (version 26.9.2.1). (CANNOT_PARSE)"
        )
    )
    assert error.message == (
        "Code: 27. DB::Exception: Cannot parse input: (at row 2)\n: While executing CSVRowInputFormat. (CANNOT_PARSE)"
    )


@pytest.mark.parametrize(
    ("code", "status"), [(62, 400), (60, 404), (81, 404), (115, 404), (516, 403), (497, 403), (159, 408), (395, 500)]
)
def test_codes_have_the_statuses_of_a_server(code: int, status: int) -> None:
    """Clients decide on retries by the status."""
    assert http_status(code) == status

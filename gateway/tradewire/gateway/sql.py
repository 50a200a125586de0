"""Read-only SQL over HTTP. The engine enforces it (``readonly=1`` and limits); what that lets pass is refused here.

The answer is made of the engine's own JSON, with decimals as strings and integers of any size as they are, so no value
passes through a float on its way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from urllib3.exceptions import ProtocolError

from tradewire.core.settings import GatewaySettings
from tradewire.gateway.clickhouse import ClickHouse
from tradewire.gateway.coercion import Converter, record, string
from tradewire.gateway.problems import FieldError, Problem, engine_problem, invalid_body
from tradewire.sinks.questions import READING, beginning, read_only

SQL_BYTES_MAX: Final = 256 * 1024
RESULT_BYTES_MAX: Final = 64 * 1024 * 1024
_MB: Final = 1_000_000
_CODE = re.compile(r"Code: (\d+)\.")


@dataclass(frozen=True, slots=True)
class SqlQuestion:
    """A query with its parameters (``{name:Type}`` in the text); ``rows_max`` is within the limit of the settings."""

    sql: str
    parameters: Mapping[str, Any]
    rows_max: int


def read_question(body: Any, limits: GatewaySettings) -> SqlQuestion:
    """The question of a JSON body.

    Raises:
        Problem: 422 naming the field, or 403 when the statement is not one that reads.
    """
    errors: list[FieldError] = []
    found = _BODY(body, "", errors)
    if not errors:
        rows_max = found.get("rows_max", limits.sql_rows_max)
        if isinstance(rows_max, bool) or not isinstance(rows_max, int) or not 1 <= rows_max <= limits.sql_rows_max:
            errors.append(FieldError("/rows_max", f"must be an integer from 1 to {limits.sql_rows_max}"))
        sql = found["sql"]
        if not sql.strip():
            errors.append(FieldError("/sql", "is empty"))
        if len(sql.encode()) > SQL_BYTES_MAX:
            errors.append(FieldError("/sql", f"is longer than {SQL_BYTES_MAX} bytes"))
        parameters = found.get("parameters", {})
        errors += [
            FieldError(f"/parameters/{name}", f"the query has no {{{name}:Type}}")
            for name in parameters
            if not re.search(rf"\{{\s*{re.escape(name)}\s*:", sql)
        ]
    if errors:
        raise invalid_body(errors)
    word = beginning(sql)
    if word not in READING:
        raise Problem(
            403,
            "read-only",
            "This endpoint only reads",
            f"the query begins with {word or 'no word'}; it must begin with one of {', '.join(READING)}",
            errors=[FieldError("/sql", "is not a statement that reads")],
        )
    return SqlQuestion(sql, parameters, rows_max)


def answer_question(
    clickhouse: ClickHouse, question: SqlQuestion, limits: GatewaySettings, database: str
) -> dict[str, Any]:
    """Asks the engine; blocks at most about ``gateway.sql_seconds_max``.

    Raises:
        Problem: 403 when the engine forbids it, 422 over a limit, 400 for anything else it refuses; with its code.
        ClickHouseUnavailable: no answer.
    """
    wanted = question.rows_max + 1  # one more, to know whether there are more
    settings = {
        **read_only(database, wanted, limits.sql_seconds_max, limits.sql_memory_mb_max * _MB),
        # `max_result_rows` cuts between blocks only, `limit` cuts exactly; what is too large then is an error.
        "limit": wanted,
        "max_result_rows": 0,
        "result_overflow_mode": "throw",
        "max_result_bytes": RESULT_BYTES_MAX,
        "output_format_json_quote_decimals": 1,
        "output_format_json_quote_64bit_integers": 0,
        "output_format_json_quote_denormals": 1,
        "output_format_json_validate_utf8": 1,
    }

    def read(client: Client) -> bytes:
        stream: Any = client.raw_stream(
            question.sql, parameters=dict(question.parameters), settings=settings, fmt="JSONCompact"
        )
        try:
            return bytes(stream.read(RESULT_BYTES_MAX + 1))
        except ProtocolError as error:
            # How ClickHouse ends an answer that fails after it has begun: the reason is in the last bytes.
            return bytes(getattr(error.args[-1], "partial", b""))
        finally:
            stream.close()

    result = _result(clickhouse.ask(read))
    rows = result["data"]
    return {
        "columns": result["meta"],
        "rows": rows[: question.rows_max],
        "row_count": min(len(rows), question.rows_max),
        "truncated": len(rows) > question.rows_max,
        "elapsed_ms": round(float(result["statistics"]["elapsed"]) * 1000, 3),
    }


def _result(raw: bytes) -> Any:
    """The engine's JSON. An error after the first rows comes within it, or cuts it short, with status 200."""
    if len(raw) > RESULT_BYTES_MAX:
        raise Problem(
            422,
            "query-over-limit",
            "The query is over a limit of the gateway",
            f"the answer is larger than {RESULT_BYTES_MAX} bytes: ask for fewer rows or columns",
        )
    try:
        result = json.loads(raw)
        failed = result.get("exception")
    except ValueError:
        failed = raw[-2_000:].decode(errors="replace")
    if failed is not None:
        found = _CODE.findall(failed)
        raise engine_problem(int(found[-1]) if found else 0, failed[failed.find("DB::Exception") :])
    return result


def _parameters(value: Any, at: str, errors: list[FieldError]) -> Any:
    if not isinstance(value, dict):
        errors.append(FieldError(at, "must be an object of values by name"))
        return {}
    return {name: _parameter(item, f"{at}/{name}", errors) for name, item in value.items()}


def _parameter(value: Any, at: str, errors: list[FieldError]) -> Any:
    if isinstance(value, list):
        return [_parameter(item, f"{at}/{index}", errors) for index, item in enumerate(value)]
    if isinstance(value, dict):
        errors.append(FieldError(at, "must be a string, a number, true, false, null or an array of these"))
    # The engine reads a parameter from text, by the type in the query: the text of a decimal is exact.
    return str(value) if isinstance(value, Decimal) else value


def _anything(value: Any, at: str, errors: list[FieldError]) -> Any:
    return value


_BODY: Final[Converter] = record({"sql": string, "parameters": _parameters, "rows_max": _anything}, ["sql"])

"""Errors over HTTP as problem+json (RFC 9457). What an error means to a client is decided here and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tradewire.core import (
    ClickHouseUnavailable,
    EventInvalid,
    KafkaUnavailable,
    PublishError,
    QueryError,
    RegistryUnavailable,
    TradewireError,
    UnknownEventType,
    get_logger,
)
from tradewire.producers import DeliveryUnknown, EventTooLarge, QueueFull, SpoolFull

_log = get_logger(__name__)
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
# Relative to the service (RFC 9457, 3.1.1): the same problem has the same type wherever the gateway runs.
TYPE_PREFIX: Final = "/problems/"

# Codes of the engine: READONLY, ACCESS_DENIED, QUERY_IS_PROHIBITED, INTO_OUTFILE_NOT_ALLOWED.
_FORBIDDEN: Final = frozenset((164, 497, 392, 358))
# TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_SLOW, MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS_OR_BYTES.
_OVER_LIMIT: Final = frozenset((158, 159, 160, 241, 396))
_NOISE = re.compile(
    r"^Received ClickHouse exception, code: \d+, server response: (Code: \d+\. DB::Exception: )*"
    r"|\s*\(version [^)]*\([^)]*\)\).*|\s*\(version [^)]*\).*|\s*\(for url .*",
    re.DOTALL,
)


class FieldError(NamedTuple):
    """One thing wrong with the input. ``where`` is a JSON pointer into the body, or ``?name`` for a query parameter."""

    where: str
    detail: str

    def as_json(self) -> dict[str, str]:
        """``pointer`` as in RFC 9457's own example, ``parameter`` for what is not in the body."""
        if self.where.startswith("?"):
            return {"parameter": self.where[1:], "detail": self.detail}
        return {"pointer": self.where, "detail": self.detail}


class Problem(TradewireError):
    """Raised when a request gets an error as its answer. ``slug`` names the kind, ``errors`` the fields at fault."""

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail, **members)
        self.status = status
        self.slug = slug
        self.title = title
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s

    def as_json(self, instance: str) -> dict[str, Any]:
        """The members of the answer; extension members come last."""
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.message,
            "instance": instance,
        }
        if self.errors:
            body["errors"] = [error.as_json() for error in self.errors]
        return body | {name: value for name, value in self.context.items() if value is not None}

    def response(self, instance: str) -> Response:
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        body = json.dumps(self.as_json(instance), default=str).encode()
        return Response(body, self.status, headers, media_type=MEDIA_TYPE)


def malformed(detail: str, **members: Any) -> Problem:
    """The request cannot be read at all."""
    return Problem(400, "malformed-request", "The request cannot be read", detail, **members)


def bad_parameter(errors: Sequence[FieldError]) -> Problem:
    """Query parameters are unknown or have bad values."""
    return Problem(400, "bad-parameter", "A query parameter is wrong", _first(errors), errors=errors)


def invalid_event(errors: Sequence[FieldError]) -> Problem:
    """The JSON is fine and the event is not; nothing of the request has reached Kafka."""
    return Problem(422, "event-invalid", "The event does not fit its schema", _first(errors), errors=errors)


def invalid_body(errors: Sequence[FieldError]) -> Problem:
    """The JSON is fine and does not say what this endpoint needs."""
    return Problem(422, "body-invalid", "The body is not what this endpoint takes", _first(errors), errors=errors)


def _first(errors: Sequence[FieldError]) -> str:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{first.where}: {first.detail}{more}"


def away(slug: str, title: str, error: Exception, **members: Any) -> Problem:
    """Something the gateway needs is away; asking again may help."""
    return Problem(503, slug, title, str(error), retry_after_s=RETRY_AFTER_S, **members)


def problem_of(error: TradewireError) -> Problem:
    """What an error of the platform is to a client. Not retriable and not the client's fault is 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, UnknownEventType):
        return invalid_event([FieldError("/type", error.message)])
    if isinstance(error, EventInvalid):
        return invalid_event([FieldError("/data", error.message)])
    if isinstance(error, EventTooLarge):
        return Problem(413, "event-too-large", "The event is too large", error.message)
    if isinstance(error, QueueFull | SpoolFull):
        return away("queue-full", "Too many events are waiting for the broker", error)
    if isinstance(error, DeliveryUnknown) and error.retriable:
        return away("delivery-unknown", "It is unknown whether the event was written", error)
    if isinstance(error, PublishError):
        return Problem(500, "publish-failed", "The event could not be published", error.message)
    if isinstance(error, KafkaUnavailable):
        return away("kafka-unavailable", "Kafka does not answer", error)
    if isinstance(error, RegistryUnavailable):
        return away("registry-unavailable", "The schema registry does not answer", error)
    if isinstance(error, ClickHouseUnavailable):
        return away("clickhouse-unavailable", "ClickHouse does not answer", error)
    if isinstance(error, QueryError):
        code: Any = error.context.get("code")
        return engine_problem(int(code), error.message) if code is not None else malformed(error.message)
    if error.retriable:
        return away("unavailable", "Something the gateway needs is away", error)
    return Problem(500, "internal-error", "The gateway could not do this", error.message)


def engine_problem(code: int, text: str) -> Problem:
    """ClickHouse's refusal of a query: its own words without addresses and versions, and its code as ``code``."""
    said = _NOISE.sub("", text).strip() or text
    if code in _FORBIDDEN:
        return Problem(403, "read-only", "This endpoint only reads", said, code=code)
    if code in _OVER_LIMIT:
        return Problem(422, "query-over-limit", "The query is over a limit of the gateway", said, code=code)
    return Problem(400, "query-failed", "ClickHouse refuses the query", said, code=code)


async def answer_tradewire_error(request: Request, error: Exception) -> Response:
    """Exception handler for the whole tree of ours."""
    assert isinstance(error, TradewireError)
    problem = problem_of(error)
    if problem.status >= 500:
        _log.warning("request failed", path=request.url.path, status=problem.status, error=str(error))
    return problem.response(request.url.path)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Exception handler for what the framework refuses by itself: unknown path, wrong method."""
    assert isinstance(error, HTTPException)
    title = {404: "There is nothing at this path", 405: "This path does not take this method"}
    problem = Problem(
        error.status_code,
        {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error"),
        title.get(error.status_code, "The request was refused"),
        f"{request.method} {request.url.path}: {error.detail}",
    )
    response = problem.response(request.url.path)
    response.headers.update(error.headers or {})
    return response


async def answer_any_error(request: Request, error: Exception) -> Response:
    """Exception handler of last resort: the stack goes to the log, never to the client."""
    _log.exception("request failed", path=request.url.path, exc_info=error)
    return Problem(500, "internal-error", "The gateway could not do this", "see the gateway's log").response(
        request.url.path
    )

"""What the routes share: made when the app starts, closed when it ends. Nothing here waits for a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from starlette.responses import Response

from tradewire.core import Settings
from tradewire.gateway._json import read_json, write_json
from tradewire.gateway.clickhouse import ClickHouse
from tradewire.gateway.complete import HistoryPositions
from tradewire.gateway.health import Prober
from tradewire.gateway.idempotency import IdempotentAnswers
from tradewire.gateway.metrics import GatewayMetrics
from tradewire.gateway.problems import FieldError, Problem, bad_parameter
from tradewire.gateway.publishing import EventReader
from tradewire.producers import Publisher
from tradewire.schemas import Contract

BODY_BYTES_MAX: Final = 8 * 1024 * 1024
QUERIES_AT_ONCE: Final = 8
CLOSE_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One of each. ``queries`` is the lane of threads that wait for ClickHouse, apart from those that publish."""

    settings: Settings
    contract: Contract
    publisher: Publisher
    reader: EventReader
    answers: IdempotentAnswers
    clickhouse: ClickHouse
    positions: HistoryPositions
    prober: Prober
    metrics: GatewayMetrics
    queries: CapacityLimiter


@asynccontextmanager
async def open_services(settings: Settings, metrics: GatewayMetrics) -> AsyncIterator[Services]:
    """The services of one running app. At the end events still on their way get up to ``CLOSE_WAIT_S``.

    Raises:
        SchemaFileError: a file of the catalogue or of the topics is at fault.
    """
    contract = Contract.load(settings)
    publisher = Publisher(settings, contract, source="gateway")
    clickhouse = ClickHouse(settings.clickhouse)
    prober = Prober(settings, contract)
    try:
        yield Services(
            settings=settings,
            contract=contract,
            publisher=publisher,
            reader=EventReader(contract),
            answers=IdempotentAnswers(),
            clickhouse=clickhouse,
            positions=HistoryPositions(settings, contract.topics, clickhouse),
            prober=prober,
            metrics=metrics,
            queries=CapacityLimiter(QUERIES_AT_ONCE),
        )
    finally:
        await to_thread.run_sync(publisher.close, CLOSE_WAIT_S)
        prober.close()
        clickhouse.close()


def services_of(request: Request) -> Services:
    """The services of the app that answers this request."""
    services: Services = request.app.state.services
    return services


async def read_body(request: Request) -> tuple[bytes, Any]:
    """The body as bytes and as JSON.

    Raises:
        Problem: 415 not JSON by its content type, 413 too large, 400 unreadable.
    """
    # A body without a type is refused as well: any web page may make a browser send one here, unasked.
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(
            415,
            "unsupported-media-type",
            "The body must be JSON",
            f"content-type is {kind!r}: send application/json",
        )
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise Problem(
                413,
                "body-too-large",
                "The body is too large",
                f"a body may have {BODY_BYTES_MAX} bytes: send fewer events",
            )
    raw = bytes(body)
    return raw, await to_thread.run_sync(read_json, raw)


def only_parameters(request: Request, known: set[str], prefix: str | None = None) -> None:
    """A misspelt parameter that is ignored gives a wrong answer without a word.

    Raises:
        Problem: 400 naming every unknown or repeated query parameter.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    errors = [
        FieldError(f"?{name}", f"is not a parameter here; these are: {', '.join(sorted(known))}")
        for name in dict.fromkeys(names)
        if name not in known and not (prefix and name.startswith(prefix) and name != prefix)
    ]
    errors += [FieldError(f"?{name}", "is given twice") for name in dict.fromkeys(names) if names.count(name) > 1]
    if errors:
        raise bad_parameter(errors)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with decimals as strings."""
    return Response(write_json(value), status, headers, media_type="application/json")

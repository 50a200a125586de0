"""``GET /health``, ``GET /health/live``, ``GET /metrics``, ``POST /sql``."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from tradewire.gateway import documents
from tradewire.gateway.complete import complete_json
from tradewire.gateway.services import json_response, only_parameters, read_body, services_of
from tradewire.gateway.sql import answer_question, read_question

router = APIRouter()


@router.get(
    "/health",
    tags=["service"],
    summary="Each part of the platform, and how far behind the consumers are",
    response_model=documents.HealthDocument,
    responses={503: {"description": "At least one part is down", "model": documents.HealthDocument}},
)
async def get_health(request: Request) -> Response:
    """200 when every part answers, 503 when one does not; looked up at most once a second."""
    only_parameters(request, set())
    health = await services_of(request).prober.check()
    return json_response(health.as_json(), 200 if health.status == "up" else 503)


@router.get("/health/live", tags=["service"], summary="Whether the gateway itself answers")
async def get_live() -> dict[str, str]:
    """Always 200: for supervisors, which should not restart the gateway because another part is away."""
    return {"status": "up"}


@router.get(
    "/metrics",
    tags=["service"],
    summary="Metrics in Prometheus' text format",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def get_metrics(request: Request) -> Response:
    """The gateway's own counters, and the health and lag of the parts as of at most a second ago."""
    services = services_of(request)
    health = await services.prober.check()
    text = await to_thread.run_sync(services.metrics.show, health)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.post(
    "/sql",
    tags=["history"],
    summary="Ask ClickHouse with read-only SQL",
    response_model=documents.SqlAnswer,
    responses=documents.problems(400, 403, 413, 415, 422, 503),
    openapi_extra=documents.POST_SQL,
)
async def post_sql(request: Request) -> Response:
    """The engine runs the query with `readonly=1` and the limits of the gateway's settings; what it refuses comes back
    with its code. Decimals are strings. `truncated` says that there were more rows than `rows_max`."""
    only_parameters(request, set())
    _, body = await read_body(request)
    services = services_of(request)
    limits = services.settings.gateway
    question = read_question(body, limits)

    def answer() -> dict[str, Any]:
        complete = services.positions.of_all_tables()
        found = answer_question(services.clickhouse, question, limits, services.settings.clickhouse.database)
        return found | {"complete": complete_json(complete)}

    return json_response(await to_thread.run_sync(answer, limiter=services.queries))

"""``POST /events``."""

from __future__ import annotations

import time
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from tradewire.gateway import documents
from tradewire.gateway._json import write_json
from tradewire.gateway.idempotency import Answer, read_key
from tradewire.gateway.problems import Problem
from tradewire.gateway.publishing import DELIVERY_WAIT_S, make_events, queue_events, settle
from tradewire.gateway.services import Services, only_parameters, read_body, services_of

router = APIRouter(tags=["events"])


@router.post(
    "/events",
    status_code=201,
    summary="Publish one event or several",
    response_model=documents.PublishedEvent | documents.PublishedEvents,
    responses=documents.problems(400, 413, 415, 422, 503, s202=documents.ACCEPTED_EVENTS),
    openapi_extra=documents.POST_EVENTS,
)
async def post_events(
    request: Request,
    wait: Annotated[bool, Query(description="false answers 202 as soon as the events are queued")] = True,
    idempotency_key: Annotated[str | None, Header(description="makes the event ids a function of the key")] = None,
) -> Response:
    """All events of a request are checked before the first is queued: one that is wrong stops all.

    Decimals are JSON strings or integers, never JSON numbers with a fraction. 201 means that the brokers have confirmed
    every event; 202 `spooled` that they have not, and the events are on the gateway's disk (`publisher.spool_folder`):
    they reach Kafka once and in order, so do not send them again. With 503 `delivery-unknown` an event may have been
    written: send it again only with the same id or the same Idempotency-Key.
    """
    only_parameters(request, {"wait"})
    key = read_key(idempotency_key)
    raw, body = await read_body(request)
    services = services_of(request)
    if key is None:
        answer = await _publish(services, body, wait=wait, key=None)
        return _response(answer)
    answer, repeated = await services.answers.once(
        key, raw + (b"" if wait else b"?wait=false"), lambda: _publish(services, body, wait=wait, key=key)
    )
    return _response(answer, {"Idempotency-Replayed": "true"} if repeated else {})


async def _publish(services: Services, body: Any, *, wait: bool, key: str | None) -> Answer:
    many = isinstance(body, list)
    drafts = await to_thread.run_sync(services.reader.read, body)
    events = make_events(drafts, source=services.publisher.source, idempotency_key=key, now_ns=time.time_ns())
    queued = await to_thread.run_sync(lambda: queue_events(services.publisher, events, many=many))
    try:
        outcomes = await settle(services.publisher, events, queued, wait=wait, wait_s=DELIVERY_WAIT_S)
    except Problem as problem:
        told: Any = problem.context.get("events", ())
        for outcome in told:
            accepted = outcome["status"] in ("written", "spooled")
            counter = services.metrics.published if accepted else services.metrics.not_confirmed
            counter.labels(outcome["type"]).inc()
        raise
    for event in events:
        services.metrics.published.labels(event.type).inc()
    written = all(outcome["status"] == "written" for outcome in outcomes)
    return Answer(201 if written else 202, write_json({"events": outcomes} if many else outcomes[0]))


def _response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    return Response(answer.body, answer.status, headers, media_type="application/json")

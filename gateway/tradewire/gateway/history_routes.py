"""``GET /events`` and ``GET /flows/{correlation_id}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from tradewire.core import QueryError
from tradewire.gateway import documents
from tradewire.gateway.complete import complete_json
from tradewire.gateway.history import DATA_PREFIX, FILTERS, event_json, flow_json, flow_text, read_filter
from tradewire.gateway.problems import RETRY_AFTER_S, FieldError, Problem, bad_parameter
from tradewire.gateway.services import Services, json_response, only_parameters, services_of
from tradewire.sinks.complete import CompleteUpTo, complete_line
from tradewire.sinks.stored_history import StoredHistory

router = APIRouter(tags=["history"])
_T = TypeVar("_T")
LIMIT_MAX: Final = 1_000
# UNKNOWN_TABLE and UNKNOWN_DATABASE: the sink makes both when it starts.
_NO_TABLES: Final = (60, 81)


@router.get(
    "/events",
    summary="Stored events, page by page",
    response_model=documents.EventPage,
    responses=documents.problems(400, 503),
    openapi_extra=documents.GET_EVENTS,
)
async def get_events(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="events of one page")] = 100,
    cursor: Annotated[str | None, Query(description="`cursor` of the page before")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="by time of occurrence")] = "newest",
    version: Annotated[Literal["newest", "written"], Query(description="which version `data` is in")] = "newest",
) -> Response:
    """Events that the sink has stored, filtered by what is given. `data.<path>=text` compares one field of the data as
    it was written, by its text: a decimal without trailing zeros, an enum by its symbol; `data.levels[0].price` reaches
    into lists and records. Pages of one chain of cursors repeat no event. `data` is of the newest version of the type
    unless `version=written` is asked for; `complete` says how far the answer is complete."""
    only_parameters(request, {*FILTERS, "limit", "cursor", "order", "version"}, prefix=DATA_PREFIX)
    services = services_of(request)
    errors: list[FieldError] = []
    wanted = read_filter(request.query_params.multi_items(), services.contract.catalogue, errors)
    if errors:
        raise bad_parameter(errors)
    codec = services.contract.codec if version == "newest" else None
    page, complete = await _ask(
        services,
        lambda history: history.events(wanted, limit=limit, cursor=cursor, order=order, codec=codec),
        wanted.topic,
    )
    events = [event_json(event) for event in page.events]
    return json_response({"events": events, "cursor": page.cursor, "complete": complete_json(complete)})


@router.get(
    "/flows/{correlation_id:path}",
    summary="All events of a flow as a tree of causes",
    response_model=documents.FlowDocument,
    responses=documents.problems(400, 404, 503),
)
async def get_flow(
    request: Request,
    correlation_id: str,
    format: Annotated[Literal["json", "text"], Query(description="text: indented lines for a terminal")] = "json",
    version: Annotated[Literal["newest", "written"], Query(description="which version `data` is in")] = "newest",
) -> Response:
    """Steps in the order of a tree walk: each event is followed by its effects, one deeper; `hop_latency_ns` is the
    time since its cause. 404 while no event of the flow is stored: the sink is some hundred milliseconds behind."""
    only_parameters(request, {"format", "version"})
    services = services_of(request)
    codec = services.contract.codec if version == "newest" else None
    flow, complete = await _ask(services, lambda history: history.flow(correlation_id, codec=codec))
    if not flow.steps:
        raise Problem(
            404,
            "flow-not-found",
            "There is no such flow",
            f"no event with correlation id {correlation_id!r} is stored (yet): was it published, does the sink run?",
        )
    if format == "text":
        return PlainTextResponse(f"{flow_text(flow)}{complete_line(complete)}\n")
    return json_response(flow_json(flow) | {"complete": complete_json(complete)})


async def _ask(
    services: Services, question: Callable[[StoredHistory], _T], topic: str | None = None
) -> tuple[_T, CompleteUpTo | None]:
    """The answer, and up to where it is complete: what was true before the question was put."""

    def answer() -> tuple[_T, CompleteUpTo | None]:
        history = StoredHistory(services.clickhouse.client(), services.settings.clickhouse.database)
        complete = services.positions.now(topic)
        return question(history), complete

    try:
        return await to_thread.run_sync(answer, limiter=services.queries)
    except QueryError as error:
        field: Any = error.context.get("field")
        if field is not None:
            raise bad_parameter([FieldError(f"?{field}", error.message)]) from error
        if error.context.get("code") in _NO_TABLES:
            raise Problem(
                503,
                "history-not-ready",
                "Nothing has been stored yet",
                "the tables of history are not there: the sink makes them when it starts",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        raise

"""What OpenAPI says of bodies and answers. Documentation only: requests are read by hand, to keep numbers exact."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field


class FieldErrorDocument(BaseModel):
    """One thing wrong with the input."""

    pointer: str | None = Field(None, description="JSON pointer into the body (RFC 6901)", examples=["/data/price"])
    parameter: str | None = Field(None, description="name of the query parameter")
    detail: str


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["/problems/event-invalid"])
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldErrorDocument] | None = None
    code: int | None = Field(None, description="ClickHouse's error code")
    events: list[dict[str, Any]] | None = Field(None, description="what became of each event of the request")


class PublishedEvent(BaseModel):
    """Where an event lies."""

    id: str
    type: str
    subject: str
    correlation_id: str
    time: str = Field(description="when it occurred, RFC 3339 with nine digits")
    status: Literal["written", "queued", "spooled"]
    detail: str | None = Field(None, description="of a spooled one, what that means")
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    recorded: str | None = Field(None, description="the broker's time")


class PublishedEvents(BaseModel):
    """The events of a request that was an array, in its order."""

    events: list[PublishedEvent]


class PartDocument(BaseModel):
    """One part of the platform; the last four members only for consumer groups."""

    status: Literal["up", "down"]
    latency_ms: float
    detail: str
    group: str | None = None
    members: int | None = None
    lag: int | None = Field(None, description="records not committed yet")
    topics: dict[str, int] | None = None


class HealthDocument(BaseModel):
    """All parts."""

    status: Literal["up", "down"]
    parts: dict[str, PartDocument]


class SqlColumn(BaseModel):
    """A column of the answer, with ClickHouse's type."""

    name: str
    type: str


class CompleteDocument(BaseModel):
    """Up to where an answer is complete; null when Kafka could not be asked."""

    recorded: str | None = Field(
        description="what the brokers have stamped before this time is in the answer, if it belongs there; null: "
        "nothing is stored yet of some partition"
    )
    behind: int = Field(description="offsets in Kafka that are not confirmed in ClickHouse; transaction markers count")
    asked: str = Field(description="when Kafka was asked, at most a second before the question")


class SqlAnswer(BaseModel):
    """Rows as arrays, in the order of ``columns``."""

    columns: list[SqlColumn]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: float
    complete: CompleteDocument | None


class StoredEventDocument(BaseModel):
    """An event with its place in Kafka and its three times: occurred, recorded by the broker, stored in ClickHouse."""

    id: str
    type: str
    version: int = Field(description="of the schema that wrote it")
    data_version: int = Field(description="of `data`: the newest that the gateway knows, or `version`")
    source: str
    subject: str
    time: str
    correlation_id: str
    causation_id: str | None
    sequence: int | None
    tags: dict[str, str]
    data: dict[str, Any] = Field(description="decimals as strings; fields that are null are left out")
    topic: str
    partition: int
    offset: int
    recorded: str
    stored: str
    schema_id: int
    unread: str | None = Field(None, description="why `data` could not be given in the newest version")


class EventPage(BaseModel):
    """One page; ``cursor`` is null after the last one."""

    events: list[StoredEventDocument]
    cursor: str | None
    complete: CompleteDocument | None


class StepDocument(BaseModel):
    """One event of a flow. ``orphan``: its cause is not stored (yet)."""

    depth: int
    hop_latency_ns: int | None
    orphan: bool
    event: StoredEventDocument


class FlowDocument(BaseModel):
    """A flow as a tree walk."""

    correlation_id: str
    event_count: int
    duration_ns: int
    truncated: bool
    steps: list[StepDocument]
    complete: CompleteDocument | None


_TRADE: Final = {
    "type": "market.trade.reported",
    "subject": "binance.spot:BTCUSDT",
    "time": "2024-08-08T12:00:00.123456789Z",
    "data": {
        "venue": "binance.spot",
        "symbol": "BTCUSDT",
        "trade_id": "3732834512",
        "price": "61837.63",
        "quantity": "0.00162",
        "aggressor_side": "BUY",
        "trade_time_ns": "2024-08-08T12:00:00.123Z",
    },
}
_ORDER: Final = {
    "type": "trading.order.created",
    "subject": "o-1",
    "correlation_id": "flow-1",
    "data": {
        "order_id": "o-1",
        "account": "a-1",
        "symbol": "BTCUSDT",
        "venue": "binance.spot",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": "0.5",
        "limit_price": "61800",
    },
}
_EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "subject", "data"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "description": "an event type of the catalogue"},
        "subject": {"type": "string", "description": "the aggregate id; events of one subject keep their order"},
        "data": {"type": "object", "description": "fields of the type's schema; decimals as strings"},
        "source": {"type": "string", "description": "who says so; `gateway` when not given"},
        "time": {
            "description": "when it occurred: RFC 3339 with an offset and up to nine digits, or nanoseconds since 1970",
            "oneOf": [{"type": "string"}, {"type": "integer", "format": "int64"}],
        },
        "id": {"type": "string", "description": "made when not given"},
        "correlation_id": {"type": "string", "description": "the flow to join; its own id when not given"},
        "causation_id": {"type": "string", "description": "id of the event that caused this one"},
        "sequence": {"type": "integer", "minimum": 0},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
POST_EVENTS: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_EVENT_SCHEMA, {"type": "array", "items": _EVENT_SCHEMA, "minItems": 1}]},
                "examples": {
                    "trade": {"summary": "A trade that a venue printed", "value": _TRADE},
                    "order": {"summary": "An order that joins a flow", "value": _ORDER},
                    "several": {"summary": "Several events, all or none", "value": [_TRADE, _ORDER]},
                },
            }
        },
    }
}
_FILTERS: Final = {
    "type": "an event type",
    "topic": "a Kafka topic",
    "partition": "a partition, with `topic`",
    "source": "who published it",
    "subject": "the aggregate id",
    "correlation_id": "the flow",
    "id": "one event",
    "from": "not before this time: RFC 3339 or nanoseconds since 1970",
    "to": "before this time",
    "data.symbol": "a field of the data by its text; any field, and a dot for a field within a field",
}
GET_EVENTS: Final[dict[str, Any]] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}, "description": said}
        for name, said in _FILTERS.items()
    ]
}
POST_SQL: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["sql"],
                    "additionalProperties": False,
                    "properties": {
                        "sql": {"type": "string"},
                        "parameters": {
                            "type": "object",
                            "description": "values of {name:Type} in the query; decimals as strings",
                        },
                        "rows_max": {"type": "integer", "minimum": 1},
                    },
                },
                "examples": {
                    "candles": {
                        "summary": "The newest candles of one instrument",
                        "value": {
                            "sql": "SELECT * FROM readmodel_candle FINAL WHERE key LIKE {key:String} "
                            "ORDER BY key DESC LIMIT 10",
                            "parameters": {"key": "binance.spot:BTCUSDT%"},
                        },
                    }
                },
            }
        },
    }
}
ACCEPTED_EVENTS: Final[dict[str, Any]] = {
    "description": "Not in Kafka yet: `queued` and not waited for, or `spooled` on the gateway's disk while no broker "
    "answers; they are delivered without being sent again",
    "model": PublishedEvent | PublishedEvents,
}
_SAID: Final = {
    400: "The request cannot be read, a query parameter is wrong, or ClickHouse refuses the query",
    403: "The statement is not one that reads",
    404: "There is no such flow",
    413: "Too large",
    415: "The body is not JSON",
    422: "The JSON is fine and its content is not; `errors` names every field",
    503: "Something the gateway needs is away; see `Retry-After`",
}


def problems(*statuses: int, **others: Any) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, and ``others`` by name (``s202=…``)."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    documented: dict[int | str, dict[str, Any]] = {
        status: {"description": _SAID[status], "content": {"application/problem+json": {"schema": schema}}}
        for status in statuses
    }
    return documented | {int(name[1:]): other for name, other in others.items()}

"""Tables, derived from Avro schemas. Pure: this module makes SQL text and never runs it.

``landing_<type>_v<N>`` (ENGINE = Null) takes the Avro blocks of one schema. Its materialized views fill ``events``, one
row for every event of every type, and the typed table of that event type, in which ``notional`` is computed on reading
where there are a price and a quantity. Types that name their own compacted topic (read models, flow states) fill one
table with the newest row of each key instead, and no ``events``.

Every target remembers the deduplication tokens of its last inserts, so that a repeated insert adds no row anywhere.
No table has PARTITION BY: an insert is atomic within one ClickHouse partition only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tradewire.schemas.catalogue import Catalogue
from tradewire.sinks.analytics_views import event_views, read_model_views
from tradewire.sinks.columns import columns_of, literal, quoted, table_column
from tradewire.sinks.notional import AliasColumn, notional_of
from tradewire.sinks.projections import projection_clauses
from tradewire.sinks.typed_columns import column_names

# Part of every deduplication token: raise it when the same record would give another row than before.
TABLE_VERSION: Final = 2

# Most batches are small, and what a small part costs is its files: now one instead of thirty; projections wait for the
# first merge. Settings that the server does not know are left out.
PART_SETTINGS: Final[Mapping[str, int]] = {
    "min_bytes_for_full_part_storage": 64 * 1024 * 1024,
    "materialize_projections_on_insert": 0,
    "materialize_projections_on_merge": 1,
}

_POSITION: Final = (
    "topic LowCardinality(String), partition Int32 CODEC(Delta, ZSTD), offset Int64 CODEC(Delta, ZSTD)",
    "recorded_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD)",
    "stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta, ZSTD)",
)
# The events of a flow lie far apart: each costs a granule of every column that is asked for.
_EVENTS: Final[Mapping[str, int]] = {"index_granularity": 2048}
_PAYLOAD: Final = "JSON(max_dynamic_paths = 512)"
_RAW: Final = (
    "key Nullable(String) CODEC(ZSTD)",
    "value String CODEC(ZSTD)",
    "header_layout LowCardinality(String)",
    "header_values Array(String) CODEC(ZSTD)",
)
_LANDING: Final = (
    "topic LowCardinality(String), partition Int32, schema_id Int64, header_layout LowCardinality(String)",
    "type LowCardinality(String), offset_bytes FixedString(8), recorded_ms_bytes FixedString(8)",
    "time_ns_bytes FixedString(8), id String, source LowCardinality(String), subject String, correlation_id String",
    "causation_id String, sequence_bytes Nullable(FixedString(8)), tags Map(LowCardinality(String), String)",
    "header_values Array(String), key Nullable(String), value String",
)
_POSITION_SELECT: Final = (
    "topic, partition, reinterpretAsInt64(offset_bytes) AS offset",
    "fromUnixTimestamp64Milli(reinterpretAsInt64(recorded_ms_bytes), 'UTC') AS recorded_at",
)
# Envelope columns of a typed table; a field of the same name becomes data_<name>.
_POSITION_NAMES: Final = ("topic", "partition", "offset", "recorded_at", "stored_at", "key", "is_deleted")
_ENVELOPE_NAMES: Final = frozenset(
    (*_POSITION_NAMES, "id", "version", "source", "subject", "correlation_id", "time_ns", "occurred_at")
)


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How tables are kept: the number of tokens each remembers, and settings of their parts."""

    window: int
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A writer's schema as the sink stores it. ``topic`` is set for types with a compacted topic of their own.

    ``schema_id`` is set where the schema is none of the catalogue's; ``version`` is then what it says of itself, or 0.
    It is a text where only a GUID is known.
    """

    type: str
    version: int
    schema: Mapping[str, Any]
    schema_id: int | str | None = None
    topic: str | None = None
    is_breaking: bool = False

    @property
    def landing(self) -> str:
        suffix = f"v{self.version}" if self.schema_id is None else f"s{self.schema_id}"
        return f"landing_{_flat(self.type)}_{suffix}"

    @property
    def table(self) -> str:
        """``trading_order_filled``; of read models ``readmodel_order``, later ``readmodel_order_v2``."""
        if self.topic is None:
            return _flat(self.type)
        return read_model_table(self.topic)


def read_model_table(topic: str) -> str:
    """``readmodel.order.v1`` is kept in ``readmodel_order``, ``readmodel.order.v2`` in ``readmodel_order_v2``."""
    return _flat(topic.removesuffix(".v1"))


def _flat(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name).lower()


def stored_schemas(catalogue: Catalogue) -> list[StoredSchema]:
    """The catalogue's schemas that the sink stores; ``flows.step.recorded`` is only read by workers."""
    return [
        StoredSchema(type.name, schema.version, schema.schema, topic=type.topic, is_breaking=schema.is_breaking)
        for type in catalogue.values()
        if type.topic != "flows.steps"
        for schema in type.versions
    ]


def _create(table: str, columns: Iterable[str], tail: str) -> str:
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)}) {tail}"


def _merge_tree(
    order: str, options: TableOptions, engine: str = "MergeTree", settings: Mapping[str, int] | None = None
) -> str:
    found = {"non_replicated_deduplication_window": options.window, **options.parts, **(settings or {})}
    text = ", ".join(f"{name} = {value}" for name, value in found.items())
    return f"ENGINE = {engine} ORDER BY ({order}) SETTINGS {text}"


def base_statements(database: str, options: TableOptions) -> dict[str, str]:
    """The tables that every database has, by name, in the order they must be made."""
    at = f"{quoted(database)}."
    events = (
        *_POSITION,
        "type LowCardinality(String), version UInt16, schema_id UInt32",
        "id String CODEC(ZSTD), source LowCardinality(String), subject String CODEC(ZSTD)",
        "correlation_id String CODEC(ZSTD), causation_id String CODEC(ZSTD)",
        "sequence Nullable(Int64) CODEC(ZSTD), tags Map(LowCardinality(String), String) CODEC(ZSTD)",
        "time_ns Int64 CODEC(Delta, ZSTD), occurred_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD)",
        # Making a JSON column costs the engine as much as all else of a row; most rows are never asked for a field.
        f"payload_text String CODEC(ZSTD), payload {_PAYLOAD} ALIAS payload_text::{_PAYLOAD}",
        *_RAW,
        "INDEX by_time time_ns TYPE minmax GRANULARITY 1, INDEX by_recorded recorded_at TYPE minmax GRANULARITY 1",
        "INDEX by_type type TYPE set(64) GRANULARITY 1, INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1",
        *projection_clauses(),
    )
    dead_letters = (
        *_POSITION,
        "reason LowCardinality(String), error String CODEC(ZSTD), schema_id UInt32",
        "origin_topic LowCardinality(String), origin_partition Int32, origin_offset Int64",
        "origin_group LowCardinality(String)",
        "key Nullable(String) CODEC(ZSTD), value Nullable(String) CODEC(ZSTD)",
        "header_layout LowCardinality(String), header_values Array(String) CODEC(ZSTD)",
    )
    schemas = (
        "id UInt32, type LowCardinality(String), version UInt16, schema String CODEC(ZSTD)",
        "stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')",
    )
    return {
        "events": _create(f"{at}events", events, _merge_tree("topic, partition, offset", options, settings=_EVENTS)),
        "dead_letters": _create(f"{at}dead_letters", dead_letters, _merge_tree("topic, partition, offset", options)),
        "schemas": _create(f"{at}schemas", schemas, "ENGINE = ReplacingMergeTree(stored_at) ORDER BY id"),
        "schema_guids": _create(
            f"{at}schema_guids",
            ("guid UUID", *schemas[0].split(", ")[1:], *schemas[1:]),
            "ENGINE = ReplacingMergeTree(stored_at) ORDER BY guid",
        ),
        **{name: f"CREATE OR REPLACE VIEW {at}{name} AS {select}" for name, select in _views(at).items()},
    }


def _views(at: str) -> Mapping[str, str]:
    return {
        **event_views(at),
        "v_events_per_minute": (
            "SELECT toStartOfMinute(recorded_at) AS minute, topic, type, count() AS events, "
            "quantile(0.5)(toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(recorded_at)) "
            "AS stored_after_ms_p50, "
            "quantile(0.99)(toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(recorded_at)) "
            f"AS stored_after_ms_p99 FROM {at}events GROUP BY minute, topic, type"
        ),
        "v_flow_latency": (
            "SELECT correlation_id, argMin(type, (time_ns, causation_id != '')) AS first_type, "
            "argMax(type, time_ns) AS last_type, count() AS events, min(occurred_at) AS started_at, "
            f"max(occurred_at) AS last_at, max(time_ns) - min(time_ns) AS duration_ns FROM {at}events "
            "GROUP BY correlation_id HAVING events > 1"
        ),
        "v_hop_latency": (
            "SELECT effect.correlation_id AS correlation_id, cause.type AS cause_type, effect.type AS effect_type, "
            "effect.time_ns - cause.time_ns AS latency_ns, effect.occurred_at AS occurred_at "
            f"FROM {at}events AS effect INNER JOIN {at}events AS cause "
            "ON cause.correlation_id = effect.correlation_id AND cause.id = effect.causation_id "
            "WHERE effect.causation_id != ''"
        ),
    }


@dataclass(frozen=True, slots=True)
class Statement:
    """One step of DDL; ``creates`` names the table or view that proves it was done, None for ALTER."""

    sql: str
    creates: str | None = None


def schema_statements(
    database: str, stored: StoredSchema, options: TableOptions, present: Mapping[str, str] | None = None
) -> list[Statement]:
    """What one schema needs, in order; safe to repeat. Columns that an earlier version lacks are added.

    ``present`` are the types of the columns that the typed table has already; which column takes which field follows
    from them (``typed_columns``). A column that is computed takes none: its type is ``ALIAS …`` there.

    Raises:
        UnsupportedSchema: a field has no ClickHouse type.
    """
    at = f"{quoted(database)}."
    fields = columns_of(stored.schema)
    data = "Tuple(" + ", ".join(f"{quoted(name)} {type}" for name, type in fields.items()) + ")"
    landing = (
        *_LANDING,
        f"data {data if fields else 'Tuple()'}, end_offset_bytes FixedString(8)",
        # A record that is longer or shorter than its schema says shifts all that follows: refuse the block.
        "CONSTRAINT record_is_as_long_as_its_schema_says CHECK offset_bytes = end_offset_bytes",
    )
    typed = typed_columns(stored, present)
    statements = [
        *_table_statements(at, stored, typed, present or {}, options),
        Statement(_create(f"{at}{stored.landing}", landing, "ENGINE = Null"), stored.landing),
    ]
    for table, select in feeds_of(stored, typed).items():
        name = f"{stored.landing}_to_{'events' if table == 'events' else 'table'}"
        sql = f"CREATE MATERIALIZED VIEW IF NOT EXISTS {at}{name} TO {at}{table} AS SELECT {select} "
        statements.append(Statement(f"{sql} FROM {at}{stored.landing}", name))
    return statements


def feeds_of(stored: StoredSchema, typed: Sequence[TypedColumn]) -> Mapping[str, str]:
    """The tables that the landing table of a schema fills, each with what its view selects."""
    feeds = {stored.table: _table_select(stored, typed)}
    if stored.topic is None:
        feeds["events"] = _events_select(stored)
    return feeds


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """The column of a typed table that takes a field. ``default`` is what rows of other versions show, as SQL."""

    field: str
    name: str
    type: str
    default: str | None


def typed_columns(stored: StoredSchema, present: Mapping[str, str] | None = None) -> list[TypedColumn]:
    """The typed columns of one schema, in the order of its fields, beside those that the table has already.

    Raises:
        UnsupportedSchema: a field has no ClickHouse type.
    """
    fields = columns_of(stored.schema)
    plain = {column_name(field): table_column(field, type) for field, type in fields.items()}
    label = f"v{stored.version}" if stored.version else f"s{stored.schema_id}"
    names = column_names(plain, present or {}, label, breaking=stored.is_breaking)
    defaults = {field["name"]: field.get("default") for field in stored.schema["fields"]}
    return [
        TypedColumn(
            field,
            names[column_name(field)],
            plain[column_name(field)],
            None if stored.is_breaking else _default(defaults[field], type),
        )
        for field, type in fields.items()
    ]


def _default(value: Any, type: str) -> str | None:
    """A default of Avro as SQL; None where it is what ClickHouse gives a column without one, or no plain value."""
    scalar = type.replace("LowCardinality(", "").replace("Nullable(", "").rstrip(")")
    if isinstance(value, bool):
        return "true" if value and scalar == "Bool" else None
    if isinstance(value, int | float):
        return repr(value) if value and scalar in ("Int32", "Int64", "Float32", "Float64") else None
    return literal(value) if isinstance(value, str) and value and scalar == "String" else None


def _table_statements(
    at: str,
    stored: StoredSchema,
    columns: Sequence[TypedColumn],
    present: Mapping[str, str],
    options: TableOptions,
) -> list[Statement]:
    envelope: tuple[str, ...]
    typed = [f"{quoted(column.name)} {column.type}{_codec(column.type)}" for column in columns]
    if stored.topic is None:
        envelope = (
            *_POSITION,
            "id String CODEC(ZSTD), version UInt16, source LowCardinality(String), subject String CODEC(ZSTD)",
            "correlation_id String CODEC(ZSTD), time_ns Int64 CODEC(Delta, ZSTD)",
            "occurred_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD)",
        )
        tail = _merge_tree("topic, partition, offset", options)
    else:
        envelope = (
            *_POSITION,
            "key String CODEC(ZSTD), id String CODEC(ZSTD), version UInt16, correlation_id String CODEC(ZSTD)",
            "time_ns Int64 CODEC(Delta, ZSTD), is_deleted UInt8 DEFAULT 0",
        )
        tail = _merge_tree("key", options, "ReplacingMergeTree(offset, is_deleted)")
    create = Statement(_create(f"{at}{stored.table}", (*envelope, *typed), tail), stored.table)
    first = stored.version == 1 and stored.schema_id is None
    added = [
        Statement(
            f"ALTER TABLE {at}{stored.table} ADD COLUMN IF NOT EXISTS {quoted(column.name)} {column.type}"
            f"{f' DEFAULT {column.default}' if column.default else ''}{_codec(column.type)}"
        )
        for column in columns
        if column.name not in present and not first
    ]
    alias = alias_column(stored, columns, present)
    if alias is not None:
        added.append(Statement(f"ALTER TABLE {at}{stored.table} ADD COLUMN IF NOT EXISTS {alias.sql}"))
    return [create, *added]


def alias_column(
    stored: StoredSchema, columns: Sequence[TypedColumn], present: Mapping[str, str]
) -> AliasColumn | None:
    """The column ``notional`` where a table of events lacks it and can have it, one of an earlier release too."""
    if stored.topic is not None or "notional" in present:
        return None
    return notional_of({**present, **{column.name: column.type for column in columns}})


def _codec(type: str) -> str:
    if type in ("Int64", "Int32"):
        return " CODEC(Delta, ZSTD)"
    return "" if type.startswith("LowCardinality(") else " CODEC(ZSTD)"


def column_name(field: str) -> str:
    """The column of a field in its typed table; ``data_<field>`` where the envelope has a column of that name."""
    return f"data_{field}" if field in _ENVELOPE_NAMES else field


def _table_select(stored: StoredSchema, columns: Sequence[TypedColumn]) -> str:
    envelope = [
        *_POSITION_SELECT,
        f"id, toUInt16({stored.version}) AS version, correlation_id, reinterpretAsInt64(time_ns_bytes) AS time_ns",
    ]
    if stored.topic is None:
        envelope.append("source, subject, fromUnixTimestamp64Nano(reinterpretAsInt64(time_ns_bytes)) AS occurred_at")
    else:
        envelope.append("ifNull(key, '') AS key, toUInt8(0) AS is_deleted")
    typed = [f"tupleElement(data, {literal(column.field)}) AS {quoted(column.name)}" for column in columns]
    return ", ".join((*envelope, *typed))


def _events_select(stored: StoredSchema) -> str:
    return ", ".join(
        (
            *_POSITION_SELECT,
            f"type, toUInt16({stored.version}) AS version, toUInt32(schema_id) AS schema_id, id, source, subject",
            "correlation_id, causation_id, reinterpretAsInt64(sequence_bytes) AS sequence, tags",
            "reinterpretAsInt64(time_ns_bytes) AS time_ns",
            "fromUnixTimestamp64Nano(reinterpretAsInt64(time_ns_bytes)) AS occurred_at",
            "toJSONString(data) AS payload_text",
            "key, value, header_layout, header_values",
        )
    )


def view_names() -> Sequence[str]:
    """The views for analysts."""
    return sorted((*_views(""), *read_model_views("")))

"""What to do with a schema id: which tables take its records. Makes the tables that are missing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from tradewire.core import get_logger
from tradewire.core.errors import MalformedRecord, SinkError, UnknownSchemaId
from tradewire.schemas import Catalogue, SchemaIds, full_name, readable_schema
from tradewire.schemas.codec import FRAME
from tradewire.sinks.analytics_views import read_model_views
from tradewire.sinks.columns import UnsupportedSchema
from tradewire.sinks.container import WriterKey, key_name
from tradewire.sinks.ddl import (
    PART_SETTINGS,
    StoredSchema,
    TableOptions,
    alias_column,
    base_statements,
    feeds_of,
    read_model_table,
    schema_statements,
    stored_schemas,
    typed_columns,
)
from tradewire.sinks.projections import projection_statements
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import Store

_log = get_logger(__name__)
_FLOWS: Final = "flows_state"


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows of one schema id go and how they are built."""

    landing: str
    shape: RowShape
    # The tables that the landing table fills, each with what its view selects.
    feeds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NoTarget:
    """Why records of a schema id become dead letters."""

    reason: str
    error: str


def stored_schema_of(catalogue: Catalogue, schema_id: int | str, schema: Mapping[str, Any]) -> StoredSchema:
    """The stored form of a writer's schema: the catalogue's version where it means the same, else a form of its own.

    A form of its own has the version that its schema gives where that is later than any here, else 0.
    """
    written = catalogue.identify(schema)
    if written.type is not None:
        type, known = written.type, written.known
        if known is not None:
            return StoredSchema(type.name, known.version, schema, topic=type.topic, is_breaking=known.is_breaking)
        foreign = written.newest_alike is None
        return StoredSchema(
            type.name, written.version or 0, schema, schema_id=schema_id, topic=type.topic, is_breaking=foreign
        )
    ours = schema.get("tradewire") or {}
    return StoredSchema(
        str(ours.get("type", full_name(schema))),
        int(ours.get("version", 0)),
        schema,
        schema_id=schema_id,
        topic=ours.get("topic"),
    )


def _label(key: WriterKey) -> int | str:
    """What the tables of a schema that is none of the catalogue's are named after."""
    name = key_name(key)
    return name if isinstance(name, int) else f"g{name.replace('-', '')}"


class Tables:
    """The tables of one database, as far as this process has seen to them.

    Raises:
        SinkError: from any call, when the database was made by a sink whose ``events`` were of another form.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        schema_ids: SchemaIds,
        window: int,
        *,
        unknown_wait_s: float = 0.0,
    ) -> None:
        """``unknown_wait_s`` is how long a schema id that nobody knows is asked for before its records are dead."""
        self._store = store
        self._catalogue = catalogue
        self._schema_ids = schema_ids
        self._options = TableOptions(window)
        self._present: set[str] | None = None
        self._columns: dict[str, dict[str, str]] = {}
        self._targets: dict[WriterKey, Target] = {}
        self._no_targets: dict[WriterKey, NoTarget] = {}
        self._archived: set[int | UUID] = set()
        self._unknown_wait_s = unknown_wait_s
        self._unknown_since: dict[WriterKey, float] = {}

    def ensure(self) -> None:
        """Makes the database, its own tables and those of the catalogue. Safe to repeat and to run twice at once.

        Raises:
            ClickHouseUnavailable: some may have been made; repeat it.
        """
        present = self._look()
        for name, sql in base_statements(self._store.database, self._options).items():
            if name not in present:
                self._store.command(sql)
        if "events" in present:
            self._bring_projections_over()
        rows = self._store.query(f"SELECT DISTINCT id FROM `{self._store.database}`.schemas")
        self._archived = {int(row[0]) for row in rows}
        for stored in stored_schemas(self._catalogue):
            self._make(stored)
        if _FLOWS in present:
            columns = self._columns.get(_FLOWS, {})
            for name, select in read_model_views(f"`{self._store.database}`.", columns).items():
                if name not in present:
                    self._store.command(f"CREATE OR REPLACE VIEW `{self._store.database}`.{name} AS {select}")

    def target(self, key: WriterKey, *, was_known: bool = False) -> Target | NoTarget:
        """Where records of a schema go; makes tables for one not seen before and keeps its text in ``schemas``, or in
        ``schema_guids`` where a header names it by a GUID.

        An id that nobody knows may be known soon (a replica of a registry that lags, one that is being restored), or
        never (bytes that only look like a frame): it is asked for again for some time and then given up. One that
        ``was_known`` when the boundaries of its batch were stored is never given up.

        Raises:
            RegistryUnavailable, ClickHouseUnavailable, UnknownSchemaId: not known yet; ask again.
        """
        known = self._targets.get(key) or self._no_targets.get(key)
        if known is not None:
            return known
        try:
            schema = self._schema(key)
        except UnknownSchemaId as error:
            now = time.monotonic()
            since = self._unknown_since.setdefault(key, now)
            if was_known or now - since < self._unknown_wait_s:
                raise
            return NoTarget("unknown schema id", str(error))
        except MalformedRecord as error:
            return NoTarget("unsupported schema", str(error))
        try:
            schema = readable_schema(schema)
            stored = stored_schema_of(self._catalogue, _label(key), schema)
            typed_columns(stored)
        except (UnsupportedSchema, KeyError, TypeError, ValueError, AttributeError) as error:
            found = self._no_targets[key] = NoTarget("unsupported schema", f"schema {key_name(key)}: {error!r}")
            return found
        self._make(stored)
        self._keep(key, stored)
        catalogued = stored.type if stored.type in self._catalogue else None
        name = key_name(key)
        shape = RowShape.of(
            name if isinstance(name, int) else 0, catalogued, schema, FRAME.size if isinstance(key, int) else 0
        )
        typed = typed_columns(stored, self._columns.get(stored.table))
        target = self._targets[key] = Target(stored.landing, shape, feeds_of(stored, typed))
        return target

    def read_model(self, topic: str) -> str | None:
        """The table of a compacted topic of read models; None if no type of the catalogue names that topic."""
        named = any(type.topic == topic for type in self._catalogue.values())
        return read_model_table(topic) if named else None

    def _schema(self, key: WriterKey) -> Mapping[str, Any]:
        guid = None if isinstance(key, int) else key.guid
        schema_id = key if isinstance(key, int) else key.schema_id
        try:
            if guid is not None:
                return self._schema_ids.schema_of_guid(guid)
            assert schema_id is not None
            return self._schema_ids.schema_of(schema_id)
        except UnknownSchemaId:
            at = f"`{self._store.database}`."
            sql = f"SELECT schema FROM {at}schemas WHERE id = {{key:UInt32}} LIMIT 1"
            if guid is not None:
                sql = f"SELECT schema FROM {at}schema_guids WHERE guid = {{key:UUID}} LIMIT 1"
            rows = self._store.query(sql, {"key": schema_id if guid is None else guid})
            if not rows:
                raise
            archived: Mapping[str, Any] = json.loads(rows[0][0])
            return archived

    def _keep(self, key: WriterKey, stored: StoredSchema) -> None:
        named = key if isinstance(key, int) else key.guid or key.schema_id
        if named is None or named in self._archived:
            return
        self._store.keep_schema(named, stored.type, stored.version, json.dumps(stored.schema, separators=(",", ":")))

    def _look(self) -> set[str]:
        if self._present is None:
            self._store.command(f"CREATE DATABASE IF NOT EXISTS `{self._store.database}`")
            rows = self._store.query(
                "SELECT name FROM system.tables WHERE database = {database:String}", {"database": self._store.database}
            )
            self._present = {str(row[0]) for row in rows}
            # What is computed is no place for a field.
            columns = self._store.query(
                "SELECT table, name, if(default_kind = 'ALIAS', 'ALIAS ' || type, type) FROM system.columns "
                "WHERE database = {database:String}",
                {"database": self._store.database},
            )
            for table, name, type in columns:
                self._columns.setdefault(str(table), {})[str(name)] = str(type)
            if "payload_text" not in self._columns.get("events", {"payload_text": ""}):
                self._present = None
                raise SinkError(
                    f"database {self._store.database} has tables of an older sink (events without payload_text): let "
                    "the sink fill another database (clickhouse.database, and a new sink.group) and drop this one"
                )
            known = self._store.query("SELECT name FROM system.merge_tree_settings")
            names = {str(row[0]) for row in known}
            parts = {name: value for name, value in PART_SETTINGS.items() if name in names}
            # A projection that is built neither on insert nor on merge would never be.
            if "materialize_projections_on_merge" not in parts:
                parts.pop("materialize_projections_on_insert", None)
            self._options = TableOptions(self._options.window, parts)
        return self._present

    def _bring_projections_over(self) -> None:
        """Gives an ``events`` of an earlier release the projections that are declared now."""
        named = {"database": self._store.database}
        rows = self._store.query(
            "SELECT name, query FROM system.projections WHERE database = {database:String} AND table = 'events'", named
        )
        table = f"`{self._store.database}`.events"
        statements = projection_statements(table, {str(name): str(query) for name, query in rows})
        if not statements:
            return
        dropping = self._store.query(
            "SELECT count() FROM system.mutations WHERE database = {database:String} AND table = 'events' "
            "AND NOT is_done AND command LIKE '%DROP PROJECTION%'",
            named,
        )
        if dropping[0][0]:
            _log.warning("projections wait until an old one is gone from every part: they are made at a later start")
            return
        _log.info("projections of events are brought over; its parts are rebuilt in the background", sql=statements)
        for sql in statements:
            self._store.command(sql)

    def _make(self, stored: StoredSchema) -> None:
        """Makes what one schema needs and is not there; a table that is there gets the columns that it lacks."""
        present = self._look()
        columns = self._columns.setdefault(stored.table, {})
        statements = schema_statements(self._store.database, stored, self._options, columns)
        # Columns to add are missing: a table of an earlier release may lack one that no schema brings.
        if all(statement.creates in present for statement in statements):
            return
        for statement in statements:
            if statement.creates is None or statement.creates not in present:
                self._store.command(statement.sql)
                if statement.creates is not None:
                    present.add(statement.creates)
        typed = typed_columns(stored, columns)
        alias = alias_column(stored, typed, columns)
        columns.update({column.name: column.type for column in typed})
        if alias is not None:
            columns[alias.name] = f"ALIAS {alias.type}"

"""Where the records of a batch go, decided before its boundaries are fixed."""

from __future__ import annotations

from collections.abc import Collection

from tradewire.core.errors import UnknownSchemaId
from tradewire.sinks.batch import Plan, plan_batch, plan_parked
from tradewire.sinks.container import split_by_schema
from tradewire.sinks.protocol import DEAD_SCHEMAS_MAX
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.tables import NoTarget, Tables, Target


class Planner:
    """Sorts batches by schema id and asks for the tables of each. ``parked`` are the topics of dead letters."""

    def __init__(self, tables: Tables, parked: Collection[str]) -> None:
        self._tables = tables
        self._parked = parked

    def plan(self, batch: RecordColumns, dead_schemas: Collection[int] | None) -> tuple[Plan, int]:
        """The plan of a batch, and how many of its records it covers.

        ``dead_schemas`` are those of a stored intent: they stay dead, whoever knows them by now. Without one, the plan
        ends before the record that would be of one unknown schema more than an intent can name.

        Raises:
            RegistryUnavailable, UnknownSchemaId, ClickHouseUnavailable: it cannot be told yet.
        """
        if batch.topic in self._parked:
            return plan_parked(batch), len(batch)
        split = split_by_schema(batch)
        resolved: dict[int, Target | NoTarget] = {}
        dead, waiting = 0, None
        for schema_id, indexes in split.by_schema.items():
            if dead_schemas is not None and schema_id in dead_schemas:
                resolved[schema_id] = NoTarget("unknown schema id", "nobody knew the schema id when the batch was cut")
                continue
            try:
                found = resolved[schema_id] = self._tables.target(schema_id, was_known=dead_schemas is not None)
            except UnknownSchemaId as error:  # the others are asked for too, so that all are waited for at once
                waiting = error
                continue
            dead += isinstance(found, NoTarget)
            if dead > DEAD_SCHEMAS_MAX and dead_schemas is None:
                rows = indexes[0]
                plan, _ = self.plan(batch.head(rows), None)
                return plan, rows
        if waiting is not None:
            raise waiting
        return plan_batch(batch, split, resolved, self._tables.read_model(batch.topic)), len(batch)

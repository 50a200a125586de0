"""Where the records of a batch go, decided before its boundaries are fixed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tradewire.core.errors import UnknownSchemaId
from tradewire.sinks.batch import Plan, plan_batch, plan_parked
from tradewire.sinks.container import WriterKey, key_name, split_by_schema
from tradewire.sinks.protocol import DEAD_SCHEMAS_MAX
from tradewire.sinks.records import RecordColumns
from tradewire.sinks.tables import NoTarget, Tables, Target

# A GUID takes the place of so many ids in the metadata of an offset.
_GUID_IDS: Final = 4
# The same words whenever the batch is done: an insert that is repeated is to be the same bytes.
_NOBODY_KNEW: Final = NoTarget(
    "unknown schema id",
    "nobody knew the schema when the batch was cut: is it of another registry, or was it registered later?",
)


class Planner:
    """Sorts batches by schema id and asks for the tables of each. ``parked`` are the topics of dead letters."""

    def __init__(self, tables: Tables, parked: Collection[str]) -> None:
        self._tables = tables
        self._parked = parked

    def plan(self, batch: RecordColumns, dead_schemas: Collection[int | str] | None) -> tuple[Plan, int]:
        """The plan of a batch, and how many of its records it covers.

        ``dead_schemas`` are those of a stored intent: they stay dead, whoever knows them by now. Without one, the plan
        ends before the record that would be of one unknown schema more than an intent can name.

        Raises:
            RegistryUnavailable, UnknownSchemaId, ClickHouseUnavailable: it cannot be told yet.
        """
        if batch.topic in self._parked:
            return plan_parked(batch), len(batch)
        split = split_by_schema(batch)
        resolved: dict[WriterKey, Target | NoTarget] = {}
        dead, waiting = 0, None
        # In the order of first records: where the plan has to end, everything before is in it.
        for key, indexes in sorted(split.by_schema.items(), key=lambda found: found[1][0]):
            if dead_schemas is not None and key_name(key) in dead_schemas:
                resolved[key] = _NOBODY_KNEW
                continue
            try:
                found = resolved[key] = self._tables.target(key, was_known=dead_schemas is not None)
            except UnknownSchemaId as error:  # the others are asked for too, so that all are waited for at once
                waiting = error
                continue
            if isinstance(found, NoTarget):
                if found.reason == _NOBODY_KNEW.reason:
                    resolved[key] = _NOBODY_KNEW
                dead += 1 if isinstance(key_name(key), int) else _GUID_IDS
            if dead > DEAD_SCHEMAS_MAX and dead_schemas is None:
                rows = indexes[0]
                plan, _ = self.plan(batch.head(rows), None)
                return plan, rows
        if waiting is not None:
            raise waiting
        return plan_batch(batch, split, resolved, self._tables.read_model(batch.topic)), len(batch)

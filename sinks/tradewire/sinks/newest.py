"""Stored events as the newest version of their type: only those that an older (or later) version wrote are decoded."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from clickhouse_connect.driver.client import Client

from tradewire.core.errors import RegistryUnavailable, TradewireError
from tradewire.schemas import Codec
from tradewire.schemas.headers import SCHEMA_KEY
from tradewire.sinks.flow import StoredEvent
from tradewire.sinks.raw_history import records_where
from tradewire.sinks.records import Record

Place = tuple[str, int, int]


def is_of_the_newest(event: StoredEvent, codec: Codec) -> bool:
    """Whether there is nothing to do: of types that the catalogue does not have nothing is known. Pure."""
    return event.type not in codec.catalogue or event.version == codec.catalogue[event.type].latest.version


def as_newest(client: Client, database: str, events: Sequence[StoredEvent], codec: Codec) -> list[StoredEvent]:
    """The same events with ``payload`` as the newest version of their type, and ``read_as`` saying so.

    One that cannot be read stays as it was written and says why in ``unread``: a page does not fail for one event.

    Raises:
        ReplayError: a row contradicts its header layout. ClickHouse's own errors pass through.
    """
    others = [event for event in events if not is_of_the_newest(event, codec)]
    if not others:
        return list(events)
    records = _records_of(client, database, others)
    found: list[StoredEvent] = []
    away: str | None = None
    for event in events:
        record = records.get((event.topic, event.partition, event.offset))
        if record is None or is_of_the_newest(event, codec):
            found.append(event)
            continue
        try:
            event = _read(event, record, codec) if away is None else dataclasses.replace(event, unread=away)
        except TradewireError as error:
            if isinstance(error, RegistryUnavailable):
                away = str(error)
            event = dataclasses.replace(event, unread=str(error))
        found.append(event)
    return found


def _read(event: StoredEvent, record: Record, codec: Codec) -> StoredEvent:
    key = next((value for name, value in record.headers if name == SCHEMA_KEY), None)
    data = codec.decode(record.value, key).data
    return dataclasses.replace(event, payload=payload_of_data(data), read_as=codec.catalogue[event.type].latest.version)


def _records_of(client: Client, database: str, events: Iterable[StoredEvent]) -> Mapping[Place, Record]:
    """Raw records by their place. Partition by partition: so the primary key finds them."""
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    for event in events:
        offsets[event.topic, event.partition].append(event.offset)
    parts: list[str] = []
    parameters: dict[str, Any] = {}
    for number, ((topic, partition), wanted) in enumerate(offsets.items()):
        parts.append(
            f"(topic = {{t{number}:String}} AND partition = {{p{number}:Int32}} "
            f"AND offset IN {{o{number}:Array(Int64)}})"
        )
        parameters |= {f"t{number}": topic, f"p{number}": partition, f"o{number}": wanted}
    rows = records_where(client, database, " OR ".join(parts), "ORDER BY topic, partition, offset", parameters)
    return {(topic, partition, record.offset): record for topic, partition, record in rows}


def payload_of_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Decoded data as ``StoredEvent.payload`` has it: decimals and times as text, nulls left out. Pure."""
    return {name: _plain(value) for name, value in data.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        # As ClickHouse writes it. Not by ``normalize``, which rounds to the precision of a context.
        text = format(value, "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, date | datetime | UUID) else value

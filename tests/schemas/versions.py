"""Catalogues of an earlier or later day, and files of users' own types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tradewire.schemas import Catalogue, EventSchema, EventType


def before(catalogue: Catalogue, versions_max: int = 1) -> Catalogue:
    """The catalogue of a service that was deployed when types had so many versions."""
    return Catalogue({name: EventType(name, type.versions[:versions_max]) for name, type in catalogue.items()})


def write(folder: Path, name: str, content: object) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def record(name: str = "QuoteGiven", *fields: Mapping[str, Any], **properties: Any) -> dict[str, Any]:
    """A record of the namespace ``acme.desk``; without fields it has one."""
    given = [dict(field) for field in fields] or [{"name": "quote_id", "type": "string"}]
    return {"type": "record", "name": name, "namespace": "acme.desk", "fields": given, **properties}


def chain(name: str, *versions: tuple[dict[str, Any], Callable[..., Any] | None]) -> EventType:
    """An event type of schemas with the upcasters of its breaking versions."""
    return EventType(
        name,
        tuple(
            EventSchema(name, number, schema, Path(f"v{number}.avsc"), upcaster)
            for number, (schema, upcaster) in enumerate(versions, start=1)
        ),
    )

"""Schemas that are named beside the value: Confluent's header mode.

The header ``__value_schema_id`` holds ``0x00`` and four bytes of schema id, or ``0x01`` and sixteen bytes of GUID; the
value is then Avro with nothing before it. Source: confluent-kafka-python, ``header_schema_id_serializer`` and
``SchemaId``. Whatever follows the id or GUID belongs to other formats (Protobuf's message indexes) and is not read.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from tradewire.core.errors import ContractError, MalformedRecord
from tradewire.schemas.headers import SCHEMA_KEY

_ID_MAGIC: Final = 0
_GUID_MAGIC: Final = 1


class SchemaKey(NamedTuple):
    """What a schema key names: exactly one of both is set."""

    schema_id: int | None
    guid: UUID | None

    def __str__(self) -> str:
        return f"schema id {self.schema_id}" if self.guid is None else f"schema guid {self.guid}"


def read_schema_key(header: bytes) -> SchemaKey:
    """Reads the value of a ``__value_schema_id`` header.

    Raises:
        MalformedRecord: it is neither an id nor a GUID.
    """
    if header[:1] == bytes((_ID_MAGIC,)) and len(header) >= 5:
        return SchemaKey(int.from_bytes(header[1:5], "big"), None)
    if header[:1] == bytes((_GUID_MAGIC,)) and len(header) >= 17:
        return SchemaKey(None, UUID(bytes=header[1:17]))
    raise MalformedRecord(
        f"header {SCHEMA_KEY} is {header[:32]!r}: it must be 0x00 and 4 bytes of schema id, or 0x01 and 16 of a GUID",
        header=SCHEMA_KEY,
    )


class GuidArchive:
    """A folder of ``<guid>.json`` files, each the text of a schema, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, guid: UUID, schema: str) -> None:
        """Keeps a schema; the same GUID with another schema is refused with ContractError, the old one stays."""
        known = self.get(guid)
        if known is not None:
            if json.loads(known) != json.loads(schema):
                raise ContractError(f"{self._file(guid)}: the guid already stands for another schema", guid=str(guid))
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._file(guid).with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
        part.write_text(schema, encoding="utf-8")
        part.replace(self._file(guid))

    def get(self, guid: UUID) -> str | None:
        try:
            return self._file(guid).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _file(self, guid: UUID) -> Path:
        return self._folder / f"{guid}.json"

"""multipart/form-data: query, parameters and settings as fields, files that become temporary tables of the query."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import BodyPartReader, MultipartReader

from tradewire.operations.clickhouse_server.engine import Handle
from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.spool import Spool
from tradewire.operations.clickhouse_server.sql import quote_identifier


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A file of the form with the structure the URL gives it."""

    name: str
    structure: str
    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """A form's plain fields in order, and its files by name."""

    pairs: list[tuple[str, str]]
    files: dict[str, bytes]


async def read_form(reader: MultipartReader) -> Form:
    """Read the whole form into memory. Raises ClickHouseError 36 for a part without a name."""
    pairs: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    async for part in reader:
        if not isinstance(part, BodyPartReader):
            raise ClickHouseError(36, "A part of the multipart form is a form itself; send fields and files only")
        if not part.name:
            raise ClickHouseError(36, "A part of the multipart form has no name in its Content-Disposition")
        data = bytes(await part.read(decode=True))
        if part.filename is None:
            pairs.append((part.name, data.decode("utf-8", "surrogateescape")))
        else:
            files[part.name] = data
    return Form(pairs, files)


def external_tables(files: Mapping[str, bytes], declared: Mapping[str, str]) -> list[ExternalTable]:
    """Pair files with ``<name>_structure`` or ``<name>_types`` and ``<name>_format``, from the URL or the form."""
    tables: list[ExternalTable] = []
    for name, data in files.items():
        structure = declared.get(f"{name}_structure", "")
        types = declared.get(f"{name}_types", "")
        if not structure and types:
            structure = ", ".join(f"_{i} {type}" for i, type in enumerate(split_types(types), 1))
        if not structure:
            raise ClickHouseError(
                36,
                f"Neither structure nor types have not been provided for external table {name}. Use '{name}_structure'",
            )
        tables.append(ExternalTable(name, structure, declared.get(f"{name}_format", "TabSeparated"), data))
    return tables


def split_types(types: str) -> list[str]:
    """A comma-separated list of types, commas inside brackets and quotes belonging to the type."""
    parts, depth, quoted, current = [], 0, False, ""
    for letter in types:
        if letter == "'":
            quoted = not quoted
        elif not quoted and letter in "([":
            depth += 1
        elif not quoted and letter in ")]":
            depth -= 1
        if letter == "," and depth == 0 and not quoted:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [*parts, current.strip()] if current.strip() else parts


def create(handle: Handle, table: ExternalTable, folder: Path) -> None:
    """Make the temporary table on the query's handle and fill it. Raises ClickHouseError."""
    name = quote_identifier(table.name)
    handle.query(
        f"CREATE TEMPORARY TABLE {name} ({table.structure}) ENGINE = Memory".encode("utf-8", "surrogateescape")
    )
    with contextlib.closing(Spool(folder)) as spool:
        spool.write(table.data)
        handle.insert(f"INSERT INTO {name}".encode(), b"", table.format, spool.path)


def drop(handle: Handle, table: ExternalTable) -> None:
    """Remove the table again, from a handle that outlives the query."""
    handle.query(f"DROP TEMPORARY TABLE IF EXISTS {quote_identifier(table.name)}".encode())

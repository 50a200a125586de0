"""Archives: Avro container files of raw records, which any Avro reader opens and replay reads back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import fastavro

from tradewire.core.errors import ReplayError
from tradewire.sinks.audit.buckets import BucketSum
from tradewire.sinks.audit.row_hash import record_hash
from tradewire.sinks.records import Record

_BYTES: Final = ["null", "bytes"]
SCHEMA: Final = fastavro.parse_schema(
    {
        "type": "record",
        "name": "ArchivedRecord",
        "namespace": "tradewire.sinks",
        "doc": "One Kafka record as it was; topic and partition are in the file's metadata.",
        "fields": [
            {"name": "offset", "type": "long"},
            {"name": "timestamp_ms", "type": "long"},
            {"name": "key", "type": _BYTES},
            {"name": "value", "type": _BYTES},
            {
                "name": "headers",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "ArchivedHeader",
                        "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": _BYTES}],
                    },
                },
            },
        ],
    }
)


def archive_name(topic: str, partition: int, lo: int, hi: int) -> Path:
    """Where records ``lo`` to ``hi`` lie below the folder of archives; names sort by offset."""
    return Path(topic) / f"{partition:05d}" / f"{lo:020d}-{hi:020d}.avro"


def write_archive(file: Path, topic: str, partition: int, records: Iterable[Record]) -> int:
    """Writes a file, whole or not at all, and returns its records. An existing one is replaced.

    It is on the disk when this returns: a power cut after it loses nothing.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        for offset, timestamp_ms, key, value, headers in records:
            count += 1
            yield {
                "offset": offset,
                "timestamp_ms": timestamp_ms,
                "key": key,
                "value": value,
                "headers": [{"name": name, "value": content} for name, content in headers],
            }

    metadata = {"tradewire.topic": topic, "tradewire.partition": str(partition)}
    try:
        with part.open("wb") as stream:
            fastavro.writer(stream, SCHEMA, rows(), codec="zstandard", metadata=metadata, sync_interval=256 * 1024)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)
    return count


def read_archive(file: Path) -> Iterator[Record]:
    """The records of a file in offset order.

    Raises:
        ReplayError: the file is missing or damaged; names it.
    """
    try:
        with file.open("rb") as stream:
            for row in fastavro.reader(stream):
                found: Any = row
                headers = [(header["name"], header["value"]) for header in found["headers"]]
                yield Record(found["offset"], found["timestamp_ms"], found["key"], found["value"], headers)
    except FileNotFoundError as error:
        raise ReplayError(
            f"archive {file} is not there: restore it, or set retention.archive_folder", file=str(file)
        ) from error
    except ReplayError:
        raise
    except Exception as error:  # fastavro raises whatever its reading of bad bytes ran into
        raise ReplayError(
            f"archive {file} cannot be read: {error!r}; restore it from a copy", file=str(file)
        ) from error


def sum_of(records: Iterable[Record]) -> BucketSum:
    """Count, sum of offsets and XOR of hashes, as the audit computes them."""
    rows, offsets, hashed = 0, 0, 0
    for offset, timestamp_ms, key, value, headers in records:
        rows += 1
        offsets += offset
        hashed ^= record_hash(offset, timestamp_ms, key, value, headers)
    return BucketSum(rows, offsets, hashed)

"""What an audit may find, named as in Jepsen's ``jepsen.tests.kafka``, and how one is told from another. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Anomaly(enum.StrEnum):
    """What must not be. ``LOST_WRITE`` and ``ABORTED_READ`` (G1a) are Jepsen's names; ``PHANTOM`` is "unexpected"."""

    LOST_WRITE = "lost-write"
    DUPLICATE = "duplicate"
    ALTERED = "altered"
    ABORTED_READ = "aborted-read"
    PHANTOM = "phantom"
    # The typed table of the event's type does not have it, or has it more than once, or has one that ``events`` lacks.
    TABLE_LOST = "table-lost"
    TABLE_DUPLICATE = "table-duplicate"
    TABLE_PHANTOM = "table-phantom"
    # A column of it is not what the record says. Looked for when columns are compared.
    TABLE_ALTERED = "table-altered"


class Gap(enum.StrEnum):
    """Why offsets have no row, or no record to compare with, without anything being wrong."""

    # Kafka no longer has it, ClickHouse does: nothing is left to compare it with.
    EXPIRED = "expired"
    # Neither has it: it expired before it was stored, was a marker, or is lost. Nobody can tell any more.
    GONE = "gone"
    ARCHIVED = "archived"
    ABORTED = "aborted"
    MARKER = "marker"
    COMPACTED = "compacted"
    NOT_STORED_YET = "not-stored-yet"


class StoredRow(NamedTuple):
    """A row of ClickHouse as the audit sees it; ``table`` is ``events`` or ``dead_letters``."""

    offset: int
    hash: int
    table: str


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Offsets ``lo`` to ``hi``, both inclusive, that all have the same anomaly; ``offsets`` is how many have it."""

    lo: int
    hi: int
    anomaly: Anomaly
    offsets: int


def classify(
    in_kafka: Mapping[int, int], stored: Iterable[StoredRow], uncommitted: Collection[int] = ()
) -> list[tuple[int, Anomaly]]:
    """The anomalies of a stretch, by offset. ``in_kafka`` is what a read-committed reader sees: offset to hash.

    ``uncommitted`` are the offsets that a read-uncommitted reader sees there. A row stored twice and altered once is
    both. Swapped values are two altered rows.
    """
    found: list[tuple[int, Anomaly]] = []
    hashes: dict[int, list[int]] = {}
    for row in stored:
        hashes.setdefault(row.offset, []).append(row.hash)
    for offset, expected in in_kafka.items():
        copies = hashes.get(offset)
        if copies is None:
            found.append((offset, Anomaly.LOST_WRITE))
            continue
        if any(copy != expected for copy in copies):
            found.append((offset, Anomaly.ALTERED))
        if len(copies) > 1:
            found.append((offset, Anomaly.DUPLICATE))
    for offset in hashes.keys() - in_kafka.keys():
        found.append((offset, Anomaly.ABORTED_READ if offset in uncommitted else Anomaly.PHANTOM))
    return sorted(found)


def classify_tables(events: Collection[int], typed: Iterable[int]) -> list[tuple[int, Anomaly]]:
    """What typed tables have too little or too much: every event is in exactly one of them, once.

    ``events`` are the offsets of ``events``, ``typed`` those of the rows of all typed tables.
    """
    copies: dict[int, int] = {}
    for offset in typed:
        copies[offset] = copies.get(offset, 0) + 1
    known = set(events)
    found = [(offset, Anomaly.TABLE_LOST) for offset in known - copies.keys()]
    found += [(offset, Anomaly.TABLE_PHANTOM) for offset in copies.keys() - known]
    found += [(offset, Anomaly.TABLE_DUPLICATE) for offset, rows in copies.items() if rows > 1 and offset in known]
    return sorted(found)


def classify_columns(
    differing: Mapping[str, Iterable[int]], known: Sequence[tuple[int, int]], tables_from: int
) -> list[tuple[int, Anomaly]]:
    """What columns say beyond the hash: ``differing`` are offsets by table. ``known`` are ranges of altered records.

    Typed rows below ``tables_from`` are not judged: retention was there.
    """
    found: list[tuple[int, Anomaly]] = []
    for table, offsets in differing.items():
        if table == "events":
            found += [(at, Anomaly.ALTERED) for at in offsets if not any(lo <= at <= hi for lo, hi in known)]
        else:
            found += [(at, Anomaly.TABLE_ALTERED) for at in offsets if at >= tables_from]
    return sorted(found)


def merge(found: Iterable[tuple[int, Anomaly]]) -> list[Finding]:
    """Neighbouring offsets with the same anomaly as one finding. An offset counts once per anomaly."""
    by_anomaly: dict[Anomaly, set[int]] = {}
    for offset, anomaly in found:
        by_anomaly.setdefault(anomaly, set()).add(offset)
    merged: list[Finding] = []
    for anomaly, offsets in by_anomaly.items():
        merged += [Finding(lo, hi, anomaly, hi - lo + 1) for lo, hi in ranges(sorted(offsets))]
    return sorted(merged)


def ranges(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending offsets as ranges, both ends inclusive."""
    found: list[tuple[int, int]] = []
    for offset in offsets:
        if found and offset == found[-1][1] + 1:
            found[-1] = (found[-1][0], offset)
        else:
            found.append((offset, offset))
    return found


def joined(found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Any ranges as ascending ones that neither overlap nor touch."""
    merged: list[tuple[int, int]] = []
    for lo, hi in sorted(found):
        if merged and lo <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], hi))
        else:
            merged.append((lo, hi))
    return merged


def without(found: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of the first ranges lies in none of the second. Costs the number of ranges, not of offsets."""
    left: list[tuple[int, int]] = []
    cuts = joined(taken)
    at = 0
    for lo, hi in joined(found):
        while at < len(cuts) and cuts[at][1] < lo:
            at += 1
        for first, last in cuts[at:]:
            if first > hi:
                break
            if lo < first:
                left.append((lo, first - 1))
            lo = last + 1
        if lo <= hi:
            left.append((lo, hi))
    return left

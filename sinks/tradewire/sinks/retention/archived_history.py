"""Raw history whose older part lies in archives: one source for replay."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from tradewire.core.settings import Settings
from tradewire.sinks.raw_history import RawHistory
from tradewire.sinks.records import Record, RecordColumns
from tradewire.sinks.retention.archive import read_archive
from tradewire.sinks.retention.ledger import Entry, Ledger
from tradewire.sinks.store import Store

_CHUNK_ROWS: Final = 5_000


class ArchivedHistory:
    """``RawHistory`` and the archives of what retention has deleted from it. Raises ClickHouseUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._raw = RawHistory(settings.clickhouse)
        self._store = Store(settings.clickhouse)
        self._ledger = Ledger(self._store)
        self._folder: Path = settings.retention.archive_folder.absolute()
        self._has_ledger: bool | None = None

    def close(self) -> None:
        self._raw.close()
        self._store.close()

    def count(self, topic: str, partition: int, lo: int, hi: int) -> int:
        """Distinct offsets of a range, archived or stored. Raises ReplayError when an archive cannot be read."""
        archives = self._archives(topic, partition, lo, hi)
        count = self._raw.count(topic, partition, self._behind(archives, lo), hi)
        for entry in archives:
            whole = entry.lo >= lo and entry.hi <= hi
            count += entry.rows if whole else sum(1 for _ in self._records_of(entry, lo, hi))
        return count

    def records(self, topic: str, partition: int, lo: int, hi: int) -> Iterator[Record]:
        """The records of a range in offset order; what is neither archived nor stored is left out.

        Raises:
            ReplayError: an archive is missing or damaged, or a row contradicts its header layout.
        """
        for found in self.columns(topic, partition, lo, hi):
            yield from found.records()

    def columns(self, topic: str, partition: int, lo: int, hi: int) -> Iterator[RecordColumns]:
        """``records`` by columns, some thousands at once."""
        archives = self._archives(topic, partition, lo, hi)
        for entry in archives:
            records = self._records_of(entry, lo, hi)
            while rows := list(islice(records, _CHUNK_ROWS)):
                found = RecordColumns(topic, partition)
                found.add(rows)
                yield found
        yield from self._raw.columns(topic, partition, self._behind(archives, lo), hi)

    @staticmethod
    def _behind(archives: list[Entry], lo: int) -> int:
        """Where ClickHouse begins: rows below may be in the middle of being deleted."""
        return max([lo, *(entry.hi + 1 for entry in archives)])

    def _archives(self, topic: str, partition: int, lo: int, hi: int) -> list[Entry]:
        if self._has_ledger is None:
            self._has_ledger = self._ledger.exists()
        if not self._has_ledger:
            return []
        return [entry for entry in self._ledger.archives(topic, partition) if entry.lo <= hi and entry.hi >= lo]

    def _records_of(self, entry: Entry, lo: int, hi: int) -> Iterator[Record]:
        for record in read_archive(self._folder / entry.file):
            if lo <= record.offset <= hi:
                yield record

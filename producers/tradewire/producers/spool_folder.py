"""A spool whose publisher does not run: what is in it, and what becomes of the events that Kafka refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tradewire.producers._spool_store import Row, SpoolStore, unpack
from tradewire.producers.errors import SpoolUnusable

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event on disk as it was accepted. ``reason`` is Kafka's for refusing it, None while it waits for a broker.

    ``number`` gives the order, and names the event within its folder.
    """

    number: int
    topic: str
    key: str
    id: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    reason: str | None

    @property
    def type(self) -> str:
        return self.header("ce_type")

    @property
    def time(self) -> str:
        """When it occurred."""
        return self.header("ce_time")

    def header(self, name: str) -> str:
        """The text of a header, empty where there is none."""
        return next((value.decode(errors="replace") for other, value in self.headers if other == name), "")


class SpoolFolder:
    """A publisher's ``spool_folder``, held for itself until it is closed. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Raises SpoolUnusable: there is no spool, a publisher has it open, or its file is damaged."""
        if not (folder / "spool.sqlite").exists():
            raise SpoolUnusable(f"there is no spool in {folder}: give the publisher.spool_folder of the service")
        self._store = SpoolStore(folder, "FULL")
        self.file = self._store.file

    def waiting(self) -> Iterator[SpooledEvent]:
        """Accepted events in order; the next publisher with this folder delivers those that Kafka does not have yet."""
        after = 0
        while rows := self._store.batch(after, _ROWS_AT_ONCE):
            yield from (_event(row, None) for row in rows)
            after = rows[-1].seq

    def refused(self) -> list[SpooledEvent]:
        """Events that Kafka will not take as things are, in the order in which they were accepted."""
        return [_event(row, reason) for row, reason in self._store.refused_rows()]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many wait, how many were refused, and the bytes of both."""
        return self._store.rows, self._store.refused, self._store.size

    def put_back(self, events: Iterable[SpooledEvent], lane_of: Callable[[SpooledEvent], str]) -> None:
        """Makes refused events accepted ones again: the next publisher with this folder tries them, before all later.

        They were never written, so none is doubled; events of the same subject that were accepted after them may be
        in Kafka already, so they come late. All of them or, after sqlite3.Error, none.
        """
        self._store.put_back({event.number: lane_of(event) for event in events})

    def discard(self, events: Sequence[SpooledEvent]) -> None:
        """Deletes refused events for good. All of them or, after sqlite3.Error, none."""
        self._store.discard([event.number for event in events])

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _event(row: Row, reason: str | None) -> SpooledEvent:
    headers = tuple(
        (name, value if isinstance(value, bytes) else (value or "").encode()) for name, value in unpack(row.headers)
    )
    return SpooledEvent(row.seq, row.topic, row.key, row.id, row.value, headers, reason)

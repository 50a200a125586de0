"""The spool's file: accepted events in SQLite, in the order in which they were accepted. Not thread-safe."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tradewire.producers._route import OutHeader
from tradewire.producers.errors import SpoolUnusable

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, lane TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL,
  id TEXT NOT NULL, value BLOB NOT NULL, headers TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS refused (
  seq INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL,
  value BLOB NOT NULL, headers TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bases (topic TEXT PRIMARY KEY, offsets TEXT NOT NULL, else_time_ms INTEGER NOT NULL);
"""
_ROW_BYTES: Final = 64


class Row(NamedTuple):
    """An accepted event, ready to be produced."""

    seq: int
    lane: str
    topic: str
    key: str
    id: str
    value: bytes
    headers: str

    @property
    def size(self) -> int:
        """The bytes it counts for."""
        return _ROW_BYTES + len(self.topic) + len(self.key) + len(self.id) + len(self.value) + len(self.headers)


class Base(NamedTuple):
    """From where on a topic may hold events of the spool: an offset per partition, elsewhere a broker's time."""

    offsets: Mapping[int, int]
    else_time_ms: int


class SpoolStore:
    """The file and its lock. ``rows`` and ``size`` count accepted events and bytes, refused ones among the bytes."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        """Raises SpoolUnusable: the folder is another process's, cannot be written, or the file is damaged."""
        self.file = folder / "spool.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "spool.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SpoolUnusable(f"publisher.spool_folder {folder} cannot be written: {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._lock, 20, 0).decode(errors="replace").strip()
            os.close(self._lock)
            raise SpoolUnusable(
                f"publisher.spool_folder {folder} is in use by process {owner or '?'}: a spool keeps the order of one "
                "publisher, so give each its own folder, or end that process first"
            ) from error
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        try:
            self._open(synchronous)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise SpoolUnusable(f"{self.file} cannot be read: {error}: move it away and keep it") from error

    def _open(self, synchronous: str) -> None:
        self.connection = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False, timeout=0)
        run = self.connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA journal_mode=WAL")
        run(f"PRAGMA synchronous={synchronous}")
        self.connection.executescript(_TABLES)
        self.rows: int
        self.refused: int
        self.rows, size = run("SELECT count(*), coalesce(sum(bytes), 0) FROM events").fetchone()
        self.refused, held_back = run("SELECT count(*), coalesce(sum(bytes), 0) FROM refused").fetchone()
        self.size: int = size + held_back
        self.last_seq: int = run(
            "SELECT max(coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT max(seq) FROM refused), 0))"
        ).fetchone()[0]

    def append(self, row: Row) -> None:
        """One event, on disk as ``spool_synchronous`` says at return. Raises sqlite3.Error: nothing is stored."""
        size = row.size
        self.connection.execute("INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", (row.seq, size, *row[1:]))
        self.rows += 1
        self.size += size

    def append_all(self, rows: Sequence[Row], bases: Mapping[str, Base]) -> None:
        """Events that may be in Kafka already, and from where on to look for them: all of it or nothing."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self._add(bases)
            self.connection.executemany(
                "INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", ((row.seq, row.size, *row[1:]) for row in rows)
            )
        self.rows += len(rows)
        self.size += sum(row.size for row in rows)

    def add_bases(self, bases: Mapping[str, Base]) -> None:
        """From where on to look; of a topic that has a base already the older one stays."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self._add(bases)

    def _add(self, bases: Mapping[str, Base]) -> None:
        self.connection.executemany(
            "INSERT OR IGNORE INTO bases VALUES (?,?,?)",
            ((topic, json.dumps(dict(base.offsets)), base.else_time_ms) for topic, base in bases.items()),
        )

    def bases(self) -> dict[str, Base]:
        """All of them, by topic."""
        return {
            topic: Base({int(partition): offset for partition, offset in json.loads(offsets).items()}, time_ms)
            for topic, offsets, time_ms in self.connection.execute("SELECT topic, offsets, else_time_ms FROM bases")
        }

    def batch(self, after: int, limit: int) -> list[Row]:
        """The next events in order."""
        found = self.connection.execute(
            "SELECT seq, lane, topic, key, id, value, headers FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [Row(*row) for row in found]

    def seqs_of_ids(self) -> dict[str, list[int]]:
        """Every event by its id."""
        found: dict[str, list[int]] = {}
        for seq, id in self.connection.execute("SELECT seq, id FROM events"):
            found.setdefault(id, []).append(seq)
        return found

    def delete(self, seqs: Iterable[int]) -> None:
        """Events that Kafka has. With the last one their bases go, and the file shrinks."""
        wanted = json.dumps(list(seqs))
        where = "WHERE seq IN (SELECT value FROM json_each(?))"
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            count, size = self.connection.execute(
                f"SELECT count(*), coalesce(sum(bytes), 0) FROM events {where}", (wanted,)
            ).fetchone()
            self.connection.execute(f"DELETE FROM events {where}", (wanted,))
            if count and count == self.rows:
                self.connection.execute("DELETE FROM bases")
        self.rows -= count
        self.size -= size
        if count and not self.rows:
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def refuse(self, seq: int, reason: str) -> None:
        """Sets an event aside that Kafka will never take."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute(
                "INSERT OR REPLACE INTO refused SELECT seq, bytes, topic, key, id, value, headers, ? FROM events "
                "WHERE seq = ?",
                (reason, seq),
            )
            gone = self.connection.execute("DELETE FROM events WHERE seq = ?", (seq,)).rowcount
        self.rows -= gone
        self.refused += gone

    def refused_rows(self) -> list[tuple[Row, str]]:
        """What was set aside, in order, with Kafka's reason. The lane is not kept: it is that of the type."""
        found = self.connection.execute("SELECT seq, topic, key, id, value, headers, reason FROM refused ORDER BY seq")
        return [(Row(seq, "", *row), reason) for seq, *row, reason in found]

    def put_back(self, lanes: Mapping[int, str]) -> None:
        """Makes refused events accepted ones again, at the place they had: all of them or nothing."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            for seq, lane in lanes.items():
                self.connection.execute(
                    "INSERT INTO events SELECT seq, bytes, ?, topic, key, id, value, headers FROM refused "
                    "WHERE seq = ?",
                    (lane, seq),
                )
            self._forget(lanes)
        self.rows += len(lanes)
        self.refused -= len(lanes)

    def discard(self, seqs: Sequence[int]) -> None:
        """Deletes refused events for good, and shrinks the file."""
        with self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self._forget(seqs)
        self.refused -= len(seqs)
        self.connection.execute("VACUUM")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _forget(self, seqs: Iterable[int]) -> None:
        self.connection.execute(
            "DELETE FROM refused WHERE seq IN (SELECT value FROM json_each(?))", (json.dumps(list(seqs)),)
        )

    def close(self) -> None:
        """Closes the file and frees the folder."""
        self.connection.close()
        os.close(self._lock)

    def forked(self) -> None:
        """For the child: the parent's lock must not live on here."""
        os.close(self._lock)


def pack(headers: Sequence[OutHeader]) -> str:
    """Headers as JSON; what is not text as base64."""
    packed: list[list[str | None]] = []
    for name, value in headers:
        if isinstance(value, bytes):
            try:
                packed.append([name, value.decode()])
            except UnicodeDecodeError:
                packed.append([name, None, b64encode(value).decode()])
        else:
            packed.append([name, value])
    return json.dumps(packed, ensure_ascii=False, separators=(",", ":"))


def unpack(text: str) -> list[OutHeader]:
    """What ``pack`` packed; text and its UTF-8 are the same header to librdkafka."""
    return [(name, b64decode(rest[0]) if rest else value) for name, value, *rest in json.loads(text)]

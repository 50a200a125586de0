"""Effects once, also over ``kill -9``: the event's id in the database of the effect, in the transaction of the effect.

The pattern is known as inbox or idempotent consumer. A crash between the effect and the commit to Kafka brings the
event again; its id is then already there, and the handler has nothing to do. A crash before the database's commit
takes both away. No other component is needed, and none can give more.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final, Literal, Protocol

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_MARKS: Final = {"qmark": ("?", "?", "?"), "format": ("%s", "%s", "%s"), "numeric": (":1", ":2", ":3")}


class Cursor(Protocol):
    """A cursor of any DB-API 2.0 driver (PEP 249)."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...


class Inbox:
    """The ids that one group has handled, in one table of the service's own database.

    >>> inbox = Inbox("billing")                          # once: inbox.create(cursor)
    >>> @subscribe("trading.order.filled", side_effects=True)
    ... def bill(event):
    ...     with connection:                              # one transaction of the handler's own
    ...         cursor = connection.cursor()
    ...         if inbox.enter(cursor, event.id):
    ...             cursor.execute("UPDATE accounts …")

    The statements are those of SQLite (3.24) and PostgreSQL (9.5).
    """

    def __init__(
        self, group: str, *, table: str = "tradewire_inbox", paramstyle: Literal["qmark", "format", "numeric"] = "qmark"
    ) -> None:
        """``paramstyle`` is the driver's: "qmark" for sqlite3, "format" for psycopg.

        Raises:
            ValueError: ``table`` is no plain name.
        """
        if not _NAME.fullmatch(table):
            raise ValueError(f"table={table!r} is no name of a table")
        self._group = group
        self._table = table
        self._marks = _MARKS[paramstyle]

    def create(self, cursor: Cursor) -> None:
        """Makes the table if it is not there."""
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (consumer_group VARCHAR(255) NOT NULL, "
            "event_id VARCHAR(255) NOT NULL, entered_s BIGINT NOT NULL, PRIMARY KEY (consumer_group, event_id))"
        )

    def enter(self, cursor: Cursor, event_id: str) -> bool:
        """Writes the id down within the cursor's transaction; False if it is there, and the effect with it.

        Where another transaction has just written the same id and is still open, PostgreSQL waits for its end; SQLite
        lets one transaction write at a time.
        """
        group, id, now = self._marks
        cursor.execute(
            f"INSERT INTO {self._table} (consumer_group, event_id, entered_s) VALUES ({group}, {id}, {now}) "
            "ON CONFLICT (consumer_group, event_id) DO NOTHING",
            (self._group, event_id, int(time.time())),
        )
        return cursor.rowcount == 1

    def forget(self, cursor: Cursor, *, older_than_s: int) -> int:
        """Deletes ids that were entered longer ago than that; returns how many. Their repeats would have effects again.

        Keep them for as long as a record can come back: the topic's retention, or the age of what is re-driven.
        """
        first, second, _ = self._marks
        cursor.execute(
            f"DELETE FROM {self._table} WHERE consumer_group = {first} AND entered_s < {second}",
            (self._group, int(time.time()) - older_than_s),
        )
        return cursor.rowcount

"""Sessions: what SET, USE and temporary tables of one request leave behind for the next of the same session id.

A session keeps its SET and USE statements as text and replays them on each query's fresh handle. Only a temporary table
needs a handle of its own, which the session then owns until it ends.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from tradewire.operations.clickhouse_server.engine import Engine, Handle
from tradewire.operations.clickhouse_server.errors import ClickHouseError
from tradewire.operations.clickhouse_server.request import SessionAsk
from tradewire.operations.clickhouse_server.sql import Statement, tokens

_SWEEP_S: Final = 1.0


@dataclass(slots=True)
class Session:
    """One session. ``statements`` are replayed in order; ``handle`` exists once there is a temporary table."""

    user: str
    id: str
    timeout_s: int
    statements: list[bytes] = field(default_factory=list)
    handle: Handle | None = None
    busy: bool = False
    idle_since: float = 0.0


def leaves_state(statement: Statement) -> bool:
    """Whether a statement changes its session: SET (also SET ROLE) and USE."""
    return statement.verb in ("SET", "USE")


def makes_temporary(statement: Statement) -> bool:
    """Whether a statement creates something temporary, so that the session needs a handle of its own."""
    if statement.verb not in ("CREATE", "REPLACE"):
        return False
    return any(token.is_word(b"TEMPORARY") for token, _ in zip(tokens(statement.head), range(5), strict=False))


class Sessions:
    """All sessions of the process; used from the event loop only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[tuple[str, str], Session] = {}

    def acquire(self, user: str, ask: SessionAsk) -> Session:
        """Lock a session for one query, making it when new. ClickHouseError 372 when it must exist and does not, 373
        when another query of it is running: a session serves one query at a time.
        """
        session = self._sessions.get((user, ask.id))
        if session is None:
            if ask.check:
                raise ClickHouseError(372, f"Session {ask.id} not found")
            session = self._sessions[user, ask.id] = Session(user, ask.id, ask.timeout_s)
        elif session.busy:
            raise ClickHouseError(373, f"Session {ask.id} is locked by a concurrent client")
        session.busy = True
        session.timeout_s = ask.timeout_s
        return session

    async def release(self, session: Session, *, close: bool) -> None:
        """Unlock after the query, or end the session."""
        session.busy = False
        session.idle_since = time.monotonic()
        if close:
            await self._end(session)

    async def sweep(self) -> None:
        """End sessions idle for longer than their timeout, for ever; run it as a task."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for session in list(self._sessions.values()):
                if not session.busy and now - session.idle_since > session.timeout_s:
                    await self._end(session)

    async def close(self) -> None:
        """End all sessions; no query may be running."""
        for session in list(self._sessions.values()):
            await self._end(session)

    async def _end(self, session: Session) -> None:
        self._sessions.pop((session.user, session.id), None)
        if session.handle is not None:
            await self._engine.run(session.handle.close)
            session.handle = None

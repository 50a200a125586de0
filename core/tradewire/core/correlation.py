"""The current flow: which correlation id new events join, and which event causes them.

Kept in a context variable, so it follows ``await`` and tasks; a new thread starts without one unless it is run through
``contextvars.copy_context().run``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from tradewire.core.ids import new_id


class Correlation(NamedTuple):
    """A flow (``correlation_id``) and the event being handled in it (``causation_id``; None at the root)."""

    correlation_id: str
    causation_id: str | None


_current: ContextVar[Correlation | None] = ContextVar("tradewire_correlation", default=None)


def current_correlation() -> Correlation | None:
    """The flow that events published here would join; None outside any, where each event starts its own flow."""
    return _current.get()


@contextmanager
def correlation(correlation_id: str | None = None, causation_id: str | None = None) -> Iterator[Correlation]:
    """Events published inside join ``correlation_id`` (a new flow when None), caused by ``causation_id``.

    Nests: the outer flow is current again afterwards, also after an exception.
    """
    entered = Correlation(correlation_id or new_id(), causation_id)
    token = _current.set(entered)
    try:
        yield entered
    finally:
        _current.reset(token)

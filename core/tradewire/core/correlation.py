"""The current flow: which correlation id new events join, and which event causes them.

Kept in a context variable, so it follows ``await``, tasks and ``asyncio.to_thread``; a new thread, and a thread of a
pool, starts without one unless what it runs is ``carried``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from tradewire.core.ids import new_id


class Correlation(NamedTuple):
    """A flow (``correlation_id``) and the event being handled in it (``causation_id``; None at the root)."""

    correlation_id: str
    causation_id: str | None


_P = ParamSpec("_P")
_T = TypeVar("_T")
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


def carried(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """``function`` that runs in the flow that is current now, in whichever thread and however often it is called.

    ``executor.submit(carried(work), order)``: threads of a pool do not have the caller's context variables (PEP 567).
    Only the flow is carried; the thread's own flow is current again afterwards.
    """
    flow = _current.get()

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        token = _current.set(flow)
        try:
            return function(*args, **kwargs)
        finally:
            _current.reset(token)

    return run

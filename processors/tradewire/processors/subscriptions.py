"""Who handles which events: functions by patterns over event types, kept in an object that the service owns.

``subscribe`` only marks a function; nothing is registered behind the reader's back. ``Subscriptions`` holds what was
given to it, may be changed while it is in use, and is asked for the handlers of each event.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from tradewire.core.errors import ProcessingError
from tradewire.processors.retries import RetryPolicy
from tradewire.schemas import Catalogue, Event

Handler = Callable[[Event], Awaitable[None] | None]
_F = TypeVar("_F", bound=Callable[..., Any])

_MARK: Final = "__tradewire_subscribe__"
_PATTERN: Final = re.compile(r"[A-Za-z0-9_*]+(\.[A-Za-z0-9_*]+)*")
_NEAR_MAX: Final = 3


class SubscriptionInvalid(ProcessingError):
    """Raised when a pattern is none, or matches no event type, or a handler cannot be called with an event.

    Author: correct the pattern that the message names; nothing has been subscribed.
    """


class Options(NamedTuple):
    """What a handler is subscribed with; see ``subscribe``."""

    patterns: tuple[str, ...]
    name: str | None = None
    side_effects: bool = False
    replayed: bool | None = None
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One handler and what it gets: the handle that ends it. ``types`` are the event types its patterns matched."""

    name: str
    handler: Handler
    patterns: tuple[str, ...]
    types: frozenset[str]
    side_effects: bool
    takes_replayed: bool
    retry: RetryPolicy | None


def subscribe(
    *patterns: str,
    name: str | None = None,
    side_effects: bool = False,
    replayed: bool | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[_F], _F]:
    """Marks a function or method as the handler of the event types that any of ``patterns`` matches.

    A pattern is a type's name, or has ``*`` for any characters, dots included: ``trading.order.*``, ``*.rejected``.
    The function is called with one ``Event``; ``async def`` is awaited. It is left as it is, and subscribed to nothing
    until a ``Subscriptions`` or a ``Subscriber`` is given it. Marks add up: one function may have several.

    A handler with ``side_effects`` (orders, mails, payments) never sees an event that a replay wrote again, unless
    ``replayed`` is True; others see them, unless it is False. ``retry`` stands in for the subscriber's own policy.
    ``name`` is what metrics and logs call it.
    """
    _check_patterns(patterns)
    options = Options(patterns, name, side_effects, replayed, retry)

    def mark(function: _F) -> _F:
        try:
            setattr(function, _MARK, (*getattr(function, _MARK, ()), options))
        except AttributeError:
            raise SubscriptionInvalid(
                f"{function!r} cannot be marked: subscribe it with Subscriptions.subscribe(handler, pattern)"
            ) from None
        return function

    return mark


class Subscriptions:
    """The handlers of one service, by event type. Thread-safe; ``of`` takes no lock and may be called per event.

    ``check`` is asked about each event type that is to be subscribed, and refuses it by what it raises. ``version`` is
    another after each change.
    """

    def __init__(self, catalogue: Catalogue, *sources: object, check: Callable[[str], object] | None = None) -> None:
        self._catalogue = catalogue
        self._check = check
        self.version = 0
        self._lock = threading.Lock()
        # Replaced whole, never changed: readers need no lock. In order of subscription.
        self._held: tuple[Subscription, ...] = ()
        self._by_type: dict[tuple[str, bool], tuple[Subscription, ...]] = {}
        self.include(*sources)

    def subscribe(self, handler: Handler, *patterns: str, **options: Any) -> Subscription:
        """Subscribes a handler to ``patterns`` now, with the options of the decorator; returns the handle.

        Events whose handling begins later are given to it; several handlers of a type are called in the order in which
        they were subscribed.

        Raises:
            SubscriptionInvalid: a pattern is bad or matches nothing, or the handler does not take one event.
        """
        return self._add(handler, Options(patterns, **options))

    def include(self, *sources: object) -> list[Subscription]:
        """Subscribes what ``subscribe`` has marked: functions, objects with marked methods, modules.

        Raises:
            SubscriptionInvalid: a source has nothing that is marked, or as ``subscribe``. Nothing of it is subscribed.
        """
        found = [pair for source in sources for pair in _marked(source)]
        made = [self._made(handler, options) for handler, options in found]
        self._change(lambda held: (*held, *made))
        return made

    def unsubscribe(self, subscription: Subscription) -> bool:
        """Ends a subscription; False if it had ended. No call begins after this; one that is running goes on.

        An event that waits for a retry of this handler is then done as far as this handler goes.
        """
        was_held = subscription in self._held
        self._change(lambda held: tuple(other for other in held if other is not subscription))
        return was_held

    def restrict(self, check: Callable[[str], object]) -> None:
        """Has ``check`` asked about each type too, first about those that are held. It refuses by what it raises."""
        for type in sorted(self.types):
            check(type)
        before = self._check

        def both(type: str) -> None:
            if before is not None:
                before(type)
            check(type)

        self._check = both

    def of(self, type: str, *, is_replayed: bool = False) -> Sequence[Subscription]:
        """The handlers of an event type, those of a replayed event if ``is_replayed``."""
        return self._by_type.get((type, is_replayed), ())

    def holds(self, subscription: Subscription) -> bool:
        """Whether it has not been ended."""
        return subscription in self._held

    @property
    def types(self) -> frozenset[str]:
        """All event types that somebody handles."""
        return frozenset().union(*(subscription.types for subscription in self._held))

    @property
    def names(self) -> list[str]:
        """What the handlers are called, in the order in which they were subscribed."""
        return [subscription.name for subscription in self._held]

    def __len__(self) -> int:
        return len(self._held)

    def _add(self, handler: Handler, options: Options) -> Subscription:
        made = self._made(handler, options)
        self._change(lambda held: (*held, made))
        return made

    def _made(self, handler: Handler, options: Options) -> Subscription:
        _check_patterns(options.patterns)
        name = options.name or _name_of(handler)
        _refuse_uncallable(handler, name)
        takes_replayed = not options.side_effects if options.replayed is None else options.replayed
        types = frozenset(type for pattern in options.patterns for type in self._matched(pattern, handler))
        if self._check is not None:
            for type in sorted(types):
                self._check(type)
        return Subscription(
            name,
            handler,
            options.patterns,
            types,
            options.side_effects,
            takes_replayed,
            options.retry,
        )

    def _matched(self, pattern: str, handler: Handler) -> list[str]:
        found = [type for type in self._catalogue if fnmatchcase(type, pattern)]
        if not found:
            near = difflib.get_close_matches(pattern, self._catalogue, n=_NEAR_MAX, cutoff=0.5)
            domain = pattern.split(".")[0]
            hint = f"did you mean {' or '.join(near)}?" if near else ""
            if not near and domain not in self._catalogue.domains:
                hint = f"the domains are {', '.join(self._catalogue.domains)}."
            raise SubscriptionInvalid(
                f"{_place_of(handler)}: the pattern {pattern!r} matches no event type of the catalogue; "
                f"{hint or '`tradewire schemas list` shows the types.'}",
                pattern=pattern,
                near=near,
            )
        return found

    def _change(self, change: Callable[[tuple[Subscription, ...]], tuple[Subscription, ...]]) -> None:
        with self._lock:
            held = change(self._held)
            by_type: dict[tuple[str, bool], tuple[Subscription, ...]] = {}
            for subscription in held:
                for type in subscription.types:
                    for is_replayed in (False, True) if subscription.takes_replayed else (False,):
                        by_type[type, is_replayed] = (*by_type.get((type, is_replayed), ()), subscription)
            self._held, self._by_type = held, by_type
            self.version += 1


def _check_patterns(patterns: Sequence[Any]) -> None:
    if not patterns:
        raise SubscriptionInvalid('no pattern is given; write @subscribe("trading.order.*"), or "*" for every event')
    for pattern in patterns:
        if not isinstance(pattern, str):
            if callable(pattern):
                raise SubscriptionInvalid(
                    f"{_place_of(pattern)}: @subscribe has no event types; "
                    'write @subscribe("trading.order.*"), or "*" for every event'
                )
            raise SubscriptionInvalid(f"{pattern!r} is not a pattern: @subscribe is called with names of event types")
        if not _PATTERN.fullmatch(pattern):
            raise SubscriptionInvalid(
                f"{pattern!r} is not a pattern: names with dots between them, and * for any characters, as in "
                "trading.order.*",
                pattern=pattern,
            )


def is_marked(source: object) -> bool:
    """Whether ``subscribe`` has marked it itself, a function or method."""
    return callable(source) and getattr(source, _MARK, None) is not None


def _marked(source: object) -> list[tuple[Handler, Options]]:
    """What is marked in a source: itself, or its members in the order in which they are written."""
    if is_marked(source):
        assert callable(source)
        return [(source, options) for options in getattr(source, _MARK)]
    names: Iterable[str] = vars(source) if isinstance(source, ModuleType) else _names_of_class(type(source))
    members = [getattr(source, name) for name in names if getattr(_static(source, name), _MARK, None) is not None]
    found = [(member, options) for member in members for options in getattr(member, _MARK)]
    if not found:
        raise SubscriptionInvalid(
            f"{source!r} has no handler: mark one with @subscribe, or use Subscriptions.subscribe(handler, pattern)"
        )
    return found


def _names_of_class(found: type) -> list[str]:
    return list(dict.fromkeys(name for base in reversed(found.__mro__) for name in vars(base)))


def _static(source: object, name: str) -> Any:
    """The member without running properties; static and class methods as the function that they wrap."""
    member = inspect.getattr_static(source, name)
    return getattr(member, "__func__", member)


def _unwrapped(handler: Any) -> Any:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def _name_of(handler: Any) -> str:
    inner = _unwrapped(handler)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__)).replace("<locals>.", "")


def _place_of(handler: Any) -> str:
    """``module.function``, to be found in the source."""
    module = getattr(_unwrapped(handler), "__module__", None)
    return f"{module}.{_name_of(handler)}" if module else _name_of(handler)


def _refuse_uncallable(handler: Any, name: str) -> None:
    if not callable(handler):
        raise SubscriptionInvalid(f"{handler!r} is no function: a handler is called with one event")
    if inspect.isasyncgenfunction(_unwrapped(handler)) or inspect.isgeneratorfunction(_unwrapped(handler)):
        raise SubscriptionInvalid(f"handler {name} is a generator: nothing in it would run; leave out yield")
    try:
        inspect.signature(handler).bind(None)
    except TypeError as error:
        raise SubscriptionInvalid(f"handler {name} cannot be called with one event: {error}") from None
    except ValueError:  # built in, without a signature
        return

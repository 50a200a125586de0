"""The handlers that a worker is told to run: ``module`` or ``module:attribute``, as the settings name them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from tradewire.core.errors import SettingsError
from tradewire.processors.subscriptions import Subscriptions, is_marked
from tradewire.schemas import Catalogue


def load_handlers(targets: Iterable[str], catalogue: Catalogue) -> Subscriptions:
    """Imports what ``targets`` name and subscribes what is marked in it.

    A target is a module, or something in one: a marked function, an object with marked methods, a class or a factory,
    which is called without arguments and gives such an object or several in a list or tuple. If it is
    ``Subscriptions``, that object itself is returned, the others included in it: what the service changes in it while
    the worker runs takes effect.

    Raises:
        SettingsError: a module cannot be imported, it does not have the attribute, a class or factory fails, or two
            targets are ``Subscriptions``; names the target.
        SubscriptionInvalid: as ``Subscriptions.include``.
    """
    found: list[Any] = []
    for target in targets:
        found.extend(_sources(target))
    live = [source for source in found if isinstance(source, Subscriptions)]
    if len(live) > 1:
        raise SettingsError("worker.handlers names two Subscriptions: give all handlers to one, or name the handlers")
    subscriptions = live[0] if live else Subscriptions(catalogue)
    subscriptions.include(*(source for source in found if not isinstance(source, Subscriptions)))
    if not len(subscriptions):
        raise SettingsError("worker.handlers names Subscriptions that hold no handler: which topics are to be read?")
    return subscriptions


def _sources(target: str) -> Sequence[Any]:
    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"worker.handlers {target}: there is no module {error.name}; "
            "is its folder the working folder, or on PYTHONPATH?"
        ) from error
    for name in path.split(".") if path else ():
        try:
            found = getattr(found, name)
        except AttributeError:
            raise SettingsError(f"worker.handlers {target}: {found!r} has no {name}") from None
    if isinstance(found, ModuleType | Subscriptions) or is_marked(found):
        return [found]
    if inspect.isclass(found) or inspect.isroutine(found):
        try:
            made = found()
        except Exception as error:
            raise SettingsError(f"worker.handlers {target}: calling it without arguments failed: {error!r}") from error
        found = made
    return list(found) if isinstance(found, list | tuple) else [found]

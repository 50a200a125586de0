"""The handlers that a worker is told to run: ``module`` or ``module:attribute``, as the settings name them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Sequence
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
    subscriptions = _subscribed([source for target in targets for source in _sources(target)], catalogue)
    if not len(subscriptions):
        raise SettingsError("worker.handlers names Subscriptions that hold no handler: which topics are to be read?")
    return subscriptions


def check_handlers(targets: Iterable[str], catalogue: Catalogue) -> Subscriptions:
    """Refuses what ``load_handlers`` would refuse, but calls no class or factory: it may need what is not there yet.

    Returns the handlers that are known without calling one; there may be none.

    Raises:
        SettingsError, SubscriptionInvalid: as ``load_handlers``.
    """
    named = ((target, _named(target)) for target in targets)
    return _subscribed(
        [source for target, found in named if not _is_called(found) for source in _listed(found)], catalogue
    )


def _subscribed(found: Sequence[Any], catalogue: Catalogue) -> Subscriptions:
    live = [source for source in found if isinstance(source, Subscriptions)]
    if len(live) > 1:
        raise SettingsError("worker.handlers names two Subscriptions: give all handlers to one, or name the handlers")
    subscriptions = live[0] if live else Subscriptions(catalogue)
    subscriptions.include(*(source for source in found if not isinstance(source, Subscriptions)))
    return subscriptions


def _named(target: str) -> Any:
    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"worker.handlers {target}: there is no module {error.name}; "
            "is its folder the working folder, or on PYTHONPATH?"
        ) from error
    except (ImportError, SyntaxError) as error:
        raise SettingsError(f"worker.handlers {target}: {module_name} cannot be imported: {error}") from error
    for name in path.split(".") if path else ():
        try:
            found = getattr(found, name)
        except AttributeError:
            raise SettingsError(f"worker.handlers {target}: {found!r} has no {name}") from None
    return found


def _is_called(found: Any) -> bool:
    """Whether it is a class or a factory, which gives what has the handlers."""
    return not is_marked(found) and (inspect.isclass(found) or inspect.isroutine(found))


def _sources(target: str) -> Sequence[Any]:
    found = _named(target)
    if _is_called(found):
        try:
            found = found()
        except Exception as error:
            raise SettingsError(f"worker.handlers {target}: calling it without arguments failed: {error!r}") from error
    return _listed(found)


def _listed(found: Any) -> Sequence[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]

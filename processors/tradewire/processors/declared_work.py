"""What a worker is given to do, read from settings and files and checked before anything is connected or made.

``python -m tradewire.processors.declared_work`` checks alone: exit code 0, or 2 with the reason on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tradewire.core.errors import SettingsError, TradewireError
from tradewire.core.settings import Settings, load_settings
from tradewire.processors.duties import Duties
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.handler_targets import check_handlers, load_handlers
from tradewire.processors.patterns import Patterns
from tradewire.processors.subscriptions import SubscriptionInvalid, Subscriptions
from tradewire.processors.tables import FILLS_TOPIC, PATTERNS_TOPIC, STEPS_TOPIC, TABLES
from tradewire.schemas import Contract, Topics

# Starting again will not help: a setting, a file or a topic is wrong.
EXIT_REFUSED: Final = 2
# Domains of the platform's own making: their records are no events to correlate.
_DERIVED_DOMAINS: Final = frozenset({"flows", "flow", "patterns", "readmodel", "positions", "deadletter", "commands"})
# What the worker writes for itself to read.
OWN_SOURCES: Final = (STEPS_TOPIC, FILLS_TOPIC, PATTERNS_TOPIC)


def source_topics(topics: Topics) -> list[str]:
    """The topics whose events the worker correlates: all that are declared but the derived ones."""
    return sorted(topic.name for topic in topics.values() if topic.domain not in _DERIVED_DOMAINS)


def sources_of(duties: Duties, patterns: Patterns, contract: Contract, handled: Collection[str] = ()) -> list[str]:
    """The topics of events that a worker with these duties folds; it reads those of its handlers (``handled``) too.

    Raises:
        SettingsError: none, and none is handled: it would have nothing to do.
    """
    if duties.correlation:
        return source_topics(contract.topics)
    sources = sorted({contract.topic_of(type) for type in duties.data_types | patterns.types})
    if not sources and not handled:
        raise SettingsError(
            "worker.projections is empty, worker.correlation off, no pattern declared, no handler named: nothing to do"
        )
    return sources


def handled_topics(subscriptions: Subscriptions, contract: Contract) -> frozenset[str]:
    """The topics of what handlers are subscribed to.

    Raises:
        SubscriptionInvalid: a worker keeps one as a table, or writes it for itself: Faust reads it for another purpose.
    """
    own = {*OWN_SOURCES, *(table.topic for table in TABLES)}
    for type in sorted(subscriptions.types):
        if contract.topic_of(type) in own:
            raise SubscriptionInvalid(
                f"a pattern of a handler matches {type}, but {contract.topic_of(type)} is the worker's own, kept as a "
                "table: name the domains (trading.*, market.*), or handle it with a Subscriber",
                type=type,
            )
    return frozenset(contract.topic_of(type) for type in subscriptions.types)


@dataclass(frozen=True, slots=True)
class DeclaredWork:
    """Duties, flows, patterns and handlers of one worker; ``handled`` are the topics of its handlers."""

    duties: Duties
    patterns: Patterns
    flows: DeclaredFlows
    subscriptions: Subscriptions | None = None
    handled: frozenset[str] = frozenset()

    @classmethod
    def load(cls, settings: Settings, contract: Contract) -> DeclaredWork:
        """Reads the files of flows and patterns, imports the handlers. Connects to nothing and makes nothing.

        Raises:
            DeclarationInvalid: a file of flows or patterns cannot be used; names file, entry and field.
            SettingsError: duties or handlers cannot be had, or there is nothing to do.
            SubscriptionInvalid: as ``load_handlers`` and ``handled_topics``.
        """
        found = cls._of_files(settings, contract)
        if not settings.worker.handlers:
            sources_of(found.duties, found.patterns, contract)
            return found
        subscriptions = load_handlers(settings.worker.handlers, contract.catalogue)
        handled = handled_topics(subscriptions, contract)
        return cls(found.duties, found.patterns, found.flows, subscriptions, handled)

    @classmethod
    def check(cls, settings: Settings, contract: Contract) -> None:
        """Refuses what ``load`` would refuse, but calls no class or factory of handlers: it may need what is not there.

        Raises:
            DeclarationInvalid, SettingsError, SubscriptionInvalid: as ``load``.
        """
        found = cls._of_files(settings, contract)
        if not settings.worker.handlers:
            sources_of(found.duties, found.patterns, contract)
        else:
            handled_topics(check_handlers(settings.worker.handlers, contract.catalogue), contract)

    @classmethod
    def _of_files(cls, settings: Settings, contract: Contract) -> DeclaredWork:
        worker = settings.worker
        return cls(
            Duties.of(worker.projections, correlation=worker.correlation),
            Patterns.load(contract.catalogue, worker.patterns_file),
            DeclaredFlows.load(contract.catalogue, worker.flows_file),
        )

    @property
    def names(self) -> dict[str, list[str]]:
        """What runs, by kind, for a log line; flows run where events are correlated."""
        subscribed = () if self.subscriptions is None else self.subscriptions.names
        return {
            "projections": sorted(self.duties.projections),
            "flows": sorted(self.flows.by_name) if self.duties.correlation else [],
            "patterns": sorted(self.patterns.by_name),
            "handlers": list(subscribed),
        }


def main() -> int:
    """Checks what the settings declare; an error of foreign code in a handler's module is the worker's to tell."""
    try:
        settings = load_settings()
        DeclaredWork.check(settings, Contract.load(settings))
    except TradewireError as error:
        if not error.retriable:
            print(error, file=sys.stderr)
            return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())

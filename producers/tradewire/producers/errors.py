"""What can go wrong between a service and Kafka. Every one is a ``PublishError``, or a ``FeedError`` for bad input."""

from __future__ import annotations

from typing import ClassVar

from tradewire.core import PublishError, TradewireError


class QueueFull(PublishError):
    """Raised when the local queue had no room for ``publisher.block_ms_max``; the event was not taken.

    Caller: slow down, drop or try again. Operator: the broker is away or slower than the publishers.
    """

    retriable: ClassVar[bool] = True


class EventTooLarge(PublishError):
    """Raised when an event is larger than ``publisher.event_bytes_max``; the event was not taken.

    Caller: publish a reference to the data instead of the data.
    """


class SpoolFull(PublishError):
    """Raised when no broker answers and the local spool has no room (or its disk has none); the event was not taken.

    Nothing is dropped to make room. Caller: slow down or try again. Operator: bring the broker back, or raise
    ``publisher.spool_bytes_max``.
    """

    retriable: ClassVar[bool] = True


class SpoolUnusable(PublishError):
    """Raised when a publisher cannot use ``publisher.spool_folder``: another process has it, or its file is damaged.

    Operator: give each process a folder of its own; a damaged file must be looked at, it may hold accepted events.
    """


class PublisherClosed(PublishError):
    """Raised when a publisher is used after ``close``; the event was not taken."""


class PublisherForked(PublishError):
    """Raised when a publisher made before ``fork`` is used in the child, where its threads do not exist.

    Caller: make the publisher after the fork, or start processes by ``spawn``.
    """


class PublisherFailed(PublishError):
    """Raised when librdkafka has given a publisher up (a fatal error) or refuses an event for a reason not named here.

    Caller: close this publisher and make a new one; events of it that are unknown may be published again with their id.
    """


class DeliveryUnknown(PublishError):
    """Raised when the brokers did not confirm an event: it may or may not be in Kafka, now or later.

    Caller: publish it again only with the same event id (``context["event_id"]``), so that consumers see one event.
    """

    retriable: ClassVar[bool] = True


class LeftInSpool(DeliveryUnknown):
    """Raised by the handle of an event that was still in the local spool when its publisher was closed.

    It is on disk, and the next publisher with the same ``publisher.spool_folder`` delivers it: do not publish it again.
    """

    retriable: ClassVar[bool] = False


class TransactionAborted(PublishError):
    """Raised when a transaction could not be committed and was given up: no event of it will ever be visible.

    Caller: run the whole transaction again.
    """

    retriable: ClassVar[bool] = True


class TransactionUnknown(DeliveryUnknown):
    """Raised when it is not known how a transaction ended: all of its events are visible, or none of them.

    Caller: run it again only with the same event ids.
    """


class PublisherFenced(TransactionUnknown):
    """Raised when another publisher has taken over this one's ``publisher.transactional_id``.

    The transaction at hand is aborted, unless its commit had just been written when the other one came. Caller: stop,
    the other one is the successor.
    """

    retriable: ClassVar[bool] = False


class TopicMissing(DeliveryUnknown):
    """Raised when the brokers have no such topic. Operator: run ``tradewire topics apply``, then publish again."""

    retriable: ClassVar[bool] = False


class NotAuthorised(DeliveryUnknown):
    """Raised when the brokers do not let this principal write; names principal, topic and the ACL that is missing."""

    retriable: ClassVar[bool] = False


class FeedError(TradewireError):
    """Raised when a line of an input file cannot be read as what its format says; names file, line and field.

    ``file`` and ``line`` (from 1) are also attributes.
    """

    def __init__(self, message: str, /, *, file: str, line: int, **context: object) -> None:
        super().__init__(f"{file}:{line}: {message}", file=file, line=line, **context)
        self.file = file
        self.line = line

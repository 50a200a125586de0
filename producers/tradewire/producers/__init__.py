"""Into Kafka: publishers for services, feeds for files and simulations."""

from tradewire.producers.async_publisher import AsyncPublisher
from tradewire.producers.breaker import BreakerState
from tradewire.producers.delivery import Delivery
from tradewire.producers.errors import (
    DeliveryUnknown,
    EventTooLarge,
    FeedError,
    LeftInSpool,
    NotAuthorised,
    PublisherClosed,
    PublisherFailed,
    PublisherFenced,
    PublisherForked,
    QueueFull,
    SpoolFull,
    SpoolUnusable,
    TopicMissing,
    TransactionAborted,
    TransactionUnknown,
)
from tradewire.producers.publisher import Outcome, Publisher
from tradewire.producers.sigterm import exit_on_sigterm
from tradewire.producers.spool_folder import SpooledEvent, SpoolFolder
from tradewire.producers.transaction import Transaction

__all__ = [
    "AsyncPublisher",
    "BreakerState",
    "Delivery",
    "DeliveryUnknown",
    "EventTooLarge",
    "FeedError",
    "LeftInSpool",
    "NotAuthorised",
    "Outcome",
    "Publisher",
    "PublisherClosed",
    "PublisherFailed",
    "PublisherFenced",
    "PublisherForked",
    "QueueFull",
    "SpoolFolder",
    "SpoolFull",
    "SpoolUnusable",
    "SpooledEvent",
    "TopicMissing",
    "Transaction",
    "TransactionAborted",
    "TransactionUnknown",
    "exit_on_sigterm",
]

"""Into Kafka: publishers for services, feeds for files and simulations."""

from tradewire.producers.async_publisher import AsyncPublisher
from tradewire.producers.delivery import Delivery
from tradewire.producers.errors import (
    DeliveryUnknown,
    EventTooLarge,
    FeedError,
    NotAuthorised,
    PublisherClosed,
    PublisherFailed,
    PublisherForked,
    QueueFull,
    TopicMissing,
)
from tradewire.producers.publisher import Outcome, Publisher

__all__ = [
    "AsyncPublisher",
    "Delivery",
    "DeliveryUnknown",
    "EventTooLarge",
    "FeedError",
    "NotAuthorised",
    "Outcome",
    "Publisher",
    "PublisherClosed",
    "PublisherFailed",
    "PublisherForked",
    "QueueFull",
    "TopicMissing",
]

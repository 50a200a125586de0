"""Kafka to Kafka: correlation of events into flows, and read models. Plain folds, with Faust as the shell;
and subscriptions of services, without it."""

from tradewire.processors._partitions import EventsGone
from tradewire.processors.applied import Applied, At
from tradewire.processors.dedupe import DedupeWindow
from tradewire.processors.flows import Flow, PlacedStep, Step, add_step, lay_out
from tradewire.processors.inbox import Inbox
from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.liveness import Progress, read_progress
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.retries import GiveUp, RetryAfter, RetryPolicy
from tradewire.processors.subscriber import Subscriber, SubscriberStopped
from tradewire.processors.subscriptions import Subscription, SubscriptionInvalid, Subscriptions, subscribe
from tradewire.processors.tables import TABLES, Table

__all__ = [
    "TABLES",
    "Applied",
    "At",
    "Claim",
    "DedupeWindow",
    "EventsGone",
    "Flow",
    "GiveUp",
    "Inbox",
    "Ledger",
    "PlacedStep",
    "Progress",
    "RetryAfter",
    "RetryPolicy",
    "Step",
    "Subscriber",
    "SubscriberStopped",
    "Subscription",
    "SubscriptionInvalid",
    "Subscriptions",
    "Table",
    "WorkerMetrics",
    "add_step",
    "lay_out",
    "read_progress",
    "subscribe",
]

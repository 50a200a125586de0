"""What subscribers of a process count, for Prometheus. The names are part of the platform's surface."""

from __future__ import annotations

from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from tradewire.processors.parking import ParkingMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 60)


class SubscriberMetrics:
    """The series of all subscribers of a process, told apart by their group; ``of`` gives the one of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "tradewire_subscriber_events_total",
            "Events that all their handlers are done with, by type.",
            ["group", "type"],
            registry=registry,
        )
        self.passed_over = Counter(
            "tradewire_subscriber_passed_over_total",
            "Records that no handler was called for: no_handler, repeat, tombstone, settled (re-driven before).",
            ["group", "reason"],
            registry=registry,
        )
        self.retries = Counter(
            "tradewire_subscriber_retries_total",
            "Calls that failed and are made again, by class of the error.",
            ["group", "handler", "error"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "tradewire_subscriber_dead_letters_total",
            "Records parked, by topic of the record.",
            ["group", "topic"],
            registry=registry,
        )
        self.redriven = Counter(
            "tradewire_subscriber_redriven_total",
            "Dead letters handled again, by outcome (done, failed).",
            ["group", "outcome"],
            registry=registry,
        )
        self.handling_seconds = Histogram(
            "tradewire_subscriber_handling_seconds",
            "Time of one call of a handler.",
            ["group", "handler"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.reached_seconds = Histogram(
            "tradewire_subscriber_event_to_handler_seconds",
            "Age of an event by its Kafka timestamp when its first handler is called, by topic.",
            ["group", "topic"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.registry_waits = Counter(
            "tradewire_subscriber_registry_waits_total",
            "Times that a record waited for a schema.",
            ["group"],
            registry=registry,
        )
        self.parking = ParkingMetrics.of(registry)
        self._add_gauges(registry)

    def _add_gauges(self, registry: CollectorRegistry) -> None:
        place = ["group", "topic", "partition"]
        self.committed_offset = Gauge(
            "tradewire_subscriber_committed_offset", "Offset last committed.", place, registry=registry
        )
        self.lag = Gauge(
            "tradewire_subscriber_lag",
            "Records behind the end that are not committed, at the last commit.",
            place,
            registry=registry,
        )
        self.unfinished_rows = Gauge(
            "tradewire_subscriber_unfinished_rows", "Records read whose work is not done.", ["group"], registry=registry
        )
        self.longest_call_seconds = Gauge(
            "tradewire_subscriber_longest_call_seconds",
            "For how long the oldest call of a handler has been running; 0 if none runs.",
            ["group"],
            registry=registry,
        )
        self.paused_partitions = Gauge(
            "tradewire_subscriber_paused_partitions",
            "Partitions not read on for now: their buffer is full.",
            ["group"],
            registry=registry,
        )

    @staticmethod
    def of(registry: CollectorRegistry = REGISTRY) -> SubscriberMetrics:
        """The one of a registry, which takes every name once."""
        return _of(registry)


@cache
def _of(registry: CollectorRegistry) -> SubscriberMetrics:
    return SubscriberMetrics(registry)

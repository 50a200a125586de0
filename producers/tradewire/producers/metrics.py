"""Prometheus metrics of all publishers of the process, read when they are scraped: publishing pays nothing for them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tradewire.producers._ledger import Ledger
from tradewire.producers._route import Route
from tradewire.producers.breaker import BreakerState
from tradewire.producers.spool import Spool


class Measured(Protocol):
    """What the metrics read of a publisher."""

    @property
    def pending(self) -> int: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def breaker_state(self) -> BreakerState: ...
    @property
    def spool(self) -> Spool | None: ...
    def routes(self) -> Iterable[Route]: ...


class PublisherMetrics(Collector):
    """``tradewire_published_messages_total`` and its kin, over open publishers and those already closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Measured] = set()
        self._published: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._unknown = 0

    def opened(self, publisher: Measured) -> None:
        with self._lock:
            self._open.add(publisher)

    def closed(self, publisher: Measured) -> None:
        """Keeps its counts: a counter must not fall when a publisher goes."""
        with self._lock:
            if publisher in self._open:
                self._open.discard(publisher)
                for route in publisher.routes():
                    self._published[route.type, route.topic] += route.published
                self._refused.update(publisher.ledger.refused)
                self._unknown += publisher.ledger.unknown

    def after_fork(self) -> None:
        """For the child: whoever held the lock is not there."""
        self._lock = threading.Lock()

    def open_publishers(self) -> list[Measured]:
        with self._lock:
            return list(self._open)

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            published, refused, unknown, pending = self._published.copy(), self._refused.copy(), self._unknown, 0
            states, rows, size, set_aside = Counter[BreakerState](), 0, 0, 0
            for publisher in self._open:
                for route in publisher.routes():
                    published[route.type, route.topic] += route.published
                refused.update(publisher.ledger.refused)
                unknown += publisher.ledger.unknown
                pending += publisher.pending
                states[publisher.breaker_state] += 1
                if publisher.spool is not None:
                    rows += publisher.spool.rows
                    size += publisher.spool.size
                    set_aside += publisher.spool.refused
        taken = CounterMetricFamily(
            "tradewire_published_messages", "Events taken for publishing.", labels=["type", "topic"]
        )
        for (type, topic), count in published.items():
            taken.add_metric([type, topic], count)
        errors = CounterMetricFamily(
            "tradewire_published_messages_exceptions", "Events not taken, by error.", labels=["error"]
        )
        for error, count in refused.items():
            errors.add_metric([error], count)
        yield taken
        yield errors
        yield CounterMetricFamily(
            "tradewire_published_messages_unconfirmed", "Events taken that the brokers did not confirm.", value=unknown
        )
        yield GaugeMetricFamily(
            "tradewire_publisher_queue_messages", "Events taken whose delivery is not settled yet.", value=pending
        )
        breaker = GaugeMetricFamily(
            "tradewire_publisher_breaker_state", "Publishers of this process by state of breaker.", labels=["state"]
        )
        for state in BreakerState:
            breaker.add_metric([state.value], states[state])
        yield breaker
        yield GaugeMetricFamily("tradewire_publisher_spool_messages", "Events in local spools.", value=rows)
        yield GaugeMetricFamily(
            "tradewire_publisher_spool_refused_messages", "Events in local spools that Kafka refused.", value=set_aside
        )
        yield GaugeMetricFamily("tradewire_publisher_spool_bytes", "Bytes of events in local spools.", value=size)


METRICS = PublisherMetrics()
REGISTRY.register(METRICS)

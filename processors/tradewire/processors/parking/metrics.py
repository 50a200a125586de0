"""What is parked, for Prometheus."""

from __future__ import annotations

from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class ParkingMetrics:
    """The series of parking in one process; one object for all its lots."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.keys = Gauge("tradewire_parked_keys", "Keys that are parked here.", ["group"], registry=registry)
        self.letters = Gauge(
            "tradewire_parked_letters", "Letters that wait behind parked keys.", ["group"], registry=registry
        )
        self.written = Counter(
            "tradewire_dead_letters_total",
            "Dead letters written, by what they are: failed or parked-behind.",
            ["group", "kind"],
            registry=registry,
        )
        self.redriven = Counter(
            "tradewire_dead_letters_redriven_total",
            "Letters that a re-drive has settled, by outcome: done, discarded or failed.",
            ["group", "outcome"],
            registry=registry,
        )
        self.full = Counter(
            "tradewire_parking_full_total",
            "Times a consumer halted because a key had its most letters.",
            ["group"],
            registry=registry,
        )

    @staticmethod
    def of(registry: CollectorRegistry = REGISTRY) -> ParkingMetrics:
        """The one of a registry, which takes every name once: a worker may park for its folds and for its handlers."""
        return _of(registry)


@cache
def _of(registry: CollectorRegistry) -> ParkingMetrics:
    return ParkingMetrics(registry)

"""What a worker counts, for Prometheus. One process is one worker; the names are part of the platform's surface."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from tradewire.processors.flow_notices import RUN_COMPLETED, Notice
from tradewire.processors.parking.metrics import ParkingMetrics
from tradewire.processors.patterns import Pattern

_NS_PER_S = 1_000_000_000


class WorkerMetrics:
    """The series of one worker, in a registry of their own in tests."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.events = Counter(
            "tradewire_worker_events_total", "Events folded, by type (repeats included).", ["type"], registry=registry
        )
        self.outputs = Counter(
            "tradewire_worker_outputs_total", "Records written and confirmed, by topic.", ["topic"], registry=registry
        )
        self.dead_letters = Counter(
            "tradewire_worker_dead_letters_total",
            "Dead letters, by topic of the record.",
            ["topic"],
            registry=registry,
        )
        self.parking = ParkingMetrics.of(registry)
        self.batch_rows = Histogram(
            "tradewire_worker_batch_rows",
            "Records per batch.",
            buckets=(1, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000),
            registry=registry,
        )
        self.fold_seconds = Histogram(
            "tradewire_worker_fold_seconds",
            "Time to read and fold one batch.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
            registry=registry,
        )
        self.confirm_seconds = Histogram(
            "tradewire_worker_confirm_seconds",
            "Time from the end of the fold until all its records are confirmed and stored.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.handling_seconds = Histogram(
            "tradewire_worker_event_to_handler_seconds",
            "Age by its Kafka timestamp of the oldest record of a fetch when its fold begins, by topic.",
            ["topic"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 60),
            registry=registry,
        )
        self.committed_offset = Gauge(
            "tradewire_worker_committed_offset", "Offset last committed.", ["topic", "partition"], registry=registry
        )
        self.lag = Gauge(
            "tradewire_worker_lag",
            "Records behind the end that are not committed, at the last commit.",
            ["topic", "partition"],
            registry=registry,
        )
        self.flow_notices = Counter(
            "tradewire_worker_flow_notices_total",
            "What was said of runs of declared flows, by flow and event type (repeats after a crash included).",
            ["flow", "type"],
            registry=registry,
        )
        self.flow_hop_seconds = Histogram(
            "tradewire_worker_flow_hop_seconds",
            "Time by occurrence from one declared step to the next, of completed runs, by flow and step.",
            ["flow", "step"],
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 600, 3_600, 86_400),
            registry=registry,
        )
        self.pattern_matches = Counter(
            "tradewire_worker_pattern_matches_total",
            "Matches of declared patterns (repeats after a crash included).",
            ["pattern"],
            registry=registry,
        )
        self.registry_waits = Counter(
            "tradewire_worker_registry_waits_total", "Times a batch waited for a schema.", registry=registry
        )

    def notice(self, notice: Notice) -> None:
        """Counts what was said of a run, and the hops of one that is complete."""
        self.flow_notices.labels(notice.run.flow, notice.type).inc()
        if notice.type == RUN_COMPLETED:
            for reached, latency_ns in notice.run.hops():
                self.flow_hop_seconds.labels(notice.run.flow, reached.step).observe(latency_ns / _NS_PER_S)

    def schema_waits(self) -> float:
        """How often a batch has waited for a schema."""
        return sum(sample.value for family in self.registry_waits.collect() for sample in family.samples)

    def match(self, pattern: Pattern) -> None:
        """Counts a match."""
        self.pattern_matches.labels(pattern.name).inc()

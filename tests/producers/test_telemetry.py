"""Spans, the trace header and the metrics of publishing, against the real broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import REGISTRY
from tests.producers.records import Reader, headers_of
from tests.waiting import wait_until

from tradewire.core import EventInvalid, Settings, correlation
from tradewire.producers import EventTooLarge, Publisher
from tradewire.schemas import Contract

TYPE = "market.trade.reported"
SUBJECT = "binance.spot:BTCUSDT"


class Traces:
    """Tracer providers of a test in place of the process's one, which can be set only once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._exporter = InMemorySpanExporter()

    def configure(self, **more: Any) -> trace.Tracer:
        provider = TracerProvider(**more)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
        return provider.get_tracer("tests")

    def ended(self, count: int) -> list[ReadableSpan]:
        """So many spans; waits for them."""
        found = wait_until(lambda: len(self._exporter.get_finished_spans()) >= count, within_s=30)
        assert found
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Traces:
    return Traces(monkeypatch)


@pytest.fixture
def traced(traces: Traces, settings: Settings, contract: Contract) -> Iterator[Publisher]:
    """A publisher of a service that has configured OpenTelemetry."""
    traces.configure()
    publisher = Publisher(settings, contract)
    yield publisher
    publisher.close(10)


def traceparent(span: Any) -> bytes:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()


def test_a_published_event_has_a_span_and_carries_its_context(
    traced: Publisher, traces: Traces, reader: Reader, trade: dict[str, Any]
) -> None:
    """Named as OpenTelemetry names them; it ends with the delivery and knows where the event lies."""
    tracer = trace.get_tracer("tests")
    with correlation("flow-1"), tracer.start_as_current_span("handling an order") as parent:
        delivery = traced.publish(TYPE, trade, subject=SUBJECT)
    position = delivery.result(30)
    span = next(span for span in traces.ended(2) if span.kind is trace.SpanKind.PRODUCER)

    assert (span.name, span.status.status_code) == ("send market.events", trace.StatusCode.UNSET)
    assert span.parent is not None and span.parent.span_id == parent.get_span_context().span_id
    assert span.attributes is not None
    assert {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "market.events",
        "messaging.destination.partition.id": str(position.partition),
        "messaging.kafka.offset": position.offset,
        "messaging.kafka.message.key": SUBJECT,
        "messaging.message.id": delivery.event_id,
        "messaging.message.conversation_id": "flow-1",
        "tradewire.event.type": TYPE,
    }.items() <= dict(span.attributes).items()
    written = reader.at(position).headers()
    assert [value for name, value in written or [] if name == "traceparent"] == [traceparent(span)]


def test_without_a_tracer_provider_nothing_is_written(
    publisher: Publisher, reader: Reader, trade: dict[str, Any]
) -> None:
    """The headers are those of the contract and no others."""
    position = publisher.publish(TYPE, trade, subject=SUBJECT).result(30)

    assert "traceparent" not in headers_of(reader.at(position))


def test_a_provider_that_is_configured_late_is_noticed(
    publisher: Publisher, traces: Traces, trade: dict[str, Any]
) -> None:
    """Soon, within 65 events of a type, without anything being asked for each of them."""
    publisher.publish(TYPE, trade, subject=SUBJECT)
    traces.configure()
    for _ in range(65):
        publisher.publish(TYPE, trade, subject=SUBJECT)
    publisher.flush(30)

    assert {span.name for span in traces.ended(1)} == {"send market.events"}


def test_tracing_can_be_switched_off(
    settings: Settings, contract: Contract, traces: Traces, reader: Reader, trade: dict[str, Any]
) -> None:
    """Where another instrumentation is to write the header, or none."""
    tracer = traces.configure()
    off = settings.model_copy(update={"publisher": settings.publisher.model_copy(update={"tracing": "off"})})
    with Publisher(off, contract) as publisher, tracer.start_as_current_span("outer"):
        position = publisher.publish(TYPE, trade, subject=SUBJECT).result(30)

    assert "traceparent" not in headers_of(reader.at(position))
    assert [span.name for span in traces.ended(1)] == ["outer"]


def test_a_span_that_is_not_sampled_is_passed_on_as_such(
    settings: Settings, contract: Contract, traces: Traces, reader: Reader, trade: dict[str, Any]
) -> None:
    """So that no reader begins a trace without its beginning."""
    traces.configure(sampler=ALWAYS_OFF)
    with Publisher(settings, contract) as publisher:
        position = publisher.publish(TYPE, trade, subject=SUBJECT).result(30)

    assert int(headers_of(reader.at(position))["traceparent"][-2:], 16) & 1 == 0


def test_a_bulk_call_has_one_span_and_all_its_events_carry_it(
    traced: Publisher, traces: Traces, reader: Reader, trade: dict[str, Any]
) -> None:
    """A span for each of a hundred thousand ticks would cost more than the ticks."""
    before = reader.ends("market.events")
    traced.publish_columns(TYPE, {name: [value] * 5 for name, value in trade.items()}, source="one-span")
    traced.flush(30)
    (span,) = traces.ended(1)
    written = [headers_of(message) for message in reader.since("market.events", before)]

    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 5
    assert [each["traceparent"] for each in written if each["ce_source"] == b"one-span"] == [traceparent(span)] * 5


def test_events_without_a_handle_carry_the_active_span(
    traced: Publisher, traces: Traces, reader: Reader, trade: dict[str, Any]
) -> None:
    """publish_many makes no spans of its own."""
    before = reader.ends("market.events")
    with trace.get_tracer("tests").start_as_current_span("batch") as span:
        traced.publish_many((TYPE, trade, "many:spans") for _ in range(3))
    traced.flush(30)
    written = [headers_of(message) for message in reader.since("market.events", before)]

    assert [each["traceparent"] for each in written if each["ce_subject"] == b"many:spans"] == [traceparent(span)] * 3
    assert [span.name for span in traces.ended(1)] == ["batch"]


def test_the_span_of_a_refused_event_ends_with_the_error(
    settings: Settings, contract: Contract, traces: Traces, trade: dict[str, Any]
) -> None:
    """librdkafka refuses it only once its headers are there; data that do not fit never get a span."""
    traces.configure()
    publisher = Publisher(settings, contract)
    with pytest.raises(EventTooLarge):
        publisher.publish(TYPE, trade, subject=SUBJECT, tags={"note": "x" * 1_100_000})
    with pytest.raises(EventInvalid):
        publisher.publish(TYPE, trade | {"price": 1.5}, subject=SUBJECT)
    publisher.close(10)
    (span,) = traces.ended(1)

    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "EventTooLarge"


def test_the_span_of_an_unconfirmed_event_ends_with_the_error(
    settings: Settings, contract: Contract, traces: Traces, trade: dict[str, Any]
) -> None:
    """Here the publisher is closed while no broker answers."""
    traces.configure()
    away = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    publisher = Publisher(settings.model_copy(update={"kafka": away}), contract)
    publisher.publish(TYPE, trade, subject=SUBJECT)
    assert publisher.close(0.1).unknown == 1
    (span,) = traces.ended(1)

    assert span.status.status_code is trace.StatusCode.ERROR


def test_publishing_needs_no_sdk(settings: Settings) -> None:
    """The base install has OpenTelemetry's interface alone."""
    code = (
        "import sys, tradewire.producers; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_an_instrumentation_of_the_client_does_not_inject_a_second_context() -> None:
    """Such packages replace ``confluent_kafka.Producer`` by a class that writes ``traceparent`` too."""
    code = (
        "import sys, confluent_kafka; real = confluent_kafka.Producer; "
        "confluent_kafka.Producer = type('Instrumented', (real,), {}); "
        "from tradewire.core.settings import Settings; "
        "from tradewire.producers._lanes import Lane; "
        "sys.exit(type(Lane('bulk', Settings(), {}, print).producer) is not real)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_metrics_have_the_names_that_dashboards_expect(publisher: Publisher, trade: dict[str, Any]) -> None:
    """Counters end in _total, times are in seconds, no label holds an id."""
    publisher.publish(TYPE, trade, subject=SUBJECT).result(30)
    with pytest.raises(EventInvalid):
        publisher.publish(TYPE, trade | {"price": 1.5}, subject=SUBJECT)
    samples = {
        sample.name: set(sample.labels)
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name.startswith("tradewire_publish")
    }

    assert {
        "tradewire_published_messages_total": {"type", "topic"},
        "tradewire_published_messages_exceptions_total": {"error"},
        "tradewire_published_messages_unconfirmed_total": set(),
        "tradewire_published_messages_duration_seconds_bucket": {"le"},
        "tradewire_published_messages_duration_seconds_count": set(),
        "tradewire_published_messages_duration_seconds_sum": set(),
        "tradewire_publisher_queue_messages": set(),
        "tradewire_publisher_breaker_state": {"state"},
        "tradewire_publisher_spool_messages": set(),
        "tradewire_publisher_spool_refused_messages": set(),
        "tradewire_publisher_spool_bytes": set(),
    }.items() <= samples.items()
    assert all(
        name.endswith("_created") or "message" in name or name.startswith("tradewire_publisher") for name in samples
    )

"""The one place that reads ``traceparent``: what a handler does belongs to the trace of the publisher.

Span and attribute names are those of OpenTelemetry's semantic conventions for messaging (Kafka); the header is W3C
Trace Context. A publisher used in a handler writes the context onward.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tradewire.processors.records import RawRecord
from tradewire.schemas import Event, Header

TracingMode = Literal["auto", "on", "off"]
_HEADERS: Final = ("traceparent", "tracestate")
_ASK_EVERY_S: Final = 1.0
_propagator: Final = TraceContextTextMapPropagator()


def extract(headers: list[Header] | tuple[Header, ...]) -> otel_context.Context | None:
    """The context that a record's ``traceparent`` names; None without one, or if it is none."""
    carrier = {
        name: value.decode("latin-1") for name, value in headers if name in _HEADERS and isinstance(value, bytes)
    }
    if "traceparent" not in carrier:
        return None
    found = _propagator.extract(carrier, otel_context.Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


class ConsumerTracing:
    """The spans of one subscriber: one per event and handler, child of the publisher's. Thread-safe.

    With "auto" there are spans from at most a second after the service has configured a tracer provider. Without spans
    the publisher's context is current all the same, so that the trace does not end here.
    """

    def __init__(self, mode: TracingMode, group: str) -> None:
        self._mode = mode
        self._group = group
        self._tracer = trace.get_tracer("tradewire.processors")
        self._has_provider, self._asked_at = False, float("-inf")

    def of(self, event: Event, record: RawRecord, handler: str) -> AbstractContextManager[None]:
        """What surrounds a call of ``handler``; an exception of the call marks the span and goes through."""
        if self._mode == "off":
            return nullcontext()
        parent = extract(tuple(record.headers))
        if self._is_on():
            return self._span(event, record, handler, parent)
        return nullcontext() if parent is None else _attached(parent)

    def _is_on(self) -> bool:
        if self._mode == "on":
            return True
        now = time.monotonic()
        if not self._has_provider and now - self._asked_at >= _ASK_EVERY_S:
            # Without a provider the question reads the environment, which took a fifth of an event's time.
            provider = trace.get_tracer_provider()
            self._has_provider = not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
            self._asked_at = now
        return self._has_provider

    @contextmanager
    def _span(
        self, event: Event, record: RawRecord, handler: str, parent: otel_context.Context | None
    ) -> Iterator[None]:
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": self._group,
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.message.id": event.id,
            "messaging.message.conversation_id": event.correlation_id,
            "tradewire.event.type": event.type,
            "tradewire.handler": handler,
        }
        with self._tracer.start_as_current_span(
            f"process {record.topic}",
            context=parent or otel_context.Context(),
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
        ):
            yield


@contextmanager
def _attached(found: otel_context.Context) -> Iterator[None]:
    token = otel_context.attach(found)
    try:
        yield
    finally:
        otel_context.detach(token)

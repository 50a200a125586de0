"""Traces of publishing: a producer span per event, and the one place that writes ``traceparent``.

Span and attribute names are those of OpenTelemetry's semantic conventions for messaging (Kafka), which are not stable
yet; the header is W3C Trace Context. Metrics are in ``metrics``, the correlation of log lines in
``tradewire.core.logs``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tradewire.producers._ledger import Settle
from tradewire.producers._route import OutHeader, Route

TracingMode = Literal["auto", "on", "off"]
_propagator: Final = TraceContextTextMapPropagator()


class Tracing:
    """The spans of one publisher. Thread-safe."""

    def __init__(self, mode: TracingMode, servers: str, client_id: str) -> None:
        self._mode = mode
        host, _, port = servers.split(",")[0].rpartition(":")
        self._constant = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.client.id": client_id,
            "server.address": host or servers,
            **({"server.port": int(port)} if port.isdigit() else {}),
        }
        self._tracer = trace.get_tracer("tradewire.producers")

    def is_on(self) -> bool:
        """With "auto": whether a tracer provider has been configured. Without one a publisher does no more than ask."""
        if self._mode == "auto":
            provider = trace.get_tracer_provider()
            return not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
        return self._mode == "on"

    def inject(self, headers: list[OutHeader]) -> None:
        """Writes the context of the active span, if there is one."""
        headers.extend(_context_headers(None))

    def begin(self, route: Route, subject: str, value: bytes, headers: list[OutHeader], settle: Settle) -> Settle:
        """Starts the span of an event and writes its context; it ends with the event's delivery report.

        A span that is not sampled is written all the same, so that readers do not sample it either.
        """
        said = dict(headers)
        attributes = self._of(route) | {
            "messaging.kafka.message.key": subject,
            "messaging.message.id": str(said["ce_id"]),
            "messaging.message.conversation_id": str(said["ce_correlationid"]),
            "messaging.message.body.size": len(value),
        }
        span = self._tracer.start_span(f"send {route.topic}", kind=trace.SpanKind.PRODUCER, attributes=attributes)
        headers.extend(_context_headers(span))
        return TracedSettle(span, settle) if span.is_recording() else settle

    @contextmanager
    def batch(self, route: Route, count: int) -> Iterator[list[OutHeader]]:
        """One span around a bulk call; gives the headers that all its events get."""
        attributes = self._of(route) | {"messaging.batch.message_count": count}
        with self._tracer.start_as_current_span(
            f"send {route.topic}", kind=trace.SpanKind.PRODUCER, attributes=attributes
        ) as span:
            yield _context_headers(span)

    def _of(self, route: Route) -> dict[str, Any]:
        return self._constant | {"messaging.destination.name": route.topic, "tradewire.event.type": route.type}


class TracedSettle:
    """A delivery report that also ends the event's span."""

    __slots__ = ("_settle", "_span")

    def __init__(self, span: trace.Span, settle: Settle) -> None:
        self._span, self._settle = span, settle

    def __call__(self, error: Any, message: Any) -> None:
        if error is None and message is not None:
            self._span.set_attribute("messaging.destination.partition.id", str(message.partition()))
            self._span.set_attribute("messaging.kafka.offset", message.offset())
        elif error is not None:
            self.failed(error)
        self._span.end()
        self._settle(error, message)

    def failed(self, error: Any) -> None:
        """Marks the span; it is not ended by this."""
        name = type(error).__name__ if isinstance(error, Exception) else error.name()
        self._span.set_attribute("error.type", name)
        self._span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))

    def refused(self, error: Exception) -> None:
        """The event was not taken: there will be no report."""
        self.failed(error)
        self._span.end()


def _context_headers(span: trace.Span | None) -> list[OutHeader]:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, None if span is None else trace.set_span_in_context(span))
    return [*carrier.items()]

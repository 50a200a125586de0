"""What the gateway counts and what it knows of the parts, for Prometheus. One registry per app."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from tradewire.gateway.health import Health

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class GatewayMetrics:
    """The series of one gateway; their names and labels are part of the platform's surface."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "tradewire_gateway_requests_total",
            "Requests answered, by method, path as declared and status.",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "tradewire_gateway_request_duration_seconds",
            "Time from the request to the end of its answer.",
            ["method", "path"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.published = Counter(
            "tradewire_gateway_published_events_total",
            "Events confirmed by the brokers, spooled, or queued for requests that did not wait.",
            ["type"],
            registry=self.registry,
        )
        self.not_confirmed = Counter(
            "tradewire_gateway_not_confirmed_events_total",
            "Events that were not taken or whose delivery is unknown.",
            ["type"],
            registry=self.registry,
        )
        self.part_up = Gauge(
            "tradewire_part_up", "1 while the part answers the gateway, else 0.", ["part"], registry=self.registry
        )
        self.lag = Gauge(
            "tradewire_consumer_lag_records",
            "Records a consumer group has not committed yet, by topic.",
            ["group", "topic"],
            registry=self.registry,
        )
        self.members = Gauge(
            "tradewire_consumer_members", "Members of a consumer group.", ["group"], registry=self.registry
        )

    def show(self, health: Health) -> bytes:
        """The exposition text; the lag of a group that cannot be asked is left out, not repeated from before."""
        self.lag.clear()
        self.members.clear()
        for name, part in health.parts.items():
            self.part_up.labels(name).set(part.status == "up")
            if part.group is not None:
                self.members.labels(part.group.group).set(part.group.members)
                for topic, lag in part.group.lag.items():
                    self.lag.labels(part.group.group, topic).set(lag)
        return generate_latest(self.registry)


class CountRequests:
    """ASGI middleware that counts and times requests by their declared path, so that ids never become labels."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], metrics: GatewayMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            path = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, path, str(status)).inc()
            self._metrics.request_seconds.labels(method, path).observe(time.perf_counter() - began)


_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

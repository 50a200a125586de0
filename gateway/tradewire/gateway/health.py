"""Whether each part of the platform answers, how fast, and how far the consumer groups are behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from anyio import CapacityLimiter, to_thread
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient

from tradewire.core import KafkaUnavailable, RegistryUnavailable, Settings, TradewireError
from tradewire.core.settings import RegistrySettings
from tradewire.gateway.clickhouse import ClickHouse
from tradewire.gateway.lag import GroupLag, GroupLags
from tradewire.schemas import Contract
from tradewire.sinks import sink_topics

PROBE_TIMEOUT_S: Final = 2.0
# Several watchers at once, or one in a hurry, get the same answer.
KEEP_S: Final = 1.0
Status = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part: ``latency_ms`` is how long it took to find out, ``detail`` a sentence for people."""

    status: Status
    latency_ms: float
    detail: str
    group: GroupLag | None = None

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"status": self.status, "latency_ms": self.latency_ms, "detail": self.detail}
        if self.group is not None:
            body |= {
                "group": self.group.group,
                "members": self.group.members,
                "lag": self.group.total,
                "topics": dict(self.group.lag),
                "unread": list(self.group.unread),
            }
        return body


@dataclass(frozen=True, slots=True)
class Health:
    """All parts at one time; ``up`` when every one is."""

    parts: Mapping[str, PartHealth] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        return "up" if all(part.status == "up" for part in self.parts.values()) else "down"

    def as_json(self) -> dict[str, Any]:
        return {"status": self.status, "parts": {name: part.as_json() for name, part in self.parts.items()}}


class Prober:
    """Looks at all parts side by side, each in a thread of its own lane so that no other request waits for them."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        # Level 2: a refused connection is our answer, not a stream of lines on stderr.
        self._admin = AdminClient({**settings.kafka.client_config(), "log_level": 2})
        compacted = [topic.name for topic in contract.topics.values() if topic.cleanup == "compact"]
        self._lags = GroupLags(self._admin, PROBE_TIMEOUT_S, compacted)
        self._registry = SchemaRegistryClient(_registry_config(settings.registry))
        quick = settings.clickhouse.model_copy(update={"timeout_ms": int(PROBE_TIMEOUT_S * 1000)})
        self._clickhouse = ClickHouse(quick)
        self._worker_group = settings.worker.group
        self._sink_group = settings.sink.group
        self._sink_topics = sink_topics(list(contract.topics.values()))
        self._registry_url = settings.registry.url
        self._servers = settings.kafka.bootstrap_servers
        self._lane = CapacityLimiter(8)
        self._looking = asyncio.Lock()
        self._last: tuple[float, Health] | None = None

    async def check(self) -> Health:
        """The health now, or at most a second ago."""
        async with self._looking:
            if self._last is not None and time.monotonic() - self._last[0] < KEEP_S:
                return self._last[1]
            probes: dict[str, Callable[[], tuple[str, GroupLag | None]]] = {
                "broker": self._broker,
                "registry": self._registry_answers,
                "clickhouse": self._clickhouse_answers,
                "worker": self._worker,
                "sink": self._sink,
            }
            found = await asyncio.gather(
                *(to_thread.run_sync(_timed, probe, limiter=self._lane) for probe in probes.values())
            )
            health = Health(dict(zip(probes, found, strict=True)))
            self._last = (time.monotonic(), health)
            return health

    def close(self) -> None:
        self._clickhouse.close()

    def _broker(self) -> tuple[str, None]:
        try:
            metadata = self._admin.list_topics(timeout=PROBE_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"{self._servers} does not answer ({error.args[0].str()})") from error
        return f"{len(metadata.brokers)} brokers, {len(metadata.topics)} topics at {self._servers}", None

    def _registry_answers(self) -> tuple[str, None]:
        try:
            types = self._registry.get_schema_types()
        except Exception as error:  # the client lets its HTTP library's errors through
            raise RegistryUnavailable(f"{self._registry_url} does not answer: {error}") from error
        return f"takes {', '.join(sorted(types))} at {self._registry_url}", None

    def _clickhouse_answers(self) -> tuple[str, None]:
        version = self._clickhouse.ask(lambda client: client.command("SELECT version()"))
        return f"version {version}", None

    def _worker(self) -> tuple[str, GroupLag]:
        return self._group(self._worker_group)

    def _sink(self) -> tuple[str, GroupLag]:
        return self._group(self._sink_group, self._sink_topics)

    def _group(self, group: str, topics: Sequence[str] = ()) -> tuple[str, GroupLag]:
        lag = self._lags.of(group, topics)
        return detail_of(lag), lag


def detail_of(lag: GroupLag) -> str:
    """How a group stands, in a sentence."""
    if not lag.members:
        return f"group {lag.group} has no member: is the process running?"
    behind = f"{lag.total} records behind, all of {len(lag.lag)} topics together"
    if not lag.unread:
        return behind
    return (
        f"{behind}; nobody reads {', '.join(lag.unread)}, which group {lag.group} subscribes to: stop its processes "
        "for longer than their session timeout, then start them"
    )


def _timed(probe: Callable[[], tuple[str, GroupLag | None]]) -> PartHealth:
    began = time.perf_counter()
    group: GroupLag | None = None
    status: Status = "up"
    try:
        detail, group = probe()
        if group is not None and not group.members:
            status = "down"
    except TradewireError as error:
        status, detail = "down", str(error)
    return PartHealth(status, round((time.perf_counter() - began) * 1000, 1), detail, group)


def _registry_config(registry: RegistrySettings) -> dict[str, Any]:
    config: dict[str, Any] = {"url": registry.url, "timeout": PROBE_TIMEOUT_S, "max.retries": 0}
    if registry.username is not None and registry.password is not None:
        config["basic.auth.user.info"] = f"{registry.username}:{registry.password.get_secret_value()}"
    return config

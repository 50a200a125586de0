"""Numbers about the history: volume, errors, latencies, flows, and what of Kafka is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tradewire.core.errors import QueryError
from tradewire.sinks.complete import CompleteUpTo
from tradewire.sinks.event_pages import EventFilter, conditions, make_cursor, read_cursor
from tradewire.sinks.stored_history import StoredHistory

By = Literal["type", "topic", "source"]
_BY: Final = frozenset(("type", "topic", "source"))
# Milliseconds between the three clocks of an event: it occurred, the broker stamped it, ClickHouse stored it.
_PUBLISHED_MS: Final = "toUnixTimestamp64Milli(recorded_at) - intDiv(time_ns, 1000000)"
_VISIBLE_MS: Final = "toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(recorded_at)"
ROWS_MAX: Final = 10_000
_SECONDS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Volume:
    """Events of one name, in one minute or altogether (``minute_ms`` None).

    ``published_ms_*`` is from occurrence to the broker's stamp (two clocks: may be below zero, and is years for data
    that are fed again), ``visible_ms_*`` from that stamp to being stored.
    """

    name: str
    minute_ms: int | None
    events: int
    bytes: int
    published_ms_p50: float
    published_ms_p99: float
    visible_ms_p50: float
    visible_ms_p99: float


@dataclass(frozen=True, slots=True)
class VolumePage:
    """Some rows, and where the next page begins; ``cursor`` is None after the last one."""

    rows: Sequence[Volume]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Records of one topic that keep no contract or that a worker gave up on; ``rate`` is their share, 0 to 1.

    A letter of a worker counts for the topic it came from, those of the sink for the topic they are in.
    """

    topic: str
    events: int
    malformed: int
    parked: int

    @property
    def rate(self) -> float:
        records = self.events + self.malformed
        return (self.malformed + self.parked) / records if records else 0.0


@dataclass(frozen=True, slots=True)
class Hop:
    """Time from a cause to its effect, by their types, in nanoseconds of occurrence."""

    cause_type: str
    effect_type: str
    hops: int
    latency_ns_p50: float
    latency_ns_p90: float
    latency_ns_p99: float


@dataclass(frozen=True, slots=True)
class FlowCompletion:
    """Flows of one declared type by status; ``COMPLETED``, ``OPEN``, ``STALLED``, ``FAILED``, ``UNKNOWN``."""

    flow_type: str
    status: str
    flows: int
    duration_ns_p50: float
    duration_ns_p99: float


@dataclass(frozen=True, slots=True)
class StoredRatio:
    """Of one topic: offsets in Kafka, how many of them the sink has confirmed, and their ratio (1 when all)."""

    topic: str
    published: int
    stored: int

    @property
    def ratio(self) -> float:
        return self.stored / self.published if self.published else 1.0


class Statistics:
    """Questions to one history; errors and threads as in its ``sql``. Times are of occurrence, the end exclusive."""

    def __init__(self, history: StoredHistory) -> None:
        self._history = history

    def _ask(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Any]:
        return self._history.sql(sql, parameters=parameters, rows_max=ROWS_MAX + 1, seconds_max=_SECONDS_MAX).rows

    def volume(
        self,
        *,
        by: By = "type",
        per_minute: bool = False,
        wanted: EventFilter | None = None,
        limit: int = ROWS_MAX,
        cursor: str | None = None,
    ) -> VolumePage:
        """Events, bytes and delays per type, topic or source, the most first; with ``per_minute`` the newest minute.

        The minute is that of the broker's stamp. Pages of one chain of cursors repeat no minute of a name; without
        minutes a name may come twice or not at all if its count has grown in between.

        Raises:
            QueryError: ``by``, ``limit`` or ``cursor`` is bad; names it.
        """
        if by not in _BY:
            raise QueryError(f"by is {by!r}; it is one of {', '.join(sorted(_BY))}", field="by")
        if not 1 <= limit <= ROWS_MAX:
            raise QueryError(f"limit is {limit}; one page has 1 to {ROWS_MAX} rows", field="limit")
        where, parameters = conditions(wanted or EventFilter())
        minute, rank = "toUnixTimestamp(toStartOfMinute(recorded_at)) * 1000", "minute"
        if not per_minute:
            minute, rank = "NULL", "events"
        after = "1"
        if cursor is not None:
            at, name = read_cursor(cursor, (int, str))
            after = f"({rank} < {{c0:Int64}} OR ({rank} = {{c0:Int64}} AND name > {{c1:String}}))"
            parameters |= {"c0": at, "c1": name}
        rows = self._ask(
            f"SELECT {by} AS name, {minute} AS minute, count() AS events, sum(length(value)), "
            f"quantile(0.5)({_PUBLISHED_MS}), quantile(0.99)({_PUBLISHED_MS}), "
            f"quantile(0.5)({_VISIBLE_MS}), quantile(0.99)({_VISIBLE_MS}) "
            f"FROM events WHERE {where} GROUP BY name, minute HAVING {after} ORDER BY {rank} DESC, name "
            f"LIMIT {limit + 1}",
            parameters,
        )
        found = [Volume(*row) for row in rows[:limit]]
        if len(rows) <= limit:
            return VolumePage(found, None)
        last = found[-1]
        return VolumePage(found, make_cursor(last.minute_ms if per_minute else last.events, last.name))

    def errors(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Sequence[ErrorRate]:
        """Error rate per topic, the highest first. Times are the broker's here: a dead letter has no other."""
        parts, parameters = ["1"], {}
        for name, sign, value in (("since_ms", ">=", since_ns), ("until_ms", "<", until_ns)):
            if value is not None:
                parts.append(f"recorded_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                parameters[name] = value // 1_000_000
        where = " AND ".join(parts)
        rows = self._ask(
            "SELECT name, sum(events) AS n, sum(malformed), sum(parked) FROM ("
            f"SELECT topic AS name, count() AS events, 0 AS malformed, 0 AS parked FROM events "
            f"WHERE {where} GROUP BY topic UNION ALL "
            "SELECT if(origin_topic = '', topic, origin_topic) AS name, 0 AS events, "
            "countIf(origin_topic = '') AS malformed, countIf(origin_topic != '') AS parked "
            f"FROM dead_letters WHERE {where} GROUP BY name) "
            "GROUP BY name ORDER BY (sum(malformed) + sum(parked)) / greatest(n, 1) DESC, name",
            parameters,
        )
        return [ErrorRate(*row) for row in rows]

    def hops(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Sequence[Hop]:
        """Latency from cause to effect per pair of types, the slowest p99 first. A join: limit the time."""
        where, parameters = conditions(EventFilter(since_ns=since_ns, until_ns=until_ns))
        rows = self._ask(
            "SELECT cause.type AS cause_type, effect.type AS effect_type, count(), "
            "quantile(0.5)(effect.time_ns - cause.time_ns), quantile(0.9)(effect.time_ns - cause.time_ns), "
            "quantile(0.99)(effect.time_ns - cause.time_ns) AS p99 "
            f"FROM (SELECT correlation_id, causation_id, type, time_ns FROM events "
            f"WHERE causation_id != '' AND {where}) AS effect "
            f"INNER JOIN (SELECT correlation_id, id, type, time_ns FROM events) AS cause "
            "ON cause.correlation_id = effect.correlation_id AND cause.id = effect.causation_id "
            "GROUP BY cause_type, effect_type ORDER BY p99 DESC, cause_type, effect_type",
            parameters,
        )
        return [Hop(*row) for row in rows]

    def flows(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Sequence[FlowCompletion]:
        """Flows by type and status, as their newest states say. Times are of a flow's start."""
        parts = ["1"]
        parameters = {}
        for name, sign, value in (("since_ns", ">=", since_ns), ("until_ns", "<", until_ns)):
            if value is not None:
                parts.append(f"started_ns {sign} {{{name}:Int64}}")
                parameters[name] = value
        rows = self._ask(
            "SELECT flow_type, status, count(), quantile(0.5)(duration_ns), quantile(0.99)(duration_ns) "
            f"FROM flows_state FINAL WHERE {' AND '.join(parts)} "
            "GROUP BY flow_type, status ORDER BY flow_type, status",
            parameters,
        )
        return [FlowCompletion(*row) for row in rows]


def stored_ratios(complete: CompleteUpTo) -> Sequence[StoredRatio]:
    """Published against stored per topic, the worst first. Pure."""
    counts: dict[str, tuple[int, int]] = {}
    for at in complete.partitions:
        published, stored = counts.get(at.topic, (0, 0))
        here = max(0, at.end - at.low)
        counts[at.topic] = published + here, stored + max(0, here - at.behind)
    ratios = [StoredRatio(topic, *both) for topic, both in counts.items()]
    return sorted(ratios, key=lambda found: (found.ratio, found.topic))

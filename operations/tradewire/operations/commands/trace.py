"""`tradewire trace` draws one flow; `tradewire flows` says how the declared ones fare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition, murmur2
from rich.console import Console
from rich.table import Table

from tradewire.core import load_settings
from tradewire.core.clock import SystemClock
from tradewire.core.errors import ClickHouseUnavailable, KafkaUnavailable, QueryError
from tradewire.core.settings import Settings
from tradewire.operations.commands.query import AsJson, print_json, say_complete
from tradewire.operations.consoles import stdout_console
from tradewire.operations.waterfall import span, waterfall
from tradewire.processors import At, Flow, Step, add_step
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flow_notices import RUN_STALLED
from tradewire.processors.flow_runs import COMPLETED, FAILED, STALLED, Run, Stall, status_of
from tradewire.processors.flows import flow_of
from tradewire.processors.tables import FLOW
from tradewire.schemas import Contract
from tradewire.sinks.complete import CompleteUpTo
from tradewire.sinks.flow import StoredEvent
from tradewire.sinks.history import FLOW_STATES, History

_TIMEOUT_S: Final = 10.0
_NS_PER_MS: Final = 1_000_000
# What the platform writes about a flow is not of the flow.
_DERIVED: Final = ("flow.", "flows.", "readmodel.", "patterns.")
# ClickHouse's codes for a table and a database that are not there: nothing has been stored yet.
_NO_TABLES: Final = (60, 81)
_RUNS: Final = "SELECT flow_name, runs, completed, failed, stalled, open FROM v_flow_runs ORDER BY flow_name"
_HOPS: Final = (
    "SELECT flow_name, step, reached, latency_ns_p50, latency_ns_p99, late FROM v_flow_hops "
    "ORDER BY flow_name, latency_ns_p50, step"
)
_RUN_COLUMNS: Final = ("flow", "runs", "completed", "failed", "stalled", "open")
_HOP_COLUMNS: Final = ("flow", "step", "reached", "latency_ns_p50", "latency_ns_p99", "late")


class FlowUnknown(QueryError):
    """Raised when no event of a correlation id is found; says where it was looked for."""


def trace(
    correlation_id: Annotated[str, typer.Argument(help="ce_correlationid of any event of the flow")],
    place: Annotated[str | None, typer.Option("--from", help="history or state; default: history, else state")] = None,
    as_json: AsJson = False,
) -> None:
    """Draws a flow: the tree of causes, the time of each hop, orphans, and what was declared of it.

    The events are read from ClickHouse; if it does not answer, or does not have the flow yet, its newest state is read
    from the topic flows.state, and the picture says so. The last line, on stderr, says up to where it is complete.
    """
    if place not in (None, "history", "state"):
        raise typer.BadParameter("--from is history or state")
    settings = load_settings()
    contract = Contract.load(settings)
    looked: list[str] = []
    flow: Flow | None = None
    source = ""
    complete: CompleteUpTo | None = None
    if place != "state":
        flow, source, complete = _of_history(settings, contract, correlation_id, looked, must=place == "history")
    of_state = flow is None and place != "history"
    if of_state:
        flow, source = _of_topic(settings, contract, correlation_id, looked)
    if flow is None:
        raise FlowUnknown(
            f"no event of correlation id {correlation_id!r} is known: {'; '.join(looked)}. Is it the correlation id of "
            "an event, and not its id? What was published this second may not be stored yet",
            correlation_id=correlation_id,
        )
    if as_json:
        print_json(None if of_state else complete, flow=_plain(flow), source=source)
        return
    stdout_console().print(waterfall(flow, now_ns=SystemClock().now_ns(), source=source))
    notes = Console(stderr=True, soft_wrap=True)
    if of_state:
        notes.print("complete up to: what the worker had written of this flow when it was read", highlight=False)
    else:
        say_complete(complete, notes)


def flows(as_json: AsJson = False) -> None:
    """Declared flows: runs, completion rate, and the time of each hop (p50, p99), of all that is stored.

    The last line, on stderr, says up to where the states that the worker has written are stored.
    """
    with History.open(load_settings()) as history:
        found = history.flow_sql(_RUNS)
        runs, hops = found.answer.rows, history.flow_sql(_HOPS).answer.rows
    if as_json:
        print_json(found.complete, runs=_named(_RUN_COLUMNS, runs), hops=_named(_HOP_COLUMNS, hops))
        return
    console = stdout_console()
    if runs:
        console.print(_runs_table(runs))
        console.print(_hops_table(hops))
    else:
        console.print("no run of a declared flow is stored")
    say_complete(found.complete, Console(stderr=True, soft_wrap=True), of=FLOW_STATES)


def _named(names: Sequence[str], rows: Any) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    """Named tuples as objects of JSON."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return list(map(_plain, value)) if isinstance(value, list | tuple) else value


def flow_of_events(
    correlation_id: str, events: list[StoredEvent], declared: DeclaredFlows, *, truncated_count: int = 0
) -> Flow | None:
    """The flow that stored events make, folded as the worker folds them; stalls are those that were told. Pure."""
    flow: Flow | None = None
    for number, event in enumerate(events):
        if not event.type.startswith(_DERIVED):
            step = Step(
                event.id,
                event.type,
                event.source,
                event.subject,
                event.causation_id or None,
                event.time_ns,
                event.recorded_ms * _NS_PER_MS,
                event.topic,
                event.partition,
                event.offset,
            )
            flow = add_step(flow, correlation_id, step, At("history", number), declared)
    if flow is None:
        return None
    stalls: dict[str, dict[str, Stall]] = {}
    for event in events:
        if event.type == RUN_STALLED:
            stall = Stall(str(event.payload["waiting_step"]), int(event.payload["deadline_ns"]))
            stalls.setdefault(str(event.payload["run_id"]), {})[stall.step] = stall
    runs = tuple(_with_stalls(run, tuple(stalls.get(run.run_id, {}).values())) for run in flow.runs)
    status = flow.status if flow.status == FAILED or not runs else status_of(runs)
    return flow._replace(runs=runs, status=status, truncated_count=flow.truncated_count + truncated_count)


def _with_stalls(run: Run, stalls: tuple[Stall, ...]) -> Run:
    run = run._replace(stalls=stalls)
    if run.status in (COMPLETED, FAILED) or not any(stall.step == run.waiting for stall in stalls):
        return run
    return run._replace(status=STALLED, deadline_ns=None)


def _of_history(
    settings: Settings, contract: Contract, correlation_id: str, looked: list[str], *, must: bool
) -> tuple[Flow | None, str, CompleteUpTo | None]:
    place = f"ClickHouse {settings.clickhouse.host}:{settings.clickhouse.port}/{settings.clickhouse.database}"
    try:
        with History.open(settings, contract.topics) as history:
            answered = history.flow(correlation_id)
    except (ClickHouseUnavailable, QueryError) as error:
        no_tables = error.context.get("code") in _NO_TABLES
        if must or not (isinstance(error, ClickHouseUnavailable) or no_tables):
            raise
        looked.append(f"{place} has stored nothing yet" if no_tables else f"{place} does not answer")
        return None, "", None
    found = answered.answer
    declared = DeclaredFlows.load(contract.catalogue, settings.worker.flows_file)
    flow = flow_of_events(correlation_id, [step.event for step in found.steps], declared)
    if flow is None:
        looked.append(f"{place} has none")
    source = "ClickHouse, the first events alone" if found.truncated else "ClickHouse"
    return flow, source, answered.complete


def _of_topic(
    settings: Settings, contract: Contract, correlation_id: str, looked: list[str]
) -> tuple[Flow | None, str]:
    """The newest state of the flow in ``flows.state``: reads the partition of its key to the end."""
    key = correlation_id.encode()
    consumer = Consumer(
        {
            **settings.kafka.client_config(),
            # librdkafka wants a group's name even where no group is used.
            "group.id": "tradewire-trace",
            # A refused connection comes back as our error, not as a stream of lines on stderr.
            "log_level": 2,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
        }
    )
    value: bytes | None = None
    try:
        known = consumer.list_topics(FLOW.topic, timeout=_TIMEOUT_S).topics[FLOW.topic]
        if known.error is not None:
            looked.append(f"Kafka {settings.kafka.bootstrap_servers} has no topic {FLOW.topic}")
            return None, ""
        place = TopicPartition(FLOW.topic, murmur2(key, len(known.partitions)), 0)
        place.offset = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)[0]
        consumer.assign([place])
        ended = False
        while not ended:
            messages: list[Any] = consumer.consume(5_000, _TIMEOUT_S)
            if not messages:
                raise KafkaUnavailable(f"{settings.kafka.bootstrap_servers} gives nothing for {_TIMEOUT_S:.0f} s")
            for message in messages:
                error = message.error()
                if error is None and message.key() == key:
                    value = message.value()
                elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                    ended = True
                elif error is not None and not error.retriable():
                    raise KafkaException(error)
    except KafkaException as error:
        said = "; ".join([*looked, f"Kafka {settings.kafka.bootstrap_servers} cannot be read: {error.args[0].str()}"])
        raise KafkaUnavailable(f"the flow cannot be looked up: {said}") from error
    finally:
        consumer.close()
    if value is None:
        looked.append(f"{FLOW.topic} on {settings.kafka.bootstrap_servers} has none")
        return None, ""
    why = f"; {looked[-1]}" if looked else ""
    return flow_of(contract.codec.decode(value).data), f"{FLOW.topic}{why}"


def _runs_table(rows: Any) -> Table:
    table = Table("flow", "runs", "completed", "failed", "stalled", "open", "completion rate")
    for flow, runs, completed, failed, stalled, open_runs in rows:
        ended = completed + failed + stalled
        rate = f"{completed / ended:.1%}" if ended else "-"
        table.add_row(str(flow), *(f"{count:,}" for count in (runs, completed, failed, stalled, open_runs)), rate)
    table.caption = "completion rate: completed of completed, failed and stalled"
    return table


def _hops_table(rows: Any) -> Table:
    table = Table("flow", "step", "reached", "p50", "p99", "late")
    for flow, step, count, p50_ns, p99_ns, late in rows:
        table.add_row(str(flow), str(step), f"{count:,}", span(int(p50_ns)), span(int(p99_ns)), f"{late:,}")
    return table

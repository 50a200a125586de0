"""From one record to changed states and records to write: which fold sees which event. No Kafka, no Faust."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from tradewire.core.errors import MalformedRecord
from tradewire.processors.applied import At, source_of
from tradewire.processors.correlator import Correlator
from tradewire.processors.duties import TRADE, Duties
from tradewire.processors.flow_declarations import DeclaredFlows
from tradewire.processors.flow_notices import Notice
from tradewire.processors.flows import Step
from tradewire.processors.pattern_watch import PatternWatch
from tradewire.processors.patterns import Pattern, Patterns
from tradewire.processors.projections import candles, last_price, orders, positions
from tradewire.processors.records import Cause, Forward, RawRecord, Read, headers_of, is_replayed
from tradewire.processors.step_records import STEPS, FlowStep, StepRecords, steps_of
from tradewire.processors.tables import (
    CANDLE,
    FILLS_TOPIC,
    KEYED_PATTERN,
    LAST_PRICE,
    ORDER,
    PATTERNS_TOPIC,
    POSITION,
    STEPS_TOPIC,
    TABLES,
    TIMER,
    Table,
)
from tradewire.processors.timers import Place
from tradewire.schemas import Contract, Envelope, decode_headers

POSITION_HEADER: Final = "tradewire_position"
PARTITION_KEY_HEADER: Final = "ce_partitionkey"
ALL_DUTIES: Final = Duties()
_NS_PER_MS: Final = 1_000_000
_KEYED_ANEW: Final = frozenset({FILLS_TOPIC, PATTERNS_TOPIC})


class States(Protocol):
    """The states that the partition of the record being folded may see, and what it wants written.

    A fold reads all it needs, then writes: after an exception nothing of the record has been put.
    """

    def get(self, table: Table, key: str) -> Any: ...
    def put(self, table: Table, key: str, state: Any | None, cause: Cause) -> None:
        """Changes a state; None deletes it."""
        ...

    def expect(self, table: Table, keys: Collection[str]) -> None:
        """These states are about to be asked for: they may be fetched together."""
        ...

    def forward(self, record: Forward) -> None: ...
    def step(self, step: FlowStep) -> None:
        """Writes a step to ``flows.steps``, with others (``Folds.step_records``)."""
        ...


class Folds:
    """Reads records and folds them. Keeps nothing but encoders: all state is behind ``States``."""

    def __init__(
        self,
        contract: Contract,
        *,
        source: str,
        candle_interval_ms: int,
        flows: DeclaredFlows | None = None,
        patterns: Patterns | None = None,
        duties: Duties = ALL_DUTIES,
        step_partitions: int = 1,
        on_notice: Callable[[Notice], None] = lambda _: None,
        on_match: Callable[[Pattern], None] = lambda _: None,
    ) -> None:
        """Looks up the schema ids of what may be written. Without ``flows`` and ``patterns`` ours are watched.

        ``step_partitions`` is the number of partitions of ``flows.steps``.

        Raises:
            RegistryUnavailable, ContractError: an id cannot be had.
        """
        codec, catalogue = contract.codec, contract.catalogue
        self._codec = codec
        self._source = source
        self._interval_ms = candle_interval_ms
        self._sources: dict[tuple[str, int], str] = {}
        self._step_records = StepRecords(codec.encoder(STEPS, STEPS_TOPIC), source, step_partitions)
        self._encoders = {table.name: codec.encoder(table.type, table.topic) for table in TABLES}
        declared = DeclaredFlows.load(catalogue) if flows is None else flows
        watched = Patterns.load(catalogue) if patterns is None else patterns
        self._correlator = Correlator(codec, declared, source, on_notice)
        self._watch = PatternWatch(codec, watched, source, contract.topic_of, on_match)
        self._declared_types = declared.types
        # Of other types the headers alone are read.
        self._data_types = duties.data_types | watched.types
        self._correlates = duties.correlation
        self._projects_trades = LAST_PRICE.name in duties.projections
        self._projects_candles = CANDLE.name in duties.projections
        self._projects_orders = ORDER.name in duties.projections
        self._projects_positions = POSITION.name in duties.projections

    def read(self, record: RawRecord, *, redriven: bool = False, late: bool = False) -> Read:
        """Takes a record apart, as far as its folds will ask.

        A ``redriven`` record comes behind later ones of its partition that are of other keys. States that are fed by
        several keys know it by a source of its own, or they would take it for one that they have applied. One that is
        ``late`` comes behind later ones of its own key too.

        Raises:
            MalformedRecord: the record is at fault.
            UnknownSchemaId, RegistryUnavailable: it may be fine; keep it and try again.
        """
        at = At(self._source_of(record.topic, record.partition), record.offset)
        apart = At(_source_apart(at, None if late else record.key), at.offset) if redriven else at
        if late or record.key is None:
            at = apart
        if record.topic == STEPS_TOPIC:
            return Read(record, at, at, None, self._codec.decode(record.value).data)
        envelope = decode_headers(record.headers, fallback_time_ns=record.timestamp * _NS_PER_MS)
        data: Mapping[str, Any] | None = None
        if envelope.type in self._data_types:
            decoded = self._codec.decode(record.value, envelope.schema_key)
            if decoded.type != envelope.type:
                raise MalformedRecord(f"header ce_type says {envelope.type}, the schema is of {decoded.type}")
            data = decoded.data
        origin = _origin(record) if record.topic in _KEYED_ANEW else apart
        return Read(record, at, origin, envelope, data)

    def fold(self, read: Read, states: States) -> None:
        """Folds one record into the states it concerns.

        An event of a domain topic becomes a step of its flow before anything else, so a flow shows the event too whose
        projection fails.

        Raises:
            ProcessingError, MalformedRecord: the record cannot be folded; no state was put for it.
        """
        if read.envelope is None:
            self._fold_steps(read, states)
        elif read.record.topic == FILLS_TOPIC:
            self._fold_fill(read, read.envelope, states)
        elif read.record.topic == PATTERNS_TOPIC:
            self._watch.fold_again(read, read.envelope, states)
        else:
            envelope = read.envelope
            if self._correlates:
                states.step(self._step(read, envelope))
            if envelope.type == TRADE:
                if self._projects_trades:
                    self._fold_trade(read, envelope, states)
            elif self._projects_orders and envelope.type in orders.ORDER_TYPES:
                self._fold_order(read, envelope, states)
            if envelope.type in self._watch.types:
                self._watch.watch(read, envelope, _key(read, envelope), states)

    def look(self, place: Place, now_ns: int, states: States, *, written: bool) -> int | None:
        """Looks at a state whose time has come; returns when to look again if nothing that it changed says so.

        ``written``: what was found at the last look, that there is nothing to wait for, is known to be written.

        Raises:
            UnknownSchemaId, RegistryUnavailable: a state cannot be read now; nothing was put.
        """
        if place.table == TIMER.name:
            return self._correlator.look(place.key, now_ns, states, written=written)
        self._watch.look(place.key, now_ns, states)
        return None

    def wakes_at(self, table: Table, state: Any | None) -> int | None:
        """When something becomes due in a state of one of ``TIMED_TABLES``; None for never."""
        if state is None:
            return None
        if table is KEYED_PATTERN:
            return self._watch.wakes_at(state)
        deadline_ns: int = state.deadline_ns
        return deadline_ns

    def encode(self, table: Table, state: Any | None) -> bytes | None:
        """The framed value of a state, None of a deleted one.

        Raises:
            ContractError, ProcessingError: it does not fit its schema.
        """
        return None if state is None else self._encoders[table.name](table.data_of(state))

    def decode(self, table: Table, value: bytes) -> Any:
        """The state of a framed value. Raises MalformedRecord, UnknownSchemaId, RegistryUnavailable."""
        return table.state_of(self._codec.decode(value).data)

    def headers(self, table: Table, key: str, cause: Cause) -> list[tuple[str, bytes | None]]:
        """The envelope of a changed state."""
        return headers_of(table.type, self._source, key, cause)

    def _source_of(self, topic: str, partition: int) -> str:
        place = (topic, partition)
        source = self._sources.get(place)
        if source is None:
            source = self._sources[place] = source_of(topic, partition)
        return source

    def step_records(self, steps: Iterable[FlowStep]) -> Iterator[Forward]:
        """The records of ``flows.steps`` that hold the steps of a batch."""
        return self._step_records.of(steps)

    def _step(self, read: Read, envelope: Envelope) -> FlowStep:
        record = read.record
        step = Step(
            envelope.id,
            envelope.type,
            envelope.source,
            envelope.subject,
            envelope.causation_id,
            envelope.time_ns,
            record.timestamp * _NS_PER_MS,
            record.topic,
            record.partition,
            record.offset,
        )
        replayed = envelope.type in self._declared_types and is_replayed(record.headers)
        return FlowStep(envelope.correlation_id, step, replayed)

    def _fold_steps(self, read: Read, states: States) -> None:
        steps = steps_of(_required(read))
        if is_replayed(read.record.headers):  # a record of one step, as workers wrote them before
            steps = [one._replace(replayed=one.step.event_type in self._declared_types) for one in steps]
        self._correlator.fold(steps, read.at, states)

    def _fold_trade(self, read: Read, envelope: Envelope, states: States) -> None:
        trade, at, cause = _required(read), read.at, _cause(read, envelope)
        key = _key(read, envelope)
        before: last_price.LastPrice | None = states.get(LAST_PRICE, key)
        if not self._projects_candles:
            alone = last_price.apply_trade(before, trade, at, None)
            if alone is not before:
                states.put(LAST_PRICE, key, alone, cause)
            return
        newest_ns = before.candle.open_time_ns if before is not None and before.candle is not None else None
        open_ns = candles.open_time_of(trade["trade_time_ns"], self._interval_ms)
        late = newest_ns is not None and open_ns < newest_ns
        candle_key = f"{key}:{self._interval_ms}:{open_ns}"
        candle_before = states.get(CANDLE, candle_key)
        candle = candles.apply_trade(candle_before, trade, at, self._interval_ms, late=late)
        after = last_price.apply_trade(before, trade, at, candle)
        if newest_ns is not None and open_ns > newest_ns:
            ended_key = f"{key}:{self._interval_ms}:{newest_ns}"
            ended = states.get(CANDLE, ended_key)
            if ended is not None and not ended.closed:
                states.put(CANDLE, ended_key, candles.closed(ended), cause)
        if candle is not candle_before:
            states.put(CANDLE, candle_key, candle, cause)
        if after is not before:
            states.put(LAST_PRICE, key, after, cause)

    def _fold_order(self, read: Read, envelope: Envelope, states: States) -> None:
        data, at, key = _required(read), read.at, _key(read, envelope)
        before = states.get(ORDER, key)
        order = orders.apply_event(before, envelope.type, data, envelope.time_ns, at)
        if order is not before:
            states.put(ORDER, key, order, _cause(read, envelope))
        # Asked of the state and not of the change: a fill delivered again must go on again, to the same end.
        if self._projects_positions and envelope.type == orders.FILLED and not orders.is_repeat(order, data, at):
            states.forward(_fill(read, positions.position_key(data["account"], data["symbol"])))

    def _fold_fill(self, read: Read, envelope: Envelope, states: States) -> None:
        fill = _required(read)
        key = positions.position_key(fill["account"], fill["symbol"])
        before = states.get(POSITION, key)
        position = positions.apply_fill(before, fill, read.origin)
        if position is not before:
            states.put(POSITION, key, position, _cause(read, envelope))


def _required(read: Read) -> Mapping[str, Any]:
    if read.data is None:
        raise MalformedRecord(f"a record of {read.record.topic} is of a type that does not belong there")
    return read.data


def _cause(read: Read, envelope: Envelope) -> Cause:
    return Cause(envelope.id, envelope.correlation_id, envelope.time_ns, read.at)


def _key(read: Read, envelope: Envelope) -> str:
    """The record's key decides its partition, so states are kept under it: one state, one partition, one writer."""
    key = read.record.key
    if key is None:
        return envelope.subject
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise MalformedRecord(f"the key is not UTF-8: {key[:64]!r}") from error


def _source_apart(at: At, key: bytes | None) -> str:
    """The source of a redriven record: its key's own, or that of itself alone."""
    return f"{at.source}!@{at.offset}" if key is None else f"{at.source}!{key.decode(errors='replace')}"


def _fill(read: Read, key: str) -> Forward:
    """The fill as it was read, under the key of its position; ``tradewire_position`` says where it lies."""
    return Forward(
        FILLS_TOPIC,
        key.encode(),
        read.record.value,
        [
            *read.record.headers,
            (PARTITION_KEY_HEADER, key.encode()),
            (POSITION_HEADER, f"{read.origin.source}:{read.origin.offset}".encode()),
        ],
    )


def _origin(record: RawRecord) -> At:
    text = (dict(record.headers).get(POSITION_HEADER) or b"").decode(errors="replace")
    source, _, offset = text.rpartition(":")
    if not source or not offset.isdecimal():
        raise MalformedRecord(f"header {POSITION_HEADER} is {text!r}, not topic:partition:offset")
    return At(source, int(offset))

"""``publish_columns``: many events of one type whose fields come as columns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from itertools import repeat
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException

from tradewire.core import NS_PER_SECOND, EventInvalid, TradewireError, current_correlation, derived_id, new_id
from tradewire.producers._ledger import Settle
from tradewire.producers._refusals import TIME_NS_MAX, bad_attribute, refusal, too_large
from tradewire.producers._route import CE_CONTENT_TYPE, CE_SPEC_VERSION, OutHeader, Route, rare_headers
from tradewire.producers._sender import Sender
from tradewire.producers.columns import Columns, values
from tradewire.producers.errors import QueueFull
from tradewire.schemas import format_time_ns
from tradewire.schemas.codec import FRAME, MAGIC
from tradewire.schemas.column_encoder import ColumnEncoder, Unscaled

# So many rows become bytes before the first of them is queued; it bounds memory, and what is made in vain at an error.
_PART_ROWS: Final = 2_048
_SERVE_EVERY: Final = 64
_LONG_AGO: Final = -NS_PER_SECOND


class _Envelope(NamedTuple):
    """Columns of the envelope, or None where the publisher makes the values."""

    subject: Any
    time_ns: Any
    id: Any
    idempotency_key: Any
    correlation_id: Any
    causation_id: Any


@lru_cache(maxsize=256)
def _encoder(schema_text: str, title: str) -> ColumnEncoder:
    return ColumnEncoder(json.loads(schema_text), title)


class ColumnCalls(Sender):
    """The bulk path by columns."""

    def publish_columns(
        self,
        type: str,
        columns: Any,
        *,
        subject: Any = None,
        time_ns: Any = None,
        id: Any = None,
        idempotency_key: Any = None,
        correlation_id: Any = None,
        causation_id: Any = None,
        source: str | None = None,
        first_row: int = 0,
    ) -> int:
        """Publishes one event per row, in order, and returns how many were taken; makes no handles (see ``flush``).

        ``columns`` has one column per field of the type: a pyarrow Table or RecordBatch, a pandas DataFrame, or a dict
        of lists, numpy arrays or ``array.array``; a field with a default may be left out. Decimals are Decimal objects
        or Arrow's decimals, never floats. For a field ``…_ns`` timestamps of numpy, pandas and Arrow are taken as well,
        those without a time zone as UTC. The other arguments are columns of the envelope, one value per row. Without
        ``subject`` the key is made of the type's own key fields (``venue:symbol`` of a trade), without ``time_ns`` the
        events occur now, ids and correlation are those of ``publish``.

        Values are checked as by ``publish``. At the first row that is refused (``context["row"]``, from 0) the call
        raises: the rows before it are taken, nothing of it or of a later one is. ``first_row`` begins there again:
        after QueueFull the same call with ``first_row=error.context["row"]`` publishes the rest. Waits as ``publish``
        does, for each row.

        Raises:
            EventInvalid: a column is missing, unknown or too short (nothing is taken), or a value does not fit; names
                row and field.
            Otherwise as ``publish``.
        """
        try:
            title = f"{type} v{self.contract.catalogue[type].latest.version}"
            table = Columns(columns, title)
            envelope = _Envelope(subject, time_ns, id, idempotency_key, correlation_id, causation_id)
            self.prepare(type)
            latest = self.contract.catalogue[type].latest
            encoder = _encoder(latest.text, title)
            encoder.check_names(table.names)
            if subject is None:
                envelope = envelope._replace(subject=_KeyFields(str(latest.schema["tradewire"]["aggregate"]), table))
            for name, column in envelope._asdict().items():
                if column is not None and not isinstance(column, _KeyFields):
                    table.check(name, column)
        except TradewireError as error:
            self.ledger.refuse(error)
            raise
        route = self._routes[type]
        prefix = FRAME.pack(MAGIC, self.contract.schema_ids.id_of(latest, route.topic))
        count = max(0, table.rows - first_row)
        no_context: AbstractContextManager[list[OutHeader]] = nullcontext([])
        with self._tracing.batch(route, count) if self._tracing.is_on() else no_context as context:
            for low in range(first_row, table.rows, _PART_ROWS):
                high = min(low + _PART_ROWS, table.rows)
                rows = self._rows(route, encoder, prefix, table, envelope, low, high)
                try:
                    self._produce_rows(route, rows, source or self.source, context)
                except TradewireError as error:
                    if self.counts_full or not isinstance(error, QueueFull):
                        self.ledger.refuse(error)
                    raise
        return count

    def _rows(
        self, route: Route, encoder: ColumnEncoder, prefix: bytes, table: Columns, envelope: _Envelope, low: int,
        high: int,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        """Rows of ``[low, high)``, encoded: all, or those before the first that is refused, and then its error."""
        part = table.part(low, high)
        errors: list[EventInvalid] = []
        found = encoder.encode(prefix, part, high - low)
        if found is None:
            found = []
            try:
                for row in _dicts(part, high - low):
                    found.append(route.encode(row))
            except EventInvalid as error:
                errors.append(_at(low + len(found), error.message))
        made = {name: _made(name, column, low, high, errors) for name, column in envelope._asdict().items()}
        bad = min(errors, key=lambda error: int(str(error.context["row"])), default=None)
        count = high - low if bad is None else int(str(bad.context["row"])) - low
        subjects = made["subject"] or []
        keys = made["idempotency_key"]
        if made["id"] is not None:
            ids = [*made["id"]]
        elif keys is not None:
            ids = []
            try:
                for subject, key in zip(subjects, keys, strict=True):
                    ids.append(derived_id(route.type, subject, key))
            except TypeError as error:  # of the library that makes them
                given = {"subject": subject, "idempotency_key": key}
                if bad is None or len(ids) < count:
                    bad = _at(low + len(ids), bad_attribute(route.type, given, error).message)
                count = min(count, len(ids))
        else:
            ids = [new_id() for _ in range(count)]
        current = current_correlation()
        flows = made["correlation_id"] or (ids if current is None else repeat(current.correlation_id))
        causes = made["causation_id"] or repeat(None if current is None else current.causation_id)
        if made["correlation_id"] and not made["causation_id"]:
            causes = repeat(None)
        times = made["time_ns"] or repeat(None)
        yield from zip(range(low, low + count), found, subjects, ids, flows, causes, times, strict=False)
        if bad is not None:
            raise bad

    def _produce_rows(
        self, route: Route, rows: Iterable[tuple[Any, ...]], source: str, context: list[OutHeader]
    ) -> None:
        """The hot path: what ``_send`` does, with everything that is equal for all rows taken out of the loop."""
        topic, produce, settle, now, bytes_max = route.topic, route.produce, self._settle, time.time_ns, self._bytes_max
        ce_source: OutHeader = ("ce_source", source.encode())
        second_ns, text = _LONG_AGO, ""
        for row, value, subject, id, flow, cause, time_ns in rows:
            if self._refusal is not None:
                raise self._refusal.with_traceback(None)
            if time_ns is None:
                time_ns = now()
            ns = time_ns - second_ns
            if not 0 <= ns < NS_PER_SECOND:
                ns = time_ns % NS_PER_SECOND
                second_ns, text = time_ns - ns, format_time_ns(time_ns)[:20]
            headers: list[OutHeader] = [
                CE_SPEC_VERSION,
                ("ce_id", id),
                route.ce_type,
                ce_source,
                ("ce_time", f"{text}{ns:09d}Z"),
                ("ce_subject", subject),
                ("ce_correlationid", flow),
                CE_CONTENT_TYPE,
            ]
            if cause is not None:
                headers[7:7] = rare_headers(cause, None, None)
            if context:
                headers += context
            report: Settle = partial(settle, id)
            if not route.published % _SERVE_EVERY:
                if route.lane.turns.due():
                    route.lane.poll(0)
                report = self.ledger.timed(report)
            try:
                if len(value) > bytes_max:
                    raise too_large(route, subject, len(value), bytes_max)
                try:
                    produce(topic, value, subject, -1, report, None, 0, headers)
                except BufferError:
                    self._wait_for_room(route, value, subject, headers, report)
                except KafkaException as error:
                    raise refusal(error.args[0], route, subject, bytes_max, self.ledger.principal) from error
            except (TypeError, ValueError) as error:
                given = {"subject": subject, "source": source, "id": id, "correlation_id": flow, "causation_id": cause}
                raise _at(row, bad_attribute(route.type, given, error).message) from error
            except TradewireError as error:
                error.context["row"] = row
                raise
            # No call stands between reading and writing, so no other thread gets in.
            route.published += 1
        if self._refusal is not None:  # closed by another thread meanwhile, which may have missed these events
            self._give_up(0.0)


class _KeyFields:
    """The subject of each row, made of the key fields that its type names."""

    def __init__(self, aggregate: str, table: Columns) -> None:
        self.names = aggregate.split(":")
        self.table = table
        absent = [name for name in self.names if name not in table.names]
        if absent:
            raise EventInvalid(
                f"{table.title}: the key is {aggregate}, and there is no column {absent[0]!r}: give it, or subject",
                column=absent[0],
            )

    def part(self, low: int, high: int) -> Sequence[Any]:
        fields = [values(self.table.column(name), low, high, is_time=False) for name in self.names]
        return [":".join(map(str, row)) if None not in row and "" not in row else None
                for row in zip(*fields, strict=True)]  # fmt: skip


def _at(row: int, message: str) -> EventInvalid:
    return EventInvalid(f"row {row}: {message}", row=row)


def _dicts(part: Mapping[str, Sequence[Any]], count: int) -> Iterable[dict[str, Any]]:
    plain = [column.decimals() if isinstance(column, Unscaled) else column for column in part.values()]
    return (dict(zip(part, row, strict=True)) for row in (zip(*plain, strict=True) if plain else repeat((), count)))


def _made(name: str, column: Any, low: int, high: int, errors: list[EventInvalid]) -> Sequence[Any] | None:
    """The values of an envelope column, checked; the first that does not fit is added to ``errors``."""
    if column is None:
        return None
    is_time = name == "time_ns"
    part = column.part(low, high) if isinstance(column, _KeyFields) else values(column, low, high, is_time=is_time)
    fits: Callable[[Any], bool] = _is_time if is_time else _is_name
    plain = set(map(type, part)) <= {int if is_time else str}
    if plain and ((min(part) >= 0 and max(part) < TIME_NS_MAX) if is_time else "" not in part):
        return part
    for row, value in enumerate(part, low):
        if not fits(value) and not (value is None and name == "causation_id"):
            what = "nanoseconds since 1970 (up to year 9999)" if is_time else "a text that is not empty"
            errors.append(_at(row, f"column {name!r} = {value!r} is not {what}"))
            break
    return part


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_time(value: Any) -> bool:
    return type(value) is int and 0 <= value < TIME_NS_MAX

"""Dead letters: a record that cannot be processed, kept byte for byte beside the reason, for the group that failed.

We write the headers of the broker's own dead letters (``__dlq.errors.*``, KIP-1191) and a few of ours behind them.
Nothing is overwritten: Kafka's headers may repeat, so a record that is a dead letter of somebody else keeps what it
came with, and of repeated headers the last one counts. Four dialects are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tradewire.processors.records import Forward, RawRecord
from tradewire.schemas import Header

Dialect = Literal["dlq", "connect", "streams", "spring"]

PREFIX: Final = "__dlq.errors."
CONNECT_PREFIX: Final = "__connect.errors."
STREAMS_PREFIX: Final = "__streams.errors."
SPRING_PREFIX: Final = "kafka_dlt-"
OWN_PREFIX: Final = "tradewire_dlq_"
# A message of a library may quote the whole record; headers are read by people.
MESSAGE_CHARACTERS_MAX: Final = 1_000
FAILED: Final = "failed"
PARKED_BEHIND: Final = "parked-behind"
ORPHAN: Final = "orphan"


def topic_of(group: str) -> str:
    """The topic that holds the dead letters of a group."""
    return f"deadletter.{group}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why and from where a record is a dead letter, whichever dialect says so. What a dialect does not tell is None.

    ``kind`` (ours alone) is ``failed``, ``parked-behind`` for a record that was never tried because an earlier one of
    its key had failed, or ``orphan`` for one that the group had never processed. ``timestamp_ms`` is the record's own,
    which the dead letter's topic stamps anew.
    """

    dialect: Dialect
    topic: str | None
    partition: int | None
    offset: int | None
    group: str | None = None
    delivery_count: int | None = None
    message: str | None = None
    error_class: str | None = None
    stacktrace: str | None = None
    stage: str | None = None
    timestamp_ms: int | None = None
    kind: str | None = None
    at_ms: int | None = None


def dead_letter(
    record: RawRecord,
    group: str,
    error: BaseException | str,
    delivery_count: int = 1,
    *,
    kind: str = FAILED,
    at_ms: int | None = None,
) -> Forward:
    """The record as it was read: key, value, all its headers, then where it came from and why it is here.

    ``error`` may be a text: of a record that is parked behind another nothing was raised. Texts are cut.
    """
    name = error if isinstance(error, str) else type(error).__name__
    reason = (error if isinstance(error, str) else f"{name}: {error}")[:MESSAGE_CHARACTERS_MAX]
    headers: list[Header] = [
        *record.headers,
        (f"{PREFIX}topic", record.topic.encode()),
        (f"{PREFIX}partition", str(record.partition).encode()),
        (f"{PREFIX}offset", str(record.offset).encode()),
        (f"{PREFIX}group", group.encode()),
        (f"{PREFIX}delivery.count", str(delivery_count).encode()),
        (f"{PREFIX}message", reason.encode(errors="replace")),
        (f"{OWN_PREFIX}kind", kind.encode()),
        (f"{OWN_PREFIX}timestamp", str(record.timestamp).encode()),
    ]
    if not isinstance(error, str):
        headers.append((f"{OWN_PREFIX}class", f"{type(error).__module__}.{type(error).__qualname__}"[:200].encode()))
    if at_ms is not None:
        headers.append((f"{OWN_PREFIX}at", str(at_ms).encode()))
    return Forward(topic_of(group), record.key, record.value, headers)


def original_headers(headers: Iterable[Header]) -> list[Header]:
    """The headers that the record had before it became a dead letter, in their order.

    Ours are all behind the last ``__dlq.errors.topic``, so a dead letter of a dead letter gives back the first one
    whole. Of other dialects everything with their prefix is left out: where theirs begin cannot be told.
    """
    given = list(headers)
    for index in range(len(given) - 1, -1, -1):
        if given[index][0] == f"{PREFIX}topic":
            return given[:index]
    foreign = (CONNECT_PREFIX, STREAMS_PREFIX, SPRING_PREFIX)
    return [header for header in given if not header[0].startswith(foreign)]


def read_failure(headers: Iterable[Header]) -> Failure | None:
    """What the headers of a dead letter say, None if it is not one. Never raises: what cannot be read is None.

    Of a record with several dialects the one that was put on last is read.
    """
    given = list(headers)
    for name, _ in reversed(given):
        for prefix, read in _DIALECTS.items():
            if name.startswith(prefix):
                return read({key: value for key, value in given if value is not None})
    return None


def _dlq(found: Mapping[str, bytes]) -> Failure:
    message = _text(found, f"{PREFIX}message")
    named = _text(found, f"{OWN_PREFIX}class")
    return Failure(
        "dlq",
        _text(found, f"{PREFIX}topic"),
        _number(found, f"{PREFIX}partition"),
        _number(found, f"{PREFIX}offset"),
        group=_text(found, f"{PREFIX}group"),
        delivery_count=_number(found, f"{PREFIX}delivery.count"),
        message=message,
        error_class=named,
        timestamp_ms=_number(found, f"{OWN_PREFIX}timestamp"),
        kind=_text(found, f"{OWN_PREFIX}kind"),
        at_ms=_number(found, f"{OWN_PREFIX}at"),
    )


def _connect(found: Mapping[str, bytes]) -> Failure:
    return Failure(
        "connect",
        _text(found, f"{CONNECT_PREFIX}topic"),
        _number(found, f"{CONNECT_PREFIX}partition"),
        _number(found, f"{CONNECT_PREFIX}offset"),
        group=_text(found, f"{CONNECT_PREFIX}connector.name"),
        message=_text(found, f"{CONNECT_PREFIX}exception.message"),
        error_class=_text(found, f"{CONNECT_PREFIX}exception.class.name"),
        stacktrace=_text(found, f"{CONNECT_PREFIX}exception.stacktrace"),
        stage=_text(found, f"{CONNECT_PREFIX}stage"),
    )


def _streams(found: Mapping[str, bytes]) -> Failure:
    return Failure(
        "streams",
        _text(found, f"{STREAMS_PREFIX}topic"),
        _number(found, f"{STREAMS_PREFIX}partition"),
        _number(found, f"{STREAMS_PREFIX}offset"),
        message=_text(found, f"{STREAMS_PREFIX}message"),
        error_class=_text(found, f"{STREAMS_PREFIX}exception"),
        stacktrace=_text(found, f"{STREAMS_PREFIX}stacktrace"),
    )


def _spring(found: Mapping[str, bytes]) -> Failure:
    """Its numbers are binary, and an exception of the key or value deserialiser may stand under a name of its own."""
    return Failure(
        "spring",
        _text(found, f"{SPRING_PREFIX}original-topic"),
        _binary(found, f"{SPRING_PREFIX}original-partition"),
        _binary(found, f"{SPRING_PREFIX}original-offset"),
        group=_text(found, f"{SPRING_PREFIX}original-consumer-group"),
        message=_first(found, "exception-message", "key-exception-message"),
        error_class=_first(found, "exception-cause-fqcn", "exception-fqcn", "key-exception-fqcn"),
        stacktrace=_first(found, "exception-stacktrace", "key-exception-stacktrace"),
        timestamp_ms=_binary(found, f"{SPRING_PREFIX}original-timestamp"),
    )


_DIALECTS: Final = {
    PREFIX: _dlq,
    OWN_PREFIX: _dlq,
    CONNECT_PREFIX: _connect,
    STREAMS_PREFIX: _streams,
    SPRING_PREFIX: _spring,
}


def _text(found: Mapping[str, bytes], name: str) -> str | None:
    value = found.get(name)
    return None if value is None else value.decode(errors="replace")


def _first(found: Mapping[str, bytes], *names: str) -> str | None:
    return next((text for name in names if (text := _text(found, f"{SPRING_PREFIX}{name}")) is not None), None)


def _number(found: Mapping[str, bytes], name: str) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    digits = value[1:] if value[:1] == b"-" else value
    # More digits than a long has: not a number of Kafka, and slow to read.
    if digits.isdigit() and len(digits) <= 19:
        return int(value)
    return int.from_bytes(value, "big", signed=True) if len(value) in (4, 8) else None


def _binary(found: Mapping[str, bytes], name: str) -> int | None:
    value = found.get(name)
    if value is not None and len(value) in (4, 8):
        return int.from_bytes(value, "big", signed=True)
    return _number(found, name)

"""Headers of dead letters: ours are those of the broker's own, and three other dialects are read."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processors.foreign_dead_letters import CONNECT, SPRING, STREAMS
from tests.processors.pure import Record

from tradewire.processors.dead_letters import (
    FAILED,
    MESSAGE_CHARACTERS_MAX,
    PARKED_BEHIND,
    dead_letter,
    original_headers,
    read_failure,
)
from tradewire.schemas import Header

NAMES = st.sampled_from(
    ["ce_id", "x", "__dlq.errors.message", "__dlq.errors.topic", "traceparent", "tradewire_dlq_kind"]
)
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=8)), max_size=6)


def record(headers: tuple[Header, ...] = ()) -> Record:
    return Record("trading.events", 3, 42, 1_700_000_000_123, b"k", b"v", headers)


def test_what_is_written_is_read_back() -> None:
    letter = dead_letter(record(), "g", KeyError("quantity"), 4, at_ms=9)
    failure = read_failure(letter.headers)
    assert failure is not None
    assert ("dlq", "trading.events", 3, 42, "g", 4) == (
        failure.dialect, failure.topic, failure.partition, failure.offset, failure.group, failure.delivery_count,
    )  # fmt: skip
    assert ("KeyError: 'quantity'", "builtins.KeyError") == (failure.message, failure.error_class)
    assert (FAILED, 9, 1_700_000_000_123) == (failure.kind, failure.at_ms, failure.timestamp_ms)


def test_a_record_that_was_never_tried_says_what_it_waits_for() -> None:
    failure = read_failure(dead_letter(record(), "g", "parked behind offset 7", 0, kind=PARKED_BEHIND).headers)
    assert failure is not None
    assert (PARKED_BEHIND, "parked behind offset 7", None) == (failure.kind, failure.message, failure.error_class)


@given(HEADERS)
def test_the_record_s_own_headers_come_back_whatever_they_are(headers: list[Header]) -> None:
    letter = dead_letter(record(tuple(headers)), "g", ValueError("x"))
    assert headers == original_headers(letter.headers)
    assert headers == letter.headers[: len(headers)], "nothing is overwritten"
    again = dead_letter(record(tuple(letter.headers)), "h", ValueError("y"))
    assert letter.headers == original_headers(again.headers), "a dead letter of a dead letter"
    failure = read_failure(again.headers)
    assert failure is not None
    assert "h" == failure.group


def test_a_long_message_is_cut() -> None:
    failure = read_failure(dead_letter(record(), "g", ValueError("x" * 5_000)).headers)
    assert failure is not None
    assert MESSAGE_CHARACTERS_MAX == len(failure.message or "")


def test_kafka_connect_as_it_writes() -> None:
    failure = read_failure(CONNECT)
    assert failure is not None
    assert ("connect", "connect.in", 0, 0, "failing-sink", "VALUE_CONVERTER") == (
        failure.dialect, failure.topic, failure.partition, failure.offset, failure.group, failure.stage,
    )  # fmt: skip
    assert "org.apache.kafka.connect.errors.DataException" == failure.error_class
    assert "Converting byte[] to Kafka Connect data failed" in (failure.message or "")
    assert (failure.stacktrace or "").startswith("org.apache.kafka.connect.errors.DataException: ")


def test_kafka_streams_as_it_writes() -> None:
    failure = read_failure(STREAMS)
    assert failure is not None
    assert ("streams", "streams.in", 0, 0, "no such account") == (
        failure.dialect, failure.topic, failure.partition, failure.offset, failure.message,
    )  # fmt: skip
    assert "java.lang.IllegalStateException" == failure.error_class
    assert (failure.stacktrace or "").startswith("java.lang.IllegalStateException: no such account")


def test_spring_as_it_writes() -> None:
    failure = read_failure(SPRING)
    assert failure is not None
    assert ("spring", "spring.in", 2, 41, "spring.group") == (
        failure.dialect, failure.topic, failure.partition, failure.offset, failure.group,
    )  # fmt: skip
    assert ("java.lang.IllegalStateException", 1_700_000_000_123) == (failure.error_class, failure.timestamp_ms)
    assert "Listener failed; no such account" == failure.message


@pytest.mark.parametrize("headers", [CONNECT, STREAMS, SPRING], ids=["connect", "streams", "spring"])
def test_the_headers_of_the_record_come_back_from_letters_of_others(headers: list[Header]) -> None:
    assert [("ce_id", b"1")] == original_headers(headers)
    ours = dead_letter(record(tuple(headers)), "g", ValueError("x"))
    assert headers == original_headers(ours.headers), "a letter of theirs that became one of ours"
    failure = read_failure(ours.headers)
    assert failure is not None
    assert ("dlq", "g") == (failure.dialect, failure.group)


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
def test_spring_writes_its_numbers_in_binary(partition: int, offset: int) -> None:
    headers: list[Header] = [
        ("kafka_dlt-original-topic", b"t"),
        ("kafka_dlt-original-partition", struct.pack(">i", partition)),
        ("kafka_dlt-original-offset", struct.pack(">q", offset)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", 1_700_000_000_000)),
        ("kafka_dlt-original-consumer-group", b"g"),
        ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"bad"),
        ("kafka_dlt-exception-stacktrace", b"at z"),
    ]
    failure = read_failure([("x", b"1"), *headers])
    assert failure is not None
    assert ("spring", "t", partition, offset, "g") == (
        failure.dialect, failure.topic, failure.partition, failure.offset, failure.group,
    )  # fmt: skip
    assert ("java.lang.IllegalStateException", 1_700_000_000_000) == (failure.error_class, failure.timestamp_ms)
    assert [("x", b"1")] == original_headers([("x", b"1"), *headers])


@pytest.mark.parametrize("value", [b"", b"x", b"-", b"9" * 40, None, b"\xff\xfe\xfd"])
def test_a_number_that_is_none_is_left_out(value: bytes | None) -> None:
    failure = read_failure([("__dlq.errors.topic", b"t"), ("__dlq.errors.offset", value)])
    assert failure is not None
    assert ("t", None) == (failure.topic, failure.offset)


@given(
    st.lists(st.tuples(st.text(max_size=5) | st.just("kafka_dlt-original-offset"), st.none() | st.binary(max_size=9)))
)
def test_no_headers_make_the_reading_fail(headers: list[Header]) -> None:
    read_failure(headers)
    original_headers(headers)


def test_a_record_without_such_headers_is_no_dead_letter() -> None:
    assert read_failure([("ce_id", b"1")]) is None

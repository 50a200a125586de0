"""The envelope as CloudEvents headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.core import MalformedRecord
from tradewire.schemas import Event, decode_headers, encode_headers, format_time_ns, parse_time_ns

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NS = st.integers(min_value=0, max_value=253_402_300_799_999_999_999)  # up to the last nanosecond of the year 9999
EVENTS = st.builds(
    Event,
    id=TEXT,
    type=TEXT,
    data=st.just({}),
    source=TEXT,
    subject=TEXT,
    time_ns=NS,
    correlation_id=TEXT,
    causation_id=st.none() | TEXT,
    sequence=st.none() | st.integers(0, 2**63 - 1),
    tags=st.dictionaries(TEXT, TEXT, max_size=3),
)


@given(EVENTS)
def test_every_attribute_survives_the_headers(event: Event) -> None:
    """What a publisher says is what a reader gets, to the nanosecond and in any alphabet."""
    envelope = decode_headers(encode_headers(event))

    for name in ("id", "type", "source", "subject", "time_ns", "correlation_id", "causation_id", "sequence", "tags"):
        assert getattr(event, name) == getattr(envelope, name)


@given(NS)
def test_times_keep_every_nanosecond(time_ns: int) -> None:
    """Formatting and parsing are exact inverses."""
    assert time_ns == parse_time_ns(format_time_ns(time_ns))


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T02:00:01.5+02:00", 1_500_000_000),
        ("1970-01-01T00:00:00.000001Z", 1_000),
    ],
)
def test_times_of_other_producers_are_read(text: str, time_ns: int) -> None:
    """Any RFC 3339 form with an offset will do."""
    assert time_ns == parse_time_ns(text)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:01", "1970-01-01T00:00:01.5", "yesterday", "", "1.1234567890Z"])
def test_times_without_offset_or_meaning_are_refused(text: str) -> None:
    """A local time would silently mean another moment on another host."""
    with pytest.raises(ValueError):
        parse_time_ns(text)


def test_sequences_compare_as_strings_in_numeric_order() -> None:
    """The CloudEvents sequence extension compares them lexicographically."""
    event = Event(id="1", type="t", data={}, source="s", subject="a", time_ns=0, correlation_id="c", sequence=9)
    later = Event(id="2", type="t", data={}, source="s", subject="a", time_ns=0, correlation_id="c", sequence=10)

    assert dict(encode_headers(event))["ce_sequence"] < dict(encode_headers(later))["ce_sequence"]


def test_a_foreign_event_without_our_extensions_is_the_root_of_its_flow() -> None:
    """Any CloudEvents SDK may publish to our topics."""
    envelope = decode_headers(
        [("ce_id", b"7"), ("ce_type", b"t"), ("ce_source", b"/their/source")], fallback_time_ns=42
    )

    assert ("7", None, "/their/source", 42) == (
        envelope.correlation_id,
        envelope.causation_id,
        envelope.subject,
        envelope.time_ns,
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ce_id": None}, "ce_id"),
        ({"ce_type": b""}, "ce_type"),
        ({"ce_source": b"\xff"}, "ce_source"),
        ({"ce_time": b"noon"}, "ce_time"),
        ({"ce_sequence": b"x"}, "ce_sequence"),
        ({"ce_tags": b"[1]"}, "ce_tags"),
        ({"ce_tags": b"{"}, "ce_tags"),
    ],
)
def test_a_bad_header_is_refused_by_name(change: dict[str, bytes | None], named: str) -> None:
    """The message names the header, so that the producer at fault can be found."""
    event = Event(id="1", type="t", data={}, source="s", subject="a", time_ns=0, correlation_id="c")

    with pytest.raises(MalformedRecord, match=named):
        decode_headers(list((dict(encode_headers(event)) | change).items()))

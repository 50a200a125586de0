"""Fuzzes what reads bytes of strangers: ``Codec.decode``, ``decode_headers``, ``read_event``.

Run it from the repository's root for as long as wanted, with atheris (``pip install atheris``) guided by coverage::

    nice python -m tests.schemas.fuzz_codec -max_total_time=600 -timeout=10 -rss_limit_mb=1500 -max_len=4096

Without atheris the same function is fed with mutations of good records: ``python -m tests.schemas.fuzz_codec 600``.
What is held: nothing but MalformedRecord (UnknownSchemaId where a header names a schema that there is not) is raised,
and what is read is what fastavro reads from the same bytes.
"""

from __future__ import annotations

import copy
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any
from uuid import UUID

import fastavro
from tests.schemas.generated import DataMaker, SchemaMaker, fastavro_bytes, fastavro_value

from tradewire.core import MalformedRecord, UnknownSchemaId
from tradewire.schemas import Catalogue, Codec, FixedIds, Header, decode_headers, encode_headers, read_event
from tradewire.schemas._source import Source
from tradewire.schemas.cloudevents import JSON_FORMAT
from tradewire.schemas.codec import FRAME
from tradewire.schemas.event import Event
from tradewire.schemas.headers import SCHEMA_KEY

CATALOGUE = Catalogue.load()
GENERATED = 300
SCHEMAS: list[Any] = [dict(schema.schema) for type in CATALOGUE.values() for schema in type.versions]
SCHEMAS += [SchemaMaker(seed).record() for seed in range(GENERATED)]
NAMES = (
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_time",
    "ce_subject",
    "ce_correlationid",
    "ce_causationid",
    "ce_sequence",
    "ce_tags",
    "ce_specversion",
    "content-type",
    "traceparent",
    "__value_schema_id",
    "CE_ID",
    "x",
)


class AnySchema(FixedIds):
    """Ids, and GUIDs as numbers, are places in ``SCHEMAS``."""

    def schema_of(self, schema_id: int) -> Mapping[str, Any]:
        if schema_id >= len(SCHEMAS):
            raise UnknownSchemaId("no such place")
        found: Mapping[str, Any] = SCHEMAS[schema_id]
        return found

    def schema_of_guid(self, guid: UUID) -> Mapping[str, Any]:
        return self.schema_of(guid.int)


# A reader without a catalogue does not resolve: it shows what fastavro shows of the writer's schema alone.
PLAIN = Codec(Catalogue({}), AnySchema())
RESOLVING = Codec(CATALOGUE, AnySchema())
PARSED = [fastavro.parse_schema(copy.deepcopy(schema)) for schema in SCHEMAS]


def one_input(octets: bytes) -> None:
    """What is fuzzed: the first byte picks the way in, the next two the schema."""
    if len(octets) < 3:
        return
    way, number = octets[0] % 4, int.from_bytes(octets[1:3], "big") % len(SCHEMAS)
    if way == 0:
        _read_headers(octets[3:])
    elif way == 1:
        _read_event(number, octets[3:])
    else:
        _read_value(number, octets[3:])


def _read_value(number: int, body: bytes) -> None:
    with suppress(MalformedRecord):
        RESOLVING.decode(FRAME.pack(0, number) + body)
    try:
        ours = PLAIN.decode(FRAME.pack(0, number) + body).data
    except MalformedRecord:
        return
    assert repr(fastavro_value(PARSED[number], body)) == repr(ours), "read otherwise than by fastavro"


def _headers_of(octets: bytes) -> list[Header]:
    """Pieces behind a byte for the name and one for the length; an odd name byte beyond the names is a null."""
    headers: list[Header] = []
    i = 0
    while i + 2 <= len(octets):
        name, size = NAMES[octets[i] % len(NAMES)], octets[i + 1]
        headers.append((name, None if octets[i] > 250 else octets[i + 2 : i + 2 + size]))
        i += 2 + size
    return headers


def _read_headers(octets: bytes) -> None:
    with suppress(MalformedRecord):
        decode_headers(_headers_of(octets), fallback_time_ns=0)


def _read_event(number: int, octets: bytes) -> None:
    cut = octets[0] if octets else 0
    headers = [("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"s"), *_headers_of(octets[1 : 1 + cut])]
    # An odd cut leaves the frame away: JSON, structured events and schemas in headers begin anyhow.
    value = (b"" if cut % 2 else FRAME.pack(0, number)) + octets[1 + cut :]
    with suppress(MalformedRecord, UnknownSchemaId):
        read_event(RESOLVING, topic="t", partition=0, offset=1, timestamp_ms=2, value=value, headers=headers)


def good_inputs(seed: int) -> list[bytes]:
    """A good value of every schema, and the headers of a good event: what mutations start from."""
    made = []
    for number, schema in enumerate(SCHEMAS):
        maker = DataMaker(schema, seed)
        try:
            made.append(b"\2" + number.to_bytes(2, "big") + fastavro_bytes(maker.parsed, maker.make()))
        except Exception:  # fastavro stumbles over some defaults of its own
            continue
    event = Event(
        id="1", type="t", data={}, source="s", subject="a", time_ns=1, correlation_id="c", sequence=2, tags={"a": "b"}
    )
    packed = b"".join(
        bytes((NAMES.index(name), len(value or b""))) + (value or b"") for name, value in encode_headers(event)
    )
    body = json.dumps({"specversion": "1.0", "id": "1", "type": "t", "source": "s", "data_base64": "AAAA"}).encode()
    structured = bytes((NAMES.index("content-type"), len(JSON_FORMAT))) + JSON_FORMAT.encode()
    key = bytes((NAMES.index(SCHEMA_KEY), 5)) + FRAME.pack(0, 3)
    made += [b"\1\0\3" + bytes((len(head),)) + head + body for head in (structured, key)]
    return [*made, b"\0\0\0" + packed]


def mutate(octets: bytes, pick: random.Random) -> bytes:
    """A copy with some bytes changed, cut out or doubled behind the three that pick the way in."""
    body = bytearray(octets[3:])
    for _ in range(pick.choice((1, 1, 2, 4))):
        i = pick.randrange(len(body) + 1)
        what = pick.randrange(4)
        if what == 0 and i < len(body):
            body[i] = pick.choice((0, 1, 2, 0x7F, 0x80, 0xFF, pick.randrange(256)))
        elif what == 1:
            del body[i : i + pick.randrange(1, 9)]
        elif what == 2:
            body[i:i] = pick.choice((b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", pick.randbytes(3), body[i : i + 8]))
        else:
            del body[i:]
    return octets[:3] + bytes(body)


def run(seconds: float, seed: int = 0) -> int:
    """Mutations until the time is over; answers how many were tried."""
    pick = random.Random(seed)
    inputs = good_inputs(seed)
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        for _ in range(200):
            one_input(mutate(pick.choice(inputs), pick))
        tried += 200
    return tried


def _own_functions() -> Iterator[FunctionType]:
    """Functions and methods of the room; all that is imported would take minutes to instrument."""
    for name in [name for name in sys.modules if name.startswith("tradewire.schemas")]:
        members = [member for member in vars(sys.modules[name]).values() if getattr(member, "__module__", "") == name]
        for member in members:
            for found in vars(member).values() if isinstance(member, type) else [member]:
                if isinstance(found, FunctionType):
                    yield found


def main() -> None:
    try:
        import atheris
    except ImportError:
        print(run(float(sys.argv[1]) if len(sys.argv) > 1 else 60), "inputs tried")
        return
    from atheris.instrument_bytecode import patch_code

    made_by_us = Source.compile
    # Generated source is what reads the bytes; it is made after everything else has been instrumented.
    Source.compile = lambda source: patch_code(made_by_us(source), True, True)  # type: ignore[method-assign]
    for function in _own_functions():
        atheris.instrument_func(function)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

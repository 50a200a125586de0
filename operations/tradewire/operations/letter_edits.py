"""Other data or headers for a dead letter, checked against the schema of its event type."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tradewire.core.errors import EventInvalid
from tradewire.gateway.coercion import Coercer
from tradewire.gateway.problems import FieldError
from tradewire.operations.letter_views import decoded, header_text, plain
from tradewire.processors.dead_letters import OWN_PREFIX, PREFIX
from tradewire.processors.parking.reading import DeadLetter
from tradewire.schemas import Contract, Header
from tradewire.schemas.headers import SCHEMA_KEY, decode_headers


@dataclass(frozen=True, slots=True)
class Edited:
    """``value`` and ``headers`` are None where they stay as they were; ``before`` and ``after`` are data."""

    value: bytes | None
    headers: tuple[Header, ...] | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    changed: list[str]


def edit_of(
    contract: Contract,
    letter: DeadLetter,
    *,
    fields: Sequence[tuple[str, str]] = (),
    whole: Any = None,
    headers: Sequence[tuple[str, str | None]] = (),
) -> Edited:
    """The letter with other fields (texts, dots lead into records), or other data as a whole (JSON), and other headers.

    The data are written with the newest version of the type, which is also what they are read as. A header whose value
    is None goes away. Nothing is written.

    Raises:
        EventInvalid: the data do not fit the schema, name a field that is not there, or the letter's own data cannot be
            read and only some fields are given; names the fields.
        MalformedRecord: with the headers as they would be it is no event.
    """
    before, unreadable = decoded(contract.codec, letter)
    changed: list[str] = []
    new_headers = _headers(letter, headers, changed)
    after: Mapping[str, Any] | None = None
    value: bytes | None = None
    if whole is not None or fields:
        if whole is None and before is None:
            raise EventInvalid(f"the letter's data cannot be read, so give all of them (--data): {unreadable}")
        type = header_text(new_headers, "ce_type") or header_text(letter.headers, "ce_type")
        wanted = plain(before) if whole is None else whole
        after = _coerced(contract, type, wanted, fields)
        value = contract.codec.encode(type, after, contract.topic_of(type))
        after = contract.codec.decode(value).data
        changed += [f"data.{name}" for name in after if before is None or before.get(name) != after[name]]
        # It names the schema of a value that has no frame; this one has.
        new_headers = [header for header in new_headers if header[0] != SCHEMA_KEY]
    decode_headers(new_headers, fallback_time_ns=0)
    same = tuple(new_headers) == tuple(letter.headers)
    return Edited(value, None if same else tuple(new_headers), before, after, changed)


def _headers(letter: DeadLetter, wanted: Sequence[tuple[str, str | None]], changed: list[str]) -> list[Header]:
    headers = list(letter.headers)
    for name, text in wanted:
        if name.startswith((PREFIX, OWN_PREFIX)):
            raise EventInvalid(
                f"header {name} says why the record is a dead letter; it is not the event's", header=name
            )
        kept = [header for header in headers if header[0] != name]
        if text is None and len(kept) == len(headers):
            raise EventInvalid(f"the letter has no header {name}", header=name)
        headers = kept if text is None else [*kept, (name, text.encode())]
        changed.append(f"header.{name}")
    return headers


def _coerced(contract: Contract, type: str, wanted: Any, fields: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    coercer = Coercer(contract.catalogue[type].latest.schema)
    data = json.loads(json.dumps(wanted, default=str)) if fields else wanted
    for path, text in fields:
        _put(data, path, text)
    errors: list[FieldError] = []
    made = coercer(data, "", errors)
    if errors and fields:
        # A text that is no text to the schema: an integer, null, true, a list.
        wrong = {error.where for error in errors}
        for path, text in fields:
            if f"/{path.replace('.', '/')}" in wrong:
                _put(data, path, _json_or_text(text))
        errors = []
        made = coercer(data, "", errors)
    if errors:
        said = "; ".join(f"{error.where or 'data'} {error.detail}" for error in errors)
        raise EventInvalid(f"the data do not fit {type}: {said}", type=type)
    return made  # type: ignore[no-any-return]


def _put(data: Any, path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        data = data.get(parent) if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise EventInvalid(f"{path} leads to no record of the data", field=path)
    data[name] = value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

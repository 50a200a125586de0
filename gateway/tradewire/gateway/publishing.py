"""``POST /events``: JSON to events, all of a request or none; queued, then waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tradewire.core import EventInvalid, PublishError, current_correlation, derived_id, new_id
from tradewire.gateway.coercion import Coercer, Converter, long, mapping, record, string, time_ns
from tradewire.gateway.problems import RETRY_AFTER_S, FieldError, Problem, invalid_event, malformed, problem_of
from tradewire.producers import Delivery, LeftInSpool, Publisher
from tradewire.schemas import NO_TAGS, Contract, Event, Position, format_time_ns

EVENTS_MAX: Final = 1_000
TEXT_LENGTH_MAX: Final = 1_024
DELIVERY_WAIT_S: Final = 10.0
# How often somebody who waits for brokers asks whether they have gone and the event lies in the spool.
_LOOK_AGAIN_S: Final = 0.1
_SPOOLED: Final = (
    "no broker has confirmed it yet; the event is on the gateway's disk and reaches Kafka once and in order: do not "
    "send it again"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """An event as it came: its data fits the schema, its id may still be open."""

    type: str
    subject: str
    data: Mapping[str, Any]
    attributes: Mapping[str, Any]


class EventReader:
    """Turns parsed JSON into drafts, by the catalogue's newest schemas. Thread-safe; does no I/O."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._coercers: dict[str, Coercer] = {}

    def read(self, body: Any) -> list[Draft]:
        """The drafts of one event (an object) or of several (an array).

        Raises:
            Problem: 422 naming every field at fault by JSON pointer, 413 for too many events.
        """
        many = isinstance(body, list)
        if many and not body:
            raise invalid_event([FieldError("", "the array holds no event")])
        if many and len(body) > EVENTS_MAX:
            raise Problem(
                413, "too-many-events", "Too many events", f"{len(body)} events; one request takes {EVENTS_MAX}"
            )
        errors: list[FieldError] = []
        drafts: list[Draft] = []
        for number, item in enumerate(body if many else [body]):
            draft = self._draft(item, f"/{number}" if many else "", errors)
            if draft is not None:
                drafts.append(draft)
        if errors:
            raise invalid_event(errors)
        return drafts

    def _draft(self, item: Any, at: str, errors: list[FieldError]) -> Draft | None:
        found: list[FieldError] = []
        attributes = _ENVELOPE(item, at, found)
        type = attributes.get("type") if attributes else None
        if isinstance(type, str) and "data" in attributes:
            if type not in self._contract.catalogue:
                try:
                    self._contract.catalogue[type]
                except Exception as error:  # asked only for its message, which names the nearest types
                    found.append(FieldError(f"{at}/type", str(error)))
            else:
                attributes["data"] = self._coercer(type)(attributes["data"], f"{at}/data", found)
        errors += found
        if found or attributes is None:
            return None
        rest = {
            name: value
            for name, value in attributes.items()
            if name not in ("type", "subject", "data") and value is not None
        }
        return Draft(attributes["type"], attributes["subject"], attributes["data"], rest)

    def _coercer(self, type: str) -> Coercer:
        known = self._coercers.get(type)
        if known is None:
            known = self._coercers[type] = Coercer(self._contract.catalogue[type].latest.schema)
        return known


def make_events(drafts: Sequence[Draft], *, source: str, idempotency_key: str | None, now_ns: int) -> list[Event]:
    """Gives every draft its id, time and flow. Pure but for new ids.

    The id is the draft's own, else a function of type, subject, key and place in the request, else new. Without a
    correlation id of its own an event joins the current flow, else starts one.

    Raises:
        Problem: 400; an event has an id of its own and the request an idempotency key.
    """
    current = current_correlation()
    events: list[Event] = []
    for number, draft in enumerate(drafts):
        given = draft.attributes
        if idempotency_key is not None and "id" in given:
            raise malformed(
                "an event has an id and the request an Idempotency-Key: the key makes the id, so give one of them"
            )
        id = given.get("id") or (
            new_id()
            if idempotency_key is None
            else derived_id(draft.type, draft.subject, idempotency_key, *([number] if number else []))
        )
        flow = given.get("correlation_id") or (current.correlation_id if current else id)
        events.append(
            Event(
                id=id,
                type=draft.type,
                data=draft.data,
                source=given.get("source", source),
                subject=draft.subject,
                time_ns=given.get("time", now_ns),
                correlation_id=flow,
                causation_id=given.get("causation_id"),
                sequence=given.get("sequence"),
                tags=given.get("tags", NO_TAGS),
            )
        )
    return events


def queue_events(publisher: Publisher, events: Sequence[Event], *, many: bool) -> list[Delivery | PublishError]:
    """Encodes all events, then queues them in order; one handle or error each. Blocks: run it in a thread.

    Every event is encoded before the first is queued, so that one that the schema refuses stops all.

    Raises:
        EventInvalid, ContractError, RegistryUnavailable: nothing has been queued.
    """
    contract = publisher.contract
    for number, event in enumerate(events):
        try:
            contract.codec.encode(event.type, event.data, contract.topic_of(event.type))
        except EventInvalid as error:
            raise invalid_event([FieldError(f"/{number}/data" if many else "/data", error.message)]) from error
    settled: list[Delivery | PublishError] = []
    for event in events:
        try:
            settled.append(publisher.publish_event(event))
        except PublishError as error:
            # The ones behind it would overtake it: they are not taken either.
            settled += [error] * (len(events) - len(settled))
            break
    return settled


async def settle(
    publisher: Publisher, events: Sequence[Event], queued: Sequence[Delivery | PublishError], *, wait: bool,
    wait_s: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """What became of each event. With ``wait``, waits together at most ``wait_s`` for the brokers' confirmation.

    An event that lies in the spool is ``spooled``; while no broker answers it is not waited for.

    Raises:
        Problem: not every event was confirmed or spooled; its member ``events`` says for each ``written``, ``spooled``,
            ``unknown`` or ``not taken``, with the id to publish it again with.
    """
    outcomes = [_outcome(event) for event in events]
    worst: PublishError | None = None
    deadline = asyncio.get_running_loop().time() + wait_s
    for outcome, handle in zip(outcomes, queued, strict=True):
        if isinstance(handle, PublishError):
            outcome |= {"status": "not taken", "detail": str(handle)}
            worst = worst or handle
            continue
        if not wait:
            outcome["status"] = "queued"
            continue
        try:
            position = await _position(publisher, handle, deadline)
        except LeftInSpool:
            outcome |= {"status": "spooled", "detail": _SPOOLED}
        except TimeoutError:
            outcome |= {"status": "unknown", "detail": f"not confirmed within {wait_s:g} s; it may still be written"}
        except PublishError as error:
            outcome |= {"status": "unknown", "detail": str(error)}
            worst = worst or error
        else:
            outcome |= {
                "status": "written",
                "topic": position.topic,
                "partition": position.partition,
                "offset": position.offset,
                "recorded": format_time_ns(position.recorded_ns),
            }
    if any(outcome["status"] in ("unknown", "not taken") for outcome in outcomes):
        raise _not_confirmed(worst, outcomes)
    return outcomes


async def _position(publisher: Publisher, handle: Delivery, deadline: float) -> Position:
    """Raises TimeoutError after ``deadline``; LeftInSpool if the event is safe by then, or no broker answers."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + _LOOK_AGAIN_S)):
                return await handle
        except TimeoutError:
            late = loop.time() >= deadline
            if publisher.is_safe_on_disk and not handle.done() and (late or publisher.broker_is_away):
                raise LeftInSpool(_SPOOLED, event_id=handle.event_id) from None
            if late:
                raise


def _outcome(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "correlation_id": event.correlation_id,
        "time": format_time_ns(event.time_ns),
    }


def _not_confirmed(worst: PublishError | None, outcomes: list[dict[str, Any]]) -> Problem:
    unknown = sum(outcome["status"] == "unknown" for outcome in outcomes)
    if worst is not None and (not unknown or not worst.retriable):
        known = problem_of(worst)
        return Problem(
            known.status, known.slug, known.title, known.message, retry_after_s=known.retry_after_s, events=outcomes
        )
    return Problem(
        503,
        "delivery-unknown",
        "It is unknown whether the event was written",
        f"the brokers did not confirm {unknown} of {len(outcomes)} events: is Kafka up? Publish them "
        "again only with the same id, or with the same Idempotency-Key",
        retry_after_s=RETRY_AFTER_S,
        events=outcomes,
    )


def _text(value: Any, at: str, errors: list[FieldError]) -> Any:
    made = string(value, at, errors)
    if isinstance(made, str) and not 1 <= len(made) <= TEXT_LENGTH_MAX:
        errors.append(FieldError(at, f"must have 1 to {TEXT_LENGTH_MAX} characters"))
    return made


def _optional(inner: Converter) -> Converter:
    return lambda value, at, errors: None if value is None else inner(value, at, errors)


def _sequence(value: Any, at: str, errors: list[FieldError]) -> Any:
    made = long(value, at, errors)
    if isinstance(made, int) and made < 0:
        errors.append(FieldError(at, "must not be negative"))
    return made


def _time(value: Any, at: str, errors: list[FieldError]) -> Any:
    made = time_ns(value, at, errors)
    if isinstance(made, int) and made < 0:
        errors.append(FieldError(at, "must not be before 1970"))
    return made


def _unchanged(value: Any, at: str, errors: list[FieldError]) -> Any:
    return value


_ENVELOPE: Final[Converter] = record(
    {
        "type": _text,
        "subject": _text,
        "data": _unchanged,
        "source": _optional(_text),
        "time": _optional(_time),
        "id": _optional(_text),
        "correlation_id": _optional(_text),
        "causation_id": _optional(_text),
        "sequence": _optional(_sequence),
        "tags": _optional(mapping(_text)),
    },
    ["type", "subject", "data"],
)

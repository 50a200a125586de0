"""What happens to one record on its way through its handlers, without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from random import Random
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from tests.processors.pure import Record
from tests.processors.subscribing import NOTICE, WARNING, contract_of

from tradewire.core import KafkaUnavailable, MalformedRecord, RegistryUnavailable, UnknownSchemaId, current_correlation
from tradewire.processors import DedupeWindow, RetryPolicy, Subscriptions
from tradewire.processors.handling import DONE, Again, Handling, Job, Park
from tradewire.processors.records import REPLAY_HEADER
from tradewire.processors.subscriber_metrics import SubscriberMetrics
from tradewire.processors.tracing import ConsumerTracing, extract
from tradewire.schemas import Codec, Event, Header, encode_headers

TOPIC = "handled"
CONTRACT = contract_of(TOPIC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def run(awaitable: Awaitable[Any]) -> None:
    async def awaited() -> None:
        await awaitable

    asyncio.run(awaited())


class Rig:
    """A handling with a clock that stands still until it is told."""

    def __init__(self, codec: Codec = CONTRACT.codec, **policy: Any) -> None:
        self.subscriptions = Subscriptions(CONTRACT.catalogue)
        self.window = DedupeWindow(100)
        self.now = 0.0
        self.offset = 0
        self.handling = Handling(
            codec,
            self.subscriptions,
            RetryPolicy(**{"attempts_max": 3} | policy),
            group="g",
            run=run,
            metrics=SubscriberMetrics(CollectorRegistry()),
            tracing=ConsumerTracing("auto", "g"),
            compacted=frozenset({"readmodel.x"}),
            random=Random(1),
            now=lambda: self.now,
        )

    def record(self, id: str = "id-1", *more: Header, type: str = NOTICE, value: bytes | None = b"") -> Record:
        event = Event(
            id=id,
            type=type,
            data={"component": "c", "message": "m"},
            source="s",
            subject="k",
            time_ns=1_700_000_000_000_000_000,
            correlation_id="flow-1",
        )
        self.offset += 1
        framed = CONTRACT.codec.encode(type, event.data, TOPIC) if value == b"" else value
        return Record(TOPIC, 0, self.offset, 1_700_000_000_000, b"k", framed, (*encode_headers(event), *more))

    def job(self, record: Record | None = None, **options: Any) -> Job:
        return Job(record or self.record(), self.window, **options)


def test_an_event_is_done_when_all_its_handlers_are() -> None:
    rig, seen = Rig(), []
    rig.subscriptions.subscribe(lambda event: seen.append(event.data["message"]), "system.*")

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(event.id)

    rig.subscriptions.subscribe(later, NOTICE)

    assert DONE == rig.handling.attempt(rig.job())
    assert ["m", "id-1"] == seen


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_handler_stands_in_the_flow_of_its_event(kind: str) -> None:
    rig, found = Rig(), []

    def note(event: Event) -> None:
        found.append((current_correlation(), trace.get_current_span().get_span_context().trace_id))

    async def anote(event: Event) -> None:
        note(event)

    rig.subscriptions.subscribe(note if kind == "sync" else anote, NOTICE)
    rig.handling.attempt(rig.job(rig.record("id-1", ("traceparent", TRACEPARENT.encode()))))

    assert [(("flow-1", "id-1"), int("0af7651916cd43dd8448eb211c80319c", 16))] == found
    assert current_correlation() is None
    assert not trace.get_current_span().get_span_context().is_valid


def test_each_call_is_a_span_in_the_trace_of_the_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    rig = Rig()
    rig.subscriptions.subscribe(lambda event: None, NOTICE, name="fine")
    rig.subscriptions.subscribe(lambda event: event.data["no such field"], NOTICE, name="fails")
    rig.handling.attempt(rig.job(rig.record("id-1", ("traceparent", TRACEPARENT.encode()))))
    fine, fails = exporter.get_finished_spans()

    for span in (fine, fails):
        assert f"process {TOPIC}" == span.name
        assert trace.SpanKind.CONSUMER == span.kind
        assert span.parent is not None and int("b7ad6b7169203331", 16) == span.parent.span_id
    assert ["fine", "fails"] == [(span.attributes or {})["tradewire.handler"] for span in (fine, fails)]
    assert [True, False] == [span.status.is_ok for span in (fine, fails)]


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\xff\xfe", None, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"])
def test_a_traceparent_that_is_none_is_left_out(value: bytes | None) -> None:
    assert extract([("traceparent", value)]) is None


def test_only_the_handler_that_failed_is_called_again() -> None:
    rig, calls = Rig(), []
    rig.subscriptions.subscribe(lambda event: calls.append("first"), NOTICE)

    def second(event: Event) -> None:
        calls.append("second")
        if calls.count("second") < 3:
            raise TimeoutError

    rig.subscriptions.subscribe(second, NOTICE)
    rig.subscriptions.subscribe(lambda event: calls.append("third"), NOTICE)
    job = rig.job()
    outcomes = [rig.handling.attempt(job) for _ in range(3)]

    assert [Again, Again] == [type(outcome) for outcome in outcomes[:2]]
    assert DONE == outcomes[2]
    assert ["first", "second", "second", "second", "third"] == calls


def test_a_handler_that_gives_up_parks_the_event_with_its_error_and_attempts() -> None:
    rig, error = Rig(attempts_max=2), KafkaUnavailable("away")
    rig.subscriptions.subscribe(lambda event: (_ for _ in ()).throw(error), NOTICE)
    job = rig.job()

    assert isinstance(rig.handling.attempt(job), Again)
    assert Park(error, 2) == rig.handling.attempt(job)


def test_a_permanent_error_parks_at_once() -> None:
    rig = Rig()
    rig.subscriptions.subscribe(lambda event: event.data["no such field"], NOTICE)
    outcome = rig.handling.attempt(rig.job())

    assert isinstance(outcome, Park)
    assert (KeyError, 1) == (type(outcome.error), outcome.attempts)


def test_the_attempts_of_one_handler_do_not_count_for_the_next() -> None:
    rig, failing = Rig(attempts_max=2), {"a": 1, "b": 1}

    def fail_once(name: str) -> Any:
        def handler(event: Event) -> None:
            failing[name] -= 1
            if failing[name] >= 0:
                raise TimeoutError

        return handler

    rig.subscriptions.subscribe(fail_once("a"), NOTICE)
    rig.subscriptions.subscribe(fail_once("b"), NOTICE)
    job = rig.job()
    assert [Again, Again] == [type(rig.handling.attempt(job)) for _ in range(2)]
    assert DONE == rig.handling.attempt(job)


def test_a_handler_that_was_unsubscribed_while_its_event_waits_is_not_called_again() -> None:
    rig, calls = Rig(), []

    def failing(event: Event) -> None:
        calls.append("failing")
        raise TimeoutError

    subscription = rig.subscriptions.subscribe(failing, NOTICE)
    job = rig.job()
    assert isinstance(rig.handling.attempt(job), Again)
    rig.subscriptions.unsubscribe(subscription)
    assert DONE == rig.handling.attempt(job)
    assert ["failing"] == calls


def test_what_is_no_exception_goes_through() -> None:
    """sys.exit in a handler ends the service; the event is not done."""
    rig = Rig()
    rig.subscriptions.subscribe(lambda event: (_ for _ in ()).throw(SystemExit(3)), NOTICE)
    with pytest.raises(SystemExit):
        rig.handling.attempt(rig.job())
    assert rig.window.repeated("id-1", 1) is None


def test_a_repeat_is_passed_over_and_another_event_is_not() -> None:
    rig, seen = Rig(), []
    rig.subscriptions.subscribe(lambda event: seen.append(event.id), NOTICE)
    for id in ("a", "b", "a", "a", "c"):
        assert DONE == rig.handling.attempt(rig.job(rig.record(id)))
    assert ["a", "b", "c"] == seen


def test_an_event_that_failed_is_no_repeat_when_it_is_re_driven() -> None:
    """Also not where the look back of a new owner has remembered its id: what is committed may be parked."""
    rig, seen = Rig(), []
    rig.subscriptions.subscribe(lambda event: seen.append(event.id), NOTICE)
    rig.window.remember("id-1", 1, is_mine=False)
    record = rig.record("id-1")
    assert DONE == rig.handling.attempt(rig.job(record))
    assert [] == seen
    assert DONE == rig.handling.attempt(rig.job(record, is_letter=True))
    assert DONE == rig.handling.attempt(rig.job(record, is_letter=True))
    assert ["id-1"] == seen


def test_a_replayed_event_is_no_repeat_of_its_original_but_of_itself() -> None:
    rig, seen = Rig(), []
    rig.subscriptions.subscribe(lambda event: seen.append(event.id), NOTICE)
    for replay in (None, b"r1", b"r1", b"r2"):
        headers = [] if replay is None else [(REPLAY_HEADER, replay)]
        rig.handling.attempt(rig.job(rig.record("id-1", *headers)))
    assert 3 == len(seen)


def test_a_replayed_event_reaches_no_handler_with_side_effects() -> None:
    rig, seen = Rig(), []
    rig.subscriptions.subscribe(lambda event: seen.append("mail"), NOTICE, side_effects=True)
    replayed = rig.record("id-1", (REPLAY_HEADER, b"r1"))
    assert "no_handler" == rig.handling.passes_over(replayed)
    assert DONE == rig.handling.attempt(rig.job(replayed))
    rig.subscriptions.subscribe(lambda event: seen.append("fold"), NOTICE)
    assert rig.handling.passes_over(replayed) is None
    assert DONE == rig.handling.attempt(rig.job(rig.record("id-2", (REPLAY_HEADER, b"r1"))))
    assert ["fold"] == seen


def test_what_nobody_handles_is_not_even_decoded() -> None:
    rig = Rig()
    rig.subscriptions.subscribe(lambda event: None, NOTICE)
    assert "no_handler" == rig.handling.passes_over(rig.record("id-1", type=WARNING, value=b"\x00poison"))
    assert rig.handling.passes_over(rig.record("id-1", value=b"\x00poison")) is None


def test_a_record_that_does_not_say_its_type_is_looked_at() -> None:
    """A structured CloudEvent, or poison: only the decoder can tell."""
    record = Record(TOPIC, 0, 1, 0, b"k", b"{}", ())
    assert Rig().handling.passes_over(record) is None
    outcome = Rig().handling.attempt(Job(record, DedupeWindow(1)))
    assert isinstance(outcome, Park) and isinstance(outcome.error, MalformedRecord)


def test_a_tombstone_of_a_compacted_topic_is_no_poison() -> None:
    tombstone = Record("readmodel.x", 0, 1, 0, b"k", None, ())
    assert "tombstone" == Rig().handling.passes_over(tombstone)


def test_poison_is_parked() -> None:
    rig = Rig()
    rig.subscriptions.subscribe(lambda event: None, NOTICE)
    outcome = rig.handling.attempt(rig.job(rig.record(value=b"\x00\x00\x00\x00\x01poison")))
    assert isinstance(outcome, Park) and isinstance(outcome.error, MalformedRecord)


class Away:
    """Schema ids while nobody answers."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def schema_of(self, schema_id: int) -> Any:
        if self.error is not None:
            raise self.error
        return CONTRACT.schema_ids.schema_of(schema_id)


def test_without_a_registry_an_event_waits_without_end() -> None:
    away = Away(RegistryUnavailable("away"))
    rig, seen = Rig(Codec(CONTRACT.catalogue, away)), []  # type: ignore[arg-type]
    rig.subscriptions.subscribe(lambda event: seen.append(event.id), NOTICE)
    job = rig.job()
    for hour in range(100):
        rig.now = hour * 3_600
        assert isinstance(rig.handling.attempt(job), Again)
    away.error = None
    assert DONE == rig.handling.attempt(job)
    assert ["id-1"] == seen


def test_a_schema_id_that_the_registry_does_not_know_is_waited_for_and_then_parked() -> None:
    error = UnknownSchemaId("schema id 1")
    rig = Rig(Codec(CONTRACT.catalogue, Away(error)))  # type: ignore[arg-type]
    rig.subscriptions.subscribe(lambda event: None, NOTICE)
    job = rig.job()
    for rig.now in (0.0, 30.0, 59.0):
        assert isinstance(rig.handling.attempt(job), Again)
    rig.now = 60.0
    assert Park(error, 1) == rig.handling.attempt(job)

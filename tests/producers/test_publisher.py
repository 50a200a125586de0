"""The publisher against the real broker: what arrives, in which order, and what is said when it cannot."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from tests.producers.records import Reader, headers_of
from tests.topics import make_topic
from tests.waiting import wait_until

from tradewire.core import (
    EventInvalid,
    KafkaUnavailable,
    Settings,
    UnknownEventType,
    correlation,
    derived_id,
    load_settings,
    new_id,
)
from tradewire.core.settings import KafkaSettings
from tradewire.producers import (
    DeliveryUnknown,
    EventTooLarge,
    Publisher,
    PublisherClosed,
    QueueFull,
    TopicMissing,
    _lanes,
)
from tradewire.producers.publisher import producer_config
from tradewire.schemas import (
    Catalogue,
    Codec,
    Contract,
    Event,
    FixedIds,
    Topics,
    encode_headers,
    format_time_ns,
    read_event,
)

TRADE = "market.trade.reported"
NOWHERE = "127.0.0.1:9"


def away(**limits: int) -> Settings:
    """Settings whose broker does not answer."""
    return load_settings(kafka={"bootstrap_servers": NOWHERE}, publisher={"block_ms_max": 0} | limits)


@pytest.fixture
def offline_contract() -> Contract:
    """The contract without a registry."""
    return Contract.load(load_settings(), schema_ids=FixedIds())


def renamed(domain: str, topic: str) -> Contract:
    """A contract in which a domain has another topic."""
    catalogue, ids, topics = Catalogue.load(), FixedIds(), Topics.load()
    mine = {name: found for name, found in topics.items() if found.domain != domain}
    mine[topic] = replace(topics[f"{domain}.events"], name=topic)
    return Contract(catalogue, Topics(mine), ids, Codec(catalogue, ids))


def test_a_whole_event_comes_back_as_it_was(
    publisher: Publisher, reader: Reader, contract: Contract, trade: dict[str, Any]
) -> None:
    """Every attribute, the data and the position survive the way through Kafka."""
    event = Event(
        id=new_id(),
        type=TRADE,
        data=trade,
        source="tests/ünïcode",
        subject="binance.spot:BTCUSDT",
        time_ns=1_723_161_255_342_000_001,
        correlation_id=new_id(),
        causation_id=new_id(),
        sequence=7,
        tags={"desk": "a;b", "ключ": "значение"},
    )

    position = publisher.publish_event(event).result(20)
    message = reader.at(position)
    found = read_event(
        contract.codec,
        topic=str(message.topic()),
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        value=message.value(),  # type: ignore[arg-type]
        headers=[(name, bytes(value or b"")) for name, value in message.headers() or []],
    )
    assert replace(found, schema_id=None, version=None, position=None) == event
    assert found.position == position


@pytest.mark.parametrize("causation_id", [None, "cause"])
@pytest.mark.parametrize("sequence", [None, 0, 12])
@pytest.mark.parametrize("tags", [{}, {"b": "2", "a": "1"}])
def test_headers_are_those_of_the_contract_byte_for_byte(
    publisher: Publisher,
    reader: Reader,
    trade: dict[str, Any],
    causation_id: str | None,
    sequence: int | None,
    tags: dict[str, str],
) -> None:
    """The prepared headers of the hot path equal ``encode_headers``, order included, with and without rare ones."""
    event = Event(
        id=new_id(), type=TRADE, data=trade, source="s", subject="xnas:Ä", time_ns=time.time_ns(), correlation_id="c",
        causation_id=causation_id, sequence=sequence, tags=tags,
    )  # fmt: skip

    message = reader.at(publisher.publish_event(event).result(20))

    assert message.headers() == encode_headers(event)
    assert message.key() == "xnas:Ä".encode()
    assert message.value() == publisher.contract.codec.encode(TRADE, trade, "market.events")


@pytest.fixture(scope="module")
def recording() -> Iterator[tuple[Publisher, list[dict[str, Any]]]]:
    """A publisher whose headers are noted instead of sent."""
    publisher = Publisher(away(), Contract.load(load_settings(), schema_ids=FixedIds()))
    written: list[dict[str, Any]] = []
    publisher.prepare("system.component.started")
    publisher._routes["system.component.started"].produce = lambda *arguments: written.append(dict(arguments[7]))
    yield publisher, written
    publisher.close(0)


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(times=st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 2 * 10**9), min_size=1, max_size=5))
@example(times=[0, 1, 999_999_999, 1_000_000_000, 5])
def test_times_are_written_to_the_nanosecond(
    recording: tuple[Publisher, list[dict[str, Any]]], times: list[int]
) -> None:
    """The text kept for a second never leaks into another one, also right after 1970."""
    publisher, written = recording
    written.clear()

    for time_ns in times:
        publisher.publish("system.component.started", {"component": "x"}, subject="x", time_ns=time_ns)

    assert [headers["ce_time"] for headers in written] == [format_time_ns(time_ns) for time_ns in times]


def test_keys_go_where_java_and_faust_look_for_them(publisher: Publisher, trade: dict[str, Any]) -> None:
    """aiokafka's partitioner, which Faust uses, computes the same partition for every key."""
    theirs, partitions = DefaultPartitioner(), list(range(4))
    keys = [f"key {number} é" for number in range(200)]

    deliveries = [publisher.publish(TRADE, trade, subject=key) for key in keys]

    found = [delivery.result(20).partition for delivery in deliveries]
    assert found == [theirs(key.encode(), partitions, partitions) for key in keys]


def test_events_of_one_subject_keep_their_order(publisher: Publisher, reader: Reader, trade: dict[str, Any]) -> None:
    """Within each subject, offsets grow in the order of publishing, however many batches that takes."""
    run, before = new_id(), reader.ends("market.events")
    for number in range(5_000):
        publisher.publish(TRADE, trade, subject=f"{run}:{number % 20}", sequence=number)
    assert publisher.flush(30) == 0

    seen: dict[str, list[int]] = {}
    for message in reader.since("market.events", before):
        key = bytes(message.key() or b"").decode()  # type: ignore[arg-type]
        if key.startswith(run):
            seen.setdefault(key, []).append(int(headers_of(message)["ce_sequence"]))
    assert seen == {f"{run}:{subject}": list(range(subject, 5_000, 20)) for subject in range(20)}


def test_threads_share_a_publisher(publisher: Publisher, trade: dict[str, Any]) -> None:
    """Eight threads publish at once: nothing is lost, and each thread's subject keeps its order."""
    offsets: dict[int, list[int]] = {}

    def publish(thread: int) -> None:
        deliveries = [publisher.publish(TRADE, trade, subject=f"thread {thread}") for _ in range(500)]
        offsets[thread] = [delivery.result(30).offset for delivery in deliveries]

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {thread: len(found) for thread, found in offsets.items()} == dict.fromkeys(range(8), 500)
    assert all(found == sorted(set(found)) for found in offsets.values())
    assert publisher.outcome.per_type[TRADE] == 4_000


def test_an_event_outside_a_flow_starts_its_own(publisher: Publisher, reader: Reader, trade: dict[str, Any]) -> None:
    """Its correlation id is its own id, and it has no cause."""
    delivery = publisher.publish(TRADE, trade, subject="x")

    headers = headers_of(reader.at(delivery.result(20)))
    assert headers["ce_correlationid"].decode() == headers["ce_id"].decode() == delivery.event_id
    assert "ce_causationid" not in headers
    assert headers["ce_source"] == b"tests/producers"


def test_an_event_inside_a_flow_joins_it(publisher: Publisher, reader: Reader, trade: dict[str, Any]) -> None:
    """Correlation and cause come from the context; what the caller names himself wins."""
    with correlation("flow", "cause"):
        inherited = publisher.publish(TRADE, trade, subject="x")
        named = publisher.publish(TRADE, trade, subject="x", correlation_id="other", causation_id="mine")

    first, second = (headers_of(reader.at(delivery.result(20))) for delivery in (inherited, named))
    assert (first["ce_correlationid"], first["ce_causationid"]) == (b"flow", b"cause")
    assert (second["ce_correlationid"], second["ce_causationid"]) == (b"other", b"mine")


def test_an_idempotency_key_decides_the_id(publisher: Publisher, trade: dict[str, Any]) -> None:
    """The same key for the same type and subject gives the same event id, another subject another one."""
    first = publisher.publish(TRADE, trade, subject="a", idempotency_key="order 1")
    again = publisher.publish(TRADE, trade, subject="a", idempotency_key="order 1")
    other = publisher.publish(TRADE, trade, subject="b", idempotency_key="order 1")

    assert first.event_id == again.event_id == derived_id(TRADE, "a", "order 1")
    assert other.event_id != first.event_id


def test_a_handle_is_settled_once_and_can_be_asked_again(publisher: Publisher, trade: dict[str, Any]) -> None:
    """``result`` gives the same position each time; a callback added late is called at once."""
    delivery = publisher.publish(TRADE, trade, subject="x")
    called: list[str] = []
    arrived = threading.Event()
    delivery.add_done_callback(arrived.set)

    position = delivery.result(20)

    assert arrived.wait(60)
    assert delivery.done()
    assert delivery.result(0) == position
    assert abs(position.recorded_ns - time.time_ns()) < 60 * 10**9
    delivery.add_done_callback(lambda: called.append("late"))
    assert called == ["late"]
    assert str(position.offset) in repr(delivery)


def test_waiting_for_a_handle_ends_at_its_deadline(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """With the broker away ``result`` raises TimeoutError, and the event stays on its way."""
    publisher = Publisher(away(), offline_contract)
    delivery = publisher.publish(TRADE, trade, subject="x")

    with pytest.raises(TimeoutError, match=delivery.event_id):
        delivery.result(0.05)

    assert not delivery.done()
    wait_until(lambda: publisher.pending == 1)  # log lines that are not served yet count too
    publisher.close(0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data.pop("price"), "price"),
        (lambda data: data.update(price=1.5), "price"),
        (lambda data: data.update(colour="red"), "colour"),
    ],
    ids=["missing", "float", "unknown"],
)
def test_an_event_that_breaks_the_contract_is_not_taken(
    publisher: Publisher, trade: dict[str, Any], change: Callable[[dict[str, Any]], object], named: str
) -> None:
    """EventInvalid names the field, and nothing is queued or counted as published."""
    change(trade)

    with pytest.raises(EventInvalid, match=named):
        publisher.publish(TRADE, trade, subject="x")

    assert publisher.outcome.published == 0
    wait_until(lambda: publisher.pending == 0)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"subject": ""}, "subject = '' is empty"),
        ({"subject": 5}, "subject = 5 is int, not a text"),
        ({"subject": b"x"}, "subject = b'x' is bytes, not a text"),
        ({"subject": "\ud800"}, "subject = '\\ud800' has half a surrogate pair"),
        ({"source": 5}, "source = 5 is int, not a text"),
        ({"id": ""}, "id is empty"),
        ({"id": 5}, "id = 5 is int, not a text"),
        ({"idempotency_key": "\ud800"}, "idempotency_key = '\\ud800' has half a surrogate pair"),
        ({"correlation_id": 5}, "correlation_id = 5 is int"),
        ({"causation_id": "\ud800"}, "causation_id = '\\ud800' has half"),
        ({"time_ns": -1}, "time_ns = -1 is not nanoseconds since 1970"),
        ({"time_ns": 1.5}, "time_ns = 1.5 is not nanoseconds"),
        ({"time_ns": 10**25}, "is not nanoseconds since 1970 (up to year 9999)"),
        ({"sequence": -1}, "sequence = -1 is not a whole number from 0 on"),
        ({"sequence": "x"}, "sequence = 'x' is not a whole number"),
        ({"tags": [1]}, "tags = [1] is list, not a mapping of texts to texts"),
        ({"tags": {"a": 1}}, "has a key or value that is int, not a text"),
        ({"tags": {"a": "\ud800"}}, "has a key or value that has half a surrogate pair"),
    ],
)
def test_an_attribute_that_readers_would_refuse_is_not_taken(
    offline_contract: Contract, trade: dict[str, Any], attributes: dict[str, Any], said: str
) -> None:
    """A typed error names it; the same for a row of columns; nothing is queued."""
    publisher = Publisher(away(), offline_contract)
    with pytest.raises(EventInvalid, match=re.escape(said)):
        publisher.publish(TRADE, trade, **{"subject": "x"} | attributes)
    columns = {name: [value] for name, value in trade.items()}
    if not {"sequence", "tags", "source"} & set(attributes):
        with pytest.raises(EventInvalid):
            publisher.publish_columns(TRADE, columns, **{name: [value] for name, value in attributes.items()})

    assert publisher.close(0).published == 0


def test_an_unknown_type_is_refused_with_its_neighbours(publisher: Publisher) -> None:
    """A misspelt type suggests what was meant."""
    with pytest.raises(UnknownEventType, match=r"market\.trade\.reported"):
        publisher.publish("market.trade.report", {}, subject="x")


def test_publish_many_takes_all_before_the_refused_one(publisher: Publisher, trade: dict[str, Any]) -> None:
    """The count of taken events is exact when one in the middle is invalid."""
    good = Event(id="1", type=TRADE, data=trade, source="s", subject="x", time_ns=1, correlation_id="1")
    bad = replace(good, id="2", data={})

    with pytest.raises(EventInvalid):
        publisher.publish_many([good, good, bad, good])

    assert publisher.publish_many([good]) == 1
    assert publisher.outcome.published == 3
    assert publisher.flush(20) == 0


def test_publish_many_makes_events_of_tuples(publisher: Publisher, reader: Reader, trade: dict[str, Any]) -> None:
    """Type, data and subject are enough; each becomes the root of its own flow, or joins the current one."""
    before = reader.ends("market.events")
    subject = new_id()

    assert publisher.publish_many([(TRADE, trade, subject), (TRADE, trade, subject)]) == 2
    with correlation("flow", "cause"):
        assert publisher.publish_many([(TRADE, trade, subject)]) == 1

    assert publisher.flush(20) == 0
    first, second, third = (
        headers_of(message) for message in reader.since("market.events", before) if message.key() == subject.encode()
    )
    assert first["ce_id"] == first["ce_correlationid"] != second["ce_id"] == second["ce_correlationid"]
    assert (third["ce_correlationid"], third["ce_causationid"]) == (b"flow", b"cause")


def test_a_full_queue_is_waited_for_and_then_said(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """QueueFull comes after the configured wait, may be retried, and the event was not taken."""
    publisher = Publisher(away(queue_messages_max=10, block_ms_max=150), offline_contract)
    for _ in range(10):
        publisher.publish(TRADE, trade, subject="x")
    started = time.monotonic()

    with pytest.raises(QueueFull, match="block_ms_max") as refused:
        publisher.publish(TRADE, trade, subject="x")

    assert time.monotonic() - started >= 0.14
    assert refused.value.retriable
    wait_until(lambda: publisher.pending == publisher.outcome.published == 10)
    publisher.close(0)


def test_a_queue_that_empties_lets_the_event_in(settings: Settings, contract: Contract, trade: dict[str, Any]) -> None:
    """Back-pressure: a queue of a hundred carries five thousand events, the caller waiting for room."""
    small = settings.model_copy(
        update={"publisher": settings.publisher.model_copy(update={"queue_messages_max": 100, "block_ms_max": 30_000})}
    )
    with Publisher(small, contract) as publisher:
        for _ in range(5_000):
            publisher.publish(TRADE, trade, subject="x")

    assert publisher.outcome.published == 5_000
    assert publisher.outcome.unknown == 0


def test_what_is_unknown_of_many_is_said_by_id_too(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """Events and rows without a handle are known by their ids as well, as is every 64th, whose time is taken."""
    publisher = Publisher(away(), offline_contract)
    events = [
        Event(id=new_id(), type=TRADE, data=trade, source="s", subject="x", time_ns=1, correlation_id="c")
        for _ in range(70)
    ]
    rows = [new_id() for _ in range(70)]
    publisher.publish_many(events)
    publisher.publish_columns(TRADE, {name: [value] * 70 for name, value in trade.items()}, id=rows)

    outcome = publisher.close(0.1)

    assert sorted(outcome.unknown_ids) == sorted([event.id for event in events] + rows)


def test_what_is_unknown_at_close_is_said_by_id(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """Closing with the broker away gives the events up: the outcome and each handle say unknown, never lost."""
    publisher = Publisher(away(), offline_contract)
    deliveries = [publisher.publish(TRADE, trade, subject="x") for _ in range(3)]

    outcome = publisher.close(0.1)

    assert outcome.unknown == 3
    assert sorted(outcome.unknown_ids) == sorted(delivery.event_id for delivery in deliveries)
    assert publisher.close() == outcome
    for delivery in deliveries:
        with pytest.raises(DeliveryUnknown, match="same id") as unknown:
            delivery.result(0)
        assert unknown.value.context["event_id"] == delivery.event_id


def test_leaving_the_block_with_unknown_events_raises(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """A ``with`` block does not end well when deliveries are unknown; an error of the block itself goes first."""
    soon = away(delivery_timeout_ms=1_000)
    with pytest.raises(DeliveryUnknown, match="1 of 1"), Publisher(soon, offline_contract) as publisher:
        publisher.publish(TRADE, trade, subject="x")
    with pytest.raises(KeyError), Publisher(soon, offline_contract) as publisher:
        publisher.publish(TRADE, trade, subject="x")
        raise KeyError


def test_events_time_out_as_unknown(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """After the delivery timeout a handle is settled as unknown without anybody closing."""
    publisher = Publisher(away(delivery_timeout_ms=1_000), offline_contract)

    with pytest.raises(DeliveryUnknown):
        publisher.publish(TRADE, trade, subject="x").result(20)

    assert publisher.outcome.unknown == 1
    publisher.close(0)


def test_a_closed_publisher_refuses(publisher: Publisher, trade: dict[str, Any]) -> None:
    """After ``close`` every way in raises PublisherClosed, and what was taken before has arrived."""
    delivery = publisher.publish(TRADE, trade, subject="x")

    assert publisher.close(20).unknown == 0

    assert delivery.done()
    for call in (
        lambda: publisher.publish(TRADE, trade, subject="x"),
        lambda: publisher.prepare("market.quote.updated"),
        lambda: publisher.wait_for_broker(1),
    ):
        with pytest.raises(PublisherClosed):
            call()


def test_an_event_over_the_limit_is_not_taken(offline_contract: Contract) -> None:
    """EventTooLarge names the size and the setting."""
    publisher = Publisher(away(event_bytes_max=2_000), offline_contract)
    message = {"message_id": "1", "channel_id": "1", "author": "a", "content": "x" * 2_000, "posted_ns": 1}

    with pytest.raises(EventTooLarge, match="event_bytes_max is 2000"):
        publisher.publish("setup.message.received", message, subject="1")

    assert publisher.close(0).published == 0


def test_headers_over_the_limit_are_not_taken(offline_contract: Contract, trade: dict[str, Any]) -> None:
    """A small event with enormous tags is refused by the producer, with the same error."""
    publisher = Publisher(away(event_bytes_max=2_000), offline_contract)

    with pytest.raises(EventTooLarge, match="with headers"):
        publisher.publish(TRADE, trade, subject="x", tags={"big": "x" * 40_000})

    publisher.close(0)


def test_a_batch_too_large_for_the_topic_is_said(settings: Settings, kafka_settings: KafkaSettings) -> None:
    """A topic with a lower limit than the publisher's: the handle raises EventTooLarge and names its setting."""
    topic = make_topic(kafka_settings, f"tests.tiny.{new_id()}", config={"max.message.bytes": "500"})
    message = {"message_id": "1", "channel_id": "1", "author": "a", "content": new_id() * 60, "posted_ns": 1}
    message["content"] = "".join(new_id() for _ in range(60))
    publisher = Publisher(settings, renamed("setup", topic))

    with pytest.raises(EventTooLarge, match=r"max\.message\.bytes"):
        publisher.publish("setup.message.received", message, subject="1").result(30)

    publisher.close(5)


def test_a_missing_topic_is_said(settings: Settings, trade: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The handle of an event for a topic that nobody made says how to make it, and is not retriable.

    That takes as long as a topic may still turn up: a broker that has just come back may not know it yet. By
    librdkafka's default that is half a minute, here three seconds.
    """

    def quick(*arguments: Any) -> dict[str, Any]:
        return {**producer_config(*arguments), "topic.metadata.propagation.max.ms": 3_000}

    monkeypatch.setattr(_lanes, "producer_config", quick)
    publisher = Publisher(settings, renamed("market", f"tests.missing.{new_id()}"))

    with pytest.raises(TopicMissing, match="tradewire topics apply") as missing:
        publisher.publish(TRADE, trade, subject="x").result(60)

    assert not missing.value.retriable
    publisher.close(5)


def test_an_absent_broker_is_said_when_asked_for(offline_contract: Contract) -> None:
    """``wait_for_broker`` names the address and the setting."""
    publisher = Publisher(away(), offline_contract)

    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:9.*bootstrap_servers"):
        publisher.wait_for_broker(0.3)

    publisher.close(0)


def test_a_callback_that_raises_does_not_stop_deliveries(publisher: Publisher, trade: dict[str, Any]) -> None:
    """The event is settled, and so are those behind it."""

    def broken() -> None:
        raise RuntimeError("mine")

    first = publisher.publish(TRADE, trade, subject="x")
    first.add_done_callback(broken)
    time_out = [publisher.publish(TRADE, trade, subject="x") for _ in range(10)]

    assert [delivery.result(20).topic for delivery in (first, *time_out)] == ["market.events"] * 11


def sample(name: str, **labels: str) -> float:
    """A metric's value as a scrape sees it."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_metrics_count_what_was_taken_and_what_was_not(
    settings: Settings, contract: Contract, offline_contract: Contract, trade: dict[str, Any]
) -> None:
    """Counters are exact over publishers, and do not fall when one is closed."""
    labels = {"type": TRADE, "topic": "market.events"}
    taken, refused = "tradewire_published_messages_total", "tradewire_published_messages_exceptions_total"
    unconfirmed = "tradewire_published_messages_unconfirmed_total"
    before = sample(taken, **labels), sample(refused, error="EventInvalid"), sample(unconfirmed)
    timed = sample("tradewire_published_messages_duration_seconds_count")

    with Publisher(settings, contract) as publisher:
        for _ in range(200):
            publisher.publish(TRADE, trade | {"price": Decimal(1)}, subject="x")
        with pytest.raises(EventInvalid):
            publisher.publish(TRADE, {}, subject="x")
        assert sample(taken, **labels) - before[0] == 200
    lost = Publisher(away(), offline_contract)
    lost.publish(TRADE, trade, subject="x")
    assert sample("tradewire_publisher_queue_messages") >= 1
    lost.close(0)

    assert sample(taken, **labels) - before[0] == 201
    assert sample(refused, error="EventInvalid") - before[1] == 1
    assert sample(unconfirmed) - before[2] == 1
    assert sample("tradewire_published_messages_duration_seconds_count") - timed == 4

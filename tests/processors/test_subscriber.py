"""One subscriber against the real broker: order, acknowledgement, retries, parking, replays, slow handlers, the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from tests.processors.subscribing import NOTICE, WARNING, Feed, Seen
from tests.schemas.versions import before
from tests.waiting import wait_until

from tradewire.core import KafkaUnavailable, RegistryUnavailable, current_correlation, load_settings, new_id
from tradewire.core.errors import ProcessingError
from tradewire.core.settings import KafkaSettings
from tradewire.processors import EventsGone, SubscriberStopped
from tradewire.processors.parking import ParkingFull
from tradewire.processors.parking.operating import Operator
from tradewire.processors.records import REPLAY_HEADER
from tradewire.schemas import Codec, Contract, Event, FixedIds, Topic, TopicAdmin, Topics, encode_headers

REJECTED = "trading.order.rejected"
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def feed(kafka_settings: KafkaSettings) -> Iterator[Feed]:
    """A topic and a group that only this test has."""
    made = Feed(kafka_settings, f"subscriber.{new_id()}")
    yield made
    made.close()


def wait_until_all_is_committed(feed: Feed) -> None:
    wait_until(lambda: feed.committed() == feed.end(), within_s=150)


def messages(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_events_of_a_key_come_in_order_while_keys_run_side_by_side(feed: Feed) -> None:
    seen, lock, side_by_side = Seen(), threading.Lock(), threading.Event()
    running = most = 0

    def slow(event: Event) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if most > 1:
                side_by_side.set()
        # The first one stands until another lane has taken the next: lanes help where a call waits, not by the clock.
        side_by_side.wait(60)
        time.sleep(0.001)
        seen.add(event)
        with lock:
            running -= 1

    keys = [f"k{number}" for number in range(10)]
    feed.publish(*feed.numbered(keys, 50))
    with feed.subscriber(slow):
        wait_until_all_is_committed(feed)

    assert {key: messages(50) for key in keys} == seen.by_key
    assert 1 < most <= 4


def test_nothing_is_committed_past_an_event_whose_handler_has_not_ended(feed: Feed) -> None:
    """All others are done. The subscriber ends without it, and the next one gets it again."""
    seen, gate = Seen(), threading.Event()

    def holds(event: Event) -> None:
        if event.data["message"] == "held":
            gate.wait(600)
        seen.add(event)

    held = feed.event("k0", "held")
    feed.publish(held, *feed.numbered([f"k{number}" for number in range(1, 20)], 5))
    subscriber = feed.subscriber(holds, subscriber={"stop_wait_ms": 100}).start()
    wait_until(lambda: len(seen) == 95, within_s=150)
    subscriber.close()
    gate.set()
    again = Seen()
    with feed.subscriber(again.add):
        wait_until_all_is_committed(feed)

    assert ["held"] == again.by_key["k0"]


def test_a_retry_keeps_the_order_of_its_key_and_holds_up_no_other(feed: Feed) -> None:
    """It fails until the other key is done: were that one held up, it would fail until its attempts are used up."""
    seen, failures = Seen(), 0

    def flaky(event: Event) -> None:
        nonlocal failures
        is_held_up = failures < 5 or "3" not in seen.by_key["good"]
        if event.subject == "bad" and event.data["message"] == "1" and is_held_up:
            failures += 1
            raise KafkaUnavailable("not now")
        seen.add(event)

    feed.publish(*feed.numbered(["bad", "good"], 4))
    # The partition of the other key may be read a while later than that of the one that fails.
    subscriber = feed.subscriber(subscriber={"concurrency": 1, "retry_base_ms": 50, "retry_attempts_max": 10_000})
    subscriber.subscribe(flaky, NOTICE, name="flaky")
    with subscriber:
        wait_until_all_is_committed(feed)

    assert {"bad": messages(4), "good": messages(4)} == seen.by_key
    assert failures >= 5
    assert failures == feed.counted("tradewire_subscriber_retries_total", handler="flaky", error="KafkaUnavailable")


def test_a_permanent_failure_parks_its_key_in_order_while_the_others_flow(feed: Feed) -> None:
    """When the cause is gone the key is re-driven through the same handlers, in order, and is free again."""
    seen, is_broken = Seen(), True

    def picky(event: Event) -> None:
        if event.subject == "bad" and event.data["message"] == "1" and is_broken:
            raise ValueError("no such account")
        seen.add(event)

    feed.publish(*feed.numbered(["bad", "good"], 4))
    with feed.subscriber(picky):
        wait_until_all_is_committed(feed)
        assert {"bad": ["0"], "good": messages(4)} == seen.by_key
        assert 3 == feed.counted("tradewire_subscriber_dead_letters_total", topic=feed.topic)
        operator = Operator(feed.kafka, feed.group, "tests")
        is_broken = False
        operator.redrive(operator.requests(operator.look().keys.values()))
        wait_until(lambda: len(seen) == 8, within_s=150)
        wait_until(lambda: not operator.look().keys, within_s=150)
        feed.publish(feed.event("bad", "4"))
        wait_until(lambda: len(seen) == 9, within_s=150)

    assert {"bad": messages(5), "good": messages(4)} == seen.by_key
    assert 3 == feed.counted("tradewire_subscriber_redriven_total", outcome="done")


def test_a_full_parking_lot_halts_loudly_and_acknowledges_nothing_more(feed: Feed) -> None:
    def picky(event: Event) -> None:
        raise ValueError("no such account")

    feed.publish(*feed.numbered(["bad"], 5))
    subscriber = feed.subscriber(picky, subscriber={"parked_per_key_max": 3}).start()
    wait_until(lambda: subscriber.failure, within_s=150)
    with pytest.raises(ParkingFull):
        subscriber.close()

    assert 3 == feed.committed()
    # Started again it halts there again, unless a re-drive that was asked for makes room, which it takes first.
    operator, seen = Operator(feed.kafka, feed.group, "tests"), Seen()
    operator.redrive(operator.requests(operator.look().keys.values()))
    with feed.subscriber(seen.add, subscriber={"parked_per_key_max": 3}):
        wait_until_all_is_committed(feed)

    assert {"bad": messages(5)} == seen.by_key
    assert {} == operator.look().keys


def test_poison_is_parked_and_the_events_behind_it_flow(feed: Feed) -> None:
    seen = Seen()
    feed.produce(b"poisoned", b"\x00\x00\x00\x00\x01\xff", encode_headers(feed.event("poisoned")))
    feed.produce(b"not for us", b"\x00\x00\x00\x00\x02\xff", encode_headers(feed.event("not for us", type=WARNING)))
    feed.publish(*feed.numbered(["k"], 2))
    with feed.subscriber(seen.add):
        wait_until_all_is_committed(feed)
    letters = list(Operator(feed.kafka, feed.group, "tests").look().all_letters())

    assert {"k": ["0", "1"]} == seen.by_key
    assert [b"poisoned"] == [letter.key for letter in letters]


def test_a_handler_with_side_effects_never_sees_a_replay(feed: Feed) -> None:
    mailed, asked, folded = Seen(), Seen(), Seen()
    live = feed.event("k", "live")
    feed.publish(live)
    feed.publish(live, feed.event("k", "replayed"), headers=[(REPLAY_HEADER, b"replay-1")])
    subscriber = feed.subscriber(folded.add)
    subscriber.subscribe(mailed.add, "system.*", side_effects=True)
    subscriber.subscribe(asked.add, "system.*", side_effects=True, replayed=True)
    with subscriber:
        wait_until_all_is_committed(feed)

    assert {"k": ["live"]} == mailed.by_key
    assert {"k": ["live", "live", "replayed"]} == asked.by_key == folded.by_key


def test_async_handlers_run_on_one_loop_in_the_flow_of_their_event(feed: Feed) -> None:
    seen, loops, flows = Seen(), set(), []

    async def later(event: Event) -> None:
        await asyncio.sleep(0.001)
        loops.add(id(asyncio.get_running_loop()))
        flows.append((event.correlation_id, event.id) == current_correlation())
        seen.add(event)

    keys = ["a", "b", "c"]
    feed.publish(*feed.numbered(keys, 20))
    with feed.subscriber(later):
        wait_until_all_is_committed(feed)

    assert {key: messages(20) for key in keys} == seen.by_key
    assert [True] * 60 == flows
    assert 1 == len(loops)


async def test_serving_beside_a_loop_runs_async_handlers_on_it(feed: Feed) -> None:
    """Cancelling is a stop: what is done is committed."""
    own, done = asyncio.get_running_loop(), asyncio.Event()
    loops = set()

    async def note(event: Event) -> None:
        loops.add(asyncio.get_running_loop())
        if event.data["message"] == "9":
            done.set()

    feed.publish(*feed.numbered(["k"], 10))
    serving = asyncio.create_task(feed.subscriber(note).serve())
    await asyncio.wait_for(done.wait(), 150)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert {own} == loops
    assert 10 == feed.committed()


def test_a_handler_slower_than_the_poll_interval_does_not_lose_its_place(feed: Feed) -> None:
    """Were the member evicted, the second one would get the event as well."""
    calls, other = [], Seen()
    limits = {"poll_interval_ms_max": 6_000, "revoke_wait_ms": 1_000, "buffer_rows_max": 5, "dedupe_rows": 0}

    def slow(event: Event) -> None:
        calls.append(event.data["message"])
        if event.data["message"] == "0":
            time.sleep(9)

    feed.publish(*feed.numbered(["slow"], 30))
    with feed.subscriber(slow, subscriber=limits) as subscriber:
        wait_until(lambda: calls, within_s=150)
        before = subscriber.assignment
        wait_until_all_is_committed(feed)
        assert before == subscriber.assignment
    with feed.subscriber(other.add):
        wait_until_all_is_committed(feed)

    assert messages(30) == calls
    assert 0 == len(other)


def test_subscribing_and_unsubscribing_at_run_time(feed: Feed) -> None:
    first, second = Seen(), Seen()
    with feed.subscriber(first.add) as subscriber:
        feed.publish(feed.event("k", "0"))
        wait_until(lambda: len(first) == 1, within_s=150)
        handle = subscriber.subscribe(second.add, "system.*")
        feed.publish(feed.event("k", "1"), feed.event("k", "warned", WARNING))
        wait_until(lambda: len(second) == 2, within_s=150)
        assert subscriber.unsubscribe(handle)
        feed.publish(feed.event("k", "2"))
        wait_until(lambda: len(first) == 3, within_s=150)
        wait_until_all_is_committed(feed)

    assert {"k": ["0", "1", "2"]} == first.by_key
    assert {"k": ["1", "warned"]} == second.by_key


def test_repeats_are_passed_over_also_by_the_next_owner(feed: Feed) -> None:
    """A publisher that did not know wrote an event twice; between the two the subscriber was restarted."""
    seen, again = Seen(), Seen()
    events = feed.numbered(["k"], 5)
    feed.publish(*events, events[2])
    with feed.subscriber(seen.add):
        wait_until_all_is_committed(feed)
    feed.publish(events[4], *feed.numbered(["k"], 2, first=5), events[0])
    with feed.subscriber(again.add):
        wait_until_all_is_committed(feed)

    assert {"k": messages(5)} == seen.by_key
    assert {"k": ["5", "6"]} == again.by_key
    assert 3 == feed.counted("tradewire_subscriber_passed_over_total", reason="repeat")


def test_without_a_registry_events_wait_and_nothing_is_lost(feed: Feed) -> None:
    class Ids:
        is_away = True

        def schema_of(self, schema_id: int) -> object:
            if self.is_away:
                raise RegistryUnavailable("the registry is away")
            return feed.contract.schema_ids.schema_of(schema_id)

    ids, seen = Ids(), Seen()
    codec = Codec(feed.contract.catalogue, ids)  # type: ignore[arg-type]
    contract = Contract(feed.contract.catalogue, feed.contract.topics, feed.contract.schema_ids, codec)
    feed.publish(*feed.numbered(["a", "b"], 3))
    with feed.subscriber(seen.add, contract=contract):
        wait_until(lambda: feed.counted("tradewire_subscriber_registry_waits_total") > 4, within_s=150)
        assert 0 == feed.committed() == len(seen)
        ids.is_away = False
        wait_until_all_is_committed(feed)

    assert {"a": messages(3), "b": messages(3)} == seen.by_key


def test_a_commit_waits_for_what_handlers_have_published(feed: Feed) -> None:
    asked, seen, unsettled = 0, Seen(), 1

    def flush() -> int:
        nonlocal asked
        asked += 1
        return unsettled

    feed.publish(*feed.numbered(["k"], 5))
    with feed.subscriber(seen.add, before_commit=flush):
        wait_until(lambda: asked >= 3, within_s=150)
        assert 0 == feed.committed()
        unsettled = 0
        wait_until_all_is_committed(feed)

    assert 5 == len(seen)


def test_a_group_that_begins_with_what_comes_now_keeps_its_place_over_a_crash(feed: Feed) -> None:
    """Before its first event: the place is committed at once, so what comes while it is away is not left out."""
    seen = Seen()
    feed.publish(*feed.numbered(["old"], 3))
    latest = {"begin": "latest"}
    with feed.subscriber(seen.add, subscriber=latest):
        wait_until_all_is_committed(feed)
    feed.publish(*feed.numbered(["new"], 3))
    with feed.subscriber(seen.add, subscriber=latest):
        wait_until_all_is_committed(feed)

    assert {"new": messages(3)} == seen.by_key


def test_records_that_were_deleted_unread_are_told_and_not_skipped(feed: Feed) -> None:
    seen = Seen()
    feed.publish(*feed.numbered(["k"], 2))
    with feed.subscriber(seen.add):
        wait_until_all_is_committed(feed)
    feed.publish(*feed.numbered(["k"], 8))
    admin = AdminClient(feed.kafka.client_config())
    partition = feed.partition_of(b"k")
    for future in admin.delete_records([TopicPartition(feed.topic, partition, 5)]).values():
        future.result(30)
    subscriber = feed.subscriber(seen.add)
    with pytest.raises(EventsGone, match=rf"{feed.topic}\[{partition}\].*it is to read 2, and Kafka has 5 to 10"):
        subscriber.run(handle_signals=False)


def test_what_is_no_exception_ends_the_subscriber_and_its_event_is_not_acknowledged(feed: Feed) -> None:
    def leave(event: Event) -> None:
        raise SystemExit(3)

    feed.publish(feed.event("k"))
    subscriber = feed.subscriber(leave)
    with pytest.raises(SystemExit):
        subscriber.run(handle_signals=False)
    with pytest.raises(SubscriberStopped):
        subscriber.run(handle_signals=False)

    assert 0 == feed.committed()


def test_a_letter_of_an_old_schema_is_handed_over_in_the_newest_one_when_it_is_redriven(feed: Feed) -> None:
    """A rejection of v1, whose reason was free text."""
    name = f"{feed.topic}.rejections"
    topics = Topics({name: Topic(name, "trading", partitions=1, replication=1)})
    TopicAdmin(feed.kafka).ensure(topics)
    contract = Contract.load(load_settings(), schema_ids=FixedIds(), topics=topics)
    fields = dict.fromkeys(("order_id", "account", "symbol", "venue"), "x")
    data = fields | {"reason": "no margin left", "rejected_by": "RISK"}
    old = Codec(before(contract.catalogue), contract.schema_ids).encode(REJECTED, data, name)
    given: list[Event] = []
    is_broken = True

    def picky(event: Event) -> None:
        given.append(event)
        if is_broken:
            raise ValueError("no such account")

    event = replace(feed.event("x"), type=REJECTED)
    feed.produce(b"x", old, encode_headers(event), topic=name)
    group = f"rejections.{feed.group}"
    subscriber = feed.subscriber(contract=contract, group=group)
    subscriber.subscribe(picky, REJECTED)
    with subscriber:
        operator = wait_until(lambda: parked_of(feed.kafka, group), within_s=150)
        is_broken = False
        operator.redrive(operator.requests(operator.look().keys.values()))
        wait_until(lambda: len(given) == 2, within_s=150)

    assert [("RISK_LIMIT", "no margin left")] * 2 == [(event.data["reason"], event.data["text"]) for event in given]


def parked_of(kafka: KafkaSettings, group: str) -> Operator | None:
    """Once something is parked."""
    try:
        operator = Operator(kafka, group, "tests")
    except ProcessingError:
        return None
    return operator if operator.look().keys else None


def test_a_static_member_whose_name_is_taken_ends_and_says_so(feed: Feed) -> None:
    """Nothing would ever be handed to it again: whoever supervises it has to know."""
    seen = Seen()
    feed.publish(*feed.numbered(["a"], 5))
    first = feed.subscriber(seen.add, instance_id="same")
    first.start()
    wait_until(lambda: len(seen) == 5, within_s=150)
    with feed.subscriber(seen.add, instance_id="same"):
        wait_until(lambda: first.failure is not None, within_s=150)
        feed.publish(*feed.numbered(["a"], 5, first=5))
        wait_until_all_is_committed(feed)

    with pytest.raises(ProcessingError, match=r"failed for good.*fenced"):
        first.close()
    assert [str(number) for number in range(10)] == list(dict.fromkeys(seen.by_key["a"]))

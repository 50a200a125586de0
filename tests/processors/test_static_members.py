"""Static members that come back with other topics than before, within their session timeout, on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from structlog.testing import capture_logs
from tests.processors.running import Broker, RunningWorker
from tests.processors.subscribing import NOTICE, PARTITIONS, Feed, Seen
from tests.waiting import wait_until

from tradewire.core import load_settings, new_id
from tradewire.core.settings import KafkaSettings
from tradewire.processors.group_watch import GroupWatch, WatchMetrics
from tradewire.processors.liveness import Progress, read_membership
from tradewire.schemas import Contract, Event, FixedIds, Topic, TopicAdmin, Topics, encode_headers

TAKEN = "model.action.taken"
pytestmark = pytest.mark.timeout(400)


class TwoTopics(Feed):
    """A feed with one more topic, for events of another domain."""

    def __init__(self, kafka: KafkaSettings, name: str) -> None:
        super().__init__(kafka, name)
        self.other = f"{name}.other"
        topics = Topics(
            {
                name: Topic(name, domain, partitions=PARTITIONS, replication=1)
                for name, domain in ((self.topic, "system"), (self.other, "model"))
            }
        )
        self.contract = Contract.load(load_settings(), schema_ids=FixedIds(), topics=topics)
        for type in (NOTICE, TAKEN):
            self.contract.schema_ids.id_of(self.contract.catalogue[type].latest, self.contract.topic_of(type))
        TopicAdmin(kafka).ensure(topics)

    def take(self) -> Event:
        """An event of the other topic, published."""
        event = taken_by(new_id())
        value = self.contract.codec.encode(event.type, event.data, self.other)
        self.produce(event.subject.encode(), value, encode_headers(event), topic=self.other)
        return event


def taken_by(model: str) -> Event:
    return Event(
        id=(id := new_id()),
        type=TAKEN,
        data={"model_id": model, "model_version": "1", "step": 1, "action": "buy"},
        source="tests",
        subject=model,
        time_ns=1_700_000_000_000_000_000,
        correlation_id=id,
    )


@pytest.fixture
def feed(kafka_settings: KafkaSettings) -> Iterator[TwoTopics]:
    made = TwoTopics(kafka_settings, f"static.{new_id()}")
    yield made
    made.close()


def test_a_subscriber_that_comes_back_with_one_more_topic_reads_it(feed: TwoTopics) -> None:
    """Within its session timeout; under its former name the broker would give it its old partitions for ever."""
    notices, actions = Seen(), Seen()
    feed.publish(feed.event("a", "0"))
    with feed.subscriber(notices.add, instance_id="one"):
        wait_until(lambda: len(notices) == 1, within_s=150)
    taken = feed.take()
    feed.publish(feed.event("a", "1"))

    more = feed.subscriber(notices.add, instance_id="one")
    more.subscribe(lambda event: actions.events.append(event), TAKEN)
    with more:
        wait_until(lambda: len(notices) == 2 and actions.events, within_s=60)

    assert [taken.id] == [event.id for event in actions.events]
    assert ["0", "1"] == notices.by_key["a"]


HANDLERS = """
import os
from pathlib import Path
from tradewire.processors import subscribe

def _note(event):
    with (Path(os.environ["NOTED"]) / event.type).open("a") as file:
        file.write(event.subject + "\\n")

@subscribe("model.action.taken")
def actions(event):
    _note(event)

@subscribe("system.notice.posted")
def notices(event):
    _note(event)
"""


def test_a_worker_that_comes_back_with_one_more_handler_reads_its_topic(broker: Broker, tmp_path: Path) -> None:
    """Without waiting, after kill -9; and the watchdog and its own note know it by the name that it has now."""
    (tmp_path / "served.py").write_text(HANDLERS)
    group, model = f"static.{new_id()}", new_id()
    alone = {"projections": "[]", "correlation": "false", "session_timeout_ms": 8_000}
    worker = RunningWorker(broker, group, tmp_path / "worker", **alone)  # type: ignore[arg-type]
    environment = {
        "PYTHONPATH": str(tmp_path),
        "NOTED": str(tmp_path),
        "TRADEWIRE_SUBSCRIBER__BEGIN": "earliest",
    }

    def noted(type: str) -> bool:
        file = tmp_path / type
        return file.exists() and model in file.read_text().split()

    broker.publish([taken_by(model), notice_of(model)])
    worker.start(TRADEWIRE_WORKER__HANDLERS='["served:actions"]', **environment)
    with worker:
        worker.wait_supervised(lambda: noted(TAKEN), within_s=150)
        first = read_membership(worker.folder)
        worker.kill()
        worker.start(TRADEWIRE_WORKER__HANDLERS='["served:actions", "served:notices"]', **environment)
        worker.wait_supervised(lambda: noted(NOTICE), within_s=60)
        second = read_membership(worker.folder)
        sight = GroupWatch(broker.settings.kafka, group, folder=worker.folder)._sight()

    assert first is not None and second is not None
    assert first.instance_id != second.instance_id
    assert sight.member and {"model.events", "system.events"} <= {place.topic for place in sight.places}


def notice_of(component: str) -> Event:
    return Event(
        id=(id := new_id()),
        type=NOTICE,
        data={"component": component, "message": ""},
        source="tests",
        subject=component,
        time_ns=1_700_000_000_000_000_000,
        correlation_id=id,
    )


def test_topics_that_no_member_has_are_told_by_the_watchdog_and_are_lag(feed: TwoTopics, tmp_path: Path) -> None:
    """Here a member comes back under its former name with one topic more, as it is not done by anything of ours."""
    feed.take()
    config = {"group.id": feed.group, "group.instance.id": "one", "session.timeout.ms": 120_000}
    metrics = WatchMetrics(feed.registry)
    told = []
    for topics in ([feed.topic], [feed.topic, feed.other]):
        Progress(tmp_path).begun(feed.group, "one", topics)
        consumer = Consumer({**feed.kafka.client_config(), **config})
        try:
            assigned: list[object] = []
            consumer.subscribe(topics, on_assign=lambda _, places: assigned.extend(places))  # noqa: B023
            wait_until(lambda: consumer.poll(0.1) is None and assigned, within_s=60)  # noqa: B023
            with capture_logs() as logs:
                watch = GroupWatch(feed.kafka, feed.group, folder=tmp_path, metrics=metrics)
                assert [None, None] == [watch.look(), watch.look()]
            told.append([line["topics"] for line in logs if line["event"] == "topics are read by nobody"])
        finally:
            consumer.close()

    assert [[], [[feed.other]]] == told
    assert 1 == feed.counted("tradewire_watchdog_lag")

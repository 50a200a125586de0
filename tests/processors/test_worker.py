"""The worker process on a real broker."""

from __future__ import annotations

import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest
from tests.processors.pure import PureWorker
from tests.processors.running import Broker, RunningWorker, steps_about
from tests.processors.test_mixed_versions import OLD_DATA
from tests.processors.workload import Workload
from tests.schemas.versions import before
from tests.waiting import wait_until

from tradewire.operations.stack import free_ports
from tradewire.processors import read_progress
from tradewire.schemas import ArchivedSchema, Catalogue, Codec, Event, SchemaArchive, decode_headers, encode_headers
from tradewire.schemas.codec import FRAME

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def worker(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> RunningWorker:
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("main") / "data"
    running = RunningWorker(broker, "main", folder, metrics_port=port, unknown_schema_wait_ms=60_000)
    running.metrics_url = f"http://127.0.0.1:{port}/metrics"  # type: ignore[attr-defined]
    with running:
        yield running  # type: ignore[misc]


def test_read_models_and_flows_are_a_fold_of_the_log(broker: Broker, worker: RunningWorker) -> None:
    made = Workload(1, "fold.")
    count = broker.publish(made.events(2_000, orders_share=0.2))
    # The last order waits for ever, so there is a timer as well.
    count += broker.publish(made._order()[:1])
    worker.wait_until_done()
    found, expected = broker.read_models(), broker.folded()
    for table in expected:
        assert expected[table] or table.endswith("_pattern"), table
        assert found[table] == expected[table]
    assert steps_about(found, "fold.") == count


def test_a_chain_of_causes_becomes_a_tree_with_latencies(broker: Broker, worker: RunningWorker) -> None:
    made = Workload(2, "tree.")
    first = made.trade()
    order = {
        "order_id": "tree.o1",
        "account": "tree.acc",
        "symbol": "tree.S",
        "venue": "v",
        "side": "BUY",
        "order_type": "MARKET",
        "quantity": Decimal(1),
    }
    created = made._event("trading.order.created", "tree.o1", order, first)
    base = {name: order[name] for name in ("order_id", "account", "symbol", "venue")}
    accepted = made._event("trading.order.accepted", "tree.o1", base, created)
    # The effect reaches the broker before its cause.
    broker.publish([first, accepted, created])
    worker.wait_until_done()
    flow = broker.read_models()["flow"][first.correlation_id]
    assert [(step["event_type"], step["depth"], step["orphan"]) for step in flow["steps"]] == [
        ("market.trade.reported", 0, False),
        ("trading.order.created", 1, False),
        ("trading.order.accepted", 2, False),
    ]
    assert flow["steps"][1]["hop_latency_ns"] == created.time_ns - first.time_ns
    assert flow["root_event_id"] == first.id


def test_records_of_an_older_service_are_folded_as_those_of_a_newer(broker: Broker, worker: RunningWorker) -> None:
    """Both write at once, as during a deployment; the states are those of the newer one alone."""
    old = Codec(before(Catalogue.load()), broker.contract.schema_ids)
    for number, event in enumerate(Workload(6, "mixed.").events(300, orders_share=0.5)):
        if number % 2 and event.type in OLD_DATA:
            topic = broker.contract.topic_of(event.type)
            value = old.encode(event.type, OLD_DATA[event.type](event.data), topic)
            broker.produce(topic, event.subject.encode(), value, encode_headers(event))
        else:
            broker.publish([event])
    worker.wait_until_done()
    new = PureWorker()
    for event in Workload(6, "mixed.").events(300, orders_share=0.5):
        new.publish(event)
    found = {key: order for key, order in broker.read_models()["order"].items() if key.startswith("mixed.")}
    told = ("status", "reason", "quantity", "filled_quantity", "average_fill_price", "fees", "event_count")
    expected = {key: tuple(getattr(order, name) for name in told) for key, order in new.states["order"].items()}
    assert expected == {key: tuple(order[name] for name in told) for key, order in found.items()}
    assert "REJECTED" in {order["status"] for order in found.values()}


def test_outputs_are_events_that_join_the_flow_of_their_cause(broker: Broker, worker: RunningWorker) -> None:
    made = Workload(3, "headers.")
    trade = made.trade()
    broker.publish([trade])
    worker.wait_until_done()
    (record,) = [one for one in broker.log("readmodel.last_price.v1") if one.key == trade.subject.encode()]
    envelope = decode_headers(record.headers)
    assert (envelope.type, envelope.subject) == ("readmodel.last_price.changed", trade.subject)
    assert (envelope.correlation_id, envelope.causation_id) == (trade.correlation_id, trade.id)
    assert envelope.time_ns == trade.time_ns
    assert envelope.source == "tradewire.processors/main"


def test_a_poison_record_is_parked_and_other_keys_behind_it_go_on(broker: Broker, worker: RunningWorker) -> None:
    made = Workload(4, "poison.")
    before, after = made.trade(), made.trade()
    headers = [("ce_id", b"x"), ("ce_type", b"market.trade.reported"), ("ce_source", b"t"), ("other", b"\xff")]
    after = Event(**{**{name: getattr(after, name) for name in Event.__slots__}, "subject": before.subject})
    broker.publish([before])
    # A key of its own: workers of other groups read this log too, and would park what comes behind.
    broker.produce("market.events", b"poison", b"not a frame", headers)
    broker.produce("market.events", b"poison", None, headers)
    broker.produce("market.events", b"poison", b"x", [])
    broker.produce("flows.steps", b"c", b"no step", [])
    broker.produce("positions.fills", b"c", b"no fill", headers)
    broker.publish([after])
    worker.wait_until_done()
    assert broker.read_models()["last_price"][before.subject]["trade_count"] == 2
    # The group reads what other tests have left as well.
    ours = [record for record in broker.log("deadletter.main") if record.key in (b"poison", b"c")]
    letters = [dict(record.headers) for record in ours]
    assert sorted(str(letter["__dlq.errors.topic"]) for letter in letters) == sorted(
        str(topic) for topic in [b"market.events"] * 3 + [b"flows.steps", b"positions.fills"]
    )
    (first, *_) = [record for record in ours if record.value == b"not a frame"]
    assert first.key == b"poison"
    assert [record.value for record in ours].count(None) == 1
    assert list(first.headers[: len(headers)]) == headers
    assert "0x6e" in str(dict(first.headers)["__dlq.errors.message"])


def test_the_worker_says_what_it_has_done(broker: Broker, worker: RunningWorker) -> None:
    broker.publish(Workload(5, "metrics.").events(50))
    worker.wait_until_done()
    url = worker.metrics_url  # type: ignore[attr-defined]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        text = answer.read().decode()
    assert 'tradewire_worker_events_total{type="market.trade.reported"}' in text
    assert "tradewire_worker_event_to_handler_seconds_bucket" in text
    progress = wait_until(lambda: read_progress(worker.folder), within_s=60)
    assert progress["pid"] == worker.process.pid
    assert progress["committed"]["market.events:0"] > 0


def test_an_event_whose_schema_cannot_be_had_is_waited_for_and_not_parked(
    broker: Broker, worker: RunningWorker
) -> None:
    """The registry of its writer may be back in a moment; the record itself is fine."""
    made = Workload(8, "schema.")
    trade, schema = made.trade(), broker.contract.catalogue["market.trade.reported"].latest
    value = broker.contract.codec.encode(trade.type, trade.data, "market.events")
    unknown = 777_777
    letters = len(broker.log("deadletter.main"))
    headers = encode_headers(trade)
    broker.produce("market.events", trade.subject.encode(), FRAME.pack(0, unknown) + value[FRAME.size :], headers)
    wait_until(lambda: "waiting for a schema" in worker.log_file.read_text(), within_s=120, alive=worker.process.poll)
    assert worker.behind() > 0
    archive = broker.settings.registry.archive_folder
    assert archive is not None
    SchemaArchive(archive).put(ArchivedSchema(unknown, "", schema.text))
    worker.wait_until_done()
    assert broker.read_models()["last_price"][trade.subject]["trade_count"] == 1
    assert len(broker.log("deadletter.main")) == letters


def test_a_second_worker_on_the_same_folder_is_refused(broker: Broker, worker: RunningWorker) -> None:
    second = RunningWorker(broker, "other", worker.folder)
    second.log_file = worker.folder.parent / "second.log"
    second.start()
    assert second.process.wait(120) == 2
    assert str(worker.folder) in second.log_file.read_text()


def test_sigterm_commits_what_was_done_and_a_restart_repeats_nothing(broker: Broker, worker: RunningWorker) -> None:
    broker.publish(Workload(6, "stop.").events(200))
    worker.wait_until_done()
    assert worker.stop() == 0
    before = {topic: len(broker.log(topic)) for topic in ("flows.steps", "flows.state", "readmodel.order.v1")}
    worker.start()
    broker.publish(Workload(7, "again.").events(1, orders_share=0))
    worker.wait_until_done()
    after = {topic: len(broker.log(topic)) for topic in before}
    assert after == {**before, "flows.steps": before["flows.steps"] + 1, "flows.state": before["flows.state"] + 1}


def test_an_id_that_no_registry_knows_holds_its_partition_for_a_while_and_not_for_ever(
    broker: Broker, worker: RunningWorker, tmp_path: Path
) -> None:
    worker.kill()
    made = Workload(9, "unknown.")
    trade, later = made.trade(), made.trade()
    value = broker.contract.codec.encode(trade.type, trade.data, "market.events")
    stray = FRAME.pack(0, 888_888) + value[FRAME.size :]
    broker.produce("market.events", b"unknown", stray, encode_headers(trade))
    broker.publish([later])
    with RunningWorker(broker, "impatient", tmp_path / "impatient", unknown_schema_wait_ms=500) as impatient:
        impatient.wait_until_done()
        (letter,) = [letter for letter in broker.log("deadletter.impatient") if letter.value == stray]
        reason = dict(letter.headers)["__dlq.errors.message"]
        assert reason is not None and b"888888" in reason
        assert "waiting for a schema" in impatient.log_file.read_text()
        assert broker.read_models()["last_price"][later.subject]["trade_count"] == 1

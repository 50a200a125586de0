"""Deadlines of declared flows on a real broker: a worker killed before one tells of it once, after its restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.processors.running import Broker, RunningWorker
from tests.waiting import wait_until

from tradewire.core import new_id
from tradewire.processors import read_progress
from tradewire.processors.records import REPLAY_HEADER
from tradewire.schemas import Event, encode_headers

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(500)]

WITHIN_S = 8
FLOWS = f"""flows:
  order:
    begins: trading.order.created
    per: subject
    steps: [{{ name: accepted, any_of: [trading.order.accepted], within: {WITHIN_S} s }}]
"""
BASE = {"account": "acc", "symbol": "S", "venue": "v"}


ALL_PATTERNS = Path(__file__).with_name("all_patterns.yaml")


def order(type: str, order_id: str, cause: Event | None = None) -> Event:
    id = new_id()
    data = {**BASE, "order_id": order_id}
    if type == "trading.order.created":
        data |= {"side": "BUY", "order_type": "MARKET", "quantity": Decimal(1)}
    return Event(
        id=id,
        type=type,
        data=data,
        source="tests",
        subject=order_id,
        time_ns=time.time_ns(),
        correlation_id=cause.correlation_id if cause else id,
        causation_id=cause.id if cause else None,
    )


def told(broker: Broker) -> set[str]:
    """The aggregates that ``flow.events`` says anything about."""
    return {broker.contract.codec.decode(one.value).data["run_subject"] for one in broker.log("flow.events")}


def said(broker: Broker, order_id: str) -> list[tuple[str, str]]:
    """What lies in ``flow.events`` about an order, in order: fact and event id."""
    found = []
    for record in broker.log("flow.events"):
        if broker.contract.codec.decode(record.value).data["run_subject"] == order_id:
            headers = dict(record.headers)
            found.append(((headers["ce_type"] or b"").decode(), (headers["ce_id"] or b"").decode()))
    return found


def test_what_a_worker_waits_for_when_it_is_killed_is_told_once_after_its_restart(
    own_broker: Broker, tmp_path: Path
) -> None:
    """A deadline of a declared flow, the third of three risk alerts, and the second price of a move: both examples of
    patterns that the platform comes with, switched on by a file."""
    broker = own_broker
    flows_file = tmp_path / "flows.yaml"
    flows_file.write_text(FLOWS)
    worker = RunningWorker(
        broker,
        "deadlines",
        tmp_path / "data",
        deadline_grace_ms=0,
        flows_file=flows_file,
        patterns_file=ALL_PATTERNS,
    )
    with worker:
        # A worker that is up and has nothing to catch up with.
        broker.publish([order("trading.order.created", "deadline.warm")])
        worker.wait_until_done()
        good = order("trading.order.created", "deadline.o2")
        replay(broker, order("trading.order.created", "deadline.replayed"))
        broker.publish([good, order("trading.order.accepted", "deadline.o2", good)])
        # All at once: what counts is when they happened, and the machine may take a minute to its restart.
        alerts, prices = [risk_alert(name) for name in "abc"], [trade(price) for price in ("100", "104", "106")]
        broker.publish([*alerts[:2], prices[0]])
        created = killed_while_it_waits(broker, worker)
        assert [fact for fact, _ in said(broker, "deadline.o2")] == ["flow.run.completed"]
        worker.start()
        broker.publish([alerts[2], *prices[1:]])

        def wait_for(condition: Callable[[], object]) -> None:
            wait_until(condition, within_s=150, every_s=0.2, alive=worker.process.poll)

        wait_for(lambda: said(broker, created.subject))
        # It is told first and noted down then.
        wait_for(lambda: flow_of(broker, created)["status"] == "STALLED")
        assert flow_of(broker, created)["runs"][0]["waiting_step"] == "accepted"
        broker.publish([order("trading.order.accepted", created.subject, created)])
        facts = ["flow.run.stalled", "flow.run.repaired", "flow.run.completed"]
        wait_for(lambda: len(said(broker, created.subject)) >= len(facts))
        worker.wait_until_done()
        # The timers that wait for nothing any more are deleted.
        wait_for(lambda: created.id not in broker.read_models()["flow_timer"])
        assert [fact for fact, _ in said(broker, created.subject)] == facts
        assert [fact for fact, _ in said(broker, "deadline.o2")] == ["flow.run.completed"]
        assert flow_of(broker, created)["status"] == "COMPLETED"
        # Written before, never accepted, and no alarm to anybody.
        assert said(broker, "deadline.replayed") == []
        wait_for(lambda: alarms(broker))
        worker.wait_until_done()
        assert len(alarms(broker)) == 1
        (moved,) = moves(broker)
        assert (moved["symbol"], moved["condition"], moved["observed"]) == ("MOVE", "PRICE_CHANGE", Decimal("0.06"))
        assert worker.stop() == 0


def killed_while_it_waits(broker: Broker, worker: RunningWorker) -> Event:
    """Kills a worker that has read of an order and not told of its deadline; the order's first event.

    Where this machine has stood still until the deadline was told of, another order is tried.
    """
    for number in range(6):
        created = order("trading.order.created", f"deadline.o1.{number}")
        broker.publish([created])
        worker.wait_until_done()
        worker.kill()
        if not said(broker, created.subject):
            return created
        worker.start()
    raise AssertionError("always killed too late to prove anything")


def flow_of(broker: Broker, event: Event) -> dict[str, Any]:
    (flow,) = [one for one in broker.read_models()["flow"].values() if one["correlation_id"] == event.id]
    return flow


def test_deadlines_go_with_their_partitions_to_the_worker_that_takes_over(own_broker: Broker, tmp_path: Path) -> None:
    broker = own_broker
    flows_file = tmp_path / "flows.yaml"
    flows_file.write_text(FLOWS)
    first, second = (
        RunningWorker(
            broker,
            "takeover",
            tmp_path / name,
            deadline_grace_ms=0,
            flows_file=flows_file,
            session_timeout_ms=12_000,
        )
        for name in ("first", "second")
    )
    with first:
        # Not more than they can keep up with: a worker that is behind looks at no deadline.
        wait_until(
            lambda: broker.publish(warm()) and read_progress(first.folder),
            within_s=150,
            every_s=1,
            alive=first.process.poll,
        )
        with second:
            wait_until(lambda: broker.publish(warm()) and read_progress(second.folder), within_s=150, every_s=1)
            orders = [order("trading.order.created", f"takeover.{number}") for number in range(8)]
            broker.publish(orders)
            first.wait_supervised(lambda: first.behind() == 0, within_s=150)
            first.kill()
            names = {one.subject for one in orders}
            second.wait_supervised(lambda: names <= told(broker), within_s=150)
            second.wait_supervised(lambda: second.behind() == 0, within_s=150)
            heard = [said(broker, one.subject) for one in orders]
            # Who is killed between telling and noting it down leaves it to the next, who tells it under the same id.
            assert [{fact for fact, _ in facts} for facts in heard] == [{"flow.run.stalled"}] * len(orders)
            assert [len(set(facts)) for facts in heard] == [1] * len(orders)


def replay(broker: Broker, event: Event) -> None:
    """Publishes an event as a replay of the history does."""
    value = broker.contract.codec.encode(event.type, event.data, "trading.events")
    headers = [*encode_headers(event), (REPLAY_HEADER, b"replay-1")]
    broker.produce("trading.events", event.subject.encode(), value, headers)


def warm() -> list[Event]:
    """Something for every partition, so that each worker has something to commit."""
    return [order("trading.order.accepted", f"warm.{new_id()}") for _ in range(6)]


def alarms(broker: Broker) -> list[bytes | None]:
    """Ids of the risk alerts that the worker itself has raised."""
    headers = [dict(record.headers) for record in broker.log("risk.events")]
    return [one["ce_id"] for one in headers if one["ce_source"] == b"tradewire.processors/deadlines"]


def moves(broker: Broker) -> list[dict[str, Any]]:
    """What the worker has said of prices that moved."""
    found = [one for one in broker.log("market.events") if dict(one.headers)["ce_type"] == b"market.alert.triggered"]
    return [dict(broker.contract.codec.decode(one.value).data) for one in found]


def trade(price: str) -> Event:
    data = {"venue": "v", "symbol": "MOVE", "trade_id": new_id(), "trade_time_ns": time.time_ns()}
    return Event(
        id=new_id(),
        type="market.trade.reported",
        data=data | {"price": Decimal(price), "quantity": Decimal(1)},
        source="tests",
        subject="v:MOVE",
        time_ns=time.time_ns(),
        correlation_id=new_id(),
    )


def risk_alert(name: str) -> Event:
    data = {"alert_id": f"alert.{name}", "rule": "margin", "message": "low", "account": "alerts.acc"}
    return Event(
        id=new_id(),
        type="risk.alert.raised",
        data=data,
        source="tests",
        subject=data["alert_id"],
        time_ns=time.time_ns(),
        correlation_id=new_id(),
    )

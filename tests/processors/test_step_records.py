"""Steps on ``flows.steps``: many to a record, and what becomes of a flow does not depend on which meet in one."""

from __future__ import annotations

from typing import Any

from confluent_kafka import murmur2
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processors.pure import PureWorker, Record, pure_contract

from tradewire.processors.flow_runs import next_deadline
from tradewire.processors.flows import Step, step_data
from tradewire.processors.records import REPLAY_HEADER
from tradewire.processors.step_records import STEPS, STEPS_PER_RECORD_MAX, FlowStep, StepRecords, steps_of
from tradewire.processors.tables import FLOW, STEPS_TOPIC

CONTRACT = pure_contract()
ENCODE = CONTRACT.codec.encoder(STEPS, STEPS_TOPIC)
TYPES = ("trading.order.created", "trading.order.accepted", "trading.order.filled", "market.trade.reported")


def step(number: int, flow: int = 0, type: str = TYPES[3], source: str = "tests", partition: int = 0) -> FlowStep:
    at_ns = 1_700_000_000_000_000_000 + number * 1_000_000
    one = Step(
        f"e{number}", type, source, f"s{flow}", None, at_ns, at_ns, f"t{partition % 2}.events", partition, number
    )
    return FlowStep(f"flow-{flow}", one, False)


def data_of(value: bytes | None) -> Any:
    return CONTRACT.codec.decode(value).data


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60), st.integers(1, 7))
def test_every_step_is_in_the_partition_of_its_flow_and_in_order(places: list[tuple[int, int]], count: int) -> None:
    """The partition is that of murmur2, where the state of the flow has always been."""
    steps = [step(number, flow, partition=partition) for number, (flow, partition) in enumerate(places)]
    records = list(StepRecords(ENCODE, "w", count).of(steps))
    read = [(record.partition, steps_of(data_of(record.value))) for record in records]

    assert all(partition == murmur2(one.correlation_id.encode(), count) for partition, found in read for one in found)
    for source in {(one.step.topic, one.step.partition) for one in steps}:
        for flow in {one.correlation_id for one in steps}:
            wanted = [one for one in steps if one.correlation_id == flow and source == one.step[7:9]]
            assert wanted == [one for _, found in read for one in found if one in wanted]
    assert len(steps) == sum(len(found) for _, found in read)


def test_a_record_stays_far_below_what_a_broker_takes() -> None:
    """Neither many steps nor long names may make a record that is refused: the worker would end at it for ever."""
    many = list(StepRecords(ENCODE, "w", 1).of(step(number) for number in range(STEPS_PER_RECORD_MAX + 1)))
    long = list(StepRecords(ENCODE, "w", 1).of(step(number, source="x" * 200_000) for number in range(5)))

    assert [STEPS_PER_RECORD_MAX, 1] == [len(steps_of(data_of(record.value))) for record in many]
    assert all(len(record.value or b"") < 600_000 for record in long)
    assert ["e0", "e1", "e2", "e3", "e4"] == [
        one.step.event_id for record in long for one in steps_of(data_of(record.value))
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(TYPES)), min_size=1, max_size=20),
    st.lists(st.integers(1, 6), min_size=20, max_size=20),
)
def test_a_flow_does_not_depend_on_which_steps_share_a_record(
    given_steps: list[tuple[int, str]], sizes: list[int]
) -> None:
    """The load decides how many do. Nor on a record that is written again, as after a crash, cut otherwise."""
    steps = [step(number, flow, type) for number, (flow, type) in enumerate(given_steps)]
    alone, together = PureWorker(CONTRACT), PureWorker(CONTRACT)
    for one in steps:
        alone.step(one)
    rest, cuts = list(steps), list(sizes)
    while rest:
        size = cuts.pop(0)
        for record in together.folds.step_records(rest[:size]):
            together.append(record)
        rest = rest[size:]
    for record in together.folds.step_records(steps):
        together.append(record)

    assert set(alone.states[FLOW.name]) == set(together.states[FLOW.name])
    for key, flow in alone.states[FLOW.name].items():
        assert flow._replace(applied={}) == together.states[FLOW.name][key]._replace(applied={})
    assert alone_told(alone) == alone_told(together)
    for worker in (alone, together):
        waiting = {key for key, flow in worker.states[FLOW.name].items() if next_deadline(flow.runs) is not None}
        assert waiting <= set(worker.states["flow_timer"])


def alone_told(worker: PureWorker) -> list[str]:
    return sorted(event.id for event in worker.events("flow.events"))


def test_the_records_of_an_earlier_worker_are_read() -> None:
    """They have one step each, keyed by its flow, and say in a header that an event was replayed."""
    now, before = PureWorker(CONTRACT), PureWorker(CONTRACT)
    for number, type in enumerate(TYPES[:2]):
        one = step(number, 0, type)._replace(replayed=True)
        now.step(one)
        value = CONTRACT.codec.encode("flows.step.recorded", step_data(one.correlation_id, one.step), STEPS_TOPIC)
        headers = ((REPLAY_HEADER, b"r1"),)
        before.take([Record(STEPS_TOPIC, 0, number, before.recorded_ms, b"flow-0", value, headers)])

    (flow,) = now.states[FLOW.name].values()
    assert flow == before.states[FLOW.name]["flow-0"]
    assert flow.runs[0].quiet

"""Steps on ``flows.steps``: many to a record, each record in the partition where the flows of its steps are kept.

A record holds steps of one source partition, in offset order, so the order of a flow's steps is kept as far as it was
one. How many steps meet in a record depends on the load and on what a crash repeated; a flow does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import murmur2

from tradewire.core.ids import derived_id
from tradewire.processors.flows import Step, step_of
from tradewire.processors.records import Forward
from tradewire.processors.tables import STEPS_TOPIC
from tradewire.schemas import Header
from tradewire.schemas.headers import CONTENT_TYPE, SPEC_VERSION, format_time_ns

STEPS: Final = "flows.steps.recorded"
# A step takes some 250 bytes: far below the megabyte that a broker takes in one record.
STEPS_PER_RECORD_MAX: Final = 500
_BYTES_MAX: Final = 500_000


class FlowStep(NamedTuple):
    """A step and its flow. ``replayed``: it is folded, and raises nothing."""

    correlation_id: str
    step: Step
    replayed: bool


class StepRecords:
    """Makes records of steps. ``partitions`` is the number of partitions of ``flows.steps`` when the worker started."""

    def __init__(self, encode: Callable[[Mapping[str, Any]], bytes], source: str, partitions: int) -> None:
        self._encode = encode
        self._source = source.encode()
        self._partitions = partitions

    def of(self, steps: Iterable[FlowStep]) -> Iterator[Forward]:
        """Records that hold all ``steps``, those of a flow in the order given.

        A flow's partition is that of murmur2, as for every key of the platform: its state lies where it always did.
        """
        by_place: dict[tuple[str, int, int], list[FlowStep]] = {}
        partitions = self._partitions
        for one in steps:
            place = (one.step.topic, one.step.partition, murmur2(one.correlation_id.encode(), partitions))
            found = by_place.get(place)
            if found is None:
                by_place[place] = [one]
            else:
                found.append(one)
        for (topic, number, partition), found in by_place.items():
            for start in range(0, len(found), STEPS_PER_RECORD_MAX):
                yield from self._records(topic, number, partition, found[start : start + STEPS_PER_RECORD_MAX])

    def _records(self, topic: str, number: int, partition: int, steps: Sequence[FlowStep]) -> Iterator[Forward]:
        value = self._encode({"topic": topic, "partition": number, "steps": [_data(one) for one in steps]})
        if len(value) > _BYTES_MAX and len(steps) > 1:
            half = len(steps) // 2
            yield from self._records(topic, number, partition, steps[:half])
            yield from self._records(topic, number, partition, steps[half:])
            return
        first, last = steps[0].step, steps[-1].step
        place = f"{topic}:{number}"
        headers: list[Header] = [
            SPEC_VERSION,
            ("ce_id", derived_id(STEPS, place, first.offset, last.offset, partition).encode()),
            ("ce_type", STEPS.encode()),
            ("ce_source", self._source),
            ("ce_time", format_time_ns(last.recorded_ns).encode()),
            ("ce_subject", place.encode()),
            CONTENT_TYPE,
        ]
        yield Forward(STEPS_TOPIC, None, value, headers, partition)


def _data(one: FlowStep) -> dict[str, Any]:
    step = one.step
    return {
        "correlation_id": one.correlation_id,
        "event_id": step.event_id,
        "event_type": step.event_type,
        "source": step.source,
        "subject": step.subject,
        "causation_id": step.causation_id,
        "occurred_ns": step.occurred_ns,
        "recorded_ns": step.recorded_ns,
        "offset": step.offset,
        "replayed": one.replayed,
    }


def steps_of(data: Mapping[str, Any]) -> list[FlowStep]:
    """The steps of a record of ``flows.steps``: of ``flows.steps.recorded`` data, or of the one step of an older one.

    Of the latter only its headers tell whether it was replayed.
    """
    steps = data.get("steps")
    if steps is None:
        return [FlowStep(data["correlation_id"], step_of(data), False)]
    topic, partition = data["topic"], data["partition"]
    return [
        FlowStep(
            one["correlation_id"],
            Step(
                one["event_id"],
                one["event_type"],
                one["source"],
                one["subject"],
                one["causation_id"],
                one["occurred_ns"],
                one["recorded_ns"],
                topic,
                partition,
                one["offset"],
            ),
            one["replayed"],
        )
        for one in steps
    ]

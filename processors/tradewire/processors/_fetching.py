"""Fetches that lose nothing: records that are not handed out are given back, and fetched again.

Taking records out of the pinned consumer moves its position past them. Faust drops such records when a rebalance has
come meanwhile, and trusts that it seeks every partition to what is committed before it reads on. That does not hold: a
call that was begun before a rebalance returns records of the assignment after it; a call for no partitions (Faust
empties its set of those that it wants while the call runs) is one for all of them, paused ones too; and a partition of
which nothing is committed is not sought. So one fetch was dropped and the next one, from behind it, was folded.

All of this runs in the consumer's thread: between two ``await`` nothing of the consumer changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from faust.types import TP

# Asked for by name where nothing may be fetched: a fetch of no partition would be one of all.
NOWHERE = TP("", -1)


class Fetched(dict[TP, list[Any]]):
    """Records by partition, with the assignment that they are of and the positions that taking them has left."""

    def __init__(self, records: Mapping[TP, list[Any]], assignment: Any = None) -> None:
        super().__init__(records)
        self.assignment = assignment
        self.ends = {tp: assignment.state_value(tp).position for tp in records}


def assignment_of(consumer: Any) -> Any:
    """The assignment of now, an object of its own for each rebalance; None before the first."""
    subscription = consumer._subscription.subscription
    return None if subscription is None else subscription.assignment


async def fetch(consumer: Any, partitions: Collection[TP], timeout: float | None, max_records: int | None) -> Fetched:
    """Takes at most ``max_records`` of ``partitions``, none of others; waits up to ``timeout`` seconds for the first.

    Returns none, and has given back what it took, if the assignment has changed since the call.

    Raises:
        KafkaError: the broker refuses to say what is there.
    """
    begun_in = assignment_of(consumer)
    wanted = frozenset(partitions) or frozenset([NOWHERE])
    records = await consumer._fetcher.fetched_records(wanted, timeout=timeout, max_records=max_records)
    if not records:
        return Fetched({})
    fetched = Fetched(records, assignment_of(consumer))
    if fetched.assignment is begun_in:
        return fetched
    give_back(consumer, fetched)
    return Fetched({})


def give_back(consumer: Any, fetched: Fetched) -> None:
    """Makes the consumer fetch these records again, as far as it still stands behind them.

    Not of an assignment that has ended: its partitions are read from what is committed, by whoever owns them. Nor where
    somebody has sought another place since.
    """
    if assignment_of(consumer) is not fetched.assignment:
        return
    for tp, rows in fetched.items():
        state = fetched.assignment.state_value(tp)
        if state.has_valid_position and state.position == fetched.ends[tp]:
            consumer._fetcher.seek_to(tp, rows[0].offset)


async def seek_to_committed(consumer: Any) -> dict[TP, int | None]:
    """Seeks every partition to what its group has committed; returns that, None where nothing is.

    One question instead of one for each partition. Seeks nothing if the assignment has changed meanwhile.

    Raises:
        KafkaError: the broker does not say.
    """
    assignment = assignment_of(consumer)
    committed = await consumer._coordinator.fetch_committed_offsets(list(assignment.tps))
    if assignment_of(consumer) is not assignment:
        return {}
    found: dict[TP, int | None] = {}
    for tp in assignment.tps:
        offset = committed[tp].offset if tp in committed else -1
        found[tp] = offset if offset >= 0 else None
        if offset >= 0:
            consumer._fetcher.seek_to(tp, offset)
    return found

"""The states of one batch of records: read from memory or from the store, changed in memory, each written once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from tradewire.processors.records import Cause, Forward
from tradewire.processors.step_records import FlowStep
from tradewire.processors.tables import Table

Load = Callable[[Table, int, str], Any]
LoadMany = Callable[[Table, int, Sequence[str]], Sequence[Any]]
# Put in place of a state that is to be deleted: the store still has it.
_GONE: Final = object()


class Change(NamedTuple):
    """The newest state of a key in a batch (None: deleted) and the last event that changed it."""

    state: Any
    cause: Cause


class StateCache:
    """States of one partition of one table in memory: two generations, so that old ones fall out without bookkeeping.

    A state that was put stays until the batch that put it is stored (``stored``): the store does not have it before.
    """

    def __init__(self, states_max: int) -> None:
        self._states_max = states_max
        self._young: dict[str, Any] = {}
        self._old: dict[str, Any] = {}
        # The newest batch that put a state into the old generation.
        self._old_needs = 0
        self._young_needs = 0

    def get(self, key: str) -> Any:
        """The state, None if it is not in memory."""
        state = self._young.get(key)
        if state is None:
            state = self._old.get(key)
            if state is not None:
                self._young[key] = state
        return state

    def keep(self, key: str, state: Any, batch: int) -> None:
        """Remembers a state that batch number ``batch`` has read or put."""
        self._young[key] = state
        self._young_needs = batch

    def stored(self, batch: int) -> None:
        """Batches up to ``batch`` are in the store: states may fall out of memory now."""
        if len(self._young) >= self._states_max and batch >= self._old_needs:
            self._old, self._old_needs = self._young, self._young_needs
            self._young = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class BatchStates:
    """``States`` for one batch. ``partition`` is that of the record being folded; the caller sets it."""

    def __init__(
        self,
        number: int,
        caches: dict[tuple[str, int], StateCache],
        load: Load,
        states_max: int,
        load_many: LoadMany | None = None,
    ) -> None:
        self.number = number
        self.changes: dict[tuple[Table, int], dict[str, Change]] = {}
        self._partition = 0
        # Of the current partition, by table name.
        self._here: dict[str, tuple[StateCache, dict[str, Change], set[str]]] = {}
        self._absent: dict[tuple[str, int], set[str]] = {}
        self.forwards: list[Forward] = []
        self.steps: list[FlowStep] = []
        self._caches = caches
        self._load = load
        self._load_many = load_many
        self._states_max = states_max

    @property
    def partition(self) -> int:
        return self._partition

    @partition.setter
    def partition(self, partition: int) -> None:
        if partition != self._partition:
            self._partition = partition
            self._here = {}

    def _at(self, table: Table) -> tuple[StateCache, dict[str, Change], set[str]]:
        here = self._here.get(table.name)
        if here is None:
            cache = self._caches.setdefault((table.name, self._partition), StateCache(self._states_max))
            changes = self.changes.setdefault((table, self._partition), {})
            absent = self._absent.setdefault((table.name, self._partition), set())
            here = self._here[table.name] = (cache, changes, absent)
        return here

    def get(self, table: Table, key: str) -> Any:
        cache, _, absent = self._at(table)
        state = cache.get(key)
        if state is None and key not in absent:
            state = self._load(table, self._partition, key)
            if state is not None:
                cache.keep(key, state, self.number)
        return None if state is _GONE else state

    def put(self, table: Table, key: str, state: Any, cause: Cause) -> None:
        cache, changes, _ = self._at(table)
        cache.keep(key, _GONE if state is None else state, self.number)
        changes[key] = Change(state, cause)

    def expect(self, table: Table, keys: Collection[str]) -> None:
        """Fetches the states that are not in memory at once, and remembers for this batch which do not exist."""
        if self._load_many is None:
            return
        cache, _, absent = self._at(table)
        missing = [key for key in keys if cache.get(key) is None and key not in absent]
        for key, state in zip(missing, self._load_many(table, self._partition, missing), strict=True):
            if state is None:
                absent.add(key)
            else:
                cache.keep(key, state, self.number)

    def forward(self, record: Forward) -> None:
        self.forwards.append(record)

    def step(self, step: FlowStep) -> None:
        self.steps.append(step)

"""Rounds in which the contenders take turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.report import RowSpec, Run


class NotVerified(Exception):
    """A run did not do the work that its rate would claim; says what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: ``events`` of each fast contender, a fixed share of that of a slow one.

    ``ours_alone`` leaves peers and limits out.
    """

    rounds: int = 3
    events: int = 100_000
    ours_alone: bool = False
    say: Callable[[str], None] = field(default=lambda text: None)

    def share(self, share: float = 1.0) -> int:
        """That share of the events, never less than a hundred."""
        return max(100, int(self.events * share))


class Study(Protocol):
    """Contenders that are measured together and the rows that come of them.

    ``measure`` runs one contender once and returns a run whose work it has verified (else NotVerified); ``number`` is
    that of the round, 0 the warm-up. ``warm_up`` asks for a round that does not count; contenders that are processes of
    their own warm up in every run. ``skipped`` says why a contender cannot be measured here.
    """

    @property
    def rows(self) -> Sequence[RowSpec]: ...
    @property
    def contenders(self) -> Sequence[str]: ...
    @property
    def warm_up(self) -> bool: ...
    @property
    def skipped(self) -> Mapping[str, str]: ...
    def measure(self, contender: str, number: int) -> Run: ...


@dataclass(slots=True)
class Stopwatch:
    """Seconds and our own processor time since it was made."""

    _began: float = field(default_factory=time.perf_counter)
    _cpu: float = field(default_factory=time.process_time)

    def run(self, events: int) -> Run:
        """The run that ends now."""
        return Run(events, time.perf_counter() - self._began, time.process_time() - self._cpu)


def turns(contenders: Sequence[str], number: int) -> list[str]:
    """The order of a round: each round another one begins."""
    shift = number % len(contenders) if contenders else 0
    return [*contenders[shift:], *contenders[:shift]]


def run_study(study: Study, options: Options) -> dict[str, list[Run]]:
    """The study's warm-up round, then ``options.rounds`` rounds.

    Raises:
        NotVerified: some run did not do its work. Whatever else a contender raises also ends the study.
    """
    ours = {spec.ours for spec in study.rows}
    contenders = [name for name in study.contenders if name in ours or not options.ours_alone]
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(0 if study.warm_up else 1, options.rounds + 1):
        for name in turns(contenders, number):
            # Every run begins with an equally clean heap; what lives on is not looked through in the measured time.
            gc.collect()
            gc.freeze()
            try:
                run = study.measure(name, number)
            finally:
                gc.unfreeze()
            options.say(
                f"{'warm-up' if number == 0 else f'round {number}'}  {name:<16} {run.per_s:>12,.0f}/s{_cpu(run)}"
            )
            if number:
                runs[name].append(run)
    return runs


def _cpu(run: Run) -> str:
    return "" if run.cpu_s is None else f"  {run.cpu_s / run.events * 1e6:>9.1f} µs of own processor time each"


def expect(what: str, expected: object, found: object) -> None:
    """Raises NotVerified unless both are equal."""
    if expected != found:
        raise NotVerified(f"{what}: expected {expected}, found {found}")

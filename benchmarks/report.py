"""From measured rates to rows, verdicts, a table and two JSON files. Pure but for ``write_results``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Run:
    """One measured and verified run. ``notes`` are further figures of it, for the details.

    ``cpu_s`` is the processor time of the contender's own process in that time, brokers and engine not included: on a
    machine that has other work it says more than the rate.
    """

    events: int
    seconds: float
    cpu_s: float | None = None
    notes: Mapping[str, float] | None = None

    @property
    def per_s(self) -> float:
        return self.events / self.seconds


@dataclass(frozen=True, slots=True)
class RowSpec:
    """One row of the table: which contenders it compares and the bars they are held to.

    ``bar_vs_peer`` 3 means at least three times the peer; ``bar_vs_limit`` 0.5 at least half of the limit. Without a
    bar the ratio is only shown.
    """

    row: str
    ours: str
    peer: str | None = None
    limit: str | None = None
    bar_vs_peer: float | None = None
    bar_vs_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What ``latest.json`` holds of a row. ``holds`` is None without a bar that could be compared with."""

    row: str
    ours_per_s: float
    peer_per_s: float | None
    limit_per_s: float | None
    vs_peer: float | None
    vs_limit: float | None
    bar_vs_peer: float | None
    bar_vs_limit: float | None
    holds: bool | None


def median_per_s(runs: Sequence[Run]) -> float:
    """The middle of the rates of a contender's rounds.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("no run was measured")
    return median(run.per_s for run in runs)


def spread(runs: Sequence[Run]) -> float:
    """How far the rounds lie apart, as a share of their median: (fastest - slowest) / median."""
    rates = [run.per_s for run in runs]
    return (max(rates) - min(rates)) / median(rates)


def make_row(spec: RowSpec, runs: Mapping[str, Sequence[Run]]) -> Row:
    """A row out of the runs of its contenders; a peer or limit that has none is left out of it.

    Raises:
        ValueError: ours was not measured.
    """
    ours = median_per_s(runs.get(spec.ours, ()))
    peer, limit = (median_per_s(runs[name]) if name is not None and runs.get(name) else None
                   for name in (spec.peer, spec.limit))  # fmt: skip
    vs_peer = ours / peer if peer is not None else None
    vs_limit = ours / limit if limit is not None else None
    held = [
        None if ratio is None else ratio >= bar
        for ratio, bar in ((vs_peer, spec.bar_vs_peer), (vs_limit, spec.bar_vs_limit))
        if bar is not None
    ]
    holds = False if False in held else None if None in held or not held else True
    return Row(
        spec.row,
        round(ours, 1),
        None if peer is None else round(peer, 1),
        None if limit is None else round(limit, 1),
        None if vs_peer is None else round(vs_peer, 3),
        None if vs_limit is None else round(vs_limit, 3),
        spec.bar_vs_peer,
        spec.bar_vs_limit,
        holds,
    )


def results_table(rows: Sequence[Row]) -> Table:
    """The rows for a terminal of 80 columns or more."""
    table = Table(title="events per second, medians; ratios with their bars", title_justify="left")
    table.add_column("row")
    for name in ("ours", "peer", "limit"):
        table.add_column(name, justify="right")
    for name in ("ours / peer", "ours / limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bars")
    for row in rows:
        table.add_row(
            row.row,
            _rate(row.ours_per_s),
            _rate(row.peer_per_s),
            _rate(row.limit_per_s),
            _ratio(row.vs_peer, row.bar_vs_peer),
            _ratio(row.vs_limit, row.bar_vs_limit),
            _verdict(row),
        )
    return table


def _rate(per_s: float | None) -> str:
    return "–" if per_s is None else f"{per_s:,.0f}"


def _ratio(ratio: float | None, bar: float | None) -> str:
    if ratio is None:
        return "–"
    if bar is None:
        return f"{ratio:.2f}"
    return f"[{'green' if ratio >= bar else 'red'}]{ratio:.2f}[/] ≥ {bar:.2f}"


def _verdict(row: Row) -> str:
    if row.bar_vs_peer is None and row.bar_vs_limit is None:
        return "no bar"
    return {True: "[green]held[/]", False: "[red]missed[/]", None: "not measured"}[row.holds]


def runs_detail(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Every round of every contender, for the details file."""
    return {
        name: {
            "median_per_s": round(median_per_s(found), 1),
            "spread": round(spread(found), 3),
            "rounds": [
                {
                    "events": run.events,
                    "seconds": round(run.seconds, 4),
                    **({} if run.cpu_s is None else {"cpu_us_per_event": round(run.cpu_s / run.events * 1e6, 2)}),
                    **(run.notes or {}),
                }
                for run in found
            ],
        }
        for name, found in runs.items()
        if found
    }


def write_results(folder: Path, rows: Sequence[Row], details: Mapping[str, Any]) -> None:
    """Writes ``latest.json`` (the rows) and ``details.json``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("details.json", details), ("latest.json", [asdict(row) for row in rows])):
        draft = folder / f"{name}.{os.getpid()}.part"
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        draft.replace(folder / name)

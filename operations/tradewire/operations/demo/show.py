"""What the demo prints; each function makes one thing to show out of plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tradewire.operations.demo.chart import Candle, candle_chart
from tradewire.operations.demo.checks import Check, PartitionRow

_NS_PER_MS = 1_000_000
_ROOTS = ""
_SUBJECT_MAX = 24


def plain(number: Decimal) -> str:
    """A decimal to four places, without the zeros that only its scale adds; the exact value is in the read model."""
    text = f"{number:,.4f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def types_table(rows: Sequence[tuple[str, int]]) -> Table:
    """Events per type."""
    table = Table("event type", "events", title="Events per type, by SQL", title_justify="left")
    table.columns[1].justify = "right"
    for type, count in rows:
        table.add_row(type, f"{count:,}")
    return table


def candles_chart(instrument: str, interval_ms: int, candles: Sequence[Candle], columns_max: int) -> RenderableType:
    """A candle chart with its heading."""
    seconds = interval_ms // 1000
    shown = candles[-columns_max:]
    heading = Text(f"{instrument}, the newest {len(shown)} candles of {seconds} s", style="bold")
    return Group(heading, candle_chart(shown))


def positions_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The largest positions by what they cost."""
    columns = ("account", "symbol", "quantity", "average cost", "realised P&L", "fees", "fills")
    table = Table(*columns, title="Top positions, from the read model", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        average = row["average_cost"]
        table.add_row(
            row["account"],
            row["symbol"],
            plain(row["quantity"]),
            plain(average) if average is not None else "",
            plain(row["realised_pnl"]),
            plain(row["fees"]),
            f"{row['fill_count']:,}",
        )
    return table


def flow_tree(correlation_id: str, steps: Sequence[Mapping[str, Any]], *, steps_max: int = 40) -> RenderableType:
    """The steps of a flow, each below its cause, with the latency of its hop."""
    children: dict[str, list[Mapping[str, Any]]] = {}
    known = {step["event_id"] for step in steps}
    for step in sorted(steps, key=lambda step: (step["occurred_ns"], step["depth"], step["event_id"])):
        cause = step["causation_id"] or _ROOTS
        children.setdefault(cause if cause in known else _ROOTS, []).append(step)
    tree = Tree(Text(f"flow {correlation_id}", style="bold"))
    left = steps_max

    def grow(branch: Tree, cause: str) -> None:
        nonlocal left
        for step in children.get(cause, ()):
            if left == 0:
                return
            left -= 1
            hop = step["hop_latency_ns"]
            latency = f"  +{hop / _NS_PER_MS:,.3f} ms" if hop is not None else ""
            orphan = "  parent not seen" if step["orphan"] else ""
            line = Text.assemble(
                step["event_type"], (f"  {_brief(step['subject'])}", "dim"), (latency, "cyan"), (orphan, "red")
            )
            line.no_wrap, line.overflow = True, "ellipsis"
            grow(branch.add(line), step["event_id"])

    grow(tree, _ROOTS)
    if len(steps) > steps_max:
        tree.add(Text(f"… and {len(steps) - steps_max} more", style="dim"))
    return tree


def partitions_table(rows: Sequence[PartitionRow]) -> Table:
    """Published, in Kafka, in ClickHouse, side by side."""
    columns = ("topic", "partition", "published", "in Kafka", "in ClickHouse", "")
    table = Table(*columns, title="Nothing lost, nothing doubled", title_justify="left", show_footer=True)
    for column in table.columns[1:5]:
        column.justify = "right"
    for row in rows:
        counts = (f"{row.published:,}", f"{row.in_kafka:,}", f"{row.in_clickhouse:,}")
        table.add_row(row.topic, str(row.partition), *counts, _mark(row.holds))
    table.columns[0].footer = "all"
    for column, total in zip(
        table.columns[2:5],
        (sum(row.published for row in rows), sum(row.in_kafka for row in rows), sum(row.in_clickhouse for row in rows)),
        strict=True,
    ):
        column.footer = f"{total:,}"
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """Every comparison with both its sides."""
    table = Table("must be equal", "one side", "other side", "", title="Checks", title_justify="left")
    for check in checks:
        table.add_row(check.name, _short(check.expected), _short(check.found), _mark(check.holds))
    return table


def _brief(subject: str) -> str:
    return subject if len(subject) <= _SUBJECT_MAX else f"…{subject[-12:]}"


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} rows"
    if isinstance(value, Decimal):
        return plain(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _mark(holds: bool) -> Text:
    return Text("equal", style="green") if holds else Text("DIFFERS", style="bold red")

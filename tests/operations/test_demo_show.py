"""What the demo prints is what was found."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rich.console import Console, RenderableType

from tradewire.operations.demo.checks import Check, PartitionRow
from tradewire.operations.demo.show import checks_table, flow_tree, partitions_table, plain


def printed(thing: RenderableType) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(thing)
    return console.export_text()


def step(
    id: str, cause: str | None, at_ns: int, hop_ns: int | None, depth: int, orphan: bool = False
) -> dict[str, Any]:
    return {
        "event_id": id,
        "event_type": f"t.{id}",
        "subject": "s",
        "causation_id": cause,
        "occurred_ns": at_ns,
        "hop_latency_ns": hop_ns,
        "depth": depth,
        "orphan": orphan,
    }


def test_a_flow_is_indented_by_cause_with_the_latency_of_each_hop() -> None:
    """Each step stands below its cause, whatever the order it was stored in."""
    steps = [step("c", "b", 30, 10_000_000, 2), step("a", None, 0, None, 0), step("b", "a", 20, 20_500_000, 1)]
    lines = printed(flow_tree("f", steps)).splitlines()

    assert ["flow f", "└── t.a  s", "    └── t.b  s  +20.500 ms", "        └── t.c  s  +10.000 ms"] == lines


def test_an_orphan_is_shown_and_named() -> None:
    """A step whose cause was never seen hangs from the flow itself."""
    assert "└── t.x  s  parent not seen" in printed(flow_tree("f", [step("x", "gone", 1, None, 0, orphan=True)]))


def test_a_difference_is_marked_and_totals_are_shown() -> None:
    """The eye must find the one row that differs."""
    text = printed(partitions_table([PartitionRow("t", 0, 5, 5, 5), PartitionRow("t", 1, 1000, 1000, 999)]))

    assert 1 == text.count("DIFFERS")
    assert "1,005" in text and "1,004" in text
    assert "DIFFERS" in printed(checks_table([Check("volume", Decimal("1"), Decimal("2"))]))


def test_decimals_keep_their_integer_zeros() -> None:
    """Only zeros of the scale go."""
    assert ("1,500", "0.02", "-3.1416") == (
        plain(Decimal("1500.0000")),
        plain(Decimal("0.020")),
        plain(Decimal("-3.14159")),
    )

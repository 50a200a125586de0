"""The table that `tradewire sql` prints."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from rich.console import Console

from tradewire.operations.commands.sql import _table
from tradewire.sinks.stored_history import Answer


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("30021").quantize(Decimal(1).scaleb(-18)), "30021"),
        (Decimal(0).scaleb(-36), "0"),
        (Decimal("-0.500000"), "-0.5"),
        (Decimal("0.000000000000000001"), "0.000000000000000001"),
        (Decimal(100), "100"),
        (None, ""),
        (1.5, "1.5"),
    ],
)
def test_decimals_have_no_exponent_and_no_closing_zeros(value: object, shown: str) -> None:
    answer = Answer(columns=("n",), types=("Decimal(76, 36)",), rows=((value,),), truncated=False)
    console = Console(width=80, file=io.StringIO())
    console.print(_table(answer))

    assert f"│ {shown:>1} │" in console.file.getvalue()  # type: ignore[attr-defined]

"""A candle chart in characters; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.text import Text

_UP, _DOWN = "green", "red"


@dataclass(frozen=True, slots=True)
class Candle:
    """One interval of one instrument."""

    open_time_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def candle_chart(candles: Sequence[Candle], *, rows: int = 12, columns_max: int = 60) -> Text:
    """Draws the newest ``columns_max`` candles, a column each: wick from low to high, body from open to close.

    Prices are scaled into ``rows`` rows by exact decimals; an unmoved price is a dash, so that every candle shows.
    Without candles the text says so.
    """
    shown = list(candles)[-columns_max:]
    if not shown:
        return Text("no candles yet")
    high, low = max(candle.high for candle in shown), min(candle.low for candle in shown)
    span = high - low or Decimal(1)

    def row_of(price: Decimal) -> int:
        return min(rows - 1, int((high - price) * rows / span))

    labels = {0: f"{high.normalize():f}", rows - 1: f"{low.normalize():f}"}
    width = max(map(len, labels.values()))
    text = Text()
    for row in range(rows):
        text.append(f"{labels.get(row, ''):>{width}} ┤", style="dim")
        for candle in shown:
            up = candle.close >= candle.open
            top, bottom = row_of(max(candle.open, candle.close)), row_of(min(candle.open, candle.close))
            if top <= row <= bottom:
                mark = "─" if candle.open == candle.close else "█"
            elif row_of(candle.high) <= row <= row_of(candle.low):
                mark = "│"
            else:
                mark = " "
            text.append(mark + " ", style=_UP if up else _DOWN)
        text.append("\n")
    return text

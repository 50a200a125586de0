"""The candle chart is drawn exactly."""

from __future__ import annotations

from decimal import Decimal

from tradewire.operations.demo.chart import Candle, candle_chart


def candle(*prices: str) -> Candle:
    """Open, high, low, close."""
    return Candle(0, *map(Decimal, prices))


def test_a_rising_candle_has_its_body_between_open_and_close() -> None:
    """Wick above and below, body between, price labels at both ends."""
    lines = candle_chart([candle("2", "4", "0", "3")], rows=4).plain.splitlines()

    assert ["4 ┤│ ", "  ┤█ ", "  ┤█ ", "0 ┤│ "] == lines


def test_a_flat_market_still_shows_every_candle() -> None:
    """No division by a span of zero; an unmoved price is a dash."""
    lines = candle_chart([candle("5", "5", "5", "5")] * 2, rows=3).plain.splitlines()

    assert "5 ┤─ ─ " == lines[0]


def test_only_the_newest_candles_fit() -> None:
    """A long history keeps its end."""
    old, new = candle("1", "9", "1", "9"), candle("5", "6", "5", "6")
    lines = candle_chart([old, new], rows=2, columns_max=1).plain.splitlines()

    assert lines[0].startswith("6")


def test_no_candles_is_said() -> None:
    """An empty chart would look like a fault."""
    assert "no candles yet" == candle_chart([]).plain


def test_round_prices_keep_their_zeros() -> None:
    """The label of 61,000 is not 61."""
    assert candle_chart([candle("61000", "61000", "60000", "60000")], rows=2).plain.startswith("61000 ┤")

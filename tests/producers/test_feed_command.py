"""`tradewire feed`: what it prints, and its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tradewire.core import Settings, TradewireError
from tradewire.operations.commands.feed import feed_app

CSV = """recv_ts_ns,event_ts_ms,trade_ts_ms,market,symbol,trade_id,price,qty,buyer_is_maker,order_type_X
1723161254087896568,1723161255343,1723161255342,spot,BTCUSDT,1,61837.63,0.02,1,
1723161254087896568,1723161255343,1723161255342,spot,BTCUSDT,2,oops,0.02,1,
1723161254087896568,1723161255343,1723161255342,spot,BTCUSDT,3,61837.64,0.02,0,
"""
RAW = """1 {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":1,"p":"1.5","q":"2","T":5,"m":true}}
2 {"stream":"btcusdt@depth","data":{"e":"depthUpdate"}}
"""
ORDERS = """34200.004241176,1,16113575,18,5853300,1
34200.1,3,16113575,18,5853300,1
"""


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The command reads its settings from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers)
    monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", settings.registry.url)
    yield


def feed(*arguments: str) -> Result:
    """Runs `tradewire feed`."""
    return CliRunner().invoke(feed_app, arguments)


def test_simulated_events_are_counted_by_type() -> None:
    """The table names every type and the total."""
    result = feed("simulate", "--events", "500", "--seed", "3")

    assert result.exit_code == 0, result.output
    assert "market.trade.reported" in result.stdout
    assert "│ 500 │" in " ".join(result.stdout.split())


def test_a_malformed_line_is_skipped_and_shown(tmp_path: Path) -> None:
    """The feed goes on, the end says where the line was and what was wrong; the exit code is 0."""
    file = tmp_path / "trades.csv"
    file.write_text(CSV)

    result = feed("binance-trades", str(file))

    assert result.exit_code == 0, result.output
    assert "malformed lines skipped │ 1" in " ".join(result.stdout.split())
    # The console breaks the line where the path of this run happens to end.
    assert "trades.csv:3:fieldpriceis'oops'" in "".join(result.stdout.split())


def test_strict_ends_with_the_error(tmp_path: Path) -> None:
    """--strict gives the error to the command line's one place for errors, which exits with 1."""
    file = tmp_path / "trades.csv"
    file.write_text(CSV)

    result = feed("binance-trades", str(file), "--strict")

    assert result.exit_code == 1
    assert isinstance(result.exception, TradewireError)
    assert "trades.csv:3" in str(result.exception)


def test_other_kinds_are_shown(tmp_path: Path) -> None:
    """A capture's other messages are counted by their names."""
    file = tmp_path / "raw"
    file.write_text(RAW)

    result = feed("binance-raw", str(file), "--venue", "binance.usdm")

    assert result.exit_code == 0, result.output
    assert "not an event: depthUpdate │ 1" in " ".join(result.stdout.split())


def test_orders_with_a_date(tmp_path: Path) -> None:
    """Symbol and date by hand; a limit ends the feed early."""
    file = tmp_path / "orders.csv"
    file.write_text(ORDERS)

    whole = feed("lobster", str(file), "--symbol", "TEST", "--date", "2024-01-02")
    cut = feed("lobster", str(file), "--limit", "2")

    assert whole.exit_code == cut.exit_code == 0, whole.output
    assert "trading.order.cancelled" in whole.stdout
    assert "trading.order.cancelled" not in cut.stdout


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
def test_a_speed_that_is_none_is_bad_usage(speed: str) -> None:
    """Exit code 2, with what is possible."""
    result = feed("simulate", "--events", "1", "--speed", speed)

    assert result.exit_code == 2
    assert "max" in result.output


def test_an_absent_broker_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read."""
    monkeypatch.setenv("TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")

    result = feed("simulate", "--events", "5")

    assert result.exit_code == 1
    assert "kafka.bootstrap_servers" in str(result.exception)

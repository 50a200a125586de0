"""Runs retention once a day; a part of the local stack. ``python -m tradewire.operations.retention_daily``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

from tradewire.core import TradewireError, configure_logs, get_logger, load_settings
from tradewire.core.clock import NS_PER_MS
from tradewire.core.settings import Settings
from tradewire.operations.retention_events import publish_cleanups
from tradewire.schemas import Contract, format_time_ns
from tradewire.sinks.retention import Retention

_log = get_logger(__name__)
_DAY_MS: Final = 86_400_000
_LOOK_EVERY_S: Final = 60.0
# A run may take so long, and Kafka or ClickHouse be away meanwhile, before somebody should look.
_LATE_MS: Final = 3_600_000


def due_at_ms(now_ms: int, daily_at: str) -> int:
    """The last time that a run was due, at or before ``now_ms``; ``daily_at`` is hh:mm in UTC. Pure."""
    hours, minutes = map(int, daily_at.split(":"))
    at = now_ms // _DAY_MS * _DAY_MS + (hours * 60 + minutes) * 60_000
    return at if at <= now_ms else at - _DAY_MS


def is_due(now_ms: int, daily_at: str, last_run_ms: int | None) -> bool:
    """Whether a run is due. One that was missed while the machine was off is made up for at once. Pure."""
    return last_run_ms is None or last_run_ms < due_at_ms(now_ms, daily_at)


def is_late(now_ms: int, daily_at: str, last_run_ms: int | None) -> bool:
    """Whether a run that was due an hour ago has not come to its end. Pure."""
    return is_due(now_ms - _LATE_MS, daily_at, last_run_ms)


def check(settings: Settings) -> str | None:
    """Why the daily run is not healthy; None when it is.

    Raises:
        TradewireError: it cannot be told.
    """
    with Retention(settings, Contract.load(settings)) as retention:
        last_ms = retention.ledger.last_run_ms() if retention.ledger.exists() else None
    if not is_late(time.time_ns() // NS_PER_MS, settings.retention.daily_at, last_ms):
        return None
    when = "never" if last_ms is None else f"last at {format_time_ns(last_ms * NS_PER_MS)[:19]}Z"
    return f"retention is due daily at {settings.retention.daily_at} UTC and ran {when}"


def run_if_due(settings: Settings) -> bool:
    """Runs retention when it is due, or an earlier run is untold, and publishes what it did; whether it ran.

    Raises:
        TradewireError: look again later; what was done is in the ledger.
    """
    contract = Contract.load(settings)
    with Retention(settings, contract) as retention:
        retention.ledger.ensure()
        now_ms = time.time_ns() // NS_PER_MS
        due = is_due(now_ms, settings.retention.daily_at, retention.ledger.last_run_ms())
        if not due and not retention.ledger.untold():
            return False
        done = retention.run()
        tomorrow_ns = (due_at_ms(now_ms, settings.retention.daily_at) + _DAY_MS) * NS_PER_MS
        publish_cleanups(settings, contract, done, manual=False, retry_ns=tomorrow_ns)
        retention.told(done)
    _log.info("retention_ran", rules=len(done), failed=sum(cleaned.error is not None for cleaned in done))
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after a signal, 1 when settings or policy are bad; with ``--check`` 1 when a run is overdue."""
    parser = argparse.ArgumentParser(prog="python -m tradewire.operations.retention_daily", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the last run is overdue by an hour")
    if parser.parse_args(arguments).check:
        return _check()
    stopping = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        settings = load_settings()
        configure_logs(settings.log.level, settings.log.format, component="retention")
        # A bad policy is told at once, not at three in the morning.
        Retention(settings, Contract.load(settings)).close()
    except TradewireError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    while not stopping.is_set():
        try:
            run_if_due(settings)
        except TradewireError as error:
            _log.warning("retention_waits", error=str(error), again_in_s=_LOOK_EVERY_S)
        stopping.wait(_LOOK_EVERY_S)
    return 0


def _check() -> int:
    try:
        late = check(load_settings())
    except TradewireError as error:
        late = str(error)
    if late is not None:
        print(f"error: {late}", file=sys.stderr)
    return 0 if late is None else 1


if __name__ == "__main__":
    sys.exit(main())

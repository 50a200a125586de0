"""A service with a spool, as a process of its own: ``python -m tests.producers.spooling_service``.

    spooling_service <bootstrap> <spool folder> <account file> <run> <first> <count> <per second> [drain|hold|leave]

Publishes ``count`` events numbered from ``first`` over seven subjects at a pace, and writes the number of events that
``publish`` has accepted into the account file after each. Then: ``drain`` waits until everything is delivered,
``leave`` closes at once, ``hold`` says ``spooled`` once everything accepted is on disk, and waits to be killed; it
keeps most of its second half until no broker answers, so that there is something to accept then.
"""

from __future__ import annotations

import os
import sys
import time
from decimal import Decimal
from pathlib import Path

from tradewire.core import load_settings
from tradewire.producers import BreakerState, Publisher
from tradewire.schemas import Contract, FixedIds

SUBJECTS = 7
TYPE = "market.trade.reported"
TRADE = {
    "venue": "binance.spot",
    "symbol": "BTCUSDT",
    "trade_id": "1",
    "price": Decimal("61837.63"),
    "quantity": Decimal("0.02"),
    "aggressor_side": "SELL",
    "trade_time_ns": 1_723_161_255_342_000_000,
}


def main() -> None:
    bootstrap, folder, account_file, run, first, count, pace, then = sys.argv[1:]
    settings = load_settings(
        kafka={"bootstrap_servers": bootstrap},
        publisher={"spool_folder": Path(folder), "breaker_stall_ms": 1_000, "breaker_probe_ms": 100},
    )
    publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))
    account = os.open(account_file, os.O_RDWR | os.O_CREAT, 0o600)
    began = time.monotonic()
    for number in range(int(first), int(first) + int(count)):
        publisher.publish(TYPE, TRADE, subject=f"{run}:{number % SUBJECTS}", sequence=number)
        os.pwrite(account, f"{number + 1:012d}".encode(), 0)
        ahead = (number + 1 - int(first)) / float(pace) - (time.monotonic() - began)
        if ahead > 0.002:
            time.sleep(ahead)
        if then == "hold" and 2 * number > int(count) and publisher.breaker_state is BreakerState.CLOSED:
            time.sleep(0.05)
    assert publisher.spool is not None
    if then == "hold":
        while publisher.breaker_state is not BreakerState.OPEN or publisher.spool.unprotected:
            time.sleep(0.01)
        print("spooled", publisher.spool.rows, flush=True)
        time.sleep(600)
    left = publisher.flush(90) if then == "drain" else 0
    outcome = publisher.close(0 if then == "leave" else 10)
    print("closed", left, outcome.unknown, outcome.in_spool, flush=True)


if __name__ == "__main__":
    main()

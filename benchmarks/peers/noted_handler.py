"""A handler that notes for each trade the nanoseconds from its ``time_ns`` to the call; and a subscriber that calls it.

``worker.handlers`` names this module for a worker; run as a program it is a service with a ``Subscriber``.
"""

from __future__ import annotations

import atexit
import sys
import time
from array import array
from pathlib import Path

from benchmarks.peers.last_price import given
from benchmarks.trades import TYPE
from tradewire.core import load_settings
from tradewire.processors import Subscriber, subscribe
from tradewire.schemas import Event

times = array("q")
atexit.register(lambda: Path(given("times")).write_bytes(times.tobytes()))


@subscribe(TYPE)
def note(event: Event) -> None:
    times.append(time.time_ns() - event.time_ns)


def main() -> int:
    """Subscribes in the group that the environment names, until SIGTERM."""
    Subscriber(load_settings(), note, group=given("group")).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

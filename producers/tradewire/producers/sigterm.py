"""SIGTERM as an orderly exit: without it Python dies on the spot, and with it every event that is only queued."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

EXIT_CODE = 128 + signal.SIGTERM


def exit_on_sigterm() -> None:
    """Makes SIGTERM raise SystemExit(143) in the main thread: ``with`` blocks end, and publishers are closed at exit.

    They then wait for deliveries, up to ten seconds where nobody closed them, and log what stayed unknown. For the main
    thread of services that have no handling of their own; asyncio's ``loop.add_signal_handler`` takes its place. Until
    the main thread leaves a call that is not interrupted by signals nothing happens. A second SIGTERM ends the process
    at once, as an orchestrator's SIGKILL would.

    Raises:
        ValueError: not in the main thread.
    """
    signal.signal(signal.SIGTERM, _exit)


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(EXIT_CODE)

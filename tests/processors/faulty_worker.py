"""The real worker with a fault put into it, as the environment says.

``TRADEWIRE_TEST_HOLD=topic:partition:offset``: the work of one record never ends. Everything of it is done, its outputs
and states stand; only the ledger is never told. So it is in work, as far as commits are concerned, while records behind
it are done.

``TRADEWIRE_TEST_STUCK=<file>``: once, after the first commit, a fetch never returns. The process lives on and stays a
member of its group. The file marks that it has happened.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from tradewire.processors._faust_app import WorkerConsumer
from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.liveness import read_progress
from tradewire.processors.worker import main

_settle = Ledger.settle
_next_records = WorkerConsumer._wait_next_records


def _hold(ledger: Ledger[Any], claim: Claim[Any]) -> None:
    topic, partition, offset = os.environ["TRADEWIRE_TEST_HOLD"].split(":")
    held = (claim.partition.topic, claim.partition.partition) == (topic, int(partition))
    if not (held and claim.first <= int(offset) <= claim.last):
        _settle(ledger, claim)


async def _stick(consumer: WorkerConsumer, timeout: float) -> Any:
    happened = Path(os.environ["TRADEWIRE_TEST_STUCK"])
    if not happened.exists() and read_progress(Path(os.environ["TRADEWIRE_WORKER__DATA_FOLDER"])):
        happened.touch()
        await asyncio.Event().wait()
    return await _next_records(consumer, timeout)


if __name__ == "__main__":
    if "TRADEWIRE_TEST_HOLD" in os.environ:
        Ledger.settle = _hold  # type: ignore[method-assign]
    if "TRADEWIRE_TEST_STUCK" in os.environ:
        WorkerConsumer._wait_next_records = _stick  # type: ignore[method-assign]
    sys.exit(main())

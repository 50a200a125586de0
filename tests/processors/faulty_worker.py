"""The real worker with a fault put into it, as the environment says.

``TRADEWIRE_TEST_HOLD=topic:partition:offset``: the work of one record never ends. Everything of it is done, its outputs
and states stand; only the ledger is never told. So it is in work, as far as commits are concerned, while records behind
it are done.

``TRADEWIRE_TEST_STUCK=<file>``: once, after the first commit, a fetch never returns. The process lives on and stays a
member of its group. The file marks that it has happened.

``TRADEWIRE_TEST_DROP=topic``: of each partition of a changelog the last record of the first fetch of a recovery is
dropped, as Faust drops what it holds when a rebalance comes.

``TRADEWIRE_TEST_DIE_IN_REDRIVE``: the process ends when what came of re-driven letters stands, and their
place does not.

SIGUSR1 tears all connections of the consumer in the moment in which metadata are asked for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from torn_connections import tear_connections  # beside this script

from tradewire.processors._batch import Batch
from tradewire.processors._faust_app import WorkerConsumer
from tradewire.processors._settlement import Settlement
from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.liveness import read_progress
from tradewire.processors.worker import EXIT_CRASHED, Worker, main

_settle = Ledger.settle
_next_records = WorkerConsumer._wait_next_records
_recover = WorkerConsumer._recover
_run = Worker.run
_send_facts = Settlement._send_facts
_dropped: set[Any] = set()


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


async def _drop(consumer: WorkerConsumer, tp: Any, rows: list[Any]) -> None:
    recovery = (tp, consumer.app.consumer_generation_id)
    if tp.topic == os.environ["TRADEWIRE_TEST_DROP"] and recovery not in _dropped:
        _dropped.add(recovery)
        rows = rows[:-1]
    await _recover(consumer, tp, rows)


async def _die(settlement: Settlement, batch: Batch) -> None:
    if any(write.state is not None and write.state.done_to >= 0 for write in batch.facts.values()):
        os._exit(EXIT_CRASHED)
    await _send_facts(settlement, batch)


async def _run_torn(worker: Worker, stop: asyncio.Event) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tear_connections, worker.app)
    await _run(worker, stop)


if __name__ == "__main__":
    Worker.run = _run_torn  # type: ignore[method-assign]
    if "TRADEWIRE_TEST_HOLD" in os.environ:
        Ledger.settle = _hold  # type: ignore[method-assign]
    if "TRADEWIRE_TEST_STUCK" in os.environ:
        WorkerConsumer._wait_next_records = _stick  # type: ignore[method-assign]
    if "TRADEWIRE_TEST_DROP" in os.environ:
        WorkerConsumer._recover = _drop  # type: ignore[method-assign]
    if "TRADEWIRE_TEST_DIE_IN_REDRIVE" in os.environ:
        Settlement._send_facts = _die  # type: ignore[method-assign]
    sys.exit(main())

"""Services under faults, as processes of their own: ``python -m tests.operations.chaos_service``.

    chaos_service publish <folder> <seed>
    chaos_service subscribe <folder> <group> static|passing

``publish`` sends the workload of a seed through a publisher with a spool until SIGTERM, and then says what is left of
it. Into ``<folder>/account`` it writes two numbers: all events below the first are with Kafka or in the spool, the
second is the event that it is about to publish. Started again, it goes on behind that one.

``subscribe`` handles events of orders until SIGTERM. Each call goes into the SQLite file of the folder, and an effect
where the inbox lets the event in, in one transaction.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tests.processors.subscribing import Account
from tests.processors.workload import Workload

from tradewire.core import load_settings
from tradewire.processors import Inbox, Subscriber, subscribe
from tradewire.producers import BreakerState, Publisher
from tradewire.schemas import Event

EVENTS_MAX = 100_000
ORDERS_SHARE = 0.1
PER_S = 100
HANDLED = "trading.order.*"
_SETTLED_EVERY = 10


def prefix_of(seed: int) -> str:
    """What the keys of a seed's events begin with."""
    return f"chaos{seed}."


def workload(seed: int) -> itertools.chain[Event]:
    """The events of a seed; each process of its publisher has the same ones."""
    return itertools.chain(Workload(seed, prefix_of(seed)).events(EVENTS_MAX, orders_share=ORDERS_SHARE))


def accounted(folder: Path) -> tuple[int, int]:
    """The two numbers of a publisher's account; (0, -1) before its first event."""
    file = folder / "account"
    numbers = file.read_text().split() if file.exists() else []
    return (int(numbers[0]), int(numbers[1])) if numbers else (0, -1)


def publish(folder: Path, seed: int) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    _, before = accounted(folder)
    account = os.open(folder / "account", os.O_RDWR | os.O_CREAT, 0o600)
    safe = first = before + 1
    publisher = Publisher(load_settings())
    spool = publisher.spool
    assert spool is not None
    began = time.monotonic()
    for number, event in enumerate(itertools.islice(workload(seed), first, None), first):
        if stopping.is_set():
            break
        # One write: a process that is killed leaves both numbers or none.
        os.pwrite(account, f"{safe:012d} {number:012d}".encode(), 0)
        publisher.publish_event(event)
        if number % _SETTLED_EVERY == 0:
            on_disk = publisher.breaker_state is BreakerState.OPEN and not spool.unprotected
            if on_disk or publisher.flush(0) == 0:
                safe = number + 1
        time.sleep(max(0.0, (number + 1 - first) / PER_S - (time.monotonic() - began)))
    left = publisher.flush(150)
    outcome = publisher.close(30)
    print("closed", left, outcome.unknown, outcome.in_spool, flush=True)
    sys.exit(0 if (left, outcome.unknown, outcome.in_spool) == (0, 0, 0) else 1)


def handle(folder: Path, group: str, member: str) -> None:
    account, inbox = Account(folder / "account.db"), Inbox(group)
    connection = account.connection
    inbox.create(connection.cursor())

    @subscribe(HANDLED, side_effects=True)
    def book(event: Event) -> None:
        connection.execute("BEGIN IMMEDIATE")
        cursor = connection.cursor()
        cursor.execute("INSERT INTO calls (member, key, message) VALUES (?, ?, ?)", (member, event.subject, event.id))
        if inbox.enter(cursor, event.id):
            cursor.execute("INSERT INTO effects (event_id) VALUES (?)", (event.id,))
        connection.execute("COMMIT")

    Subscriber(load_settings(), book, group=group, instance_id=member if member == "static" else None).run()


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    what, folder, *rest = sys.argv[1:]
    if what == "publish":
        publish(Path(folder), int(rest[0]))
    else:
        handle(Path(folder), *rest)


if __name__ == "__main__":
    main()

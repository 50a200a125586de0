"""Handlers under test, the same for whoever runs them: a worker, or a ``Subscriber`` as a process of its own.

    python -m tests.processors.handled <group>          # the Subscriber; the worker names this module in its settings

Each call is a line of the file ``TRADEWIRE_TEST_FOLDER/calls``. Files of that folder are switches:

- ``fail.<key>``: handling an event of the key fails for good, as long as the file is there.
- ``stand.<key>``: it does not return as long as the file is there.

Events with the action ``late on`` and ``late off`` subscribe and unsubscribe one more handler while all runs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from tradewire.core import load_settings
from tradewire.processors import Subscriber, Subscription, Subscriptions, subscribe
from tradewire.schemas import Contract, Event

FOLDER = Path(os.environ.get("TRADEWIRE_TEST_FOLDER", "."))
_late: list[Subscription] = []
_failed: set[str] = set()
_live: list[Subscriptions] = []


def note(handler: str, event: Event) -> None:
    """One write of one line: processes that die leave whole lines."""
    number = event.data.get("step") or event.data.get("step_count") or 0
    line = f"{os.getpid()} {handler} {event.subject} {number}\n"
    file = os.open(FOLDER / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@subscribe("model.*")
def work(event: Event) -> None:
    while (FOLDER / f"stand.{event.subject}").exists():
        time.sleep(0.01)
    if (FOLDER / f"fail.{event.subject}").exists():
        raise ValueError("it cannot be done")
    if event.subject.startswith("flaky") and event.id not in _failed:
        _failed.add(event.id)
        raise TimeoutError("it may be done the next time")
    note("work", event)


@subscribe("model.action.*", "*.policy.updated")
async def work_async(event: Event) -> None:
    await asyncio.sleep(0.001)
    note("async", event)


@subscribe("model.action.taken", side_effects=True)
def mail(event: Event) -> None:
    note("mail", event)


@subscribe("model.policy.updated")
def switch(event: Event) -> None:
    # The topic has the events of other tests too.
    if not event.subject.endswith(os.environ["TRADEWIRE_TEST_PREFIX"]):
        return
    match event.data["algorithm"]:
        case "late on":
            _late.append(_live[0].subscribe(lambda event: note("late", event), "model.action.*", name="late"))
        case "late off":
            _live[0].unsubscribe(_late.pop())


HANDLERS = (work, work_async, mail, switch)


def subscriptions() -> Subscriptions:
    """For a worker."""
    _live.append(Subscriptions(Contract.load(load_settings()).catalogue, *HANDLERS))
    return _live[0]


def main() -> None:
    subscriber = Subscriber(load_settings(), *HANDLERS, group=sys.argv[1])
    _live.append(subscriber.subscriptions)
    subscriber.run()


if __name__ == "__main__":
    from tests.processors import handled  # the module that a worker would import, not __main__

    handled.main()

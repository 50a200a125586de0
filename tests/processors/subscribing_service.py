"""A service that subscribes, as a process of its own: ``python -m tests.processors.subscribing_service``.

    subscribing_service <bootstrap> <topic> <group> <account file> <member>

Its handler writes each call into the account, and an effect where the inbox lets the event in, in one transaction.
Runs until SIGTERM.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from tests.processors.subscribing import NOTICE, Account, contract_of, settings_of

from tradewire.core.settings import KafkaSettings
from tradewire.processors import Inbox, Subscriber, subscribe
from tradewire.schemas import Event


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    bootstrap, topic, group, file, member = sys.argv[1:]
    account, inbox = Account(Path(file)), Inbox(group)
    connection = account.connection
    inbox.create(connection.cursor())

    @subscribe(NOTICE, side_effects=True)
    def book(event: Event) -> None:
        time.sleep(0.002)
        connection.execute("BEGIN IMMEDIATE")
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO calls (member, key, message) VALUES (?, ?, ?)", (member, event.subject, event.data["message"])
        )
        if inbox.enter(cursor, event.id):
            cursor.execute("INSERT INTO effects (event_id) VALUES (?)", (event.id,))
        connection.execute("COMMIT")

    settings = settings_of(KafkaSettings(bootstrap_servers=bootstrap), session_timeout_ms=6_000, concurrency=1)
    Subscriber(settings, book, group=group, contract=contract_of(topic)).run()


if __name__ == "__main__":
    main()

"""The limit of a projection: consume, decode, fold into a dict, commit now and then. No state store, no outputs.

It decodes with our codec, the fastest we have, and loses its state with the process.
"""

from __future__ import annotations

import json
import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException

from benchmarks.peers.last_price import given
from tradewire.core import load_settings
from tradewire.schemas import Contract


def main() -> None:
    """Runs until SIGTERM, then writes the states to the file that the run names."""
    settings = load_settings()
    read = Contract.load(settings).codec.decode
    consumer = Consumer(
        {
            **settings.kafka.client_config(),
            "group.id": given("group"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 100_000,
            "fetch.wait.max.ms": 50,
        }
    )
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    consumer.subscribe([given("topic")])
    states: dict[bytes, tuple[Decimal, int, Decimal, int]] = {}
    commit_s, commit_at, changed = float(given("commit_s")), 0.0, False
    while going:
        for message in consumer.consume(10_000, 0.05):
            changed = True
            trade: Any = read(message.value()).data
            key = message.key() or b""
            before = states.get(key)
            if before is None:
                states[key] = (trade["price"], 1, trade["quantity"], trade["trade_time_ns"])
                continue
            price, count, volume, time_ns = before
            if trade["trade_time_ns"] >= time_ns:
                price, time_ns = trade["price"], trade["trade_time_ns"]
            states[key] = (price, count + 1, volume + trade["quantity"], time_ns)
        if changed and time.monotonic() >= commit_at:
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                if error.args[0].name() != "_NO_OFFSET":
                    raise
            commit_at, changed = time.monotonic() + commit_s, False
    consumer.close()
    Path(given("states")).write_text(
        json.dumps(
            {
                key.decode(): {"price": str(price), "trade_count": count, "volume": str(volume)}
                for key, (price, count, volume, _) in states.items()
            }
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()

"""aiokafka with fastavro, and FastStream's Kafka publisher: dicts become framed Avro with our envelope headers.

Prints what it took as JSON. Runs also in an environment that does not have our packages: see ``environment``.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import uuid_utils

from benchmarks.peers.last_price import given

TYPE = "market.trade.reported"
Send = Callable[[str, bytes, dict[str, str]], Awaitable[Any]]
# Deliveries are waited for in groups, or the memory would be the measure.
_GROUP = 5_000


def main() -> None:
    """``python -m benchmarks.peers.async_publish aiokafka|faststream``."""
    found = [json.loads(line) for line in Path(given("trades")).read_text(encoding="utf-8").splitlines()]
    trades = [
        (subject, data | {name: Decimal(data[name]) for name in ("price", "quantity")}) for subject, data in found
    ]
    publish = {"aiokafka": _aiokafka, "faststream": _faststream}[sys.argv[1]]
    seconds, cpu_s = asyncio.run(publish(trades))
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s}))


async def _measured(send: Send, trades: list[tuple[str, dict[str, Any]]]) -> tuple[float, float]:
    schema = fastavro.parse_schema(json.loads(Path(given("schema")).read_text(encoding="utf-8")))
    prefix = bytes.fromhex(given("prefix"))

    def encode(data: dict[str, Any]) -> bytes:
        stream = io.BytesIO()
        stream.write(prefix)
        fastavro.schemaless_writer(stream, schema, data)
        return stream.getvalue()

    async def publish(subject: str, data: dict[str, Any]) -> Any:
        id = str(uuid_utils.uuid7())
        return await send(
            subject,
            encode(data),
            {
                "ce_specversion": "1.0",
                "ce_id": id,
                "ce_type": TYPE,
                "ce_source": "bench",
                "ce_time": datetime.now(UTC).isoformat(),
                "ce_subject": subject,
                "ce_correlationid": id,
                "content-type": "application/avro",
            },
        )

    (first, data), *rest = trades
    await (await publish(first, data))
    began, cpu = time.perf_counter(), time.process_time()
    waiting = []
    for subject, data in rest:
        waiting.append(await publish(subject, data))
        if len(waiting) == _GROUP:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    return time.perf_counter() - began, time.process_time() - cpu


def _client_settings() -> dict[str, Any]:
    return {
        "bootstrap_servers": given("broker"),
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": given("compression"),
        "linger_ms": int(given("linger_ms")),
        "max_batch_size": int(given("batch_bytes")),
    }


async def _aiokafka(trades: list[tuple[str, dict[str, Any]]]) -> tuple[float, float]:
    from aiokafka import AIOKafkaProducer

    async with AIOKafkaProducer(**_client_settings()) as producer:

        async def send(subject: str, value: bytes, headers: dict[str, str]) -> Any:
            encoded = [(name, text.encode()) for name, text in headers.items()]
            return await producer.send(given("topic"), value, subject.encode(), headers=encoded)

        return await _measured(send, trades)


async def _faststream(trades: list[tuple[str, dict[str, Any]]]) -> tuple[float, float]:
    from faststream.kafka import KafkaBroker  # type: ignore[import-not-found]

    async with KafkaBroker(logger=None, **_client_settings()) as broker:
        publisher = broker.publisher(given("topic"))
        await broker.start()

        async def send(subject: str, value: bytes, headers: dict[str, str]) -> Any:
            return await publisher.publish(value, key=subject.encode(), headers=headers, no_confirm=True)

        return await _measured(send, trades)


if __name__ == "__main__":
    main()

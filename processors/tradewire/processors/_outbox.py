"""What the worker writes to Kafka: pipelined, each record confirmed, no record silently lost.

Faust's own producer is not used for it: it is not idempotent, its ``send`` returns before delivery, a failed delivery
is a line in the log, and its flush before a commit can give up (a table's records may then be queued still).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from tradewire.core.settings import KafkaSettings
from tradewire.processors.records import Forward
from tradewire.schemas import Header


class Delivery:
    """Confirmations of a set of records. ``offsets`` are the last ones by topic and partition, of records sent with
    ``keep_offset``."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_failure: Callable[[str], None], on_progress: Callable[[], None]
    ) -> None:
        self.offsets: dict[tuple[str, int], int] = {}
        self._loop = loop
        self._on_failure = on_failure
        self._on_progress = on_progress
        self._confirmed = 0
        self._expected: int | None = None
        self._done = loop.create_future()

    def confirm(self, error: KafkaError | None, message: Message) -> None:
        """Called by the producer, in its poll thread."""
        if error is not None:
            self._on_failure(f"{message.topic()}: a record could not be delivered: {error}")
            return
        self._confirmed += 1
        self._on_progress()
        if self._confirmed == self._expected:
            self._loop.call_soon_threadsafe(self._finish)

    def confirm_offset(self, error: KafkaError | None, message: Message) -> None:
        """As ``confirm``, and remembers where the record lies."""
        if error is None:
            self.offsets[str(message.topic()), int(message.partition() or 0)] = int(message.offset() or 0)
        self.confirm(error, message)

    async def wait(self, expected: int) -> None:
        """Returns when ``expected`` records are confirmed, which are all that were sent with this delivery."""
        self._expected = expected
        if self._confirmed < expected:
            await self._done

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class Outbox:
    """One idempotent producer with a poll thread.

    ``on_failure`` is called, in that thread, when a record is refused, the producer is unusable, or nothing has been
    confirmed for ``confirm_timeout_s`` with records waiting; it must end the process.
    """

    def __init__(self, kafka: KafkaSettings, on_failure: Callable[[str], None], *, confirm_timeout_s: float) -> None:
        self._on_failure = on_failure
        self._confirm_timeout_s = confirm_timeout_s
        self._progress_at = time.monotonic()
        self._producer = Producer(
            {
                **kafka.client_config(),
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 2,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
                # No record is given up alone, or later ones could stand without it: a partition gets its records in
                # order and without a gap, or the process ends.
                "message.timeout.ms": 0,
                "request.timeout.ms": 10_000,
                "error_cb": self._on_error,
            },
            logger=logging.getLogger("librdkafka"),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="outbox", daemon=True)
        self._thread.start()

    def delivery(self) -> Delivery:
        """A new set of confirmations, awaited on the running loop."""
        return Delivery(asyncio.get_running_loop(), self._on_failure, self._note_progress)

    def forward(self, delivery: Delivery, record: Forward) -> None:
        """Queues a record; its key decides the partition, if it names none. Never blocks on the network."""
        self._produce(
            record.topic,
            record.value,
            record.key,
            partition=-1 if record.partition is None else record.partition,
            headers=record.headers,
            on_delivery=delivery.confirm,
        )

    def state(
        self, delivery: Delivery, topic: str, partition: int, key: bytes, value: bytes | None, headers: list[Header]
    ) -> None:
        """Queues a state (None: its deletion) for the partition that it belongs to, and keeps its offset."""
        self._produce(topic, value, key, partition=partition, headers=headers, on_delivery=delivery.confirm_offset)

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, **more: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, **more)
                return
            except BufferError:
                # The broker is slower than the folds: standing still here is the back-pressure.
                self._producer.poll(0.05)

    def close(self, timeout_s: float) -> int:
        """Waits for what is queued; returns how many records are left."""
        left: int = self._producer.flush(timeout_s)
        self._stopping.set()
        self._thread.join(timeout=1)
        return left

    def __len__(self) -> int:
        """Records queued or in flight."""
        return len(self._producer)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)
            if not len(self._producer):
                self._note_progress()
            elif time.monotonic() - self._progress_at > self._confirm_timeout_s:
                self._on_failure(f"no record was confirmed for {self._confirm_timeout_s:.0f} s: is the broker up?")

    def _note_progress(self) -> None:
        self._progress_at = time.monotonic()

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_failure(f"the producer is unusable: {error}")

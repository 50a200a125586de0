"""Faust, held at arm's length: its group membership, assignment, recovery and commits; not its streams.

What is replaced, each for a fault seen in the pinned version:

- records go to the engine in whole fetches, not one by one through a race of two tasks each;
- what may be committed comes from the ledger, not from gaps between acknowledged offsets;
- a fetch that returns into a rebalance is dropped, or sought back if there is none, never skipped;
- the consumer reads committed records only and is a static member of its group, so a restart takes over at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import aiokafka
import faust
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service, ServiceT

from tradewire.core.errors import TradewireError
from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors import _aiokafka_on_uvloop
from tradewire.processors._engine import Engine

_aiokafka_on_uvloop.install()
_log = get_logger(__name__)

_FETCH_TIMEOUT_S = 1.0
# While a partition is held, it is looked so often whether it may be read on.
_HELD_TIMEOUT_S = 0.05
# Asked for by name where nothing else may be fetched: a fetch of no partition would be one of all.
_NOWHERE = TP("", -1)


def security_of(kafka: KafkaSettings) -> dict[str, Any]:
    """The settings as aiokafka names them."""
    config: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if kafka.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(kafka.ssl_ca_file) if kafka.ssl_ca_file else None)
        if kafka.ssl_certificate_file is not None:
            context.load_cert_chain(kafka.ssl_certificate_file, kafka.ssl_key_file)
        config["ssl_context"] = context
    if kafka.sasl_mechanism and kafka.sasl_password:
        config |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    return config


class WorkerConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        app = cast(WorkerApp, self.app)
        conf = app.conf
        self._assignor = app.assignor
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=app.kafka.bootstrap_servers,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=app.instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=500,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **security_of(app.kafka),
        )


class WorkerConsumer(driver.Consumer):
    """Faust's consumer with our way of handing out records and of deciding what may be committed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._engine = cast(WorkerApp, self.app).engine
        # From when the engine has taken an assignment over until it is revoked. Flow alone does not say so: the
        # recovery of an assignment that has ended meanwhile may resume it into the next one.
        self._is_taken_over = False
        self._stops = 0

    def _new_consumer_thread(self) -> WorkerConsumerThread:
        return WorkerConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- what may be committed

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self._engine.ledger if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._engine.committable(tp)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        committed: bool = await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        if committed:
            lags = {tp: (self.highwater(tp) or offset) - offset for tp, offset in offsets.items()}
            cast(WorkerApp, self.app).on_committed(offsets, lags)
        return committed

    # --- rebalances

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finishes what was begun and commits it before the partitions go.

        What cannot be finished in time must not be stored later, over what the next owner has made of it: the process
        ends, and it is read again.
        """
        self.stop_flow()
        self._is_taken_over = False
        timeout_s = cast(WorkerApp, self.app).drain_timeout_s
        if not await self._engine.drained(timeout_s):
            self._engine.leave(f"partitions went before their batches were settled, within {timeout_s:.0f} s")
        await self.commit()
        await super().on_partitions_revoked(revoked)
        await self._engine.release()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._engine.forget()
        try:
            await self._engine.take_over(tp for tp in assigned if not self._is_changelog_tp(tp))
        except TradewireError as error:
            self._engine.leave(f"partitions cannot be taken over: {error}")
        self._is_taken_over = True
        await super().on_partitions_assigned(assigned, generation_id)

    # --- handing out records

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        held = None if self._engine.handlers is None else self._engine.handlers.held
        if held and active_partitions:
            # Fetching goes on, of nothing if need be: a consumer that does not fetch counts as dead to its group.
            active_partitions, timeout = active_partitions - held or {_NOWHERE}, _HELD_TIMEOUT_S
        return await super()._getmany(active_partitions, timeout)

    def stop_flow(self) -> None:
        super().stop_flow()
        self._stops += 1

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Hands out one fetch after the other; while one is folded, the next is under way in the consumer's thread."""
        stopping = cast(Service, self)._stopped.is_set, cast(Service, fetcher)._stopped.is_set
        fetch = asyncio.create_task(self._fetch())
        try:
            while not any(stopped() for stopped in stopping):
                records, generation, stops = await fetch
                if records and generation == self.app.consumer_generation_id:
                    if not (self.flow_active and self._is_taken_over) or stops != self._stops:
                        self._seek_back(records)
                    else:
                        fetch = asyncio.create_task(self._fetch())
                        await self._hand_out(records)
                        continue
                await asyncio.sleep(0)
                fetch = asyncio.create_task(self._fetch())
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        finally:
            fetch.cancel()

    async def _fetch(self) -> tuple[Mapping[TP, list[Any]] | None, int, int]:
        """Records, with what they are of: an assignment (generation of the group) and a stretch of flow.

        Both are taken when flow has begun and before the fetch: what arrives of an assignment that has ended meanwhile
        is not ours any more, and what was fetched before flow was stopped may have been sought over since.
        """
        if not self.flow_active:
            await cast(Service, self).wait(cast(Any, self.can_resume_flow))
        generation, stops = self.app.consumer_generation_id, self._stops
        records, _ = await self._wait_next_records(_FETCH_TIMEOUT_S)
        return records, generation, stops

    async def _hand_out(self, records: Mapping[TP, list[Any]]) -> None:
        ours: dict[TP, list[Any]] = {}
        for tp, rows in records.items():
            if self._is_changelog_tp(tp):
                await self._recover(tp, rows)
                continue
            expected = self._read_offset[tp]
            if expected is not None and rows[0].offset < expected:
                rows = [row for row in rows if row.offset >= expected]
            if rows:
                ours[tp] = rows
                self._read_offset[tp] = rows[-1].offset + 1
        if ours:
            await self._engine.accept(ours)

    async def _recover(self, tp: TP, rows: list[Any]) -> None:
        queue = cast(Any, self.app.tables).changelog_queue
        for row in rows:
            if self.suspend_flow.is_set():
                return
            delivery = self.callback(self._to_message(tp, row))
            if queue.full():
                await self.wait_first(delivery, self.suspend_flow.wait())
            else:
                await delivery

    def _seek_back(self, records: Mapping[TP, list[Any]]) -> None:
        if self.app.rebalancing:
            return
        for tp, rows in records.items():
            # Never forward: after Faust's own seeks the place is the one that it has noted.
            noted = self._read_offset[tp]
            try:
                self._thread.seek(tp, rows[0].offset if noted is None else min(noted, rows[0].offset))
            except IllegalStateError:
                _log.info("not sought back: the partition is not ours any more", topic=tp.topic, partition=tp.partition)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's own check looks at its streams, which see nothing here; ``liveness`` is ours."""


class WorkerProducer(driver.Producer):
    """Faust's producer, which the worker writes nothing with; idempotent all the same."""

    def _settings_default(self) -> Mapping[str, Any]:
        return {**super()._settings_default(), "bootstrap_servers": cast(WorkerApp, self.app).kafka.bootstrap_servers}

    def _settings_auth(self) -> Mapping[str, Any]:
        return security_of(cast(WorkerApp, self.app).kafka)

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class WorkerTransport(driver.Transport):
    Consumer = WorkerConsumer
    Producer = WorkerProducer


class WorkerApp(faust.App):
    """A Faust app whose records go to ``engine``. Set ``engine`` before it starts."""

    engine: Engine

    def __init__(
        self,
        *args: Any,
        kafka: KafkaSettings,
        instance_id: str,
        drain_timeout_s: float,
        on_committed: Callable[[Mapping[TP, int], Mapping[TP, int]], None],
        **kwargs: Any,
    ) -> None:
        self.kafka = kafka
        self.instance_id = instance_id
        self.drain_timeout_s = drain_timeout_s
        self.on_committed = on_committed
        super().__init__(*args, **kwargs)

    def _new_transport(self) -> WorkerTransport:
        return WorkerTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> WorkerTransport:
        return WorkerTransport(self.conf.broker_producer, self)

"""Faust, held at arm's length: its group membership, assignment, recovery and commits; not its streams.

What is replaced, each for a fault seen in the pinned version:

- records go to the engine in whole fetches, not one by one through a race of two tasks each;
- what may be committed comes from the ledger, not from gaps between acknowledged offsets;
- a fetch that returns into a rebalance, or into a place that was sought meanwhile, is given back, never skipped;
- events are handed out only when the tables of this very assignment are whole and its places are sought;
- records of a changelog go into the local store at once, with their offset, and not through a queue that is cleared;
- the consumer reads committed records only and is a static member of its group, so a restart takes over at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import aiokafka
import faust
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service, ServiceT

from tradewire.core.errors import TradewireError
from tradewire.core.logs import get_logger
from tradewire.core.settings import KafkaSettings
from tradewire.processors import _aiokafka_on_uvloop
from tradewire.processors._engine import Engine
from tradewire.processors._fetching import Fetched, fetch, give_back, seek_to_committed
from tradewire.processors._recovery import apply_changelog, end_recovery

_aiokafka_on_uvloop.install()
_log = get_logger(__name__)

_FETCH_TIMEOUT_S = 1.0
# While a partition is held, it is looked so often whether it may be read on.
_HELD_TIMEOUT_S = 0.05
# What was given back may be fetched again at once: not again and again while a seek is under way.
_GIVEN_BACK_S = 0.01


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

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Fetched:
        if not self.consumer.flow_active:
            return Fetched({})
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        with consumer._fetcher._subscriptions.fetch_context():
            return await fetch(consumer, active_partitions, timeout, max_records)

    async def give_back(self, fetched: Fetched) -> None:
        """See ``_fetching.give_back``."""
        await self.call_thread(_give_back, self._ensure_consumer(), fetched)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """See ``_fetching.seek_to_committed``."""
        return cast(Mapping[TP, int], await self.call_thread(seek_to_committed, self._ensure_consumer()))


async def _give_back(consumer: Any, fetched: Fetched) -> None:
    give_back(consumer, fetched)


class WorkerConsumer(driver.Consumer):
    """Faust's consumer with our way of handing out records and of deciding what may be committed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._engine = cast(WorkerApp, self.app).engine
        # Number of the assignment that the engine has taken over, None from its revocation on. Flow alone does not say
        # so: the recovery of an assignment that has ended meanwhile may resume it into the next one.
        self._taken_over: int | None = None
        self._assignments = 0
        # Its tables are recovered and its places sought: events may be folded.
        self._is_whole = False
        # A fetch is good as long as flow has not been stopped and nothing been sought since it was begun.
        self._epoch = 0

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
        self._taken_over, self._is_whole = None, False
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
        self._assignments += 1
        self._taken_over = self._assignments
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seeks to what is committed, as Faust does when it has recovered the tables; from then on events are folded.

        The recovery of an assignment that has ended may come here as well: that is no word about the one of now.
        """
        of = self._taken_over
        self._epoch += 1
        await super().perform_seek()
        self._epoch += 1
        if of is None or of != self._taken_over:
            return
        recovery = self._recovery
        if recovery is not None and recovery.need_recovery():
            self._engine.leave(f"Faust has ended a recovery with {recovery.active_remaining_total()} records left")
        self._is_whole = True
        self._engine.resume((tp.topic, tp.partition) for tp in self.assignment())

    @property
    def is_recovering(self) -> bool:
        """Whether there is an assignment whose tables are not whole yet."""
        return self._taken_over is not None and not self._is_whole

    @property
    def _recovery(self) -> Any:
        return cast(Any, self.app.tables)._recovery  # the public property would make one

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """What was fetched before is not good any more; nor is what was fetched while this was under way."""
        self._epoch += 1
        await super().seek_wait(partitions)
        self._epoch += 1

    # --- handing out records

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        # A copy: Faust empties its own in place while the call is under way.
        wanted = frozenset(active_partitions or ())
        held = None if self._engine.handlers is None else self._engine.handlers.held
        if held:
            # Fetching goes on, of nothing if need be: a consumer that does not fetch counts as dead to its group.
            wanted, timeout = wanted - held, _HELD_TIMEOUT_S
        return await super()._getmany(cast(set[TP], wanted), timeout)

    def stop_flow(self) -> None:
        super().stop_flow()
        self._epoch += 1

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Hands out one fetch after the other; while one is folded, the next is under way in the consumer's thread."""
        stopping = cast(Service, self)._stopped.is_set, cast(Service, fetcher)._stopped.is_set
        fetch = asyncio.create_task(self._fetch())
        try:
            while not any(stopped() for stopped in stopping):
                fetched, epoch = await fetch
                if fetched and self._may_be_handed_out(fetched, epoch):
                    fetch = asyncio.create_task(self._fetch())
                    await self._hand_out(fetched)
                    continue
                if fetched:
                    await cast(WorkerConsumerThread, self._thread).give_back(fetched)
                await asyncio.sleep(_GIVEN_BACK_S if fetched else 0)
                fetch = asyncio.create_task(self._fetch())
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        finally:
            fetch.cancel()

    async def _fetch(self) -> tuple[Fetched, int]:
        """Records and the epoch in which they were asked for, which is taken when flow has begun."""
        if not self.flow_active:
            await cast(Service, self).wait(cast(Any, self.can_resume_flow))
        epoch = self._epoch
        records, _ = await self._wait_next_records(_FETCH_TIMEOUT_S)
        return cast(Fetched, records or Fetched({})), epoch

    def _may_be_handed_out(self, fetched: Fetched, epoch: int) -> bool:
        if epoch != self._epoch or self._taken_over is None:
            return False
        return self._is_whole or all(self._is_changelog_tp(tp) for tp in fetched)

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
        recovery = self._recovery
        # Once the tables are whole the engine alone writes them: what comes back of its own writes is older than they.
        if recovery is not None and not self._is_whole:
            apply_changelog(recovery, tp, rows)
            end_recovery(recovery)

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
        # Faust refuses an assignment that was made for another URL than its own, by default that of its host: a static
        # member that comes back on another host, and gets what it had, would stand for ever.
        super().__init__(*args, canonical_url=f"http://{instance_id}", **kwargs)

    @property
    def is_recovering(self) -> bool:
        """Whether there is an assignment whose tables are not whole yet. Its consumer must have been made."""
        return cast(WorkerConsumer, self.consumer).is_recovering

    def _new_transport(self) -> WorkerTransport:
        return WorkerTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> WorkerTransport:
        return WorkerTransport(self.conf.broker_producer, self)

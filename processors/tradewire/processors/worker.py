"""The worker process: ``python -m tradewire.processors.worker``.

Correlation and the read models, state in RocksDB, effectively once. Crash-only: kill it at any moment and start it
again, it goes on where it stood. Exit codes: 0 stopped by SIGTERM or SIGINT, 2 a setting or topic is wrong (starting
again will not help), 70 anything else (start it again).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import uvloop
from faust.exceptions import ConsistencyError
from prometheus_client import start_http_server

from tradewire.core.errors import ProcessingError, SettingsError, TradewireError
from tradewire.core.logs import configure_logs, get_logger
from tradewire.core.membership import static_name
from tradewire.core.settings import Settings, load_settings
from tradewire.processors._engine import Engine
from tradewire.processors._faust_app import WorkerApp
from tradewire.processors._faust_store import FaustStore, declare_table
from tradewire.processors._outbox import Outbox
from tradewire.processors._recovery import RecoveryWatch
from tradewire.processors._worker_handlers import WorkerHandlers
from tradewire.processors._worker_parking import WorkerParking
from tradewire.processors.data_folder import own_folder, with_cause
from tradewire.processors.declared_work import EXIT_REFUSED, OWN_SOURCES, DeclaredWork, sources_of
from tradewire.processors.flow_notices import FLOW_TOPIC
from tradewire.processors.folds import Folds
from tradewire.processors.liveness import Progress
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.parking.topics import parking_topics
from tradewire.processors.tables import STEPS_TOPIC, TABLES, Table, refuse_unequal_partitions
from tradewire.schemas import Contract, Topic, TopicAdmin, Topics

_log = get_logger(__name__)

EXIT_CRASHED: Final = 70
STOP_TIMEOUT_S: Final = 20.0
COMMIT_INTERVAL_S: Final = 0.5
# Of the session: a worker that cannot write, or not finish, ends before another owns its partitions.
CONFIRM_SHARE: Final = 0.8
DRAIN_SHARE: Final = 0.5


def worker_topics(topics: Topics, group: str) -> dict[str, Topic]:
    """The topics that the worker writes; it creates those that are missing.

    Raises:
        ProcessingError: one is not declared; names it.
    """
    missing = [name for name in _written() if name not in topics]
    if missing:
        raise ProcessingError(f"the file of topics does not declare {', '.join(missing)}, which the worker writes")
    return {name: topics[name] for name in _written()} | parking_topics(group, topics)


def _written() -> list[str]:
    return [*OWN_SOURCES, FLOW_TOPIC, *(table.topic for table in TABLES)]


def leave(reason: str, folder: Path | None = None) -> NoReturn:
    """Ends the process at once, nothing more committed: what was not settled is read again by the next one.

    With its data ``folder`` a reason that tells of a full disk says which disk, and what to do.
    """
    _log.critical("worker ends", reason=with_cause(reason, folder))
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_CRASHED)


class Worker:
    """One worker, built from settings; ``run`` starts it and returns when it was told to stop."""

    def __init__(
        self, settings: Settings, contract: Contract, work: DeclaredWork, instance_id: str, metrics: WorkerMetrics
    ) -> None:
        self._settings = settings
        self._work = work
        self._metrics = metrics
        self._leave = partial(leave, folder=settings.worker.data_folder)
        self._progress = Progress(settings.worker.data_folder)
        self._tables_folder = settings.worker.data_folder / "faust"
        group = settings.worker.group
        duties, patterns = work.duties, work.patterns
        folded = sources_of(duties, patterns, contract, work.handled)
        sources = sorted({*folded, *work.handled})
        kept = duties.tables(patterns)
        partitions = self._prepare_topics(contract.topics, sources, kept)
        folds = Folds(
            contract,
            source=f"tradewire.processors/{group}",
            candle_interval_ms=settings.worker.candle_interval_ms,
            flows=work.flows,
            patterns=patterns,
            duties=duties,
            step_partitions=partitions[STEPS_TOPIC],
            on_notice=metrics.notice,
            on_match=metrics.match,
        )
        self._reads = (*sources, *duties.own_sources(patterns))
        # Faust subscribes to both, and hands out the tables' topics with the others.
        self._instance_id = static_name(instance_id, [*self._reads, *(table.topic for table in kept)])
        self.app = self._new_app(self._instance_id)
        tables = {table.name: declare_table(self.app, table, partitions[table.topic]) for table in kept}
        for name in self._reads:
            self.app.topics.add(
                self.app.topic(
                    name,
                    key_type=bytes,
                    value_type=bytes,
                    key_serializer="raw",
                    value_serializer="raw",
                    allow_empty=True,
                )
            )
        session_s = settings.worker.session_timeout_ms / 1000
        self._outbox = Outbox(settings.kafka, self._leave, confirm_timeout_s=session_s * CONFIRM_SHARE)
        self._parking = WorkerParking(
            settings.kafka,
            group,
            partitions,
            parked_per_key_max=settings.worker.parked_per_key_max,
            metrics=metrics.parking,
        )
        self._handlers: WorkerHandlers | None = None
        if work.subscriptions is not None:
            apart = work.handled.difference(folded)
            self._handlers = WorkerHandlers(
                settings, contract, work.subscriptions, sources, apart=apart, leave=self._leave
            )
        self.app.engine = Engine(
            folds,
            self._outbox,
            FaustStore(tables),
            group=group,
            metrics=metrics,
            leave=self._leave,
            parking=self._parking,
            handlers=self._handlers,
            deadline_grace_ms=settings.worker.deadline_grace_ms,
            unknown_schema_wait_ms=settings.worker.unknown_schema_wait_ms,
        )

    def _prepare_topics(self, topics: Topics, sources: list[str], tables: Sequence[Table]) -> Mapping[str, int]:
        admin = TopicAdmin(self._settings.kafka)
        written = worker_topics(topics, self._settings.worker.group)
        admin.ensure(written)
        found = admin.found([*sources, *written])
        missing = sorted({*sources, *written} - set(found))
        if missing:
            raise ProcessingError(
                f"{self._settings.kafka.bootstrap_servers} does not have {', '.join(missing)}: "
                "run `tradewire topics apply`"
            )
        partitions = {name: topic.partitions for name, topic in found.items()}
        refuse_unequal_partitions(partitions, tables)
        return partitions

    def _new_app(self, instance_id: str) -> WorkerApp:
        settings = self._settings
        session_s = settings.worker.session_timeout_ms / 1000
        return WorkerApp(
            settings.worker.group,
            drain_timeout_s=session_s * DRAIN_SHARE,
            kafka=settings.kafka,
            instance_id=instance_id,
            on_committed=self._on_committed,
            broker=[f"kafka://{server}" for server in settings.kafka.bootstrap_servers.split(",")],
            broker_client_id=settings.kafka.client_id,
            broker_commit_interval=COMMIT_INTERVAL_S,
            broker_max_poll_records=settings.worker.batch_rows_max,
            broker_max_poll_interval=300.0,
            broker_request_timeout=session_s + 10,
            broker_session_timeout=session_s,
            broker_rebalance_timeout=60.0,
            broker_heartbeat_interval=session_s / 10,
            consumer_auto_offset_reset="earliest",
            datadir=str(self._tables_folder.absolute()),
            store="rocksdb://",
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            autodiscover=False,
        )

    def _on_committed(self, offsets: Mapping[Any, int], lags: Mapping[Any, int]) -> None:
        self._progress.committed({f"{tp.topic}:{tp.partition}": offset for tp, offset in offsets.items()})
        stands = {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}
        self._parking.committed(stands)
        if self._handlers is not None:
            self._handlers.committed(stands)
        for tp, offset in offsets.items():
            self._metrics.committed_offset.labels(tp.topic, tp.partition).set(offset)
            self._metrics.lag.labels(tp.topic, tp.partition).set(lags[tp])

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until ``stop`` is set, then finishes what was begun, commits it and returns.

        Ends the process if Faust gives up: its parts are then in no known state.
        """
        self._progress.begun(self._settings.worker.group, self._instance_id, self._reads)
        handlers = self._handlers
        watch = RecoveryWatch(
            self.app,
            self._settings.kafka,
            self._progress,
            self._metrics.schema_waits,
            str if handlers is None else handlers.working_on,
            lambda: self.app.is_recovering,
        )
        recovery = asyncio.create_task(watch.run())
        handling = None
        if handlers is not None:
            handlers.start()
            handling = asyncio.create_task(handlers.run())
        await self.app.start()
        sweeper = asyncio.create_task(self.app.engine.sweep_forever())
        redriver = asyncio.create_task(self.app.engine.redrive_forever())
        _log.info("worker runs", group=self._settings.worker.group, **self._work.names)
        crashed = asyncio.create_task(self.app._crashed.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([crashed, stopped], return_when=asyncio.FIRST_COMPLETED)
        if crashed.done():
            reason = self.app.crash_reason
            if isinstance(reason, ConsistencyError):
                # The local tables are ahead of their topics, which were made anew or have lost records.
                _log.error("local tables are dropped and rebuilt", reason=str(reason))
                shutil.rmtree(self._tables_folder, ignore_errors=True)
            self._leave(f"Faust gave up: {reason!r}")
        self.app.consumer.stop_flow()
        await self.app.engine.drained(STOP_TIMEOUT_S / 2, at_end=True)
        if handlers is not None and handling is not None:
            handling.cancel()
            await handlers.end()
        sweeper.cancel()
        redriver.cancel()
        recovery.cancel()
        await self.app.consumer.commit()
        self._outbox.close(STOP_TIMEOUT_S / 4)
        if handlers is not None:
            # Faust commits once more when it stops: by then nobody would know what handlers have left undone.
            await self.app.engine.release()
            await handlers.close()
        await self.app.stop()


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop, loop)
    contract = Contract.load(settings)
    work = DeclaredWork.load(settings, contract)
    with own_folder(settings.worker.data_folder) as instance_id:
        metrics = WorkerMetrics()
        worker = Worker(settings, contract, work, instance_id, metrics)
        # Who supervises takes the open port for "ready": what can be refused at the start has been by then.
        if settings.worker.metrics_port is not None:
            start_http_server(settings.worker.metrics_port)
        await worker.run(stop)


def _on_signal(stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    stop.set()
    # One hung part must not hold up the end: the next start makes good what this one leaves.
    loop.call_later(STOP_TIMEOUT_S, leave, "told to stop and did not in time")


def main() -> int:
    """Reads the settings and runs a worker until it is told to stop; returns the exit code."""
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    return run_worker(settings)


def run_worker(settings: Settings) -> int:
    """Runs a worker in this thread, which must be the main one, until it is told to stop; returns the exit code."""
    configure_logs(settings.log.level, settings.log.format, component="worker")
    for name in ("faust", "mode", "aiokafka", "tradewire.processors._faust_app"):
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    # States are many small tuples without cycles: looking through all of them again and again finds nothing.
    gc.set_threshold(100_000, 50, 100)
    # A fetch needs the interpreter several times for some microseconds, in a thread of its own, and would wait 5 ms for
    # it each time beside a fold: an event's wait in the worker was a third longer. Beside short handlers alone it costs
    # more than it gains.
    if settings.worker.projections or settings.worker.correlation:
        sys.setswitchinterval(0.0005)
    try:
        asyncio.run(_main(settings))
    except TradewireError as error:
        _log.critical("worker ends", reason=str(error))
        return EXIT_CRASHED if error.retriable else EXIT_REFUSED
    except Exception as error:
        _log.critical("worker ends", reason=repr(error), exc_info=True)
        leave(repr(error), settings.worker.data_folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Known faults of the pinned Faust, each shown on Faust's own class and gone in ours."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from intervaltree import IntervalTree

import tradewire.processors
from tradewire.core import load_settings
from tradewire.core.errors import ProcessingError
from tradewire.processors._faust_app import WorkerApp, WorkerConsumer, WorkerConsumerThread, WorkerTransport
from tradewire.processors.ledger import Ledger
from tradewire.processors.tables import TABLES, refuse_unequal_partitions
from tradewire.processors.worker import Worker

TP0 = TP("trading.events", 0)


def faust_says(committed: int | None, acked: Iterable[int]) -> int | None:
    """What Faust's own consumer would commit."""
    consumer: Any = object.__new__(driver.Consumer)
    consumer._acked = defaultdict(list, {TP0: list(acked)})
    consumer._acked_index = defaultdict(set, {TP0: set(acked)})
    consumer._gap = defaultdict(IntervalTree)
    consumer._committed_offset = defaultdict(lambda: None, {TP0: committed})
    return ThreadDelegateConsumer._new_offset(consumer, TP0)


def ours_says(open_offsets: Iterable[int], done: Iterable[int]) -> int | None:
    """What our consumer would commit while some of the records that it was given are still worked on."""
    consumer: Any = object.__new__(WorkerConsumer)
    ledger: Ledger[TP] = Ledger()
    consumer._engine = SimpleNamespace(ledger=ledger, committable=ledger.committable)
    done = set(done)
    claims = [ledger.claim(TP0, offset, offset) for offset in sorted({*open_offsets, *done})]
    for claim in claims:
        if claim.first in done:
            ledger.settle(claim)
    return consumer._new_offset(TP0)


@pytest.mark.parametrize(
    ("committed", "in_work", "acked"),
    [
        pytest.param(2585, [2585], [2586, 2587, 2588, 2589], id="head gap of one"),
        pytest.param(None, [0], [1, 2], id="fresh group"),
        pytest.param(0, [0, 1, 2, 3, 4], [5, 6], id="committed offset 0 is taken for none"),
    ],
)
def test_an_event_in_work_is_never_committed_past(committed: int | None, in_work: list[int], acked: list[int]) -> None:
    """F1, F2. Should the first assertion fail, Faust has been repaired and the guard can be looked at again."""
    limit = faust_says(committed, acked)
    assert limit is not None and limit > max(in_work), "Faust commits past an event in work"
    assert ours_says(in_work, acked) is None


def test_what_is_done_is_committed() -> None:
    assert ours_says([3], [0, 1, 2]) == 3
    assert ours_says([], [0, 1, 2]) == 3


def worker_app() -> WorkerApp:
    """As the worker makes it."""
    worker: Any = object.__new__(Worker)
    worker._settings = load_settings(kafka={"bootstrap_servers": "127.0.0.1:1"})
    worker._tables_folder = Path("nowhere")
    return worker._new_app("instance")


def test_the_transport_is_our_own_on_aiokafka() -> None:
    """F21: the other driver drops headers. F25: no producer thread of Faust's own."""
    app = worker_app()
    assert type(app.transport) is WorkerTransport
    assert WorkerTransport.Consumer is WorkerConsumer
    assert issubclass(WorkerConsumerThread, driver.AIOKafkaConsumerThread)
    assert app.conf.producer_threaded is False


def test_faust_gives_no_guarantee_of_its_own_makes_no_topics_and_keeps_no_copies() -> None:
    """F11, F15, F24, F27: a worker that is told to stop does not wait for events that hang."""
    conf = worker_app().conf
    assert conf.processing_guarantee.name == "AT_LEAST_ONCE"
    assert conf.topic_allow_declare is False
    assert conf.topic_disable_leader is True
    assert conf.table_standby_replicas == 0
    assert conf.stream_wait_empty is False
    assert conf.web_enabled is False


async def test_the_consumer_reads_committed_records_as_a_static_member_and_commits_nothing_by_itself() -> None:
    """F9, F16: a restart takes the place of the process before it, without a rebalance."""
    thread: Any = SimpleNamespace(app=worker_app())
    consumer = WorkerConsumerThread._create_worker_consumer(thread, None)
    assert consumer._isolation_level == "read_committed"
    assert consumer._enable_auto_commit is False
    assert consumer._group_instance_id == "instance"
    assert consumer._auto_offset_reset == "earliest"
    consumer._closed = True


def test_an_assignment_is_not_bound_to_the_host_that_it_was_made_for() -> None:
    """F16. Faust asserts the URL of an assignment, by default of its host: a data folder that moves would stand."""
    assert "http://instance" == str(worker_app().conf.canonical_url)


def test_no_faust_window_agent_or_stream_is_used() -> None:
    """F3, F4, F14, F16, F19: what is not used has no faults. Windows and deadlines are data of ours."""
    uses = re.compile(r"\.(agent|stream|take|tumbling|hopping|GlobalTable|send_soon|send)\(|\bsink=")
    found = [
        f"{file.name}:{number}"
        for file in sorted(Path(tradewire.processors.__file__).parent.glob("*.py"))
        if "import faust" in (text := file.read_text()) or "from faust" in text
        for number, line in enumerate(text.splitlines(), 1)
        if uses.search(line)
    ]
    assert found == []


def test_tables_with_other_partitions_than_their_source_are_refused() -> None:
    """F20."""
    equal = {name: 3 for table in TABLES for name in (table.topic, table.source)}
    refuse_unequal_partitions(equal, TABLES)
    with pytest.raises(ProcessingError, match=TABLES[0].topic):
        refuse_unequal_partitions({**equal, TABLES[0].topic: 4}, TABLES)


def test_the_producer_of_faust_is_idempotent_though_nothing_is_written_with_it() -> None:
    """F8."""
    producer: Any = object.__new__(WorkerTransport.Producer)
    assert producer._settings_extra() == {"acks": "all", "enable_idempotence": True}


def test_the_overridden_internals_are_those_of_the_pinned_version() -> None:
    """An upgrade that renames one of them would switch a guard off without a word."""
    pinned = [version(name) for name in ("faust-streaming", "mode-streaming", "aiokafka")]
    assert pinned == ["0.15.3", "0.7.1", "0.14.0"]
    overridden = {
        driver.Consumer: [
            "_filter_tps_with_pending_acks",
            "_new_offset",
            "_commit_offsets",
            "on_partitions_revoked",
            "on_partitions_assigned",
            "_drain_messages",
            "_getmany",
            "verify_event_path",
            "_new_consumer_thread",
        ],
        driver.AIOKafkaConsumerThread: ["_create_worker_consumer"],
        driver.Producer: ["_settings_default", "_settings_auth", "_settings_extra"],
        faust.App: ["_new_transport", "_new_producer_transport"],
    }
    for owner, names in overridden.items():
        for name in names:
            assert inspect.isroutine(getattr(owner, name)), f"{owner.__name__}.{name}"

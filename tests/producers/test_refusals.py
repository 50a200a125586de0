"""What brokers refuse, urgent events, and an orderly end by SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from prometheus_client import REGISTRY
from tests.needs import java_or_skip
from tests.producers.records import Reader, headers_of

from tradewire.core import Settings, load_settings, new_id
from tradewire.operations.stack.cluster import LocalKafka, local_kafka
from tradewire.producers import DeliveryUnknown, NotAuthorised, Publisher, TransactionAborted
from tradewire.schemas import Contract, FixedIds, TopicAdmin

TRADE = "market.trade.reported"
ALERT = "risk.alert.raised"
ALERT_DATA = {"alert_id": "a", "rule": "r", "message": "m"}


@pytest.fixture(scope="module")
def guarded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalKafka, Settings]]:
    """A broker with access control, on which nobody may write to ``market.events``."""
    java_or_skip()
    overrides = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with local_kafka(tmp_path_factory.mktemp("guarded"), overrides=overrides) as kafka:
        settings = load_settings(kafka={"bootstrap_servers": kafka.bootstrap_servers})
        topics = Contract.load(settings, schema_ids=FixedIds()).topics
        TopicAdmin(settings.kafka).ensure(
            {name: topics[name] for name in ("market.events", "system.events", "risk.events")}
        )
        denied = AclBinding(
            ResourceType.TOPIC, "market.events", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*",
            AclOperation.WRITE, AclPermissionType.DENY,
        )  # fmt: skip
        admin = AdminClient(settings.kafka.client_config())
        read = AclBinding(
            ResourceType.TOPIC, "market.events", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*",
            AclOperation.READ, AclPermissionType.ALLOW,
        )  # fmt: skip
        for future in admin.create_acls([denied, read]).values():
            future.result(30)
        yield kafka, settings


@pytest.fixture
def guarded(guarded_kafka: tuple[LocalKafka, Settings]) -> Settings:
    """Settings of that broker."""
    return guarded_kafka[1]


def test_a_principal_without_rights_is_named(guarded: Settings, trade: dict[str, Any]) -> None:
    """The handle says who may not write where, and with which command that changes; other topics go on."""
    with pytest.raises(DeliveryUnknown), Publisher(guarded, Contract.load(guarded, schema_ids=FixedIds())) as publisher:
        delivery = publisher.publish(TRADE, trade, subject="x")
        with pytest.raises(
            NotAuthorised, match=r"User:ANONYMOUS may not write.*--operation Write --topic market"
        ) as no:
            delivery.result(60)
        assert (no.value.context["principal"], no.value.retriable) == ("User:ANONYMOUS", False)
        publisher.publish("system.component.started", {"component": "x"}, subject="x").result(60)


def test_a_transaction_without_rights_is_aborted(guarded: Settings, trade: dict[str, Any]) -> None:
    """The cause is the missing right."""
    with Publisher(guarded, Contract.load(guarded, schema_ids=FixedIds())) as publisher:
        with pytest.raises(TransactionAborted, match="User:ANONYMOUS may not write"), publisher.transaction() as one:
            one.publish(TRADE, trade, subject="x")


def test_a_spool_without_rights_sets_the_event_aside(guarded: Settings, tmp_path: Path, trade: dict[str, Any]) -> None:
    """What Kafka refuses after an outage is kept in the file and counted as unknown; the rest is delivered."""

    def with_spool(bootstrap: str) -> Publisher:
        settings = load_settings(
            kafka={"bootstrap_servers": bootstrap}, publisher={"spool_folder": tmp_path, "breaker_probe_ms": 100}
        )
        return Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))

    early = with_spool("127.0.0.1:9")
    early.publish(TRADE, trade, subject="x")
    early.publish("system.component.started", {"component": "x"}, subject="x")
    early.close(0)

    late = with_spool(guarded.kafka.bootstrap_servers)
    assert late.flush(60) == 0
    outcome = late.close(10)

    assert (outcome.unknown, outcome.in_spool) == (1, 0)
    assert late.spool is not None
    assert late.spool.refused == 1


@pytest.mark.slow
def test_urgent_events_overtake_queued_ones(guarded_kafka: tuple[LocalKafka, Settings]) -> None:
    """Queued last, behind 100,000 events that a hung broker has not taken, the alert is confirmed before most of them.

    An event that is not urgent, queued before it, is not; and per subject alerts keep their order.
    """
    kafka, settings = guarded_kafka
    started = ("system.component.started", {"component": "x"})
    with Publisher(settings, Contract.load(settings, schema_ids=FixedIds())) as publisher:
        publisher.publish(*started, subject="x").result(60)
        publisher.publish(ALERT, ALERT_DATA, subject="x").result(60)
        for node in kafka.nodes.values():
            node.pause()
        publisher.publish_many((*started, f"s{number % 40}") for number in range(100_000))
        ordinary = [publisher.publish(*started, subject=f"s{number}") for number in range(40)]
        alerts = [publisher.publish(ALERT, ALERT_DATA, subject="one") for _ in range(50)]
        confirmed_before: list[int] = []
        alerts[-1].add_done_callback(lambda: confirmed_before.append(sum(delivery.done() for delivery in ordinary)))
        for node in kafka.nodes.values():
            node.resume()
        positions = [alert.result(60) for alert in alerts]
        assert publisher.flush(120) == 0

    assert [position.offset for position in positions] == sorted({position.offset for position in positions})
    assert confirmed_before[0] < len(ordinary)


def test_urgency_is_declared_with_the_topics(contract: Contract) -> None:
    """All of risk, and errors of the system; nothing of the market."""
    urgent = {type.name for type in contract.catalogue.values() if contract.topics.of_type(type).is_urgent(type.name)}
    assert urgent == {"risk.alert.raised", "risk.limit.changed", "system.error.raised"}


SERVICE = """
import sys, time
from tradewire.core import load_settings
from tradewire.producers import Publisher, exit_on_sigterm
from tradewire.schemas import Contract, FixedIds
from tests.producers.spooling_service import TRADE
import tradewire.producers.publisher as module
module._EXIT_FLUSH_SECONDS = 60.0 if sys.argv[1] != "127.0.0.1:9" else 0.5
exit_on_sigterm()
bootstrap, run, folder = sys.argv[1:]
publisher = Publisher(
    load_settings(kafka={"bootstrap_servers": bootstrap}, publisher={"spool_folder": folder or None}),
    Contract.load(load_settings(), schema_ids=FixedIds()),
)
for number in range(50_000):
    publisher.publish("market.trade.reported", TRADE, subject=f"{run}:{number % 7}", sequence=number)
print("queued", publisher.pending, flush=True)
# A signal that comes between Python's look for one and the kernel's sleep is handled when that sleep is over.
while True:
    time.sleep(0.1)
"""


def terminated(bootstrap: str, run: str, folder: str) -> tuple[int, str]:
    """Exit code and output of a service that got SIGTERM with its 50,000 events queued."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADEWIRE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVICE), bootstrap, run, folder],
        env=environment, cwd=Path(__file__).resolve().parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("queued"):
            process.send_signal(signal.SIGTERM)
    return process.wait(60), "".join(said)


def numbers(reader: Reader, before: dict[int, int], run: str) -> dict[str, list[int]]:
    seen: dict[str, list[int]] = {}
    for message in reader.since("market.events", before):
        key = bytes(message.key() or b"").decode()  # type: ignore[arg-type]
        if key.startswith(run):
            seen.setdefault(key, []).append(int(headers_of(message)["ce_sequence"]))
    return seen


@pytest.mark.slow
def test_sigterm_with_a_full_queue_loses_nothing(settings: Settings, reader: Reader) -> None:
    """The process ends with 143 after everything is delivered, once and in order."""
    run, before = new_id(), reader.ends("market.events")

    code, _ = terminated(settings.kafka.bootstrap_servers, run, "")

    assert code == 143
    assert numbers(reader, before, run) == {f"{run}:{key}": list(range(key, 50_000, 7)) for key in range(7)}


@pytest.mark.slow
def test_sigterm_without_a_broker_says_what_is_unknown(settings: Settings, reader: Reader, tmp_path: Path) -> None:
    """Without a spool the log counts 50,000 unknown events; with one they are on disk, for the next start."""
    code, said = terminated("127.0.0.1:9", "x", "")
    assert code == 143
    assert "events unknown at exit" in said
    assert "50000" in said

    run, before = new_id(), reader.ends("market.events")
    code, said = terminated("127.0.0.1:9", run, str(tmp_path))
    assert code == 143
    assert "unknown" not in said
    own = settings.model_copy(update={"publisher": settings.publisher.model_copy(update={"spool_folder": tmp_path})})
    with Publisher(own, Contract.load(own, schema_ids=FixedIds())) as publisher:
        assert publisher.flush(90) == 0
    assert numbers(reader, before, run) == {f"{run}:{key}": list(range(key, 50_000, 7)) for key in range(7)}


def test_the_state_of_the_breaker_is_a_metric(trade: dict[str, Any]) -> None:
    """One publisher more in state closed while it is open for business."""

    def closed() -> float:
        return REGISTRY.get_sample_value("tradewire_publisher_breaker_state", {"state": "closed"}) or 0.0

    before = closed()
    settings = load_settings(kafka={"bootstrap_servers": "127.0.0.1:9"})
    publisher = Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))
    assert closed() == before + 1

    publisher.close(0)
    assert closed() == before

"""`tradewire spool` as an operator uses it: what Kafka refused is seen, tried again, kept elsewhere or deleted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from tests.operations.test_cli import tradewire
from tests.producers.records import Reader, headers_of
from tests.topics import make_topic
from tests.waiting import wait_until
from typer.testing import CliRunner

from tradewire.core import Settings, TradewireError, new_id
from tradewire.operations.commands.spool import spool_app
from tradewire.producers import Publisher
from tradewire.schemas import Contract, FixedIds

MESSAGE = "setup.message.received"
NOWHERE = "127.0.0.1:9"


class Desk:
    """A service with a spool and a topic of its own that takes no record above 20 kB, and its operator."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.topic, self.folder, self.cwd = f"setup.{new_id()}", folder / "spool", folder
        file = folder / "topics.yaml"
        entry = {"domain": "setup", "partitions": 1, "replication": -1, "cleanup": "delete", "retention_ms": -1}
        file.write_text(yaml.safe_dump({"topics": {self.topic: entry | {"timestamps": "LogAppendTime"}}}))
        self.kafka = settings.kafka
        self.admin = AdminClient(settings.kafka.client_config())
        make_topic(settings.kafka, self.topic, config={"max.message.bytes": "20000"})
        limits = {"spool_folder": self.folder, "breaker_probe_ms": 100, "compression": "none"}
        self.settings = settings.model_copy(
            update={
                "publisher": settings.publisher.model_copy(update=limits),
                "schemas": settings.schemas.model_copy(update={"topics_file": file}),
            }
        )
        self.environment = {
            "TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "TRADEWIRE_SCHEMAS__TOPICS_FILE": str(file),
            "TRADEWIRE_PUBLISHER__SPOOL_FOLDER": str(self.folder),
            "TRADEWIRE_PUBLISHER__COMPRESSION": "none",
        }

    def publisher(self, *, away: bool = False) -> Publisher:
        settings = self.settings
        if away:
            settings = settings.model_copy(
                update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": NOWHERE})}
            )
        return Publisher(settings, Contract.load(settings, schema_ids=FixedIds()))

    def refused(self, *sizes: int) -> list[str]:
        """Ids of events of these sizes that a service accepted without a broker, and that Kafka was then given."""
        early = self.publisher(away=True)
        ids = [early.publish(MESSAGE, message(size), subject=f"m{number}").event_id
               for number, size in enumerate(sizes)]  # fmt: skip
        assert early.close(0).in_spool == len(sizes)
        late = self.publisher()
        assert late.flush(60) == 0
        late.close(10)
        return ids

    def allow(self, size: int) -> None:
        """Returns when the broker goes by it: it takes up changes in their order, each when the one before is done."""
        self._configure("max.message.bytes", str(size))
        self._configure("retention.ms", "86400000")

    def _configure(self, key: str, value: str) -> None:
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(60)
        asked = ConfigResource(ResourceType.TOPIC, self.topic)
        wait_until(lambda: self.admin.describe_configs([asked])[asked].result(60)[key].value == value)

    def spool(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr; in this process, as each start of the command costs a second."""
        done = CliRunner().invoke(spool_app, arguments, env=self.environment | {"COLUMNS": "200"})
        if isinstance(done.exception, TradewireError):  # what `main` prints
            return 1, done.stdout, str(done.exception)
        return done.exit_code, done.stdout, done.stderr

    def written(self) -> list[str]:
        """Ids of all records of the topic."""
        reader = Reader(self.kafka)
        found = [headers_of(message)["ce_id"].decode() for message in reader.since(self.topic, {0: 0})]
        reader.close()
        return found


def message(size: int) -> dict[str, Any]:
    return {"message_id": "1", "channel_id": "1", "author": "a", "posted_ns": 1, "content": "x" * size}


@pytest.fixture
def desk(settings: Settings, tmp_path: Path) -> Callable[[], Desk]:
    """Made when asked for."""
    return lambda: Desk(settings, tmp_path)


def test_refused_events_are_seen_tried_again_and_delivered(desk: Callable[[], Desk]) -> None:
    """Nothing changes without --yes; once the limit is raised they arrive once, with their ids, and leave the spool."""
    own = desk()
    first, second = own.refused(50_000, 60_000)

    code, shown, stderr = own.spool("list")
    assert (3, True) == (code, all(text in shown for text in (first, second, MESSAGE, "2 refused, 0 waiting"))), stderr
    rows = [json.loads(line) for line in own.spool("list", "--json")[1].splitlines()]
    assert [(first, "refused", "m0"), (second, "refused", "m1")] == [(r["id"], r["state"], r["key"]) for r in rows]
    code, shown, _ = own.spool("show", first)
    one = json.loads(shown)
    assert (0, first, MESSAGE) == (code, one["headers"]["ce_id"], one["headers"]["ce_type"])
    assert "arge" in one["reason"]

    code, planned, _ = own.spool("redrive", "--all")
    assert (0, True) == (code, "2 events would be tried again; --yes does it" in planned)
    assert [] == own.written()

    code, done, _ = own.spool("redrive", "--all", "--yes")
    assert (3, True) == (code, "0 delivered, 2 refused again, 0 not confirmed" in done), done
    own.allow(1_000_000)
    code, done, stderr = own.spool("redrive", first, str(rows[1]["number"]), "--yes")
    assert (0, True) == (code, "2 delivered, 0 refused again, 0 not confirmed" in done), done + stderr
    assert [first, second] == own.written()
    assert 0 == own.spool("list")[0]


def test_refused_events_are_left_to_the_next_start_exported_and_discarded(desk: Callable[[], Desk]) -> None:
    """Put back, an event is delivered by the service's own next publisher; discarded, it is gone, and only it."""
    own = desk()
    first, second, third = own.refused(50_000, 60_000, 70_000)

    file = own.cwd / "refused.jsonl"
    assert 0 == own.spool("export", str(file))[0]
    assert [first, second, third] == [json.loads(line)["id"] for line in file.read_text().splitlines()]
    code, _, stderr = own.spool("export", str(file))
    assert (2, True) == (code, "File exists" in stderr)

    code, planned, _ = own.spool("discard", first)
    assert (0, True) == (code, "1 events would be deleted for good" in planned)
    assert "1 events deleted" in own.spool("discard", first, "--yes")[1]
    assert [second, third] == [json.loads(line)["id"] for line in own.spool("list", "--json")[1].splitlines()]

    own.allow(1_000_000)
    assert "are tried again by the next publisher" in own.spool("redrive", second, "--later", "--yes")[1]
    with own.publisher() as publisher:
        wait_until(lambda: publisher.outcome.in_spool == 0, within_s=60)
        after = publisher.publish(MESSAGE, message(1), subject="m1").event_id
    assert [second, after] == own.written()
    assert "1 refused, 0 waiting" in own.spool("list")[1]


def test_a_spool_in_use_none_at_all_and_nothing_named_are_said(desk: Callable[[], Desk], tmp_path: Path) -> None:
    """Each with what to do instead; a folder without a spool stays as it is."""
    own = desk()
    publisher = own.publisher(away=True)
    publisher.publish(MESSAGE, message(1), subject="m")
    done = tradewire("spool", "list", cwd=own.cwd, env=own.environment)
    assert (1, "") == (done.returncode, done.stdout)
    assert f"in use by process {os.getpid()}" in done.stderr and "end that process" in done.stderr
    publisher.close(0)

    code, shown, _ = own.spool("list", "--waiting")
    assert (3, True) == (code, "0 refused, 1 waiting" in shown)
    assert 0 == own.spool("discard", "--all", "--yes")[0]
    assert "0 refused, 1 waiting" in own.spool("list")[1]
    code, _, stderr = own.spool("redrive", "--yes")
    assert (2, True) == (code, "say which events" in stderr)
    code, _, stderr = own.spool("discard", "no-such-id", "--yes")
    assert (2, True) == (code, "no such event: no-such-id" in stderr)

    empty = tmp_path / "empty"
    empty.mkdir()
    code, _, stderr = own.spool("list", "--folder", str(empty))
    assert (1, True) == (code, "there is no spool" in stderr)
    assert [] == list(empty.iterdir())

"""Study ``publish_priority``: a risk alert behind half a million queued ticks, with its lane and without."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.measure import NotVerified, Options, expect
from benchmarks.report import RowSpec, Run
from benchmarks.trades import SOURCE, TYPE, trades
from tradewire.core import Settings
from tradewire.operations.stack.cluster import local_kafka
from tradewire.producers import Publisher
from tradewire.schemas import Contract, FixedIds, TopicAdmin
from tradewire.schemas.topics import BUILT_IN_FILE

LANE: Final = "alert_in_its_lane"
NO_LANE: Final = "alert_among_others"
ALERT: Final = "risk.alert.raised"
ALERT_DATA: Final = {"alert_id": "a", "rule": "drawdown", "message": "account a-1 lost 5 % in a minute"}
_TICKS_PER_EVENT: Final = 5
# With fewer the queue may be empty before an alert has been published.
_TICKS_MIN: Final = 100_000
_PAUSE_SECONDS: Final = 0.005


class PriorityStudy:
    """A broker of its own is held still while ticks are queued, and let go; alerts follow every five milliseconds.

    Alerts begin when the first ticks have been confirmed, and end with a tenth of them still queued; the time of each
    is from ``publish`` to its confirmation.
    """

    rows: Sequence[RowSpec] = (RowSpec("publish_priority", LANE, NO_LANE),)
    contenders: Sequence[str] = (LANE, NO_LANE)
    skipped: Mapping[str, str] = {}
    warm_up: bool = False

    def __init__(self, settings: Settings, options: Options) -> None:
        self._say = options.say
        self._ticks = max(_TICKS_MIN, options.share(_TICKS_PER_EVENT))
        self._servers = ExitStack()
        folder = Path(self._servers.enter_context(tempfile.TemporaryDirectory(prefix="tradewire-bench-priority-")))
        self._kafka = self._servers.enter_context(local_kafka(folder / "kafka", profile="bench"))
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": self._kafka.bootstrap_servers})
        limits = settings.publisher.model_copy(update={"queue_messages_max": self._ticks + 10_000})
        own = settings.model_copy(update={"kafka": kafka, "publisher": limits})
        calm = own.model_copy(
            update={"schemas": own.schemas.model_copy(update={"topics_file": _without_urgency(folder)})}
        )
        self._settings = {LANE: own, NO_LANE: calm}
        topics = Contract.load(own, schema_ids=FixedIds()).topics
        TopicAdmin(kafka).ensure({name: topics[name] for name in ("market.events", "risk.events", "system.events")})
        some = list(trades(min(self._ticks, 10_000)))
        rows = list(islice(cycle(some), self._ticks))
        names = [name for name, value in some[0][1].items() if value is not None]
        self._subjects = [subject for subject, _ in rows]
        self._columns = {name: [data[name] for _, data in rows] for name in names}

    def measure(self, contender: str, number: int) -> Run:
        """Raises NotVerified when an event was not confirmed, or no alert found ticks before it."""
        settings = self._settings[contender]
        times: list[float] = []
        with Publisher(settings, Contract.load(settings, schema_ids=FixedIds()), source=SOURCE) as publisher:
            for type, data in (
                (ALERT, ALERT_DATA),
                (TYPE, {name: column[0] for name, column in self._columns.items()}),
            ):
                publisher.publish(type, data, subject="first").result(60)
            for node in self._kafka.nodes.values():
                node.pause()
            publisher.publish_columns(TYPE, self._columns, subject=self._subjects)
            for node in self._kafka.nodes.values():
                node.resume()
            # A broker that was held still for seconds is first taken for dead and let in again; that is not measured.
            while publisher.pending > self._ticks * 0.98:
                time.sleep(_PAUSE_SECONDS)
            alerts = 0
            while publisher.pending > self._ticks // 10:
                began = time.perf_counter()
                delivery = publisher.publish(ALERT, ALERT_DATA, subject=f"account-{alerts % 50}")
                delivery.add_done_callback(partial(_note, times, began))
                alerts += 1
                time.sleep(_PAUSE_SECONDS)
            publisher.flush(120)
            outcome = publisher.outcome
        expect("confirmed events", (self._ticks + 2 + alerts, 0), (outcome.published, outcome.unknown))
        if not times:
            raise NotVerified("the ticks were gone before the first alert: ask for more events")
        notes = _in_ms(times)
        self._say("  ".join(f"{name} {value:,.1f}" for name, value in notes.items()))
        return Run(len(times), sum(times), None, notes | {"ticks": self._ticks})

    def close(self) -> None:
        """Ends the broker."""
        self._servers.close()


def _note(times: list[float], began: float) -> None:
    times.append(time.perf_counter() - began)


def _in_ms(times: Sequence[float]) -> dict[str, float]:
    found = sorted(times)
    at = {"alert_p50_ms": 0.5, "alert_p99_ms": 0.99}
    shares = {name: found[min(len(found) - 1, int(len(found) * share))] * 1000 for name, share in at.items()}
    return {"alerts": len(found), **shares, "alert_max_ms": found[-1] * 1000}


def _without_urgency(folder: Path) -> Path:
    """Our topics with nothing urgent among them."""
    declared: Any = yaml.safe_load(BUILT_IN_FILE.read_text(encoding="utf-8"))
    for topic in declared["topics"].values():
        topic.pop("urgent", None)
    file = folder / "topics.yaml"
    file.write_text(yaml.safe_dump(declared))
    return file

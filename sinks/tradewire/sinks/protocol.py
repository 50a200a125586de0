"""The exactly-once protocol of one partition, without Kafka and ClickHouse in it.

A batch is three facts in this order: its boundaries are stored in Kafka (the intent), its rows are in ClickHouse, the
offset behind it is stored in Kafka. Whoever owns the partition next finds either no intent, and goes on behind the
last batch, or an intent, and does exactly that batch again; tokens made of the same boundaries let ClickHouse drop
what it has already. ``PartitionProtocol`` knows the phase a partition is in and refuses any other order.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tradewire.core.errors import SinkError
from tradewire.sinks.ddl import TABLE_VERSION

NO_OFFSET = -1001
# Kafka's default limit for offset metadata is 4096 bytes; this many ids fit beside the rest.
DEAD_SCHEMAS_MAX = 200


class RecordsGone(SinkError):
    """Raised when records that the sink has not stored are no longer in Kafka.

    Operator: they are lost to the sink unless restored. Find out why it was away for longer than the topic's retention
    (or whether the topic was deleted and made again), then commit the group's offset to where it is to go on.
    """


class ForeignCommit(SinkError):
    """Raised when the group's offset carries metadata that this sink did not write. Operator: give it its own group."""


@dataclass(frozen=True, slots=True)
class Intent:
    """The boundaries of one batch: offsets ``lo`` to ``hi``, both inclusive, ``rows`` records between them.

    ``dead_schemas`` are schema ids and GUIDs that nobody knew when the batch was cut: their records are dead letters,
    also if the batch is done again when somebody does know.
    """

    lo: int
    hi: int
    rows: int
    table_version: int = TABLE_VERSION
    dead_schemas: tuple[int | str, ...] = ()

    def encode(self) -> str:
        """As offset metadata."""
        return json.dumps(
            {
                "sink": 1,
                "lo": self.lo,
                "hi": self.hi,
                "rows": self.rows,
                "tables": self.table_version,
                "dead": list(self.dead_schemas),
            },
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, metadata: str | None) -> Intent | None:
        """None when there is no intent. Raises ForeignCommit for anything that is not one of ours."""
        if not metadata:
            return None
        try:
            fields = json.loads(metadata)
            if fields["sink"] != 1:
                raise ValueError(f"form {fields['sink']} is newer than this sink")
            return cls(fields["lo"], fields["hi"], fields["rows"], fields["tables"], tuple(fields["dead"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ForeignCommit(
                f"offset metadata {metadata!r} is not an intent of the sink ({error}): does another consumer use its "
                "group, or was a newer sink rolled back in the middle of a batch?"
            ) from error

    def token_prefix(self, topic: str, partition: int) -> str:
        """What all tokens of this batch begin with."""
        return f"v1:{self.table_version}:{topic}:{partition}:{self.lo}-{self.hi}:"

    def token(self, topic: str, partition: int, group: int | str, rows: int) -> str:
        """The deduplication token of one insert of the batch; ``group`` is a schema id, or ``dead``, or ``deleted``."""
        return f"{self.token_prefix(topic, partition)}{group}:{rows}"


class Phase(enum.Enum):
    """Where a partition stands; see ``PartitionProtocol``."""

    REPLAYING = "the batch of a stored intent is being read"
    CONSUMING = "no batch is under way"
    INTENDING = "an intent is being stored in Kafka"
    INSERTING = "the intent is stored, rows are going into ClickHouse"
    COMMITTING = "all rows are in ClickHouse, the offset behind them is being stored"


class PartitionProtocol:
    """One assignment of one partition.

    ``REPLAYING -> INSERTING -> COMMITTING -> CONSUMING -> INTENDING -> INSERTING …``. A step that fails leaves the
    phase as it was and is tried again with the same batch, for ever; an assignment may end in any phase.
    """

    def __init__(self, topic: str, partition: int, *, compacted: bool = False) -> None:
        self.topic = topic
        self.partition = partition
        self.compacted = compacted
        self.phase = Phase.CONSUMING
        self.intent: Intent | None = None
        self.position = 0

    def begin(self, committed: int, metadata: str | None, low: int) -> int:
        """Takes over from whoever owned the partition; returns the offset to read from.

        ``committed`` is ``NO_OFFSET`` for a group that has stored none here: it begins at ``low``, the oldest record.

        Raises:
            RecordsGone, ForeignCommit: nothing has been read or stored.
        """
        if committed == NO_OFFSET:
            self.position = low
            return low
        self.intent = Intent.decode(metadata)
        if self.intent is not None:
            self.phase = Phase.REPLAYING
            if self.intent.lo != committed:
                raise ForeignCommit(
                    f"{self._name}: the stored offset {committed} is not that of its intent {self.intent}: was it "
                    "reset without clearing the metadata?"
                )
        if committed < low and not self.compacted:
            raise RecordsGone(
                f"{self._name}: the sink has stored everything before {committed}, Kafka begins at {low}: "
                f"{low - committed} offsets are gone",
                topic=self.topic,
                partition=self.partition,
                offset=committed,
            )
        self.position = max(committed, low)
        return self.position

    def ready_rows(self, offsets: Sequence[int]) -> int | None:
        """How many of the read records belong to the batch of the stored intent; None until all of them are read."""
        assert self.phase is Phase.REPLAYING and self.intent is not None
        if not offsets or offsets[-1] < self.intent.hi:
            return None
        rows = len(offsets)
        while rows and offsets[rows - 1] > self.intent.hi:
            rows -= 1
        return rows

    def replay(self, offsets: Sequence[int]) -> Intent:
        """Starts the batch of the stored intent with the records read for it.

        Raises:
            RecordsGone: they are not the records the intent counted. Compacted topics may have fewer: their tables keep
                the newest row of a key, so that what compaction removed is not missed.
        """
        intent = self.intent
        assert self.phase is Phase.REPLAYING and intent is not None
        found = (offsets[0], offsets[-1], len(offsets)) if offsets else (-1, -1, 0)
        if found != (intent.lo, intent.hi, intent.rows) and not (self.compacted and found[2] <= intent.rows):
            raise RecordsGone(
                f"{self._name}: the stored intent counted {intent.rows} records in {intent.lo}-{intent.hi}, Kafka now "
                f"has {found[2]} in {found[0]}-{found[1]}",
                topic=self.topic,
                partition=self.partition,
                offset=intent.lo,
            )
        self.phase = Phase.INSERTING
        return intent

    def intend(self, offsets: Sequence[int], dead_schemas: Sequence[int | str] = ()) -> Intent:
        """Fixes the boundaries of the next batch. They must be stored in Kafka before anything is inserted."""
        assert self.phase is Phase.CONSUMING and offsets and offsets[0] >= self.position
        self.intent = Intent(
            offsets[0], offsets[-1], len(offsets), dead_schemas=tuple(sorted(set(dead_schemas), key=str))
        )
        self.phase = Phase.INTENDING
        return self.intent

    def intent_stored(self) -> None:
        assert self.phase is Phase.INTENDING
        self.phase = Phase.INSERTING

    def rows_stored(self) -> int:
        """All rows of the batch are in ClickHouse; returns the offset to store in Kafka."""
        assert self.phase is Phase.INSERTING and self.intent is not None
        self.phase = Phase.COMMITTING
        return self.intent.hi + 1

    def offset_stored(self, offset: int) -> None:
        """Kafka has the offset behind the batch, or behind what follows it and is no record."""
        assert self.phase is Phase.COMMITTING and self.intent is not None and offset > self.intent.hi
        self.position = offset
        self.intent = None
        self.phase = Phase.CONSUMING

    def skipped_to(self, offset: int) -> None:
        """Kafka has an offset behind what is no record: ends of transactions, aborted records."""
        assert self.phase is Phase.CONSUMING and self.intent is None and offset >= self.position
        self.position = offset

    @property
    def _name(self) -> str:
        return f"{self.topic}[{self.partition}]"

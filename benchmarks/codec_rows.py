"""Rows ``encode`` and ``decode``: the codec and confluent-kafka's Avro serializer, alternating inside each round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.codec import RECORDS, TYPES, compare
from benchmarks.measure import Options
from benchmarks.report import RowSpec, Run

_OPERATIONS: Final = ("encode", "decode")
_OURS: Final = "codec"
_PEER: Final = "confluent"


def _names(type: str, operation: str) -> tuple[str, str, str]:
    suffix = "" if type == TYPES[0] else f"_{type.rsplit('.', 1)[0].replace('.', '_')}"
    row = f"{operation}{suffix}"
    return row, f"{row}_{_OURS}", f"{row}_{_PEER}"


class CodecStudy:
    """Processor time of one thread, without Kafka. That both sides agree on every record is checked before it runs."""

    rows: Sequence[RowSpec] = tuple(
        RowSpec(row, ours, peer, bar_vs_peer=3.0)
        for type in TYPES
        for operation in _OPERATIONS
        for row, ours, peer in [_names(type, operation)]
    )
    contenders: Sequence[str] = tuple(name for spec in rows for name in (spec.ours, spec.peer or ""))
    skipped: Mapping[str, str] = {}
    warm_up: bool = False

    def __init__(self, options: Options) -> None:
        self._count = min(RECORDS, options.share(0.02))
        self._runs: dict[int, dict[str, Run]] = {}

    def close(self) -> None:
        """Nothing is open."""

    def measure(self, contender: str, number: int) -> Run:
        """Raises AssertionError when the two sides' bytes or data differ."""
        if number not in self._runs:
            self._runs[number] = self._round()
        return self._runs[number][contender]

    def _round(self) -> dict[str, Run]:
        found: dict[str, Run] = {}
        for type in TYPES:
            for row in compare(type, count=self._count, rounds=5):
                _, ours, peer = _names(type, row.operation)
                found[ours] = Run(self._count, row.ours_us * self._count / 1e6)
                found[peer] = Run(self._count, row.theirs_us * self._count / 1e6)
        return found

"""Records taken apart before they are folded, with the waits for schemas that cannot be had at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tradewire.core.errors import RegistryUnavailable, TradewireError, UnknownSchemaId
from tradewire.core.logs import get_logger
from tradewire.processors.folds import Folds
from tradewire.processors.metrics import WorkerMetrics
from tradewire.processors.records import RawRecord, Read

_log = get_logger(__name__)

# Well below the time after which the group takes a consumer that does not fetch for dead.
REGISTRY_WAIT_MS_MAX: Final = 120_000
_REGISTRY_WAIT_MS: Final = 250


class Abandoned(Exception):
    """Raised inside the engine when a rebalance takes the partitions of a batch that has not been folded."""


class ReadOrNot(NamedTuple):
    """A record and what was read of it, or why it cannot be read: then it is a dead letter."""

    record: RawRecord
    read: Read | None
    error: TradewireError | None


class Reader:
    """Reads the records of a batch; all of them or, while a schema is waited for, none."""

    def __init__(self, folds: Folds, metrics: WorkerMetrics, unknown_schema_wait_ms: int) -> None:
        self._folds = folds
        self._metrics = metrics
        self._unknown_schema_wait_ms = unknown_schema_wait_ms
        self._unknown_since: dict[str, float] = {}
        self.giving_up = False

    async def read(self, records: Mapping[Any, Sequence[RawRecord]]) -> list[ReadOrNot]:
        """Blocks while the registry is away, and for ``unknown_schema_wait_ms`` from when it first did not know an id.

        Raises:
            Abandoned: ``giving_up`` was set meanwhile.
            RegistryUnavailable, UnknownSchemaId: for ``REGISTRY_WAIT_MS_MAX``.
        """
        waited_ms = 0
        while True:
            try:
                return [self._read_one(record) for rows in records.values() for record in rows]
            except (RegistryUnavailable, UnknownSchemaId) as error:
                if self.giving_up:
                    raise Abandoned from error
                if waited_ms >= REGISTRY_WAIT_MS_MAX:
                    raise
                self._metrics.registry_waits.inc()
                _log.warning("waiting for a schema", reason=str(error), waited_ms=waited_ms)
                await asyncio.sleep(_REGISTRY_WAIT_MS / 1000)
                waited_ms += _REGISTRY_WAIT_MS

    def _read_one(self, record: RawRecord) -> ReadOrNot:
        try:
            return ReadOrNot(record, self._folds.read(record), None)
        except RegistryUnavailable:
            raise
        except UnknownSchemaId as error:
            now = time.monotonic()
            waited_s = now - self._unknown_since.setdefault(str(error), now)  # the text names the id
            if waited_s * 1000 < self._unknown_schema_wait_ms:
                raise
            return ReadOrNot(record, None, error)
        except TradewireError as error:
            return ReadOrNot(record, None, error)

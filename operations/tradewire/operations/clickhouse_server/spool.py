"""The whole data of one insert, kept until the engine has read it: in memory, or on disk when there are many.

The engine is asked only once all of a body has arrived and proved complete, so a broken upload stores nothing.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from tradewire.operations.clickhouse_server.errors import ClickHouseError

_MEMORY_BYTES: Final = 256 << 20


class Spool:
    """Bytes in an unnamed file. `path` can be opened while the spool is open; nothing of it is left after `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = os.memfd_create("insert", os.MFD_CLOEXEC)
        self._in_memory = True
        self.size = 0

    @property
    def path(self) -> str:
        """Where this process, and the engine in it, reads the bytes from their beginning."""
        return f"/dev/fd/{self._file}"

    def write(self, data: bytes) -> None:
        """Append. ClickHouseError 243 when neither memory nor disk has room; the caller then gives the insert up."""
        try:
            if self._in_memory and self.size + len(data) > _MEMORY_BYTES:
                self._move_to_disk()
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            raise ClickHouseError(
                243, f"Cannot keep the data of the insert until they are complete: {error}. Nothing of them was stored"
            ) from error
        self.size += len(data)

    def close(self) -> None:
        """Free the bytes; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _move_to_disk(self) -> None:
        with tempfile.TemporaryFile(dir=self._folder) as file:
            target = os.dup(file.fileno())
        os.lseek(self._file, 0, os.SEEK_SET)
        try:
            while os.sendfile(target, self._file, None, 1 << 24):
                pass
        except OSError:
            os.close(target)
            raise
        os.close(self._file)
        self._file = target
        self._in_memory = False

"""A disk of some megabytes, so that a test can fill it and make room on it again."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted folder; what is written beyond its size fails with ENOSPC."""

    folder: Path

    def fill(self) -> None:
        """Leaves no byte on it."""
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def empty(self) -> None:
        """Gives the room back."""
        (self.folder / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk_or_skip(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A file system of its own in ``folder``, which is made; its content is gone afterwards."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip(
            "a small disk of its own cannot be mounted: the right to mount is missing. Run the tests on Linux as root, "
            "or in a container that is started with --cap-add SYS_ADMIN"
        )
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: a process that a failed test has left may have files open.
        subprocess.run(["umount", "-l", str(folder)], check=True)

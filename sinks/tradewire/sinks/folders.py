"""Why a file could not be written, in words for whoever has to make it possible."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


def cause_of(error: OSError, folder: Path) -> str:
    """What to change about the folder, to be put behind what the system said; empty where that says it all."""
    if error.errno in _FULL:
        return f"; the disk of {folder} is full: make room, or write to another folder"
    if error.errno in _NO_RIGHT:
        return f"; this user may not write to {folder}: change its owner or rights, or write to another folder"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"; {folder} is no folder: make it, or write to another one"
    return ""

"""Why the local stack refuses to start or keep a part. Messages say what was seen and what to install, free or set."""

from __future__ import annotations

from typing import ClassVar

from tradewire.core.errors import StackError


class ToolMissing(StackError):
    """Raised when Java or Maven is absent or too old. Operator: install it or name it in ``JAVA_HOME`` or ``PATH``."""


class ArtifactsUnavailable(StackError):
    """Raised when Maven could not fetch the jars; quotes Maven. Nothing is left in the cache but Maven's own files."""

    retriable: ClassVar[bool] = True


class ArtifactsCorrupt(StackError):
    """Raised when a fetched file is not the one pinned in ``artifacts.sha256``; names file and both hashes.

    The files are discarded, nothing of them has been run.
    """


class PortTaken(StackError):
    """Raised when another process listens on a port that a part needs; names the port, its holder and the setting."""


class DiskFull(StackError):
    """Raised when there is too little room to start a part or to unpack the jars; names the folder and the bytes."""


class StackBusy(StackError):
    """Raised when a live stack, named by its process id, already uses the data folder. Nothing has been changed."""


class PartFailed(StackError):
    """Raised when a part ended or did not become ready; quotes the tail of its log and the likely cause."""


class PartRefused(PartFailed):
    """Raised when a part ended with the exit code that says: starting it again will not help; quotes its log.

    Operator: correct what the log names, a setting, a file or a topic; then start the stack again.
    """

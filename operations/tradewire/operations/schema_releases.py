"""The schema files of a git revision, read with git itself: nothing is checked out."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tradewire.core.errors import TradewireError
from tradewire.schemas.catalogue_check import ReleasedSchema

_FILE = re.compile(r"(?:^|/)([^/]+)/([^/]+)/v([1-9][0-9]*)\.avsc$")
_GIT_SECONDS = 60


class RevisionUnreadable(TradewireError):
    """Raised when the files of a revision cannot be had; says which of git, repository and revision is missing."""


def released_at(revision: str, folder: Path) -> list[ReleasedSchema]:
    """The versions that a catalogue folder held at a revision; empty when the folder was not there yet.

    Raises:
        RevisionUnreadable.
    """
    folder = folder.resolve()
    top = repository_of(folder)
    commit = _commit(revision, top)
    listed = _git(top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", folder.relative_to(top).as_posix() or ".")
    files = []
    for line in filter(None, listed.decode().split("\0")):
        facts, _, path = line.partition("\t")
        match = _FILE.search(path)
        if match and facts.split()[1] == "blob":
            files.append((path, facts.split()[2], match))
    contents = _blobs(top, [blob for _, blob, _ in files])
    released = []
    for (path, _, match), content in zip(files, contents, strict=True):
        try:
            schema = json.loads(content)
        except ValueError as error:
            raise RevisionUnreadable(f"{path} at {revision} is not JSON: {error}", file=path) from error
        released.append(ReleasedSchema(f"{match[1]}.{match[2]}", int(match[3]), schema, path))
    return released


def repository_of(folder: Path) -> Path:
    """The top of the work tree that a folder is in. Raises RevisionUnreadable."""
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()
    except _GitFailed as failed:
        if "dubious ownership" in failed.said:
            raise RevisionUnreadable(f"git does not trust the repository of {folder}: {failed.said}") from None
        raise RevisionUnreadable(
            f"{folder} is not in a git work tree, so there is nothing to compare with; use --against-registry, or run "
            "this where the schema files are under git"
        ) from None


def _commit(revision: str, top: Path) -> str:
    if revision.startswith("-"):
        raise RevisionUnreadable(f"{revision!r} is not a revision")
    try:
        found = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except _GitFailed:
        if _git(top, "rev-parse", "--is-shallow-repository").strip() == b"true":
            raise RevisionUnreadable(
                f"git does not know {revision!r} in {top}, which is a shallow clone: fetch the whole history "
                "(`git fetch --unshallow`; fetch-depth: 0 in CI)"
            ) from None
        near = f"; did you fetch it (`git fetch {revision.partition('/')[0]}`)?" if "/" in revision else ""
        raise RevisionUnreadable(f"git does not know the revision {revision!r} in {top}{near}") from None
    return found.decode().split()[-1]


class _GitFailed(Exception):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def _git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except FileNotFoundError:
        raise RevisionUnreadable("git is not installed, so there is nothing to compare with: install git") from None
    except subprocess.TimeoutExpired:
        raise RevisionUnreadable(f"git gave no answer within {_GIT_SECONDS} s in {folder}") from None
    if done.returncode != 0:
        raise _GitFailed(done.stderr.decode(errors="replace").strip())
    return done.stdout


def _blobs(top: Path, ids: list[str]) -> list[bytes]:
    """The contents by one process; a partial clone fetches what it lacks."""
    try:
        found = _git(top, "cat-file", "--batch", given="".join(f"{id}\n" for id in ids).encode())
    except _GitFailed as failed:
        raise RevisionUnreadable(f"git cannot read its files in {top}: {failed.said}") from None
    contents, at = [], 0
    for _ in ids:
        end = found.index(b"\n", at)
        header = found[at:end].split()
        if len(header) != 3:
            raise RevisionUnreadable(f"git lacks a file of that revision in {top}: {found[at:end].decode()}")
        size = int(header[2])
        contents.append(found[end + 1 : end + 1 + size])
        at = end + 1 + size + 1
    return contents

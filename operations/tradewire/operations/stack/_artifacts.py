"""The jars of Kafka and of the schema registry: fetched by Maven, pinned by our own SHA-256 list, kept in a cache.

Maven is used because it knows the user's mirrors, proxy and credentials. Its own checksums come from the same server
as the files, so every file is compared with ``maven/artifacts.sha256`` before anything of it is run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tradewire.core.errors import StackError
from tradewire.operations.stack._errors import ArtifactsCorrupt, ArtifactsUnavailable, DiskFull, ToolMissing
from tradewire.operations.stack._java import ClassArchive, Java

_POM = "kafka-pom.xml"
_LIST = "artifacts.sha256"
_STAMP = "verified.json"
# 155 MB fetched, 116 MB unpacked from them, and as much again in Maven's own repository.
_FREE_BYTES_MIN = 500 * 1024 * 1024
_NETWORK_SIGNS = (
    "Could not transfer",
    "Unknown host",
    "UnknownHostException",
    "Connection refused",
    "Connect timed out",
    "Network is unreachable",
    "Temporary failure in name resolution",
    "status: 5",
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Artifacts:
    """A verified folder of jars; ``key`` changes with the list of hashes."""

    folder: Path
    key: str
    cache_dir: Path

    @property
    def kafka_class_path(self) -> str:
        """All Kafka jars in a fixed order: a class archive is bound to the exact class path."""
        return os.pathsep.join(str(jar) for jar in sorted((self.folder / "kafka").glob("*.jar")))

    @property
    def registry_jar(self) -> Path:
        """The registry's main jar; its manifest names the others beside it."""
        (jar,) = (self.folder / "registry").glob("apicurio-registry-app-*-runner.jar")
        return jar

    def class_archive(self, name: str, java: Java) -> ClassArchive:
        """Where the class archive of this program with these jars on this Java lies or will lie."""
        return ClassArchive(self.cache_dir / "classes" / f"{name}-{self.key}-{java.build}.jsa")


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/tradewire``, else ``~/.cache/tradewire``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tradewire"


def pinned_hashes() -> dict[str, str]:
    """The list shipped with this package: path below the folder -> SHA-256 in hex."""
    return parse_hashes(_resource(_LIST))


def parse_hashes(text: str) -> dict[str, str]:
    """Reads the format of ``sha256sum``.

    Raises:
        StackError: a line is not of that format; gives its number.
    """
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise StackError(f"{_LIST} line {number} is not `<sha256>  <path>`: {line!r}", line=number)
        hashes[name] = digest
    return hashes


def resolve_artifacts(
    cache_dir: Path,
    *,
    on_progress: Progress | None = None,
    timeout_s: float = 900.0,
) -> Artifacts:
    """Returns the folder of verified jars, fetching them with ``mvn`` unless a former call has done so.

    Safe to call from several processes at once: one fetches, the others wait for it, at most ``timeout_s``. The folder
    appears whole or not at all. A later call compares names and sizes only, in a few milliseconds; a folder that lost
    a file is fetched anew. ``on_progress`` gets a sentence whenever the call is about to take long.

    Raises:
        ToolMissing: there is no ``mvn``.
        ArtifactsUnavailable: Maven failed or took longer than ``timeout_s``; says whether it looks like the network.
        ArtifactsCorrupt: a file is missing, unexpected or not the pinned one.
        DiskFull: the cache folder has too little room.
    """
    say = on_progress or (lambda _: None)
    key = hashlib.sha256((_resource(_LIST) + _resource(_POM)).encode()).hexdigest()[:12]
    artifacts = Artifacts(cache_dir / f"artifacts-{key}", key, cache_dir)
    if _is_whole(artifacts.folder):
        return artifacts
    deadline = time.monotonic() + timeout_s
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _locked(cache_dir / "artifacts.lock", deadline, say):
            if not _is_whole(artifacts.folder):
                _fetch_verify_publish(artifacts.folder, say, deadline)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"{cache_dir} ran out of room while the jars were unpacked: free some", folder=str(cache_dir)
            ) from error
        raise ArtifactsUnavailable(f"cannot write the jars to the cache folder {cache_dir}: {error}") from error
    return artifacts


def _fetch_verify_publish(folder: Path, say: Progress, deadline: float) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < _FREE_BYTES_MIN:
        raise DiskFull(
            f"{folder.parent} has {free // 2**20} MiB left, the jars need {_FREE_BYTES_MIN // 2**20} MiB: free some or "
            "set local.cache_folder to a larger disk",
            folder=str(folder.parent),
        )
    for left_over in folder.parent.glob("fetching-*"):  # of a call that was killed: we hold the lock, nobody uses it
        shutil.rmtree(left_over, ignore_errors=True)
    # In the cache folder, so that the rename at the end stays within one file system.
    scratch = Path(tempfile.mkdtemp(prefix="fetching-", dir=folder.parent))
    try:
        say(f"fetching the jars of Kafka and the schema registry with Maven into {folder} (about 155 MB, once)")
        _run_maven(scratch, timeout_s=max(1.0, deadline - time.monotonic()))
        out = scratch / "out"
        verify_files(out, pinned_hashes())
        for archive in (out / "registry").glob("*.tar.gz"):
            with tarfile.open(archive) as tar:
                # Its hash was pinned, so this guards against our own mistake only; Python before 3.11.4 lacks it.
                if hasattr(tarfile, "data_filter"):
                    tar.extractall(out / "registry", filter="data")
                else:
                    tar.extractall(out / "registry")
            archive.unlink()
        sizes = {str(file.relative_to(out)): file.stat().st_size for file in sorted(out.rglob("*")) if file.is_file()}
        (out / _STAMP).write_text(json.dumps(sizes), encoding="utf-8")
        if folder.exists():
            folder.rename(scratch / "damaged")
        out.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_maven(scratch: Path, *, timeout_s: float) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissing("no `mvn` on PATH: the jars are fetched with it; install Maven (Debian: apt install maven)")
    pom = scratch / "pom.xml"
    pom.write_text(_resource(_POM), encoding="utf-8")
    command = [maven, "-B", "-q", "-C", "-f", str(pom), f"-Dout={scratch / 'out'}", "package"]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, cwd=scratch
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactsUnavailable(
            f"Maven did not fetch the jars within {timeout_s:.0f} s: check the network, or the mirror and proxy in "
            "Maven's settings.xml, and try again; what it has is kept"
        ) from error
    if answer.returncode != 0:
        raise maven_error(answer.stdout + answer.stderr)


def maven_error(output: str) -> StackError:
    """The error that Maven's output stands for: no room, no network, no Java, or something else, quoted."""
    lines = [line.replace("[ERROR]", "").strip() for line in output.splitlines() if "[ERROR]" in line]
    quoted = (lines[0] if lines else output.strip()[-500:] or "no output")[:700]
    if "No space left on device" in output:
        return DiskFull(f"Maven ran out of room, probably in its own repository ~/.m2: free some. It said: {quoted}")
    if "JAVA_HOME" in output and not lines:
        return ToolMissing(f"Maven found no usable Java: {quoted}. Install one, or correct JAVA_HOME")
    if any(sign in output for sign in _NETWORK_SIGNS):
        return ArtifactsUnavailable(
            f"Maven could not reach its repository: check the network, or the mirror and proxy in Maven's "
            f"settings.xml. It said: {quoted}"
        )
    return ArtifactsUnavailable(f"Maven could not fetch the jars. It said: {quoted}")


def verify_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compares the files below ``folder`` with the list: same names, same SHA-256.

    Raises:
        ArtifactsCorrupt: names the first file that is missing, unexpected or different.
    """
    present = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    if missing := sorted(hashes.keys() - present):
        raise ArtifactsCorrupt(f"{missing[0]} was not fetched although {_LIST} lists it ({len(missing)} in all)")
    if unexpected := sorted(present - hashes.keys()):
        raise ArtifactsCorrupt(
            f"{unexpected[0]} was fetched but is not in {_LIST} ({len(unexpected)} in all): a dependency has changed "
            "in the repository; nothing is run that is not pinned"
        )
    for name, expected in hashes.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected:
            raise ArtifactsCorrupt(
                f"{name} has SHA-256 {found}, but {expected} is pinned: a damaged or replaced file. Delete it from "
                "Maven's repository (~/.m2) and try again; if it comes back, do not trust the mirror",
                file=name,
            )


def _is_whole(folder: Path) -> bool:
    try:
        sizes: dict[str, int] = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _locked(file: Path, deadline: float, say: Progress) -> Iterator[None]:
    with file.open("a") as handle:
        waiting = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ArtifactsUnavailable(
                        f"another process has held {file} for too long: see whether it still fetches jars, then end it"
                    ) from None
                if not waiting:
                    say("another process is fetching the jars, waiting for it")
                    waiting = True
                time.sleep(0.1)
        yield


def _resource(name: str) -> str:
    return resources.files("tradewire.operations.stack").joinpath("maven", name).read_text(encoding="utf-8")

"""Which Java runs the JVM parts, and the class-data archives that halve their start."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tradewire.operations.stack._errors import ToolMissing

JAVA_VERSION_MIN = 17
_INSTALL_HINT = (
    f"install Java {JAVA_VERSION_MIN} or newer (Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME to one"
)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java launcher that was run once: ``build`` differs between any two JVMs whose archives must not be mixed."""

    executable: Path
    version: int
    build: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JvmProfile:
    """Heap and collector of one JVM part. ``options`` come before the heap, so a caller's heap wins."""

    heap_mb: int
    options: tuple[str, ...]

    def arguments(self, heap_mb: int | None = None) -> list[str]:
        """The launcher's arguments; ``heap_mb`` replaces the profile's own ceiling."""
        heap = heap_mb or self.heap_mb
        return [
            *self.options,
            f"-Xms{min(heap, 1024 if self.heap_mb >= 1024 else 64)}m",
            f"-Xmx{heap}m",
            # A JVM that has run out of memory limps; a dead one is restarted.
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Djava.awt.headless=true",
        ]


_G1 = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")
# `test` never optimises beyond the first compiler: a broker that lives for seconds starts in half the time, and no
# throughput may be claimed from it. `bench` has the options and heap of Kafka's own launcher.
JVM_PROFILES = {
    "test": JvmProfile(heap_mb=512, options=("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")),
    "local": JvmProfile(heap_mb=512, options=_G1),
    "bench": JvmProfile(heap_mb=1024, options=(*_G1, "-XX:+ExplicitGCInvokesConcurrent")),
}


def find_java(java_home: Path | None = None) -> Java:
    """Returns the first Java of ``java_home``, ``$JAVA_HOME`` and ``$PATH`` after asking it for its version.

    Raises:
        ToolMissing: there is none, it does not run, or it is older than 17; says which one was tried.
    """
    home = java_home or (Path(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else None)
    if home is not None:
        executable = home / "bin" / "java"
        if not executable.is_file():
            raise ToolMissing(f"no Java at {executable}, which JAVA_HOME names: {_INSTALL_HINT}", java_home=str(home))
    else:
        found = shutil.which("java")
        if found is None:
            raise ToolMissing(f"no `java` on PATH: Kafka and the schema registry need it; {_INSTALL_HINT}")
        executable = Path(found)
    return _inspect(executable.resolve())


@functools.lru_cache(maxsize=8)
def _inspect(executable: Path) -> Java:
    try:
        answer = subprocess.run([str(executable), "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolMissing(f"{executable} -version failed ({error}): {_INSTALL_HINT}", java=str(executable)) from error
    version = java_major_version(answer.stderr)
    if version is None or version < JAVA_VERSION_MIN:
        raise ToolMissing(
            f"{executable} is Java {version if version is not None else 'of an unknown version'}, too old for Kafka 4: "
            f"{_INSTALL_HINT}",
            java=str(executable),
        )
    return Java(executable, version, hashlib.sha256(answer.stderr.encode()).hexdigest()[:12])


def java_major_version(text: str) -> int | None:
    """The major version in the answer of ``java -version``; 8 for the old form ``1.8.0``, None if there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


@dataclass(frozen=True, slots=True)
class ClassArchive:
    """A JVM's parsed classes on disk, tied to one Java build and one list of jars.

    The first run that is stopped in an orderly way writes it beside its final name, ``keep`` then renames it: a killed
    run leaves nothing, and concurrent first runs each write their own. Java ignores an archive that does not fit.
    """

    file: Path

    def draft(self, run_id: str) -> Path:
        """Where the run named ``run_id`` writes its archive."""
        return self.file.with_name(f"{self.file.name}.{run_id}")

    def arguments(self, run_id: str) -> list[str]:
        """What to give to Java: use the archive if there, else record one."""
        if self.file.is_file():
            return [f"-XX:SharedArchiveFile={self.file}"]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        return [f"-XX:ArchiveClassesAtExit={self.draft(run_id)}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]

    def keep(self, run_id: str, *, orderly: bool) -> None:
        """After the end of the run: publishes its draft if it ended in an orderly way, else removes it."""
        draft = self.draft(run_id)
        if orderly and draft.is_file() and not self.file.is_file():
            draft.replace(self.file)
        else:
            draft.unlink(missing_ok=True)

"""The jars: fetched by Maven, pinned by our own list, whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tradewire.core.errors import StackError
from tradewire.operations.stack import (
    Artifacts,
    ArtifactsCorrupt,
    ArtifactsUnavailable,
    DiskFull,
    Java,
    ToolMissing,
    _artifacts,
    find_java,
    resolve_artifacts,
)
from tradewire.operations.stack._artifacts import maven_error, parse_hashes, pinned_hashes, verify_files
from tradewire.operations.stack._java import ClassArchive, java_major_version

FAKE_JAR = b"not really a jar"


@pytest.fixture
def fake_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `mvn` that copies a prepared folder to -Dout and counts its calls; the list names that folder's files."""
    prepared = tmp_path / "prepared"
    (prepared / "kafka").mkdir(parents=True)
    (prepared / "registry").mkdir()
    (prepared / "kafka" / "a.jar").write_bytes(FAKE_JAR)
    runner = tmp_path / "apicurio-registry-app-0-runner.jar"
    runner.write_bytes(FAKE_JAR)
    with tarfile.open(prepared / "registry" / "app.tar.gz", "w:gz") as tar:
        tar.add(runner, runner.name)
    listing = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(prepared)}\n"
        for file in sorted(prepared.rglob("*"))
        if file.is_file()
    )
    monkeypatch.setattr(_artifacts, "_resource", lambda name: listing if name.endswith(".sha256") else "<project/>")
    programs = tmp_path / "bin"
    programs.mkdir()
    mvn = programs / "mvn"
    mvn.write_text(
        f"""#!/bin/sh
echo call >> {tmp_path}/calls
test -e {tmp_path}/failure && {{ cat {tmp_path}/failure; exit 1; }}
for argument in "$@"; do case $argument in -Dout=*) cp -r {prepared} "${{argument#-Dout=}}";; esac; done
"""
    )
    mvn.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


def calls(folder: Path) -> int:
    file = folder / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_the_real_jars_are_exactly_those_of_the_list(artifacts: Artifacts) -> None:
    """What lies in the cache after a fetch is what the list pins, byte for byte."""
    pinned = {name: digest for name, digest in pinned_hashes().items() if name.startswith("kafka/")}
    found = {
        f"kafka/{jar.name}": hashlib.sha256(jar.read_bytes()).hexdigest()
        for jar in (artifacts.folder / "kafka").iterdir()
    }

    assert pinned == found
    assert artifacts.registry_jar.is_file()


def test_a_second_call_runs_no_maven_and_takes_milliseconds(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp with names and sizes answers, not a hash of 160 MB."""
    for name in ("_run_maven", "verify_files", "_locked"):
        monkeypatch.setattr(_artifacts, name, lambda *given, name=name, **_: pytest.fail(f"{name} was called"))
    monkeypatch.setattr(_artifacts.hashlib, "file_digest", lambda *_: pytest.fail("a file was hashed"))

    assert artifacts == resolve_artifacts(artifacts.cache_dir)


def test_the_folder_appears_whole_and_the_archive_unpacked(fake_maven: Path) -> None:
    """Jars and unpacked registry are there after the call, the archive and the scratch folder are not."""
    found = resolve_artifacts(fake_maven / "cache")

    assert str(found.folder / "kafka" / "a.jar") == found.kafka_class_path
    assert FAKE_JAR == found.registry_jar.read_bytes()
    assert [] == list((fake_maven / "cache").glob("fetching-*"))
    assert [] == list(found.folder.rglob("*.tar.gz"))


def test_a_fetched_folder_is_not_fetched_again(fake_maven: Path) -> None:
    """The cache is used until the list changes."""
    resolve_artifacts(fake_maven / "cache")
    resolve_artifacts(fake_maven / "cache")

    assert 1 == calls(fake_maven)


def test_a_folder_that_lost_a_file_is_fetched_anew(fake_maven: Path) -> None:
    """A cleaned-up cache heals by itself, and so does a truncated file."""
    first = resolve_artifacts(fake_maven / "cache")
    (first.folder / "kafka" / "a.jar").write_bytes(FAKE_JAR[:3])

    second = resolve_artifacts(fake_maven / "cache")

    assert FAKE_JAR == (second.folder / "kafka" / "a.jar").read_bytes()
    assert 2 == calls(fake_maven)


def test_processes_that_fetch_at_once_run_maven_once(fake_maven: Path) -> None:
    """The lock lets one of them fetch; the others find its folder."""
    program = (
        "import sys; from pathlib import Path; from tradewire.operations.stack import _artifacts as a\n"
        f"listing = {_artifacts._resource('artifacts.sha256')!r}\n"
        "a._resource = lambda name: listing if name.endswith('.sha256') else '<project/>'\n"
        "print(a.resolve_artifacts(Path(sys.argv[1])).folder)"
    )
    command = [sys.executable, "-c", program, str(fake_maven / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    folders = {process.communicate(timeout=150)[0] for process in running}

    assert [0, 0, 0, 0] == [process.returncode for process in running]
    assert 1 == len(folders)
    assert 1 == calls(fake_maven)


def test_a_replaced_jar_is_refused_and_nothing_is_kept(fake_maven: Path) -> None:
    """A file that is not the pinned one never reaches the cache; the error names it and both hashes."""
    (fake_maven / "prepared" / "kafka" / "a.jar").write_bytes(b"something else")

    with pytest.raises(ArtifactsCorrupt, match=r"kafka/a\.jar has SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} is pinned"):
        resolve_artifacts(fake_maven / "cache")

    assert ["artifacts.lock"] == [entry.name for entry in (fake_maven / "cache").iterdir()]


def test_a_jar_that_is_not_in_the_list_is_refused(tmp_path: Path) -> None:
    """A new dependency in the repository is not run before somebody has pinned it."""
    (tmp_path / "new.jar").write_bytes(FAKE_JAR)

    with pytest.raises(ArtifactsCorrupt, match=r"new\.jar was fetched but is not in"):
        verify_files(tmp_path, {})


def test_a_missing_jar_is_named(tmp_path: Path) -> None:
    """Maven can succeed and still have copied less than the list."""
    with pytest.raises(ArtifactsCorrupt, match=r"kafka/b\.jar was not fetched"):
        verify_files(tmp_path, {"kafka/b.jar": "0" * 64})


def test_a_failed_fetch_leaves_nothing_and_may_be_tried_again(fake_maven: Path) -> None:
    """The network comes back: the same call works then."""
    failure = fake_maven / "failure"
    failure.write_text("[ERROR] Could not transfer artifact a:b:jar:1 from/to central: Connection refused\n")
    with pytest.raises(ArtifactsUnavailable, match=r"could not reach its repository.*Connection refused") as caught:
        resolve_artifacts(fake_maven / "cache")
    failure.unlink()

    assert caught.value.retriable
    assert resolve_artifacts(fake_maven / "cache").folder.is_dir()


def test_leftovers_of_a_killed_fetch_are_removed_by_the_next(fake_maven: Path) -> None:
    """A killed process cannot clean up; 300 MB per crash would add up."""
    left_over = fake_maven / "cache" / "fetching-dead" / "out"
    left_over.mkdir(parents=True)

    resolve_artifacts(fake_maven / "cache")

    assert not left_over.exists()


def test_without_maven_the_error_says_how_to_install_it(
    tmp_path: Path, fake_maven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stack trace about a missing file: a sentence with the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    with pytest.raises(ToolMissing, match=r"no `mvn` on PATH.*apt install maven"):
        resolve_artifacts(fake_maven / "cache")


def test_too_little_room_is_said_before_anything_is_fetched(fake_maven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filling the disk first and failing then would help nobody."""
    usage = shutil.disk_usage(fake_maven)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1024))

    with pytest.raises(DiskFull, match=r"0 MiB left.*local\.cache_folder"):
        resolve_artifacts(fake_maven / "cache")

    assert 0 == calls(fake_maven)


@pytest.mark.parametrize(
    ("output", "kind", "says"),
    [
        ("[ERROR] x: Unknown host repo.example", ArtifactsUnavailable, "check the network"),
        ("[ERROR] write failed: No space left on device", DiskFull, "free some"),
        ("The JAVA_HOME environment variable is not defined correctly", ToolMissing, "correct JAVA_HOME"),
        ("[ERROR] Failure to find a:b:jar:9", ArtifactsUnavailable, "Failure to find a:b:jar:9"),
        ("", ArtifactsUnavailable, "no output"),
    ],
)
def test_mavens_output_becomes_an_error_with_a_remedy(output: str, kind: type[StackError], says: str) -> None:
    """The first error line is quoted; its kind decides the advice."""
    error = maven_error(output)

    assert isinstance(error, kind)
    assert says in str(error)


def test_a_damaged_list_names_its_line() -> None:
    """A merge conflict in the list is found when it is read."""
    with pytest.raises(StackError, match=r"line 2 is not"):
        parse_hashes("0" * 64 + "  a.jar\n<<<<<<<\n")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("command not found", None),
    ],
)
def test_the_major_version_of_java_is_read(text: str, version: int | None) -> None:
    """Java 8 wrote its version as 1.8."""
    assert version == java_major_version(text)


def test_an_old_java_is_refused_with_its_path(tmp_path: Path) -> None:
    """Kafka 4 on Java 11 dies with a class version error that tells a newcomer nothing."""
    launcher = tmp_path / "bin" / "java"
    launcher.parent.mkdir()
    launcher.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    launcher.chmod(0o755)

    with pytest.raises(ToolMissing, match=r"bin/java is Java 11, too old for Kafka 4.*17 or newer"):
        find_java(tmp_path)


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    """JAVA_HOME often points to a version that was removed."""
    with pytest.raises(ToolMissing, match=r"no Java at .*bin/java, which JAVA_HOME names"):
        find_java(tmp_path)


def test_only_an_orderly_run_publishes_its_class_archive(tmp_path: Path) -> None:
    """A killed JVM may leave half a file: it must never get the final name."""
    archive = ClassArchive(tmp_path / "classes" / "kafka.jsa")
    archive.arguments("one")
    archive.draft("one").write_bytes(b"half")
    archive.keep("one", orderly=False)
    assert [] == list((tmp_path / "classes").iterdir())

    archive.draft("two").write_bytes(b"whole")
    archive.keep("two", orderly=True)

    assert [f"-XX:SharedArchiveFile={archive.file}"] == archive.arguments("three")


def test_the_java_found_here_is_new_enough(java: Java) -> None:
    """What the other tests run on."""
    assert java.version >= 17
    assert java.executable.is_file()

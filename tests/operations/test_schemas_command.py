"""`tradewire schemas`: against git, against a registry, and the archive that outlives a registry."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.schemas.compatibility_tables import enum, field, record
from typer.testing import CliRunner, Result

from tradewire.core import ContractError, load_settings
from tradewire.core.settings import KafkaSettings, RegistrySettings
from tradewire.operations.commands.schemas import schemas_app
from tradewire.operations.stack.cluster import local_registry
from tradewire.producers import Publisher
from tradewire.schemas import Contract, RegistryIds, SchemaArchive
from tradewire.schemas.registry_admin import RegistryAdmin

PLACED = ("market", "block.placed")
BLOCK = [field("id", "string", doc="Its id."), field("size", "int", doc="Lots.")]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(schemas_app, list(arguments), env={"COLUMNS": "220"})


def answer(*arguments: str) -> tuple[int, Any]:
    done = run(*arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def rules(found: Any) -> list[tuple[str, str]]:
    return [(finding["rule"], finding["field"]) for finding in found["findings"]]


def write(folder: Path, version: int, *fields: dict[str, Any], place: tuple[str, str] = PLACED, **more: Any) -> Path:
    file = folder / place[0] / place[1] / f"v{version}.avsc"
    file.parent.mkdir(parents=True, exist_ok=True)
    name = "".join(part.title() for part in place[1].split("."))
    content = record(name, *fields, namespace="own", doc="A block was placed.")
    file.write_text(json.dumps(content | more, indent=1))
    return file


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with one released version, in a repository of its own."""
    folder = tmp_path / "repository" / "events"
    write(folder, 1, *BLOCK)
    git(tmp_path, "init", "-q", "-b", "main", "repository")
    commit(folder)
    monkeypatch.setenv("TRADEWIRE_SCHEMAS__FOLDER", str(folder))
    monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", "http://127.0.0.1:1")
    monkeypatch.chdir(folder.parent)
    return folder


def commit(folder: Path) -> None:
    git(folder.parent, "add", "-A")
    git(folder.parent, "commit", "-q", "-m", "release")


def test_a_compatible_version_passes_and_the_answer_says_with_what(own: Path) -> None:
    """Exit code 0."""
    write(own, 2, *BLOCK, field("venue", "string", doc="Where.", default=""))
    code, found = answer("check", "--against-git", "HEAD")

    assert (0, True, ["HEAD"], []) == (code, found["compatible"], found["compared_with"], found["findings"])


def test_an_incompatible_version_is_told_with_file_field_rule_and_fix(own: Path) -> None:
    """Exit code 1, for people as for machines."""
    write(own, 2, *BLOCK, field("venue", "string", doc="Where."))
    code, found = answer("check", "--against-git", "HEAD")
    shown = run("check", "--against-git", "HEAD")

    (finding,) = found["findings"]
    assert (1, False) == (code, found["compatible"])
    assert ("READER_FIELD_MISSING_DEFAULT_VALUE", "venue", "BACKWARD", "v1") == (
        finding["rule"], finding["field"], finding["direction"], finding["against"],
    )  # fmt: skip
    assert "events/market/block.placed/v2.avsc" == finding["file"]
    assert "give the field venue a default" in finding["fix"]
    for part in ("events/market/block.placed/v2.avsc", "READER_FIELD_MISSING_DEFAULT_VALUE", "venue", "fix: give"):
        assert part in shown.stdout


def test_the_level_decides_which_direction_counts(own: Path) -> None:
    """A required field that goes is readable by new readers, not by old ones."""
    write(own, 2, BLOCK[0])

    assert 1 == run("check", "--against-git", "HEAD").exit_code
    assert 1 == run("check", "--against-git", "HEAD", "--level", "FORWARD").exit_code
    assert 0 == run("check", "--against-git", "HEAD", "--level", "BACKWARD").exit_code
    assert 0 == run("check", "--against-git", "HEAD", "--level", "NONE").exit_code


def test_a_released_version_never_changes(own: Path) -> None:
    """Not even compatibly: events carry the id of what was registered."""
    write(own, 1, *BLOCK, field("venue", "string", doc="Where.", default=""))
    code, found = answer("check", "--against-git", "HEAD")

    assert (1, [("RELEASED_VERSION_CHANGED", "venue")]) == (code, rules(found))
    assert "v2.avsc" in found["findings"][0]["fix"]


def test_a_doc_of_a_released_version_may_be_corrected(own: Path) -> None:
    """Docs are for people; but the text is looked up whole, so it has to be registered again."""
    write(own, 1, BLOCK[0] | {"doc": "The id of the block."}, BLOCK[1])

    code, found = answer("check", "--against-git", "HEAD")
    assert (0, [("DOC_CHANGED", "")]) == (code, rules(found))
    assert "tradewire schemas register" in found["findings"][0]["fix"]


def test_a_released_version_or_type_is_never_deleted(own: Path) -> None:
    """What was written with it must stay readable."""
    second = write(own, 2, *BLOCK, field("venue", "string", doc="Where.", default=""))
    write(own, 1, *BLOCK, place=("market", "block.removed"))
    commit(own)
    second.unlink()
    (own / "market" / "block.removed" / "v1.avsc").unlink()
    code, found = answer("check", "--against-git", "main")

    assert 1 == code
    assert ["RELEASED_VERSION_DELETED", "TYPE_DELETED"] == [finding["rule"] for finding in found["findings"]]
    assert [("RELEASED_VERSION_DELETED", "")] == rules(
        answer("check", "market.block.placed", "--against-git", "main")[1]
    )


def test_another_scale_is_the_houses_finding_and_not_avros(own: Path) -> None:
    """The registry would take it, and every price would be another one."""
    price = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 8}
    write(own, 1, BLOCK[0], field("price", price, doc="Price."), place=("market", "block.priced"))
    commit(own)
    write(own, 2, BLOCK[0], field("price", price | {"scale": 4}, doc="Price."), place=("market", "block.priced"))

    assert ("LOGICAL_TYPE_MISMATCH", "price") == rules(answer("check", "--against-git", "HEAD")[1])[0]


@pytest.mark.parametrize(
    ("revision", "says"),
    [("nope", "does not know the revision"), ("origin/main", "git fetch origin"), ("-x", "revision")],
)
def test_an_unknown_revision_is_not_an_answer(own: Path, revision: str, says: str) -> None:
    """Exit code 2: CI must not take it for compatible, nor for incompatible."""
    done = run("check", "--against-git=" + revision)

    assert 2 == done.exit_code
    assert says in done.stderr
    assert answer("check", "--against-git=" + revision)[1]["compatible"] is None


def test_a_shallow_clone_says_how_to_deepen_it(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual reason in CI."""
    commit_count = 2
    for number in range(commit_count):
        write(own, 1, *BLOCK, place=("market", f"block.fact{number}"))
        commit(own)
    clone = own.parent.parent / "clone"
    git(own.parent, "clone", "-q", "--depth", "1", own.parent.as_uri(), str(clone))
    monkeypatch.setenv("TRADEWIRE_SCHEMAS__FOLDER", str(clone / "events"))

    done = run("check", "--against-git", "HEAD~1")
    assert 2 == done.exit_code
    assert "fetch-depth: 0" in done.stderr


def test_a_folder_outside_git_says_so(own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And names the other way to compare."""
    write(tmp_path / "plain", 1, *BLOCK)
    monkeypatch.setenv("TRADEWIRE_SCHEMAS__FOLDER", str(tmp_path / "plain"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))

    done = run("check", "--against-git", "HEAD")
    assert 2 == done.exit_code
    assert "not in a git work tree" in done.stderr and "--against-registry" in done.stderr


def test_files_that_are_in_no_catalogue_are_compared_too(tmp_path: Path) -> None:
    """For schemas of other teams."""
    old, new = tmp_path / "old.avsc", tmp_path / "new.avsc"
    old.write_text(json.dumps(record("R", field("a", "int"))))
    new.write_text(json.dumps(record("R", field("a", "string"))))

    code, found = answer("check", "--new", str(new), "--old", str(old), "--level", "BACKWARD")
    assert (1, [("TYPE_MISMATCH", "a")]) == (code, rules(found))
    new.write_text("{")
    assert 2 == run("check", "--new", str(new), "--old", str(old)).exit_code


def test_an_unknown_type_is_told_the_nearest_names(own: Path) -> None:
    """Also one of the user's own."""
    for command in (["show", "market.block.place"], ["diff", "market.block.place"]):
        with pytest.raises(ContractError, match=re.escape("market.block.placed")):
            CliRunner().invoke(schemas_app, command, catch_exceptions=False)
    done = run("check", "market.block.place", "--against-git", "HEAD")
    assert (2, True) == (done.exit_code, "market.block.placed" in done.stderr)


def test_a_difference_is_told_field_by_field_with_a_verdict_per_level(own: Path) -> None:
    """Added, changed, default, symbols, docs; and what would have to change."""
    side = enum("Side", "AB", default="A")
    write(own, 1, *BLOCK, field("side", side, doc="Side."), place=("market", "block.sided"))
    wider = field("size", "long", doc="Units.")
    more = [
        field("side", enum("Side", "ABC", default="A"), doc="Side."),
        field("venue", "string", doc="Where.", default=""),
    ]
    write(own, 2, BLOCK[0], wider, *more, place=("market", "block.sided"))
    code, found = answer("diff", "market.block.sided")

    told = {(item["field"], item["what"]): (item["old"], item["new"]) for item in found["differences"]}
    assert {
        ("size", "type"): ("int", "long"),
        ("size", "doc"): ("Lots.", "Units."),
        ("side", "symbols"): ("", "+ C"),
        ("venue", "added"): ("", 'string = ""'),
    } == told
    assert (0, [], ["TYPE_MISMATCH"]) == (
        code, found["levels"]["BACKWARD"], [item["rule"] for item in found["levels"]["FORWARD"]],
    )  # fmt: skip
    shown = run("diff", "market.block.sided").stdout
    assert "BACKWARD: yes" in shown and "FORWARD: no" in shown and "size is int in v1" in shown


def test_a_difference_to_a_revision(own: Path) -> None:
    """What this branch changes."""
    write(own, 2, *BLOCK, field("venue", "string", doc="Where.", default=""))

    code, found = answer("diff", "market.block.placed", "--git", "HEAD")
    assert (0, "v1 at HEAD", ["venue"]) == (code, found["from"], [item["field"] for item in found["differences"]])


@pytest.fixture(scope="module")
def empty_registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two registries that nobody else writes to, each started once: one to lose, one to restore into."""
    with (
        local_registry(tmp_path_factory.mktemp("lost")) as lost,
        local_registry(tmp_path_factory.mktemp("restored")) as restored,
    ):
        yield [lost.url, restored.url]


def test_a_registry_from_nothing_to_lost_and_restored(
    empty_registries: list[str],
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kafka_settings: KafkaSettings,
) -> None:
    """One story, since each step needs the one before it: look up only, dry run, register, archive, lose, restore."""
    url, other = empty_registries
    archive = tmp_path / "archive"
    monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", url)
    settings = load_settings(kafka=kafka_settings.model_dump(), registry={"url": url})
    admin = RegistryAdmin(settings.registry)

    # A publisher looks up and never registers.
    publisher = Publisher(settings, source="test")
    with pytest.raises(ContractError, match="tradewire schemas register"):
        publisher.publish("system.component.started", {"component": "x"}, subject="x")
    publisher.close()
    assert [] == admin.subjects()

    # A dry run says what would be done and does nothing.
    shown = run("register", "--dry-run")
    assert (0, True) == (shown.exit_code, "market.block.placed v1" in shown.stdout)
    assert [] == admin.subjects()

    # Half-way: the registry goes down after some registrations; what is there is said, repeating completes it.
    with failing_after(url, posts=10) as broken:
        contract = Contract.load(settings)
        with pytest.raises(Exception, match="Repeating is safe") as failed:
            contract.register_all(RegistrySettings(url=broken, timeout_ms=20_000))
    assert failed.value.retriable  # type: ignore[attr-defined]
    named = set(failed.value.context["registered"])  # type: ignore[attr-defined]
    assert 10 == len(named)
    done = run("register")
    assert 0 == done.exit_code, done.output
    count = sum(len(type.versions) for type in contract.catalogue.values())
    assert f"{count - 10} registered, 10 were there" in done.stderr
    assert named == {item.title for item in contract.register_all(settings.registry)} - new_titles(done.stdout)

    # Again: nothing new, the same ids; check against it is clean, and a list shows the ids.
    again = run("register")
    assert f"0 registered, {count} were there" in again.stderr
    assert (0, []) == (lambda code, found: (code, found["findings"]))(*answer("check", "--against-registry"))
    rows = json.loads(run("list", "market", "--json").stdout)
    assert all(isinstance(at, int) for row in rows for at in row["versions"].values())

    # An incompatible version is refused before anything is sent.
    file = write(own, 2, *BLOCK, field("venue", "string", doc="Where."))
    code, found = answer("check", "--against-registry", "--level", "FULL")
    assert (1, ("READER_FIELD_MISSING_DEFAULT_VALUE", "venue")) == (code, rules(found)[0])
    file.unlink()

    # A gap in the ids: something that is no Avro schema.
    body = json.dumps({"schemaType": "PROTOBUF", "schema": 'syntax = "proto3"; message A { string x = 1; }'}).encode()
    request(url + "/subjects/foreign/versions", body)
    write(own, 2, *BLOCK, field("venue", "string", doc="Where.", default=""))
    assert 0 == run("register").exit_code

    # Everything is archived, not only ours; the archive is verified.
    kept = run("archive", "--folder", str(archive))
    assert (0, True) == (kept.exit_code, "left out, no Avro schema: foreign" in kept.stderr)
    assert 0 == run("archive", "--folder", str(archive), "--verify").exit_code
    before = {
        version.id: version.schema for history in admin.histories(admin.subjects()).values() for version in history
    }

    # Restored in an empty registry, each id stands for the same schema as before; never into one that is not empty.
    restored = run("archive", "--folder", str(archive), "--restore-to", other)
    assert 0 == restored.exit_code, restored.output
    ids = RegistryIds(RegistrySettings(url=other))
    for entry in SchemaArchive(archive):
        assert json.loads(before[entry.id]) == ids.schema_of(entry.id)
    monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", other)
    assert "FULL_TRANSITIVE" == RegistryAdmin(RegistrySettings(url=other)).level()
    assert "0 registered" in run("register").stderr
    refused = run("archive", "--folder", str(archive), "--restore-to", url)
    assert (1, True) == (refused.exit_code, "only an empty registry" in str(refused.exception))

    # An archive that lacks an id, or holds another schema for it, is told.
    first = sorted(entry.id for entry in SchemaArchive(archive))[:2]
    (archive / f"{first[0]}.json").unlink()
    stored = json.loads((archive / f"{first[1]}.json").read_text())
    (archive / f"{first[1]}.json").write_text(json.dumps(stored | {"schema": "string"}))
    told = run("archive", "--folder", str(archive), "--verify")
    assert 1 == told.exit_code
    assert f"id {first[0]} " in told.stdout and f"id {first[1]} " in told.stdout and "another schema" in told.stdout


def new_titles(table: str) -> set[str]:
    return {f"{found[1]} v{found[2]}" for found in re.finditer(r"│ (\S+) v(\d+) +│ \d+ +│ new │", table)}


def request(url: str, body: bytes) -> None:
    made = urllib.request.Request(url, body, {"Content-Type": "application/vnd.schemaregistry.v1+json"})
    urllib.request.urlopen(made, timeout=20).read()


class failing_after:  # noqa: N801  a context manager that reads as a phrase
    """A registry's address that forwards to a real one, and answers 503 to every registration after so many."""

    def __init__(self, url: str, posts: int) -> None:
        left, lock = [posts], threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                with lock:  # one at a time, so that exactly so many are registered
                    if self.command == "POST" and self.path.endswith("/versions"):
                        left[0] -= 1
                        if left[0] < 0:
                            self._answer(503, b'{"message": "down"}')
                            return
                    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
                    made = urllib.request.Request(url + self.path, body, headers, method=self.command)
                    try:
                        with urllib.request.urlopen(made, timeout=20) as given:
                            self._answer(given.status, given.read())
                    except urllib.error.HTTPError as error:
                        self._answer(error.code, error.read())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class answering(failing_after):  # noqa: N801
    """An address that answers everything with one status and body."""

    def __init__(self, status: int, body: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b'{"message": "no"}', "registry.username"),
        (404, b"<html>", "registry.url must be the base"),
        (200, b"<html>", "something other than JSON"),
        (500, b"boom", "answers 500"),
    ],
)
def test_a_registry_that_gives_no_use_says_what_to_check(
    own: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, says: str
) -> None:
    """Login, base address, another server, a broken one: exit code 2 of check, and no traceback."""
    with answering(status, body) as url:
        monkeypatch.setenv("TRADEWIRE_REGISTRY__URL", url)
        done = run("check", "--against-registry")
    assert (2, True) == (done.exit_code, says in done.stderr), done.stderr


def test_a_registry_that_is_away_is_an_answer_of_its_own(own: Path) -> None:
    """List works without it and says so; check could not be done; register says it is away."""
    listed = run("list", "market")
    assert (0, True) == (listed.exit_code, "without ids: http://127.0.0.1:1 does not answer" in listed.stderr)
    assert "market.block.placed" in listed.stdout
    assert 2 == run("check", "--against-registry").exit_code
    assert "does not answer" in str(run("register").exception)


def test_no_path_of_a_publisher_registers() -> None:
    """Producers, processors, sinks and the gateway neither import the registrar nor call a registration."""
    root = Path(__file__).resolve().parents[2]
    found = [
        f"{file.relative_to(root)}: {word}"
        for room in ("producers", "processors", "sinks", "gateway")
        for file in (root / room).rglob("*.py")
        for word in ("registration", "registry_admin", "register_schema", "register_all", "auto.register")
        if word in file.read_text(encoding="utf-8")
    ]
    assert [] == found

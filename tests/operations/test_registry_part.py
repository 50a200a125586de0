"""The schema registry as a part of the stack: its rule is enforced, its ids last."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tradewire.operations.stack import Artifacts, Java, PortTaken, Supervisor, free_ports, registry_part
from tradewire.operations.stack._registry import RegistryServer
from tradewire.operations.stack.cluster import LocalRegistry, local_registry


def ask(registry: LocalRegistry, method: str, path: str, body: object = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        registry.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def avro(name: str, **fields: str) -> dict[str, str]:
    record = {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
    }
    return {"schema": json.dumps(record)}


def register(registry: LocalRegistry, subject: str, schema: dict[str, str]) -> int:
    status, answer = ask(registry, "POST", f"/subjects/{subject}/versions", schema)
    assert 200 == status, answer
    return int(answer["id"])


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, artifacts: Artifacts) -> Iterator[LocalRegistry]:
    with local_registry(tmp_path_factory.mktemp("registry"), cache_dir=artifacts.cache_dir) as running:
        yield running


def test_an_incompatible_schema_is_refused(registry: LocalRegistry) -> None:
    """Out of the box this registry accepts anything: the rule has to be switched on before it counts as ready."""
    register(registry, "market.events-Trade", avro("Trade", price="int"))

    status, answer = ask(registry, "POST", "/subjects/market.events-Trade/versions", avro("Trade", price="string"))

    assert 409 == status, answer
    assert (200, {"compatibilityLevel": "FULL_TRANSITIVE"}) == ask(registry, "GET", "/config")


def test_the_rule_is_back_after_somebody_switched_it_off(registry: LocalRegistry) -> None:
    """Each start sets it anew: the configuration is the truth, not what an API call left."""
    ask(registry, "PUT", "/config", {"compatibility": "NONE"})
    registry.stop()
    registry.start()

    assert (200, {"compatibilityLevel": "FULL_TRANSITIVE"}) == ask(registry, "GET", "/config")


def test_ids_given_out_a_moment_before_kill_nine_are_kept(registry: LocalRegistry) -> None:
    """A lost id would be given to another schema, and events written with it would be read as that one.

    Fails with H2's default of writing commits half a second later.
    """
    for turn in range(3):
        ids = {
            f"kept-{turn}-{number}": register(registry, f"kept-{turn}-{number}", avro(f"K{turn}_{number}", a="int"))
            for number in range(5)
        }
        registry.kill()
        registry.start()

        assert 5 == len(set(ids.values()))
        for subject, schema_id in ids.items():
            status, version = ask(registry, "GET", f"/subjects/{subject}/versions/latest")
            assert (200, schema_id) == (status, version.get("id")), version


def test_ids_survive_an_orderly_restart_and_are_not_given_twice(registry: LocalRegistry) -> None:
    """The same schema keeps its id; a new one gets a new id."""
    first = register(registry, "orderly", avro("Orderly", a="int"))
    registry.stop()
    registry.start()

    assert first == register(registry, "orderly", avro("Orderly", a="int"))
    assert first != register(registry, "other", avro("Other", a="int"))


def test_it_stays_small(registry: LocalRegistry) -> None:
    """A registry of a few hundred schemas must not cost half a gigabyte."""
    assert registry.pid is not None

    assert psutil.Process(registry.pid).memory_info().rss < 350 * 2**20


def test_a_proxy_in_the_environment_is_not_asked(
    registry: LocalRegistry, artifacts: Artifacts, java: Java, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a company proxy the readiness of a server on this machine must not depend on it."""
    port = int(registry.url.split(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)

        assert RegistryServer(tmp_path, port=port, artifacts=artifacts, java=java).pending() is None


def test_a_taken_port_is_named_with_its_holder_and_setting(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """The registry's own message would be a stack trace of its HTTP server."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}.*pid {os.getpid()}.*local\.registry_port"):
            RegistryServer(tmp_path, port=port, artifacts=artifacts, java=java).start()


def test_under_the_supervisor_it_is_ready_only_with_its_rule(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """What depends on the registry starts after the rule is on, with the level that was asked for."""
    (port,) = free_ports(1)
    part = registry_part(
        tmp_path / "registry", port=port, artifacts=artifacts, java=java, compatibility="BACKWARD", log_dir=tmp_path
    )
    with Supervisor([part], data_folder=tmp_path) as supervisor:
        supervisor.wait_ready(90)
        server = RegistryServer(tmp_path, port=port, artifacts=artifacts, java=java, compatibility="BACKWARD")

        assert {"compatibilityLevel": "BACKWARD"} == server._request("GET", "/config")

"""The stack from images keeps to the Compose specification and to our own settings. Nothing here starts a container."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tradewire.core import Settings, load_settings
from tradewire.schemas import Topics
from tradewire.sinks.retention.policy import Policy

REPO = Path(__file__).resolve().parents[2]
DEFAULTS = Settings()
OURS = ("setup", "worker", "sink", "gateway", "retention")
ONE_SHOT = {"setup"}
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as Compose sees it where no variable is set: anchors merged, defaults put in."""
    text = (REPO / "docker-compose.yml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(r"\2", text))
    return content


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def settings_of(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    monkeypatch.chdir(folder)
    for name, value in service["environment"].items():
        if name.startswith("TRADEWIRE_"):
            monkeypatch.setenv(name, value)
    return load_settings()


def published(service: dict[str, Any]) -> dict[int, int]:
    """Container port by host port."""
    return {int(host): int(inner) for _, host, inner in (entry.split(":") for entry in service.get("ports", []))}


def test_the_file_keeps_to_the_compose_specification(compose: dict[str, Any]) -> None:
    """Validated against the specification's own JSON schema; a misspelt key anywhere is refused by it."""
    # The package is only the schema's carrier and is not imported: its own command may not fit the click of the lock.
    found = importlib.util.find_spec("check_jsonschema")
    assert found is not None and found.origin is not None
    file = Path(found.origin).parent / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)

    assert [] == [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)]
    broken = {**compose, "services": {"kafka": {**compose["services"]["kafka"], "helthcheck": {}}}}
    assert not validator.is_valid(broken)


def test_every_volume_and_dependency_that_is_named_exists(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """What the schema cannot see: references. A declared volume that nobody mounts is a leftover."""
    sources = {entry.split(":")[0] for service in services.values() for entry in service.get("volumes", [])}
    mounted = {name for name in sources if not name.startswith(".")}
    assert [] == [file for file in sources - mounted if not (REPO / file).is_file()]
    depended = {name for service in services.values() for name in service.get("depends_on", {})}

    assert set(compose["volumes"]) == mounted
    assert depended <= set(services)


@pytest.mark.parametrize("name", OURS)
def test_every_tradewire_variable_is_a_known_setting(
    name: str, services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """load_settings refuses unknown names and bad values, so loading them is the proof; they point at the services."""
    settings = settings_of(services[name], monkeypatch, tmp_path)

    host, port = settings.kafka.bootstrap_servers.split(":")
    assert f"INTERNAL://{host}:{port}" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert "http://registry:8080/apis/ccompat/v7" == settings.registry.url
    assert ("clickhouse", 8123) == (settings.clickhouse.host, settings.clickhouse.port)
    clickhouse = services["clickhouse"]["environment"]
    assert clickhouse["CLICKHOUSE_USER"] == settings.clickhouse.username
    assert clickhouse["CLICKHOUSE_PASSWORD"] == settings.clickhouse.password.get_secret_value()
    assert clickhouse["CLICKHOUSE_DB"] == settings.clickhouse.database == DEFAULTS.clickhouse.database


def test_the_host_reaches_each_part_where_the_default_settings_look_for_it(services: dict[str, dict[str, Any]]) -> None:
    """A client on the host needs no configuration but ClickHouse's login; nothing listens beyond loopback."""
    kafka_port = int(DEFAULTS.kafka.bootstrap_servers.split(":")[1])

    assert {kafka_port: kafka_port} == published(services["kafka"])
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"HOST://{DEFAULTS.kafka.bootstrap_servers}" in advertised
    assert f":{DEFAULTS.local.registry_port}/" in DEFAULTS.registry.url
    assert {DEFAULTS.local.registry_port: 8080} == published(services["registry"])
    assert {DEFAULTS.clickhouse.port: 8123} == published(services["clickhouse"])
    assert {DEFAULTS.gateway.port: DEFAULTS.gateway.port} == published(services["gateway"])
    entries = [entry for service in services.values() for entry in service.get("ports", [])]
    assert [] == [entry for entry in entries if not entry.startswith("127.0.0.1:")]


def test_the_listeners_of_the_broker_agree_with_each_other(services: dict[str, dict[str, Any]]) -> None:
    """Each listener has a protocol and, but for the controller's, an advertised address of the same port."""
    environment = services["kafka"]["environment"]
    listeners = dict(item.split("://") for item in environment["KAFKA_LISTENERS"].split(","))
    advertised = dict(item.split("://") for item in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    protocols = dict(item.split(":") for item in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))

    assert set(listeners) == set(protocols) == set(advertised) | {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert all(advertised[name].endswith(listeners[name]) for name in advertised)
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].endswith(listeners["CONTROLLER"])
    assert "kafka" == environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].split("@")[1].split(":")[0]


def test_topics_can_be_made_on_the_one_broker(services: dict[str, dict[str, Any]]) -> None:
    """topics.yaml leaves replication to the broker or asks for one; internal topics ask for no second broker either."""
    environment = services["kafka"]["environment"]
    replicated = {key: value for key, value in environment.items() if key.endswith(("REPLICATION_FACTOR", "MIN_ISR"))}

    assert {topic.replication for topic in Topics.load().values()} <= {-1, 1}
    assert {
        "KAFKA_DEFAULT_REPLICATION_FACTOR",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR",
    } <= set(replicated)
    assert {"1"} == set(replicated.values())
    assert "false" == environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]


def test_every_service_has_a_health_check_or_runs_once_to_its_end(services: dict[str, dict[str, Any]]) -> None:
    """And whoever is waited for can be waited for: healthy needs a health check, completed needs an end."""
    assert ONE_SHOT == {name for name, service in services.items() if "healthcheck" not in service}
    assert ONE_SHOT == {name for name, service in services.items() if service["restart"] == "no"}
    wanted = {
        (other, need["condition"])
        for service in services.values()
        for other, need in service.get("depends_on", {}).items()
    }
    assert [] == [other for other, need in wanted if need == "service_healthy" and other in ONE_SHOT]
    assert [] == [other for other, need in wanted if need == "service_completed_successfully" and other not in ONE_SHOT]


def test_images_are_pinned_to_a_release(services: dict[str, dict[str, Any]]) -> None:
    """Every image names a full version; ours is the version of the distribution."""
    tags = {service["image"].rsplit(":", 1)[0]: service["image"].rsplit(":", 1)[-1] for service in services.values()}
    project = (REPO / "pyproject.toml").read_text(encoding="utf-8")

    assert [] == [f"{image}:{tag}" for image, tag in tags.items() if not re.fullmatch(r"\d+\.\d+\.\d+(\.\d+)?", tag)]
    assert f'version = "{tags["tradewire"]}"' in project


def test_the_commands_run_modules_that_exist(services: dict[str, dict[str, Any]]) -> None:
    """A worker, sink or gateway that was renamed would otherwise be noticed by nobody before a container starts."""
    modules = [
        service["command"][2] for service in services.values() if service.get("command", [])[:2] == ["python", "-m"]
    ]

    assert len(OURS) == len(modules)
    for module in modules:
        found = importlib.util.find_spec(module)
        assert found is not None, module
        if found.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{module}.__main__") is not None, module


def test_metrics_are_probed_at_the_ports_that_the_settings_give(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A health check against another port would restart a healthy worker for ever."""
    expected = {
        "worker": lambda settings: f"127.0.0.1:{settings.worker.metrics_port}/metrics",
        "sink": lambda settings: f"127.0.0.1:{settings.sink.metrics_port}/metrics",
        "gateway": lambda settings: f"127.0.0.1:{settings.gateway.port}/health/live",
    }
    for name, address in expected.items():
        with monkeypatch.context() as patch:
            settings = settings_of(services[name], patch, tmp_path)
        assert address(settings) in services[name]["healthcheck"]["test"][-1], name


def test_our_image_is_built_from_files_that_are_sent_and_runs_as_nobody_special(
    services: dict[str, dict[str, Any]],
) -> None:
    """The Dockerfile exists, does not end as root, and its build context is not emptied by .dockerignore."""
    build = services["gateway"]["build"]
    dockerfile = (REPO / build["context"] / build["dockerfile"]).read_text(encoding="utf-8")
    sent = {
        line[1:] for line in (REPO / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    }

    users = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)
    assert users and users[-1] not in ("root", "0")
    assert {"pyproject.toml", "requirements.lock", "README.md", "core", "schemas", "gateway", "operations"} <= sent
    entries = [entry.split(":") for name in OURS for entry in services[name].get("volumes", [])]
    mounted = {entry[1] for entry in entries if not entry[0].startswith(".")}
    assert [] == [folder for folder in mounted if folder not in dockerfile]


def test_retention_keeps_everything_until_its_file_is_changed_and_archives_into_its_volume(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The mounted file is a policy that loads; files are written where the volume is, and its health can be asked."""
    service = services["retention"]
    settings = settings_of(service, monkeypatch, tmp_path)
    mounts = dict(reversed(entry.split(":")[:2]) for entry in service["volumes"])
    policy = Policy.load(
        REPO / mounts[str(settings.retention.policy_file)],
        topics=[name for name, topic in Topics.load().items() if topic.stored], event_tables=(), model_tables=(),
    )  # fmt: skip

    assert () == policy.rules
    assert "archive-data" == mounts[str(settings.retention.archive_folder)]
    assert ["--check"] == service["healthcheck"]["test"][4:]

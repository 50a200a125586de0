"""The parts of the local stack, made of settings: who runs, with which command and environment, after whom."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tradewire.core import StackError
from tradewire.core.settings import RetentionSettings, Settings
from tradewire.operations.stack import (
    Child,
    Part,
    command_part,
    ensure_port_free,
    find_java,
    kafka_part,
    pending_http,
    pending_port,
    registry_part,
    resolve_artifacts,
    start_child,
)
from tradewire.operations.watching import WatchedPart
from tradewire.processors.declared_work import EXIT_REFUSED, DeclaredWork
from tradewire.processors.group_watch import GroupWatch
from tradewire.processors.watchdog import Rules
from tradewire.schemas import Contract

_HOST = "127.0.0.1"
# Where worker and sink show their metrics, unless settings say otherwise; an open port is also how they say "ready".
WORKER_METRICS_PORT = 19101
SINK_METRICS_PORT = 19102
# How our processes, and Python's own refusal of arguments, say that a setting is wrong.
_REFUSED = EXIT_REFUSED
_CHECK_TIMEOUT_S = 60


def _must_agree(settings: Settings) -> None:
    """What clients are told must be what is started; a stack that nobody reaches would look healthy."""
    local = settings.local
    for left, right, expected, found in (
        (
            "kafka.bootstrap_servers",
            "local.kafka_port",
            f"{_HOST}:{local.kafka_port}",
            settings.kafka.bootstrap_servers,
        ),
        ("clickhouse.host", "the local stack", _HOST, settings.clickhouse.host),
    ):
        if expected != found:
            raise StackError(f"{left} is {found}, but {right} would make it {expected}: change one of them")
    if f":{local.registry_port}/" not in settings.registry.url:
        raise StackError(
            f"registry.url is {settings.registry.url}, but local.registry_port is {local.registry_port}: "
            "change one of them"
        )


def refuse_wrong_declarations(settings: Settings) -> None:
    """Checks what the worker is told to do by files and handlers, before anything is started, deleted or made.

    Modules of handlers are imported in a process of their own, which ends at once: a module that needs what does not
    run yet is the worker's to refuse.

    Raises:
        DeclarationInvalid, SettingsError: a file of flows or patterns is wrong, or the worker would have nothing to do.
        StackError: a handler cannot be had, or its types cannot be read; says what the worker would say.
    """
    contract = Contract.load(settings)
    if not settings.worker.handlers:
        DeclaredWork.check(settings, contract)
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        checked = subprocess.run(
            [sys.executable, "-m", "tradewire.processors.declared_work"],
            env={**os.environ, **environment_of(settings)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_S,
            check=False,
        )
        if checked.returncode == EXIT_REFUSED:
            raise StackError(checked.stderr.strip())


def _archive_folder(settings: Settings) -> Path:
    """The one that was set, else one beside the other data of the stack."""
    given = settings.retention.archive_folder
    default = RetentionSettings().archive_folder
    return settings.local.data_folder / "archive" if given == default else given


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a child process loads the same addresses and folders, wherever it runs."""
    local = settings.local
    values = {
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "REGISTRY__URL": settings.registry.url,
        "REGISTRY__ARCHIVE_FOLDER": settings.registry.archive_folder or local.data_folder / "schema-archive",
        "CLICKHOUSE__HOST": settings.clickhouse.host,
        "CLICKHOUSE__PORT": settings.clickhouse.port,
        "CLICKHOUSE__DATABASE": settings.clickhouse.database,
        "CLICKHOUSE__USERNAME": settings.clickhouse.username,
        # In the environment, not among the arguments: those every user of the machine can read.
        "CLICKHOUSE__PASSWORD": settings.clickhouse.password.get_secret_value(),
        "GATEWAY__HOST": settings.gateway.host,
        "GATEWAY__PORT": settings.gateway.port,
        "WORKER__DATA_FOLDER": local.data_folder / "worker",
        "WORKER__METRICS_PORT": settings.worker.metrics_port or WORKER_METRICS_PORT,
        "SINK__METRICS_PORT": settings.sink.metrics_port or SINK_METRICS_PORT,
        "RETENTION__ARCHIVE_FOLDER": _archive_folder(settings),
        "RETENTION__DAILY_AT": settings.retention.daily_at,
        "LOCAL__KAFKA_PORT": local.kafka_port,
        "LOCAL__KAFKA_CONTROLLER_PORT": local.kafka_controller_port,
        "LOCAL__REGISTRY_PORT": local.registry_port,
        "LOG__FORMAT": "json",
    }
    if settings.retention.policy_file is not None:
        values["RETENTION__POLICY_FILE"] = settings.retention.policy_file
    absolute = {key: value.absolute() if isinstance(value, Path) else value for key, value in values.items()}
    return {f"TRADEWIRE_{key}": str(value) for key, value in absolute.items()}


def local_parts(settings: Settings, *, on_progress: Callable[[str], None] | None = None) -> tuple[Part, ...]:
    """All parts of the stack; fetches what is missing in the cache of jars, starts nothing.

    Raises:
        StackError: Java, Maven or a download is missing, or two settings would make a stack that nobody reaches.
    """
    _must_agree(settings)
    local, log_folder = settings.local, settings.local.data_folder.absolute() / "logs"
    java = find_java()
    artifacts = resolve_artifacts(local.cache_folder, on_progress=on_progress)
    return (
        kafka_part(
            local.data_folder.absolute() / "kafka",
            broker_port=local.kafka_port,
            controller_port=local.kafka_controller_port,
            artifacts=artifacts,
            java=java,
            heap_mb=local.kafka_heap_mb,
            log_dir=log_folder,
        ),
        registry_part(
            local.data_folder.absolute() / "registry",
            port=local.registry_port,
            artifacts=artifacts,
            java=java,
            heap_mb=local.registry_heap_mb,
            log_dir=log_folder,
        ),
        *_python_parts(settings, log_folder),
    )


def _python_parts(settings: Settings, log_folder: Path) -> tuple[Part, ...]:
    env, clickhouse, gateway = environment_of(settings), settings.clickhouse, settings.gateway
    worker_port, sink_port = int(env["TRADEWIRE_WORKER__METRICS_PORT"]), int(env["TRADEWIRE_SINK__METRICS_PORT"])
    watch = GroupWatch(
        settings.kafka,
        settings.worker.group,
        folder=Path(env["TRADEWIRE_WORKER__DATA_FOLDER"]),
        rules=Rules(standing_ms_max=settings.worker.standing_ms_max),
    )
    watched = WatchedPart(watch, pending_port(_HOST, worker_port))
    engine_folder = settings.local.data_folder.absolute() / "clickhouse"
    address = ["--host", clickhouse.host, "--port", str(clickhouse.port)]
    engine_arguments = [*address, "--data", str(engine_folder), "--user", clickhouse.username]
    return (
        Part(
            name="clickhouse",
            start=_module("clickhouse", "tradewire.operations.clickhouse_server", engine_arguments, log_folder, env,
                          port=clickhouse.port, setting="clickhouse.port"),
            pending=pending_http(f"http://{clickhouse.host}:{clickhouse.port}/ping"),
            ports={"http": clickhouse.port},
            refused_code=_REFUSED,
        ),
        command_part(
            "setup",
            [sys.executable, "-m", "tradewire.operations.setup"],
            log_file=log_folder / "setup.log",
            env=env,
            depends_on=("kafka", "registry"),
            one_shot=True,
            refused_code=_REFUSED,
            ready_timeout_s=120,
        ),
        Part(
            name="worker",
            start=_module("worker", "tradewire.processors.worker", [], log_folder, env,
                          port=worker_port, setting="worker.metrics_port"),
            pending=watched.pending,
            ended=watched.ended,
            depends_on=("setup",),
            ports={"metrics": worker_port},
            refused_code=_REFUSED,
            hang_timeout_s=8.0,
        ),
        Part(
            name="sink",
            start=_module("sink", "tradewire.sinks.worker", ["--instance-id", "local"], log_folder, env,
                          port=sink_port, setting="sink.metrics_port"),
            pending=pending_port(_HOST, sink_port),
            depends_on=("setup", "clickhouse"),
            ports={"metrics": sink_port},
            refused_code=_REFUSED,
        ),
        command_part(
            "retention",
            [sys.executable, "-m", "tradewire.operations.retention_daily"],
            log_file=log_folder / "retention.log",
            env=env,
            depends_on=("setup", "clickhouse"),
            refused_code=_REFUSED,
        ),
        Part(
            name="gateway",
            start=_module("gateway", "tradewire.gateway", [], log_folder, env,
                          port=gateway.port, setting="gateway.port"),
            pending=pending_http(f"http://{gateway.host}:{gateway.port}/health/live"),
            depends_on=("setup", "clickhouse"),
            ports={"http": gateway.port},
            refused_code=_REFUSED,
        ),
    )  # fmt: skip


def _module(
    name: str, module: str, arguments: list[str], log_folder: Path, env: Mapping[str, str], *, port: int, setting: str
) -> Callable[[], Child]:
    def start() -> Child:
        ensure_port_free(_HOST, port, purpose=name, setting=setting)
        command = [sys.executable, "-m", module, *arguments]
        full_env = {"PYTHONUNBUFFERED": "1", **env}
        return start_child(command, name=name, log_file=log_folder / f"{name}.log", env=full_env)

    return start

"""Settings: read once from file and environment, validated whole, frozen.

Sources, strongest first: arguments of ``load_settings``, environment (``TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS``), the TOML
file named by ``TRADEWIRE_CONFIG`` (default ``tradewire.toml`` in the working folder, if there), the defaults below.
An unknown key is refused in all of them: a misspelt setting that is silently ignored is an outage later.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tradewire.core.errors import SettingsError
from tradewire.core.logs import LogFormat
from tradewire.core.settings_section import Section as _Section
from tradewire.core.subscriber_settings import SubscriberSettings

ENV_PREFIX = "TRADEWIRE_"
# Read by the loader and by the test suite, not settings of the platform.
_NOT_SETTINGS = ("TRADEWIRE_CONFIG", "TRADEWIRE_TEST_", "TRADEWIRE_FAILPOINT")
Port = int


class KafkaSettings(_Section):
    """How to reach the brokers; the same for producers, workers, the sink and admin calls."""

    bootstrap_servers: str = "127.0.0.1:19092"
    client_id: str = "tradewire"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None

    @model_validator(mode="after")
    def _security_pairs(self) -> Self:
        sasl = self.security_protocol.startswith("SASL")
        if sasl and not (self.sasl_mechanism and self.sasl_username and self.sasl_password):
            raise ValueError(
                f"kafka.security_protocol={self.security_protocol} needs kafka.sasl_mechanism, kafka.sasl_username and "
                "kafka.sasl_password"
            )
        if not sasl and self.sasl_mechanism:
            raise ValueError(
                f"kafka.sasl_mechanism={self.sasl_mechanism} contradicts kafka.security_protocol="
                f"{self.security_protocol}: the password would be ignored; set SASL_SSL"
            )
        if (self.ssl_certificate_file is None) != (self.ssl_key_file is None):
            raise ValueError("kafka.ssl_certificate_file and kafka.ssl_key_file go together: one of them is missing")
        return self

    def client_config(self) -> dict[str, str | int | float | bool]:
        """The librdkafka keys of these settings; the caller adds what is special to its kind of client."""
        config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id,
            "security.protocol": self.security_protocol,
            # librdkafka tries again after 100 ms and logs each refusal; a broker that restarts takes seconds.
            "reconnect.backoff.ms": 250,
            "reconnect.backoff.max.ms": 5_000,
        }
        if self.sasl_mechanism and self.sasl_username and self.sasl_password:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        for key, file in (
            ("ssl.ca.location", self.ssl_ca_file),
            ("ssl.certificate.location", self.ssl_certificate_file),
            ("ssl.key.location", self.ssl_key_file),
        ):
            if file is not None:
                config[key] = str(file)
        return config


class RegistrySettings(_Section):
    """The Confluent-compatible schema registry, and the archive that answers when it is away.

    ``compatibility`` is what a new version must keep. Registering sets it on each subject that gets a version
    (``compatibility_scope`` "subject"), on the whole registry ("global"), or leaves the registry as it is ("leave").
    """

    url: str = "http://127.0.0.1:18081/apis/ccompat/v7"
    timeout_ms: int = Field(default=5_000, ge=100)
    username: str | None = None
    password: SecretStr | None = None
    archive_folder: Path | None = None
    compatibility: Literal[
        "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
    ] = "FULL_TRANSITIVE"
    compatibility_scope: Literal["subject", "global", "leave"] = "subject"

    @model_validator(mode="after")
    def _login_pair(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("registry.username and registry.password go together: one of them is missing")
        return self


class SchemasSettings(_Section):
    """The catalogue: ours is built in; ``folder`` adds event types of the user's own, of the same shape."""

    folder: Path | None = None
    topics_file: Path | None = None


class PublisherSettings(_Section):
    """Limits and batching of publishers. ``publish`` waits at most ``block_ms_max`` for room in the queue.

    ``spool_folder`` is where events wait on disk while no broker answers (``tradewire.producers.spool``); one publisher
    has it for itself. ``spool_synchronous`` is SQLite's: with NORMAL what was accepted survives the death of the
    process, with FULL also that of the machine, for one fsync per event. ``transactional_id`` names this instance of
    the service over its restarts, for ``Publisher.transaction``. ``tracing`` "auto" makes spans once the service has
    configured an OpenTelemetry tracer provider.
    """

    source: str = "tradewire"
    linger_ms: int = Field(default=5, ge=0, le=1_000)
    batch_bytes_max: int = Field(default=1_000_000, ge=1_024)
    queue_messages_max: int = Field(default=500_000, ge=1)
    queue_bytes_max: int = Field(default=512 * 1024 * 1024, ge=1024 * 1024)
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = "lz4"
    delivery_timeout_ms: int = Field(default=120_000, ge=1_000)
    block_ms_max: int = Field(default=5_000, ge=0)
    event_bytes_max: int = Field(default=1_000_000, ge=1_024)
    breaker_stall_ms: int = Field(default=3_000, ge=100)
    breaker_probe_ms: int = Field(default=500, ge=10)
    spool_folder: Path | None = None
    spool_bytes_max: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    spool_synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    transactional_id: str | None = Field(default=None, min_length=1)
    transaction_timeout_ms: int = Field(default=60_000, ge=1_000, le=900_000)
    tracing: Literal["auto", "on", "off"] = "auto"

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.linger_ms >= self.delivery_timeout_ms:
            raise ValueError(
                f"publisher.linger_ms={self.linger_ms} must be below publisher.delivery_timeout_ms="
                f"{self.delivery_timeout_ms}: events would time out while they wait for a batch"
            )
        return self


class WorkerSettings(_Section):
    """The Faust worker: its group, its state folder, the ceilings of a batch, and files of what it watches for.

    ``deadline_grace_ms`` is added to deadlines of flows and patterns: what an event needs from Kafka to the worker.
    Records whose schema id the registry does not know are waited for ``unknown_schema_wait_ms``, then dead letters.
    ``projections``, ``correlation`` and ``handlers`` (each ``module`` or ``module:attribute``) are what the workers of
    this group are there for; see ``docs/processing.md``.
    """

    group: str = "tradewire-worker"
    projections: tuple[Literal["last_price", "candle", "order", "position"], ...] = (
        "last_price",
        "candle",
        "order",
        "position",
    )
    correlation: bool = True
    handlers: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?$")], ...] = ()
    data_folder: Path = Path(".tradewire/worker")
    batch_rows_max: int = Field(default=2_000, ge=1)
    candle_interval_ms: int = Field(default=60_000, ge=1_000)
    flows_file: Path | None = None
    patterns_file: Path | None = None
    deadline_grace_ms: int = Field(default=500, ge=0)
    # Below the time after which a worker that gets no schema begins anew.
    unknown_schema_wait_ms: int = Field(default=60_000, ge=0, le=100_000)
    # Dead letters that may wait behind one key; with one more the worker halts.
    parked_per_key_max: int = Field(default=10_000, ge=1)
    # How long the group waits for a worker that says nothing before others get its partitions.
    session_timeout_ms: int = Field(default=30_000, ge=6_000, le=300_000)
    # How long commits may stand while records wait, before a watchdog takes the worker for hung and kills it.
    standing_ms_max: int = Field(default=60_000, ge=5_000)
    metrics_port: Port | None = Field(default=None, ge=1, le=65_535)


class SinkSettings(_Section):
    """The sink: its group and the ceilings of a batch (rows, bytes, age); see its protocol in ``tradewire.sinks``.

    Records whose schema id the registry does not know are waited for ``unknown_schema_wait_ms``, then dead letters.
    """

    group: str = "tradewire-sink"
    batch_rows_max: int = Field(default=50_000, ge=1, le=1_000_000)
    batch_bytes_max: int = Field(default=64 * 1024 * 1024, ge=1_024, le=256 * 1024 * 1024)
    batch_age_ms_max: int = Field(default=500, ge=1)
    deduplication_window: int = Field(default=10_000, ge=100)
    poll_interval_ms_max: int = Field(default=300_000, ge=10_000)
    unknown_schema_wait_ms: int = Field(default=60_000, ge=0)
    metrics_port: Port | None = Field(default=None, ge=1, le=65_535)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.batch_age_ms_max >= self.poll_interval_ms_max:
            raise ValueError(
                f"sink.batch_age_ms_max={self.batch_age_ms_max} must be below sink.poll_interval_ms_max="
                f"{self.poll_interval_ms_max}: the group would evict the sink while it gathers a batch"
            )
        return self


class ClickHouseSettings(_Section):
    """Where ClickHouse answers HTTP."""

    host: str = "127.0.0.1"
    port: Port = Field(default=18123, ge=1, le=65_535)
    database: str = Field(default="tradewire", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    username: str = "default"
    password: SecretStr = SecretStr("")
    secure: bool = False
    timeout_ms: int = Field(default=60_000, ge=1_000)


class RetentionSettings(_Section):
    """How long ClickHouse keeps what it has stored: the policy, the folder of archives, when cleanup is due (UTC)."""

    policy_file: Path | None = None
    archive_folder: Path = Path(".tradewire/archive")
    daily_at: str = Field(default="03:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


class GatewaySettings(_Section):
    """The HTTP service. It listens on loopback unless told otherwise: this form has no authentication yet."""

    host: str = "127.0.0.1"
    port: Port = Field(default=18080, ge=1, le=65_535)
    sql_rows_max: int = Field(default=10_000, ge=1)
    sql_seconds_max: int = Field(default=30, ge=1)
    sql_memory_mb_max: int = Field(default=2_000, ge=1)


class LocalSettings(_Section):
    """The local stack: where its data and its downloads lie, and how much memory its JVMs get."""

    data_folder: Path = Path(".tradewire")
    cache_folder: Path = Field(
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tradewire"
    )
    kafka_port: Port = Field(default=19092, ge=1, le=65_535)
    kafka_controller_port: Port = Field(default=19093, ge=1, le=65_535)
    registry_port: Port = Field(default=18081, ge=1, le=65_535)
    kafka_heap_mb: int = Field(default=512, ge=128)
    registry_heap_mb: int = Field(default=256, ge=128)


class LogSettings(_Section):
    """Level and format of the logs on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: LogFormat = "auto"


class Settings(BaseSettings):
    """All settings of the platform, frozen. Made by ``load_settings``, which turns every mistake into SettingsError."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", validate_default=True
    )

    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    schemas: SchemasSettings = SchemasSettings()
    publisher: PublisherSettings = PublisherSettings()
    worker: WorkerSettings = WorkerSettings()
    subscriber: SubscriberSettings = SubscriberSettings()
    sink: SinkSettings = SinkSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    retention: RetentionSettings = RetentionSettings()
    gateway: GatewaySettings = GatewaySettings()
    local: LocalSettings = Field(default_factory=LocalSettings)
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        seen: dict[int, str] = {}
        for name, port in (
            ("local.kafka_port", self.local.kafka_port),
            ("local.kafka_controller_port", self.local.kafka_controller_port),
            ("local.registry_port", self.local.registry_port),
            ("clickhouse.port", self.clickhouse.port),
            ("gateway.port", self.gateway.port),
            ("worker.metrics_port", self.worker.metrics_port),
            ("sink.metrics_port", self.sink.metrics_port),
        ):
            if port is None:
                continue
            if port in seen:
                raise ValueError(f"{seen[port]} and {name} are both {port}: give one of them another port")
            seen[port] = name
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, _TomlSource(settings_cls))


class _TomlSource(PydanticBaseSettingsSource):
    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        file = _settings_file(os.environ)
        if file is None:
            return {}
        try:
            return tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{file} is not TOML: {error}", file=str(file)) from error


def _settings_file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("TRADEWIRE_CONFIG")
    if named:
        file = Path(named)
        if not file.is_file():
            raise SettingsError(f"TRADEWIRE_CONFIG names {named}, which is not a file", file=named)
        return file
    default = Path("tradewire.toml")
    return default if default.is_file() else None


def _known_environment() -> Iterator[str]:
    for section, field in Settings.model_fields.items():
        yield f"{ENV_PREFIX}{section}".upper()
        model = field.annotation
        if isinstance(model, type) and issubclass(model, _Section):
            for key in model.model_fields:
                yield f"{ENV_PREFIX}{section}__{key}".upper()


def _refuse_unknown_environment(environ: Mapping[str, str]) -> None:
    known = set(_known_environment())
    for name in sorted(environ):
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known and not name.startswith(_NOT_SETTINGS):
            section = name.upper().removeprefix(ENV_PREFIX).split("__")[0]
            near = sorted(key for key in known if key.startswith(f"{ENV_PREFIX}{section}__"))
            hint = f"keys of that section: {', '.join(near)}" if near else "no such section"
            raise SettingsError(f"environment variable {name} is not a setting ({hint})", key=name)


def _not_a_setting(key: str, overrides: Mapping[str, Any]) -> str:
    """Where the unknown key stands, and the one that was meant."""
    section, _, name = key.partition(".")
    given = overrides.get(section, {})
    file = None if section in overrides and (not name or name in given) else _settings_file(os.environ)
    field = Settings.model_fields.get(section)
    if not name or field is None:
        known = list(Settings.model_fields)
    else:
        known = [f"{section}.{other}" for other in type(field.get_default(call_default_factory=True)).model_fields]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"{f'{file}: ' if file else ''}{key}: is not a setting; {hint}"


def load_settings(**overrides: Any) -> Settings:
    """Reads file and environment once and returns the frozen whole.

    ``overrides`` are sections as dicts and win over everything: ``load_settings(kafka={"bootstrap_servers": "…"})``.

    Raises:
        SettingsError: a key is unknown, a value is bad, or two keys contradict each other; names them.
    """
    _refuse_unknown_environment(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                lines.append(_not_a_setting(where, overrides))
            else:
                lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
        raise SettingsError("; ".join(lines).replace("Value error, ", ""), keys=lines) from error

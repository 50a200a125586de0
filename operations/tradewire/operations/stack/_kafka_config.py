"""Configuration of Kafka nodes on one machine, as pure functions from ports and folders to ``server.properties``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Mode = Literal["combined", "isolated"]

# Kafka's defaults are for a cluster that nobody waits for. A broker killed with -9 is refused by its controller until
# its old session has timed out: with the default of 9 s every restart takes that much longer.
_SESSION = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "400"}
_SMALL = {
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.streams.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.min.session.timeout.ms": "1000",
    # 128 MiB of heap by default.
    "log.cleaner.dedupe.buffer.size": "2097152",
    # 10 MiB by default, mapped twice per partition.
    "log.index.size.max.bytes": "1048576",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "log.initial.task.delay.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "auto.create.topics.enable": "false",
    "controlled.shutdown.enable": "true",
}
# From 4.1 a broker's own min.insync.replicas is ignored (eligible leader replicas are on): it is set per topic.
_REPLICATED = (
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
)
_IN_SYNC = ("transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaNode:
    """One Kafka process to be: ``name`` is its folder, ``format_option`` the quorum flag of Kafka's storage tool."""

    name: str
    node_id: int
    host: str
    broker_port: int | None
    controller_port: int | None
    folder: Path
    format_option: str | None
    properties: Mapping[str, str]

    @property
    def data_folder(self) -> Path:
        return self.folder / "data"


def plan_nodes(
    folder: Path,
    *,
    broker_ports: Sequence[int],
    controller_ports: Sequence[int],
    mode: Mode = "combined",
    host: str = "127.0.0.1",
    overrides: Mapping[str, str] | None = None,
) -> tuple[KafkaNode, ...]:
    """The nodes of one cluster, in the order in which to start them; starts and writes nothing.

    ``combined``: every node is broker and controller, one controller port per broker; one node alone, or a static
    quorum of several. ``isolated``: one controller and any number of brokers, which can then be killed freely.
    Internal topics are replicated over up to three brokers. ``overrides`` win over every property.

    Raises:
        ValueError: the number of controller ports does not fit the mode.
    """
    needed = len(broker_ports) if mode == "combined" else 1
    if not broker_ports or len(controller_ports) != needed:
        raise ValueError(f"mode {mode} with {len(broker_ports)} brokers needs {needed} controller ports")
    replicas = min(3, len(broker_ports))
    common = {
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        **dict.fromkeys(_REPLICATED, str(replicas)),
        **dict.fromkeys(_IN_SYNC, str(min(2, replicas))),
        **_SESSION,
        **_SMALL,
    }
    quorum = ",".join(f"{host}:{port}" for port in controller_ports)
    bootstrap = {"controller.quorum.bootstrap.servers": quorum}
    if mode == "isolated":
        controller = _node(folder, "controller", 1, host, None, controller_ports[0], "--standalone", common | bootstrap)
        brokers = (
            _node(folder, f"broker-{id}", id, host, port, None, "--no-initial-controllers", common | bootstrap)
            for id, port in enumerate(broker_ports, 2)
        )
        nodes = (controller, *brokers)
    else:
        # A single node's quorum is dynamic: its port may change from one start to the next.
        static = {
            "controller.quorum.voters": ",".join(f"{id}@{host}:{port}" for id, port in enumerate(controller_ports, 1))
        }
        quorum_keys, option = (bootstrap, "--standalone") if len(broker_ports) == 1 else (static, None)
        nodes = tuple(
            _node(folder, f"node-{id}", id, host, broker, controller, option, common | quorum_keys)
            for id, (broker, controller) in enumerate(zip(broker_ports, controller_ports, strict=True), 1)
        )
    return tuple(replace(node, properties={**node.properties, **(overrides or {})}) for node in nodes)


def _node(
    folder: Path,
    name: str,
    node_id: int,
    host: str,
    broker_port: int | None,
    controller_port: int | None,
    format_option: str | None,
    common: Mapping[str, str],
) -> KafkaNode:
    listeners = {"PLAINTEXT": broker_port, "CONTROLLER": controller_port}
    addresses = ",".join(f"{name}://{host}:{port}" for name, port in listeners.items() if port is not None)
    roles = {"broker": broker_port, "controller": controller_port}
    properties = {
        "process.roles": ",".join(role for role, port in roles.items() if port is not None),
        "node.id": str(node_id),
        "listeners": addresses,
        "advertised.listeners": addresses,
        **common,
        "log.dirs": str((folder / name / "data").absolute()),
    }
    if broker_port is not None:
        properties["inter.broker.listener.name"] = "PLAINTEXT"
    return KafkaNode(
        name=name,
        node_id=node_id,
        host=host,
        broker_port=broker_port,
        controller_port=controller_port,
        folder=(folder / name).absolute(),
        format_option=format_option,
        properties=properties,
    )


def properties_text(properties: Mapping[str, str]) -> str:
    """The text of a Java properties file; backslashes are doubled, the rest of our values needs no escape."""
    return "".join(f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in properties.items())


def parse_properties(text: str) -> dict[str, str]:
    """Reads what Kafka writes as ``meta.properties``: ``key=value`` lines and ``#`` comments."""
    pairs = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def log4j2_text(log_file: Path) -> str:
    """Logging of a broker: INFO to one file, at most three older ones of 16 MiB kept."""
    return f"""\
status=warn
appender.file.type=RollingFile
appender.file.name=File
appender.file.fileName={log_file}
appender.file.filePattern={log_file}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=[%d] %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=16MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
rootLogger.level=info
rootLogger.appenderRef.file.ref=File
"""

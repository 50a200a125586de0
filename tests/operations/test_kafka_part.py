"""Kafka as a part of the stack: what it is told, what survives, and what it says when it cannot start."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic
from tests.waiting import wait_until

from tradewire.operations.stack import (
    Artifacts,
    DiskFull,
    Java,
    PartFailed,
    PortTaken,
    Supervisor,
    free_ports,
    kafka_part,
)
from tradewire.operations.stack._kafka import KafkaServer, random_cluster_id, stored_cluster_id
from tradewire.operations.stack._kafka_config import Mode, parse_properties, plan_nodes, properties_text
from tradewire.operations.stack.cluster import LocalKafka, local_kafka

Eventually = Callable[..., None]


def create_topic(kafka: LocalKafka, name: str, *, partitions: int = 2, replicas: int = 1) -> None:
    """Waits until there are so many brokers: one whose heartbeat came late does not count for a moment."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(name, partitions, replicas)])[name].result(60)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_REPLICATION_FACTOR:
                raise
            return False
        return True

    wait_until(made, every_s=0.2)


def publish(kafka: LocalKafka, topic: str, values: list[str]) -> list[str]:
    """The values that the broker acknowledged."""
    acknowledged: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append((message.value() or b"").decode())

    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True, "acks": "all", "log_level": 0}
    )
    for value in values:
        producer.produce(topic, value, on_delivery=delivered)
    producer.flush(100)
    return acknowledged


def read(kafka: LocalKafka, topic: str, count: int) -> list[str]:
    """The values of the topic, sorted; waits for ``count`` of them, at most 90 s."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"test-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    values: list[str] = []
    deadline = time.monotonic() + 90
    while len(values) < count and time.monotonic() < deadline:
        values += [(message.value() or b"").decode() for message in consumer.consume(1000, 0.2) if not message.error()]
    consumer.close()
    return sorted(values)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, artifacts: Artifacts) -> Iterator[LocalKafka]:
    """One node that the tests of this module may kill, if they start it again."""
    with local_kafka(tmp_path_factory.mktemp("kafka"), cache_dir=artifacts.cache_dir) as running:
        yield running


def test_what_was_acknowledged_survives_kill_nine(kafka: LocalKafka) -> None:
    """The broker dies without a word right after the last acknowledgement; nothing that it confirmed is lost."""
    create_topic(kafka, "durable")
    values = [f"{number:04}" for number in range(2000)]
    acknowledged = publish(kafka, "durable", values)

    kafka.kill()
    kafka.start()

    assert values == sorted(acknowledged)
    assert values == read(kafka, "durable", len(values))


def test_a_killed_broker_serves_again_within_seconds(kafka: LocalKafka) -> None:
    """With Kafka's default session of 9 s every restart after a crash takes that much longer than the JVM needs."""
    kafka.kill()
    kafka.start()

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    broker = ConfigResource(ResourceType.BROKER, "1")
    assert int(admin.describe_configs([broker])[broker].result(60)["broker.session.timeout.ms"].value) <= 3000


def test_a_broker_can_be_made_to_hang_and_go_on(kafka: LocalKafka) -> None:
    """While it is paused it accepts connections and answers nothing; afterwards it works as before."""
    create_topic(kafka, "hang")
    (node,) = kafka.nodes.values()
    host, port = kafka.bootstrap_servers.split(":")
    node.pause()
    socket.create_connection((host, int(port)), 5).close()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}).list_topics(timeout=1)
    node.resume()

    assert ["a", "b"] == sorted(publish(kafka, "hang", ["a", "b"]))


def test_data_and_cluster_survive_a_stop_and_new_ports(tmp_path: Path, artifacts: Artifacts) -> None:
    """The data folder is what lasts; ports are settings that may change between two runs."""
    with local_kafka(tmp_path, cache_dir=artifacts.cache_dir) as first:
        create_topic(first, "lasting")
        publish(first, "lasting", ["a", "b", "c"])
        servers, cluster_id = first.bootstrap_servers, first.cluster_id

    with local_kafka(tmp_path, cache_dir=artifacts.cache_dir) as second:
        assert servers != second.bootstrap_servers
        assert cluster_id == second.cluster_id
        assert ["a", "b", "c"] == read(second, "lasting", 3)


def test_the_end_of_the_block_leaves_no_process(tmp_path: Path, artifacts: Artifacts) -> None:
    """Also when the test inside it fails."""
    with pytest.raises(ZeroDivisionError), local_kafka(tmp_path, cache_dir=artifacts.cache_dir) as kafka:
        (pid,) = [node.pid for node in kafka.nodes.values()]
        raise ZeroDivisionError

    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_no_broker_outlives_a_killed_test_run(tmp_path: Path, artifacts: Artifacts, eventually: Eventually) -> None:
    """kill -9 of the process that started it: no JVM is left behind that holds port and folder."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from tradewire.operations.stack.cluster import local_kafka\n"
        "with local_kafka(Path(sys.argv[1]), cache_dir=Path(sys.argv[2])) as kafka:\n"
        "    print(kafka.nodes['node-1'].pid, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), str(artifacts.cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        broker = psutil.Process(pid)
        assert "kafka.Kafka" in broker.cmdline()
        owner.kill()

    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("mode", ["isolated", pytest.param("combined", marks=pytest.mark.long)])
def test_three_brokers_lose_one_and_no_data(tmp_path: Path, artifacts: Artifacts, mode: Mode) -> None:
    """With three replicas a killed broker costs nothing: writing goes on, and it catches up when it is back."""
    with local_kafka(tmp_path, brokers=3, mode=mode, cache_dir=artifacts.cache_dir) as kafka:
        create_topic(kafka, "replicated", partitions=3, replicas=3)
        assert 3 == len(kafka.bootstrap_servers.split(","))
        before = publish(kafka, "replicated", [f"a{number}" for number in range(100)])
        victim = list(kafka.nodes.values())[-1]
        victim.kill()
        during = publish(kafka, "replicated", [f"b{number}" for number in range(100)])
        victim.start()
        kafka.kill()
        kafka.start()

        assert 200 == len(before + during)
        assert sorted(before + during) == read(kafka, "replicated", 200)


def test_the_supervisor_brings_a_killed_broker_back(
    tmp_path: Path, artifacts: Artifacts, java: Java, eventually: Eventually
) -> None:
    """kill -9 of the broker under `tradewire up`: same port, same data, one restart in the table."""
    broker_port, controller_port = free_ports(2)
    part = kafka_part(
        tmp_path / "kafka",
        broker_port=broker_port,
        controller_port=controller_port,
        artifacts=artifacts,
        java=java,
        profile="test",
        log_dir=tmp_path / "logs",
    )
    with Supervisor([part], data_folder=tmp_path) as supervisor:
        supervisor.wait_ready(120)
        (status,) = supervisor.status().parts
        assert status.pid is not None
        assert str(tmp_path / "logs" / "kafka.log") == status.log_file
        psutil.Process(status.pid).kill()
        eventually(lambda: supervisor.status().parts[0].restarts == 1)
        supervisor.wait_ready(120)
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker_port}", "log_level": 0})

        wait_until(lambda: [1] == list(admin.list_topics(timeout=60).brokers))


def server_for(tmp_path: Path, artifacts: Artifacts, java: Java, **overrides: str) -> KafkaServer:
    ports = free_ports(2)
    (node,) = plan_nodes(tmp_path, broker_ports=ports[:1], controller_ports=ports[1:], overrides=overrides)
    return KafkaServer(
        node, cluster_id=random_cluster_id(), artifacts=artifacts, java=java, profile="test", name="kafka"
    )


def test_a_taken_port_is_named_with_its_holder_and_setting(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """Before any JVM is started."""
    server = server_for(tmp_path, artifacts, java)
    assert server.node.controller_port is not None
    with socket.create_server(("127.0.0.1", server.node.controller_port)):
        with pytest.raises(
            PortTaken, match=rf"port {server.node.controller_port}.*python.*local\.kafka_controller_port"
        ):
            server.start()


def test_a_broker_that_ends_at_its_start_quotes_its_log(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """The cause stands in Kafka's log file; nobody should have to look for it."""
    server = server_for(tmp_path, artifacts, java)
    server.prepare()
    broken = server_for(tmp_path, artifacts, java, **{"log.cleaner.threads": "none"})
    broken.cluster_id = server.cluster_id
    child = broken.start()

    with pytest.raises(
        PartFailed, match=r"kafka ended with exit code 1 before it was ready(?s:.*)log\.cleaner\.threads"
    ):
        broken.wait_ready(child)


def test_data_of_another_cluster_are_not_touched(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """A wrong folder in the settings must not become a new cluster on old data."""
    first = server_for(tmp_path, artifacts, java)
    first.prepare()
    second = server_for(tmp_path, artifacts, java)

    with pytest.raises(PartFailed, match=rf"belongs to Kafka cluster {first.cluster_id}, not {second.cluster_id}"):
        second.prepare()
    assert first.cluster_id == stored_cluster_id(first.node)


def test_a_folder_with_foreign_files_is_not_formatted(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """Formatting deletes nothing that it did not make."""
    server = server_for(tmp_path, artifacts, java)
    server.node.data_folder.mkdir(parents=True)
    (server.node.data_folder / "thesis.txt").touch()

    with pytest.raises(PartFailed, match=r"not a Kafka folder"):
        server.prepare()
    assert (server.node.data_folder / "thesis.txt").exists()


def test_a_format_that_was_cut_off_is_done_again(tmp_path: Path, artifacts: Artifacts, java: Java) -> None:
    """A crash while formatting leaves a folder under another name, which the next start replaces."""
    server = server_for(tmp_path, artifacts, java)
    half = server.node.folder / "data.formatting" / "__cluster_metadata-0"
    half.mkdir(parents=True)

    server.prepare()

    assert server.cluster_id == stored_cluster_id(server.node)
    assert not half.exists()


def test_a_full_disk_is_said_before_the_start(
    tmp_path: Path, artifacts: Artifacts, java: Java, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka on a full disk shuts its log folder down and with it itself."""
    usage = psutil.disk_usage(str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))

    with pytest.raises(DiskFull, match=r"0 MiB left, too little to start Kafka"):
        server_for(tmp_path, artifacts, java).start()


def test_isolated_brokers_share_one_controller() -> None:
    """Mode for failure tests: any broker may die, the quorum never does."""
    controller, *brokers = plan_nodes(Path("/d"), broker_ports=[11, 12, 13], controller_ports=[20], mode="isolated")

    assert ("controller", "CONTROLLER://127.0.0.1:20") == (
        controller.properties["process.roles"],
        controller.properties["listeners"],
    )
    assert "--standalone" == controller.format_option
    assert [2, 3, 4] == [broker.node_id for broker in brokers]
    for broker, port in zip(brokers, (11, 12, 13), strict=True):
        assert f"PLAINTEXT://127.0.0.1:{port}" == broker.properties["listeners"]
        assert "127.0.0.1:20" == broker.properties["controller.quorum.bootstrap.servers"]
        assert "--no-initial-controllers" == broker.format_option
        assert "3" == broker.properties["offsets.topic.replication.factor"]
        assert "2" == broker.properties["transaction.state.log.min.isr"]


def test_three_combined_nodes_have_a_static_quorum() -> None:
    """The simplest cluster of three: the voters are configuration, the storage tool needs no flag."""
    nodes = plan_nodes(Path("/d"), broker_ports=[11, 12, 13], controller_ports=[21, 22, 23])

    voters = "1@127.0.0.1:21,2@127.0.0.1:22,3@127.0.0.1:23"
    assert [voters] * 3 == [node.properties["controller.quorum.voters"] for node in nodes]
    assert {None} == {node.format_option for node in nodes}
    assert 3 == len({node.data_folder for node in nodes})
    assert all("controller.quorum.bootstrap.servers" not in node.properties for node in nodes)


def test_overrides_win() -> None:
    """A test that needs Kafka's own defaults can have them."""
    (node,) = plan_nodes(
        Path("/d"), broker_ports=[1], controller_ports=[2], overrides={"broker.session.timeout.ms": "9000"}
    )

    assert "9000" == node.properties["broker.session.timeout.ms"]


@pytest.mark.parametrize(
    ("brokers", "controllers", "mode"), [(3, 1, "combined"), (3, 3, "isolated"), (0, 0, "combined")]
)
def test_ports_that_do_not_fit_the_mode_are_refused(brokers: int, controllers: int, mode: Mode) -> None:
    """A cluster that is planned wrongly would hang at its start without a reason."""
    with pytest.raises(ValueError, match=rf"mode {mode} with {brokers} brokers needs"):
        plan_nodes(
            Path("/d"), broker_ports=range(1, 1 + brokers), controller_ports=range(50, 50 + controllers), mode=mode
        )


def test_properties_survive_a_round_trip() -> None:
    """Kafka's files are read and written by the same two functions."""
    properties = {"log.dirs": "/a b/c", "listeners": "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"}

    assert properties == parse_properties("#comment\n\n" + properties_text(properties))


def test_cluster_ids_are_valid_for_kafka() -> None:
    """22 characters of url-safe base64; a leading dash would look like an option to Kafka's tool."""
    ids = {random_cluster_id() for _ in range(300)}

    assert 300 == len(ids)
    assert all(len(text) == 22 and not text.startswith("-") and "=" not in text for text in ids)

"""A Kafka node as a supervised process: prepared once, started, waited for, stopped, killed, started again.

What a producer with ``acks=all`` was told is stored survives the death of the process (``kill -9`` included): it is in
the kernel's page cache, which Kafka flushes at its leisure. A power cut of the whole machine can lose the last seconds
of a single node, as with any unreplicated broker.
"""

from __future__ import annotations

import base64
import errno
import shutil
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tradewire.operations.stack._artifacts import Artifacts
from tradewire.operations.stack._errors import DiskFull, PartFailed
from tradewire.operations.stack._java import JVM_PROFILES, Java
from tradewire.operations.stack._kafka_config import KafkaNode, log4j2_text, parse_properties, properties_text
from tradewire.operations.stack._ports import ensure_port_free, port_answers
from tradewire.operations.stack._process import Child, likely_cause, start_child, wait_until_ready

_FREE_BYTES_MIN = 256 * 1024 * 1024
_FORMAT_TIMEOUT_S = 60.0
_METADATA_TIMEOUT_S = 1.0
# Exit codes of an orderly end: SIGTERM runs Kafka's shutdown hook and leaves 143.
_ORDERLY = (0, 143)


def random_cluster_id() -> str:
    """A cluster id as Kafka's own tool makes it, without the second that starting a JVM takes."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):  # it would look like an option to the storage tool
            return text


def stored_cluster_id(node: KafkaNode) -> str | None:
    """The id of the cluster whose data lies in the node's folder, None if it was never formatted."""
    try:
        return parse_properties((node.data_folder / "meta.properties").read_text(encoding="utf-8")).get("cluster.id")
    except FileNotFoundError:
        return None


class KafkaServer:
    """Starts one node; holds the one ``Child`` of it that may run at a time.

    ``profile`` is a key of ``JVM_PROFILES``, ``heap_mb`` replaces its heap; ``name`` (default: the node's) is used in
    messages and log files. Not thread-safe, except that ``pending``
    may be called while another thread waits for the child's end.
    """

    def __init__(
        self,
        node: KafkaNode,
        *,
        cluster_id: str,
        artifacts: Artifacts,
        java: Java,
        profile: str = "local",
        heap_mb: int | None = None,
        log_dir: Path | None = None,
        name: str | None = None,
    ) -> None:
        self.node = node
        self.name = name or node.name
        self.cluster_id = cluster_id
        self.log_dir = log_dir or node.folder
        self._artifacts = artifacts
        self._java = java
        self._jvm = JVM_PROFILES[profile].arguments(heap_mb)
        self._archive = artifacts.class_archive("kafka", java)
        self._run_id: str | None = None
        self._admin: AdminClient | None = None

    @property
    def log_file(self) -> Path:
        return self.log_dir / f"{self.name}.log"

    def prepare(self) -> None:
        """Writes the configuration anew and formats the data folder unless it is formatted already.

        The folder is formatted under another name and renamed: a crash leaves none or a whole one.

        Raises:
            PartFailed: the data belong to another cluster, or Kafka's storage tool failed.
            DiskFull: less than 256 MiB are left.
        """
        folder = self.node.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.log_dir.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if free < _FREE_BYTES_MIN:
                raise DiskFull(f"{folder} has {free // 2**20} MiB left, too little to start Kafka: free some room")
            self._config("server.properties").write_text(properties_text(self.node.properties), encoding="utf-8")
            self._config("log4j2.properties").write_text(log4j2_text(self.log_file), encoding="utf-8")
            stored = stored_cluster_id(self.node)
            if stored is None:
                self._format()
            elif stored != self.cluster_id:
                raise PartFailed(
                    f"{self.node.data_folder} belongs to Kafka cluster {stored}, not {self.cluster_id}: use another "
                    "data folder, or reset this one (its data are then lost)"
                )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"{folder} is full: free some room, then start again") from error
            raise PartFailed(f"Kafka's folder {folder} cannot be used: {error}") from error

    def start(self) -> Child:
        """Prepares the folder and starts the process; returns before it is ready.

        Raises:
            PortTaken: somebody listens on one of its ports; names the holder and the setting.
            PartFailed: see ``prepare``.
            DiskFull: see ``prepare``.
        """
        for port, purpose, setting in (
            (self.node.broker_port, "the Kafka broker", "local.kafka_port"),
            (self.node.controller_port, "the Kafka controller", "local.kafka_controller_port"),
        ):
            if port is not None:
                ensure_port_free(self.node.host, port, purpose=purpose, setting=setting)
        self.prepare()
        self._run_id = uuid.uuid4().hex[:8]
        self._admin = None
        command = [
            *self._java_command(*self._archive.arguments(self._run_id)),
            "kafka.Kafka",
            str(self._config("server.properties")),
        ]
        return start_child(
            command,
            name=self.name,
            log_file=self.log_dir / f"{self.name}.out",
            own_log=self.log_file,
        )

    def ended(self, exit_code: int) -> None:
        """To be told when the child is gone: an orderly first run leaves the class archive that others start from."""
        if self._run_id is not None:
            self._archive.keep(self._run_id, orderly=exit_code in _ORDERLY)
            self._run_id = None

    def pending(self) -> str | None:
        """None once the broker serves its cluster, else what is still missing; waits one second for an answer.

        A node without the broker role answers no client: it is ready when it accepts connections.
        """
        if self.node.broker_port is None:
            listens = self.node.controller_port is None or port_answers(self.node.host, self.node.controller_port)
            return None if listens else f"controller {self.node.node_id} does not listen yet"
        server = f"{self.node.host}:{self.node.broker_port}"
        if self._admin is None:
            self._admin = AdminClient(
                {
                    "bootstrap.servers": server,
                    "reconnect.backoff.ms": 20,
                    "reconnect.backoff.max.ms": 100,
                    # It would print a line for each refused connection of the first seconds.
                    "log_level": 0,
                }
            )
        try:
            metadata = self._admin.list_topics(timeout=_METADATA_TIMEOUT_S)
        except KafkaException:
            return f"no answer from Kafka at {server}"
        if metadata.cluster_id != self.cluster_id:
            return f"another Kafka cluster, {metadata.cluster_id}, answers at {server}"
        if self.node.node_id not in metadata.brokers:
            return f"broker {self.node.node_id} has not joined its cluster"
        self._admin = None
        return None

    def wait_ready(self, child: Child, *, timeout_s: float = 60.0) -> None:
        """Blocks until the broker serves clients.

        Raises:
            PartFailed: it ended, or is not ready in time; quotes the log and the likely cause. It is not stopped.
        """
        wait_until_ready(child, self.pending, timeout_s=timeout_s)

    def _config(self, name: str) -> Path:
        return self.node.folder / name

    def _java_command(self, *options: str) -> list[str]:
        return [
            str(self._java.executable),
            *self._jvm,
            *options,
            f"-Dlog4j2.configurationFile={self._config('log4j2.properties')}",
            "-cp",
            self._artifacts.kafka_class_path,
        ]

    def _format(self) -> None:
        final = self.node.data_folder
        draft = final.with_name("data.formatting")
        shutil.rmtree(draft, ignore_errors=True)
        if final.exists():
            if any(final.iterdir()):
                raise PartFailed(f"{final} has files but no meta.properties: not a Kafka folder; move it away")
            final.rmdir()
        config = self._config("format.properties")
        config.write_text(properties_text({**self.node.properties, "log.dirs": str(draft)}), encoding="utf-8")
        option = [self.node.format_option] if self.node.format_option else []
        archive = [f"-XX:SharedArchiveFile={self._archive.file}"] if self._archive.file.is_file() else []
        command = [
            *self._java_command("-XX:TieredStopAtLevel=1", *archive),
            *("kafka.tools.StorageTool", "format", *option, "-t", self.cluster_id, "-c", str(config)),
        ]
        try:
            answer = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise PartFailed(f"Kafka's storage tool did not format {final} in {_FORMAT_TIMEOUT_S:.0f} s") from error
        if answer.returncode != 0:
            said = (answer.stdout + answer.stderr).strip()
            raise PartFailed(
                f"Kafka's storage tool could not format {final}: {likely_cause(said) or said[-700:]}",
                exit=answer.returncode,
            )
        draft.replace(final)
        config.unlink()

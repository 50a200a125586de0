"""The schema registry (Apicurio, Confluent's REST API) as a supervised process with its data in one H2 file."""

from __future__ import annotations

import errno
import json
import shutil
import urllib.error
import urllib.request
import uuid
from http.client import HTTPException
from pathlib import Path

from tradewire.operations.stack._artifacts import Artifacts
from tradewire.operations.stack._errors import DiskFull, PartFailed
from tradewire.operations.stack._java import JVM_PROFILES, Java
from tradewire.operations.stack._ports import ensure_port_free
from tradewire.operations.stack._process import Child, start_child, wait_until_ready

API_PATH = "/apis/ccompat/v7"
COMPATIBILITY_DEFAULT = "FULL_TRANSITIVE"
_FREE_BYTES_MIN = 64 * 1024 * 1024
_HTTP_TIMEOUT_S = 5.0
_ORDERLY = (0, 143)
# A proxy from the environment must not be asked for a server on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RegistryServer:
    """Starts the registry and switches its compatibility rule on; holds the one ``Child`` that may run at a time.

    Without a rule this registry accepts every schema, compatible or not, while its own compatibility *check* says
    otherwise. So it counts as ready only after ``compatibility`` has been set and read back. A schema id that was
    given out survives ``kill -9``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        artifacts: Artifacts,
        java: Java,
        host: str = "127.0.0.1",
        heap_mb: int = 192,
        compatibility: str = COMPATIBILITY_DEFAULT,
        log_dir: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.host = host
        self.port = port
        self.compatibility = compatibility
        self.log_file = (log_dir or self.folder) / "registry.log"
        self._artifacts = artifacts
        self._java = java
        # Its whole load is a few lookups per client: the second compiler would only cost start time and memory.
        self._jvm = JVM_PROFILES["test"].arguments(heap_mb)
        self._archive = artifacts.class_archive("registry", java)
        self._run_id: str | None = None

    @property
    def url(self) -> str:
        """The base URL for clients of Confluent's registry API."""
        return f"http://{self.host}:{self.port}{API_PATH}"

    def start(self) -> Child:
        """Starts the process; returns before it is ready.

        Raises:
            PortTaken: somebody listens on its port; names the holder and the setting.
            DiskFull: less than 64 MiB are left.
            PartFailed: the data folder cannot be used.
        """
        ensure_port_free(self.host, self.port, purpose="the schema registry", setting="local.registry_port")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"{self.folder} is full: free some room, then start again") from error
            raise PartFailed(f"the registry's folder {self.folder} cannot be used: {error}") from error
        if free < _FREE_BYTES_MIN:
            raise DiskFull(
                f"{self.folder} has {free // 2**20} MiB left, too little to start the registry: free some room"
            )
        self._run_id = uuid.uuid4().hex[:8]
        command = [
            str(self._java.executable),
            *self._jvm,
            *self._archive.arguments(self._run_id),
            *(f"-D{key}={value}" for key, value in self._properties().items()),
            "-jar",
            str(self._artifacts.registry_jar),
        ]
        return start_child(command, name="registry", log_file=self.log_file)

    def ended(self, exit_code: int) -> None:
        """To be told when the child is gone: an orderly first run leaves the class archive that others start from."""
        if self._run_id is not None:
            self._archive.keep(self._run_id, orderly=exit_code in _ORDERLY)
            self._run_id = None

    def pending(self) -> str | None:
        """None once the registry answers and enforces ``compatibility``, which this call sets if need be."""
        try:
            level = self._request("GET", "/config").get("compatibilityLevel")
            if level == self.compatibility:
                return None
            self._request("PUT", "/config", {"compatibility": self.compatibility})
            level = self._request("GET", "/config").get("compatibilityLevel")
        except (OSError, ValueError, HTTPException) as error:
            return f"no usable answer from the schema registry at {self.url}: {error}"
        return None if level == self.compatibility else f"its compatibility is {level}, not {self.compatibility}"

    def wait_ready(self, child: Child, *, timeout_s: float = 60.0) -> None:
        """Blocks until the registry answers and enforces its compatibility rule.

        Raises:
            PartFailed: it ended, or is not ready in time; quotes the log and the likely cause. It is not stopped.
        """
        wait_until_ready(child, self.pending, timeout_s=timeout_s)

    def _properties(self) -> dict[str, str]:
        return {
            "quarkus.http.host": self.host,
            "quarkus.http.port": str(self.port),
            "quarkus.banner.enabled": "false",
            "quarkus.http.access-log.enabled": "false",
            "quarkus.log.level": "WARN",
            'quarkus.log.category."io.apicurio".level': "WARN",
            # H2 writes a commit half a second later unless told not to: a registry killed within that time forgets
            # schema ids it has given out, and gives the same ids to other schemas.
            "apicurio.datasource.url": f"jdbc:h2:file:{self.folder / 'registry'};WRITE_DELAY=0",
            "apicurio.datasource.jdbc.initial-size": "2",
            "apicurio.datasource.jdbc.min-size": "2",
            "apicurio.datasource.jdbc.max-size": "8",
        }

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, str]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with _opener.open(request, timeout=_HTTP_TIMEOUT_S) as response:
            answer: dict[str, str] = json.loads(response.read())
            return answer

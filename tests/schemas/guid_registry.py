"""A registry with GUIDs: the real one behind a few lines that add what Confluent has and Apicurio 3.0 lacks.

It is a stand-in for the endpoint ``/schemas/guids/{guid}`` and for the member ``guid`` of answers, for nothing else:
every other request goes to the registry under test as it came.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def guid_of(schema_text: str) -> uuid.UUID:
    """A GUID that is the same for the same text, as those of a registry are."""
    return uuid.uuid5(uuid.NAMESPACE_OID, schema_text)


@contextmanager
def guid_registry(url: str) -> Iterator[str]:
    """The address of a registry that has GUIDs, in front of the one at ``url``."""
    texts: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            guid = self.path.split("?")[0].rpartition("/schemas/guids/")[2]
            if "/schemas/guids/" not in self.path:
                self._forward(None)
            elif guid in texts:
                self._answer(200, json.dumps({"schema": texts[guid], "schemaType": "AVRO", "guid": guid}).encode())
            else:
                self._answer(404, b'{"error_code": 40403, "message": "Schema not found"}')

        def do_POST(self) -> None:
            self._forward(self.rfile.read(int(self.headers["content-length"])))

        def _forward(self, body: bytes | None) -> None:
            request = urllib.request.Request(
                url + self.path, data=body, headers={"content-type": "application/vnd.schemaregistry.v1+json"}
            )
            try:
                with _opener.open(request, timeout=30) as response:
                    status, answer = response.status, response.read()
            except urllib.error.HTTPError as error:
                status, answer = error.code, error.read()
            if status == 200 and body is not None:
                text = json.loads(body)["schema"]
                guid = str(guid_of(text))
                texts[guid] = text
                answer = json.dumps(json.loads(answer) | {"guid": guid}).encode()
            self._answer(status, answer)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

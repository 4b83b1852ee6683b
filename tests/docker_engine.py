"""A stand-in for a container engine: the part of its API that a local run of a pipeline uses.

Its containers are processes of this machine, with the command and the variables that they were
asked for; images, mounts, users and limits are only recorded.
"""

import json
import os
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_JSON = "application/json"


@dataclass
class Engine:
    """What the engine holds."""

    address: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """What each container was made from; its number is its name."""
    ended: dict[str, subprocess.CompletedProcess[bytes]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Return status and content; bytes are a container's log."""
        known: dict[tuple[str, str], Any] = {
            ("GET", "version"): {"ApiVersion": "1.44", "MinAPIVersion": "1.24"},
            ("GET", "_ping"): {},
            ("GET", "info"): {"SecurityOptions": []},
        }
        if (method, path) in known:
            return 200, known[method, path]
        if (method, path) == ("POST", "containers/create"):
            self.asked.append(body)
            return 201, {"Id": f"{len(self.asked) - 1:064}", "Warnings": []}
        _, name, *action = path.split("/")
        asked = self.asked[int(name)]
        match method, *action:
            case "GET", "json":
                log = {"LogConfig": {"Type": "json-file"}}
                shown = {"Id": name, "Image": f"sha256:{name}", "HostConfig": log}
                return 200, {**shown, "Config": {"Tty": False}}
            case "POST", "start":
                self.ended[name] = _run(asked)
                return 204, None
            case "GET", "logs":
                said = self.ended[name].stdout
                return 200, struct.pack(">BxxxL", 1, len(said)) + said
            case "POST", "wait":
                return 200, {"StatusCode": self.ended[name].returncode}
            case ("DELETE",):
                self.removed.append(name)
                return 204, None
        return 404, {"message": f"{method} {path} is not known here"}


def _run(asked: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    given = dict(item.split("=", 1) for item in asked.get("Env") or ())
    # What an image has: this Python as `python3`, and the code.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    own = {"PATH": path, "PYTHONPATH": str(Path(__file__).parents[1]), "HOME": "/tmp"}
    return subprocess.run(
        asked["Cmd"], env=own | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


@contextmanager
def serve(engine: Engine) -> Iterator[Engine]:
    """Serve on loopback; fills in the address, as `DOCKER_HOST` wants it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

        def _serve(self, method: str) -> None:
            path = re.sub(r"^/(v[\d.]+/)?", "", self.path.partition("?")[0])
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or "null")
            status, answer = engine.answer(method, path, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            kind = "application/vnd.docker.multiplexed-stream"
            self.send_header("Content-Type", kind if isinstance(answer, bytes) else _JSON)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        engine.address = f"tcp://127.0.0.1:{server.server_address[1]}"
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()

"""An S3 server in front of another one, which fails for the objects that it is told to."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

from decloud_lib.demo.server import S3Server

Trouble = Literal["503", "cut"]


class _Forwarder(BaseHTTPRequestHandler):
    """Passes requests on, except for reading objects in trouble."""

    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        server = self.server
        assert isinstance(server, TroubledBucket)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        trouble = server.trouble_of(self.path) if self.command == "GET" else None
        if trouble == "503":
            self._answer(503, [], b"")
            return
        behind = http.client.HTTPConnection(server.behind, timeout=20)
        behind.request(self.command, self.path, body, dict(self.headers))
        found = behind.getresponse()
        content = found.read()
        dropped = {"connection", "transfer-encoding", "content-length", "date", "server"}
        headers = [(k, v) for k, v in found.getheaders() if k.lower() not in dropped]
        if self.command == "HEAD":
            headers.append(("Content-Length", found.getheader("Content-Length", "0")))
            self._answer(found.status, headers, None)
        elif trouble == "cut":
            headers.append(("Content-Length", str(len(content))))
            self._answer(found.status, headers, None)
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self._answer(found.status, headers, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes | None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if content is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


class TroubledBucket(ThreadingHTTPServer):
    """The server; `troubles` says what happens to objects whose key holds a text."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.behind = urlsplit(behind).netloc
        self.troubles: dict[str, Trouble] = {}

    def trouble_of(self, path: str) -> Trouble | None:
        """Return what happens to a read of a path."""
        return next((kind for text, kind in self.troubles.items() if text in path), None)


@contextmanager
def troubled_bucket(behind: S3Server) -> Iterator[tuple[TroubledBucket, S3Server]]:
    """Serve what another server holds; gives the server, to say what fails, and its address."""
    with TroubledBucket(behind.environment["AWS_ENDPOINT_URL"]) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server, S3Server(f"http://127.0.0.1:{server.server_port}", "access", "secret")
        finally:
            server.shutdown()
            thread.join()

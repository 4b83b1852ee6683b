"""A real web server on loopback: files of a folder, whole or in parts, and troubles on demand."""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_CUT_AFTER_BYTES = 1000


class WebServer(ThreadingHTTPServer):
    """Serves a folder.

    Attributes
    ----------
    troubles : list of str
        What happens to the next requests: "" nothing, a status such as "503", or "cut".
    forever : str
        What happens to all requests after them.
    head, ranges, sizes : bool
        Whether HEAD is answered, whether parts of files are, and whether sizes are told.
    requests : list of str
        Method and path of each request.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.troubles: list[str] = []
        self.forever = ""
        self.head = True
        self.ranges = True
        self.sizes = True
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about clients that leave in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def uri(self, path: str) -> str:
        """Return the address of a file."""
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, WebServer)
        server.requests.append(f"{self.command} {self.path}")
        trouble = server.troubles.pop(0) if server.troubles else server.forever
        path = server.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if self.command == "HEAD" and not server.head:
            trouble = "403"
        if trouble.isdigit() or not path.is_file():
            self._answer(int(trouble or 404), b"", {"Retry-After": "86400"})
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{len(content):x}-{path.stat().st_mtime_ns:x}"'}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or not server.ranges:
            self._answer(200, content, headers, cut=trouble == "cut")
            return
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(content))
        if start >= len(content):
            self._answer(416, b"", headers)
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self._answer(206, content[start:stop], headers, cut=trouble == "cut")

    do_HEAD = do_GET  # noqa: N815

    def _answer(
        self, status: int, content: bytes, headers: dict[str, str], cut: bool = False
    ) -> None:
        assert isinstance(self.server, WebServer)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.server.sizes:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[:_CUT_AFTER_BYTES] if cut else content)
        if cut:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Stay silent."""


@contextmanager
def serve_web(folder: Path) -> Iterator[WebServer]:
    """Serve a folder until the context ends."""
    with WebServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

"""Serves a built book on localhost as a static host does, compressed, for the browser tests and for Lighthouse."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".txt", ".ipynb", ".xml"}


@cache
def _compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes())


class GzipHandler(SimpleHTTPRequestHandler):
    """Serves a folder's files, text compressed, without a line for each request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def send_head(self) -> BytesIO | None:
        """Sends the headers and returns the body, compressed where the file is text and the client takes gzip."""
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        takes_gzip = "gzip" in self.headers.get("Accept-Encoding", "")
        if path.suffix not in COMPRESSED or not path.is_file() or not takes_gzip:
            return super().send_head()
        body = _compressed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return BytesIO(body)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves `folder` on a free port of localhost; yields its address, which ends in a slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(GzipHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()

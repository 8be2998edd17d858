"""Serves the book and renders it again after each change: `python -m render.preview`, from its folder."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from watchfiles import Change, watch

from render.book import RenderError, read_book
from render.site import Renderer

WATCHED = {".qmd", ".ipynb", ".yml", ".bib", ".css", ".js", ".svg", ".png"}


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, *_: object) -> None:
        """Prints nothing."""

    def end_headers(self) -> None:
        """Keeps the browser from showing a page of the previous rendering."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


def _is_source(output: Path, _: Change, path: str) -> bool:
    changed = Path(path)
    parts = changed.relative_to(output.parent).parts if changed.is_relative_to(output.parent) else ()
    is_hidden = any(part.startswith((".", output.name)) for part in parts)
    return changed.suffix in WATCHED and not is_hidden


def _render(renderer: Renderer) -> None:
    """Renders, faster after the first time; a failed render prints its error and leaves the pages as they were."""
    start = time.monotonic()
    try:
        book = read_book(Path.cwd())
        renderer.render(book, book.output)
    except RenderError as error:
        print(error, file=sys.stderr, flush=True)
        return
    print(f"rendered in {time.monotonic() - start:.1f} s", flush=True)


def main() -> int:
    """Serves until Ctrl-C."""
    try:
        output = read_book(Path.cwd()).output
    except RenderError as error:
        print(error, file=sys.stderr)
        return 1
    renderer = Renderer()
    _render(renderer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(output)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"serving the book at http://127.0.0.1:{server.server_port}/; press Ctrl-C to stop", flush=True)
    try:
        for _ in watch(Path.cwd(), watch_filter=partial(_is_source, output), raise_interrupt=True):
            _render(renderer)
    except KeyboardInterrupt:
        print()
    finally:
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

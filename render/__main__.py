"""Renders the book: `python -m render`, from its folder."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from render.book import RenderError, read_book
from render.site import render


def main() -> int:
    """Renders the book and prints where to open it, or prints what is wrong with its sources."""
    parser = argparse.ArgumentParser(prog="python -m render", description=__doc__)
    parser.add_argument("--book", type=Path, default=Path(), help="folder with _quarto.yml")
    parser.add_argument("--out", type=Path, help="folder for the pages (default: output-dir)")
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        book = read_book(arguments.book)
        output = arguments.out or book.output
        render(book, output)
    except RenderError as error:
        print(error, file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    address = output.resolve() / "index.html"
    print(f"render/ made {len(book.pages)} pages in {seconds:.0f} s: {address}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Finds Chromium, and has the options with which it contacts no host but the page's own."""

from __future__ import annotations

import os
import shutil
import sys

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOW_TO_GET = "install it (Debian: apt-get install chromium), or name one: CHROMIUM=/path/to/chromium"


def find_chromium() -> str | None:
    """Returns the browser that the variable CHROMIUM names, else the `chromium` on PATH, else None."""
    return shutil.which(os.environ.get("CHROMIUM") or "chromium")


if __name__ == "__main__":  # what `make test-browser` asks first
    if not find_chromium():
        sys.exit(f"no Chromium was found; {HOW_TO_GET}")

"""Measures the book with Lighthouse and fails below the marks: `python -m tools.lighthouse [--quarto] [PAGE ...]`.

The book is rendered with render/ or, with --quarto, taken from `_book`, where Quarto must have rendered it. It is
served compressed on localhost. By default, the first page and the five longest chapters are measured. Each page is
measured RUNS times, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from render.book import Book, RenderError, read_book
from render.site import render
from tools.chromium import FLAGS, HOW_TO_GET, find_chromium
from tools.serve import served

LIGHTHOUSE = "lighthouse@12.8.2"  # the newest that runs with Node 20
RUNS = 3
CATEGORIES = ("performance", "accessibility", "best-practices")
PRESETS = {"desktop": 95, "mobile": 90}  # the marks for performance
OF_QUARTO = {"desktop": 90, "mobile": 70}  # its pages load Bootstrap and its icons
EVERYWHERE = {"accessibility": 100, "best-practices": 95}
LARGEST_SHIFT = 0.05


@dataclass(frozen=True)
class Scores:
    """The result of one page, as the median of its runs: marks out of 100, and the layout shift."""

    marks: dict[str, float]
    shift: float
    kilobytes: float

    def misses(self, performance: float) -> list[str]:
        """Returns the results that lie below their marks."""
        wanted = {"performance": performance} | EVERYWHERE
        missed = [f"{name} < {mark}" for name, mark in wanted.items() if self.marks[name] < mark]
        return missed + ([f"CLS >= {LARGEST_SHIFT}"] if self.shift >= LARGEST_SHIFT else [])


def read_scores(reports: list[dict]) -> Scores:
    """Returns the medians of several of Lighthouse's reports on one page; a report with an error raises ValueError."""
    for report in reports:
        if report.get("runtimeError"):
            raise ValueError(f"Lighthouse failed on {report['requestedUrl']}: {report['runtimeError']['message']}")

    def middle(*keys: str) -> float:
        values = []
        for report in reports:
            value = report
            for key in keys:
                value = value[key]
            values.append(value)
        return median(values)

    return Scores(
        marks={name: 100 * middle("categories", name, "score") for name in CATEGORIES},
        shift=middle("audits", "cumulative-layout-shift", "numericValue"),
        kilobytes=middle("audits", "total-byte-weight", "numericValue") / 1000,
    )


def _measure(address: str, preset: str, chromium: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        flags = [*FLAGS, f"--user-data-dir={folder}/profile"]
        command = ["npx", "--yes", LIGHTHOUSE, address, "--quiet", "--output=json", "--output-path=stdout"]
        command += [f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={' '.join(flags)}"]
        command += ["--preset=desktop"] if preset == "desktop" else []
        environment = os.environ | {"CHROME_PATH": chromium}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def _default_pages(book: Book, pages: Path) -> list[str]:
    chapters = [page.name for page in book.pages if page.source.suffix == ".ipynb"]
    longest = sorted(chapters, key=lambda name: -(pages / f"{name}.html").stat().st_size)[:5]
    return ["index", *sorted(longest)]


def main() -> int:
    """Prints a table, one line per page and preset; returns 1 if a mark is missed, and 2 if a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.lighthouse", description=__doc__)
    parser.add_argument("--quarto", action="store_true", help="measure the pages that Quarto rendered into _book")
    parser.add_argument("pages", nargs="*", help="pages to measure, such as index or chapters/04-pytorch")
    arguments = parser.parse_args()
    chromium = find_chromium()
    if not chromium or not shutil.which("npx"):
        print(f"lighthouse: no Chromium was found; {HOW_TO_GET}" if not chromium else NO_NODE, file=sys.stderr)
        return 2
    has_missed = False
    try:
        with tempfile.TemporaryDirectory() as folder:
            book, pages = read_book(Path()), Path("_book") if arguments.quarto else Path(folder) / "book"
            if not arguments.quarto:
                render(book, pages)
            elif not (pages / "site_libs" / "quarto-html").is_dir():
                raise ValueError("_book is not a book that Quarto rendered; run `quarto render --to html`")
            print(
                f"{LIGHTHOUSE}, median of {RUNS} runs\n{'page':32} {'preset':8} perf  a11y  best    CLS     kB",
                flush=True,
            )
            with served(pages) as base:
                for name in arguments.pages or _default_pages(book, pages):
                    for preset, performance in (OF_QUARTO if arguments.quarto else PRESETS).items():
                        reports = [_measure(f"{base}{name}.html", preset, chromium) for _ in range(RUNS)]
                        scores = read_scores(reports)
                        marks = "  ".join(f"{scores.marks[key]:4.0f}" for key in CATEGORIES)
                        missed = scores.misses(performance)
                        line = f"{name:32} {preset:8} {marks}  {scores.shift:5.3f}  {scores.kilobytes:5.0f}"
                        print(line, *missed, sep="  ", flush=True)
                        has_missed = has_missed or bool(missed)
    except (RenderError, ValueError, FileNotFoundError) as error:
        print(f"lighthouse: {error}", file=sys.stderr)
        return 2
    return int(has_missed)


NO_NODE = "lighthouse: no npx was found; install Node.js 20 or newer with npm (https://nodejs.org)"

if __name__ == "__main__":
    sys.exit(main())

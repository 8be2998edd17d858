"""Converts the book's sources to MyST with pandoc and the filter `to_myst.lua`."""

from __future__ import annotations

import json
import re
import subprocess
from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pypandoc

from render.book import Book, Page, RenderError
from render.notebook import flatten_notebook

FILTER = Path(__file__).with_name("to_myst.lua")
READER = "markdown"
WRITER = "commonmark-smart+footnotes+pipe_tables+raw_html"
MARKER = re.compile(r"%%% (cell|title|picture) (.*)")
SECTION_REFERENCE = re.compile(r"%%(sec-[\w-]+)%%")
WORKERS = 4


@dataclass(frozen=True)
class Chapter:
    """A page as MyST, with what is needed to number it and to name the source of an error."""

    page: Page
    text: str
    label: str
    is_numbered: bool
    cell_starts: tuple[tuple[int, int], ...]
    pictures: tuple[Path, ...]
    number: int | str | None = None

    def place(self, line: int | None) -> str:
        """Names the source file, and the cell that `line` of the MyST text comes from."""
        where = bisect_right(self.cell_starts, (line or 0, len(self.text)))
        cell = f", cell {self.cell_starts[where - 1][1]}" if line and where else ""
        return f"{self.page.source}{cell}"


def convert_book(book: Book, staging: Path, below_title: Callable[[Page], str]) -> list[Chapter]:
    """Writes every page as MyST into `staging`, each with what `below_title` gives for it."""
    convert = partial(_convert_page, book, staging, below_title)
    with ThreadPoolExecutor(WORKERS) as pool:
        chapters = _numbered(list(pool.map(convert, book.pages)))
    kinds = {c.label: "Appendix" if c.page.is_appendix else "Chapter" for c in chapters}

    def section_reference(match: re.Match[str]) -> str:
        return f"{kinds.get(match[1], 'Section')} {{number}} <{match[1]}>"

    for chapter in chapters:
        text = SECTION_REFERENCE.sub(section_reference, chapter.text)
        (staging / f"{chapter.page.name}.md").write_text(text, encoding="utf-8")
    return chapters


def _convert_page(book: Book, staging: Path, below_title: Callable[[Page], str], page: Page) -> Chapter:
    source, stem = book.folder / page.source, staging / page.name
    stem.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".ipynb":
        markdown = flatten_notebook(source, page.source, stem)
    else:
        markdown = source.read_text(encoding="utf-8")
    return _read_markers(page, _run_pandoc(markdown, page), below_title(page))


def _run_pandoc(markdown: str, page: Page) -> str:
    command = [pypandoc.get_pandoc_path(), "--from", READER, "--to", WRITER, "--wrap", "none"]
    command += ["--fail-if-warnings", "--lua-filter", str(FILTER)]
    done = subprocess.run(command, input=markdown, capture_output=True, encoding="utf-8")
    if done.returncode:
        separator = ", " if done.stderr.startswith("cell ") else ": "
        raise RenderError(f"{page.source}{separator}{done.stderr.strip()}")
    return done.stdout


def _read_markers(page: Page, myst: str, below_title: str) -> Chapter:
    lines: list[str] = []
    cell_starts: list[tuple[int, int]] = []
    title: dict[str, str | bool] = {}
    pictures: list[Path] = []
    for line in myst.split("\n"):
        marker = MARKER.fullmatch(line)
        if not marker:
            lines.append(line)
        elif marker[1] == "cell":
            cell_starts.append((len(lines) + 1, int(marker[2])))
        elif marker[1] == "picture":
            pictures.append(page.source.parent / marker[2])
        else:
            title = json.loads(marker[2])
            lines += below_title.split("\n")
    return Chapter(
        page=page,
        text="\n".join(lines),
        label=str(title["label"]),
        is_numbered=bool(title["numbered"]),
        cell_starts=tuple(cell_starts),
        pictures=tuple(pictures),
    )


def _numbered(chapters: list[Chapter]) -> list[Chapter]:
    """Gives chapters their numbers, across parts, and appendices their letters, as Quarto does."""
    numbered, numbers, letters = [], iter(range(1, 1000)), iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    for chapter in chapters:
        if chapter.is_numbered:
            number = next(letters) if chapter.page.is_appendix else next(numbers)
            chapter = replace(chapter, number=number)
        numbered.append(chapter)
    return numbered

"""What must be the same in every rendering of a page: headings, numbers, and what references print.

Read from the sources alone (`from_sources`, which knows how Quarto numbers a book and nothing of render/), and from
the pages of either renderer (`from_quarto`), as those of render/ have Quarto's structure.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from render.book import Book, Page

FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
HEADING = re.compile(r"^(#{1,6}) +(.*?)(?: +\{([^}]*)\})?$", re.MULTILINE)
IDENTIFIER = re.compile(r"#([\w-]+)")
LABEL = re.compile(r"\{#((?:fig|tbl|eq)-[\w-]+)")
CELL_LABEL = re.compile(r"^#\| *label: *[\"']?(fig-[\w-]+)", re.MULTILINE)
CELL_TEXT = re.compile(r"^#\|.*$", re.MULTILINE)
REFERENCE = re.compile(r"@((?:sec|fig|tbl|eq)-[\w-]*\w)")
TABSET = re.compile(r"^::: *\{\.panel-tabset\}$.*?^:::\s*$", re.MULTILINE | re.DOTALL)
KINDS = {"fig": "Figure", "tbl": "Table", "eq": "Equation"}
TAG_OF_EQUATION = re.compile(r"\\tag\{([^}]*)\}|^\(([\w.]+)\)$")  # of MathJax, or drawn by KaTeX
APPENDIX_TITLE = re.compile(r"Appendix (\w+) — (.*)")
NOT_WORDS = re.compile(r"[\W_]+")


@dataclass
class Outline:
    """A page's headings as (number, words), the number that each label got, and its references as they are printed."""

    headings: list[tuple[str, str]] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)
    references: Counter[tuple[str, str]] = field(default_factory=Counter)


def words(text: str) -> str:
    """Returns the text without markup, spaces and marks, which the renderers set differently."""
    return NOT_WORDS.sub(" ", text).strip().lower()


# The sources ----------------------------------------------------------------------------------------------------------


def from_sources(book: Book) -> dict[str, Outline]:
    """Returns the outline of each page of the book, by the page's name, as Quarto's rules number it."""
    texts = {page.name: _text(book.folder / page.source) for page in book.pages}
    numbers: dict[str, str] = {}
    outlines: dict[str, Outline] = {}
    chapters, appendices = iter(map(str, range(1, 100))), iter("ABCDEFGHIJ")
    for page in book.pages:
        outlines[page.name] = _numbered(page, texts[page.name], chapters, appendices, numbers)
    for name, text in texts.items():
        found = REFERENCE.findall(INLINE_CODE.sub("", text))
        outlines[name].references = Counter((label, numbers[label]) for label in found)
    return outlines


def _text(source: Path) -> str:
    """Returns the prose of a page: markdown without code blocks, and of cells their options."""
    if source.suffix != ".ipynb":
        return FENCE.sub("", source.read_text(encoding="utf-8"))
    parts = []
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(FENCE.sub("", text))
        elif not re.search(r"^#\| *include: *false", text, re.MULTILINE):
            parts.append("\n".join(CELL_TEXT.findall(text)))
    return "\n\n".join(parts)


def _numbered(
    page: Page, text: str, chapters: Iterator[str], appendices: Iterator[str], numbers: dict[str, str]
) -> Outline:
    outline, chapter, counts = Outline(), "", [0] * 6
    for level, title, attributes in HEADING.findall(TABSET.sub("", text)):
        depth = len(level)
        label = IDENTIFIER.search(attributes)
        if depth == 1:
            if ".unnumbered" not in attributes:
                chapter = next(appendices if page.is_appendix else chapters)
            number = chapter
            kind = "Appendix" if page.is_appendix else "Chapter"
        else:
            counts[depth - 1] += 1
            counts[depth:] = [0] * (6 - depth)
            number = ".".join([chapter, *map(str, counts[1:depth])]) if chapter else ""
            kind = "Section"
        outline.headings.append((number, words(re.sub(r"\$[^$]*\$", "", title))))
        if label:
            numbers[label[1]] = f"{kind} {number}"
    found = dict.fromkeys(KINDS, 0)
    for label in re.findall(f"{LABEL.pattern}|{CELL_LABEL.pattern}", text, re.MULTILINE):
        name = "".join(label)
        kind = name.partition("-")[0]
        found[kind] += 1
        outline.numbers[name] = f"{chapter}.{found[kind]}" if chapter else str(found[kind])
        numbers[name] = f"{KINDS[kind]} {outline.numbers[name]}"
    return outline


# The pages ------------------------------------------------------------------------------------------------------------


def _parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html5lib")


def _said(tag: Tag | None) -> str:
    return " ".join(tag.get_text().split()) if tag else ""


def _heading(tag: Tag, number: str, without: str) -> tuple[str, str]:
    copy = BeautifulSoup(str(tag), "html5lib")
    for part in copy.select(without):
        part.decompose()
    return number, words(copy.get_text())


def from_quarto(page: Path) -> Outline:
    """Returns the outline of a page that Quarto made: its anatomy is that of Quarto 1.9's HTML books."""
    main = _parsed(page).select_one("main.content")
    outline = Outline()
    titles = main.select("h1")
    for tag in main.select("h1, h2, h3, h4"):
        if tag.find_parent(class_="panel-tabset") or tag.find_parent(id="refs"):
            continue
        if tag is titles[0] and len(titles) > 1:  # above the first page's own title Quarto prints the book's
            continue
        shown = _said(tag.select_one(".chapter-number, .header-section-number"))
        if appendix := APPENDIX_TITLE.fullmatch(_said(tag)):
            outline.headings.append((appendix[1], words(appendix[2])))
        else:
            title = tag.select_one(".chapter-title") or tag
            outline.headings.append(_heading(title, shown, ".header-section-number, .chapter-number, .math"))
    for tag in main.select('[id^="fig-"], [id^="tbl-"]'):
        if number := re.match(r"(?:Figure|Table)\s+([\w.]*\w)", _said(tag.select_one("figcaption, caption"))):
            outline.numbers[str(tag["id"])] = number[1]
    for tag in main.select('[id^="eq-"]'):
        if number := TAG_OF_EQUATION.search(_said(tag.select_one(".katex-html > .tag") or tag)):
            outline.numbers[str(tag["id"])] = number[1] or number[2]
    for tag in main.select("a.quarto-xref"):
        target, _, label = str(tag["href"]).partition("#")
        outline.references[(label, _said(tag)) if label else _chapter(page.parent / target, _said(tag))] += 1
    return outline


@cache
def _chapter_title(page: Path) -> tuple[str, str]:
    """Returns the label of a chapter that Quarto made, and its title as it is printed with its number."""
    title = _parsed(page).select_one("h1 .quarto-section-identifier")
    return str(title["id"]), _said(title)


def _chapter(page: Path, said: str) -> tuple[str, str]:
    """Returns the label of the chapter that a reference without a fragment leads to, and what the reference says.

    On the first page Quarto prints a chapter's whole title, which is shortened here to its number.
    """
    label, title = _chapter_title(page.resolve())
    if said != title:
        return label, said
    appendix = APPENDIX_TITLE.fullmatch(title)
    return label, f"Appendix {appendix[1]}" if appendix else f"Chapter {title.split()[0]}"

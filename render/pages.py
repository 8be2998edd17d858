"""Reads what describes each page, and what the search finds in it, from the HTML that pandoc wrote."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bs4 import BeautifulSoup, Tag

from render.book import Book, Page

WORDS_PER_MINUTE = 238  # the mean of silent readers of non-fiction in English, Brysbaert (2019)
CODE_LINES_PER_MINUTE = 30
FORMULAS_PER_MINUTE = 10  # displayed ones
DESCRIPTION_LENGTH = 200
TEXTS = ["p", "li", "figcaption", "td", "th", "h1", "h2", "h3", "h4"]
SEARCHED = ["p", "li", "figcaption", "tr"]


@dataclass(frozen=True)
class Made:
    """One page as pandoc made it, with its formulas drawn."""

    page: Page
    title: str
    title_html: str
    label: str
    number: str
    body: str
    toc: str
    explores: bool
    undrawn: str  # the body with the formulas as TeX
    plain: BeautifulSoup  # the body with the formulas as characters, and code without colours

    @property
    def full_title(self) -> str:
        """The title after its number, as Quarto prints it."""
        if not self.number:
            return self.title
        return f"Appendix {self.number}\u00a0— {self.title}" if self.page.is_appendix else f"{self.number} {self.title}"

    @cached_property
    def description(self) -> str:
        """The first paragraph below the title, which says what the page is about, shortened for a preview."""
        first = next((p for p in self.plain.find_all("p") if not p.find_parent(["figure", "details", "div"])), None)
        return textwrap.shorten(said(first), DESCRIPTION_LENGTH, placeholder=" …") if first else ""

    @cached_property
    def minutes(self) -> int:
        """About how many minutes the page takes to read, without folded text and the outputs of cells."""
        words = lines = formulas = 0
        for tag in [*self.plain.find_all([*TEXTS, "pre"]), *self.plain.find_all("span", class_="equation")]:
            if tag.find_parent("details") or tag.find_parent(class_="cell-output-stdout"):
                continue
            if tag.name == "pre":
                lines += len(tag.get_text().splitlines())
            elif tag.name == "span":
                formulas += 1
            elif not tag.find(["p", "li"]):
                words += len(tag.get_text().split())
        return math.ceil(words / WORDS_PER_MINUTE + lines / CODE_LINES_PER_MINUTE + formulas / FORMULAS_PER_MINUTE)


def said(tag: Tag) -> str:
    """Returns the text of an element on one line."""
    return " ".join(tag.get_text().split())


def entries(made: Made) -> list[dict[str, str]]:
    """Returns the search entries of a page, one per section, with address, page, title and text."""
    address, found = f"{made.page.name}.html", []
    sections: list[tuple[str, str, Tag]] = [(address, made.title, made.plain)]
    for section in made.plain.find_all("section", id=True):
        heading = section.find(re.compile("^h[2-4]$"), recursive=False)
        if heading:
            for number in heading.select(".header-section-number"):
                number.extract()
            sections.append((f"{address}#{section['id']}", said(heading), section))
    texts: dict[int, list[str]] = {}
    for tag in made.plain.find_all(SEARCHED):
        if not tag.find_parent(SEARCHED):
            texts.setdefault(id(tag.find_parent("section", id=True) or made.plain), []).append(said(tag))
    for where, title, part in sections:
        found.append({"id": where, "page": made.full_title, "title": title, "text": " ".join(texts.get(id(part), []))})
    return found


def llms_text(book: Book, pages: Sequence[Made]) -> str:
    """Returns the text of `llms.txt`: what the book is about and where each page is, for programs that read."""
    site = f"{book.site_url}/" if book.site_url else ""
    lines = [f"# {book.title}", "", f"> {book.description or book.subtitle}"]
    part: str | None = ""
    for made in pages:
        page = made.page
        if page.part != part:
            lines += ["", f"## {page.part or 'The book'}", ""]
            part = page.part
        title = f"{made.number}. {made.title}" if made.number else made.title
        about = page_description(book, made)
        lines.append(f"- [{title}]({site}{page.name}.html){f': {about}' if about else ''}")
        if page.source.suffix == ".ipynb":
            lines.append(f"  - [The same as a notebook]({site}{page.source.as_posix()})")
    return "\n".join(lines) + "\n"


def page_description(book: Book, made: Made) -> str:
    """Returns the description of a page; the first page has the book's."""
    return book.description if made.page.name == "index" and book.description else made.description

"""What each page says about itself: a description, how long it takes to read, and how to run it."""

from __future__ import annotations

import math
import re
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from render.book import Book, Page
from render.formulas import render_formula

WORDS_PER_MINUTE = 238  # the mean of silent readers of non-fiction in English, Brysbaert (2019)
CODE_LINES_PER_MINUTE = 30
FORMULAS_PER_MINUTE = 10  # displayed ones
DESCRIPTION_LENGTH = 200
TAG = re.compile(r"<[^>]*>")


def describe(doctree: nodes.document) -> str:
    """Returns the first paragraph below the title, which says what the page is about, shortened for a preview."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            return textwrap.shorten(_plain(paragraph), DESCRIPTION_LENGTH, placeholder=" …")
    return ""


def _plain(node: nodes.Node) -> str:
    if isinstance(node, nodes.math):
        return TAG.sub("", render_formula(node.astext(), False).partition("</math>")[0])
    if isinstance(node, nodes.Text):
        return node.astext().replace("\n", " ")
    return "".join(map(_plain, node.children))


def reading_minutes(doctree: nodes.document) -> int:
    """Returns about how many minutes the page takes to read, without what is folded and what cells print."""
    words = lines = formulas = 0
    for block in doctree.findall(lambda node: isinstance(node, nodes.TextElement) and not _is_folded(node)):
        if isinstance(block, nodes.literal_block):
            is_output = "cell-output" in block["classes"]
            lines += 0 if is_output else len(block.astext().splitlines())
        elif isinstance(block, nodes.math_block):
            formulas += 1
        elif isinstance(block, nodes.paragraph | nodes.title | nodes.caption):
            words += len(block.astext().split())
    return math.ceil(words / WORDS_PER_MINUTE + lines / CODE_LINES_PER_MINUTE + formulas / FORMULAS_PER_MINUTE)


def _is_folded(node: nodes.Node) -> bool:
    while node := node.parent:
        if node.get("design_component") == "dropdown" or node.tagname == "dropdown_main":
            return True
    return False


def add_facts(app: Sphinx, pagename: str, _: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Gives the page's template the facts about it."""
    book: Book = app.config.book
    page = next((page for page in book.pages if page.name == pagename), None)
    if page is None or doctree is None:
        return
    site = f"{book.site_url}/" if book.site_url else ""
    description = book.description if pagename == "index" and book.description else describe(doctree)
    app.env.metadata[pagename]["description"] = context["description"] = description
    context["address"] = f"{site}{pagename}.html" if site else ""
    context["card"] = _card_address(book, site, context)
    if page.source.suffix == ".ipynb":
        context["notebook"] = page.source.name
        context["minutes"] = reading_minutes(doctree)
        context["launch_links"] = book.launch_links(page)
        facts = app.builder.templates.render("facts.html", context)
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{facts}", 1)


def _card_address(book: Book, site: str, context: dict[str, Any]) -> str:
    if book.image is None:
        return ""
    name = f"_static/{book.image.name}"
    return f"{site}{name}" if site else context["pathto"](name, 1)


def llms_text(book: Book, titles: dict[str, str], descriptions: dict[str, str]) -> str:
    """Returns the text of `llms.txt`: what the book is about and where each page is, for programs that read."""
    site = f"{book.site_url}/" if book.site_url else ""
    lines = [f"# {book.title}", "", f"> {book.description or book.subtitle}"]
    part: str | None = ""
    for page in book.pages:
        if page.part != part:
            lines += ["", f"## {page.part or 'The book'}", ""]
            part = page.part
        lines.append(f"- [{titles[page.name]}]({site}{page.name}.html){_colon(descriptions[page.name])}")
        if page.source.suffix == ".ipynb":
            lines.append(f"  - [The same as a notebook]({site}{page.source.as_posix()})")
    return "\n".join(lines) + "\n"


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def write_llms(app: Sphinx, error: Exception | None) -> None:
    """Writes `llms.txt` beside the pages."""
    if error:
        return
    book: Book = app.config.book
    titles = {page.name: _title(app, page) for page in book.pages}
    descriptions = {page.name: app.env.metadata[page.name]["description"] for page in book.pages}
    Path(app.outdir, "llms.txt").write_text(llms_text(book, titles, descriptions), encoding="utf-8")


def _title(app: Sphinx, page: Page) -> str:
    number = app.config.book_numbers.get(page.name)
    return f"{number}. " * (number is not None) + app.env.titles[page.name].astext()

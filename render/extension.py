"""What the book needs beyond Sphinx: its numbers, formulas, pictures and citations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import quote, urlsplit

import pybtex.plugin
from docutils import nodes
from py_mini_racer import JSEvalException
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.util import logging
from sphinx.util.images import get_image_size
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator
from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

from render.formulas import render_formula
from render.pages import add_facts, write_llms

CITATION_STYLE = "author_year_round"
CLOSING_MARKS = re.compile(r"[.,;:!?)]")
NUMBERED = re.compile(r"^(Chapter|Appendix|Section|Equation|Figure|Table) ([\w.]+)$")
BEFORE_PER_CENT = re.compile(r"(?<=\d) (?=%)")
AFTER_SPHINX_NUMBERS = 900

Number = tuple[int | str, ...]

logger = logging.getLogger(__name__)
pybtex.plugin.find_plugin = cache(pybtex.plugin.find_plugin)  # for each citation it read what all packages offer


def number_book(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Numbers sections, figures, tables and equations by `book_numbers`; letters are numbers too."""
    env.toc_secnumbers = {}
    for docname, number in app.config.book_numbers.items():
        secnumbers = env.toc_secnumbers[docname] = {}
        _number_sections(env.tocs[docname], (), iter([number]), secnumbers)
        env.titles[docname]["secnumber"] = (number,)
    TocTreeCollector().assign_figure_numbers(env)
    return []


def _number_sections(
    toc: nodes.Element, chapter: Number, counts: Iterator[int | str], secnumbers: dict[str, Number]
) -> None:
    for item, count in zip(toc.children, counts, strict=False):
        number = (*chapter, count)
        for part in item.children:
            if isinstance(part, addnodes.compact_paragraph):
                reference = part.next_node(nodes.reference)
                secnumbers[reference["anchorname"]] = reference["secnumber"] = number
            elif isinstance(part, nodes.bullet_list):
                _number_sections(part, number, itertools.count(1), secnumbers)


def name_appendix(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Puts the word "Appendix" before an appendix's letter in its title."""
    letter = app.config.book_numbers.get(docname)
    if isinstance(letter, str):
        doctree.next_node(nodes.title)["secnumber"] = (f"Appendix {letter}",)


def join_punctuation(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Keeps a formula and the full stop behind it on one line: browsers break lines between them."""
    for formula in list(doctree.findall(nodes.math)):
        parent, place = formula.parent, formula.parent.index(formula)
        after = parent[place + 1] if place + 1 < len(parent) else None
        if isinstance(after, nodes.Text) and (marks := CLOSING_MARKS.match(after)):
            mark = nodes.inline("", marks[0], classes=["formula-end"])
            joined = nodes.inline("", "", formula, mark, classes=["joined"])
            parent[place : place + 2] = [joined, nodes.Text(after[marks.end() :])]


def keep_together(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Keeps "Chapter 3" and "5 %" on one line."""
    for text in list(doctree.findall(nodes.Text)):
        is_code = isinstance(text.parent, nodes.literal | nodes.literal_block)
        joined = text if is_code else BEFORE_PER_CENT.sub("\N{NO-BREAK SPACE}", text)
        if isinstance(text.parent.parent, nodes.reference) or isinstance(text.parent, nodes.reference):
            joined = NUMBERED.sub("\\1\N{NO-BREAK SPACE}\\2", joined)
        if joined != text:
            text.parent.replace(text, nodes.Text(joined))


def visit_reference(translator: HTML5Translator, node: nodes.reference) -> None:
    """Writes a link; one that leaves the book tells the other side nothing of the page that it came from."""
    HTML5Translator.visit_reference(translator, node)
    if urlsplit(node.get("refuri", "")).netloc:
        translator.body[-1] = translator.body[-1].replace("<a ", '<a rel="noopener" ', 1)


def depart_reference(translator: HTML5Translator, node: nodes.reference) -> None:
    """Ends a link."""
    HTML5Translator.depart_reference(translator, node)


def _formula(translator: HTML5Translator, node: nodes.Element, is_display: bool) -> str:
    try:
        return render_formula(node.astext(), is_display)
    except JSEvalException as error:
        reason = str(error).partition("ParseError: ")[2].partition("\n")[0] or str(error)
        logger.warning("%s in the formula: %s", reason, node.astext(), location=node)
        return ""


def visit_inline_formula(translator: HTML5Translator, node: nodes.math) -> None:
    """Writes a formula in a line of text."""
    formula = _formula(translator, node, is_display=False)
    translator.body.append(f'<span class="math katex notranslate">{formula}</span>')
    raise nodes.SkipNode


def visit_displayed_formula(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Writes a displayed formula in a box that can scroll, with its number beside the box."""
    formula = _formula(translator, node, is_display=True)
    translator.body.append(translator.starttag(node, "div", CLASS="equation notranslate"))
    translator.body.append(
        f'<div class="scroll-box"><span class="katex-display"><span class="katex">{formula}</span></span></div>'
    )
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def visit_image(translator: HTML5Translator, node: nodes.image) -> None:
    """Writes a picture with its size, so that the page does not jump when it arrives."""
    builder = translator.builder
    width, height = node.get("width"), node.get("height")
    if not width:
        width, height = get_image_size(builder.srcdir / node["uri"]) or ("", "")
    source = f"{builder.imgpath}/{quote(builder.images[node['uri']])}"
    size = {"width": str(width).removesuffix("px"), "height": str(height).removesuffix("px")}
    is_first = node is next(node.document.findall(nodes.image))
    loading = {} if is_first else {"loading": "lazy", "decoding": "async"}
    translator.body.append(translator.emptytag(node, "img", src=source, alt=node["alt"], **size, **loading))
    raise nodes.SkipNode


def visit_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    """Begins an entry of the bibliography, without the number that nobody cites it by."""
    node.remove(node.next_node(nodes.label))
    translator.body.append(translator.starttag(node, "div", CLASS="citation"))


def depart_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    """Ends an entry of the bibliography."""
    translator.body.append("</div>\n")


@dataclass
class RoundAuthorYear(AuthorYearReferenceStyle):
    """Author and year in round brackets, as Quarto's citations are."""

    bracket_parenthetical: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))
    bracket_textual: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers all of the above with Sphinx."""
    app.setup_extension("render.explorables")
    app.add_config_value("book_numbers", {}, "env")
    app.add_config_value("book", None, "")
    app.connect("html-page-context", add_facts)
    app.connect("build-finished", write_llms)
    app.connect("env-get-updated", number_book, priority=AFTER_SPHINX_NUMBERS)
    app.connect("doctree-resolved", name_appendix)
    app.connect("doctree-resolved", join_punctuation)
    app.connect("doctree-resolved", keep_together)
    app.add_html_math_renderer("katex", (visit_inline_formula, None), (visit_displayed_formula, None))
    app.add_node(nodes.image, override=True, html=(visit_image, None))
    app.add_node(nodes.reference, override=True, html=(visit_reference, depart_reference))
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    register_plugin("sphinxcontrib.bibtex.style.referencing", CITATION_STYLE, RoundAuthorYear)
    return {"parallel_read_safe": False, "parallel_write_safe": False}

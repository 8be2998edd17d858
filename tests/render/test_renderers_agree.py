"""Headings, numbers and resolved references are what the sources say in Quarto's pages, where it is installed.

In those of render/: test_render.py for a sample book, browser/test_outline.py for this one.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from render.book import read_book
from tests.support.outline import Outline, from_quarto, from_sources

ROOT = Path(__file__).resolve().parents[2]
WARNING = re.compile(r"WARN|ERROR|Unable to resolve|Citeproc:")


@dataclass(frozen=True)
class Rendered:
    """A copy of the tracked files that Quarto rendered, and what it printed."""

    root: Path
    log: str

    @property
    def book(self) -> Path:
        return self.root / "_book"


def git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def by_quarto(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    if not shutil.which("quarto"):
        pytest.skip("quarto is not on PATH")
    root = tmp_path_factory.mktemp("quarto") / "book"
    for name in git(ROOT, "ls-files"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    done = subprocess.run(["quarto", "render", "--to", "html"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Rendered(root, done.stdout + done.stderr)


def test_quarto_warns_only_that_there_is_no_repository(by_quarto: Rendered) -> None:
    warnings = [line for line in by_quarto.log.splitlines() if WARNING.search(line)]
    assert [line for line in warnings if "require that you specify a repo-url" not in line] == []


def test_quarto_leaves_the_sources_alone(by_quarto: Rendered) -> None:
    assert git(by_quarto.root, "diff", "--name-only") == []
    assert git(by_quarto.root, "ls-files", "--others", "--exclude-standard") == []


def test_quarto_publishes_the_book_and_nothing_else(by_quarto: Rendered) -> None:
    pages = {f"{page.name}.html" for page in read_book(ROOT).pages}
    files = {path.relative_to(by_quarto.book).as_posix() for path in by_quarto.book.rglob("*") if path.is_file()}
    top = {file.partition("/")[0] for file in files}
    assert top == {page.partition("/")[0] for page in pages} | {"search.json", "assets", "site_libs"}
    assert {file for file in files if file.endswith(".html") and not file.startswith("site_libs/")} == pages
    notebooks = {page.source.as_posix() for page in read_book(ROOT).pages if page.source.suffix == ".ipynb"}
    assert {file for file in files if file.endswith(".ipynb")} == notebooks


def test_each_figure_has_its_caption_and_text_alternative(by_quarto: Rendered) -> None:
    figures = 0
    for page, outline in sources().items():
        html = BeautifulSoup((by_quarto.book / f"{page}.html").read_text(encoding="utf-8"), "html5lib")
        for label in (label for label in outline.numbers if label.startswith("fig-")):
            figure = html.find(id=label)
            assert len(figure.select_one("figcaption").get_text()) > 30, label
            assert len(figure.select_one("img")["alt"]) > 40, label
            figures += 1
    assert figures > 35


@cache
def sources() -> dict[str, Outline]:
    return from_sources(read_book(ROOT))


@pytest.mark.parametrize("page", [page.name for page in read_book(ROOT).pages])
def test_quarto_shows_what_the_sources_say(by_quarto: Rendered, page: str) -> None:
    wanted = sources()[page]
    found = from_quarto(by_quarto.book / f"{page}.html")
    is_numbered = any(number for number, _ in wanted.headings)
    assert [text for _, text in found.headings] == [text for _, text in wanted.headings]
    if is_numbered:  # below an unnumbered title Quarto counts sections on its own
        assert found.headings == wanted.headings
    assert found.numbers == wanted.numbers
    assert found.references == wanted.references


def test_the_sources_hold_something_of_each_kind() -> None:
    outlines = sources()
    kinds = {label.partition("-")[0] for outline in outlines.values() for label in outline.numbers}
    referred = {label.partition("-")[0] for outline in outlines.values() for label, _ in outline.references}
    assert kinds == {"fig", "tbl", "eq"}
    assert referred == {"sec", "fig", "tbl", "eq"}


INDEX = """\
<!DOCTYPE html><html><body><main class="content" id="quarto-document-content">
<header id="title-block-header" class="quarto-title-block default"><div class="quarto-title">
<h1 class="title">A book</h1></div></header>
<section id="a-book" class="level1 unnumbered"><h1 class="unnumbered">A book</h1>
<p>Begin with <a href="chapters/02-second.html" class="quarto-xref"><span>2&nbsp; The second chapter</span></a>;
<a href="appendices/notation.html" class="quarto-xref"><span>Appendix A — Notation</span></a> lists the symbols.</p>
</section></main></body></html>
"""
CHAPTER = """\
<!DOCTYPE html><html><body><main class="content" id="quarto-document-content">
<header id="title-block-header" class="quarto-title-block default">
<nav class="quarto-page-breadcrumbs quarto-title-breadcrumbs d-none d-lg-block" aria-label="breadcrumb">
<ol class="breadcrumb"><li class="breadcrumb-item"><a href="../chapters/02-second.html"><span
class="chapter-number">2</span>&nbsp; <span class="chapter-title">The second chapter</span></a></li></ol></nav>
<div class="quarto-title"><h1 class="title"><span id="sec-second" class="quarto-section-identifier"><span
class="chapter-number">2</span>&nbsp; <span class="chapter-title">The second chapter</span></span></h1></div></header>
<p>See <a href="../appendices/notation.html" class="quarto-xref"><span>Appendix A</span></a>,
<a href="01-first.html#eq-swap" class="quarto-xref">Equation&nbsp;<span>1.1</span></a>,
<a href="#fig-tree" class="quarto-xref">Figure&nbsp;<span>2.1</span></a>, and
<a href="../references.html">elsewhere</a>.</p>
<section id="maths" class="level2" data-number="2.1">
<h2 data-number="2.1" class="anchored" data-anchor-id="maths"><span class="header-section-number">2.1</span> Maths of
<span class="math inline">x</span></h2>
<p><span id="eq-second"><span class="math display">
x = 1
\\tag{2.1}</span></span></p>
<div id="fig-tree" class="quarto-float quarto-figure quarto-figure-center anchored" alt="A tree.">
<figure class="quarto-float quarto-float-fig figure"><div aria-describedby="fig-tree-caption-0ceaefa1">
<img src="tree.png" class="img-fluid figure-img" alt="A tree."></div>
<figcaption class="quarto-float-caption-bottom quarto-float-caption quarto-float-fig" id="fig-tree-caption-0ceaefa1">
Figure&nbsp;2.1: A tree.
</figcaption></figure></div>
<div id="tbl-two" class="quarto-float quarto-figure quarto-figure-center anchored">
<figure class="quarto-float quarto-float-tbl figure">
<figcaption class="quarto-float-caption-top quarto-float-caption quarto-float-tbl" id="tbl-two-caption-0ceaefa1">
Table&nbsp;2.1: Two.
</figcaption><div aria-describedby="tbl-two-caption-0ceaefa1"><table class="caption-top table">
<tbody><tr><td>1</td></tr></tbody></table></div></figure></div>
<div class="panel-tabset"><div class="tab-content"><h3>Not a heading</h3></div></div>
</section></main></body></html>
"""
APPENDIX = """\
<!DOCTYPE html><html><body><main class="content"><header id="title-block-header"><div class="quarto-title">
<h1 class="title"><span id="sec-notation" class="quarto-section-identifier">Appendix A — Notation</span></h1></div>
</header></main></body></html>
"""


def test_the_anatomy_of_quartos_pages_is_known(tmp_path: Path) -> None:
    """On shortened pages with the structure that Quarto 1.9.38 wrote, for Quarto is not on every machine."""
    pages = {"index": INDEX, "chapters/02-second": CHAPTER, "appendices/notation": APPENDIX}
    for name, html in pages.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.html").write_text(html, encoding="utf-8")
    index, chapter, appendix = (from_quarto(tmp_path / f"{name}.html") for name in pages)
    assert index.headings == [("", "a book")]
    assert index.references == {("sec-second", "Chapter 2"): 1, ("sec-notation", "Appendix A"): 1}
    assert chapter.headings == [("2", "the second chapter"), ("2.1", "maths of")]
    assert chapter.numbers == {"fig-tree": "2.1", "tbl-two": "2.1", "eq-second": "2.1"}
    assert chapter.references == {
        ("sec-notation", "Appendix A"): 1,
        ("eq-swap", "Equation 1.1"): 1,
        ("fig-tree", "Figure 2.1"): 1,
    }
    assert appendix == Outline(headings=[("A", "notation")])

"""Headings, numbers and resolved references are what the sources say in Quarto's pages, where it is installed.

In those of render/: test_render.py for a sample book, browser/test_outline.py for this one.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from render.book import read_book
from tests.outline import Outline, from_quarto, from_sources

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def by_quarto(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("quarto"):
        pytest.skip("quarto is not on PATH")
    book = tmp_path_factory.mktemp("quarto") / "book"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        if not name.startswith("tests/"):
            (book / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, book / name)
    done = subprocess.run(["quarto", "render", "--to", "html"], cwd=book, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return book / "_book"


@cache
def sources() -> dict[str, Outline]:
    return from_sources(read_book(ROOT))


@pytest.mark.parametrize("page", [page.name for page in read_book(ROOT).pages])
def test_quarto_shows_what_the_sources_say(by_quarto: Path, page: str) -> None:
    wanted = sources()[page]
    found = from_quarto(by_quarto / f"{page}.html")
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


CHAPTER = """\
<!DOCTYPE html><html><body><main class="content" id="quarto-document-content">
<header id="title-block-header" class="quarto-title-block default"><div class="quarto-title">
<h1 class="title"><span id="sec-second" class="quarto-section-identifier"><span class="chapter-number">2</span>&nbsp;
<span class="chapter-title">The second chapter</span></span></h1></div></header>
<p>See <a href="../chapters/01-first.html#eq-swap" class="quarto-xref"><span>Equation&nbsp;1.1</span></a>,
<a href="#fig-tree" class="quarto-xref"><span>Figure&nbsp;2.1</span></a>, and
<a href="../appendices/notation.html" class="quarto-ext">elsewhere</a>.</p>
<section id="sec-maths" class="level2" data-number="2.1">
<h2 data-number="2.1" class="anchored"><span class="header-section-number">2.1</span> Maths of
<span class="math inline">\\(x\\)</span></h2>
<span id="eq-second"><span class="math display">\\[x = 1 \\tag{2.1}\\]</span></span>
<div id="fig-tree" class="quarto-float quarto-figure anchored"><figure class="quarto-float quarto-float-fig figure">
<img src="tree.png" alt="A tree."><figcaption class="quarto-float-caption" id="fig-tree-caption-0ceaefa1">
Figure&nbsp;2.1: A tree.</figcaption></figure></div>
<div id="tbl-two" class="quarto-float anchored"><figure><figcaption>Table&nbsp;2.1: Two.</figcaption>
<table><tr><td>1</td></tr></table></figure></div>
<div class="panel-tabset"><div class="tab-content"><h3>Not a heading</h3></div></div>
</section></main></body></html>
"""
APPENDIX = """\
<!DOCTYPE html><html><body><main class="content"><header id="title-block-header"><h1 class="title">
<span id="sec-notation" class="quarto-section-identifier">Appendix A —
<span class="chapter-title">Notation</span></span>
</h1></header></main></body></html>
"""


def test_the_anatomy_of_quartos_pages_is_known(tmp_path: Path) -> None:
    """On snippets written by hand after Quarto's documentation, for Quarto is not on every machine."""
    chapter, appendix = tmp_path / "chapter.html", tmp_path / "appendix.html"
    chapter.write_text(CHAPTER)
    appendix.write_text(APPENDIX)
    found = from_quarto(chapter)
    assert found.headings == [("2", "the second chapter"), ("2.1", "maths of")]
    assert found.numbers == {"fig-tree": "2.1", "tbl-two": "2.1", "eq-second": "2.1"}
    assert found.references == {("eq-swap", "Equation 1.1"): 1, ("fig-tree", "Figure 2.1"): 1}
    assert from_quarto(appendix) == Outline(headings=[("A", "notation")])

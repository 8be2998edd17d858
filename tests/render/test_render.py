"""Tests of the renderer on a sample book that holds every construct of the subset of Quarto."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

from render.__main__ import main
from render.book import read_book
from render.check import check_book
from render.site import render
from tests.support.outline import from_quarto, from_sources

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "render" / "sample_book"
MINIMAL_CONFIG = "project: {type: book}\nbook: {title: T, chapters: [index.qmd]}\nbibliography: r.bib\n"

Pages = Callable[[str], BeautifulSoup]
Refusal = Callable[..., str]


def run_render(book: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "render", "--book", str(book), "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def render_here(
    book: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> subprocess.CompletedProcess[str]:
    """The same in this process, sooner."""
    command = ["render", "--book", str(book), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    code = main()
    return subprocess.CompletedProcess(command, code, *capsys.readouterr())


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample book, rendered."""
    out = tmp_path_factory.mktemp("built") / "_book"
    done = run_render(SAMPLE, out)
    assert done.returncode == 0, done.stderr
    assert "render/" in done.stdout
    assert str(out / "index.html") in done.stdout
    assert len(done.stdout.splitlines()) == 1
    return out


@pytest.fixture(scope="session")
def pages(built: Path) -> Pages:
    """The parsed pages of the sample book, by name."""

    @cache
    def page(name: str) -> BeautifulSoup:
        return BeautifulSoup((built / f"{name}.html").read_text(encoding="utf-8"), "html5lib")

    return page


@pytest.fixture(scope="session")
def first(pages: Pages) -> BeautifulSoup:
    return pages("chapters/01-first")


@pytest.fixture(scope="session")
def second(pages: Pages) -> BeautifulSoup:
    return pages("chapters/02-second")


def one(soup: BeautifulSoup | Tag, selector: str) -> Tag:
    found = soup.select(selector)
    assert len(found) == 1, f"{len(found)} x {selector}"
    return found[0]


def words(tag: Tag) -> str:
    return " ".join(tag.get_text().replace("\u2002", " ").split()).rstrip("#").strip()


def test_every_page_has_quartos_address(built: Path) -> None:
    names = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    assert names == {
        "index.html",
        "chapters/01-first.html",
        "chapters/02-second.html",
        "references.html",
        "appendices/notation.html",
        "appendices/more.html",
    }


def test_two_pandocs_make_the_same_pages_as_one(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("render.pandoc.ENOUGH_FOR_TWO", 2)
    assert render_here(SAMPLE, tmp_path / "_book", monkeypatch, capsys).returncode == 0
    for page in [path for path in built.rglob("*") if path.is_file()]:
        assert (tmp_path / "_book" / page.relative_to(built)).read_bytes() == page.read_bytes(), page


@pytest.mark.parametrize("enough", [2, 100])
def test_a_label_of_two_pages_is_refused_once(
    enough: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("render.pandoc.ENOUGH_FOR_TWO", enough)
    (tmp_path / "_quarto.yml").write_text(MINIMAL_CONFIG.replace("index.qmd", "index.qmd, a.qmd, b.qmd, c.qmd"))
    (tmp_path / "r.bib").write_text("")
    for name in ("index", "a", "b", "c"):
        (tmp_path / f"{name}.qmd").write_text(
            f"# Title {name}\n\n## Part {{#sec-{name if name != 'c' else 'a'}}}\n\n@sec-b\n"
        )
    done = render_here(tmp_path, tmp_path / "_book", monkeypatch, capsys)
    assert done.stderr.splitlines() == ["c.qmd: the label sec-a is used in a.qmd as well"]


def test_the_check_finds_nothing(built: Path) -> None:
    assert check_book(built) == []


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("index", "Preface"),
        ("chapters/01-first", "1 The first chapter"),
        ("chapters/02-second", "2 The second chapter"),
        ("references", "References"),
        ("appendices/notation", "Appendix A — Notation"),
        ("appendices/more", "Appendix B — More"),
    ],
)
def test_titles_are_numbered_across_parts(pages: Pages, page: str, title: str) -> None:
    assert words(one(pages(page), "h1")) == title


@pytest.mark.parametrize("page", [page.name for page in read_book(SAMPLE).pages])
def test_headings_numbers_and_references_are_what_the_sources_say(built: Path, page: str) -> None:
    assert from_quarto(built / f"{page}.html") == from_sources(read_book(SAMPLE))[page]


def test_sections_are_numbered(first: BeautifulSoup, pages: Pages) -> None:
    assert words(one(first, "#sec-maths > h2")) == "1.1 Mathematics"
    assert words(one(first, "main h3")) == "1.1.1 A deeper section"
    assert words(one(pages("appendices/notation"), "main h2")) == "A.1 Letters"


def test_parts_are_captions_of_the_sidebar(first: BeautifulSoup) -> None:
    captions = [words(tag) for tag in first.select("#quarto-sidebar .sidebar-item-section > .sidebar-item-text")]
    assert captions == ["One part", "Another part", "Appendices"]


def test_references_show_number_and_lead_to_the_right_place(second: BeautifulSoup) -> None:
    shown = {words(a): a["href"] for a in second.select("main > p a")}
    assert shown == {
        "Chapter 1": "01-first.html#sec-first",
        "Section 1.1": "01-first.html#sec-maths",
        "Appendix A": "../appendices/notation.html#sec-notation",
        "Equation 1.1": "01-first.html#eq-swap",
        "Equation 1.2": "01-first.html#eq-mean",
        "Equation 2.1": "#eq-second",
        "Equation A.1": "../appendices/notation.html#eq-appendix",
        "Figure 1": "../index.html#fig-file",
        "Figure 1.1": "01-first.html#fig-line",
        "Figure 2.1": "#fig-tree",
        "Table 1.1": "01-first.html#tbl-estimators",
        "2014": "../references.html#ref-kingma2014vae",
        "Gumbel 1954": "../references.html#ref-gumbel1954",
        "Kingma and Welling 2014": "../references.html#ref-kingma2014vae",
    }


def test_the_bibliography_lists_what_is_cited(pages: Pages) -> None:
    entries = [words(tag) for tag in pages("references").select("#refs .csl-entry")]
    assert [entry[:11] for entry in entries] == ["Gumbel, Emi", "Kingma, Die"]


def test_formulas_are_rendered_for_eyes_and_ears(first: BeautifulSoup) -> None:
    inline = one(first, "main > p .joined .math")
    assert inline.select(".katex-html[aria-hidden=true]")
    assert str(one(inline, "math semantics > mrow > msub")) == '<msub><mi mathvariant="normal">∇</mi><mi>ϕ</mi></msub>'
    assert one(inline, "math semantics > mrow").get_text() == "∇ϕE[f(z)]"
    displayed = one(first, "#eq-swap")
    assert displayed.select(".katex-display > .katex")
    assert words(one(displayed, ".katex-html > .tag")) == "(1.1)"
    assert len(first.select(".equation")) == 3
    assert len(first.select(".equation .katex-html > .tag")) == 2


def test_no_page_needs_a_script_for_its_formulas(built: Path) -> None:
    assert not list(built.rglob("katex*.js"))
    assert (built / "assets" / "katex" / "fonts" / "KaTeX_Main-Regular.woff2").is_file()


def test_a_figure_from_a_cell(first: BeautifulSoup) -> None:
    figure = one(first, "#fig-line.quarto-float > figure.quarto-float-fig")
    image = one(figure, "img")
    assert image["alt"] == 'A line that rises: "then" falls.'
    assert (image["width"], image["height"]) == ("576", "288")
    caption = words(one(figure, "figcaption"))
    assert caption.startswith("Figure 1.1: A line, see Equation 1.1 and (Kingma and Welling 2014): “quoted”,")
    assert caption.endswith("and [0, 1).")
    assert figure.select("figcaption .katex")


def test_a_figure_is_shown_as_svg_where_there_is_one(second: BeautifulSoup) -> None:
    assert str(one(second, "#fig-tree figure img")["src"]).endswith(".svg")
    assert "dots as text" not in second.get_text()


def test_a_figure_from_a_file(pages: Pages) -> None:
    image = one(pages("index"), "#fig-file figure img")
    assert image["alt"] == "Two dots side by side."
    assert (image["width"], image["height"]) == ("120", "60")


def test_a_table(first: BeautifulSoup) -> None:
    table = one(first, "#tbl-estimators.quarto-float > figure.quarto-float-tbl")
    assert words(one(table, "figcaption")).startswith("Table 1.1: Two estimators of ")
    assert one(table, "figcaption math semantics > mrow").get_text() == "g"
    assert words(table.select("tbody tr")[0].select("td")[2]) == "a|b"
    assert one(table.select("tbody tr")[1], "math semantics > mrow").get_text() == "∣x∣∥y"


def test_code_and_output_are_apart(first: BeautifulSoup) -> None:
    cell = first.select(".cell")[0]
    assert "def sample" in one(cell, "div.sourceCode.cell-code pre.sourceCode.python").get_text()
    assert one(cell, ".cell-output-stdout > pre").get_text() == "a ± s\nsecond line"


def test_a_printed_table_is_typeset(tmp_path: Path) -> None:
    printed = {"output_type": "stream", "name": "stdout", "text": ["      a     b\n", "x   1.0   2.0\n"]}
    cell = {"cell_type": "code", "source": "print(1)", "outputs": [printed], "metadata": {}}
    title = {"cell_type": "markdown", "source": "# Title {#sec-title}", "metadata": {}}
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": [title, cell]}))
    (tmp_path / "r.bib").write_text("")
    (tmp_path / "_quarto.yml").write_text(MINIMAL_CONFIG.replace("index.qmd", "index.qmd, one.ipynb"))
    (tmp_path / "index.qmd").write_text("# Book\n")
    render(read_book(tmp_path), tmp_path / "_book")
    page = BeautifulSoup((tmp_path / "_book" / "one.html").read_text(encoding="utf-8"), "html5lib")
    table = one(page, ".cell-output-stdout > .float-content > table.printed")
    assert [cell.get_text() for cell in table.select("th, td")] == ["", "a", "b", "x", "1.0", "2.0"]


def test_code_folds_under_its_summary(first: BeautifulSoup) -> None:
    fold = one(first, "details.code-fold")
    assert not fold.has_attr("open")
    assert words(one(fold, "summary")) == "Draw the figure"
    assert "a_rather_long_name" in one(fold, ".cell-code pre").get_text()


def test_cell_options_hide_what_they_say(first: BeautifulSoup) -> None:
    text = one(first, "main").get_text()
    assert "only the output" in text
    assert 'print("only the output")' not in text
    assert "hidden = 1" not in text
    assert [tag.get_text().strip() for tag in first.select(".cell-output pre")].count("never seen") == 0
    assert "fig-cap" not in text
    assert "#|" not in text


def test_an_expected_error_is_shown_without_colour_codes(first: BeautifulSoup) -> None:
    assert one(first, ".cell-output-error > pre").get_text() == "ZeroDivisionError: division by zero"


def test_a_markdown_output(first: BeautifulSoup) -> None:
    output = one(first, "div.cell-output-markdown")
    assert words(one(output, "strong")) == "strong"
    assert output.select("table")


def test_footnotes_quotations_and_links(first: BeautifulSoup) -> None:
    assert words(one(first, "#footnotes li p")).startswith("The note, with")
    assert words(one(first, "blockquote")) == "A quotation."
    hrefs = [a["href"] for a in first.select("main > p a")]
    assert "02-second.html" in hrefs
    assert "https://example.org/" in hrefs


def test_a_comment_is_not_shown(pages: Pages) -> None:
    assert "no reader sees" not in str(pages("appendices/more"))


def test_callouts(second: BeautifulSoup) -> None:
    note = one(second, "div.callout-note")
    assert words(one(note, ".callout-header")).startswith("A note with")
    assert words(one(second, "div.callout-warning > .callout-header")) == "Warning"
    assert second.select("div.callout-important")


def test_a_collapsed_callout_spans_cells(second: BeautifulSoup) -> None:
    solution = one(second, "details.callout-tip")
    assert not solution.has_attr("open")
    assert words(one(solution, "summary")) == "Solution"
    assert words(one(solution, ".cell-output pre")) == "2"
    assert "and closed here." in solution.get_text()


def test_tabs_span_cells(second: BeautifulSoup) -> None:
    tabs = one(second, ".panel-tabset")
    assert [words(tab) for tab in tabs.select(".nav-tabs [role=tab]")] == ["First tab", "Second tab"]
    assert [tab["aria-controls"] for tab in tabs.select("[role=tab]")] == [
        pane["id"] for pane in tabs.select(".tab-pane")
    ]
    assert words(one(tabs, ".cell-output pre")) == "in a tab"


def test_margin_notes(second: BeautifulSoup) -> None:
    assert words(one(second, ".column-margin")).startswith("In the margin, with")


def test_a_copy_for_readers_is_beside_its_page(built: Path, first: BeautifulSoup) -> None:
    link = one(first, ".chapter-facts a[download]")
    copy = json.loads((built / "chapters" / str(link["href"])).read_text())
    text = "".join("".join(cell["source"]) for cell in copy["cells"])
    assert text.startswith("# Chapter 1. The first chapter")
    assert not re.search(r"@sec-|\{#|^:::", text, re.MULTILINE)


def test_a_chapter_says_how_long_it_takes_and_every_page_how_to_run_it(pages: Pages, first: BeautifulSoup) -> None:
    facts = one(first, "#title-block-header + .chapter-facts")
    assert re.fullmatch(r"About \d+ minutes to read", words(facts.select("li")[0]))
    for name in ("index", "chapters/01-first", "references"):
        assert one(pages(name), ".nav-footer code").get_text() == "make lab"
    assert not pages("index").select(".chapter-facts")


def test_without_a_repository_there_is_no_link_to_run_in_the_browser(built: Path) -> None:
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "mybinder" not in text
        assert "colab" not in text.lower()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample book with a repository, an address and a card, rendered."""
    folder = tmp_path_factory.mktemp("published")
    book = folder / "tests" / "render" / "book"
    shutil.copytree(SAMPLE, book)
    shutil.copytree(ROOT / "assets", folder / "assets")
    config = (book / "_quarto.yml").read_text()
    keys = "repo-url: https://github.com/someone/book\n  site-url: https://example.org/book/\n  image: card.png\n"
    (book / "_quarto.yml").write_text(config.replace("book:\n", f"book:\n  {keys}", 1))
    (book / "card.png").write_bytes(b"not looked at")
    done = run_render(book, folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_with_a_repository_each_chapter_can_be_run_in_the_browser(published: Path) -> None:
    page = BeautifulSoup((published / "chapters" / "01-first.html").read_text(encoding="utf-8"), "html5lib")
    links = {words(a): (a["href"], a.get("rel")) for a in page.select(".chapter-facts a[rel]")}
    assert links == {
        "Run in Binder": (
            "https://mybinder.org/v2/gh/someone/book/notebooks?labpath=notebooks/01-first.ipynb",
            ["noopener"],
        ),
        "Run in Colab": (
            "https://colab.research.google.com/github/someone/book/blob/notebooks/notebooks/01-first.ipynb",
            ["noopener"],
        ),
    }
    index = BeautifulSoup((published / "index.html").read_text(encoding="utf-8"), "html5lib")
    assert not index.select(".chapter-facts")


def test_open_graph(published: Path, first: BeautifulSoup) -> None:
    def graph(page: BeautifulSoup) -> dict[str, str]:
        return {str(tag["property"])[3:]: str(tag["content"]) for tag in page.select('meta[property^="og:"]')}

    page = BeautifulSoup((published / "chapters" / "01-first.html").read_text(encoding="utf-8"), "html5lib")
    assert graph(page) | {"description": ""} == {
        "type": "article",
        "site_name": "A Sample Book",
        "title": "1 The first chapter",
        "description": "",
        "url": "https://example.org/book/chapters/01-first.html",
        "image": "https://example.org/book/card.png",
    }
    assert (published / "card.png").is_file()
    description = graph(page)["description"]
    assert description
    assert one(page, "meta[name=description]")["content"] == description
    assert "\\" not in description, "formulas are shown as characters"
    assert graph(first).keys() == {"type", "site_name", "title", "description"}, "no address, no card"


def test_an_address_must_be_one_that_the_links_can_use(tmp_path: Path) -> None:
    book = tmp_path / "tests" / "render" / "book"
    shutil.copytree(SAMPLE, book)
    config = (book / "_quarto.yml").read_text()
    (book / "_quarto.yml").write_text(config.replace("book:\n", "book:\n  repo-url: git@example.org:a/b\n", 1))
    done = run_render(book, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == ("_quarto.yml: repo-url is 'git@example.org:a/b'; it must begin with https://github.com/\n")


def test_llms_text_lists_every_page(built: Path, published: Path) -> None:
    text = (built / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith("# A Sample Book\n\n> Every construct of the subset, once\n")
    links = re.findall(r"\]\(([^)]+)\)", text)
    pages = {path.relative_to(built).as_posix() for path in built.rglob("*.html")}
    notebooks = {path.relative_to(built).as_posix() for path in built.rglob("*.ipynb")}
    assert sorted(links) == sorted(pages | notebooks)
    assert "- [1. The first chapter](chapters/01-first.html)" in text
    assert "## Another part" in text
    assert "](https://example.org/book/chapters/01-first.html)" in (published / "llms.txt").read_text(encoding="utf-8")


def test_links_that_leave_the_book_tell_nothing(built: Path) -> None:
    outside = 0
    for path in built.rglob("*.html"):
        for link in BeautifulSoup(path.read_text(encoding="utf-8"), "html5lib").select('a[href^="http"]'):
            outside += 1
            assert "noopener" in link.get("rel", []), link
    assert outside > 0


def test_pictures_below_the_first_wait_until_they_are_near(second: BeautifulSoup, first: BeautifulSoup) -> None:
    for page in (first, second):
        pictures = page.select("main img")
        assert pictures
        assert pictures[0].get("loading") is None
        assert pictures[0]["fetchpriority"] == "low"  # the fonts of the text come first
        assert all(picture["loading"] == "lazy" for picture in pictures[1:])
        assert all(picture["width"] and picture["height"] for picture in pictures)


def test_no_script_and_one_style_sheet_keep_the_page_waiting(built: Path) -> None:
    for path in built.rglob("*.html"):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html5lib")
        assert len(page.select('link[rel="stylesheet"]')) == 1, path
        for script in page.select("script[src]"):
            assert script.has_attr("defer"), f"{path}: {script}"
    assert (built / "assets" / "page.css").stat().st_size < 70_000


def test_search_knows_the_words_of_a_chapter(built: Path) -> None:
    script = (built / "assets" / "search-index.js").read_text(encoding="utf-8")
    entries = json.loads(script.removeprefix("globalThis.BOOK_INDEX = ").removesuffix(";\n"))["entries"]
    deeper = [entry for entry in entries if entry["title"] == "A deeper section"]
    assert [entry["page"] for entry in deeper] == ["1 The first chapter"]
    assert all("\\" not in entry["text"] for entry in entries), "formulas are characters, once"


def test_the_book_is_light(built: Path) -> None:
    assert sum(path.stat().st_size for path in built.rglob("*") if path.is_file()) < 2_500_000


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Renders a book of one page with some text or cells added, and returns why it was refused."""

    def refused(text: str = "", cell: dict[str, Any] | None = None) -> str:
        book = tmp_path / "book"
        book.mkdir()
        title = "# Title {.unnumbered}\n\n"
        config = MINIMAL_CONFIG
        (book / "index.qmd").write_text(title + text)
        if cell is not None:
            config = config.replace("index.qmd", "index.qmd, a.ipynb")
            heading = {"cell_type": "markdown", "source": "# Chapter"}
            (book / "a.ipynb").write_text(json.dumps({"cells": [heading, cell]}))
        (book / "_quarto.yml").write_text(config)
        (book / "r.bib").write_text("@misc{known, title = {T}, author = {A, B}, year = 2000}\n")
        out = tmp_path / "out"
        (out / "old").mkdir(parents=True)
        done = render_here(book, out, monkeypatch, capsys)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert [path.name for path in out.iterdir()] == ["old"], "a failed render must leave the old book"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["book", "out"]
        return done.stderr.strip()

    return refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("::: {.fancy}\nText.\n:::", "unsupported div: ::: {.fancy}"),
        ('::: {.callout-tip icon="no"}\nText.\n:::', "a callout with the attribute icon"),
        ("::: {.callout-tip}\nNever closed.", "unclosed"),
        ("{{< video file.mp4 >}}", '"{{<" was not understood'),
        ("<b>bold</b>", "unsupported RawInline in the text: <b>"),
        ("<video></video>", "raw html is not supported"),
        ("\\begin{align}\na\n\\end{align}", "unsupported RawInline in the text: \\begin{align}"),
        ("A ~~struck~~ word.", "unsupported Strikeout"),
        ("term\n:   definition", "unsupported DefinitionList"),
        ("# Second title", "a second title"),
        ("![Caption.](p.svg){#fig-p}", "the figure p.svg has no text alternative"),
        ('![Caption.](p.svg){#fig-p fig-alt="Alt."}', "there is no picture p.svg"),
        ('![](p.svg){fig-alt="Alt."}', "unsupported Image"),
        ("$$ a $$\n{#eq-a}", '"{#eq-a}" was not understood'),
        ("```python {.numbered}\n1\n```", "a code block may have a language"),
        ("See [-@known].", "only the plain forms"),
        ("```{python}\n1\n```", "a cell to execute outside a notebook"),
        ('![Caption.](p.svg){#fig-p fig-alt="Alt." width="50%"}', "a picture with the attribute width"),
        ("a. letters\nb. as numbers", "a list of the style LowerAlpha"),
        ("1) one\n2) two", "a list of the style Decimal, OneParen"),
        ("1983. That was the year.", r"a list that begins with 1983., as a year or a number does"),
        ("$$\\begin{align} a \\end{align}$$", "the environment align numbers its formulas itself"),
        ("$$\\begin{gather*} a \\end{gather*}$$", "the environment gather numbers"),
        ("$$\\begin{equation} a \\end{equation}$$", "the environment equation numbers"),
        ("$$ a \\tag{7} $$", "\\tag in a formula"),
        ("```python\nx = 1  # <1>\n```", "a code annotation: x = 1  # <1>"),
        ("See <https://example.org>.", "an address in angle brackets"),
        ("## A section[^1]\n\n[^1]: Note.", "a footnote in a heading"),
        ("`code`{.python}", "inline code with attributes"),
        ("```{=cell}\n{}\n```", "raw cell is not supported"),
        ("## A section {.unnumbered}", "a heading with attributes"),
        ("> ## Inside", "a heading inside a div, a list or a quotation"),
        ("| a |\n|---|\n| b |\n\n: C {#tbl-a .striped}", "a table with a class or an attribute: tbl-a"),
        ('| a |\n|---|\n| b |\n\n: C {#tbl-a tbl-colwidths="[9]"}', "a table with a class or an attribute: tbl-a"),
        ("::: {#nte-x .callout-note}\nText.\n:::", "a div with an identifier: nte-x"),
        ("::: {.panel-tabset}\n## Tab {.active}\n\nText.\n:::", 'a tab with a class or an attribute: "Tab"'),
        ("- [ ] to do", "a list of tasks"),
        ("$$\\begin{multline} a \\end{multline}$$", "the environment multline numbers"),
        ("$$\\begin{alignat}{2} a \\end{alignat}$$", "the environment alignat numbers"),
        ("$$ a \\label{x} $$", "\\label in a formula"),
    ],
)
def test_unsupported_markup_is_refused(refusal: Refusal, text: str, reason: str) -> None:
    message = refusal(text)
    assert message.startswith("index.qmd: ")
    assert reason in message


def test_what_cannot_be_resolved_is_refused(refusal: Refusal) -> None:
    faults = {
        "See @fig-nowhere, @sec-nowhere.": ["nothing with the label fig-nowhere", "nothing with the label sec-nowhere"],
        "See @eq-nowhere and [@nobody].": ["nothing with the label eq-nowhere", "no source with the key nobody"],
        r"Maths $\foo$ and $$\frac{1}$$": [r"Undefined control sequence: \foo", r"in the formula: \frac{1}"],
        "[A link](nowhere.qmd).": ["a link to nowhere.qmd, which is not a page"],
    }
    cell = {"cell_type": "markdown", "source": "See @sec-nowhere."}
    message = refusal("\n\n".join(faults), cell)
    in_cell, *in_text = sorted(message.splitlines())
    assert in_cell.startswith("a.ipynb, cell 2: ")
    assert "nothing with the label sec-nowhere" in in_cell
    assert all(line.startswith("index.qmd: ") for line in in_text)
    assert [part for parts in faults.values() for part in parts if part not in "".join(in_text)] == []


def code_cell(*outputs: dict[str, Any], source: str = "show()") -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def shows(kind: str, content: str = "x") -> dict[str, Any]:
    return {"output_type": "display_data", "data": {kind: content}}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (code_cell(shows("text/html")), "not shown: text/html; show text, text/markdown, a PNG, a JPEG or an SVG"),
        (code_cell(shows("image/svg+xml")), "has no text alternative"),
        (code_cell(shows("application/json")), "an output of a kind that is not shown: application/json"),
        (code_cell(shows("application/pdf") | {"output_type": "display_data"}), "that is not shown: application/pdf"),
        (code_cell({"output_type": "display_data", "data": {"text/latex": "x", "text/plain": "x"}}), "text/latex"),
        (code_cell(source="x = 1  # <1>"), "a code annotation"),
        (code_cell(source="#| fig-width: 3"), "unknown cell option 'fig-width'"),
        (code_cell(source="#| echo: maybe"), "cell option 'echo' is not a bool"),
        (code_cell(source='#| label: fig-a\n#| fig-cap: "A."\nplot()'), "fig-a has no stored picture"),
        (code_cell(shows("image/svg+xml"), shows("image/svg+xml")), "more than one picture"),
        (code_cell({"output_type": "stream", "name": "stderr", "text": "w"}), "prints on standard error"),
        (code_cell({"output_type": "error", "ename": "E", "traceback": []}), "fails with E, but has no option"),
        ({"cell_type": "raw", "source": "x"}, "a raw cell"),
        ({"cell_type": "markdown", "source": "<br>"}, "unsupported RawInline"),
    ],
)
def test_a_refusal_names_the_cell(refusal: Refusal, cell: dict[str, Any], reason: str) -> None:
    message = refusal(cell=cell)
    assert message.startswith("a.ipynb, cell 2: ")
    assert reason in message


@pytest.mark.parametrize("missing", ["chapters/02-second.ipynb", "references.bib"])
def test_a_listed_file_must_be_there(tmp_path: Path, missing: str) -> None:
    book = tmp_path / "tests" / "render" / "book"
    shutil.copytree(SAMPLE, book)
    (book / missing).unlink()
    done = run_render(book, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == f"{missing}: listed in _quarto.yml, but not found\n"


def test_a_broken_notebook_is_named(tmp_path: Path) -> None:
    book = tmp_path / "tests" / "render" / "book"
    shutil.copytree(SAMPLE, book)
    (tmp_path / "assets").mkdir()
    shutil.copy(ROOT / "assets" / "book.css", tmp_path / "assets")
    (book / "chapters" / "01-first.ipynb").write_text("{")
    done = run_render(book, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("chapters/01-first.ipynb: not a valid notebook")


def test_all_faults_are_told_at_once(refusal: Refusal) -> None:
    cell = {"cell_type": "markdown", "source": "<br>\n\nSee @nobody."}
    message = refusal("{{< video >}}\n\n::: {.fancy}\nText.\n:::\n\nSee @fig-none.", cell).splitlines()
    assert [line.partition(": ")[0] for line in message] == ["index.qmd"] * 2 + ["a.ipynb, cell 2"] * 2 + ["index.qmd"]


def test_text_that_looks_like_the_renderers_own_is_shown(tmp_path: Path) -> None:
    book = tmp_path / "tests" / "render" / "book"
    shutil.copytree(SAMPLE, book)
    shutil.copytree(ROOT / "assets", tmp_path / "assets")
    strange = '%%% title page\n%%sec-first%%\n<span class="math inline">x</span>\n\\\\[x\\\\]'
    with (book / "index.qmd").open("a", encoding="utf-8") as file:
        file.write(f"\n\n```\n{strange}\n```\n")
    done = run_render(book, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    page = BeautifulSoup((tmp_path / "out" / "index.html").read_text(encoding="utf-8"), "html5lib")
    assert page.select("main pre")[-1].get_text() == strange


def test_a_jpeg_is_shown(tmp_path: Path) -> None:
    book = tmp_path / "tests" / "render" / "book"
    shutil.copytree(SAMPLE, book)
    shutil.copytree(ROOT / "assets", tmp_path / "assets")
    content = io.BytesIO()
    Image.new("RGB", (144, 72)).save(content, "JPEG")
    data = {"image/jpeg": base64.b64encode(content.getvalue()).decode(), "text/plain": "<PIL image>"}
    notebook = json.loads((book / "chapters" / "01-first.ipynb").read_text())
    options = '#| label: fig-jpeg\n#| fig-cap: "A."\n#| fig-alt: "Black."\nshow()'
    cell = code_cell({"output_type": "display_data", "metadata": {}, "data": data}, source=options)
    cell["outputs"][0]["metadata"] = {"image/jpeg": {"width": 72, "height": 36}}
    notebook["cells"].append(cell | {"metadata": {}, "execution_count": 1})
    (book / "chapters" / "01-first.ipynb").write_text(json.dumps(notebook))
    done = run_render(book, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    page = BeautifulSoup((tmp_path / "out" / "chapters" / "01-first.html").read_text(encoding="utf-8"), "html5lib")
    image = one(page, "#fig-jpeg img")
    assert str(image["src"]).endswith(".jpg")
    assert (image["width"], image["height"]) == ("72", "36")
    assert "PIL" not in one(page, "main").get_text()

"""What our scripts add to Quarto's pages, on a page with its elements, its folders and our inclusion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pypandoc
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from render.book import Page as BookPage
from render.book import read_book
from tests.support.quarto import SCRIPTS, after_quarto
from tools.serve import served

ROOT = Path(__file__).resolve().parents[2]
HTML = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["format"]["html"]
FIGURE = pypandoc.convert_text('::: {.explorable data-explore="passes"}\nText.\n:::\n', "html", format="markdown")
CALLOUT = """<div class="callout callout-style-default callout-tip callout-titled"><div class="callout-header collapsed"
data-bs-toggle="collapse" data-bs-target=".c" aria-controls="c" aria-expanded="false" aria-label="Toggle callout">
<div class="callout-title-container flex-fill"><span class="screen-reader-only">Tip</span>Solution</div></div>
<div id="c" class="c callout-collapse collapse"><div class="callout-body">Text.</div></div></div>"""
TABLE = f'<table class="caption-top table"><tr>{"<td>Ununterbrochen&nbsp;lang</td>" * 20}</tr></table>'
SOURCE = '<a class="toc-action" href="{}/blob/main/chapters/04-page.ipynb">View source</a>'

Open = Callable[[str], Page]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens chapters/04-page.html with the given HTML below its title; an error of its scripts fails the test."""
    styles = "".join(f'<link rel="stylesheet" href="../{css}">' for css in HTML["css"])
    head = f'<meta name="quarto:offset" content="../"><title>T</title><link rel="icon" href="data:,">{styles}'
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "04-page.ipynb").write_text("{}")
    errors: list[str] = []

    with served(tmp_path) as address, browser.new_context() as context:

        def open_page(html: str) -> Page:
            title = '<header id="title-block-header"><h1 class="title">Title</h1></header>'
            (tmp_path / "chapters" / "04-page.html").write_text(
                f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}</head><body class="quarto-light">'
                f'<main class="content">{title}{html}</main>{HTML["include-after-body"][0]["text"]}</body></html>'
            )
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{address}chapters/04-page.html")
            return page

        yield open_page
    assert errors == []


def test_an_explorable_starts(opened: Open) -> None:
    figure = opened(FIGURE).locator("[data-explore]")
    expect(figure.locator(".explore-body")).to_be_visible()
    figure.get_by_role("button", name="Next").click()
    expect(figure.locator(".explore-step")).to_contain_text("= 21")


def test_a_folded_solution_opens_with_the_keyboard(opened: Open) -> None:
    header = opened(CALLOUT).locator(".callout-header")
    header.evaluate("e => e.addEventListener('click', () => e.dataset.clicks = 1 + Number(e.dataset.clicks ?? 0))")
    expect(header).to_have_role("button")
    expect(header).to_have_accessible_name(re.compile("Solution"))
    for key in ("Enter", "Space"):
        header.press(key)
    expect(header).to_have_attribute("data-clicks", "2")


def test_a_wide_table_scrolls_in_its_box_which_the_keyboard_reaches(opened: Open) -> None:
    for html in (TABLE, f'<figure><div aria-describedby="a">{TABLE}</div></figure>'):
        page = opened(html)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        expect(page.locator(".float-content:has(> table)")).to_have_attribute("tabindex", "0")


def test_tables_stay_the_ones_that_they_were(opened: Open) -> None:
    """A clone would have lost what other scripts keep of a table."""
    remember = "<script>window.tables = [...document.querySelectorAll('table')]</script>"
    page = opened(f"{TABLE}<figure><div aria-describedby='a'>{TABLE}</div></figure>{remember}")
    expect(page.locator(".float-content > table")).to_have_count(2)
    assert page.evaluate("window.tables.map((table) => table.isConnected)") == [True, True]


def test_boxes_that_scroll_and_navigations_have_names_of_their_own(opened: Open) -> None:
    bars = '<nav class="quarto-secondary-nav"></nav><nav id="quarto-sidebar"></nav><nav id="TOC"></nav>'
    link = '<nav class="page-navigation"><a class="pagination-link" href="#" aria-label="Title">5 Title</a></nav>'
    pre = f'<pre style="overflow: visible">{"wide " * 99}</pre>'
    code = f'<div class="sourceCode" style="width: 9rem; overflow: auto">{pre}</div>'
    page = opened(bars + link + code + code)
    expect(page.locator("div.sourceCode[tabindex='0'][role=region]")).to_have_count(2)
    names = [box.get_attribute("aria-label") for box in page.locator("nav, [role=region]").all()]
    assert None not in names
    assert len(set(names)) == len(names) == 6
    expect(page.locator(".pagination-link")).to_have_accessible_name("5 Title")


def test_a_part_of_the_list_of_chapters_folds_with_the_keyboard(opened: Open) -> None:
    part = '<a class="sidebar-item-text" data-bs-toggle="collapse" role="navigation">The idea</a>'
    fold = opened(f'<nav id="quarto-sidebar">{part}</nav>').get_by_role("button", name="The idea")
    fold.evaluate("e => e.addEventListener('click', () => e.dataset.clicks = 1 + Number(e.dataset.clicks ?? 0))")
    fold.press("Enter")
    expect(fold).to_have_attribute("data-clicks", "1")


@pytest.mark.parametrize(
    ("quarto", "shown"),
    [
        ('<span>1&nbsp; <span class="chapter-title">The general idea</span></span>', "Chapter\u00a01"),
        ("<span>Appendix A — Notation</span>", "Appendix\u00a0A"),
        ("<span>Chapter 12</span>", "Chapter\u00a012"),
        ("<span>Figure&nbsp;3.1</span>", "Figure\u00a03.1"),
        ("<span>Use it in your own project</span>", "Use it in your own project"),
    ],
)
def test_references_read_as_in_render(opened: Open, quarto: str, shown: str) -> None:
    reference = opened(f'<p><a class="quarto-xref" href="#">{quarto}</a></p>').locator(".quarto-xref")
    assert reference.text_content() == shown


def test_the_title_of_an_appendix_does_not_break_before_its_dash(opened: Open) -> None:
    page = opened('<h1><span class="quarto-section-identifier">Appendix H — Performance</span></h1>')
    assert page.locator("h1 .quarto-section-identifier").text_content() == "Appendix H\u00a0— Performance"


@pytest.mark.parametrize("mark", [",", ").", ")"])
def test_at_no_width_the_mark_behind_a_formula_begins_a_line(opened: Open, mark: str) -> None:
    text = f'<p>We draw (some of these) <span class="math inline">z</span>{mark} Then stop.</p>'
    style = '<link rel="stylesheet" href="../assets/katex/katex.min.css">'
    page = opened(after_quarto(SCRIPTS + style + text))
    expect(page.locator("p .katex")).to_have_count(1)
    below = """([formula, end], widths) => widths.filter((width) => {
      formula.closest("p").style.width = `${width}px`;
      return end.getBoundingClientRect().top > formula.getBoundingClientRect().bottom;
    })"""
    parts = page.locator(".joined > span").element_handles()
    script = f"(parts) => ({below})(parts, Array.from({{ length: 300 }}, (_, i) => 60 + i))"
    assert page.evaluate(script, parts) == []


def test_of_two_empty_lines_in_a_cell_one_is_shown(opened: Open) -> None:
    cell = "::: cell\n```python\na = 1\n\n\nb = 2\n\nc = 3\n```\n:::\n"
    code = pypandoc.convert_text(cell, "html", format="markdown")
    assert opened(code).locator("code").text_content() == "a = 1\n\nb = 2\n\nc = 3"


def test_a_page_that_is_served_says_nothing_of_files(opened: Open) -> None:
    expect(opened(FIGURE).locator(".from-file")).to_have_count(0)


def test_a_page_from_a_file_says_in_a_line_what_cannot_run(opened: Open, browser: Browser, tmp_path: Path) -> None:
    opened(FIGURE)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((tmp_path / "chapters" / "04-page.html").as_uri())
        said = page.locator("main .from-file")
        expect(said).to_have_count(1)
        expect(said).to_contain_text(
            "so the search and the interactive figures cannot run. Use make preview to view the book."
        )


def test_a_chapter_offers_its_notebook_and_no_service_while_there_is_no_repository(opened: Open) -> None:
    links = opened("").locator("header + .chapter-facts a")
    expect(links).to_have_text(["Download the notebook"])
    with links.page.expect_download() as download:
        links.click()
    assert download.value.path().read_text() == "{}"


def test_a_chapter_links_to_binder_and_colab_once_there_is_a_repository(opened: Open) -> None:
    """As the pages of render/ do."""
    links = opened(SOURCE.format("https://github.com/someone/book")).locator(".chapter-facts a")
    expect(links).to_have_text(["Download the notebook", "Run in Binder", "Run in Colab"])
    launched = replace(read_book(ROOT), repo_url="https://github.com/someone/book").launch_links(
        BookPage(Path("chapters/04-page.ipynb"), None, False)
    )
    assert [links.nth(i).get_attribute("href") for i in (1, 2)] == [launched["Binder"], launched["Colab"]]
    assert [links.nth(i).get_attribute("rel") for i in (1, 2)] == ["noopener", "noopener"]

"""What our scripts add to Quarto's pages, on a page with its elements, its folders and our inclusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pypandoc
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tools.serve import served

ROOT = Path(__file__).resolve().parents[2]
HTML = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["format"]["html"]
FIGURE = pypandoc.convert_text('::: {.explorable data-explore="passes"}\nText.\n:::\n', "html", format="markdown")
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


def test_a_chapter_offers_its_notebook_and_no_service_while_there_is_no_repository(opened: Open) -> None:
    links = opened("").locator("header + .chapter-facts a")
    expect(links).to_have_text(["Download the notebook"])
    with links.page.expect_download() as download:
        links.click()
    assert download.value.path().read_text() == "{}"


def test_a_chapter_links_to_binder_and_colab_once_there_is_a_repository(opened: Open) -> None:
    links = opened(SOURCE.format("https://github.com/someone/book")).locator(".chapter-facts a")
    expect(links).to_have_text(["Download the notebook", "Run in Binder", "Run in Colab"])
    assert links.nth(1).get_attribute("href") == (
        "https://mybinder.org/v2/gh/someone/book/main?labpath=chapters/04-page.ipynb"
    )
    assert links.nth(2).get_attribute("href") == (
        "https://colab.research.google.com/github/someone/book/blob/main/chapters/04-page.ipynb"
    )
    assert [links.nth(i).get_attribute("rel") for i in (1, 2)] == ["noopener", "noopener"]

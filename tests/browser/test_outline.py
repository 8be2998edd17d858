"""Headings, numbers and resolved references of the rendered book are what its sources say."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.book import read_book
from tests.browser.conftest import ROOT
from tests.support.outline import Outline, from_quarto, from_sources

PAGES = [page.name for page in read_book(ROOT).pages]


@pytest.fixture(scope="module")
def sources() -> dict[str, Outline]:
    return from_sources(read_book(ROOT))


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_what_its_source_says(book_folder: Path, sources: dict[str, Outline], page: str) -> None:
    assert from_quarto(book_folder / f"{page}.html") == sources[page]

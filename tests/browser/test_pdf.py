"""The PDF: a title page, contents whose page numbers are right, and every page of the book under its own head."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from render.book import read_book
from render.site import render
from tools.pdf import page_numbers, print_book
from tools.serve import served

SAMPLE = Path(__file__).resolve().parents[1] / "render" / "sample_book"


def test_the_contents_name_the_sheet_on_which_each_page_begins(browser: Browser, tmp_path: Path) -> None:
    book = read_book(SAMPLE)
    render(book, tmp_path / "book")
    output = tmp_path / "book.pdf"
    with served(tmp_path / "book") as base, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{base}index.html")
        count = print_book(page, book, output)
        listed = page.eval_on_selector_all(
            ".pdf-number", "all => all.map(({ title, textContent }) => [title, textContent])"
        )
        heads = page.evaluate(
            "[...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).map(({ cssText }) => cssText)"
        )
    numbers = page_numbers(output.read_bytes())
    assert [name for name, _ in listed] == [f"{entry.name}/" for entry in book.pages]
    assert [int(number) for _, number in listed] == [numbers[name] for name, _ in listed]
    starts = [numbers[name] for name, _ in listed]
    assert starts[0] == 3  # after the title and the contents
    assert starts == sorted(set(starts))
    assert starts[-1] <= count
    for i, _ in enumerate(book.pages):
        assert any(rule.startswith(f"@page page-{i} ") and "@top-center" in rule for rule in heads)

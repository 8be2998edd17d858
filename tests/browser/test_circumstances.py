"""What pages do after Back, in large fonts, after a reload, without a file, with forced colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import NewPage

PHONE = {"width": 390, "height": 844}
COVERED = """() => {
  const end = document.querySelector("#quarto-margin-sidebar").getBoundingClientRect().bottom;
  const isBeside = (note) => note.getBoundingClientRect().top < end && note.getBoundingClientRect().bottom > 0;
  return [...document.querySelectorAll("main .column-margin")].some(isBeside);
}"""


@pytest.fixture
def unwatched(browser: Browser) -> Iterator[Page]:
    """A page that may miss what it asks for."""
    page = browser.new_page()
    page.set_default_timeout(10_000)
    yield page
    page.close()


def test_back_shows_the_text_in_the_colours_chosen_since(new_page: NewPage, book: str) -> None:
    page = new_page(viewport=PHONE)
    page.goto(f"{book}chapters/04-pytorch.html")
    colours = page.locator(".quarto-color-scheme-toggle")
    colours.select_option("dark")
    page.locator("button.quarto-btn-toggle").click()
    page.locator("#quarto-sidebar").get_by_role("link", name="A word on backpropagation").click()
    expect(page).to_have_url(re.compile("05-backpropagation"))
    colours.select_option("light")
    page.go_back()
    expect(page).to_have_url(re.compile("04-pytorch"))
    expect(page.locator("#quarto-sidebar")).to_be_hidden()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert colours.input_value() == "light"


def test_the_contents_close_when_the_window_becomes_wide(new_page: NewPage, book: str) -> None:
    page = new_page(viewport=PHONE)
    page.goto(f"{book}chapters/04-pytorch.html")
    button = page.locator("button.quarto-btn-toggle")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    page.set_viewport_size({"width": 900, "height": 390})
    page.set_viewport_size(PHONE)
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_the_outline_is_right_in_a_large_font(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/04-pytorch.html")
    page.evaluate("document.documentElement.style.fontSize = '20px'")
    for link in page.locator("#TOC a").all()[:-2]:
        link.click()
        expect(link).to_have_attribute("aria-current", "true")


def test_an_address_that_is_no_text_stops_nothing(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/04-pytorch.html#100%")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("05-backpropagation"))


def test_the_outline_leaves_only_for_a_note_beside_it(new_page: NewPage, book: str) -> None:
    page = new_page(viewport={"width": 1400, "height": 800})
    page.goto(f"{book}chapters/03-vae.html")
    outline = page.locator("#TOC")

    def check() -> None:
        page.wait_for_timeout(300)  # for the observers
        is_covered = "is-covered" in (outline.get_attribute("class") or "").split()
        assert is_covered == page.evaluate(COVERED)

    for y in (648, 200):
        note = page.locator("main .column-margin").last
        note.evaluate("(note, y) => scrollTo(0, note.getBoundingClientRect().top + scrollY - y)", y)
        check()
        page.reload()
        check()
    page.set_viewport_size({"width": 1300, "height": 1000})
    check()


def test_arrow_keys_in_a_figure_turn_no_page(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/05-backpropagation.html")
    figure = page.locator("[data-explore=passes]")
    figure.scroll_into_view_if_needed()
    figure.get_by_role("button", name="Next").click(timeout=30_000)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert urlsplit(page.url).path.endswith("05-backpropagation.html")


def test_a_search_that_failed_can_be_repeated(unwatched: Page, book: str) -> None:
    page = unwatched
    page.goto(f"{book}index.html")
    page.route("**/search-index.js", lambda route: route.abort())
    page.keyboard.press("Control+k")
    count = page.locator(".search-count")
    expect(count).to_contain_text("could not be loaded")
    page.unroute("**/search-index.js")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.locator(".book-search input").fill("gumbel")
    expect(count).to_have_text(re.compile(r"The first 12 of \d\d results"))


def test_a_drag_out_of_the_search_does_not_close_it(page: Page, book: str) -> None:
    page.goto(f"{book}index.html")
    page.keyboard.press("Control+k")
    box = page.locator(".book-search input").bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(5, 5)
    page.mouse.up()
    expect(page.locator(".book-search")).to_be_visible()
    page.mouse.click(5, 5)
    expect(page.locator(".book-search")).to_be_hidden()


def test_the_printed_figure_stays_where_the_script_does_not_arrive(unwatched: Page, book: str) -> None:
    unwatched.route("**/explore.js", lambda route: route.abort())
    unwatched.goto(f"{book}index.html")
    expect(unwatched.locator("[data-explore] img").first).to_be_visible()


def test_what_cannot_be_copied_says_so(new_page: NewPage, book: str) -> None:
    page = new_page()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(f"{book}chapters/04-pytorch.html")
    cell = page.locator(".cell-code:visible").first
    cell.hover()
    cell.locator("button.code-copy-button").click()
    expect(cell.locator("button.code-copy-button")).to_have_text("Could not copy")


def test_figures_keep_their_colours_where_those_of_the_page_are_forced(new_page: NewPage, book: str) -> None:
    for scheme in ("light", "dark"):
        page = new_page(forced_colors="active", color_scheme=scheme)
        page.goto(f"{book}chapters/10-baselines.html")
        style = "img => [getComputedStyle(img).filter, getComputedStyle(img).mixBlendMode]"
        assert page.locator("main figure img").first.evaluate(style) == ["none", "normal"]

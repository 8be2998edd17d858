"""The book as a reader meets it, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from render.book import read_book
from tests.browser.conftest import DESKTOP, ROOT, NewPage

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE = {"width": 360, "height": 740}
# by script: Chromium loses a key that is pressed before it has painted, or while it still scrolls for the one before
TO_THE_END = "scrollTo(0, document.documentElement.scrollHeight)"
PAGES = [page.name for page in read_book(ROOT).pages]
CHAPTERS = [page.name for page in read_book(ROOT).pages if page.source.suffix == ".ipynb"]
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "experimental"],
    "resultTypes": ["violations"],
    "reporter": "no-passes",  # to describe thousands of elements that pass takes longer than to check them
    "preload": False,
}
# A drawn formula is a hundred spans, hidden from screen readers. Its glyphs are legible where the text is, as they have
# the text's ink and no ground of their own: that is asked of each.
OTHER_INK = """[...document.querySelectorAll(".katex-html *")].filter((glyph) => {
  const style = getComputedStyle(glyph);
  const ink = getComputedStyle(glyph.closest(".katex").parentElement).color;
  return style.color !== ink || style.opacity !== "1" || style.backgroundColor !== "rgba(0, 0, 0, 0)";
}).map((glyph) => `${glyph.className} in ${glyph.closest(".katex").textContent.slice(0, 40)}`)"""
# Then empty boxes of their size can stand for them, which axe sees in a third of the time. A formula's line may break
# between two boxes, as it may between the parts that they stand for.
EMPTY_FORMULAS = """(() => {
  const parts = [...document.querySelectorAll(".katex-html .base, .katex-html.base")];
  const sizes = parts.map((part) => part.getBoundingClientRect());
  parts.forEach((part, k) => {
    part.style.cssText += `; width: ${sizes[k].width}px; height: ${sizes[k].height}px`;
    part.replaceChildren();
  });
})()"""
SCROLL_BOXES_ARE_MARKED = """() => [...document.querySelectorAll(
  "main :is(pre, .float-content, .katex-display)"
)].every((box) => !box.checkVisibility() || box.scrollWidth <= box.clientWidth || box.tabIndex === 0)"""
# Nine points of each of its lines, to find one where nothing lies above what has the focus.
FOCUS = """() => {
  const focused = document.activeElement;
  if (focused === document.body) return null;
  const shown = focused.matches("input") && focused.labels.length ? focused.labels[0] : focused;
  const isSeen = [...shown.getClientRects()].some((box) =>
    [0.1, 0.5, 0.9].some((x) => [0.1, 0.5, 0.9].some((y) => shown.contains(
      document.elementFromPoint(
        Math.max(0, box.left) + x * (Math.min(innerWidth, box.right) - Math.max(0, box.left)),
        Math.max(0, box.top) + y * (Math.min(innerHeight, box.bottom) - Math.max(0, box.top))
      )))));
  return { isSeen, what: focused.outerHTML.slice(0, 120) };
}"""
NOTHING_MOVES = "() => document.getAnimations().every((move) => move.playState !== 'running')"
EDGES = """(figure) => {
  const of = (kind) => [...figure.querySelectorAll(`.explore-edge.is-${kind}.is-shown line`)].map((line) => {
    const style = getComputedStyle(line);
    return { stroke: style.stroke, dashes: style.strokeDasharray };
  });
  const probe = document.createElement("i");
  figure.append(probe);
  const colour = (name) => ((probe.style.color = `var(--explore-${name})`), getComputedStyle(probe).color);
  const colours = { pathwise: colour("pathwise"), score: colour("score") };
  return { forward: of("forward"), backward: of("backward"), colours };
}"""
FOUND_FIRST = {
    "which estimator": "18-which-estimator",
    "variance": "10-baselines",
    "variance reduction": "10-baselines",
    "reinforce": "09-log-derivative",
    "elbo": "03-vae",
    "reparameterization": "01-general-idea|02-catalogue",
    "2 mu": "04-pytorch",
    "policy gradient": "16-policies",
    "vae": "03-vae",
    "straight through": "06-straight-through",
    "gumbel softmax": "08-gumbel-softmax",
    "control variate": "10-baselines",
    "antithetic": "11-better-samples",
    "sobol": "11-better-samples",
    "von mises": "13-implicit|reference.html#von_mises",
}
SCROLLING_FORMULAS = """[...document.querySelectorAll("main .katex-display")]
  .filter((formula) => formula.scrollWidth > formula.clientWidth + 1)
  .map((formula) => formula.querySelector("annotation").textContent)"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def theme(page: Page) -> str | None:
    return page.locator("html").get_attribute("data-theme")


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(page: Page, book: str, name: str) -> None:
    page.goto(f"{book}{name}.html")
    page.evaluate("document.fonts.ready")
    for width in (320, 360, 375, 390, 412, 768, DESKTOP["width"]):
        page.set_viewport_size(DESKTOP | {"width": width})
        assert page.evaluate(TOO_WIDE) <= 0, f"at {width} px"
    for scheme in SCHEMES:
        show_in(page, scheme)
        assert page.evaluate(OTHER_INK) == [], scheme
    page.evaluate(EMPTY_FORMULAS)
    page.add_script_tag(content=Axe().axe_script)
    for width in (DESKTOP["width"], 390, 320):
        page.set_viewport_size(DESKTOP | {"width": width})
        page.wait_for_function(SCROLL_BOXES_ARE_MARKED)
        for scheme in SCHEMES:
            show_in(page, scheme)
            violations = page.evaluate("async (options) => (await axe.run(options)).violations", WCAG)
            found = [f"{v['id']}: {node['html'][:120]}" for v in violations for node in v["nodes"]]
            assert found == [], f"{scheme}, at {width} px"


@pytest.mark.parametrize("name", CHAPTERS)
def test_formulas_fit_on_a_phone(new_page: NewPage, book: str, name: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{book}{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    page.evaluate("document.fonts.ready")
    assert page.evaluate(SCROLLING_FORMULAS) == []


def show_in(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    page.wait_for_function(NOTHING_MOVES)


def search(page: Page, query: str) -> Locator:
    """Searches and returns the links found."""
    page.keyboard.press("Control+k")
    page.locator(".book-search input").fill(query)
    expect(page.locator(".search-results a").first).to_be_visible()
    return page.locator(".search-results a")


def test_search_finds_gumbel(page: Page, book: str) -> None:
    page.goto(f"{book}index.html")
    result = search(page, "Gumbel").filter(has_text="The Gumbel-max trick").first
    expect(result.locator("mark").first).to_be_visible()
    result.click()
    expect(page).to_have_url(re.compile("07-gumbel-max"))
    expect(page.locator("h1")).to_contain_text("Gumbel-max")


@pytest.mark.parametrize(("query", "first"), FOUND_FIRST.items())
def test_search_finds_the_right_page_first(page: Page, book: str, query: str, first: str) -> None:
    page.goto(f"{book}index.html")
    found = search(page, query)
    href = found.first.get_attribute("href") or ""
    assert re.search(first, href), [link.get_attribute("href") for link in found.all()]


def test_search_says_when_nothing_is_found_and_excerpts_hold_no_code(page: Page, book: str) -> None:
    page.goto(f"{book}index.html")
    for excerpt in search(page, "expectation").locator(".search-excerpt").all_inner_texts():
        assert not re.search(r"\\|\$|[{}]|Download the notebook", excerpt), excerpt
    page.locator(".book-search input").fill("xyzzyplugh")
    expect(page.locator(".search-count")).to_have_text("No results found.")
    page.keyboard.press("Escape")
    expect(page.locator(".book-search")).to_be_hidden()


def test_the_theme_follows_the_system_until_the_reader_chooses(new_page: NewPage, book: str) -> None:
    page = new_page(color_scheme="dark")
    page.goto(f"{book}index.html")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    menu = page.get_by_label("Colour theme")
    expect(menu).to_have_value("auto")
    menu.select_option("Light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.goto(f"{book}{CHAPTERS[0]}.html")
    assert theme(page) == "light"
    page.reload()
    assert theme(page) == "light"
    expect(page.get_by_label("Colour theme")).to_have_value("light")


@pytest.fixture
def open_file(browser: Browser, book_folder: Path) -> Iterator[Callable[[str], Page]]:
    """Opens pages from the disk; an error of their scripts or in the console fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport=DESKTOP)

    def opened(name: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.goto((book_folder / name).as_uri())
        return page

    yield opened
    context.close()
    assert errors == []


def test_from_a_file_search_theme_and_maths_work(open_file: Callable[[str], Page]) -> None:
    page = open_file("index.html")
    page.evaluate("document.fonts.ready")
    assert page.evaluate("[...document.fonts].some((f) => f.family === 'KaTeX_Main' && f.status === 'loaded')")
    expect(page.locator("main .katex").first).to_be_visible()
    page.get_by_label("Colour theme").select_option("Dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    result = search(page, "straight through").first
    result.click()
    expect(page).to_have_url(re.compile("^file:.*06-straight-through"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_from_a_file_an_explorable_runs_and_its_edges_have_their_colours(open_file: Callable[[str], Page]) -> None:
    page = open_file("chapters/05-backpropagation.html")
    figure = page.locator("[data-explore]")
    figure.scroll_into_view_if_needed()
    for _ in range(7):
        figure.get_by_role("button", name="Next").click()
    styles = figure.evaluate(EDGES)
    assert {style["stroke"] for style in styles["forward"]} == {styles["colours"]["pathwise"]}
    assert {style["stroke"] for style in styles["backward"]} == {styles["colours"]["score"]}
    assert {style["dashes"] for style in styles["forward"]} == {"none"}
    assert {style["dashes"] for style in styles["backward"]} == {"7px, 4px"}


def test_a_cross_reference_jumps_and_shows_the_equation_before(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/09-log-derivative.html")
    link = page.locator('main a.quarto-xref[href*="#eq-"]').first
    link.hover()
    preview = page.locator(".link-preview")
    expect(preview.locator(".katex")).to_be_visible()
    page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    target = (link.get_attribute("href") or "").partition("#")[2]
    link.click()
    expect(page).to_have_url(re.compile(f"#{target}$"))
    expect(page.locator(f"#{target}")).to_be_in_viewport()


def test_a_citation_shows_its_source_to_the_keyboard(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/09-log-derivative.html")
    link = page.locator('main a[href*="references.html#"]').first
    page.keyboard.press("Tab")  # so that focus is shown
    link.focus()
    expect(page.locator(".link-preview .csl-entry")).to_contain_text(re.compile(r"\b(19|20)\d\d\b"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_notebook_downloads_and_is_valid(
    page: Page, book: str, book_folder: Path, name: str, tmp_path: Path
) -> None:
    page.goto(f"{book}{name}.html")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download the notebook").click()
    copy = tmp_path / started.value.suggested_filename
    started.value.save_as(copy)
    nbformat.validate(nbformat.read(copy, as_version=4))
    assert copy.read_bytes() == (book_folder / f"{name}.ipynb").read_bytes()


def test_the_copy_button_copies_code_and_no_output(new_page: NewPage, book: str) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{book}chapters/04-pytorch.html")
    cell = page.locator(".cell-code:visible").first
    cell.hover()
    cell.locator("button.code-copy-button").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == cell.locator("pre").inner_text().strip()
    assert page.locator(".cell-output button:visible").count() == 0


def test_arrow_keys_turn_pages(page: Page, book: str) -> None:
    page.goto(f"{book}{CHAPTERS[0]}.html")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(f"{book}{CHAPTERS[1]}.html")
    page.wait_for_load_state()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(f"{book}{CHAPTERS[0]}.html")


def test_the_outline_follows(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/04-pytorch.html")
    page.evaluate(TO_THE_END)
    page.wait_for_function("scrollY > 2 * innerHeight")
    current = page.locator("#TOC a[aria-current]")
    expect(current).to_have_count(1)
    expect(current).not_to_contain_text(re.compile(r"4\.1\b"))


def test_the_outline_is_right_after_end_home_and_jumps(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/04-pytorch.html")
    current = page.locator("#TOC a[aria-current]")
    links = page.locator("#TOC a")
    page.evaluate(TO_THE_END)
    expect(links.last).to_have_attribute("aria-current", "true")
    page.evaluate("scrollTo(0, 0)")
    expect(current).to_have_count(0)
    for link in links.all():
        link.click()
        expect(link).to_have_attribute("aria-current", "true")
        expect(current).to_have_count(1)
    links.nth(-2).click()  # too near the end of the page to come to the window's top
    expect(links.nth(-2)).to_have_attribute("aria-current", "true")
    page.keyboard.press("End")
    page.evaluate(TO_THE_END)  # in case the key was lost
    expect(links.last).to_have_attribute("aria-current", "true")


def test_folded_code_opens_with_the_keyboard(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/04-pytorch.html")
    fold = page.locator("details.code-fold").first
    expect(fold.locator("pre")).to_be_hidden()
    assert (fold.locator("summary").text_content() or "").strip() not in {"", "Code"}
    fold.locator("summary").press("Enter")
    expect(fold.locator("pre")).to_be_visible()


def test_formulas_can_be_heard(page: Page, book: str) -> None:
    """The MathML is in the tree that a screen reader reads, and the drawn copy is not."""
    page.goto(f"{book}chapters/04-pytorch.html")
    formula = page.locator(".equation .katex").first
    assert formula.locator("math").evaluate("e => getComputedStyle(e).display") != "none"
    assert formula.locator("math").evaluate("e => !e.closest('[aria-hidden=true]')")
    assert formula.locator(".katex-html").get_attribute("aria-hidden") == "true"
    session = page.context.new_cdp_session(page)
    roles = [node["role"]["value"] for node in session.send("Accessibility.getFullAXTree")["nodes"] if "role" in node]
    assert roles.count("MathMLMath") == page.locator("math:not(details:not([open]) math)").count()
    assert roles.count("heading") >= page.locator("main :is(h1, h2, h3)").count()
    assert roles.count("MathMLFraction") > 0


def test_a_page_reads_without_script(new_page: NewPage, book: str) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{book}chapters/04-pytorch.html")
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator(".equation .katex").first).to_be_visible()
    expect(page.get_by_label("Colour theme")).to_be_hidden()
    expect(page.locator(".open-search")).to_be_hidden()


def test_nothing_moves_for_who_asked_for_that(new_page: NewPage, book: str) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(f"{book}chapters/04-pytorch.html")
    moving = page.evaluate(
        """[...document.querySelectorAll("*")].filter((e) => {
            const style = getComputedStyle(e);
            return [style.transitionDuration, style.animationDuration].some((d) => parseFloat(d) > 0.001);
        }).map((e) => e.className).slice(0, 5)"""
    )
    assert moving == []
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_focus_is_visible(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/04-pytorch.html")
    for _ in range(25):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.boxShadow; })()"
        )
        assert style != "nonenone", page.evaluate("document.activeElement.outerHTML.slice(0, 120)")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_focus_is_never_hidden(new_page: NewPage, book: str, size: dict[str, int]) -> None:
    """WCAG 2.4.11: the header that stays does not cover it, on the way down and on the way back."""
    page = new_page(viewport=size, reduced_motion="reduce")
    page.goto(f"{book}chapters/09-log-derivative.html")
    for key in ("Tab", "Shift+Tab"):
        stops = 0
        while True:
            page.keyboard.press(key)
            focus = page.evaluate(FOCUS)
            if focus is None:
                break
            stops += 1
            assert focus["isSeen"], f"{key} {stops}: {focus['what']}"
        assert stops > 50


def test_the_phone_has_the_contents_behind_a_button(new_page: NewPage, book: str) -> None:
    page = new_page(viewport=PHONE)
    page.goto(f"{book}chapters/04-pytorch.html")
    contents = page.locator("#quarto-sidebar")
    expect(contents).to_be_hidden()
    page.locator("button.quarto-btn-toggle").click()
    expect(contents.get_by_role("link", name="The Gumbel-max trick")).to_be_visible()
    page.keyboard.press("Escape")
    expect(contents).to_be_hidden()


# The grid of a page ---------------------------------------------------------------------------------------------------

BOXES = {
    "text": "main section > p",
    "code": "main div.sourceCode > pre",
    "figure": "main figure img",
    "table": "main .float-content:has(> table)",
    "formula": "main .katex-display",
    "explorable": "main [data-explore]",
}
SIDES = """(selectors) => Object.fromEntries(Object.entries(selectors).map(([name, selector]) => {
  const { left, right } = document.querySelector(selector).getBoundingClientRect();
  return [name, [Math.round(left), Math.round(right)]];
}))"""
CODE = """() => {
  const pre = document.querySelector("main div.sourceCode > pre");
  pre.querySelector("code").textContent = "m".repeat(88);
  const { fontSize, lineHeight } = getComputedStyle(pre);
  return [fontSize, lineHeight, pre.scrollWidth <= pre.clientWidth];
}"""


@pytest.mark.parametrize("width", [1440, 1280, 390, 320])
def test_everything_has_the_edges_of_the_text(new_page: NewPage, book: str, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 900})
    page.goto(f"{book}chapters/01-general-idea.html")
    edges = page.evaluate(SIDES, BOXES)
    assert len(set(map(tuple, edges.values()))) == 1, edges
    assert page.evaluate("document.documentElement.scrollWidth") == width
    size, leading, fits = page.evaluate(CODE)
    assert (size, leading) == ("14px", "21px")
    assert fits == (width >= 1280)


BROKEN = """() => [...document.querySelectorAll("main .table code")].filter(
  (code) => !/\\s/.test(code.innerText) && code.getClientRects().length > 1
).map((code) => code.innerText)"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["chapters/02-catalogue", "appendices/notation"])
def test_no_name_breaks_inside_a_table(new_page: NewPage, book: str, name: str, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 900})
    page.goto(f"{book}{name}.html")
    assert page.locator("main .table code").count() > 5
    assert page.evaluate(BROKEN) == []


def test_a_note_stands_in_the_margin_and_the_outline_makes_room(new_page: NewPage, book: str) -> None:
    page = new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{book}chapters/01-general-idea.html")
    note, outline = page.locator(".column-margin").first, page.locator("#TOC")
    text, beside = page.locator("main section > p").first.bounding_box(), note.bounding_box()
    assert text
    assert beside
    assert beside["x"] >= text["x"] + text["width"] + 16
    assert beside["x"] + beside["width"] <= 1440
    expect(outline).to_be_visible()
    note.evaluate("note => window.scrollTo(0, note.getBoundingClientRect().top + scrollY - 150)")
    expect(outline).to_be_hidden()
    page.evaluate("window.scrollTo(0, 0)")
    expect(outline).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    inside = note.bounding_box()
    assert inside
    assert inside["x"] + inside["width"] <= 390
    assert note.evaluate("note => getComputedStyle(note).borderLeftWidth") == "2px"


def test_a_card_of_the_first_page_is_one_link_by_pointer_and_keyboard(page: Page, book: str) -> None:
    page.goto(f"{book}index.html")
    card = page.locator("#a-map li").nth(6)
    expect(card.get_by_role("link")).to_have_accessible_name("The Gumbel-max trick")
    box = card.bounding_box()
    assert box
    card.click(position={"x": box["width"] - 8, "y": box["height"] - 8})
    expect(page).to_have_url(re.compile(r"/chapters/07-gumbel-max\.html$"))

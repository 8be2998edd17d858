"""The book as a reader meets it, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from render.book import KATEX, read_book
from render.formulas import render_formula
from tests.browser.conftest import DESKTOP, ROOT, NewPage

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE = {"width": 360, "height": 740}
# by script: Chromium loses a key that is pressed before it has painted, or while it still scrolls for the one before
TO_THE_END = "scrollTo(0, document.documentElement.scrollHeight)"
PAGES = [page.name for page in read_book(ROOT).pages]
CHAPTERS = [page.name for page in read_book(ROOT).pages if page.source.suffix == ".ipynb"]
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
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
  ".scroll-box, .pst-scrollable-table-container, div.highlight pre"
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
FORMULAS = (
    r"\mu",
    r"12",
    r"f'(\mu)",
    r"z = \mu + \sigma\epsilon,\quad \epsilon \sim \mathcal{N}(0, 1)",
    r"\sigma^2 q_\phi x_i^2 e^{-x^2/2} x^{y_{i_j}} f_{n,k}\!\left(\tfrac12\right) \nabla_{\phi}^{\mathsf T}",
    r"\mathbb{E}_{z \sim q_\phi}\!\left[\frac{q_\phi(z)}{q_{\phi_0}(z)}\, f(z)\right] = \frac1k \sum_{i=1}^k f(z_i)",
    r"\operatorname{Var}\Big[z^2 \frac{\epsilon}{\sigma}\Big] \le \max_i \log \hat y_i",
    r"\widehat{\mu\sigma} \quad \bar g \quad \tilde z",
    r"\sqrt{\frac{V}{N}} + \sqrt[3]{x^{\frac ab}} \int_0^1 \underbrace{f(x)}_{\text{a text}} \,\mathrm{d}x \prod_j x_j",
    r"\begin{aligned} a_1 &= \frac{\partial^2}{\partial\phi^2}\, f \\ &\quad + b^2\big|_{z\text{ fixed}} \end{aligned}",
    r"f(y) = \begin{cases} y^2 & y > 0, \\ 0 & \text{else} \end{cases}",
    r"\begin{pmatrix} 1 & \rho \\ \rho & 1 \end{pmatrix}",
    r"\overline{x} \xrightarrow{N \to \infty} \lfloor u K \rfloor \ne \left\| \theta \right\|^2",
    r"\color{red}{r} \Bigl( \biggl\{ x \biggr\} \Bigr)",
)
# A glyph, or the line of a fraction or a root, is told by its place in the box; a third of a pixel is not seen.
GLYPHS_THAT_MOVE = """([tex, displayMode, light]) => {
  const measure = (html) => {
    const box = document.createElement("p");
    box.style.width = "1000px";
    box.innerHTML = html;
    document.querySelector("article section").append(box);
    const origin = box.getBoundingClientRect();
    const found = [["height", 0, origin.height, 0]];
    const add = (name, rect) => found.push([name, rect.left - origin.left, rect.top - origin.top, rect.width]);
    const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      if (text.parentElement.closest("math")) continue;
      for (let i = 0; i < text.length; i += 1) {
        const range = document.createRange();
        range.setStart(text, i);
        range.setEnd(text, i + 1);
        if (text.data[i] !== "\\u200b") add(text.data[i], range.getBoundingClientRect());
      }
    }
    const lines = box.querySelectorAll(".frac-line, .overline-line, .katex-html svg");
    for (const line of lines) add("line", line.getBoundingClientRect());
    box.remove();
    return found;
  };
  const inLine = `<span class="katex">${light}</span>`;
  const whole = measure(`Text ${katex.renderToString(tex, { displayMode })} text`);
  const drawn = measure(`Text ${displayMode ? `<span class="katex-display">${inLine}</span>` : inLine} text`);
  if (whole.length !== drawn.length) return [whole.length, drawn.length];
  const moved = (a, b) => a.some((v, j) => (j ? Math.abs(v - b[j]) > 1 / 3 : v !== b[j]));
  return whole.map((glyph, k) => [glyph, drawn[k]]).filter(([a, b]) => moved(a, b));
}"""
NOTHING_MOVES = "() => document.getAnimations().every((move) => move.playState !== 'running')"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def theme(page: Page) -> str | None:
    return page.locator("html").get_attribute("data-theme")


@pytest.mark.parametrize("name", [*PAGES, "search"])
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
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.wait_for_function(SCROLL_BOXES_ARE_MARKED)
        for scheme in SCHEMES:
            show_in(page, scheme)
            violations = page.evaluate("async (options) => (await axe.run(options)).violations", WCAG)
            found = [f"{v['id']}: {node['html'][:120]}" for v in violations for node in v["nodes"]]
            assert found == [], f"{scheme}, at {size['width']} px"


def show_in(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    page.wait_for_function(NOTHING_MOVES)


def test_search_finds_gumbel(page: Page, book: str) -> None:
    page.goto(f"{book}index.html")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill("Gumbel")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=Gumbel*")
    result = page.locator("#search-results a", has_text="The Gumbel-max trick").first
    result.click()
    expect(page).to_have_url(re.compile("07-gumbel-max"))
    expect(page.locator("h1")).to_contain_text("Gumbel-max")
    expect(page.locator(".bd-article .highlighted").first).to_be_visible()


def test_the_theme_follows_the_system_until_the_reader_chooses(new_page: NewPage, book: str) -> None:
    page = new_page(color_scheme="dark")
    page.goto(f"{book}index.html")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    menu = page.locator(".theme-menu")
    menu.locator("summary").press("Enter")
    menu.get_by_role("button", name="Light").press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert menu.get_attribute("open") is None
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.goto(f"{book}{CHAPTERS[0]}.html")
    assert theme(page) == "light"
    page.reload()
    assert theme(page) == "light"


def test_the_menu_of_colours_closes_on_escape_and_says_what_is_chosen(page: Page, book: str) -> None:
    page.goto(f"{book}index.html")
    menu = page.locator(".theme-menu")
    menu.locator("summary").click()
    expect(menu.get_by_role("button", name="As the system")).to_have_attribute("aria-pressed", "true")
    expect(menu.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Escape")
    expect(menu.get_by_role("button", name="Dark")).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()


def test_a_cross_reference_jumps_and_shows_the_equation_before(page: Page, book: str) -> None:
    page.goto(f"{book}chapters/09-log-derivative.html")
    link = page.locator('.bd-article a.reference[href*="#equation-"]').first
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
    link = page.locator('.bd-article a[href*="references.html#"]').first
    page.keyboard.press("Tab")  # so that focus is shown
    link.focus()
    expect(page.locator(".link-preview .citation")).to_contain_text(re.compile(r"\b(19|20)\d\d\b"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_notebook_downloads_and_is_valid(page: Page, book: str, name: str, tmp_path: Path) -> None:
    page.goto(f"{book}{name}.html")
    with page.expect_download() as started:
        page.get_by_role("link", name="Download the notebook").click()
    copy = tmp_path / started.value.suggested_filename
    started.value.save_as(copy)
    nbformat.validate(nbformat.read(copy, as_version=4))
    assert copy.read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()


def test_the_copy_button_copies_code_and_no_output(new_page: NewPage, book: str) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{book}chapters/04-pytorch.html")
    cell = page.locator(".cell-code").first
    cell.hover()
    cell.locator("button.copybtn").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == cell.locator("pre").inner_text().strip()
    assert page.locator(".cell-output button.copybtn:visible").count() == 0


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
    current = page.locator("#pst-page-toc-nav a[aria-current]")
    expect(current).to_have_count(1)
    expect(current).not_to_contain_text("4.1")


def test_back_to_top_on_a_screen_without_the_outline(new_page: NewPage, book: str) -> None:
    page = new_page(viewport=PHONE)
    page.goto(f"{book}chapters/04-pytorch.html")
    button = page.locator("#pst-back-to-top")
    expect(button).to_be_hidden()
    page.evaluate(TO_THE_END)
    page.wait_for_function("scrollY + innerHeight > document.documentElement.scrollHeight - 2")
    for pixels in (0, 1):
        page.evaluate(f"scrollBy({{top: -{pixels}, behavior: 'instant'}})")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        expect(button).to_be_hidden()  # it would lie on what is read
    page.evaluate("scrollBy(0, -innerHeight)")
    expect(button).to_be_visible()
    button.press("Enter")
    expect(page.locator("h1")).to_be_in_viewport()


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
    assert roles.count("heading") >= page.locator("article :is(h1, h2, h3)").count()
    assert roles.count("MathMLFraction") > 0


def test_formulas_look_as_katex_draws_them(page: Page, book: str) -> None:
    """render/formulas.js leaves out half of KaTeX's elements; no glyph and no line moves, no box changes its height."""
    page.goto(f"{book}chapters/04-pytorch.html")
    page.add_script_tag(path=KATEX / "katex.min.js")
    # The page's style sheet lacks what only the elements that are left out need; its fonts are the page's.
    sheet = (KATEX / "katex.min.css").read_text(encoding="utf-8")
    page.add_style_tag(content=re.sub(r"@font-face\{.*?\}", "", sheet))
    for tex in FORMULAS:
        for is_display in (False, True):
            moved = page.evaluate(GLYPHS_THAT_MOVE, [tex, is_display, render_formula(tex, is_display)])
            assert moved == [], f"{tex} {'displayed' if is_display else 'in a line'}: {moved}"


def test_a_page_reads_without_script(new_page: NewPage, book: str) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{book}chapters/04-pytorch.html")
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator(".equation .katex").first).to_be_visible()
    expect(page.locator(".theme-menu")).to_be_hidden()


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
    """WCAG 2.4.11: neither the header that stays nor "Back to top" covers it, on the way down and on the way back."""
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
    contents = page.locator("#pst-primary-sidebar-modal")
    expect(contents).to_be_hidden()
    page.locator("button.primary-toggle").click()
    expect(contents.get_by_role("link", name="The Gumbel-max trick")).to_be_visible()
    page.keyboard.press("Escape")
    expect(contents).to_be_hidden()

"""Measures how high the live figures are and writes it into assets/explore/explore.css: `python -m tools.heights`.

A page keeps the place of each figure free with these heights before the figure is there (`min-height`). Each is the
greatest over the windows of its band, rounded up to a quarter of a rem. To be run after a change of a figure's words,
controls or sizes; tests/browser/test_explorables.py says when a height is too small.
"""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from render.book import read_book
from render.site import render
from tools.chromium import FLAGS, HOW_TO_GET, find_chromium
from tools.serve import served

ROOT = Path(__file__).resolve().parent.parent
STYLES = ROOT / "assets" / "explore" / "explore.css"
BANDS = {  # widths of windows on both sides of each limit of width in explore.css, and between
    "wide": (1280, 752),
    "tablet": (751, 720, 680),
    "middle": (679, 600, 540, 480, 424),
    "narrow": (423, 412, 390, 375, 360),
    "least": (359, 340, 320),
}
NATURAL = """figure => {
    const body = figure.querySelector(".explore-body");
    body.style.minHeight = "0";
    return body.getBoundingClientRect().height / parseFloat(getComputedStyle(document.documentElement).fontSize);
}"""


def heights(page: Page, url: str) -> dict[str, float]:
    """Returns the heights in rem of the live figures of a page, without the place that is kept free."""
    page.goto(url)
    found = {}
    for figure in page.locator("[data-explore]").all():
        figure.scroll_into_view_if_needed()
        figure.locator(".explore-body").wait_for()
        page.evaluate("() => document.fonts.ready")
        page.wait_for_timeout(100)  # drawings follow a change of their width in the next frames
        found[figure.get_attribute("data-explore") or ""] = figure.evaluate(NATURAL)
    return found


def measure(base: str, names: list[str]) -> dict[str, dict[str, float]]:
    """Returns the greatest height of each figure in each band."""
    greatest: dict[str, dict[str, float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page()
        for band, widths in BANDS.items():
            for width in widths:
                page.set_viewport_size({"width": width, "height": 900})
                for name in names:
                    for figure, height in heights(page, f"{base}{name}").items():
                        bands = greatest.setdefault(figure, {})
                        bands[band] = max(bands.get(band, 0), height)
        browser.close()
    return greatest


def written(styles: str, greatest: dict[str, dict[str, float]]) -> str:
    """Returns the style sheet with these heights; a figure without a line in it raises ValueError."""
    for figure, bands in sorted(greatest.items()):
        values = " ".join(f"--explore-{band}: {-(-height * 4 // 1) / 4:g}rem;" for band, height in bands.items())
        styles, count = re.subn(
            rf'^\[data-explore="{figure}"\] \{{ --explore-wide.*\}}$',
            f'[data-explore="{figure}"] {{ {values} }}',
            styles,
            flags=re.MULTILINE,
        )
        if count != 1:
            raise ValueError(f"{STYLES.name} has no line of heights for the figure {figure!r}")
    return styles


def main() -> int:
    if not find_chromium():
        print(f"no Chromium was found; {HOW_TO_GET}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "book"
        render(read_book(ROOT), target)
        names = [
            path.relative_to(target).as_posix()
            for path in sorted(target.rglob("*.html"))
            if "data-explore=" in path.read_text(encoding="utf-8")
        ]
        with served(target) as base:
            greatest = measure(base, names)
    before = STYLES.read_text(encoding="utf-8")
    STYLES.write_text(written(before, greatest), encoding="utf-8")
    for figure, bands in greatest.items():
        print(f"{figure:12}", *(f"{band} {height:6.2f}" for band, height in bands.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Checks the pages of a built book, from either renderer: `python -m render.check _book`.

Text is checked for leaked markup outside code, outputs, formulas, scripts and styles. Where a page has
a title block (Quarto's first page), its heading does not count as a second one.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

LEAKED_MARKUP = ("$$", "@eq-", "@fig-", "@sec-", "@tbl-", "?@", ":::", "{#", "{{<")
NOT_PROSE = "code, pre, script, style, math, .math, .katex, .cell-output"
LINKS = {
    **dict.fromkeys(["a", "link"], "href"),
    **dict.fromkeys(["script", "img", "source", "iframe", "embed", "video", "audio", "track"], "src"),
    "object": "data",
    "form": "action",
}
ASSET_RELATIONS = {
    "stylesheet",
    "icon",
    "manifest",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
}
QUARTO = 'meta[name="generator"][content^="quarto"]'
SCRIPT_ADDRESS = re.compile(r"""["'`](?:https?:|wss?:)?//(?!www\.w3\.org/)([\w.-]+)""")  # a name space loads nothing
READING_TIME, LONGEST = re.compile(r"About (\d+) minutes to read"), 15
CSS_ADDRESS = re.compile(r"""(?:url\(|@import\s+)\s*["']?([^"')\s;]+)""")


def check_book(book: Path) -> list[tuple[Path, str]]:
    """Returns the faults of the pages and style sheets under the folder `book`."""
    findings = []
    for page in _pages(book):
        findings += [(page, what) for what in _check_page(book, page)]
    for sheet in sorted(book.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8")
        findings += [(sheet, f"loads from another host: {url}") for url in _foreign_addresses(text)]
    return [(path.relative_to(book), what) for path, what in findings]


def _pages(book: Path) -> list[Path]:
    pages = sorted(book.rglob("*.html"))
    return [page for page in pages if "<html" in page.read_text(encoding="utf-8")[:2000].lower()]


@cache
def _parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html5lib")


@cache
def _anchors(page: Path) -> frozenset[str]:
    tags = _parsed(page).find_all(True)
    return frozenset(str(tag[key]) for tag in tags for key in ("id", "name") if tag.has_attr(key))


def _check_page(book: Path, page: Path) -> Iterator[str]:
    soup = _parsed(page)
    if not soup.html or not soup.html.get("lang"):
        yield "has no lang"
    if not soup.title or not soup.title.get_text(strip=True):
        yield "has no title"
    headings = soup.find_all("h1")
    inner = [h for h in headings if not h.find_parent(id="title-block-header")] or headings
    if len(inner) != 1:
        yield f"has {len(inner)} first-level headings"
    for name, count in Counter(str(tag["id"]) for tag in soup.find_all(id=True)).items():
        if count > 1:
            yield f"has the id {name} {count} times"
    for tag in soup.find_all(list(LINKS)):
        yield from _check_link(book, page, tag)
    yield from _check_privacy(soup)
    for tag in soup.find_all(style=True):
        yield from (f"loads from another host: {url}" for url in _foreign_addresses(str(tag["style"])))
    for tag in soup.find_all("style"):
        yield from (f"loads from another host: {url}" for url in _foreign_addresses(tag.decode_contents()))
    for image in soup.find_all("img"):
        is_hidden = image.get("aria-hidden") == "true" or image.get("role") == "presentation"
        if not is_hidden and not str(image.get("alt", "")).strip():
            yield f"has a picture without a text alternative: {image.get('src')}"
    stated = READING_TIME.search(soup.get_text())
    if stated and int(stated[1]) > LONGEST:
        yield f"takes {stated[1]} minutes to read, and a chapter at most {LONGEST}"
    yield from _leaks(soup)


def _check_link(book: Path, page: Path, tag: Tag) -> Iterator[str]:
    address = str(tag.get(LINKS[tag.name], ""))
    parts = urlsplit(address)
    if parts.scheme == "data" or not address:
        return
    if parts.netloc or parts.scheme:
        is_page = tag.name == "a" or (tag.name == "link" and not ASSET_RELATIONS & set(tag.get("rel", [])))
        if not is_page and (parts.netloc or parts.scheme.startswith("http")):
            yield f"loads from another host: {address}"
        return
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or book.resolve() not in target.parents:
        yield f"has a broken link: {address}"
    elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _anchors(target):
        yield f"has a link to an anchor that is not there: {address}"


def _check_privacy(soup: BeautifulSoup) -> Iterator[str]:
    """Finds what would tell another host about the reader. Quarto's script adds rel to links without a target."""
    for link in soup.find_all("a", href=True):
        leaves = bool(urlsplit(str(link["href"])).netloc)
        if leaves and "noopener" not in link.get("rel", []) and (link.get("target") or not soup.select_one(QUARTO)):
            yield f"has a link that leaves the book without rel=noopener: {link['href']}"
    for link in soup.find_all(ping=True):
        yield f"has a link that reports clicks: {link['ping']}"
    for script in soup.find_all("script", src=False):
        yield from (
            f"has a script that names another host: {host}" for host in SCRIPT_ADDRESS.findall(script.decode_contents())
        )


def _foreign_addresses(css: str) -> list[str]:
    return [url for url in CSS_ADDRESS.findall(css) if re.match(r"(https?:)?//", url)]


def _leaks(soup: BeautifulSoup) -> Iterator[str]:
    prose = BeautifulSoup(str(soup.body), "html5lib")
    for tag in prose.select(NOT_PROSE):
        tag.replace_with(" ")
    text = prose.get_text()
    for leak in LEAKED_MARKUP:
        if leak in text:
            start = text.index(leak)
            around = " ".join(text[max(0, start - 20) : start + 40].split())
            yield f"shows markup, {leak}: …{around}…"


def main() -> int:
    """Prints each fault as `page: fault`, then the number of faults."""
    if len(sys.argv) != 2 or not (book := Path(sys.argv[1])).is_dir():
        print("usage: python -m render.check FOLDER", file=sys.stderr)
        return 2
    pages, findings = _pages(book), check_book(book)
    for path, what in findings:
        print(f"{path}: {what}")
    print(f"{len(pages)} pages, {len(findings)} {'finding' if len(findings) == 1 else 'findings'}")
    return bool(findings) or not pages


if __name__ == "__main__":
    sys.exit(main())

"""Prints the pages of render/ into one PDF, `_book.pdf`, with Chromium: `python -m tools.pdf`."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from render.book import Book, RenderError, read_book
from render.site import render
from tools.chromium import FLAGS, HOW_TO_GET, find_chromium
from tools.serve import served

# Puts the article of each page after a title page and the contents. Ids get the page's name, so links lead to their own
# page; ids that occur in the style sheet stay. The sheets of each page are a kind of their own, with its title on top.
JOIN = """async ({ pages, title, subtitle, byline }) => {
  const styled = ["fig-first", "what-to-remember"];
  const make = (name, values, ...children) => {
    const made = Object.assign(document.createElement(name), values);
    made.append(...children);
    return made;
  };
  const read = async ({ name, part }) => {
    const address = new URL(`${name}.html`, location.href);
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    const article = page.querySelector("main");
    const heading = article.querySelector("h1");
    return { name, part, address, article, heading, said: heading.textContent.replace(/\\s+/g, " ").trim() };
  };
  const read_pages = await Promise.all(pages.map(read));
  const place = (url) => url.pathname.replace(/^\\/|\\.html$/g, "") + "/" + decodeURIComponent(url.hash.slice(1));
  const rules = [`
    @page { size: A4; margin: 22mm 20mm 20mm; @bottom-center { content: counter(page); font: 8pt serif; } }
    @page front { @bottom-center { content: none; } }`];
  const head = (name, text) => rules.push(`@page ${name} { @top-center {
    content: ${JSON.stringify(text)}; border-bottom: 0.5px solid; font: 8pt serif; margin-bottom: 6mm;
    padding-bottom: 1mm; text-align: right; vertical-align: bottom; white-space: nowrap; width: 100%; } }`);
  for (const [i, { name, address, article, heading, said }] of read_pages.entries()) {
    if (name === "index") {
      for (const left of article.querySelectorAll("#title-block-header, #a-map")) left.remove();
      article.prepend(make("h1", {}, "About this book"));
    }
    for (const part of article.querySelectorAll("[id]")) {
      const id = `${name}/${part.id}`;
      if (styled.includes(part.id)) part.prepend(make("a", { id }));
      else part.id = id;
    }
    for (const image of article.querySelectorAll("img")) {
      image.src = new URL(image.getAttribute("src"), address);
      image.loading = "eager";
    }
    for (const link of article.querySelectorAll("a[href]")) {
      const url = new URL(link.getAttribute("href"), address);
      link.href = url.origin === location.origin ? "#" + encodeURI(place(url)) : url;
    }
    for (const fold of article.querySelectorAll("details")) fold.open = true;
    article.id = `${name}/`;
    article.style.breakBefore = "page";
    article.style.page = `page-${i}`;
    head(`page-${i}`, name === "index" ? "About this book" : said);
  }
  head("contents", "Contents");
  const cover = make("section", { className: "pdf-title" },
    make("h1", {}, title), make("p", { className: "subtitle" }, subtitle), make("p", {}, byline));
  const list = make("ol", {});
  let last = null;
  for (const { name, part, said } of read_pages) {
    if (part !== last && part) list.append(make("li", { className: "pdf-part" }, part));
    last = part;
    const link = make("a", { href: `#${encodeURI(name)}/` }, name === "index" ? "About this book" : said);
    list.append(make("li", {}, link, make("span", { className: "pdf-number", title: `${name}/` })));
  }
  const contents = make("nav", { className: "pdf-contents" }, make("h1", {}, "Contents"), list);
  document.head.append(make("style", {}, rules.join("\\n")));
  document.documentElement.dataset.theme = "light";
  document.title = title;
  const front = make("main", { className: "content" }, cover, contents);
  document.body.replaceChildren(front, ...read_pages.map(({ article }) => article));
  await Promise.all([...document.images].map((image) => image.decode()));
  await document.fonts.ready;
}"""

NUMBER = """(numbers) => {
  for (const place of document.querySelectorAll(".pdf-number")) place.textContent = numbers[place.title];
}"""

LEAF = re.compile(rb"/Kids \[([\d R]+)\]")
PAGE = re.compile(rb"^(\d+) 0 obj\s*<<\s*/Type /Page\b(?!s)", re.MULTILINE)
PLACE = re.compile(rb"/(\S+) \[(\d+) 0 R /XYZ")
ESCAPED = re.compile(r"#([0-9A-Fa-f]{2})")


def page_numbers(pdf: bytes) -> dict[str, int]:
    """Returns on which page of a PDF by Chromium each of its named places is, counted from 1."""
    pages = {int(number) for number in PAGE.findall(pdf)}
    kids = [int(number) for leaf in LEAF.findall(pdf) for number in leaf.replace(b"0 R", b"").split()]
    order = {number: i for i, number in enumerate((kid for kid in kids if kid in pages), start=1)}
    places = [(name.decode(), int(page)) for name, page in PLACE.findall(pdf)]
    named = {ESCAPED.sub(lambda code: chr(int(code[1], 16)), name): page for name, page in places}
    return {name: order[page] for name, page in named.items() if page in order}


def print_book(page: Page, book: Book, output: Path) -> int:
    """Prints the rendered book whose first page `page` shows, and returns the number of pages.

    The numbers in the contents are known when the book has been printed once, so it is printed twice.
    """
    about: dict[str, Any] = {
        "pages": [{"name": entry.name, "part": entry.part} for entry in book.pages],
        "title": book.title,
        "subtitle": book.subtitle,
        "byline": ", ".join(part for part in (book.author, book.date) if part),
    }
    page.evaluate(JOIN, about)
    numbers = page_numbers(page.pdf(prefer_css_page_size=True))
    missing = [entry.name for entry in book.pages if f"{entry.name}/" not in numbers]
    if missing:
        raise RenderError(f"Chromium's PDF has no place for {', '.join(missing)}, so the contents would lack its page")
    page.evaluate(NUMBER, numbers)
    page.pdf(path=output, prefer_css_page_size=True, outline=True, tagged=True)
    return len(PAGE.findall(output.read_bytes()))


def main() -> int:
    """Writes the PDF next to the folder of the pages and prints its path."""
    chromium = find_chromium()
    if not chromium:
        print(f"pdf: no Chromium was found; {HOW_TO_GET}", file=sys.stderr)
        return 2
    print("pdf: renders the book and prints it twice, which takes about five minutes", flush=True)
    start = time.monotonic()
    try:
        book = read_book(Path())
        output = book.output.with_name(f"{book.output.name}.pdf")
        with tempfile.TemporaryDirectory() as folder:
            render(book, Path(folder) / "book")
            with served(Path(folder) / "book") as base, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                page = browser.new_page()
                page.set_default_timeout(0)
                page.goto(f"{base}index.html")
                pages = print_book(page, book, output)
                browser.close()
    except RenderError as error:
        print(f"pdf: {error}", file=sys.stderr)
        return 1
    print(f"printed {pages} pages in {time.monotonic() - start:.0f} s: {output.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

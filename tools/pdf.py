"""Prints the pages of render/ into one PDF, `_book.pdf`, with Chromium: `python -m tools.pdf`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from render.book import RenderError, read_book
from render.site import render
from tools.chromium import FLAGS, HOW_TO_GET, find_chromium
from tools.serve import served

# Puts the article of each page after that of the first. Ids get the page's name, so links lead to their own page;
# ids that occur in the style sheet stay.
JOIN = """async ({ names, title }) => {
  const styled = ["a-map", "fig-first", "what-to-remember"];
  const pages = await Promise.all(names.map(async (name) => {
    const address = new URL(`${name}.html`, location.href);
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    return { name, address, article: page.querySelector("main") };
  }));
  const place = (url) => url.pathname.replace(/^\\/|\\.html$/g, "") + "/" + decodeURIComponent(url.hash.slice(1));
  for (const { name, address, article } of pages) {
    for (const part of article.querySelectorAll("[id]")) {
      const id = `${name}/${part.id}`;
      if (styled.includes(part.id)) part.prepend(Object.assign(document.createElement("a"), { id }));
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
    article.style.breakBefore = name === "index" ? "auto" : "page";
  }
  document.documentElement.dataset.theme = "light";
  document.title = title;
  document.body.replaceChildren(...pages.map(({ article }) => article));
  await Promise.all([...document.images].map((image) => image.decode()));
  await document.fonts.ready;
}"""

PAGE_NUMBER = '<span class="pageNumber" style="font: 8pt serif; margin: auto"></span>'


def main() -> int:
    """Writes the PDF next to the folder of the pages and prints its path."""
    chromium = find_chromium()
    if not chromium:
        print(f"pdf: no Chromium was found; {HOW_TO_GET}", file=sys.stderr)
        return 2
    try:
        book = read_book(Path())
        with tempfile.TemporaryDirectory() as folder:
            render(book, Path(folder) / "book")
            with served(Path(folder) / "book") as base, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                page = browser.new_page()
                page.goto(f"{base}index.html")
                page.evaluate(JOIN, {"names": [entry.name for entry in book.pages], "title": book.title})
                output = book.output.with_name(f"{book.output.name}.pdf")
                page.pdf(
                    path=output,
                    format="A4",
                    margin=dict.fromkeys(("top", "bottom", "left", "right"), "20mm"),
                    display_header_footer=True,
                    header_template="<span></span>",
                    footer_template=PAGE_NUMBER,
                    outline=True,
                    tagged=True,
                )
                browser.close()
    except RenderError as error:
        print(f"pdf: {error}", file=sys.stderr)
        return 1
    print(f"printed: {output.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes the pages from the HTML of pandoc (book.lua), formulas drawn by KaTeX, and the frame page.html.

The output folder is replaced only if everything succeeds.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import pypandoc
from bs4 import BeautifulSoup

from render.book import ASSETS, KATEX, Book, Page, RenderError
from render.bundle import explorables, write_bundle
from render.copies import CopyError, write_copies
from render.formulas import draw
from render.notebook import flatten_notebook
from render.pages import Made, entries, llms_text, page_description
from render.pandoc import Pandoc

HERE = Path(__file__).parent
SEARCH = ASSETS / "search"
FORMULA = re.compile(r'<span class="math (inline|display)">(.*?)</span>([.,;:!?)]*)', re.DOTALL)
LINE_ANCHOR = re.compile(r'<a href="#cb\d+-\d+" aria-hidden="true" tabindex="-1"></a>')
CELL_CODE = re.compile(
    r'<div class="sourceCode"( id="cb\d+"><pre\s+class="sourceCode python) cell-code">'
)  # on the div in Quarto
FONT_ADDRESS = re.compile(r"""url\(["']?([^"')]+\.woff2)["']?\)""")
OTHER_FONT = re.compile(r',url\([^)]*\.(?:woff|ttf)\) ?format\("[^"]*"\)')
TAG = re.compile(r"<[^>]*>")
HIGHLIGHTED = re.compile(r'<code\s+class="sourceCode.*?</code>', re.DOTALL)
FORMULA_FONTS = {
    "katex": "Main-Regular",
    "mathnormal": "Math-Italic",
    "mathbb": "AMS-Regular",
    "mathcal": "Caligraphic-Regular",
}


class Renderer:
    """Renders a book, repeatedly for a preview; unchanged parts are kept from one rendering to the next."""

    def __init__(self) -> None:
        self._pandoc = Pandoc()
        self._made: dict[str, tuple[dict[str, Any], Made]] = {}  # by page: what pandoc wrote, and the page made of it

    def render(self, book: Book, output: Path) -> None:
        """Renders `book` into `output`, whose old content stays if anything fails."""
        with tempfile.TemporaryDirectory(prefix="render-") as folder:
            pages = Path(folder) / "pages"
            pages.mkdir()
            answers = _converted(book, pages, self._pandoc)
            for page, answer in zip(book.pages, answers, strict=True):
                kept = self._made.get(page.name)
                if not kept or kept[0] is not answer or kept[1].page != page:
                    self._made[page.name] = (answer, _page(page, answer))
            made = [self._made[page.name][1] for page in book.pages]
            fonts = _copy_assets(book, pages)
            _write_pages(book, made, fonts, pages)
            _write_copies(book, made, pages)
            (pages / "llms.txt").write_text(llms_text(book, made), encoding="utf-8")
            _write_index(made, pages / "assets")
            _replace(output, pages)


def render(book: Book, output: Path) -> None:
    """Renders `book` into `output` once."""
    Renderer().render(book, output)


# The text of the pages ------------------------------------------------------------------------------------------------


def _converted(book: Book, out: Path, pandoc: Pandoc) -> list[dict[str, Any]]:
    """Returns what pandoc wrote for each page, whose pictures are then in `out`; raises RenderError with all faults."""
    faults, requests = [], []
    for page in book.pages:
        markdown, wrong = _markdown(book, page, out, pandoc.cell)
        faults += [f"{page.source.as_posix()}{what}" for what in wrong]
        requests.append(
            {
                "name": page.name,
                "source": page.source.as_posix(),
                "is_appendix": page.is_appendix,
                "markdown": markdown,
                "folder": str((book.folder / page.source).parent),
                "out": str((out / page.source).parent),
            }
        )
    answer = pandoc.pages(requests, [book.folder / path for path in book.bibliography], explorables())
    faults += answer["errors"]
    formulas = [
        (html.unescape(tex), kind == "display")
        for one in answer["pages"]
        for kind, tex, _ in FORMULA.findall(one["body"])
    ]
    drawn = draw(formulas)
    for page, one in zip(book.pages, answer["pages"], strict=True):
        cells = dict(one["formulas"])
        for kind, escaped, _ in FORMULA.findall(one["body"]):
            tex = html.unescape(escaped)
            if reason := drawn[tex, kind == "display"][1]:
                where = f", cell {cells[tex]}" if cells.get(tex) else ""
                faults.append(f"{page.source.as_posix()}{where}: {reason} in the formula: {tex}")
    if faults:
        raise RenderError("\n".join(dict.fromkeys(faults)))
    for page, one in zip(book.pages, answer["pages"], strict=True):
        for picture in one["files"]:
            target = out / page.source.parent / picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(book.folder / page.source.parent / picture, target)
    return answer["pages"]


def _markdown(book: Book, page: Page, out: Path, raw: str) -> tuple[str, list[str]]:
    source = book.folder / page.source
    (out / page.name).parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".ipynb":
        return flatten_notebook(source, out / page.name, raw)
    return source.read_text(encoding="utf-8"), []


def _page(page: Page, one: dict[str, Any]) -> Made:
    body = CELL_CODE.sub(r'<div class="sourceCode cell-code"\1">', LINE_ANCHOR.sub("", one["body"]))
    return Made(
        page=page,
        title=one["title"],
        title_html=one["title_html"].strip(),
        label=one["label"],
        number=one["shared"]["number"],
        body=FORMULA.sub(_drawn, body),
        toc=FORMULA.sub(_drawn, one["toc"]),
        explores=one["explores"],
        undrawn=body,
        plain=BeautifulSoup(FORMULA.sub(_characters, HIGHLIGHTED.sub(_uncoloured, body)), "html.parser"),
    )


def _drawn(match: re.Match[str]) -> str:
    """A formula; an inline one stays on one line with the punctuation mark after it, where browsers would break."""
    kind, tex, mark = match.groups()
    html_, _ = draw([formula := (html.unescape(tex), kind == "display")])[formula]
    drawn = f'<span class="math {kind} notranslate">{html_}</span>'
    if kind == "inline" and mark:
        wide = " wide" if len(mark) > 1 else ""
        return f'<span class="joined{wide}">{drawn}<span class="formula-end">{mark}</span></span>'
    return f"{drawn}{mark}"


def _uncoloured(match: re.Match[str]) -> str:
    return TAG.sub("", match[0])


def _characters(match: re.Match[str]) -> str:
    kind, tex, mark = match.groups()
    html_, _ = draw([formula := (html.unescape(tex), kind == "display")])[formula]
    return TAG.sub("", html_.partition("</math>")[0]) + mark


# The frame ------------------------------------------------------------------------------------------------------------


def _write_pages(book: Book, pages: list[Made], fonts: list[str], out: Path) -> None:
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.get_template("page.html")
    parts = [(part, list(group)) for part, group in groupby(pages, key=lambda made: made.page.part)]
    footer = pypandoc.convert_text(book.footer, "html", format="markdown")
    site = f"{book.site_url}/" if book.site_url else ""
    for i, made in enumerate(pages):
        needed = [font for name, font in FORMULA_FONTS.items() if name in made.body]
        root = "../" * made.page.name.count("/")
        text = template.render(
            book=book,
            made=made,
            parts=parts,
            root=root,
            site=site,
            footer=footer,
            card=f"{site or root}{book.image.as_posix()}" if book.image else "",
            description=page_description(book, made),
            links=book.launch_links(made.page),
            fonts=fonts + [f"assets/katex/fonts/KaTeX_{font}.woff2" for font in needed],
            before=pages[i - 1] if i else None,
            after=pages[i + 1] if i + 1 < len(pages) else None,
        )
        (out / f"{made.page.name}.html").write_text(text, encoding="utf-8")


def _write_index(pages: list[Made], assets: Path) -> None:
    """Writes the search index as a script, which can also be loaded from a file on disk."""
    synonyms = json.loads((SEARCH / "synonyms.json").read_text(encoding="utf-8"))
    found = [entry for made in pages for entry in entries(made)]
    index = {"entries": found, "synonyms": synonyms}
    text = f"globalThis.BOOK_INDEX = {json.dumps(index, ensure_ascii=False, separators=(',', ':'))};\n"
    (assets / "search-index.js").write_text(text, encoding="utf-8")


def _write_copies(book: Book, pages: list[Made], out: Path) -> None:
    contents = {made.page.name: f"<h1>{html.escape(made.full_title)}</h1>\n{made.undrawn}" for made in pages}
    try:
        write_copies(book.folder, out, contents)
    except CopyError as error:
        raise RenderError(str(error)) from error


def _copy_assets(book: Book, out: Path) -> list[str]:
    """Puts what all pages load into `out`/assets; returns the fonts to load first, as addresses from `out`."""
    assets = out / "assets"
    katex = (KATEX / "katex.min.css").read_text(encoding="utf-8")
    sheets, first = [OTHER_FONT.sub("", katex).replace("url(fonts/", "url(katex/fonts/")], []
    sheets.append((HERE / "page.css").read_text(encoding="utf-8"))
    for path in book.styles:
        sheet = (book.folder / path).read_text(encoding="utf-8")
        fonts = FONT_ADDRESS.findall(sheet)
        for font in fonts:
            (assets / font).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile((book.folder / path).parent / font, assets / font)
        first += [f"assets/{font}" for font in fonts[:2]]
        sheets.append(sheet)
    shutil.copytree(KATEX / "fonts", assets / "katex" / "fonts", dirs_exist_ok=True)
    (assets / "page.css").write_text("\n".join(sheets), encoding="utf-8")
    shutil.copyfile(HERE / "page.js", assets / "page.js")
    shutil.copyfile(SEARCH / "minisearch.js", assets / "minisearch.js")
    write_bundle(assets)
    for path in (book.image, book.favicon):
        if path:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(book.folder / path, out / path)
    return first


def _replace(output: Path, pages: Path) -> None:
    """Puts the finished pages in the place of the old ones in one short step."""
    coming, going = (output.with_name(f"{output.name}.{word}") for word in ("new", "old"))
    for leftover in (coming, going):
        shutil.rmtree(leftover, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(pages, coming)
    if output.exists():
        output.rename(going)
    coming.rename(output)
    shutil.rmtree(going, ignore_errors=True)

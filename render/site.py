"""Makes the pages: MyST through Sphinx into the output folder, replaced only when all went well."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pypandoc

from render.assets import SCRIPTS, THEME_STYLES, lighten
from render.book import KATEX, Book, Page, RenderError
from render.convert import Chapter, convert_book

HERE = Path(__file__).parent
EXTENSIONS = [
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "sphinx_book_theme",
    "render.extension",
]
THEME_OPTIONS = {
    "home_page_in_toc": True,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "footer_content_items": [],
    "article_footer_items": ["run.html"],
    "navigation_with_keys": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "search_bar_text": "Search this book",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
}
FONT_ADDRESS = re.compile(r"""url\(["']?([^"')]+\.woff2)["']?\)""")
SPHINX_MESSAGE = re.compile(r"(?P<file>[^:\n]+?\.md)(?::(?P<line>\d+))?: \w+: (?P<what>.*)")
ANSI_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
MESSAGE_KIND = re.compile(r" \[[\w.]+\]$")


def render(book: Book, output: Path) -> None:
    """Renders `book` into `output`; what was there stays where anything fails."""
    with tempfile.TemporaryDirectory(prefix="render-") as folder:
        staging, pages = Path(folder) / "source", Path(folder) / "pages"
        staging.mkdir()
        chapters = convert_book(book, staging, lambda page: _below_title(book, page))
        _add_contents(book, chapters, staging)
        _copy_what_pages_use(book, chapters, staging)
        _run_sphinx(_configuration(book, chapters), chapters, staging, pages)
        lighten(pages, [path.name for path in book.styles])
        for page in book.pages:
            if page.source.suffix == ".ipynb":
                shutil.copyfile(book.folder / page.source, pages / page.source)
        _replace(output, pages)


def _below_title(book: Book, page: Page) -> str:
    if page.name == "index" and (book.subtitle or book.author):
        lines = [("subtitle", book.subtitle), ("author", book.author)]
        html = "\n".join(f'<p class="{kind}">{escape(text)}</p>' for kind, text in lines if text)
        return f"\n```{{raw}} html\n{html}\n```\n"
    return ""


def _add_contents(book: Book, chapters: list[Chapter], staging: Path) -> None:
    index = staging / "index.md"
    text = index.read_text(encoding="utf-8")
    for part, pages in groupby(book.pages[1:], key=lambda page: page.part):
        caption = f":caption: {part}\n" if part else ""
        names = "\n".join(page.name for page in pages)
        text += f"\n```{{toctree}}\n:hidden:\n{caption}\n{names}\n```\n"
    index.write_text(text, encoding="utf-8")


def _copy_what_pages_use(book: Book, chapters: list[Chapter], staging: Path) -> None:
    """Copies the pictures, the bibliography, and the files that every page loads."""
    for chapter in chapters:
        for picture in chapter.pictures:
            if not (book.folder / picture).is_file():
                raise RenderError(f"{chapter.page.source}: there is no picture {picture}")
            (staging / picture).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(book.folder / picture, staging / picture)
    for path in book.bibliography:
        shutil.copyfile(book.folder / path, staging / path.name)
    static = staging / "_static"
    shutil.copytree(KATEX, static / "katex", ignore=shutil.ignore_patterns("katex.min.js"))
    for path in book.styles:
        shutil.copyfile(book.folder / path, static / path.name)
        for font in _fonts(book, path):
            (static / font).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile((book.folder / path).parent / font, static / font)
    if book.image:
        shutil.copyfile(book.folder / book.image, static / book.image.name)
    shutil.copyfile(HERE / "book.js", static / "book.js")


def _fonts(book: Book, style: Path) -> list[str]:
    """Returns the fonts that a style sheet of the book names, as addresses from its own folder."""
    return FONT_ADDRESS.findall((book.folder / style).read_text(encoding="utf-8"))


def _configuration(book: Book, chapters: list[Chapter]) -> dict[str, Any]:
    joined = [*THEME_STYLES, *SCRIPTS, *(path.name for path in book.styles)]
    return {
        "project": book.title,
        "author": book.author,
        "language": book.lang,
        "extensions": EXTENSIONS,
        "exclude_patterns": ["_static", "**.ipynb"],
        "myst_enable_extensions": ["colon_fence"],
        "myst_disable_syntax": ["myst_line_comment", "myst_block_break"],
        "highlight_language": "none",
        "numfig": True,
        "numfig_secnum_depth": 1,
        "numfig_format": {"figure": "Figure %s", "table": "Table %s", "section": "Section %s"},
        "math_numfig": True,
        "math_eqref_format": "Equation {number}",
        "bibtex_bibfiles": [path.name for path in book.bibliography],
        "bibtex_default_style": "plain",
        "bibtex_reference_style": "author_year_round",
        "book_numbers": {c.page.name: c.number for c in chapters if c.number is not None},
        "copybutton_selector": "div.highlight pre",
        "html_math_renderer": "katex",
        "html_theme": "sphinx_book_theme",
        "html_context": {
            "default_mode": "auto",
            "joined": [f"_static/{name}" for name in joined],
            "first_fonts": [font for path in book.styles for font in _fonts(book, path)[:2]],
            "footer": pypandoc.convert_text(book.footer, "html", format="markdown"),
        },
        "book": book,
        "templates_path": [str(HERE / "templates")],
        "html_theme_options": THEME_OPTIONS,
        "html_title": book.title,
        "html_static_path": ["_static"],
        "html_secnumber_suffix": "\u2002",
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "html_use_index": False,
    }


def _run_sphinx(configuration: dict[str, Any], chapters: list[Chapter], staging: Path, pages: Path) -> None:
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    messages = io.StringIO()
    doctrees = staging.parent / "doctrees"
    try:
        app = Sphinx(staging, None, pages, doctrees, "html", configuration, status=None, warning=messages)
        app.build()
    except SphinxError as error:
        raise RenderError(f"{_readable(messages.getvalue(), chapters, staging)}{error}") from error
    if messages.getvalue():
        raise RenderError(_readable(messages.getvalue(), chapters, staging).rstrip())


def _readable(messages: str, chapters: list[Chapter], staging: Path) -> str:
    """Names sources and cells in Sphinx's messages, which speak of the MyST files."""
    by_path = {str(staging / f"{chapter.page.name}.md"): chapter for chapter in chapters}
    lines = []
    for line in ANSI_SEQUENCE.sub("", messages).splitlines():
        match = SPHINX_MESSAGE.fullmatch(line)
        if match and match["file"] in by_path:
            place = by_path[match["file"]].place(int(match["line"] or 0))
            line = f"{place}: {match['what']}"
        line = MESSAGE_KIND.sub("", line)
        if line not in lines:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


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

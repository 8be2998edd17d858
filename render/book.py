"""Reads from `_quarto.yml` which pages the book has, and in which order."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ASSETS = Path(__file__).parents[1] / "assets"
KATEX = ASSETS / "katex"
READERS_BRANCH = "notebooks"  # where .github/workflows/book.yml pushes the readers' copies, in a folder of this name
REPOSITORY_HOST = "https://github.com/"  # the one that both Binder and Colab open by owner and name
SOURCE_KINDS = {".qmd", ".ipynb", ".md"}


class RenderError(Exception):
    """An error in the sources that keeps the book from being rendered; the message names the place."""


@dataclass(frozen=True)
class Page:
    """One source file of the book."""

    source: Path
    part: str | None
    is_appendix: bool

    @property
    def name(self) -> str:
        """The path from the book's folder without its suffix, as in the page's address."""
        return self.source.with_suffix("").as_posix()


@dataclass(frozen=True)
class Book:
    """The book as `_quarto.yml` describes it."""

    folder: Path
    title: str
    subtitle: str
    author: str
    date: str  # as Quarto prints it, "November 23, 2026"
    lang: str
    output: Path
    bibliography: tuple[Path, ...]
    styles: tuple[Path, ...]
    pages: tuple[Page, ...]
    description: str = ""
    footer: str = ""
    image: Path | None = None
    favicon: Path | None = None
    site_url: str = ""
    repo_url: str = ""
    repo_branch: str = "main"

    def launch_links(self, page: Page) -> dict[str, str]:
        """Returns where the reader's copy of a chapter runs, by service; nowhere while the book has no `repo-url`."""
        if not self.repo_url or page.source.suffix != ".ipynb":
            return {}
        repository = self.repo_url.removeprefix(REPOSITORY_HOST)
        copy = f"{READERS_BRANCH}/{page.source.name}"
        return {
            "Binder": f"https://mybinder.org/v2/gh/{repository}/{READERS_BRANCH}?labpath={copy}",
            "Colab": f"https://colab.research.google.com/github/{repository}/blob/{READERS_BRANCH}/{copy}",
        }


def read_book(folder: Path) -> Book:
    """Reads the book in `folder` and checks that every file that it names is there."""
    config_path = folder / "_quarto.yml"
    if not config_path.is_file():
        raise RenderError(f"{config_path}: not found")
    try:
        config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        info = config["book"]
        pages = tuple(_pages(info["chapters"])) + tuple(
            Page(Path(source), "Appendices", True) for source in info.get("appendices", [])
        )
        book = Book(
            folder=folder,
            title=info["title"],
            subtitle=info.get("subtitle", ""),
            author=info.get("author", ""),
            date=_day(info["date"]) if "date" in info else "",
            lang=config.get("lang", "en"),
            output=folder / config["project"].get("output-dir", "_book"),
            bibliography=_paths(config.get("bibliography")),
            styles=_paths(config.get("format", {}).get("html", {}).get("css")),
            pages=pages,
            description=info.get("description", ""),
            footer=info.get("page-footer", ""),
            image=Path(info["image"]) if "image" in info else None,
            favicon=Path(info["favicon"]) if "favicon" in info else None,
            site_url=_address(info, "site-url"),
            repo_url=_address(info, "repo-url", REPOSITORY_HOST),
            repo_branch=info.get("repo-branch", "main"),
        )
    except yaml.YAMLError as error:
        raise RenderError(f"_quarto.yml: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise RenderError(f"_quarto.yml: has no usable {error}") from error
    _check_files(book)
    return book


def _pages(chapters: list[Any]) -> list[Page]:
    pages = []
    for entry in chapters:
        if isinstance(entry, dict):
            pages += [Page(Path(source), entry["part"], False) for source in entry["chapters"]]
        else:
            pages.append(Page(Path(entry), None, False))
    return pages


def _paths(entry: str | list[str] | None) -> tuple[Path, ...]:
    return tuple(Path(path) for path in ([entry] if isinstance(entry, str) else entry or []))


def _day(date: str) -> str:
    try:
        day = datetime.date.fromisoformat(str(date))
    except ValueError:
        raise RenderError(f"_quarto.yml: date is {date!r}; it must be a day such as 2026-11-23") from None
    return f"{day:%B} {day.day}, {day.year}"


def _address(info: dict[str, Any], key: str, host: str = "https://") -> str:
    address = info.get(key, "").removesuffix(".git").rstrip("/")
    if address and not address.startswith(host):
        raise RenderError(f"_quarto.yml: {key} is {address!r}; it must begin with {host}")
    return address


def _check_files(book: Book) -> None:
    if not book.pages or book.pages[0].name != "index":
        raise RenderError("_quarto.yml: the first chapter must be index.qmd")
    for page in book.pages:
        if page.source.suffix not in SOURCE_KINDS:
            raise RenderError(f"_quarto.yml: {page.source} is neither a .qmd, a .ipynb nor a .md file")
    images = [path for path in (book.image, book.favicon) if path]
    for path in [page.source for page in book.pages] + [*book.bibliography, *book.styles, *images]:
        if not (book.folder / path).is_file():
            raise RenderError(f"{path}: listed in _quarto.yml, but not found")

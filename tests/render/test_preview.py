"""A preview renders only the pages that changed, and shows the same as a rendering from nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import render.pandoc
from render.book import RenderError, read_book
from render.site import Renderer

ROOT = Path(__file__).resolve().parents[2]
SECOND = "chapters/02-second.ipynb"
PAGES = 6


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A copy of the sample book."""
    shutil.copytree(ROOT / "tests" / "render" / "sample_book", tmp_path / "tests" / "render" / "book")
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    return tmp_path / "tests" / "render" / "book"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pages pandoc was asked to convert, call by call."""
    counts: list[int] = []
    ask = render.pandoc.ask

    def counted(pages: list[dict[str, Any]], common: dict[str, Any]) -> dict[str, list[Any]]:
        counts.append(sum("known" not in page for page in pages))
        return ask(pages, common)

    monkeypatch.setattr(render.pandoc, "ask", counted)
    return counts


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def add_cell(place: int, source: str) -> Callable[[Path], None]:
    def edit(book: Path) -> None:
        notebook = json.loads((book / SECOND).read_text(encoding="utf-8"))
        notebook["cells"].insert(place, {"cell_type": "markdown", "metadata": {}, "source": source})
        (book / SECOND).write_text(json.dumps(notebook), encoding="utf-8")

    return edit


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(book: Path) -> None:
        text = (book / name).read_text(encoding="utf-8")
        assert old in text
        (book / name).write_text(text.replace(old, new), encoding="utf-8")

    return edit


EDITS: dict[str, tuple[Callable[[Path], None], list[int]]] = {
    "nothing": (lambda book: None, []),
    "a paragraph": (add_cell(1, "More of @sec-first and $x^2$.\n\n$$x$$"), [1]),
    "a numbered section above others": (add_cell(1, "## New {#sec-new}\n\nText."), [1, PAGES]),
    "a picture's size": (replace("pictures/dots.svg", 'width="', 'width="1'), [1]),
    "a source of the bibliography": (replace("references.bib", "year", "note = {N}, year"), [PAGES]),
    "the name of a part": (replace("_quarto.yml", "Another part", "Other part"), []),
}


@pytest.mark.parametrize(("edit", "converted"), EDITS.values(), ids=EDITS)
def test_the_second_rendering_is_that_of_a_new_start(
    book: Path, tmp_path: Path, asked: list[int], edit: Callable[[Path], None], converted: list[int]
) -> None:
    renderer = Renderer()
    renderer.render(read_book(book), tmp_path / "kept")
    edit(book)
    renderer.render(read_book(book), tmp_path / "kept")
    Renderer().render(read_book(book), tmp_path / "new")
    assert asked == [PAGES, *converted, PAGES]
    assert files(tmp_path / "kept") == files(tmp_path / "new")


def test_a_fault_is_told_and_goes_when_it_is_mended(book: Path, tmp_path: Path) -> None:
    renderer = Renderer()
    renderer.render(read_book(book), tmp_path / "kept")
    before = (book / SECOND).read_bytes()
    add_cell(1, "See @fig-none, $\\nothing$.")(book)
    for _ in range(2):
        with pytest.raises(RenderError, match=r"02-second\.ipynb, cell 2: there is nothing with the label fig-none"):
            renderer.render(read_book(book), tmp_path / "kept")
    (book / SECOND).write_bytes(before)
    renderer.render(read_book(book), tmp_path / "kept")
    Renderer().render(read_book(book), tmp_path / "new")
    assert files(tmp_path / "kept") == files(tmp_path / "new")


def test_a_formula_that_katex_refuses_is_named_with_its_cell(book: Path, tmp_path: Path) -> None:
    add_cell(2, "Here $\\nothing$.\n\n$$\n\\frac{1}\n$$ {#eq-new}")(book)
    with pytest.raises(RenderError) as caught:
        Renderer().render(read_book(book), tmp_path / "out")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{SECOND}, cell 3: ") for line in lines), lines

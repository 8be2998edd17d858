"""The cell that fetches the repository in Colab, and nowhere else."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from render.book import read_book
from tools.colab import CELL_ID, cell_for, with_cell

ROOT = Path(__file__).resolve().parents[2]
BOOK = read_book(ROOT)
PUBLISHED = replace(BOOK, repo_url="https://github.com/someone/book", repo_branch="main")
CHAPTERS = [page.source for page in BOOK.pages if page.source.suffix == ".ipynb"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=str)
def test_each_chapter_has_the_cell_that_the_repository_asks_for(chapter: Path) -> None:
    notebook = nbformat.read(ROOT / chapter, as_version=4)
    cell = cell_for(BOOK)
    found = [other.source for other in notebook.cells if other.get("id") == CELL_ID]
    assert found == ([cell["source"]] if cell else []), "run: python -m tools.colab"


def test_the_cell_runs_in_colab_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Shell:
        def system(self, line: str) -> None:
            asked.append(line)

        def run_line_magic(self, name: str, line: str) -> None:
            asked.append(f"{name} {line}")

    monkeypatch.setattr("os.chdir", lambda folder: asked.append(f"cd {Path(folder).name}"))
    code = compile(ast.parse(cell_for(PUBLISHED)["source"]), "cell", "exec")
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    exec(code, {"get_ipython": Shell})
    assert asked == []
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    exec(code, {"get_ipython": Shell})
    clone = "git clone -q --depth 1 -b main https://github.com/someone/book book"
    assert asked == [f"cd {Path.home().name}", clone, "pip install -q ./book", "cd chapters"]


def test_the_cell_is_put_in_replaced_and_taken_out() -> None:
    notebook = nbformat.read(ROOT / CHAPTERS[0], as_version=4)
    bare = with_cell(notebook, None)
    once = with_cell(bare, cell_for(PUBLISHED))
    assert [cell.get("id") for cell in once.cells].index(CELL_ID) == 1
    assert once.cells[0] == bare.cells[0], "the title stays the first cell"
    nbformat.validate(once)
    assert with_cell(once, cell_for(PUBLISHED)).cells == once.cells
    moved = with_cell(once, cell_for(replace(PUBLISHED, repo_url="https://github.com/other/book")))
    assert len(moved.cells) == len(once.cells)
    assert "other/book" in moved.cells[1].source
    assert with_cell(moved, None).cells == bare.cells

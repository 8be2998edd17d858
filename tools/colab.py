"""Puts the cell that fetches the repository in Colab into every chapter, or takes it out: `python -m tools.colab`.

Colab opens one notebook without the rest of the repository, so `helpers` and the data of stored runs are missing.
Elsewhere the cell does nothing, because it looks for a variable that only Colab sets. Its address is the `repo-url` of
`_quarto.yml`; while there is none, chapters have no such cell.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat

from render.book import Book, RenderError, read_book

CELL_ID = "colab-install"


def cell_for(book: Book) -> dict[str, Any] | None:
    """Returns the cell that each chapter of the book holds, or None while the book has no repository."""
    if not book.repo_url:
        return None
    source = (
        "#| include: false\n"
        "import os\n\n"
        'if "COLAB_RELEASE_TAG" in os.environ:  # only Colab sets it, and it has this file alone\n'
        '    os.chdir(os.path.expanduser("~"))\n'
        f'    get_ipython().system("git clone -q --depth 1 -b {book.repo_branch} {book.repo_url} book")\n'
        '    get_ipython().run_line_magic("pip", "install -q ./book")\n'
        '    os.chdir("book/chapters")'
    )
    return nbformat.v4.new_code_cell(source, id=CELL_ID, execution_count=1)


def with_cell(notebook: Any, cell: dict[str, Any] | None) -> Any:
    """Returns a copy of the notebook with `cell` below its title, replacing an older one; None only removes that."""
    changed = nbformat.from_dict(notebook)
    changed.cells = [other for other in notebook.cells if other.get("id") != CELL_ID]
    if cell:
        changed.cells.insert(1, nbformat.from_dict(cell))
    return changed


def main() -> int:
    """Writes the chapters that differ and names them."""
    try:
        book = read_book(Path())
    except RenderError as error:
        print(error, file=sys.stderr)
        return 1
    cell = cell_for(book)
    for page in book.pages:
        if page.source.suffix == ".ipynb":
            notebook = nbformat.read(book.folder / page.source, as_version=4)
            changed = with_cell(notebook, cell)
            if changed.cells != notebook.cells:
                nbformat.write(changed, book.folder / page.source)
                print(f"{page.source}: {'installs helpers in Colab' if cell else 'no longer speaks of Colab'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

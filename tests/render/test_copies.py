"""The reader's copy of a chapter: no markup of Quarto is left in it, and it runs in a folder of its own."""

import base64
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from render.copies import CopyError, read_pages, write_copies
from tools.copies import run_copy

PAGE = """<h1 class="title"><span class="chapter-number">1</span> <span class="chapter-title">First</span></h1>
<p><a class="quarto-xref" href="#eq-a">Equation&nbsp;1.1</a>
<span class="citation" data-cites="doe">Doe (<a href="../references.html#ref-doe">2020</a>)</span>
<span class="citation" data-cites="doe">(<a href="../references.html#ref-doe">Doe 2020</a>)</span></p>
<figure><figcaption id="fig-a-caption">Figure&nbsp;1.1: A</figcaption></figure>
<figure><figcaption id="tbl-a-caption-0cea">Table&nbsp;1.1: A</figcaption></figure>
<p><span id="eq-b"><span class="math display">y \\tag{1.2}</span></span></p>"""
PUBLISHED = (
    'book:\n  title: "A Book"\n  repo-url: https://github.com/a/b  # a comment\n  site-url: https://a.example/b/\n'
)
OTHER = '<h1 class="title"><span class="chapter-number">2</span> <span class="chapter-title">Second</span></h1>'
REFERENCES = """<h1>References</h1><div id="ref-doe" class="csl-entry">
Doe. 2020. <em>A <span class="math inline">L_2</span></em>.
<a href="https://doi.org/1">https://doi.org/1</a>.</div>"""
TEXT = """$$
x = 1
$$ {#eq-a}

By @eq-a, @sec-second, @doe and [@doe] it holds.[^n] `@eq-a` and $[@doe]$ stay.

[^n]: Mostly.

::: {.callout-note title="Mind"}
Quoted.
:::

::: {.callout-tip collapse="true" title="Solution"}
Folded:"""
FIGURE = '#| label: fig-a\n#| fig-cap: >-\n#|   A line,\n#|   from @doe.\nprint(open("data/a.txt").read())'


def book(folder: Path, *sources: tuple[str, str], settings: str = "book:\n") -> list[Path]:
    make: dict[str, Any] = {"md": nbformat.v4.new_markdown_cell, "py": nbformat.v4.new_code_cell}
    chapters, pages = folder / "chapters", folder / "_book"
    (chapters / "data").mkdir(parents=True)
    (pages / "chapters").mkdir(parents=True)
    (folder / "_quarto.yml").write_text(settings)
    (chapters / "data" / "a.txt").write_text("the data")
    first = [("md", "# First {#sec-first}"), *sources]
    for name, cells in (("01-first", first), ("02-second", [("md", "# Second {#sec-second}")])):
        nbformat.write(nbformat.v4.new_notebook(cells=[make[k](s) for k, s in cells]), chapters / f"{name}.ipynb")
    (pages / "chapters" / "01-first.html").write_text(PAGE)
    (pages / "chapters" / "02-second.html").write_text(OTHER)
    (pages / "references.html").write_text(REFERENCES)
    return write_copies(folder, pages, read_pages(pages))


def texts(copy: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(copy, as_version=4).cells]


def test_markup_becomes_text_and_links(tmp_path: Path) -> None:
    copy, _ = book(tmp_path, ("md", TEXT), ("py", FIGURE), ("md", ":::"))
    title, about, install, data, text, code, caption, references = texts(copy)
    assert title == "# Chapter 1. First"
    assert "reader's copy" in about
    assert "helpers" in install
    assert "data/a.txt" in data
    assert "x = 1\n\\tag{1.1}\n$$" in text
    assert "By Equation 1.1, [Chapter 2](02-second.ipynb), Doe ([2020](https://doi.org/1)) and" in text
    assert "([Doe 2020](https://doi.org/1)) it holds.<sup>1</sup> `@eq-a` and $[@doe]$ stay." in text
    assert "<sup>1</sup> Mostly." in text
    assert "> **Mind**\n>\n> Quoted." in text
    assert text.endswith("<details><summary>Solution</summary>\n\nFolded:\n\n</details>")
    assert code == 'print(open("data/a.txt").read())'
    assert "**Figure 1.1.** A line, from Doe ([2020](https://doi.org/1))." in caption
    assert references == "## References\n\n- Doe. 2020. A $L_2$. <https://doi.org/1>."
    notebook = nbformat.read(copy, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[5].metadata.jupyter.source_hidden, "code of a solution is hidden"


def test_folded_code_is_hidden_and_a_picture_has_the_size_of_the_page(tmp_path: Path) -> None:
    book(tmp_path, ("py", "#| code-fold: true\n1"), ("py", "2"))
    path = tmp_path / "chapters" / "01-first.ipynb"
    chapter = nbformat.read(path, as_version=4)
    header = (
        b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR" + b"".join(x.to_bytes(4, "big") for x in (1440, 600))
    )
    picture = {"image/png": base64.b64encode(header).decode()}
    chapter.cells[2].outputs = [nbformat.v4.new_output("display_data", picture)]
    nbformat.write(chapter, path)
    pages = tmp_path / "_book"
    copy, _ = write_copies(tmp_path, pages, read_pages(pages))
    folded, shown = [cell for cell in nbformat.read(copy, as_version=4).cells if cell.source in ("1", "2")]
    assert folded.metadata.jupyter == {"source_hidden": True, "outputs_hidden": False}
    assert "jupyter" not in shown.metadata
    assert shown.outputs[0].metadata["image/png"] == {"width": 720, "height": 300}


def test_what_no_text_refers_to_has_its_number_too(tmp_path: Path) -> None:
    copy, _ = book(tmp_path, ("md", "$$\ny\n$$ {#eq-b}\n\n| a |\n|---|\n| 1 |\n\n: Numbers. {#tbl-a}"))
    assert texts(copy)[-1] == "$$\ny\n\\tag{1.2}\n$$\n\n| a |\n|---|\n| 1 |\n\n**Table 1.1.** Numbers."


def test_with_a_site_links_go_there(tmp_path: Path) -> None:
    copy, _ = book(tmp_path, ("md", "See @sec-second."), settings=PUBLISHED)
    assert "of *[A Book](https://a.example/b/chapters/01-first.html)*." in texts(copy)[1]
    assert texts(copy)[-1] == "See [Chapter 2](https://a.example/b/chapters/02-second.html#sec-second)."


@pytest.mark.parametrize(
    ("settings", "in_colab", "how"),
    [
        ("book:\n", [], "run `pip install .` in the folder of the book's repository, then restart the kernel"),
        (PUBLISHED, ['pip -q "git+https://github.com/a/b@main"'], 'run %pip install "git+https://github.com/a/b@main"'),
    ],
)
def test_the_first_cell_installs_helpers_in_colab_and_says_elsewhere_how(
    settings: str, in_colab: list[str], how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Shell:
        def run_line_magic(self, name: str, line: str) -> None:
            asked.append(f"{name} {line.removeprefix('install ')}")
            monkeypatch.undo()  # from now on helpers is there

    copy, _ = book(tmp_path, settings=settings)
    code = TransformerManager().transform_cell(texts(copy)[2])
    exec(code, {"get_ipython": Shell})
    for module in ("helpers", "helpers.estimators"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(how)):
        exec(code, {"get_ipython": Shell})
    assert asked == []
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    if in_colab:
        exec(code, {"get_ipython": Shell})
    assert asked == in_colab


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("A [span]{.x}", "01-first.ipynb, cell 2: no reader's copy can hold this"),
        ("@eq-nowhere", "the pages have no number for eq-nowhere"),
        ("$$\ny\n$$ {#eq-unknown}", "the pages have no number for eq-unknown"),
        ("[@smith]", "the pages do not cite smith"),
        ("::: {.callout-note}\nx", "a div is not closed"),
        (":::", "a div is closed that was not opened"),
    ],
)
def test_what_no_copy_can_hold_is_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(CopyError, match=message):
        book(tmp_path, ("md", source))


def test_a_copy_runs_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """Its data come with it. `make copies` runs those of all chapters."""
    copy, _ = book(tmp_path, ("py", 'assert open("data/a.txt").read() == "the data"'))
    assert run_copy(copy, seed=1) > 0

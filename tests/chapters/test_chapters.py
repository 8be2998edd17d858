"""The chapters as source: listed, whole, up to date and normalised. nbval runs their cells."""

import ast
import base64
import copy
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from nbval_tolerance import numbers

from tools.execute import CHAPTERS, chapters, complaints, normalise, pins

ROOT = CHAPTERS.parent
BOOK = yaml.safe_load((ROOT / "_quarto.yml").read_text())["book"]
PATHS = chapters()
MOST_FIGURE_BYTES = 8_000_000
WIDEST = 88  # characters of code that fit the page on a desktop
MOST_CODE, MOST_PRINTED = 150, 60  # lines


def listed() -> list[str]:
    """Every source that `_quarto.yml` lists, in order."""
    entries = [*BOOK["chapters"], *BOOK["appendices"]]
    return [path for entry in entries for path in (entry["chapters"] if isinstance(entry, dict) else [entry])]


def options(cell: nbformat.NotebookNode) -> dict:
    lines = [line[2:] for line in cell.source.splitlines() if line.startswith("#|")]
    return yaml.safe_load("\n".join(lines)) or {}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def test_the_book_lists_each_chapter_once_and_no_other() -> None:
    notebooks = [Path(path).name for path in listed() if path.endswith(".ipynb")]
    assert notebooks == [path.name for path in PATHS]
    assert all((ROOT / path).exists() for path in listed())


def test_stored_outputs_come_from_the_present_code() -> None:
    assert complaints(PATHS) == []


def test_every_package_that_a_chapter_or_a_helper_imports_is_in_its_fingerprint() -> None:
    notebooks = (nbformat.read(path, as_version=4) for path in PATHS)
    sources = [cell.source for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code"]
    sources += [module.read_text() for module in (ROOT / "helpers").rglob("*.py")]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"helpers"}
    distributions = packages_distributions()
    pinned = {pin.partition("==")[0] for pin in pins()}
    assert {"torch", "sklearn", "distributed"} <= packages
    assert [package for package in sorted(packages) if not pinned & {*distributions[package]}] == []


def test_stored_figures_stay_small() -> None:
    cells = [cell for path in PATHS for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    pictures = [o["data"]["image/png"] for c in cells for o in c.outputs if "image/png" in o.get("data", {})]
    assert sum(len(base64.b64decode(picture)) for picture in pictures) < MOST_FIGURE_BYTES


def test_a_chapter_was_executed_from_top_to_bottom(notebook: nbformat.NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_a_chapter_is_stored_normalised(notebook: nbformat.NotebookNode) -> None:
    again = copy.deepcopy(notebook)
    normalise(again)
    assert again == notebook
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_a_chapter_stores_text_and_pictures_only(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr"
            assert "text/html" not in output.get("data", {})
            assert output.output_type != "error" or "raises-exception" in cell.metadata.tags
            if "image/png" in output.get("data", {}):
                assert output.data["text/plain"].startswith("<Figure")
            else:
                assert "<Figure" not in str(output.get("data", output.get("text", "")))


def test_a_chapter_has_the_skeleton(notebook: nbformat.NotebookNode) -> None:
    assert re.fullmatch(r"# [^\n]+ \{#sec-[\w-]+\}", notebook.cells[0].source)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert text.index("## What to remember") < text.index("## Exercises")
    assert 2 <= len(re.findall(r'callout-tip collapse="true" title="Solution', text)) <= 4


def unfolded(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """The code cells that do not stand in a collapsed callout."""
    is_inside = False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from [] if is_inside else [cell]
        elif fences := re.findall(r"^:::.*", cell.source, re.MULTILINE):
            is_inside = 'collapse="true"' in fences[-1]


def test_a_reader_sees_little_code_and_output_and_scrolls_no_line(notebook: nbformat.NotebookNode) -> None:
    cells = list(unfolded(notebook))
    open_code = [cell.source for cell in cells if not options(cell).get("code-fold")]
    code = [line for line in "\n".join(open_code).splitlines() if line.strip() and not line.startswith("#|")]
    printed = "".join(out.get("text", "") for cell in cells for out in cell.outputs).splitlines()
    assert [line for line in code if len(line) > WIDEST] == []
    assert len(code) <= MOST_CODE
    assert len([line for line in printed if line.strip()]) <= MOST_PRINTED


def test_no_line_can_break_before_a_percent_sign(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        assert re.findall(r".*\d\s%(?![\w(])", cell.source) == []


def test_no_line_of_a_paragraph_begins_like_a_list(notebook: nbformat.NotebookNode) -> None:
    """JupyterLab would begin a list there, in the middle of a formula for example, where pandoc reads on."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"^(```|\$\$)$.*?^\1", "", cell.source, flags=re.DOTALL | re.MULTILINE)
            for paragraph in re.split(r"\n\s*\n", text):
                first, *lines = paragraph.splitlines() or [""]
                marks = "[+>] " if re.match(r"\s*([-*] |[|:]|\d+\.)", first) else r"[-+*>] |\d+[.)] |#"
                assert [line for line in lines if re.match(rf"\s*({marks})", line)] == []


def test_estimates_stand_in_every_chapter_but_the_one_without_randomness() -> None:
    def estimates(path: Path) -> bool:
        cells = nbformat.read(path, as_version=4).cells
        return any(number.kind != "rough" for cell in cells for number in numbers(cell.get("outputs", [])))

    assert [path.stem for path in PATHS if not estimates(path)] == ["05-backpropagation"]


def test_a_figure_has_label_caption_and_text_alternative(notebook: nbformat.NotebookNode) -> None:
    figures = 0
    for cell in notebook.cells:
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if kinds & {"image/png", "image/svg+xml"}:
            figures += 1
            found = options(cell)
            assert found["label"].startswith("fig-")
            assert len(found["fig-cap"]) > 20
            assert len(found["fig-alt"]) > 40
    assert figures >= 1


def test_no_cell_is_exempt_from_comparison(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        assert set(cell.metadata.get("tags", [])) <= {"raises-exception", "shows-nonfinite", "quotes"}
        assert not re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)", cell.source)

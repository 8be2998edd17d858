"""`make execute` stores what a run gives, and nothing when it fails."""

from pathlib import Path

import nbformat
import pytest

from tools import execute


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's shape with one chapter to execute."""
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "part.py").write_text("def f():\n    return 1\n")
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    chapters = tmp_path / "chapters"
    chapters.mkdir()
    (chapters / "_metadata.yml").write_text("")
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    monkeypatch.setattr(execute, "CHAPTERS", chapters)
    monkeypatch.setattr(execute, "RECORD", chapters / "executed.json")
    return tmp_path


def chapter(folder: Path, *sources: str) -> Path:
    path = folder / "chapters" / "01-one.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# One {#sec-one}"), *map(nbformat.v4.new_code_cell, sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"machine": "mine"}), path)
    return path


def test_executing_twice_gives_the_same_file(folder: Path) -> None:
    path = chapter(folder, "print('a')\nprint('b')", "1 + 1")
    execute.execute(path)
    first = path.read_text()
    execute.execute(path)
    assert path.read_text() == first
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[1].outputs[0].text == "a\nb\n"
    assert notebook.cells[2].outputs[0].data["text/plain"] == "2"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all("execution" not in cell.metadata for cell in notebook.cells)


def test_a_time_that_changed_alone_is_not_stored_anew(folder: Path) -> None:
    """Each run counts how often it ran, as a clock that never shows the same twice."""
    count = "import pathlib\np = pathlib.Path('runs')\np.write_text(p.read_text() + 'x' if p.exists() else 'x')\n"
    source = count + "print('≈', len(p.read_text()), 'ms')"
    path = chapter(folder, source, "print('1.0 ± 0.1')")
    execute.execute(path)
    execute.record(path)
    first = path.read_bytes()
    execute.execute(path)
    assert path.read_bytes() == first
    assert "≈ 1 ms" in first.decode()
    (folder / "helpers" / "part.py").write_text("def f():\n    return 2\n")
    execute.execute(path)
    assert "≈ 3 ms" in path.read_text(), "the time was taken with older code"


def test_a_number_that_changed_is_stored_with_the_times_of_its_run(folder: Path) -> None:
    path = chapter(folder, "print('≈ 2 ms')\nprint('1.0 ± 0.1')")
    execute.execute(path)
    execute.record(path)
    older = path.read_text().replace("≈ 2 ms\\n", "≈ 3 ms\\n").replace("1.0 ± 0.1\\n", "1.1 ± 0.1\\n")
    path.write_text(older)
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].text == "≈ 3 ms\n1.1 ± 0.1\n"
    execute.execute(path)
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].text == "≈ 2 ms\n1.0 ± 0.1\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('boom')", "cell 2 failed: RuntimeError: boom"),
        ("import sys; print('x', file=sys.stderr)", "cell 2 wrote to standard error: x"),
        ("from IPython.display import HTML\nHTML('<b>x</b>')", "cell 2 shows HTML"),
    ],
)
def test_a_bad_cell_is_named_and_the_old_file_stays(folder: Path, source: str, reason: str) -> None:
    path = chapter(folder, "1", source)
    before = path.read_bytes()
    with pytest.raises(execute.ChapterError, match=reason):
        execute.execute(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if p.suffix == ".ipynb"] == [path.name]


def test_what_makes_stored_outputs_stale(folder: Path) -> None:
    path = chapter(folder, "1")
    assert execute.stale([path]) == [path]
    execute.record(path)
    assert execute.stale([path]) == []
    helper = folder / "helpers" / "part.py"
    helper.write_text("# a comment changes nothing\n" + helper.read_text())
    assert execute.stale([path]) == []
    helper.write_text(helper.read_text().replace("1", "2"))
    assert execute.stale([path]) == [path]
    execute.record(path)
    (folder / "requirements.lock").write_text("torch==2\n")
    assert execute.stale([path]) == [path]
    execute.record(path)
    chapter(folder, "2")
    assert execute.stale([path]) == [path]


def test_outputs_are_stale_when_data_that_the_code_names_changed(folder: Path) -> None:
    path = chapter(folder, "open('data/run.json')")
    data = folder / "chapters" / "data"
    data.mkdir()
    (data / "run.json").write_text("[1]")
    (data / "other.json").write_text("[1]")
    execute.record(path)
    (data / "other.json").write_text("[2]")
    assert execute.stale([path]) == []
    (data / "run.json").write_text("[2]")
    assert execute.stale([path]) == [path]


def test_an_unknown_chapter_is_refused(folder: Path) -> None:
    with pytest.raises(SystemExit, match="CHAPTER must be the start of a notebook's name in chapters/, got '77'"):
        execute.chapters("77")

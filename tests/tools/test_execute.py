"""`make execute` stores what a run gives, and nothing when it fails."""

import ast
import sys
from pathlib import Path

import nbformat
import pytest

from tools import execute, running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's shape with one chapter to execute."""
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "part.py").write_text("def f():\n    return 1\n")
    (tmp_path / "requirements.lock").write_text("ruff==1\ntorch==1\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["torch>=1"]\noptional-dependencies = {cluster = [], lint = ["ruff"]}\n'
    )
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
    source = "if False:\n    import helpers.part\n" + count + "print('≈', len(p.read_text()), 'ms')"
    path = chapter(folder, source, "print('1.0 ± 0.1')")
    execute.execute(path)
    first = path.read_bytes()
    execute.execute(path)
    assert path.read_bytes() == first
    assert "≈ 1 ms" in first.decode()
    (folder / "helpers" / "part.py").write_text("def f():\n    return 2\n")
    execute.execute(path)
    assert "≈ 3 ms" in path.read_text(), "the time was taken with older code"


def test_the_time_of_a_run_that_shared_the_machine_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, found = chapter(folder, "1"), []
    monkeypatch.setattr(execute, "run", lambda path, seed: (nbformat.read(path, as_version=4), times.pop(0)))
    times = [100.0, 80.0, 30.0, 25.0, 200.0]
    while times:
        execute.execute(path)
        found.append(execute.recorded()["01-one"]["seconds"])
    assert found == [100, 100, 30, 30, 30]


def test_a_number_that_changed_is_stored_with_the_times_of_its_run(folder: Path) -> None:
    path = chapter(folder, "print('≈ 2 ms')\nprint('1.0 ± 0.1')")
    execute.execute(path)
    older = path.read_text().replace("≈ 2 ms\\n", "≈ 3 ms\\n").replace("1.0 ± 0.1\\n", "1.1 ± 0.1\\n")
    path.write_text(older)
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].text == "≈ 3 ms\n1.1 ± 0.1\n"
    execute.execute(path)
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].text == "≈ 2 ms\n1.0 ± 0.1\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("#| label: x\nraise RuntimeError('boom')", "cell 1 failed: RuntimeError: boom"),
        ("import sys; print('x', file=sys.stderr)", "cell 1 wrote to standard error: x"),
        ("from IPython.display import HTML\nHTML('<b>x</b>')", "cell 1 shows HTML"),
        ("object()", "cell 1 shows what differs between runs or machines: 0x"),
        ("import os; os._exit(1)", "cell 1 ended its kernel"),
        ("import time; time.sleep(60)", "cell 1 ran for more than 2 s"),
    ],
)
def test_a_bad_cell_is_named_and_the_old_file_stays(
    folder: Path, source: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = chapter(folder, "1", source)
    before = path.read_bytes()
    if "sleep" in source:
        monkeypatch.setattr(running, "CELL_TIMEOUT", 2)
    monkeypatch.setattr(sys, "argv", ["execute"])
    assert execute.main() == 1
    shown = capsys.readouterr().err
    assert f"{path.name}: {reason}" in shown
    assert f"the cell begins: {source.splitlines()[-1] if '#|' in source else source.splitlines()[0]}" in shown
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, "_metadata.yml"]


def test_only_what_is_out_of_date_is_executed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """And `make test` says which chapter that is, and what to do."""
    path = chapter(folder, "print('z = 1.00')")
    monkeypatch.setattr(sys, "argv", ["execute", "--check"])
    assert execute.main() == 1
    assert "01-one.ipynb: its outputs are older than its code, helpers or versions: run `make execute`" in (
        capsys.readouterr().out
    )
    monkeypatch.setattr(sys, "argv", ["execute"])
    assert execute.main() == 0
    assert execute.complaints([path]) == []
    files = path, execute.RECORD
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    assert execute.main() == 0
    assert "all 1 chapters are up to date" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["execute", "--chapter", "01"])
    assert execute.main() == 0
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
    entry = execute.recorded()["01-one"]
    assert set(entry) == {"fingerprint", "seconds", "versions"}
    assert set(entry["versions"]) == {"python", "numpy", "torch"}


def test_half_a_file_is_never_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "chapters" / "01-one.ipynb"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        execute.replace(path, "new")
    assert path.read_text() == "old"
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, "_metadata.yml"]


def test_what_makes_stored_outputs_stale(folder: Path) -> None:
    path = chapter(folder, "from helpers import part")
    assert execute.stale([path]) == [path]
    execute.record(path, 1.2)
    assert execute.stale([path]) == []
    helper = folder / "helpers" / "part.py"
    helper.write_text(helper.read_text().replace("1", "2"))
    assert execute.stale([path]) == [path]
    execute.record(path, 1.2)
    (folder / "requirements.lock").write_text("ruff==2\ntorch==1\n")
    assert execute.stale([path]) == []
    (folder / "requirements.lock").write_text("ruff==2\ntorch==2\n")
    assert execute.stale([path]) == [path]
    execute.record(path, 1.2)
    chapter(folder, "2")
    assert execute.stale([path]) == [path]


def test_words_in_the_code_do_not_make_outputs_stale(folder: Path) -> None:
    code = '#| fig-cap: {}\nx = \'# {}\'  # {}\ny = """\n# kept\n"""\n'
    path = chapter(folder, code.format("one", 1, "one"))
    helper = folder / "helpers" / "part.py"
    helper.write_text('"""One."""\n\ndef f():  # one\n    r"""One.\n\n    # Two.\n    """\n    # one\n    return 1\n')
    execute.record(path, 1.0)
    helper.write_text('"""1."""\n\ndef f():\n    """1."""\n    return 1\n')
    chapter(folder, code.format("two", 1, "two\n# three"))
    assert execute.stale([path]) == []
    for other in (code.format("one", 2, "one"), code.replace("kept", "new").format("one", 1, "one")):
        chapter(folder, other)
        assert execute.stale([path]) == [path]


def test_a_module_without_words_is_the_same_program() -> None:
    """Its tree is that of the module with "..." in place of docstrings."""

    def tree(source: str) -> str:
        parsed = ast.parse(source)
        for node in ast.walk(parsed):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body[0] = ast.Expr(ast.Constant(...))
        return ast.dump(parsed)

    modules = sorted((execute.ROOT / "helpers").rglob("*.py"))
    assert len(modules) > 20
    for module in modules:
        assert tree(execute.bare(module.read_text())) == tree(module.read_text()), module


def test_outputs_are_stale_when_data_that_the_code_names_changed(folder: Path) -> None:
    path = chapter(folder, "open('data/run.json')")
    data = folder / "chapters" / "data"
    data.mkdir()
    (data / "run.json").write_text("[1]")
    (data / "other.json").write_text("[1]")
    execute.record(path, 1.0)
    (data / "other.json").write_text("[2]")
    assert execute.stale([path]) == []
    (data / "run.json").write_text("[2]")
    assert execute.stale([path]) == [path]


def test_an_unknown_chapter_is_refused(folder: Path) -> None:
    with pytest.raises(SystemExit, match="CHAPTER must be the start of a notebook's name in chapters/, got '77'"):
        execute.chapters("77")

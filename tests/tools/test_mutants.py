"""The catalogue of faults fits the source, reaches every public function, and its tool tells red from green."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tools.mutants import ROOT, Mutant, MutantError, catalogue, chapter, content, first_red, judge, of_tests, score

MUTANTS = catalogue()
FEWEST = 60
HELPERS = sorted((ROOT / "helpers").rglob("*.py"))


@cache
def tree_of(source: str) -> str:
    return ast.dump(ast.parse(source))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_a_fault_fits_the_source(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    changed = mutant.applied(source)  # found exactly once
    assert tree_of(changed) != tree_of(source)
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
    for prefix in mutant.chapters:
        assert chapter(ROOT, prefix)


def test_no_fault_is_a_misspelling(tmp_path: Path) -> None:
    """A name that does not exist turns any test red and says nothing."""
    for i, mutant in enumerate(MUTANTS):
        changed = mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8"))
        (tmp_path / f"fault_{i}.py").write_text(changed, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F823", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_catalogue_is_long_and_names_each_fault_once() -> None:
    assert len(MUTANTS) >= FEWEST
    assert len({mutant.fault for mutant in MUTANTS}) == len(MUTANTS)
    assert sum(bool(mutant.chapters) for mutant in MUTANTS) >= 40


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_public_function_has_a_fault(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    places = [
        source[: source.index(mutant.old)].count("\n") + 1
        for mutant in MUTANTS
        if mutant.file == path.relative_to(ROOT).as_posix()
    ]
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            is_protocol = any(ast.unparse(base) == "Protocol" for base in getattr(node, "bases", []))
            reached = any(node.lineno <= place <= node.end_lineno for place in places)
            assert reached or is_protocol, f"{path.name}: {node.name} has no fault in tests/mutants.toml"


# the tool -------------------------------------------------------------------------------------------------------------

ENTRY = """
[[mutant]]
fault = "{fault}"
file = "helpers/__init__.py"
old = "{old}"
new = "{new}"
tests = ["tests/test_small.py::test_double"]
unshown = "there are no chapters"
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of one function and one test, which does not see all."""
    for name in ("helpers", "tests", "chapters"):
        (tmp_path / name).mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("def double(x):\n    return 2 * abs(x)\n")
    (tmp_path / "tests" / "test_small.py").write_text(
        "from helpers import double\n\ndef test_double():\n    assert double(1) == 2\n"
    )
    return tmp_path


def listed(small: Path, *faults: tuple[str, str, str]) -> list[Mutant]:
    entries = [ENTRY.format(fault=fault, old=old, new=new) for fault, old, new in faults]
    (small / "tests" / "mutants.toml").write_text("".join(entries))
    return catalogue(small)


def test_words_of_a_chapter_are_no_part_of_what_a_run_depends_on() -> None:
    def notebook(words: str, source: str, printed: str, tag: str) -> str:
        output = {"output_type": "stream", "name": "stdout", "text": printed}
        code = {"cell_type": "code", "source": [source], "outputs": [output], "metadata": {"tags": [tag]}}
        return json.dumps({"cells": [{"cell_type": "markdown", "source": words}, code]})

    path, base = Path("01-one.ipynb"), ("words", "x = 1  # why", "1", "quotes")
    kept = content(path, notebook(*base))
    assert content(path, notebook("other words", "x = 1  # because", "1", "quotes")) == kept
    for i, other in ((1, "x = 2"), (2, "2"), (3, "shows-nonfinite")):
        assert content(path, notebook(*base[:i], other, *base[i + 1 :])) != kept


def test_faults_are_told_apart_and_results_are_kept(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutants = listed(small, ("seen", "2 *", "3 *"), ("unseen", "abs(x)", "x"))
    before = {path: path.read_bytes() for path in small.rglob("*.py")}
    found = judge(mutants, small, 2, tests_only=False)
    assert (found["caught"], found["total"]) == (1, 2)
    assert found["survivors"] == [{"fault": "unseen", "file": "helpers/__init__.py", "green": ["tests"]}]
    assert "unseen (helpers/__init__.py): tests\n1 of 2 faults" in score(found)
    assert before == {path: path.read_bytes() for path in small.rglob("*.py")}
    monkeypatch.setattr("tools.mutants.first_red", lambda root, run: pytest.fail("a result is known"))
    assert judge(mutants, small, 2, tests_only=False) == found
    module = small / "helpers" / "__init__.py"
    module.write_text("# a comment\n" + module.read_text())
    assert judge(mutants, small, 2, tests_only=False)["caught"] == found["caught"]
    module.write_text(module.read_text() + "\nx = 1\n")
    with pytest.raises(pytest.fail.Exception, match="a result is known"):
        judge(mutants, small, 2, tests_only=False)


def test_nothing_counts_where_the_tests_are_red_without_a_fault(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.mutants.first_red", lambda root, run: "tests/test_small.py::test_double")
    with pytest.raises(MutantError, match=r"red without a fault.*\n.*test_double"):
        judge(listed(small, ("seen", "2 *", "3 *")), small, 1, tests_only=False)


def test_a_fault_that_breaks_the_import_is_not_caught(small: Path) -> None:
    (mutant,) = listed(small, ("broken", "def double", "def other"))
    with pytest.raises(MutantError, match=r"broken: tests/test_small.py::test_double broke"):
        first_red(small, of_tests(mutant))


@pytest.mark.parametrize("old", ["x", "nowhere"])
def test_an_old_text_is_found_exactly_once(small: Path, old: str) -> None:
    (mutant,) = listed(small, ("bad", old, "y"))
    with pytest.raises(MutantError, match="not once"):
        mutant.applied((small / mutant.file).read_text())


def test_an_entry_says_why_no_chapter_shows_it(small: Path) -> None:
    (small / "tests" / "mutants.toml").write_text(ENTRY.replace("unshown", "# unshown"))
    with pytest.raises(MutantError, match="needs tests, and either chapters or `unshown`"):
        catalogue(small)
    (small / "tests" / "mutants.toml").write_text(ENTRY + "colour = 1\n")
    with pytest.raises(MutantError, match="colour"):
        catalogue(small)

"""The tolerance plugin goes red on everything that it must, and on nothing else."""

import math
from pathlib import Path
from statistics import NormalDist

import nbformat
import numpy as np
import pytest

from tests.tolerance import FACTOR, SIGMAS, disagreements, only_rough_numbers_differ

TABLE = "     estimate ± standard error  exact\nmu     24.13 ± 2.66     24  z = +0.05"


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("mean 24.13 ± 2.66", "mean 31.0 ± 2.9"),
        ("mean 9.98 ± 0.11", "mean   10.020 ±   0.110".replace("±   ", "± ")),
        ("z = +1.02", "z = -4.50"),
        ("0 ± 0", "0 ± 0"),
        ("1000000 ± 0", "1000000.5 ± 0"),
        ("[1.0 ± 0.1, 2.0 ± 0.1]", "[1.1 ± 0.1, 1.9 ± 0.1]"),
        ("1,234.0 ± 10.0", "1,250.0 ± 11.0"),
        ("no numbers", "no numbers"),
        ("exact 24", "exact   24"),
        ("≈ 12.3 µs", "≈ 1,100.5 µs"),
        ("≈ 900 µs a call", "≈ 1.1 ms a call"),
        ("≈ 2 μs", "≈ 900 ns"),
        ("≈ 59.0 s.", "≈ 1 s."),
        ("≈ 4.1", "≈ 3.5e2"),
        ("≈ 1,200,000 samples/s", "≈ 9e5 samples/s"),
        ("≈ 12, then ≈ 3.5 times", "≈ 12.5, then ≈ 4 times"),
        ("≈ 3 s, 1.0 ± 0.1, z = 1.00", "≈ 4 s, 1.1 ± 0.1, z = 2.00"),
        (TABLE, TABLE.replace("24.13 ± 2.66", "20.1 ± 2.5").replace("+0.05", "-1.56")),
    ],
)
def test_what_agrees(stored: str, fresh: str) -> None:
    assert disagreements(stored, fresh) == []


@pytest.mark.parametrize(
    ("stored", "fresh", "reason"),
    [
        ("24.13 ± 0.10", "24.80 ± 0.10", "combined standard errors"),
        ("24.13 ± 0.10", "24.13 ± 0.21", "factor"),
        ("24.13 ± 0.10", "24.13 ± 0", "factor"),
        ("0 ± 0", "0.001 ± 0", "exact values differ"),
        ("1.5 ± 0.1", "nan ± nan", "not finite"),
        ("nan ± nan", "nan ± nan", "not finite"),
        ("1.5 ± 0.1", "1.5 ± inf", "not finite"),
        ("1.5 ± 0.1", "1.5 ± -0.1", "negative"),
        ("z = +1.02", "z = +4.51", "within"),
        ("z = +4.51", "z = +1.02", "within"),
        ("z = +1.02", "z = nan", "within"),
        ("z = -inf", "z = -inf", "within"),
        ("the estimate is 1.0 ± 0.1", "the result is 1.0 ± 0.1", "words"),
        ("exact 24", "exact 24.1", "words"),
        ("1.0 ± 0.1, 2.0 ± 0.1", "1.0 ± 0.1", "2 numbers were stored, 1 were printed"),
        ("1.0 ± 0.1", "1.0 ± 0.1, 2.0 ± 0.1", "1 numbers were stored, 2 were printed"),
        ("1.0 ± 0.1", "1.0", "numbers"),
        ("z = +1.02", "z = —", "words"),
        ("a\nb", "a b", "words"),
        ("≈ 1.0 µs", "≈ 101 µs", "factor 100"),
        ("≈ 1.0 ms", "≈ 9 µs", "factor 100"),
        ("≈ 1.0 ms", "≈ 0 ms", "not finite and positive"),
        ("≈ 1.0 ms", "≈ -1.0 ms", "not finite and positive"),
        ("≈ 1.0 ms", "≈ nan ms", "not finite and positive"),
        ("≈ inf", "≈ inf", "not finite and positive"),
        ("≈ 3 samples", "≈ 3 sample", "words"),
        ("≈ 3 s", "≈ 3", "words"),
        ("≈ 3 MB", "≈ 3 GB", "words"),
        ("≈ 3 s", "3 s", "words"),
        ("about 3 s", "about 4 s", "words"),
        ("≈ 24.0 ± 0.1", "≈ 30.0 ± 0.1", "combined standard errors"),
    ],
)
def test_what_does_not(stored: str, fresh: str, reason: str) -> None:
    found = disagreements(stored, fresh)
    assert any(reason in line for line in found), found


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        ("≈ 12.3 µs, 4.0 ± 0.1", "≈ 0.01 ms, 4.0 ± 0.1", True),
        ("≈ 12.3 µs, 4.0 ± 0.1", "≈ 12.3 µs, 4.1 ± 0.1", False),
        ("≈ 12.3 µs, z = 1.0", "≈ 12.3 µs, z = 1.1", False),
        ("≈ 12.3 µs", "≈ 12.3 µs ", False),
    ],
)
def test_texts_that_differ_in_rough_numbers_only(stored: str, fresh: str, same: bool) -> None:
    assert only_rough_numbers_differ(stored, fresh) == same


def test_false_alarms_are_as_rare_as_stated() -> None:
    assert 2 * NormalDist().cdf(-SIGMAS) == pytest.approx(7e-6, rel=0.05)
    rng = np.random.default_rng(0)
    means = 5 + 0.1 * rng.standard_normal((20_000, 2))
    alarms = sum(bool(disagreements(f"{a} ± 0.1", f"{b} ± 0.1")) for a, b in means)
    assert alarms <= 3  # expected 0.14; more than 3 has probability 1e-5


def test_a_three_percent_error_is_seen_at_the_precision_that_chapters_use() -> None:
    """A claim with a standard error under 0.3 % that is 3 % off lies 7 combined standard errors away or more."""
    assert 0.03 / (0.003 * math.sqrt(2)) > SIGMAS + 2
    assert disagreements("1.0000 ± 0.0030", "1.0300 ± 0.0030")
    assert FACTOR <= 2


CELLS = {
    "estimate": ("print('mu 24.0 ± 0.5')", "mu 24.3 ± 0.6\n"),
    "z": ("print('z = +0.4')", "z = -1.2\n"),
    "words": ("print('the same')", "the same\n"),
    "rough": ("print('≈ 3.2 µs')", "≈ 0.1 ms\n"),
    "value": ("'a 1.0 ± 0.1'", None),
    "drawing": (
        "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"><text>12</text></svg>')",
        None,
    ),
    "nonfinite": ("print('inf')", "inf\n"),
}

FAULTS = {
    "drift": ("estimate", "print('mu 27.9 ± 0.5')"),
    "wrong standard error": ("estimate", "print('mu 24.0 ± 5.0')"),
    "changed word": ("words", "print('the sane')"),
    "nan": ("estimate", "print('mu nan ± nan')"),
    "missing number": ("estimate", "print('mu')"),
    "extra number": ("estimate", "print('mu 24.0 ± 0.5 1.0 ± 0.1')"),
    "nothing printed": ("estimate", "pass"),
    "wrong z": ("z", "print('z = +6.0')"),
    "wrong size": ("rough", "print('≈ 3.2 s')"),
    "wrong value": ("value", "'a 2.0 ± 0.1'"),
    "changed drawing": ("drawing", CELLS["drawing"][0].replace("12", "13")),
    "stray inf": ("words", "print('the same')\nprint(float('inf'))"),
    "error": ("words", "raise RuntimeError"),
}


def _cell(name: str, source: str) -> nbformat.NotebookNode:
    """A cell of CELLS with its stored output, and `source` as its code."""
    stored = CELLS[name][1]
    if stored is not None:
        output = nbformat.v4.new_output("stream", name="stdout", text=stored)
    elif name == "value":
        output = nbformat.v4.new_output("execute_result", {"text/plain": "'a 1.1 ± 0.1'"}, execution_count=1)
    else:
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9"><text>12</text></svg>'
        data = {"image/svg+xml": svg, "text/plain": "<IPython.core.display.SVG object>"}
        output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    return nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])


def test_nbval_is_green_where_it_should_be_and_red_for_each_fault(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good notebook and one in which each cell has a fault, under nbval with the plugin as the book loads it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    good = nbformat.v4.new_notebook(cells=[_cell(name, source) for name, (source, _) in CELLS.items()])
    bad = nbformat.v4.new_notebook(cells=[_cell(name, source) for name, source in FAULTS.values()])
    bad.cells.append(_cell("nonfinite", CELLS["nonfinite"][0]))
    good.cells[list(CELLS).index("nonfinite")].metadata["tags"] = ["shows-nonfinite"]
    nbformat.write(good, pytester.path / "good.ipynb")
    nbformat.write(bad, pytester.path / "bad.ipynb")
    result = pytester.runpytest_subprocess("--nbval", "-p", "tests.tolerance", "good.ipynb", "bad.ipynb")
    result.assert_outcomes(passed=len(CELLS), failed=len(FAULTS) + 1)
    red = {line.split(" - ")[0] for line in result.outlines if line.startswith("FAILED")}
    assert red == {f"FAILED bad.ipynb::Cell {i}" for i in range(len(FAULTS) + 1)}
    result.stdout.fnmatch_lines(["*stored 24.3 ± 0.6, now 27.9 ± 0.5: 4.6 combined standard errors apart*"])

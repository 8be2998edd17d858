"""The tolerance plugin goes red on everything that it must, and on nothing else."""

import math
from pathlib import Path
from statistics import NormalDist

import nbformat
import numpy as np
import pytest

from tests.tolerance import (
    FACTOR,
    SIGMAS,
    Disagreement,
    compare,
    disagreements,
    only_rough_numbers_differ,
    report,
)

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
        ("24.13 ± 0.10", "24.80 ± 0.10", "over 4.5"),
        ("24.13 ± 0.10", "24.13 ± 0.21", "factor"),
        ("24.13 ± 0.10", "24.13 ± 0", "factor"),
        ("0 ± 0", "0.001 ± 0", "exact values differ"),
        ("1.5 ± 0.1", "nan ± nan", "not finite"),
        ("nan ± nan", "nan ± nan", "not finite"),
        ("1.5 ± 0.1", "1.5 ± inf", "not finite"),
        ("1.5 ± 0.1", "1.5 ± -0.1", "negative"),
        ("z = +1.02", "z = +4.51", "over 4.5"),
        ("z = +4.51", "z = +1.02", "over 4.5"),
        ("z = -1.02", "z = -4.51", "over 4.5"),
        ("z = +1.02", "z = nan", "not finite"),
        ("z = -inf", "z = -inf", "not finite"),
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
        ("≈ 24.0 ± 0.1", "≈ 30.0 ± 0.1", "over 4.5"),
    ],
)
def test_what_does_not(stored: str, fresh: str, reason: str) -> None:
    found = disagreements(stored, fresh)
    assert any(reason in one for disagreement in found for one in disagreement.reasons), found
    assert [disagreement.by_distance for disagreement in found] == [reason == "over 4.5"]


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
    "another line": ("estimate", "print('mu 24.0 ± 0.5')\nprint('a line')"),
    "to standard error": ("words", "import sys\nprint('the same')\nprint('x', file=sys.stderr)"),
    "shown, not printed": ("value", "display('a 1.0 ± 0.1')"),
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


LOOP = """\
#| label: tbl-loop
for name, value in {"mu": 24.0, "sigma": 84.01}.items():
    line = show(name, value)
    print(f"{name} is")
    print(line)
"""
WRITES = """\
import sys
print("first", end=" ")
sys.stdout.write("2.0 ± 0.1\\n\\n")
print()
"""
VALUE = """\
a = 1
(
    "1.0 ± 0.1"
)
"""


def test_a_failure_tells_where_and_by_how_much(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chapter, cell, both lines in columns, the distance, and the line of the cell that printed it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))

    def cell(source: str, text: str | None = None, value: str | None = None) -> nbformat.NotebookNode:
        outputs = []
        if text:
            outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        elif value:
            outputs = [nbformat.v4.new_output("execute_result", {"text/plain": value}, execution_count=1)]
        return nbformat.v4.new_code_cell(source, execution_count=1, outputs=outputs)

    cells = [
        cell("def show(name, value):\n    return f'{name} {value} ± 0.1'"),
        cell(LOOP, "mu is\nmu 24.1 ± 0.1\nsigma is\nsigma 100.0 ± 0.1\n"),
        cell(WRITES, "first 3.0 ± 0.1\n\n\n"),
        cell(VALUE, value="'3.0 ± 0.1'"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), pytester.path / "04-sample.ipynb")
    result = pytester.runpytest_subprocess("--nbval", "-p", "tests.tolerance", "--color=no", "04-sample.ipynb")
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "04-sample.ipynb, cell 1",
            "  stored  sigma 100.0 ± 0.1",
            "  now     sigma 84.01 ± 0.1",
            "  stored 100 ± 0.1, now 84.01 ± 0.1:",
            "    113.1 combined standard errors apart, over 4.5",
            "  printed by line 5: print(line)",
            "04-sample.ipynb, cell 2",
            '  printed by line 2: print("first", end=" ")',
            "04-sample.ipynb, cell 3",
            "  printed by line 2: (",
        ]
    )
    result.stdout.no_fnmatch_line("*24.1 ± 0.1*")


def test_the_example_in_the_book_is_what_the_plugin_says() -> None:
    page = (Path(__file__).parent.parent / "appendices" / "how-it-is-tested.qmd").read_text()
    example = page.split("```text\n04-pytorch.ipynb, cell 13\n")[1].split("```")[0]
    found = disagreements(
        "sigma  84.0492 ± 0.0384  84  z = +1.28", "sigma  89.1673 ± 0.0406  84  z = +127.14", "stdout"
    )
    assert report(nbformat.v4.new_code_cell("\nprint(compare(many, exact))"), found, [2]) == example


def test_lines_stand_in_columns_below_one_another() -> None:
    found = Disagreement(0, "mu  9.0 ± 0.1   exact  9", "sigma  110.0 ± 0.1  exact 9", ("why",), "stdout")
    assert report(nbformat.v4.new_code_cell("print(1)"), [found], [1]).splitlines() == [
        "  stored  mu      9.0 ± 0.1 exact 9",
        "  now     sigma 110.0 ± 0.1 exact 9",
        "  why",
        "  printed by line 1: print(1)",
    ]


def test_outputs_of_a_cell_are_compared_by_kind() -> None:
    """The order of kinds does not matter, pixels neither; kind and number of outputs do."""
    stream = nbformat.v4.new_output("stream", name="stdout", text="1.0 ± 0.1")
    picture = nbformat.v4.new_output("display_data", {"image/png": "A", "text/plain": "<Figure>"})
    other = nbformat.v4.new_output("display_data", {"image/png": "B", "text/plain": "<Figure>"})
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="p must be < 1, got 2")
    changed = nbformat.v4.new_output("error", ename="ValueError", evalue="p must be < 1, got 3")
    assert compare([stream, picture, error], [other, error, stream]) == []
    assert compare([], []) == []
    for stored, fresh in [
        ([stream], []),
        ([], [stream]),
        ([stream], [stream, stream]),
        ([picture], [stream]),
        ([error], [changed]),
        ([error], []),
    ]:
        assert compare(stored, fresh) != []

"""nbval with the plugin: what a notebook's author sees."""

import nbformat
import pytest
from nbval_tolerance import Tolerance, compare
from nbval_tolerance.plugin import TOLERANCE

OUTPUT = nbformat.v4.new_output


def stream(text: str) -> nbformat.NotebookNode:
    return OUTPUT("stream", name="stdout", text=text)


def value(text: str) -> nbformat.NotebookNode:
    return OUTPUT("execute_result", {"text/plain": text}, execution_count=1)


def cell(source: str, *outputs: nbformat.NotebookNode, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source, execution_count=1, outputs=list(outputs), metadata={"tags": list(tags)})


def write(pytester: pytest.Pytester, name: str, *cells: nbformat.NotebookNode) -> None:
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), pytester.path / name)


def nbval(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run pytest in a process of its own: nbval leaves a file of each kernel open, which fails a later test here."""
    return pytester.runpytest_subprocess("--nbval-current-env", "--color=no", *options)


def failed(result: pytest.RunResult) -> set[str]:
    """The cells that the summary lists as failed."""
    return {line.removeprefix("FAILED ").split(" - ")[0] for line in result.outlines if line.startswith("FAILED ")}


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9"><text>12</text></svg>'
DRAWING = OUTPUT("display_data", {"image/svg+xml": SVG})
DRAW = "display({{'image/svg+xml': {!r}}}, raw=True)"
WIDGET = "display({{'application/vnd.jupyter.widget-view+json': {{'model_id': {!r}}}, 'text/plain': 'Bar'}}, raw=True)"
SHOWN_WIDGET = OUTPUT(
    "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "Bar"}
)
GOOD = [
    cell("print('mu 24.0 ± 0.5')", stream("mu 24.3 ± 0.6\n")),
    cell("print('mu 24.0 ± 0.5, z = +0.40')", stream("mu 24.3 ± 0.6, z = -1.20\n")),
    cell("print('≈ 3.2 µs')", stream("≈ 0.1 ms\n")),
    cell("'a 1.0 ± 0.1'", value("'a 1.1 ± 0.1'")),
    cell(DRAW.format(SVG.replace("9", "8")), DRAWING),
    cell(WIDGET.format("b"), SHOWN_WIDGET),
    cell("print('inf')", stream("inf\n"), tags=("shows-nonfinite",)),
    cell("print('took 3.25 s')", stream("took 1.50 s\n")),  # by a sanitizer
    cell("# NBVAL_IGNORE_OUTPUT\nprint(1)", stream("2\n")),
    cell(
        "from IPython.display import clear_output\nprint('wrong')\nclear_output()\nprint('half')\n"
        "clear_output(wait=True)\nprint('1.0 ± 0.1')",
        stream("1.1 ± 0.1\n"),
    ),
]
WORDS = stream("the same\n")
BAD = [
    cell("print('mu 29.9 ± 0.5')", GOOD[0].outputs[0]),
    cell("print('mu 24.0 ± 0.5')\nprint('a line')", GOOD[0].outputs[0]),
    cell("print('mu 24.0 ± 5.0')", GOOD[0].outputs[0]),
    cell("print('mu nan ± nan')", GOOD[0].outputs[0]),
    cell("pass", GOOD[0].outputs[0]),
    cell("print('mu 24.0 ± 0.5, z = +6.00')", GOOD[1].outputs[0]),
    cell("print('≈ 3.2 s')", stream("≈ 0.1 ms\n")),
    cell("import sys\nprint('the same')\nprint('x', file=sys.stderr)", WORDS),
    cell("print('the sane')", WORDS),
    cell("raise RuntimeError", WORDS),
    cell("display('a 1.0 ± 0.1')", value("'a 1.1 ± 0.1'")),
    cell("'a 9.0 ± 0.1'", value("'a 1.1 ± 0.1'")),
    cell(DRAW.format(SVG.replace("12", "13")), DRAWING),
    cell(DRAW.format("<svg><text>"), DRAWING),
    cell("print('inf')", stream("inf\n")),
]


def test_green_where_it_should_be_and_red_for_each_fault(pytester: pytest.Pytester) -> None:
    write(pytester, "good.ipynb", *GOOD)
    write(pytester, "bad.ipynb", *BAD)
    pytester.makefile(".cfg", sanitize="[times]\nregex: took [0-9.]+ s\nreplace: took TIME\n")
    options = ["-p", "no:xdist", "--nbval-sanitize-with=sanitize.cfg", "--tolerance-sigmas=4.25"]
    result = nbval(pytester, "--nbval", *options, "good.ipynb", "bad.ipynb")
    result.assert_outcomes(passed=len(GOOD), failed=len(BAD))
    assert failed(result) == {f"bad.ipynb::Cell {i}" for i in range(len(BAD))}
    result.stdout.fnmatch_lines(
        [
            "bad.ipynb, cell 0",
            "  stored  mu 24.3 ± 0.6",
            "  now     mu 29.9 ± 0.5",
            "  stored 24.3 ± 0.6, now 29.9 ± 0.5:",
            "    7.2 combined standard errors apart, over 4.25",
        ]
    )
    assert "plugin exception" not in result.stdout.str()


def test_with_xdist_and_nbval_lax_and_a_kernel_that_dies(pytester: pytest.Pytester) -> None:
    """A kernel that dies ends its notebook, and no other; nbval would wait for 2000 s."""
    write(
        pytester,
        "lax.ipynb",
        cell("x = 4"),
        cell("print(f'{x}.0 ± 0.1')", stream("9.0 ± 0.1\n")),
        cell("# NBVAL_CHECK_OUTPUT\nprint(f'{x}.0 ± 0.1')", stream("9.0 ± 0.1\n")),
    )
    write(pytester, "dies.ipynb", cell("x = 1"), cell("import os\nos._exit(1)"), cell("x"), cell("x"))
    result = nbval(pytester, "--nbval-lax", "-n", "2", "--dist", "loadscope", "-rfs")
    result.assert_outcomes(passed=3, failed=2, skipped=2)
    result.stdout.fnmatch_lines(["Cell 1: The kernel died while this cell was running*", "*os._exit(1)"])
    result.stdout.fnmatch_lines(["SKIPPED*the kernel died in cell 1"])
    assert failed(result) == {"dies.ipynb::Cell 1", "lax.ipynb::Cell 2"}


def tolerance(pytester: pytest.Pytester, *options: str) -> Tolerance:
    """What the plugin compares with, given these options and the settings in the folder of `pytester`."""
    return pytester.parseconfigure("-p", "no:cacheprovider", *options).stash[TOLERANCE]


def test_options_come_from_the_command_line_the_settings_or_the_defaults(pytester: pytest.Pytester) -> None:
    assert tolerance(pytester) == Tolerance()
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\ntolerance_factor = "1"\ntolerance_sigmas = "0.5"\n')
    assert tolerance(pytester) == Tolerance(factor=1.0, sigmas=0.5)
    assert tolerance(pytester, "--tolerance-factor=5") == Tolerance(factor=5.0, sigmas=0.5)


def test_bad_options_are_refused(pytester: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError, match=r"nbval-tolerance: factor must be a finite number >= 1, got 0\.5"):
        tolerance(pytester, "--tolerance-factor=0.5")
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\ntolerance_sigmas = "many"\n')
    with pytest.raises(pytest.UsageError, match="tolerance_sigmas must be a number, got 'many'"):
        tolerance(pytester)


def test_outputs_of_a_cell_are_compared_by_kind() -> None:
    """The order of kinds does not matter, nor do pixels; kind and number of outputs do."""
    printed = stream("1.0 ± 0.1")
    picture = OUTPUT("display_data", {"image/png": "A", "text/plain": "<Figure>"})
    other = OUTPUT("display_data", {"image/png": "B", "text/plain": "<Figure>"})
    error = OUTPUT("error", ename="ValueError", evalue="p must be < 1, got 2")
    changed = OUTPUT("error", ename="ValueError", evalue="p must be < 1, got 3")
    data, same = (OUTPUT("display_data", {"application/json": d}) for d in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert compare([printed, picture, error, data], [other, same, error, printed]) == []
    assert compare([], []) == []
    for stored, fresh in [
        ([printed], []),
        ([], [printed]),
        ([printed], [printed, printed]),
        ([picture], [printed]),
        ([error], [changed]),
        ([error], []),
    ]:
        assert compare(stored, fresh) != []

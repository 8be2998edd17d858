"""The sweep: runs of its own seeds, kept while the code stays, judged as they deserve."""

import json
import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbval_tolerance import Tolerance
from scipy import stats

from tools import sweep
from tools.execute import chapters
from tools.running import Run, rerun

CODE = {
    "prints": "import os\nfrom helpers import SEED\nprint(f'{SEED} in {os.path.basename(os.getcwd())}')",
    "shows": "display('one')\n'two'",
    "draws": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    "fails as it must": "raise ValueError('p must be < 1, got 2')",
}


def write(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for cell in cells:
        cell.metadata = {"tags": ["raises-exception"]} if cell.source.startswith("raise") else {}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_run_gives_what_a_kernel_would_but_for_pictures(tmp_path: Path) -> None:
    environment, seed = dict(os.environ), 104_000
    run = rerun(write(tmp_path / "01-one.ipynb", *CODE.values()), seed)
    assert os.environ == environment
    assert run.error == ""
    assert run.outputs == [
        [{"output_type": "stream", "name": "stdout", "text": f"{seed} in {tmp_path.name}\n"}],
        [
            {"output_type": "display_data", "data": {"text/plain": "'one'"}},
            {"output_type": "execute_result", "data": {"text/plain": "'two'"}},
        ],
        [],
        [{"output_type": "error", "ename": "ValueError", "evalue": "p must be < 1, got 2"}],
    ]


def test_text_that_comes_in_pieces_is_one_output(tmp_path: Path) -> None:
    slow = "import sys, time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.3)"
    (outputs,) = rerun(write(tmp_path / "01-one.ipynb", slow), 1).outputs
    assert outputs == [{"output_type": "stream", "name": "stdout", "text": "0\n1\n2\n"}]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("1 / 0", "cell 1 failed: ZeroDivisionError: division by zero"),
        ("import os\nos._exit(3)", "cell 1 ended its kernel"),
    ],
)
def test_a_run_that_ends_early_says_why(tmp_path: Path, source: str, error: str) -> None:
    assert rerun(write(tmp_path / "01-one.ipynb", "1", source), 1).error == error


def test_no_two_runs_share_a_seed_nor_one_near_it() -> None:
    seeds = sorted(sweep.seed_of(path, i) for path in chapters() for i in range(1, 101))
    assert min(np.diff(seeds)) >= 1000
    assert seeds[0] > 1000  # the stored outputs have seed 0


# ---------------------------------------------------------------- a sweep whose chapters are drawn here

ROWS = 4


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three chapters, one cell each, whose stored output is a table of ROWS estimates of 0."""
    paths = [tmp_path / f"0{i}-chapter.ipynb" for i in (1, 2, 3)]
    for path in paths:
        cell = nbformat.v4.new_code_cell("print(table)", execution_count=1)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=table(np.zeros(ROWS)))]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    monkeypatch.setattr(sweep, "STATE", tmp_path / "build" / "sweep.jsonl")
    monkeypatch.setattr(sweep, "fingerprint", lambda path: f"print of {path.stem}")
    return paths


def table(z: np.ndarray) -> str:
    return "\n".join(f"row {i}  {value:.4f} ± 1.0000  0  z = {value:+.2f}" for i, value in enumerate(z))


def run_of(z: np.ndarray) -> Run:
    return Run([[{"output_type": "stream", "name": "stdout", "text": table(z)}]])


def runs_of(paths: list[Path], zs: np.ndarray) -> dict[tuple[str, int], Run]:
    """`zs` has a z for each chapter, seed and row."""
    return {
        (path.stem, sweep.seed_of(path, i + 1)): run_of(z)
        for path, of_chapter in zip(paths, zs, strict=True)
        for i, z in enumerate(of_chapter)
    }


def normal(correlated: bool = False) -> np.ndarray:
    """Of 3 chapters, 100 seeds; the rows of a run may share half of their variance, as rows of a table do."""
    rng = np.random.default_rng(0)
    rows, shared = rng.standard_normal((3, 100, ROWS)), rng.standard_normal((3, 100, 1))
    return np.sqrt(0.5) * (rows + shared) if correlated else rows


@pytest.mark.parametrize("correlated", [False, True])
def test_honest_runs_pass(book: list[Path], correlated: bool) -> None:
    found = sweep.judge(book, runs_of(book, normal(correlated)))
    assert all(sweep.verdicts(found).values()), sweep.text(found)
    assert found["failed"] == {}
    assert (found["seeds"], found["runs"], found["z"], found["places"]) == (100, 300, 300 * ROWS, 3 * ROWS)
    assert found["comparisons"] == 2 * 300 * ROWS
    assert found["one a run"]["n"] == 300
    json.dumps(found)


def shifted(zs: np.ndarray) -> np.ndarray:
    """One number of the book is biased by a standard error."""
    zs[1, :, 2] += 1
    return zs


def everywhere(zs: np.ndarray) -> np.ndarray:
    """All are biased by a third of one, too little for a single place."""
    return zs + 0.3


def stuck(zs: np.ndarray) -> np.ndarray:
    """One number does not depend on the seed."""
    zs[0, :, 0] = 0.4
    return zs


def narrow(zs: np.ndarray) -> np.ndarray:
    """Standard errors are too large by a half."""
    return zs / 1.5


def far(zs: np.ndarray) -> np.ndarray:
    """Three of 300 runs are far off."""
    zs[0, :3, 1] = Tolerance.sigmas + 1
    return zs


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        (shifted, "at each place, z is normally distributed over the runs"),
        (stuck, "at each place, z is normally distributed over the runs"),
        (everywhere, "one z-score per run: normally distributed"),
        (narrow, "one z-score per run: normally distributed"),
        (far, "no more runs fail by distance than chance explains"),
    ],
)
def test_a_fault_is_seen(book: list[Path], fault: object, red: str) -> None:
    found = sweep.judge(book, runs_of(book, fault(normal(correlated=True))))  # type: ignore[operator]
    assert not sweep.verdicts(found)[red]


def test_what_a_cell_quotes_is_the_same_in_every_run(book: list[Path]) -> None:
    for path in book:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0].metadata = {"tags": ["quotes"]}
        nbformat.write(notebook, path)
    found = sweep.judge(book, runs_of(book, np.zeros((3, 100, ROWS))))
    assert all(sweep.verdicts(found).values()), sweep.text(found)
    assert found["z"] == 0
    found = sweep.judge(book, runs_of(book, normal()))
    assert len(found["failed otherwise"]) == 300


def test_one_far_run_is_listed_and_may_be_chance(book: list[Path]) -> None:
    zs = normal()
    zs[2, 5, 0] = Tolerance.sigmas + 0.3
    found = sweep.judge(book, runs_of(book, zs))
    assert list(found["failed"]) == [f"03-chapter, seed {sweep.seed_of(book[2], 6)}"]
    assert "|z| = 4.80 is over 4.5" in sweep.text(found)
    assert found["failed by chance"]["expected"] == pytest.approx(2 * 300 * ROWS * 6.8e-6, rel=0.01)
    assert found["worst z"]["value"] == pytest.approx(4.8)
    assert all(sweep.verdicts(found).values())


def test_words_that_depend_on_the_seed_and_errors_are_never_chance(book: list[Path]) -> None:
    runs = runs_of(book, normal())
    first, second = list(runs)[:2]
    runs[first] = Run([[{"output_type": "stream", "name": "stdout", "text": "something else"}]])
    runs[second] = Run([], error="cell 1 failed: ValueError")
    found = sweep.judge(book, runs)
    assert len(found["failed otherwise"]) == 2
    assert not sweep.verdicts(found)["no run fails for a reason other than distance"]
    assert "cell 1 failed: ValueError" in sweep.text(found)


def test_a_stopped_sweep_goes_on_where_it_was(book: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, int]] = []

    def draw(path: Path, seed: int) -> Run:
        ran.append((path.stem, seed))
        failing = path.stem.startswith("03") and len(ran) <= 6
        return Run([], error="its process ended with exit code -9") if failing else run_of(np.full(ROWS, seed % 7 / 7))

    monkeypatch.setattr(sweep, "rerun", draw)
    first = sweep.complete(book, 2, 1)
    assert len(ran) == len(first) == 6
    with open(sweep.STATE, "a") as state:
        state.write('{"chapter": "01-chap')  # killed while it wrote
    second = sweep.complete(book, 3, 2)
    assert len(second) == 9
    new = [(path.stem, sweep.seed_of(path, 3)) for path in book]
    again = [(book[2].stem, sweep.seed_of(book[2], i)) for i in (1, 2)]  # what broke is run once more
    assert sorted(ran[6:]) == sorted(new + again)
    assert {key: run for key, run in first.items() if not run.error}.items() <= second.items()
    ran.clear()
    monkeypatch.setattr(sweep, "fingerprint", lambda path: "new" if path == book[1] else f"print of {path.stem}")
    sweep.complete(book, 3, 2)
    assert {chapter for chapter, _ in ran} == {"02-chapter"}
    assert len(ran) == 3


def test_holm() -> None:
    """Beside the definition: the i-th smallest of m times m - i + 1, and never less than one before it."""
    assert sweep.holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert sweep.holm([]) == []
    rng = np.random.default_rng(0)
    false = sum(min(sweep.holm(list(rng.random(50)))) < 0.05 for _ in range(1000))
    assert stats.binomtest(false, 1000, 0.05).pvalue > 1e-6


@pytest.mark.parametrize(("runs", "low", "high"), [(1000, 0.4, 0.65), (2000, 0.85, 0.97)])
def test_a_common_shift_of_an_eighth_is_seen_as_often_as_the_book_says(runs: int, low: float, high: float) -> None:
    zs = np.random.default_rng(0).normal(0.125, 1, (500, runs))
    seen = np.mean([stats.kstest(row, "norm").pvalue < sweep.LEVEL for row in zs])
    assert low < seen < high

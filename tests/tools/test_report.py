"""The page on execution is set from what chapters, sweep and mutants left, and says what they say."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tools import report
from tools.pages import fill
from tools.report import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m tools.report`"


def test_a_part_that_a_page_lacks_is_an_error() -> None:
    assert (
        fill("<!-- results:a -->\n\nold\n\n<!-- end -->", {"a": "new"}) == "<!-- results:a -->\n\nnew\n\n<!-- end -->"
    )
    with pytest.raises(ValueError, match="must hold the part 'b' once, got 0"):
        fill("<!-- results:a -->\n\nold\n\n<!-- end -->", {"b": "new"})


VERSIONS = {"python": "3.11.7", "torch": "2.6.0", "numpy": "1.26.4"}
PRINTED = {
    "01-one": "mu 24.1 ± 0.1 24 z = +1.00\nsigma 83.8 ± 0.1 84 z = -2.00\n≈ 3 ms, by 0 ± 0",
    "02-two": "nothing random",
}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.ipynb" for name in PRINTED]
    for path in paths:
        output = nbformat.v4.new_output("stream", name="stdout", text=PRINTED[path.stem])
        cells = [nbformat.v4.new_markdown_cell(f"# Title {{#sec-{path.stem[3:]}}}")]
        cells += [nbformat.v4.new_code_cell("print(1)", outputs=[output]), nbformat.v4.new_code_cell("1")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return paths


def record(**other: str) -> dict[str, dict[str, Any]]:
    entry = {"fingerprint": "a", "seconds": 7, "versions": VERSIONS}
    return {"01-one": entry, "02-two": {**entry, "versions": {**VERSIONS, **other}}}


def test_chapters(paths: list[Path]) -> None:
    text = report.executions(paths, record())
    assert "| @sec-one | 7 s | 2 | 3 | -2.00 |\n| @sec-two | 7 s | 2 | 0 | — |\n| all | 14 s | 4 | 3 | |" in text
    assert text.endswith("All were executed with Python 3.11.7, torch 2.6.0 and NumPy 1.26.4.")
    assert "- @sec-two: Python 3.11.7, torch 2.13.0 and" in report.executions(paths, record(torch="2.13.0"))
    assert "| @sec-one | — | 2 | 3 | -2.00 |" in report.executions(paths, {}), "never executed"


def test_sweep(paths: list[Path]) -> None:
    found = {
        "date": "2026-11-24",
        "seeds": 100,
        "fingerprints": {"01-one": "a", "02-two": "older"},
        "runs": 200,
        "comparisons": 9000,
        "failed otherwise": [],
        "failed by chance": {"count": 1, "expected": 0.0612, "p": 0.06},
        "worst distance": 3.21,
        "z": 4000,
        "worst z": {"chapter": "01-one", "cell": 0, "position": 1, "seed": 101000, "value": -4.61},
        "beyond 2": {"share": 0.0456, "error": 0.001},
        "places": 20,
        "departing places": {},
        "least p of a place": 0.31,
        "one a run": {"n": 200, "distance": 0.05, "p": 0.7},
    }
    text = report.sweep(found, paths, record())
    for part in (
        "On 2026-11-24, each chapter ran with 100 other seeds: 200 runs, 9,000 comparisons, 4,000 z-scores.",
        "| runs with a comparison beyond 4.5 standard errors | 1 | 0.061 by chance |",
        "| farthest z | -4.61 |  |",
        "| share of z-scores beyond ±2 | 4.56% ± 0.10% | 4.55% |",
        "Since then, code, helpers or versions have changed for @sec-two.",
    ):
        assert part in text
    assert "is not normal" not in text
    assert "The distribution of z is not normal at: 01-one cell 3 number 4." in report.sweep(
        {**found, "departing places": {"01-one cell 3 number 4": 1e-5}}, paths, record()
    )
    assert "not been run yet" in report.sweep(None, paths, record())


def test_mutants() -> None:
    found = {"date": "2026-11-24", "caught": 40, "total": 41, "chapters_caught": 50, "chapters_total": 51}
    survivor = {"fault": "a baseline that leaks", "file": "helpers/estimators.py", "green": ["tests", "10"]}
    text = report.mutants({**found, "survivors": [survivor]})
    assert "On 2026-11-24, 40 of 41 deliberate faults made the unit tests fail." in text
    assert "A chapter that shows the affected number was run with a fault 51 times, and it failed 50 times." in text
    assert "- a baseline that leaks (`helpers/estimators.py`): tests, 10" in text
    assert "did not fail" in text
    assert "did not fail" not in report.mutants({**found, "survivors": []})
    assert "not been run yet" in report.mutants(None)

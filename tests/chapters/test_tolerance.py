"""What the book says and needs of the package nbval-tolerance. The package has tests of its own."""

import re
from pathlib import Path

import nbformat
from nbval_tolerance import disagreements, numbers, report

from tools.execute import ROOT, chapters


def test_the_example_in_the_book_is_what_the_plugin_says() -> None:
    page = (ROOT / "appendices" / "how-it-is-tested.qmd").read_text()
    example = page.split("```text\n04-pytorch.ipynb, cell 10\n")[1].split("```")[0]
    found = disagreements("sigma  84.0492 ± 0.0384  84  z = +1.28", "sigma  89.1673 ± 0.0406  84  z = +127.14")
    assert report(found) == example


def test_each_estimate_and_z_of_the_chapters_is_read_as_one() -> None:
    """The plugin compares what it does not recognise to the letter: a chapter would fail with another seed."""

    def counts(path: Path) -> tuple[int, int]:
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs]
        read = [number.kind for number in numbers(outputs)]
        shown = [re.findall(sign, "\n".join(texts)) for sign in (r"\d\S* ± \S*\d", r"\bz = [-+]\d")]
        assert (path.stem, [len(found) for found in shown]) == (path.stem, [read.count("estimate"), read.count("z")])
        return len(shown[0]), len(shown[1])

    estimates, scores = map(sum, zip(*map(counts, chapters()), strict=True))
    assert estimates > 500
    assert scores > 300

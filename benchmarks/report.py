"""The results file as tables, and those tables in the book: in the performance appendix and in a chapter."""

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat

from tools.pages import fill

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("results.json")
# each page, and the parts of PARTS that it holds once each
PAGES = {
    ROOT / "appendices" / "performance.qmd": ("run", "table", "shortfalls", "rates", "profile"),
    ROOT / "chapters" / "19-a-billion-samples.ipynb": ("run", "measures", "profile"),
}


@dataclass(frozen=True)
class Row:
    """One measure: its value, and what it must and should reach."""

    label: str
    value: float
    unit: str
    must: float
    aim: float | None
    less_is_better: bool = False
    spread: float = 0.0  # half the distance of the quartiles, as a share of the value
    rate: float | None = None  # samples a second

    @classmethod
    def of_ratio(
        cls, label: str, slow: list[float], fast: list[float], n: int, must: float, aim: float | None
    ) -> "Row":
        """How many times longer `slow` takes than `fast`, each the times of runs over n samples."""
        ratio = statistics.median(slow) / statistics.median(fast)
        pairs = [s / f for s, f in zip(slow, fast, strict=True)]
        low, _, high = statistics.quantiles(pairs, n=4)
        return cls(label, ratio, "", must, aim, spread=(high - low) / 2 / ratio, rate=n / statistics.median(fast))

    @property
    def verdict(self) -> str:
        def holds(mark: float | None) -> bool:
            return mark is not None and (self.value <= mark if self.less_is_better else self.value >= mark)

        if not holds(self.must):
            return "falls short"
        return "reaches the aim" if holds(self.aim) else "holds"

    def written(self, value: float) -> str:
        """A value of this measure, with its unit."""
        return f"{_number(value)} {self.unit}".rstrip()

    @property
    def measured(self) -> str:
        """The value with its unit and spread."""
        return self.written(self.value) + (f" ± {self.spread:.0%}" if self.spread else "")

    def __str__(self) -> str:
        return f"{self.label:<58} {self.written(self.value)}  ({self.verdict})"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _side_by_side(results: dict[str, Any]) -> dict[str, tuple[Row, Row | None]]:
    """The rows by what they measure: that of the plain engine, and that of the compiled one where there is one."""
    rows = {fields["label"]: Row(**fields) for fields in results["rows"]}
    compiled = {label.replace(", compiled", ""): row for label, row in rows.items() if ", compiled" in label}
    return {label: (row, compiled.get(label)) for label, row in rows.items() if ", compiled" not in label}


def table(results: dict[str, Any]) -> str:
    """The measures as a Markdown table, what was measured before the marks: a phone shows the first columns."""
    marked = {"falls short": " (short)", "holds": "", "reaches the aim": " (aim)"}
    lines = ["| measure | plain | compiled | must | aim |", "|---|--:|--:|--:|--:|"]
    for label, (plain, compiled) in _side_by_side(results).items():
        found = (row.measured + marked[row.verdict] if row else "" for row in (plain, compiled))
        sign = "≤ " if plain.less_is_better else "≥ "
        marks = ("" if mark is None else sign + plain.written(mark) for mark in (plain.must, plain.aim))
        lines.append(_line(label, *found, *marks))
    return "\n".join(lines)


def measures(results: dict[str, Any]) -> str:
    """What was measured of the engine, without the marks, as a Markdown table."""
    lines = ["| measure | plain | compiled |", "|:--|--:|--:|"]
    for label, pair in _side_by_side(results).items():
        if not label.startswith("get_graph"):
            lines.append(_line(label, *(row.measured if row else "" for row in pair)))
    return "\n".join(lines)


def rates(results: dict[str, Any]) -> str:
    """Samples a second of the estimators as a Markdown table."""
    lines = ["| estimator | plain | compiled |", "|---|--:|--:|"]
    for label, pair in _side_by_side(results).items():
        if "share of" in label:
            lines.append(_line(label.split(":")[0], *(f"{row.rate / 1e6:.3g}" if row else "" for row in pair)))
    return "\n".join(lines)


def profile(results: dict[str, Any]) -> str:
    """Where the time of one thread goes, as a Markdown table."""
    lines = ["| operation of torch | share of the time |", "|---|--:|"]
    shown = {name.replace("_", r"\_"): share for name, share in results["profile"].items() if share >= 0.005}
    lines += [f"| {name} | {share:.0%} |" for name, share in shown.items()]
    return "\n".join(lines)


def run(results: dict[str, Any]) -> str:
    """When and where, in a sentence."""
    return (
        f"Measured on {results['date']}: {results['machine']}; {results['versions']}; {results['threads']} threads, "
        f"chunks of {results['chunk_size']:,} samples, medians of {results['repeats']} runs."
    )


def shortfalls(results: dict[str, Any]) -> str:
    """What misses its mark, in a sentence."""
    short = [Row(**fields).label for fields in results["rows"] if Row(**fields).verdict == "falls short"]
    return (
        "Falls short of what it must reach: " + "; ".join(short) + "." if short else "Nothing falls short of its must."
    )


# of the tables in the appendix; the chapter speaks of its own in its text
CAPTIONS = {
    "table": "What the engine must reach, and what was measured. {#tbl-marks}",
    "rates": "Million samples a second on both cores, by estimator. {#tbl-rates}",
    "profile": "Where the time of the plain pathwise estimator goes. {#tbl-profile}",
}
PARTS = {
    "run": run,
    "table": table,
    "shortfalls": shortfalls,
    "measures": measures,
    "rates": rates,
    "profile": profile,
}


def into_page(path: Path, results: dict[str, Any]) -> str:
    """The file of a page as it should be; of a notebook, the one markdown cell that holds the parts is changed."""
    made = {name: PARTS[name](results) for name in PAGES[path]}
    if path.suffix != ".ipynb":
        captioned = {name: f"{text}\n\n: {CAPTIONS[name]}" if name in CAPTIONS else text for name, text in made.items()}
        return fill(path.read_text(), captioned)
    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "markdown" and "<!-- results:" in c.source]
    if len(cells) != 1:
        raise ValueError(f"{path.name} must hold its results in one markdown cell, got {len(cells)}")
    cells[0].source = fill(cells[0].source, made)
    return nbformat.writes(notebook) + "\n"


def write() -> None:
    """Set the stored results into the pages."""
    results = json.loads(RESULTS.read_text())
    for path in PAGES:
        path.write_text(into_page(path, results))


if __name__ == "__main__":
    write()

"""The results file as a chart, a table and sentences, set into the appendix on performance."""

import io
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from helpers import plots
from tools.pages import fill

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "appendices" / "performance.qmd"
CHART = ROOT / "assets" / "performance.svg"
PEER = ", N = 1e7: speed-up"
CHUNKS = ", in our chunks"
VMAP = "torch.func.vmap(grad)"  # needs no package but torch, so it is always measured


@dataclass(frozen=True)
class Row:
    """One measure: its value, and what it must and should reach."""

    label: str
    value: float
    unit: str
    must: float
    aim: float | None
    less_is_better: bool = False
    spread: float = 0.0  # half the distance of the quartiles, relative to the value
    rate: float | None = None  # samples per second

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


def libraries(results: dict[str, Any]) -> dict[str, tuple[float, float | None]]:
    """Million samples per second of the same two derivatives, by library, the fastest first.

    The first number is for the form in which a library is usually used, the second for samples in the engine's chunks.
    The engine itself has chunks only. All were timed in turns, so all come from these rows.
    """
    speeds: dict[str, float] = {}
    for label, (plain, compiled) in _side_by_side(results).items():
        if label.endswith(PEER):
            speeds[label.removesuffix(PEER)] = plain.rate / plain.value / 1e6
            engine = {"this book, compiled": compiled.rate / 1e6, "this book": plain.rate / 1e6}
    found = {name: (rate, speeds.get(name + CHUNKS)) for name, rate in speeds.items() if not name.endswith(CHUNKS)}
    found |= {name: (rate, None) for name, rate in engine.items()}
    return dict(sorted(found.items(), key=lambda item: -max(rate or 0 for rate in item[1])))


def drawing(results: dict[str, Any]) -> str:
    """The chart of `libraries`, as an SVG."""
    speeds = libraries(results)
    bars = []  # from top to bottom: place, rate, colour
    ticks, place = [], 0.0
    for name, (usual, chunked) in speeds.items():
        own = name.startswith("this book")
        rates = [(usual, plots.BLUE if own else plots.INK)] + ([(chunked, plots.ORANGE)] if chunked else [])
        ticks.append(place + 0.5 * (len(rates) - 1))
        bars += [(place + row, rate, color) for row, (rate, color) in enumerate(rates)]
        place += len(rates) + 0.6
    fig, ax = plots.figure(height=0.27 * place + 1.2)
    for row, rate, color in bars:
        ax.barh(row, rate, height=0.9, color=color, alpha=0.8)
        ax.text(rate, row, f" {rate:.0f}", va="center")
    ax.set_yticks(ticks, list(speeds))
    ax.invert_yaxis()
    ax.set(xlabel="million samples per second", xlim=(0, 1.12 * max(rate for _, rate, _ in bars)))
    meanings = {plots.BLUE: "this book", plots.INK: "one tensor"}
    meanings |= {plots.ORANGE: "chunks"} if any(chunked for _, chunked in speeds.values()) else {}
    handles = [mpl.patches.Patch(color=color, alpha=0.8, label=text) for color, text in meanings.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.2, handlelength=1.2)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "path"}):
        fig.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(fig)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def chart(results: dict[str, Any]) -> str:
    """The figure of the page, with all its numbers in the text alternative."""
    bars = "; ".join(
        f"{name} {usual:.0f}" + (f", in chunks {chunked:.0f}" if chunked else "")
        for name, (usual, chunked) in libraries(results).items()
    )
    return (
        "![Million samples per second of both derivatives of the running example, by library. Longer is better. "
        "Storchastic and Pyro return only the means of the gradients, the others their variances too.]"
        f'(../assets/{CHART.name}){{#fig-libraries fig-alt="Bar chart of million samples per second. {bars}."}}'
    )


def rates(results: dict[str, Any]) -> str:
    """Samples per second of the estimators, and relative to their random numbers, as a Markdown table."""
    lines = ["| Estimator | plain | compiled | share, plain | share, compiled |", "|:---|--:|--:|--:|--:|"]
    for label, pair in _side_by_side(results).items():
        if "share of" in label:
            speeds = (f"{row.rate / 1e6:.3g}" if row else "" for row in pair)
            shares = (f"{row.value:.0%} ± {row.value * row.spread:.0%}" if row else "" for row in pair)
            lines.append(_line(label.split(":")[0], *speeds, *shares))
    caption = (
        "Million samples per second on all cores, plain and compiled, and the same relative to the speed of drawing "
        "the random numbers alone. {#tbl-rates}"
    )
    return "\n".join(lines) + f"\n\n: {caption}"


def facts(results: dict[str, Any]) -> str:
    """Single figures, as a list."""
    rows = _side_by_side(results)
    loop, faster = rows["one backward a sample, N = 1e5: speed-up"]
    first, second = (rows[f"time from N = {n}, over 10"][0].value for n in ("1e6 to 1e7", "1e7 to 1e8"))
    call = rows["a call at N = 1000"][0]
    memory = rows["growth of resident memory from N = 1e6 to 1e9"][0]
    chain = rows["get_graph, chain of 1e5 nodes"][0]
    squares = rows["get_graph, y = y * y 1e4 times"][0]
    speeds = libraries(results)
    usual, chunked = speeds[VMAP]
    plain, compiled = speeds["this book"][0], speeds["this book, compiled"][0]
    return "\n".join(
        [
            f"- Chunks alone make `{VMAP}` {chunked / usual:.2g} times as fast. In chunks of the same size, "
            f"`estimate_gradient` is {plain / chunked:.2g} times as fast, and {compiled / chunked:.2g} times if it "
            "is compiled.",
            f"- A loop with one backward pass per sample processes {_number(loop.rate / loop.value)} samples per "
            f"second. At $N = 10^5$, `estimate_gradient` is {_number(loop.value)} times faster, and "
            f"{_number(faster.value)} times if compiled.",
            f"- Ten times as many samples take {_number(10 * first)} times as long from $N = 10^6$ to $10^7$, and "
            f"{_number(10 * second)} times from $10^7$ to $10^8$.",
            f"- From $N = 10^6$ to $10^9$ the peak of the memory grows by {memory.written(memory.value)}.",
            f"- A call with $N = 1000$ takes {call.written(call.value)}.",
            f"- `get_graph` takes {chain.written(chain.value)} for a chain of 100,000 nodes, and "
            f"{squares.written(squares.value)} for a graph with 10,000 nodes and $2^{{10000}}$ paths.",
        ]
    )


def profile(results: dict[str, Any]) -> str:
    """Where the time of one thread goes, in a sentence."""
    shown = [f"`{name}` {share:.0%}" for name, share in results["profile"].items() if share >= 0.005]
    return "Shares of this time: " + ", ".join(shown).replace("`all else`", "everything else") + "."


def run(results: dict[str, Any]) -> str:
    """When and where, in a sentence."""
    return (
        f"Measured on {results['date']} on {results['machine']}, with {results['versions']}, {results['threads']} "
        f"threads and chunks of {results['chunk_size']:,} samples. Figures are medians of {results['repeats']} runs."
    )


PARTS = {"run": run, "chart": chart, "rates": rates, "facts": facts, "profile": profile}


def into_page(page: str, results: dict[str, Any]) -> str:
    """The text of the page with all its parts."""
    return fill(page, {name: part(results) for name, part in PARTS.items()})


def write() -> None:
    """Set the stored results into the page, and draw the chart."""
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(into_page(PAGE.read_text(), results))
    CHART.write_text(drawing(results))


if __name__ == "__main__":
    write()

"""Draw the picture of the first page, the cover and the social card, from an estimator's own samples.

usage: python -m tools.cover

All three show running means of d/dmu E[z^2] at mu = 12, sigma = 42: backpropagation through the sample, and
pathwise. Drawing them again gives the same bytes, as long as torch and matplotlib stay the same.
"""

import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image
from torch import Generator, Tensor

from helpers import plots, reparametrize
from helpers.estimators import Pathwise
from helpers.randomness import generator_of

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
TITLE = FontProperties(fname=ROOT / "helpers" / "fonts" / "source-serif-semibold.ttf")
PARAMS = {"mu": 12.0, "sigma": 42.0}
EXACT, DEVIATION = 2 * PARAMS["mu"], 2 * PARAMS["sigma"]  # of one pathwise sample
DPI = 144
SEED, RUNS, LARGEST = 0, 40, 100_000
COUNTS = torch.logspace(1, 5, 240).round().long().unique()
NAIVE_CODE, PATHWISE_CODE = "z = torch.normal(mu, sigma)", "z = mu + sigma * eps"


def tokens(scheme: str) -> dict[str, str]:
    """The colours of assets/book.css by name, as they are on a "light" or a "dark" page."""
    style = (ASSETS / "book.css").read_text(encoding="utf-8")
    (block,) = re.findall(rf'html\[data-theme="{scheme}"\] \{{([^}}]*color-scheme[^}}]*)\}}', style)
    return dict(re.findall(r"--book-([\w-]+): (#\w{6});", block))


def naive(mu: Tensor, sigma: Tensor, generator: Generator | None) -> Tensor:
    return torch.normal(mu, sigma, generator=generator)


def running_means(estimator: Pathwise, run: int) -> Tensor:
    """The estimate of d/dmu after each of `COUNTS` samples of one run."""
    samples = estimator(torch.square, PARAMS, LARGEST, generator_of(SEED, run))["mu"]
    return samples.double().cumsum(0)[COUNTS - 1] / COUNTS


def pathwise_runs() -> list[Tensor]:
    return [running_means(Pathwise(reparametrize.normal), run) for run in range(RUNS)]


def first_picture(path: Path, runs: list[Tensor]) -> None:
    """The gradient that is zero, the one that is not, and its error."""
    fig, ax = plots.figure(height=4.6)
    error = 2 * DEVIATION / COUNTS.sqrt()
    ax.fill_between(COUNTS, EXACT - error, EXACT + error, color=plots.BLUE, alpha=0.13, linewidth=0)
    for means in runs:
        ax.plot(COUNTS, means, color=plots.BLUE, linestyle="-", linewidth=0.7, alpha=0.5)
    ax.plot(COUNTS, running_means(Pathwise(naive), 0), color=plots.ORANGE, linestyle="-", linewidth=3)
    code = {"family": "monospace", "weight": "bold", "size": 13, "ha": "right"}
    ax.text(LARGEST, -6, NAIVE_CODE, color=plots.ORANGE, va="top", **code)
    ax.text(LARGEST, -12.5, "gradient 0, at any N", ha="right", va="top", color=plots.ORANGE)
    ax.text(LARGEST, 37.5, PATHWISE_CODE, color=plots.BLUE, **code)
    ax.text(LARGEST, 31.5, "gradient 24, error like 1/√N", ha="right", color=plots.BLUE)
    ax.text(130, 47, "exact ± 2 standard errors")
    ax.set(xscale="log", xlim=(10, LARGEST), ylim=(-20, 60), yticks=[0, EXACT], yticklabels=["0", r"$2\mu = 24$"])
    ticks = ax.set_xticks([10, 100, 1000, 10_000, 100_000], ["10", "100", "1,000", "10,000", "100,000"])
    ticks[-1].label1.set_ha("right")
    ax.minorticks_off()
    ax.set_xlabel("N, number of samples")
    ax.set_title("estimated gradient")
    _save(fig, path, dpi=240)  # two pixels for each of the page's


def _threads(fig: Figure, runs: list[Tensor], scheme: dict[str, str], height: float, *, is_upright: bool) -> Axes:
    """The runs as bare lines that close in on the exact value, and the one that stays at 0, below a faded edge."""
    ax = fig.add_axes((0, 0, 1, height))
    time, zero = COUNTS.log10(), torch.zeros(len(COUNTS))
    for means in [*runs, zero]:
        colour, width, alpha = (scheme["warning"], 4, 1) if means is zero else (scheme["accent"], 1.2, 0.5)
        x, y = (means, -time) if is_upright else (time, means)
        ax.plot(x, y, color=colour, linestyle="-", linewidth=width, alpha=alpha)
    veil = np.empty((64, 1, 4))
    veil[..., :3], veil[..., 3] = to_rgb(scheme["ground"]), np.linspace(1, 0, 64)[:, None]
    ax.imshow(veil, extent=(0, 1, 0.72, 1), transform=ax.transAxes, aspect="auto", zorder=5)
    ax.axis("off")
    return ax


def _canvas(width: int, height: int, scheme: dict[str, str]) -> Figure:
    plt.close(plots.figure()[0])  # sets the style
    return plt.figure(figsize=(width / DPI, height / DPI), facecolor=scheme["ground"], layout="none")


def _save(fig: Figure, path: Path, *, dpi: int = DPI) -> None:
    """Write a PNG of 32 colours, which is a third as large."""
    fig.savefig(path, dpi=dpi, facecolor=fig.get_facecolor(), metadata={"Software": None})
    plt.close(fig)
    Image.open(path).convert("RGB").quantize(32).save(path, optimize=True)


def cover(path: Path, runs: list[Tensor], book: dict[str, str]) -> None:
    """The front of the book, 1200 by 1800."""
    scheme = tokens("dark")
    fig = _canvas(1200, 1800, scheme)
    ax = _threads(fig, runs, scheme, 0.7, is_upright=True)
    ax.set(xlim=(-36, 60), ylim=(-5, -1))
    title = book["title"].replace(" of ", "\nof ")
    fig.text(0.085, 0.935, title, font=TITLE, size=54, color="white", va="top", linespacing=0.95)
    fig.text(0.09, 0.775, _wrapped(book["subtitle"], 46), font=TITLE, size=17, color=scheme["ink"], va="top")
    _save(fig, path)


def social_card(path: Path, runs: list[Tensor], book: dict[str, str]) -> None:
    """The preview of a link to the book, 1200 by 630."""
    scheme = tokens("dark")
    fig = _canvas(1200, 630, scheme)
    ax = _threads(fig, runs, scheme, 0.62, is_upright=False)
    ax.set(xlim=(1, 5), ylim=(-22, 66))
    fig.text(0.05, 0.93, book["title"], font=TITLE, size=43, color="white", va="top")
    fig.text(0.053, 0.735, _wrapped(book["subtitle"], 62), font=TITLE, size=17, color=scheme["ink"], va="top")
    code = {"family": "monospace", "weight": "bold", "size": 15, "ha": "right"}
    ax.text(4.8, 30, PATHWISE_CODE, color=scheme["accent"], **code)
    ax.text(4.8, -4, NAIVE_CODE, color=scheme["warning"], va="top", **code)
    _save(fig, path)


def _wrapped(text: str, width: int) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word} "
    return "\n".join(lines)


def draw(folder: Path) -> list[Path]:
    """Draw the pictures into `folder`; returns their paths."""
    mpl.use("agg")
    book = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["book"]
    runs = pathwise_runs()
    pictures = [folder / name for name in ("first-picture.png", "cover.png", "social-card.png")]
    first_picture(pictures[0], runs)
    cover(pictures[1], runs, book)
    social_card(pictures[2], runs, book)
    return pictures


def main() -> None:
    for path in draw(ASSETS):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

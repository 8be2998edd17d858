"""Draw the picture of the preface, assets/cover.png.

usage: python -m tools.cover

Running means of d/dmu E[z^2] at mu = 12, sigma = 42: backpropagation through the draw, and pathwise.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from torch import Generator, Tensor

from helpers import plots, reparametrize
from helpers.estimators import Pathwise
from helpers.streams import generator_of

OUTPUT = Path(__file__).resolve().parent.parent / "assets" / "cover.png"
PARAMS = {"mu": 12.0, "sigma": 42.0}
EXACT, DEVIATION = 2 * PARAMS["mu"], 2 * PARAMS["sigma"]  # of one pathwise sample
SEED, RUNS, LARGEST = 0, 40, 100_000


def naive(mu: Tensor, sigma: Tensor, generator: Generator | None) -> Tensor:
    return torch.normal(mu, sigma, generator=generator)


def running_means(estimator: Pathwise, run: int, counts: Tensor) -> Tensor:
    """The estimate of d/dmu after each of `counts` samples of one run."""
    samples = estimator(torch.square, PARAMS, LARGEST, generator_of(SEED, run))["mu"]
    return samples.double().cumsum(0)[counts - 1] / counts


def main() -> None:
    mpl.use("agg")
    counts = torch.logspace(1, 5, 240).round().long().unique()
    fig, ax = plots.figure(height=2.7)
    for run in range(RUNS):
        means = running_means(Pathwise(reparametrize.normal), run, counts)
        ax.plot(counts, means, color=plots.BLUE, linestyle="-", linewidth=0.7, alpha=0.45)
    for sign in (-1, 1):
        ax.plot(counts, EXACT + sign * 2 * DEVIATION / counts.sqrt(), color=plots.INK, linestyle=":", linewidth=1.2)
    ax.plot(counts, running_means(Pathwise(naive), 0, counts), color=plots.ORANGE, linestyle="--", linewidth=2.2)
    ax.text(3e3, -7.5, "z = torch.normal(mu, sigma)", family="monospace", size=9, color=plots.ORANGE)
    ax.text(3e3, 33, "z = mu + sigma * eps", family="monospace", size=9, color=plots.BLUE)
    ax.text(75, 49, "exact ± 2 standard errors", size=9)
    ax.set(xscale="log", xlim=(10, LARGEST), ylim=(-12, 60), yticks=[0, EXACT], yticklabels=["0", "2μ = 24"])
    ax.set(xlabel="number of samples", ylabel="estimated gradient")
    fig.savefig(OUTPUT, dpi=144, metadata={"Software": None})
    plt.close(fig)
    print(OUTPUT)


if __name__ == "__main__":
    main()

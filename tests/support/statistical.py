"""What "agrees" means in this suite: every statistical test goes through one of the functions below.

False alarms. `agrees` allows 5 standard errors, which a normal mean exceeds with probability 5.7e-7; `has_law` and
`has_frequencies` go red at p-values below LEVEL = 1e-7. Each comparison is counted in `made`, each element of a tensor
as one, and a test run ends with how many there were and how often such a run goes red by chance (`conftest.py`).
Some tests compare by themselves, with the same SIGMAS and LEVEL, about twenty times in all; means of skewed samples
stray a little more often. No seed is tuned: `BOOK_SEED=7 pytest tests` must pass as well.

Power. `agrees` refuses to compare with too few samples: an estimate that is off by `fault` (3% unless a test says
otherwise, relative to the largest exact number) must be at least 10 standard errors off.

The formulas here are written out once more on purpose, and use nothing of helpers.monte_carlo.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor

from helpers import SEED, Estimate

SIGMAS = 5
LEVEL = 1e-7

made: Counter[str] = Counter()  # comparisons in this process: of "means" and of "laws"


def alarms_expected(made: Counter[str]) -> float:
    """How many of these comparisons go red by chance, on average."""
    return float(made["means"] * 2 * stats.norm.sf(SIGMAS) + made["laws"] * LEVEL)


def generator(stream: int = 0) -> Generator:
    """A generator for one test: `stream` tells apart the draws within it."""
    return torch.Generator().manual_seed((7919 * SEED + stream) % 2**32)


def agrees(samples: Tensor, exact: object, *, fault: float = 0.03) -> None:
    """The mean of `samples` over their first axis is `exact`, as far as their spread tells; see the module."""
    n = samples.shape[0]
    variance, mean = (t.numpy() for t in torch.var_mean(samples.detach().double(), dim=0))
    error = np.sqrt(variance / n)
    expected = np.broadcast_to(np.asarray(exact, dtype=float), mean.shape)
    size = np.abs(expected).max()
    assert np.isfinite(mean).all()
    assert error.max() <= fault * size / 10, f"too few samples: standard error {error.max():.3g} beside {size:.3g}"
    made["means"] += mean.size
    off = np.abs(mean - expected)
    assert (off <= SIGMAS * error + 1e-6 * size).all(), f"{mean} ± {error}, expected {expected}"


def has_variance(samples: Tensor, exact: object, *, fault: float = 0.1) -> None:
    """The variance of `samples` is `exact`; its standard error comes from their fourth moment.

    Fourth moments are large, so the fault that must show is 10% here unless a test says otherwise.
    """
    deviations = samples.detach().double() - samples.detach().double().mean(0)
    agrees(deviations**2, exact, fault=fault)


def has_law(samples: Tensor, cdf: Callable[[np.ndarray], np.ndarray]) -> None:
    """Kolmogorov-Smirnov. With 2e5 samples a distribution function that seems off by 0.0065 anywhere goes red.

    By chance it seems 0.001 more or less than it is. So what is off by 0.0117 goes red with any seed, five such steps
    beyond, as a normal law is whose sigma is 5% off; at 3% (0.0073) most seeds go red.
    """
    assert samples.dim() == 1
    assert len(samples) >= 200_000, "too few samples"
    made["laws"] += 1
    assert stats.kstest(samples.detach().double().numpy(), cdf).pvalue > LEVEL


def has_frequencies(one_hot: Tensor, probs: Tensor) -> None:
    """Chi-square test of one-hot draws of shape (n, K), with 10 or more expected in each class."""
    counts = one_hot.detach().double().sum(0).numpy()
    expected = len(one_hot) * probs.detach().double().numpy()
    assert expected.min() >= 10, "too few samples"
    assert counts.sum() == len(one_hot)
    made["laws"] += 1
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > LEVEL


def square(z: Tensor) -> Tensor:
    """z^2 for scalar samples; a function of a module, which a process pool can send to its workers."""
    return z**2


def sum_of_squares(z: Tensor) -> Tensor:
    """z^2 summed over all axes but that of the samples."""
    return (z**2).reshape(len(z), -1).sum(1)


def same(one: dict[str, Estimate], other: dict[str, Estimate]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(
        a.mean.equal(b.mean) and a.variance.equal(b.variance) and a.n == b.n
        for a, b in zip(one.values(), other.values(), strict=True)
    )

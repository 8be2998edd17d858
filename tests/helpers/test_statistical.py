"""The comparisons of this suite go red for a fault of the size that they promise to see, and only for that."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.support import statistical
from tests.support.statistical import (
    LEVEL,
    SIGMAS,
    agrees,
    alarms_expected,
    generator,
    has_frequencies,
    has_law,
    has_variance,
)

N = 200_000
PROBS = torch.tensor([0.2, 0.3, 0.5])


def normal(mean: float, sigma: float, *shape: int) -> Tensor:
    return mean + sigma * torch.randn(N, *shape, generator=generator(), dtype=torch.float64)


def one_hot(probs: Tensor) -> Tensor:
    classes = torch.multinomial(probs, N, replacement=True, generator=generator())
    return torch.nn.functional.one_hot(classes, len(probs))


def test_what_is_right_is_green() -> None:
    agrees(normal(1.0, 1.0), 1.0)
    agrees(normal(1.0, 1.0, 2, 3), np.ones((2, 3)))
    has_variance(normal(1.0, 2.0), 4.0)
    has_law(normal(0.0, 1.0), stats.norm.cdf)
    has_frequencies(one_hot(PROBS), PROBS)


@pytest.mark.parametrize(
    "compare",
    [
        lambda: agrees(normal(1.03, 1.0), 1.0),
        lambda: agrees(normal(0.97, 1.0), 1.0),
        lambda: agrees(torch.stack([normal(1.0, 1.0), normal(1.03, 1.0)], 1), [1.0, 1.0]),
        lambda: agrees(torch.full((N,), 1.001), 1.0),
        lambda: agrees(torch.cat([normal(1.0, 1.0), torch.tensor([float("nan")])]), 1.0),
        lambda: has_variance(normal(1.0, 2.0), 4.0 * 1.1),
        lambda: has_variance(normal(1.0, 2.0), 2.0),
        lambda: has_law(normal(0.0, 1.05), stats.norm.cdf),
        lambda: has_law(normal(0.03, 1.0), stats.norm.cdf),
        lambda: has_frequencies(one_hot(torch.tensor([0.21, 0.29, 0.5])), PROBS),
        lambda: has_frequencies(one_hot(PROBS) + one_hot(PROBS), PROBS),
    ],
)
def test_a_fault_is_red(compare: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        compare()


@pytest.mark.parametrize(
    "compare",
    [
        lambda: agrees(normal(1.0, 10.0), 1.0),  # a standard error of 2%: 3% would hide
        lambda: has_variance(normal(0.0, 1.0)[:1000], 1.0),
        lambda: has_law(normal(0.0, 1.0)[:1000], stats.norm.cdf),
        lambda: has_frequencies(one_hot(PROBS)[:40], PROBS),
    ],
)
def test_too_few_samples_are_refused(compare: Callable[[], None]) -> None:
    with pytest.raises(AssertionError, match="too few samples"):
        compare()


def test_each_comparison_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistical, "made", Counter())
    test_what_is_right_is_green()
    assert statistical.made == {"means": 1 + 6 + 1, "laws": 2}


def test_false_alarms_are_as_rare_as_stated() -> None:
    assert 2 * stats.norm.sf(SIGMAS) == pytest.approx(5.7e-7, rel=0.01)
    assert alarms_expected(Counter(means=1000, laws=2000)) == pytest.approx(1000 * 5.73e-7 + 2000 * LEVEL, rel=0.01)

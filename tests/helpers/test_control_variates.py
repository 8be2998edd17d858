"""helpers.estimators.control_variates and helpers.estimators.surrogate: the same mean, less variance."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import distributions as td

from helpers.estimators import Estimator, Gradients, Pathwise, ScoreFunction
from helpers.estimators.control_variates import ControlVariate, LeaveOneOut, best_baseline, quadratic, values_and_scores
from helpers.estimators.surrogate import dice
from helpers.reparametrize import normal
from tests.support.statistical import agrees, generator, has_variance, square

M, S = 0.5, 1.0
NORMAL = {"loc": M, "scale": S}
VALUES = torch.tensor([2.0, 7.0], dtype=torch.float64)


def one(z: Tensor) -> Tensor:
    return torch.ones(len(z), dtype=z.dtype)


def no_slope(**params: Tensor) -> float:
    return 1.0


def value_of_bit(b: Tensor) -> Tensor:
    return VALUES[b.long()]


def bernoulli_at(outcomes: Tensor) -> type[td.Distribution]:
    """Bernoulli whose draws are these."""
    return type("BernoulliAt", (td.Bernoulli,), {"sample": lambda self, shape=(): outcomes})


def probability(b: Tensor, p: float) -> Tensor:
    return torch.where(b > 0, p, 1 - p).prod(-1)


# leave-one-out --------------------------------------------------------------------------------------------------------


def exact_moments_of_leave_one_out(p: float, k: int) -> tuple[float, float]:
    outcomes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=k)), dtype=torch.float64)
    estimator = LeaveOneOut(bernoulli_at(outcomes.flatten()), k)
    groups = estimator(value_of_bit, {"probs": torch.tensor(p, dtype=torch.float64)}, 2**k)["probs"]
    weights = probability(outcomes, p)
    mean = (weights * groups).sum()
    return mean.item(), (weights * (groups - mean) ** 2).sum().item()


@pytest.mark.parametrize("k", [2, 3, 6])
def test_leave_one_out_is_exact_over_all_outcomes(k: int) -> None:
    mean, variance = exact_moments_of_leave_one_out(0.25, k)
    assert mean == pytest.approx(5)
    # of one pair 5/3 (f(1) - f(0))^2; of k, the U-statistic with the kernel (f - f') (s - s') / 2
    first, second = (1 / (4 * 0.1875) - 1) * 25, 25 * (0.5 / 0.1875 - 1)
    assert second == pytest.approx(25 * 5 / 3)
    assert variance == pytest.approx((2 * (k - 2) * first + second) / (k * (k - 1) / 2))


def test_leave_one_out_on_a_normal() -> None:
    gradients = LeaveOneOut(td.Normal, 4)(square, NORMAL, 1_000_000, generator())
    agrees(gradients["loc"], 2 * M)
    agrees(gradients["scale"], 2 * S)
    # of the kernel (f - f') (s - s') / 2 = d^2 t / (2 s^2), d and t the difference and the sum of the pair
    first, second = 2 * M**2 + 2.5 * S**2, 8 * M**2 + 6 * S**2
    has_variance(gradients["loc"], (2 * 2 * first + second) / 6)


def test_leave_one_out_groups_are_independent() -> None:
    groups = LeaveOneOut(td.Normal, 2)(square, NORMAL, 500_000, generator())["loc"].double()
    # neighbours that shared a draw would correlate by about a half; 0.01 is 7 standard errors
    assert abs(np.corrcoef(groups[1:], groups[:-1])[0, 1]) < 0.01


def test_leave_one_out_on_a_vector_of_categorical_logits() -> None:
    logits = torch.tensor([0.3, -0.4, 0.1])
    worth = torch.tensor([3.0, -2.0, 4.0])
    probs = logits.softmax(0)
    gradients = LeaveOneOut(td.Categorical, 3)(lambda z: worth[z], {"logits": logits}, 400_000, generator())["logits"]
    agrees(gradients, probs * (worth - probs @ worth))


# the best constant baseline -------------------------------------------------------------------------------------------


def test_the_best_baseline_of_a_bernoulli_swaps_the_values() -> None:
    quarter = bernoulli_at(torch.tensor([1.0, 0, 0, 0], dtype=torch.float64))  # exact frequencies
    found = best_baseline(quarter, value_of_bit, {"probs": torch.tensor(0.25, dtype=torch.float64)}, 4)
    assert found["probs"].item() == pytest.approx(0.75 * 7 + 0.25 * 2)


def test_the_best_baselines_of_a_normal() -> None:
    found = best_baseline(td.Normal, square, NORMAL, 4_000_000, generator())
    assert found["loc"].item() == pytest.approx(M**2 + 3 * S**2, rel=0.01)  # 8 standard errors
    assert found["scale"].item() == pytest.approx(M**2 + 5 * S**2, rel=0.03)


def test_values_and_scores_belong_to_the_same_draws() -> None:
    values, scores = values_and_scores(td.Normal, lambda z: z, NORMAL, 1000, generator())
    torch.testing.assert_close(scores["loc"], (values - M) / S**2)
    torch.testing.assert_close(scores["scale"], ((values - M) ** 2 / S**2 - 1) / S)


# control variates -----------------------------------------------------------------------------------------------------


def test_the_constant_control_variate_is_the_best_baseline() -> None:
    estimator = ControlVariate(ScoreFunction(td.Normal), one, no_slope)
    gradients = estimator(square, NORMAL, 3_000_000, generator())
    agrees(gradients["loc"], 2 * M)
    agrees(gradients["scale"], 2 * S)
    has_variance(gradients["loc"], 8 * M**2 + 6 * S**2)
    has_variance(gradients["scale"], 40 * M**2 + 24 * S**2, fault=0.15)


def test_the_constant_control_variate_of_a_bernoulli_leaves_no_variance() -> None:
    params = {"probs": torch.tensor(0.25, dtype=torch.float64)}
    gradients = ControlVariate(ScoreFunction(td.Bernoulli), one, no_slope)(value_of_bit, params, 1000, generator())
    torch.testing.assert_close(gradients["probs"], torch.full((1000,), 5.0, dtype=torch.float64))


class Given(Estimator):
    """An estimator that returns what it was given: `of_f`, or `of_h` for an f that is 1 everywhere, as `one` is."""

    def __init__(self, of_f: Tensor, of_h: Tensor) -> None:
        self.of_f, self.of_h = of_f, of_h

    def noise(self, params: Any, n: int, generator: Any) -> Tensor:
        return torch.full((n,), 2.0)

    def gradients(self, f: Any, noise: Tensor, params: Any) -> Gradients:
        return {"x": self.of_h if (f(noise) == 1).all() else self.of_f}

    def samples(self, noise: Tensor, params: Any) -> Tensor:
        return noise


def test_each_half_uses_the_coefficient_of_the_other() -> None:
    of_f = torch.randn(11, 2, generator=generator(), dtype=torch.float64)
    of_h = torch.randn(11, 2, generator=generator(1), dtype=torch.float64)
    params = {"x": torch.tensor([1.0, 2.0], dtype=torch.float64)}
    estimator = ControlVariate(Given(of_f, of_h), one, lambda x: (x**3).sum())
    found = estimator(square, params, 11, generator())["x"]
    excess = of_h - torch.tensor([3.0, 12.0], dtype=torch.float64)
    for column in range(2):
        x, y = excess[:, column].numpy(), of_f[:, column].numpy()
        first, second = (np.polyfit(x[part], y[part], 1)[0] for part in (slice(5), slice(5, None)))
        expected = y - np.where(np.arange(11) < 5, second, first) * x
        np.testing.assert_allclose(found[:, column].numpy(), expected)


def test_a_given_coefficient_is_used() -> None:
    of_f, of_h = torch.tensor([1.0, 2.0]), torch.tensor([5.0, 7.0])
    found = ControlVariate(Given(of_f, of_h), one, lambda x: 4 * x, 0.5)(square, {"x": 1.0}, 2, generator())
    torch.testing.assert_close(found["x"], torch.tensor([0.5, 0.5]))


def test_the_delta_method_leaves_no_variance_on_a_quadratic() -> None:
    params = {name: torch.tensor(value, dtype=torch.float64) for name, value in NORMAL.items()}
    h, expected = quadratic(square, params["loc"])
    estimator = ControlVariate(ScoreFunction(td.Normal), h, lambda loc, scale: expected(loc, scale**2), 1.0)
    gradients = estimator(square, params, 100, generator())
    torch.testing.assert_close(gradients["loc"], torch.full((100,), 2 * M, dtype=torch.float64))
    torch.testing.assert_close(gradients["scale"], torch.full((100,), 2 * S, dtype=torch.float64))


@pytest.mark.parametrize(
    "estimator",
    [ScoreFunction(td.Normal), Pathwise(lambda loc, scale, generator: normal(loc, scale, generator=generator))],
)
def test_the_delta_method_on_the_exponential(estimator: Any) -> None:
    params, sigma = {"loc": M, "scale": 0.5}, 0.5
    h, expected = quadratic(torch.exp, torch.tensor(M))
    reduced = ControlVariate(estimator, h, lambda loc, scale: expected(loc, scale**2))
    plain, found = (e(torch.exp, params, 600_000, generator()) for e in (estimator, reduced))
    for name, exact in (("loc", math.exp(M + sigma**2 / 2)), ("scale", sigma * math.exp(M + sigma**2 / 2))):
        agrees(found[name], exact)
        assert found[name].var() < plain[name].var() / 5


def test_the_quadratic_of_a_function_of_two_variables() -> None:
    slope = torch.tensor([0.5, -1.0], dtype=torch.float64)
    point = torch.tensor([0.2, 0.1], dtype=torch.float64)
    h, expected = quadratic(lambda z: torch.exp(z @ slope), point)
    z = point + torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]], dtype=torch.float64)
    t = (z - point) @ slope
    torch.testing.assert_close(h(z), torch.exp(point @ slope) * (1 + t + t**2 / 2))
    mean, variance = point + 0.3, torch.tensor([0.4, 0.9], dtype=torch.float64)
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(5))
    grid = mean + torch.cartesian_prod(nodes, nodes) * variance.sqrt()
    exact = (torch.cartesian_prod(weights, weights).prod(1) * h(grid)).sum() / weights.sum() ** 2
    torch.testing.assert_close(expected(mean, variance), exact)


# DiCE -----------------------------------------------------------------------------------------------------------------


def test_dice_has_the_derivatives_of_every_order() -> None:
    logits = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    outcomes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
    log_density = td.Bernoulli(logits=logits).log_prob(outcomes).sum(1)
    f = (outcomes @ torch.tensor([1.0, 3.0], dtype=torch.float64) - 0.4) ** 2 + logits[0] ** 3  # phi in f as well
    weights = log_density.exp()
    exact, found = (weights * f).sum(), (weights.detach() * dice(f, log_density)).sum()
    assert found.item() == pytest.approx(exact.item())
    for _ in range(3):
        exact, found = (torch.autograd.grad(y, logits, create_graph=True)[0] for y in (exact, found))
        torch.testing.assert_close(found, exact)
        exact, found = exact @ torch.tensor([1.0, 2.0]).double(), found @ torch.tensor([1.0, 2.0]).double()


# bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LeaveOneOut(td.Normal, 1), ValueError, "k must be >= 2, got 1"),
        (lambda: LeaveOneOut("Normal"), TypeError, "distribution must be a class"),
        (lambda: ControlVariate(ScoreFunction(td.Normal), 3, no_slope), TypeError, "h must be a function, got 3"),
        (lambda: ControlVariate(ScoreFunction(td.Normal), one, no_slope, float("nan")), ValueError, "coefficient must"),
        (
            lambda: ControlVariate(ScoreFunction(td.Normal), one, no_slope)(square, NORMAL, 3),
            ValueError,
            "n, or chunk_size if it is smaller, must be >= 4, got 3",
        ),
        (
            lambda: ControlVariate(ScoreFunction(td.Normal), one, lambda loc, scale: loc.expand(2))(square, NORMAL, 9),
            ValueError,
            r"expectation must return one number, got shape \(2,\)",
        ),
        (lambda: quadratic(square, float("inf")), ValueError, "point must be finite"),
        (lambda: dice(torch.ones(3), torch.ones(2)), ValueError, r"log_density must have shape \(3,\), got \(2,\)"),
        (lambda: dice(1.0, torch.ones(2)), TypeError, "values must be a tensor"),
    ],
)
def test_bad_input_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

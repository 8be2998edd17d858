"""helpers.estimators.better_samples: antithetic pairs and quasi-Monte-Carlo replicates under any estimator."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td

from helpers import Estimate, reparametrize
from helpers.estimators import Pathwise, ScoreFunction
from helpers.estimators.base import WithParams
from helpers.estimators.better_samples import Antithetic, QuasiMonteCarlo
from helpers.estimators.binary import DisARM
from helpers.estimators.control_variates import ControlVariate
from helpers.estimators.measure_valued import MeasureValued
from helpers.implicit import rsample
from tests.support.statistical import agrees, generator, has_law, has_variance, square, sum_of_squares

M, S = 0.5, 0.7  # not 1: sigma^2 for sigma must show
NORMAL, LOC_SCALE = {"mu": M, "sigma": S}, {"loc": M, "scale": S}


def draws_under(wrapper: Callable, estimator: Any, params: dict[str, Any], n: int) -> Tensor:
    """The samples that f sees."""
    seen = []
    wrapper(estimator)(lambda z: seen.append(z.detach()) or z.reshape(len(z), -1).sum(1), params, n, generator())
    return seen[0]


LAWS = {
    "Normal": (ScoreFunction(td.Normal), LOC_SCALE, stats.norm(M, S).cdf),
    "Exponential": (ScoreFunction(td.Exponential), {"rate": 2.0}, stats.expon(scale=0.5).cdf),
    "Laplace": (ScoreFunction(td.Laplace), LOC_SCALE, stats.laplace(M, S).cdf),
    "Gumbel": (ScoreFunction(td.Gumbel), LOC_SCALE, stats.gumbel_r(M, S).cdf),
    "normal": (Pathwise(reparametrize.normal), NORMAL, stats.norm(M, S).cdf),
    "exponential": (Pathwise(reparametrize.exponential), {"rate": 2.0}, stats.expon(scale=0.5).cdf),
    "binary_concrete": (
        Pathwise(partial(reparametrize.binary_concrete, temperature=1.0)),
        {"p": 0.5},
        stats.uniform.cdf,
    ),
    "Independent": (ScoreFunction(lambda loc: td.Independent(td.Normal(loc, S), 0)), {"loc": M}, stats.norm(M, S).cdf),
    "ControlVariate": (
        ControlVariate(ScoreFunction(td.Normal), square, lambda loc, scale: loc**2 + scale**2, 1.0),
        LOC_SCALE,
        stats.norm(M, S).cdf,
    ),
    "MultivariateNormal": (
        ScoreFunction(td.MultivariateNormal),
        {"loc": torch.tensor([M]), "scale_tril": torch.tensor([[S]])},
        stats.norm(M, S).cdf,
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_antithetic_draws_have_their_law_and_mirror_each_other(name: str) -> None:
    estimator, params, cdf = LAWS[name]
    pairs = draws_under(Antithetic, estimator, params, 200_000).double().reshape(-1, 2)
    has_law(pairs[:, 0], cdf)
    u = cdf(pairs.numpy())
    np.testing.assert_allclose(u.sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("name", LAWS)
def test_each_quasi_monte_carlo_point_has_the_law(name: str) -> None:
    estimator, params, cdf = LAWS[name]
    points = draws_under(partial(QuasiMonteCarlo, m=8), estimator, params, 200_000).reshape(-1, 8)
    has_law(points[:, 0], cdf)
    has_law(points[:, 5], cdf)
    # a net: each eighth of the probability holds one point of the eight
    cells = np.floor(cdf(points[:1000].double().numpy()) * 8 - 1e-5).clip(0)
    assert (np.sort(cells, 1) == np.arange(8)).mean() > 0.99


def test_antithetic_bernoulli_draws_mirror_each_other() -> None:
    pairs = draws_under(Antithetic, ScoreFunction(td.Bernoulli), {"probs": 0.25}, 500_000).reshape(-1, 2)
    agrees(pairs[:, 0], 0.25)
    agrees(pairs[:, 1], 0.25)
    assert (pairs.sum(1) <= 1).all()


def test_variance_of_antithetic_pairs() -> None:
    gradients = Antithetic(Pathwise(reparametrize.normal))(square, NORMAL, 1_000_000, generator())
    torch.testing.assert_close(gradients["mu"], torch.full((1_000_000,), 2 * M))
    agrees(gradients["sigma"], 2 * S)
    has_variance(gradients["sigma"], 8 * S**2)
    bits = Antithetic(ScoreFunction(td.Bernoulli))(square, {"probs": 0.25}, 500_000, generator())["probs"]
    agrees(bits, 1.0)
    has_variance(bits, 1.0)  # b = 1 in one of the two (probability 1/2): 2, else 0


def test_antithetic_score_function_on_a_normal() -> None:
    gradients = Antithetic(ScoreFunction(td.Normal))(square, LOC_SCALE, 2_600_000, generator())
    agrees(gradients["loc"], 2 * M)
    agrees(gradients["scale"], 2 * S)
    # (z^2 eps / s averaged over ±eps) = 2 m eps^2
    has_variance(gradients["loc"], 8 * M**2)


@pytest.mark.parametrize(
    ("estimator", "names"),
    [(Pathwise(reparametrize.normal), ("mu", "sigma")), (ScoreFunction(td.Normal), ("loc", "scale"))],
)
def test_quasi_monte_carlo_has_the_mean_and_far_less_variance(estimator: Any, names: tuple[str, str]) -> None:
    params = dict(zip(names, (M, S), strict=True))
    replicates = QuasiMonteCarlo(estimator, 64)(square, params, 20_000, generator())
    single = estimator(square, params, 200_000, generator(1))
    for name, exact in zip(names, (2 * M, 2 * S), strict=True):
        agrees(replicates[name], exact)
        assert replicates[name].var() < single[name].var() / 64 / 2


def test_quasi_monte_carlo_fills_several_dimensions() -> None:
    mu = torch.tensor([1.0, -2.0, 0.5])
    f = lambda z: z[:, 0] * z[:, 1] + z[:, 1] * z[:, 2] ** 2  # noqa: E731
    gradients = QuasiMonteCarlo(Pathwise(reparametrize.normal), 32)(f, {"mu": mu, "sigma": 0.5}, 50_000, generator())
    agrees(gradients["mu"], [-2.0, 1 + 0.25 + 0.25, -2.0])
    agrees(gradients["sigma"], -2 * 2 * 0.5)


def test_the_standard_error_of_replicates_is_honest() -> None:
    estimator, source = QuasiMonteCarlo(Pathwise(reparametrize.normal), 16), generator()
    squares, claimed = [], []
    for _ in range(2000):
        samples = estimator(torch.exp, NORMAL, 25, source)["mu"].double()
        squares.append((samples.mean() - np.exp(M + S**2 / 2)) ** 2)
        claimed.append(samples.var() / 25)
    scale = torch.stack(claimed).mean()
    excess = Estimate.from_samples((torch.stack(squares) - torch.stack(claimed)) / scale)
    assert excess.standard_error < 0.07  # so a standard error that is 20% too large or too small would be seen
    assert abs(excess.mean) < 5 * excess.standard_error


@pytest.mark.parametrize("wrapper", [Antithetic, partial(QuasiMonteCarlo, m=4)])
def test_draws_come_from_the_generator_alone(wrapper: Callable) -> None:
    estimator = wrapper(Pathwise(reparametrize.normal))
    before = torch.get_rng_state()
    first, again, other = (estimator(square, NORMAL, 10, generator(i))["sigma"] for i in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(1)
    from_global = estimator(square, NORMAL, 10)["sigma"]
    torch.manual_seed(1)
    assert torch.equal(from_global, estimator(square, NORMAL, 10)["sigma"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("end", [2.0**-54, 1 - 2.0**-53])
@pytest.mark.parametrize("name", LAWS)
def test_nothing_overflows_at_the_ends_of_the_noise(name: str, end: float, dtype: torch.dtype) -> None:
    estimator, params, _ = LAWS[name]
    params = {name: torch.as_tensor(value, dtype=dtype) for name, value in params.items()}
    kind, shape = estimator.standard_noise(params)
    eps = kind.inverse_cdf(torch.full((3, *shape), end, dtype=torch.float64), dtype)
    gradients = estimator.gradients(sum_of_squares, estimator.noise_from(eps, params), params)
    for gradient in gradients.values():
        assert gradient.isfinite().all()
        assert gradient.dtype == dtype


@pytest.mark.parametrize("wrapper", [Antithetic, partial(QuasiMonteCarlo, m=4)])
def test_an_f_that_draws_keeps_its_own_generator(wrapper: Callable) -> None:
    own, seen = generator(1), []

    def noisy(z: Tensor) -> Tensor:
        seen.append(torch.rand(len(z), generator=own))
        return square(z) + seen[-1]

    wrapper(ScoreFunction(td.Normal))(noisy, LOC_SCALE, 10, generator())
    assert seen[0].equal(torch.rand(len(seen[0]), generator=generator(1)))


@pytest.mark.parametrize("wrapper", [Antithetic, partial(QuasiMonteCarlo, m=2)])
def test_groups_of_binary_variables(wrapper: Callable) -> None:
    logits = torch.tensor([0.3, -1.0])
    found = wrapper(DisARM())(lambda b: b @ torch.tensor([3.0, -2.0]), {"logits": logits}, 500_000, generator())
    p = torch.sigmoid(logits)
    agrees(found["logits"], p * (1 - p) * torch.tensor([3.0, -2.0]))


@pytest.mark.parametrize("wrapper", [Antithetic, partial(QuasiMonteCarlo, m=4)])
def test_an_objective_of_the_parameters_in_groups(wrapper: Callable) -> None:
    f = WithParams(lambda z, params: z**2 * params["mu"])
    found = wrapper(Pathwise(reparametrize.normal))(f, NORMAL, 500_000, generator())
    agrees(found["mu"], 2 * M**2 + M**2 + S**2)
    agrees(found["sigma"], 2 * S * M)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Antithetic(3), TypeError, "estimator must be an estimator of helpers.estimators, got 3"),
        (lambda: QuasiMonteCarlo(ScoreFunction(td.Normal), 12), ValueError, "m must be a power of 2 .* got 12"),
        (lambda: QuasiMonteCarlo(ScoreFunction(td.Normal), 0), ValueError, "m must be >= 1, got 0"),
        *(
            (partial(Antithetic(estimator), square, params, 5), ValueError, "whose inverse CDF is known, got " + name)
            for estimator, params, name in (
                (ScoreFunction(td.Poisson), {"rate": 1.0}, "ScoreFunction"),
                (Pathwise(partial(rsample, td.Gamma)), {"concentration": 1.0, "rate": 1.0}, "Pathwise"),
                (MeasureValued(td.Normal), LOC_SCALE, "MeasureValued"),
                (Pathwise(lambda mu, generator: mu + torch.randn(mu.shape)), {"mu": 1.0}, "Pathwise"),
            )
        ),
    ],
)
def test_bad_input_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()

"""helpers.implicit: laws, gradients against finite differences of the quantile function and against torch's own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats
from torch import Tensor
from torch import distributions as td

from helpers.estimators import Pathwise
from helpers.implicit import implicit, normal_mixture, rsample, truncated_normal, von_mises
from tests.support.statistical import agrees, generator, has_law, square

Params = dict[str, Any]


def truncnorm(mu: float, sigma: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - mu) / sigma, (high - mu) / sigma, loc=mu, scale=sigma)


class Mixture:
    """What scipy lacks: the mixture's distribution and quantile functions."""

    def __init__(self, weights: Any, mu: Any, sigma: Any) -> None:
        self.weights, self.mu, self.sigma = (np.asarray(a, dtype=float) for a in (weights, mu, sigma))
        self.weights = self.weights / self.weights.sum()

    def cdf(self, x: Any) -> np.ndarray:
        return (self.weights * stats.norm.cdf((np.asarray(x)[..., None] - self.mu) / self.sigma)).sum(-1)

    def ppf(self, u: np.ndarray) -> np.ndarray:
        return np.array([optimize.brentq(lambda x, q=q: self.cdf(x) - q, -40, 40, xtol=1e-14) for q in u])


class OffsetVonMises:
    """scipy's, on [loc - pi, loc + pi], with a quantile function to full precision."""

    def __init__(self, loc: float, concentration: float) -> None:
        self.loc, self.law = loc, stats.vonmises(concentration)

    def cdf(self, x: Any) -> np.ndarray:
        return self.law.cdf(np.asarray(x) - self.loc)

    def ppf(self, u: np.ndarray) -> np.ndarray:
        ends = (-np.pi, np.pi)
        return self.loc + np.array([optimize.brentq(lambda x, q=q: self.law.cdf(x) - q, *ends, xtol=1e-14) for q in u])


WEIGHTS, MEANS, SIGMAS = [0.2, 0.3, 0.5], [-1.0, 0.0, 2.0], [0.5, 1.0, 0.7]
MIXTURE = {"weights": torch.tensor(WEIGHTS), "mu": torch.tensor(MEANS), "sigma": torch.tensor(SIGMAS)}
SAMPLERS: dict[str, tuple[Callable[..., Tensor], Params, Callable[..., Any]]] = {
    "truncated normal": (truncated_normal, {"mu": 0.3, "sigma": 0.7, "low": -1.0, "high": 0.8}, truncnorm),
    "right tail": (truncated_normal, {"mu": 0.0, "sigma": 1.0, "low": 4.0, "high": 6.0}, truncnorm),
    "left tail": (truncated_normal, {"mu": 0.0, "sigma": 2.0, "low": -14.0, "high": -10.0}, truncnorm),
    "mixture": (normal_mixture, MIXTURE, Mixture),
    "von Mises, flat": (von_mises, {"loc": 0.5, "concentration": 0.1}, OffsetVonMises),
    "von Mises": (von_mises, {"loc": -2.5, "concentration": 2.0}, OffsetVonMises),
    "von Mises, sharp": (von_mises, {"loc": 1.0, "concentration": 40.0}, OffsetVonMises),
    "Gamma": (
        partial(rsample, td.Gamma),
        {"concentration": 2.5, "rate": 1.5},
        lambda concentration, rate: stats.gamma(concentration, scale=1 / rate),
    ),
    "Beta": (
        partial(rsample, td.Beta),
        {"concentration1": 2.0, "concentration0": 3.0},
        lambda concentration1, concentration0: stats.beta(concentration1, concentration0),
    ),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_have_their_law(name: str) -> None:
    sampler, params, law = SAMPLERS[name]
    z = sampler(**params, sample_shape=(200_000,), generator=generator())
    assert z.dtype == torch.float32
    has_law(z, law(**params).cdf)


@pytest.mark.parametrize("name", SAMPLERS)
def test_gradients_are_finite_differences_of_the_quantile_function(name: str) -> None:
    sampler, params, law = SAMPLERS[name]
    # from one leaf a draw, so that each draw shows its own derivative
    leaves = {
        k: torch.as_tensor(v, dtype=torch.float64).expand(40, *torch.as_tensor(v).shape) for k, v in params.items()
    }
    leaves = {k: v.clone().requires_grad_() for k, v in leaves.items()}
    z = sampler(**leaves, generator=generator())
    gradients = dict(zip(leaves, torch.autograd.grad(z.sum(), list(leaves.values())), strict=True))
    at = {k: np.asarray(v, dtype=float) for k, v in params.items()}
    u = law(**at).cdf(z.detach().numpy())
    inside = (u > 1e-3) & (u < 1 - 1e-3)
    assert inside.sum() >= 30
    for parameter, gradient in gradients.items():
        for index in np.ndindex(at[parameter].shape):
            h = np.zeros(at[parameter].shape)
            h[index] = 1e-5
            up, down = (law(**at | {parameter: at[parameter] + e}).ppf(u[inside]) for e in (h, -h))
            found = gradient[(slice(None), *index)].numpy()[inside]
            # torch's own Beta and Gamma derivatives are series with an error of about 1e-3
            close = {"rtol": 3e-3, "atol": 1e-3} if name in ("Gamma", "Beta") else {"rtol": 1e-5, "atol": 1e-6}
            np.testing.assert_allclose(found, (up - down) / 2e-5, **close)


def central(mean: Callable[..., float], params: Params, name: str) -> float:
    up, down = (mean(**params | {name: params[name] + h}) for h in (1e-5, -1e-5))
    return (up - down) / 2e-5


def test_mean_of_the_truncated_normal() -> None:
    _, params, _ = SAMPLERS["truncated normal"]
    gradients = Pathwise(truncated_normal)(lambda z: z, params, 600_000, generator())
    for parameter, samples in gradients.items():
        agrees(samples, central(lambda **p: truncnorm(**p).mean(), params, parameter))


def test_mean_of_the_mixture() -> None:
    gradients = Pathwise(normal_mixture)(square, MIXTURE, 500_000, generator())
    w, m, s = map(np.array, (WEIGHTS, MEANS, SIGMAS))
    agrees(gradients["weights"], m**2 + s**2 - w @ (m**2 + s**2))
    agrees(gradients["mu"], 2 * w * m)
    agrees(gradients["sigma"], 2 * w * s, fault=0.08)


def test_mean_of_the_von_mises() -> None:
    loc, kappa = 0.75, 2.0
    gradients = Pathwise(von_mises)(torch.cos, {"loc": loc, "concentration": kappa}, 300_000, generator())
    a = special.ive(1, kappa) / special.ive(0, kappa)
    agrees(gradients["loc"], -np.sin(loc) * a)
    agrees(gradients["concentration"], np.cos(loc) * (1 - a / kappa - a * a))


def test_mean_of_torchs_own() -> None:
    gamma = Pathwise(partial(rsample, td.Gamma))(square, {"concentration": 2.5, "rate": 1.5}, 500_000, generator())
    agrees(gamma["concentration"], 6 / 2.25)
    agrees(gamma["rate"], -2 * 8.75 / 1.5**3)
    concentration = torch.tensor([1.0, 2.0, 3.0])
    f = lambda z: z @ torch.tensor([3.0, -2.0, 4.0])  # noqa: E731
    found = Pathwise(partial(rsample, td.Dirichlet))(f, {"concentration": concentration}, 500_000, generator())
    agrees(found["concentration"], (np.array([3.0, -2.0, 4.0]) - 11 / 6) / 6)


def beta_quantile(z: np.ndarray, u: np.ndarray, a: float, b: float) -> np.ndarray:
    """The derivative of the inverse CDF with respect to a, at fixed u."""
    h = 1e-5 * a
    return (special.betaincinv(a + h, b, u) - special.betaincinv(a - h, b, u)) / (2 * h)


@pytest.mark.parametrize(
    ("a", "b"), [(0.01, 0.01), (0.01, 1.0), (0.3, 1000.0), (1.0, 1000.0), (5.9, 1000.0), (7.0, 1e5), (1e5, 1e5)]
)
def test_beta_derivatives_within_the_limits(a: float, b: float) -> None:
    leaf = torch.full((2000,), a, dtype=torch.float64, requires_grad=True)
    z = rsample(td.Beta, concentration1=leaf, concentration0=torch.full_like(leaf, b), generator=generator())
    (slope,) = torch.autograd.grad(z.sum(), leaf)
    z = z.detach().numpy()
    u = special.betainc(a, b, z)
    inside = (u > 1e-3) & (u < 1 - 1e-3) & (z > 1e-300) & (z < 1 - 1e-12)
    expected = beta_quantile(z, u, a, b)[inside]
    assert inside.sum() > 500
    assert slope.numpy()[inside].mean() == pytest.approx(expected.mean(), rel=3e-3)


@pytest.mark.parametrize("a", [0.01, 0.1, 1.0, 8.0, 100.0, 1e5])
def test_gamma_derivatives_have_three_digits_at_every_concentration(a: float) -> None:
    leaf = torch.full((2000,), a, dtype=torch.float64, requires_grad=True)
    z = rsample(td.Gamma, concentration=leaf, rate=torch.ones_like(leaf), generator=generator())
    (slope,) = torch.autograd.grad(z.sum(), leaf)
    z = z.detach().numpy()
    u = special.gammainc(a, z)
    inside = (u > 1e-4) & (u < 1 - 1e-4) & (z > 1e-250)
    h = 1e-5 * a
    expected = (special.gammaincinv(a + h, u) - special.gammaincinv(a - h, u)) / (2 * h)
    assert inside.sum() > 1500
    np.testing.assert_allclose(slope.numpy()[inside], expected[inside], rtol=1.5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_logarithm_of_a_small_gamma_variable_is_right_or_refused(dtype: torch.dtype) -> None:
    for a in (0.03, 0.1, 0.3, 2.0):
        leaf = torch.full((200_000,), a, dtype=dtype)
        call = partial(Pathwise(partial(rsample, td.Gamma, rate=1.0)), torch.log, {"concentration": leaf[0]})
        if dtype == torch.float32 and a < 0.2:
            with pytest.raises(ValueError, match="f must return finite numbers"):
                call(200_000, generator())
        else:
            agrees(call(200_000, generator())["concentration"], special.polygamma(1, a), fault=0.2)


def test_a_function_may_return_the_distribution() -> None:
    found = rsample(lambda a: td.Gamma(a, 2.0), a=0.3, sample_shape=(50,), generator=generator())
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, rsample(td.Gamma, concentration=0.3, rate=2.0, sample_shape=(50,), generator=generator())
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_second_derivatives_are_refused(name: str) -> None:
    sampler, params, _ = SAMPLERS[name]
    leaves = {k: torch.as_tensor(v).double().requires_grad_() for k, v in params.items()}
    z = sampler(**leaves, sample_shape=(20,), generator=generator())

    def second() -> None:
        first = torch.autograd.grad((z**2).sum(), list(leaves.values()), create_graph=True)
        torch.autograd.grad(sum(g.sum() for g in first), list(leaves.values()))

    with pytest.raises(NotImplementedError, match="first derivatives only"):
        second()


# the wrapper itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "params"),
    [
        (td.Normal, {"loc": 0.4, "scale": 1.3}),
        (td.Exponential, {"rate": 2.0}),
        (td.Laplace, {"loc": 0.4, "scale": 1.3}),
        (td.Gumbel, {"loc": 0.4, "scale": 1.3}),
    ],
)
def test_implicit_gradients_are_those_of_torchs_rsample(law: type[td.Distribution], params: Params) -> None:
    leaves = [torch.full((100,), value, dtype=torch.float64, requires_grad=True) for value in params.values()]
    explicit = rsample(law, **dict(zip(params, leaves, strict=True)), generator=generator())
    wrapped = implicit(explicit, lambda z, *p: law(*p, validate_args=False).cdf(z), *leaves)
    assert torch.equal(wrapped, explicit)
    for found, expected in zip(*(torch.autograd.grad(z.sum(), leaves) for z in (wrapped, explicit)), strict=True):
        torch.testing.assert_close(found, expected)


def test_implicit_ignores_how_the_draw_was_made() -> None:
    mu = torch.tensor([0.0, 1.0], requires_grad=True)
    z = implicit(5 * mu, lambda z, mu: torch.sigmoid(z - mu), mu)
    torch.testing.assert_close(torch.autograd.grad(z.sum(), mu)[0], torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("sampler", "params"),
    [
        (truncated_normal, {"mu": 0.0, "sigma": 1.0, "low": 36.0, "high": 1e6}),
        (truncated_normal, {"mu": 0.0, "sigma": 1.0, "low": -1e6, "high": 1e6}),
        (truncated_normal, {"mu": 0.0, "sigma": 1.0, "low": -40.0, "high": -36.9}),
        (truncated_normal, {"mu": 1.0, "sigma": 1e3, "low": 1.0, "high": 1.5}),
        (normal_mixture, {"weights": [1e-6, 1 - 1e-6], "mu": [-30.0, 30.0], "sigma": [1e-3, 10.0]}),
        (von_mises, {"loc": 3.0, "concentration": 1e-8}),
        (von_mises, {"loc": 3.0, "concentration": 1e7}),
    ],
)
def test_extreme_parameters_stay_finite(sampler: Callable[..., Tensor], params: Params, dtype: torch.dtype) -> None:
    params = {name: torch.tensor(value, dtype=dtype) for name, value in params.items()}
    for gradient in Pathwise(sampler)(lambda z: z, params, 20_000, generator()).values():
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_sample_shape_comes_first(name: str) -> None:
    sampler, params, _ = SAMPLERS[name]
    event = 1 if name == "mixture" else 0
    stacked = {k: torch.as_tensor(v).expand(4, *torch.as_tensor(v).shape) for k, v in params.items()}
    z = sampler(**stacked, sample_shape=(2, 3), generator=generator())
    assert z.shape == (2, 3, 4)
    assert all(v.dim() == 1 + event for v in stacked.values())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: truncated_normal(0.0, -1.0, 0.0, 1.0), ValueError, "sigma must be > 0, got -1"),
        (lambda: truncated_normal(0.0, 1.0, 2.0, 1.0), ValueError, "high - low must be > 0, got -1"),
        (lambda: truncated_normal(0.0, 1.0, 40.0, 50.0), ValueError, "must be < 37, got 40"),
        (lambda: truncated_normal(0.0, 1.0, 0.0, float("inf")), ValueError, "high must be finite"),
        (lambda: normal_mixture(torch.tensor([0.5, 0.6]), 0.0, 1.0), ValueError, "weights must sum to 1"),
        (lambda: normal_mixture(torch.tensor([0.5, 0.5]), 0.0, 0.0), ValueError, "sigma must be > 0, got 0"),
        (lambda: von_mises(0.0, 0.0), ValueError, "concentration must be > 0, got 0"),
        (lambda: von_mises(0.0, 1.0, generator=3), TypeError, "generator must be a torch.Generator or None, got 3"),
        (lambda: rsample(td.Poisson, rate=1.0), TypeError, "distribution must be .* with rsample"),
        (lambda: rsample(td.Gamma, concentration=1.0, rate=-1.0), ValueError, "parameter rate"),
        (
            lambda: rsample(td.Gamma, concentration=1e-3, rate=1.0),
            ValueError,
            "concentration must be >= 0.01.*got 0.001",
        ),
        (lambda: rsample(td.Chi2, df=1e-2), ValueError, "df / 2 must be >= 0.01.*got 0.005"),
        (
            lambda: rsample(td.Beta, concentration1=1.0, concentration0=1e-3),
            ValueError,
            "concentration0 must be >= 0.01",
        ),
        (lambda: rsample(td.Beta, concentration1=1.0, concentration0=1e4), ValueError, "at most 1000.*10000 next to 1"),
        (lambda: rsample(td.Dirichlet, concentration=torch.tensor([1e4, 1e4, 1.0])), ValueError, "20000 next to 1"),
        (lambda: rsample(lambda rate: rate, rate=1.0), TypeError, "with rsample"),
        (lambda: implicit(torch.ones(3), 3), TypeError, "cdf must be a function, got 3"),
        (lambda: implicit(torch.ones(3), lambda z: z.sum()), ValueError, r"cdf must return a tensor of shape \(3,\)"),
        (
            lambda: implicit(torch.ones(3), lambda z: -z),
            ValueError,
            "cdf must increase at every sample, got the slope -1",
        ),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

"""helpers.estimators: per-sample gradients whose mean and variance are what the closed forms say."""

import dataclasses
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Generator, Tensor
from torch import distributions as td

from helpers import reparametrize
from helpers.estimators import Estimator, Pathwise, ScoreFunction
from tests.support.statistical import agrees, generator, has_law, has_variance, square, sum_of_squares

Params = dict[str, Any]
Objective = Callable[[Tensor], Tensor]
VALUES = torch.tensor([3.0, -2.0, 4.0])  # of three classes
PROBS = torch.tensor([0.2, 0.3, 0.5])


def identity(z: Tensor) -> Tensor:
    return z


def value_of_class(z: Tensor) -> Tensor:
    return VALUES[z]


def value_of_one_hot(z: Tensor) -> Tensor:
    return z @ VALUES


def quantile_of_logistic(eps: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    return location + scale * torch.logit(eps)


# means ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "params", "f", "exact"),
    [
        (reparametrize.normal, {"mu": 12.0, "sigma": 42.0}, square, {"mu": 24, "sigma": 84}),
        (
            reparametrize.normal,
            {"mu": 1.0, "sigma": 0.5},
            torch.exp,
            {"mu": np.exp(1.125), "sigma": 0.5 * np.exp(1.125)},
        ),
        (reparametrize.exponential, {"rate": 2.0}, identity, {"rate": -1 / 4}),
        (reparametrize.exponential, {"rate": 2.0}, square, {"rate": -4 / 8}),
        (
            reparametrize.weibull,
            {"scale": 1.5, "concentration": 0.8},
            identity,
            {
                "scale": special.gamma(2.25),
                "concentration": -1.5 * special.gamma(2.25) * special.digamma(2.25) / 0.64,
            },
        ),
        (
            partial(reparametrize.inverse_cdf, quantile_of_logistic),
            {"location": 1.0, "scale": 2.0},
            square,
            {"location": 2.0, "scale": 2 * 2.0 * np.pi**2 / 3},
        ),
        (reparametrize.bernoulli_straight_through, {"p": 0.25}, square, {"p": 0.5}),
        (reparametrize.bernoulli_straight_through, {"p": 0.25}, lambda y: y**4, {"p": 1.0}),
    ],
)
def test_pathwise_has_the_mean_of_its_closed_form(
    sampler: Callable[..., Tensor], params: Params, f: Objective, exact: dict[str, float]
) -> None:
    gradients = Pathwise(sampler)(f, params, 2_000_000, generator())
    assert gradients.keys() == params.keys()
    for name, samples in gradients.items():
        assert samples.shape == (2_000_000,)
        agrees(samples, exact[name])


SCORES: dict[str, tuple[type[td.Distribution], Params, Objective, float | None, Params]] = {
    "Normal": (td.Normal, {"loc": 1.0, "scale": 1.0}, square, 6.0, {"loc": 2, "scale": 2}),
    "Bernoulli": (td.Bernoulli, {"probs": 0.25}, square, None, {"probs": 1}),
    "Bernoulli, mean baseline": (td.Bernoulli, {"probs": 0.25}, square, 0.25, {"probs": 1}),
    "Bernoulli, logits": (
        td.Bernoulli,
        {"logits": 0.7},
        square,
        None,
        {"logits": special.expit(0.7) * special.expit(-0.7)},
    ),
    "Categorical": (td.Categorical, {"probs": PROBS}, value_of_class, 2.0, {"probs": VALUES - 2}),
    "Categorical, logits": (
        td.Categorical,
        {"logits": PROBS.log()},
        value_of_class,
        2.0,
        {"logits": PROBS * (VALUES - 2)},
    ),
    "OneHotCategorical": (td.OneHotCategorical, {"probs": PROBS}, value_of_one_hot, 2.0, {"probs": VALUES - 2}),
    "Exponential": (td.Exponential, {"rate": 2.0}, identity, 0.5, {"rate": -0.25}),
    "Gamma": (
        td.Gamma,
        {"concentration": 2.0, "rate": 1.5},
        identity,
        4 / 3,
        {"concentration": 1 / 1.5, "rate": -2 / 2.25},
    ),
    "Poisson": (td.Poisson, {"rate": 3.0}, identity, 3.0, {"rate": 1}),
    "Beta": (
        td.Beta,
        {"concentration1": 2.0, "concentration0": 3.0},
        identity,
        0.4,
        {"concentration1": 0.12, "concentration0": -0.08},
    ),
    "Dirichlet": (
        td.Dirichlet,
        {"concentration": 10 * PROBS},
        value_of_one_hot,
        2.0,
        {"concentration": (VALUES - 2) / 10},
    ),
    "Laplace": (td.Laplace, {"loc": 0.0, "scale": 1.0}, lambda z: z.abs() + z.sign(), 1.0, {"loc": 1, "scale": 1}),
    # float64: in float32, torch draws u = 1e-38 once in 2^24, and log(u) / log(1 - p) is then 126
    "Geometric": (td.Geometric, {"probs": torch.tensor(0.5, dtype=torch.float64)}, identity, 1.0, {"probs": -4}),
}


@pytest.mark.parametrize("name", SCORES)
def test_score_function_has_the_mean_of_its_closed_form(name: str) -> None:
    distribution, params, f, baseline, exact = SCORES[name]
    n = {"Normal": 4_000_000, "Dirichlet": 400_000}.get(name, 1_300_000)
    gradients = ScoreFunction(distribution, baseline)(f, params, n, generator())
    assert gradients.keys() == params.keys()
    for parameter, samples in gradients.items():
        agrees(samples, exact[parameter])


class AtNodes:
    """Mixed into a distribution: `sample` gives quadrature nodes, so that weighted sums are exact moments."""

    nodes: Tensor

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.nodes


NODES, WEIGHTS = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(40))
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def normal_at_nodes(m: float, s: float) -> type[td.Distribution]:
    return type("NormalAtNodes", (AtNodes, td.Normal), {"nodes": m + s * NODES})


@pytest.mark.parametrize(("m", "s"), [(12.0, 42.0), (1.5, 0.5), (-2.0, 1.0)])
@pytest.mark.parametrize(
    ("baseline", "var_loc", "var_scale"),
    [
        (
            lambda m, s: None,
            lambda m, s: m**4 / s**2 + 14 * m**2 + 15 * s**2,
            lambda m, s: 2 * m**4 / s**2 + 60 * m**2 + 74 * s**2,
        ),
        (lambda m, s: m**2 + s**2, lambda m, s: 8 * m**2 + 10 * s**2, lambda m, s: 40 * m**2 + 56 * s**2),
        (lambda m, s: m**2 + 3 * s**2, lambda m, s: 8 * m**2 + 6 * s**2, None),
        (lambda m, s: m**2 + 5 * s**2, None, lambda m, s: 40 * m**2 + 24 * s**2),
    ],
    ids=["no baseline", "mean", "best for loc", "best for scale"],
)
def test_score_function_has_exact_moments_by_quadrature(
    m: float, s: float, baseline: Callable, var_loc: Callable | None, var_scale: Callable | None
) -> None:
    params = {name: torch.tensor(value, dtype=torch.float64) for name, value in (("loc", m), ("scale", s))}
    estimator = ScoreFunction(normal_at_nodes(m, s), baseline(m, s))
    gradients = estimator(square, params, 40)
    for name, mean, variance in (("loc", 2 * m, var_loc), ("scale", 2 * s, var_scale)):
        g = gradients[name]
        found = (WEIGHTS * g).sum().item()
        assert found == pytest.approx(mean, rel=1e-10)
        if variance is not None:
            assert (WEIGHTS * (g - found) ** 2).sum().item() == pytest.approx(variance(m, s), rel=1e-10)


def test_score_function_of_a_multivariate_normal_is_exact_by_quadrature() -> None:
    loc = torch.tensor([1.0, -1.0], dtype=torch.float64)
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    grid = torch.cartesian_prod(NODES, NODES)
    weights = torch.cartesian_prod(WEIGHTS, WEIGHTS).prod(1)
    nodes = loc + grid @ torch.linalg.cholesky(covariance).T
    q = type("MVNAtNodes", (AtNodes, td.MultivariateNormal), {"nodes": nodes})
    params = {"loc": loc, "covariance_matrix": covariance}
    gradients = ScoreFunction(q)(sum_of_squares, params, len(grid))
    assert gradients["covariance_matrix"].shape == (1600, 2, 2)
    torch.testing.assert_close(weights @ gradients["loc"], 2 * loc)
    mean = torch.einsum("n,nij->ij", weights, gradients["covariance_matrix"])
    torch.testing.assert_close((mean + mean.T) / 2, torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("distribution", "params"),
    [
        (td.MultivariateNormal, {"loc": torch.zeros(5, 2), "covariance_matrix": torch.eye(2)}),
        (td.MultivariateNormal, {"loc": torch.zeros(2), "scale_tril": torch.eye(2).expand(5, 2, 2)}),
        (
            td.LowRankMultivariateNormal,
            {"loc": torch.zeros(3), "cov_factor": torch.ones(3, 2), "cov_diag": torch.ones(3)},
        ),
    ],
)
def test_parameters_whose_event_axes_differ_broadcast_as_the_distribution_does(
    distribution: type[td.Distribution], params: Params
) -> None:
    gradients = ScoreFunction(distribution)(sum_of_squares, params, 10, generator())
    assert {name: g.shape for name, g in gradients.items()} == {name: (10, *p.shape) for name, p in params.items()}


@pytest.mark.parametrize("name", ["Normal", "Exponential", "Gamma", "Beta", "Laplace"])
def test_score_function_draws_from_its_distribution(name: str) -> None:
    distribution, params, _, _, _ = SCORES[name]
    drawn: list[Tensor] = []
    ScoreFunction(distribution)(lambda z: drawn.append(z) or z, params, 200_000, generator())  # type: ignore[func-returns-value]
    exact = distribution(**{k: torch.tensor(v, dtype=torch.float64) for k, v in params.items()})
    if name in ("Gamma", "Beta"):  # torch has no cdf of the Beta law
        a, b = params.values()
        law = stats.gamma(a, scale=1 / b) if name == "Gamma" else stats.beta(a, b)
        has_law(drawn[0], law.cdf)
    else:
        has_law(drawn[0], lambda x: exact.cdf(torch.as_tensor(x)).numpy())


# variances ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "s"), [(12.0, 42.0), (1.5, 0.5)])
def test_variance_of_pathwise_on_the_square_of_a_normal(m: float, s: float) -> None:
    gradients = Pathwise(reparametrize.normal)(square, {"mu": m, "sigma": s}, 500_000, generator())
    has_variance(gradients["mu"], 4 * s**2)
    has_variance(gradients["sigma"], 4 * m**2 + 8 * s**2)


def test_variance_of_the_score_function_on_the_square_of_a_normal() -> None:
    m, s = 1.5, 0.5
    params = {"loc": m, "scale": s}
    gradients = ScoreFunction(td.Normal)(square, params, 2_000_000, generator())
    has_variance(gradients["loc"], m**4 / s**2 + 14 * m**2 + 15 * s**2)
    has_variance(gradients["scale"], 2 * m**4 / s**2 + 60 * m**2 + 74 * s**2)
    gradients = ScoreFunction(td.Normal, m**2 + s**2)(square, params, 2_000_000, generator(1))
    has_variance(gradients["loc"], 8 * m**2 + 10 * s**2)
    has_variance(gradients["scale"], 40 * m**2 + 56 * s**2, fault=0.15)


@pytest.mark.parametrize(("baseline", "variance"), [(None, 3.0), (0.25, 4 / 3)])
def test_variance_of_the_score_function_on_a_bernoulli(baseline: float | None, variance: float) -> None:
    gradients = ScoreFunction(td.Bernoulli, baseline)(square, {"probs": 0.25}, 500_000, generator())
    has_variance(gradients["probs"], variance, fault=0.03)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.9])
def test_the_best_baseline_of_a_bernoulli_leaves_no_variance(p: float) -> None:
    q = {"probs": torch.tensor(p, dtype=torch.float64)}
    f = lambda y: 3 * y + 5  # noqa: E731
    gradients = ScoreFunction(td.Bernoulli, (1 - p) * 8 + p * 5)(f, q, 1000, generator())["probs"]
    torch.testing.assert_close(gradients, torch.full_like(gradients, 3.0))


def test_variance_of_straight_through() -> None:
    gradients = Pathwise(reparametrize.bernoulli_straight_through)(square, {"p": 0.25}, 500_000, generator())
    has_variance(gradients["p"], 4 * 0.25 * 0.75, fault=0.03)


def binary_concrete_moments(p: float, temperature: float) -> tuple[float, float]:
    """Mean and variance of d/dp y^2, by quadrature over the logistic noise l."""
    derivative = 1 / (temperature * p * (1 - p))

    def gradient(noise: float) -> float:
        y = special.expit((special.logit(p) + noise) / temperature)
        return 2 * y * y * (1 - y) * derivative

    def moment(power: int) -> float:
        density = lambda l: special.expit(l) * special.expit(-l)  # noqa: E731, E741
        points = [-special.logit(p) + temperature * k for k in (-9, -3, 0, 3, 9)]
        value, _ = integrate.quad(lambda l: gradient(l) ** power * density(l), -30, 30, points=points, limit=400)  # noqa: E741
        return value

    return moment(1), moment(2) - moment(1) ** 2


@pytest.mark.parametrize(
    ("temperature", "mean", "variance"),
    [
        (0.1, 0.94888, 9.314),
        (1.0, 0.61943, 0.3051),
        (0.5, 0.76870, 1.1078),
        (0.05, 0.97461, 19.934),
        (0.01, 0.99498, 105.23),
    ],
)
def test_binary_concrete_is_as_biased_as_the_quadrature_says(temperature: float, mean: float, variance: float) -> None:
    exact = binary_concrete_moments(0.25, temperature)
    assert exact == pytest.approx((mean, variance), rel=2e-4)
    if temperature >= 0.05:  # below, 0.3% would take 1e7 draws
        sampler = partial(reparametrize.binary_concrete, temperature=temperature)
        n = 3_000_000 if temperature == 0.05 else 1_500_000
        gradients = Pathwise(sampler)(square, {"p": 0.25}, n, generator())["p"]
        agrees(gradients, exact[0])
        has_variance(gradients, exact[1])


def test_two_class_gumbel_softmax_has_the_mean_of_binary_concrete() -> None:
    sampler = partial(reparametrize.gumbel_softmax, temperature=0.5)
    probs = torch.tensor([0.75, 0.25])
    gradients = Pathwise(sampler)(lambda y: y[:, 1] ** 2, {"probs": probs}, 1_000_000, generator())["probs"]
    # moving probability from class 0 to class 1 is d/dp
    agrees(gradients[:, 1] - gradients[:, 0], binary_concrete_moments(0.25, 0.5)[0])


# per-sample gradients -------------------------------------------------------------------------------------------------

A, B = torch.tensor([[0.5], [1.5]]), torch.tensor([0.3, 0.7, 2.0])
SHAPES: list[tuple[Any, Any]] = [
    (torch.tensor(1.3), torch.tensor(0.4)),
    (A, B),
    (B, torch.tensor(0.4)),
    (torch.tensor(1.3), A),
    (A[None], B),
    (torch.ones(1), B.double()),
]


@pytest.mark.parametrize(("first", "second"), SHAPES)
def test_pathwise_equals_a_loop_with_one_backward_a_sample(first: Tensor, second: Tensor) -> None:
    f = lambda z: torch.sin(sum_of_squares(z)) + z.reshape(len(z), -1)[:, 0]  # noqa: E731
    gradients = Pathwise(reparametrize.normal)(f, {"mu": first, "sigma": second}, 9, generator())
    mu, sigma = first.clone().requires_grad_(), second.clone().requires_grad_()
    values = f(reparametrize.normal(mu, sigma, sample_shape=(9,), generator=generator()))
    for i, value in enumerate(values):
        for name, expected in zip(
            ("mu", "sigma"), torch.autograd.grad(value, (mu, sigma), retain_graph=True), strict=True
        ):
            assert gradients[name][i].shape == expected.shape
            torch.testing.assert_close(gradients[name][i], expected, check_dtype=False)


@pytest.mark.parametrize("baseline", [None, 0.7])
@pytest.mark.parametrize(("first", "second"), SHAPES)
def test_score_function_equals_a_loop_with_one_backward_a_sample(
    first: Tensor, second: Tensor, baseline: float | None
) -> None:
    drawn: list[Tensor] = []

    def f(z: Tensor) -> Tensor:
        drawn.append(z)
        return sum_of_squares(z)

    gradients = ScoreFunction(td.Normal, baseline)(f, {"loc": first, "scale": second}, 9, generator())
    loc, scale = first.clone().requires_grad_(), second.clone().requires_grad_()
    for i, z in enumerate(drawn[0]):
        weight = (z**2).sum() - (baseline or 0)
        log_density = (weight * td.Normal(loc, scale).log_prob(z)).sum()
        for name, expected in zip(("loc", "scale"), torch.autograd.grad(log_density, (loc, scale)), strict=True):
            assert gradients[name][i].shape == expected.shape
            torch.testing.assert_close(gradients[name][i], expected, check_dtype=False)


def test_classes_on_the_last_axis_are_one_draw() -> None:
    probs = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    pathwise = Pathwise(reparametrize.gumbel_softmax)(
        lambda y: (y @ VALUES).sum(-1), {"probs": probs, "temperature": torch.tensor([[0.5], [1.0]])}, 6, generator()
    )
    assert {name: g.shape for name, g in pathwise.items()} == {"probs": (6, 2, 3), "temperature": (6, 2, 1)}
    score = ScoreFunction(td.Categorical)(lambda z: VALUES[z].sum(-1), {"probs": probs}, 6, generator())
    assert score["probs"].shape == (6, 2, 3)


def test_the_baseline_moves_each_gradient_by_its_share_of_the_score() -> None:
    params = {"loc": torch.tensor(1.0), "scale": torch.tensor(2.0)}
    plain, moved = (ScoreFunction(td.Normal, b)(square, params, 50, generator()) for b in (None, 3.0))
    score = ScoreFunction(td.Normal)(torch.ones_like, params, 50, generator())
    for name in params:
        torch.testing.assert_close(plain[name] - moved[name], 3 * score[name], rtol=1e-4, atol=1e-4)


def test_the_score_itself_has_mean_zero() -> None:
    scores = ScoreFunction(td.Normal)(torch.ones_like, {"loc": 1.0, "scale": 1.0}, 500_000, generator())
    for samples in scores.values():
        agrees(1 + samples, 1.0)


def test_a_parameter_that_does_not_matter_gets_zeros() -> None:
    ignore = lambda mu, sigma, **kwargs: reparametrize.normal(mu, 1.0, sample_shape=(), **kwargs)  # noqa: E731
    gradients = Pathwise(ignore)(sum_of_squares, {"mu": 1.0, "sigma": torch.ones(1)}, 5, generator())
    assert gradients["sigma"].tolist() == [[0.0]] * 5
    assert gradients["mu"].abs().min() > 0


@pytest.mark.parametrize("naive", [lambda mu, sigma, generator: torch.normal(mu, sigma, generator=generator)])
def test_naive_backpropagation_through_a_draw_gives_zeros(naive: Callable[..., Tensor]) -> None:
    gradients = Pathwise(naive)(square, {"mu": 12.0, "sigma": 42.0}, 100, generator())
    assert all((g == 0).all() and g.shape == (100,) for g in gradients.values())


def test_a_function_that_needs_no_derivative_suits_the_score_function() -> None:
    step = lambda z: z > 1.0  # noqa: E731
    gradients = ScoreFunction(td.Normal)(step, {"loc": 1.0, "scale": 1.0}, 500_000, generator())
    agrees(gradients["loc"], 1 / np.sqrt(2 * np.pi))


# manners --------------------------------------------------------------------------------------------------------------

ESTIMATORS: dict[str, tuple[Estimator, Params]] = {
    "Pathwise": (Pathwise(reparametrize.normal), {"mu": 1.0, "sigma": 2.0}),
    **{name: (ScoreFunction(row[0]), row[1]) for name, row in SCORES.items()},
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_generator_given_is_the_only_source(name: str) -> None:
    estimator, params = ESTIMATORS[name]
    f = SCORES[name][2] if name in SCORES else square
    before = torch.get_rng_state()
    first, again, other = (estimator(f, params, 20, generator(i)) for i in (0, 0, 1))
    assert torch.get_rng_state().equal(before)
    for parameter in params:
        assert first[parameter].equal(again[parameter])
        assert not first[parameter].equal(other[parameter])


@pytest.mark.parametrize("name", ["Pathwise", "Normal"])
def test_without_a_generator_the_global_one_is_used(name: str) -> None:
    estimator, params = ESTIMATORS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        drawn = estimator(square, params, 20)
        expected = estimator(square, params, 20, Generator().manual_seed(3))
    assert all(drawn[parameter].equal(expected[parameter]) for parameter in params)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_are_left_alone(dtype: torch.dtype) -> None:
    mu = torch.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    with torch.no_grad():
        gradients = Pathwise(reparametrize.normal)(sum_of_squares, {"mu": mu, "sigma": 1.0}, 5, generator())
    assert mu.grad is None
    assert mu.tolist() == [1.0, 2.0]
    assert gradients["mu"].dtype == dtype
    assert not gradients["mu"].requires_grad


def test_estimators_are_values() -> None:
    one = ScoreFunction(td.Normal, 2.0)
    assert one == ScoreFunction(td.Normal, baseline=2.0) == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(ScoreFunction(td.Normal, 2.0))
    assert Pathwise(reparametrize.normal) == pickle.loads(pickle.dumps(Pathwise(reparametrize.normal)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.baseline = 3.0  # type: ignore[misc]


# what goes wrong is said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Pathwise", "Normal"])
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda z: z.sum(), r"f must return .* \(7,\), got shape \(\)"),
        (lambda z: z[:3], r"f must return .* \(7,\), got shape \(3,\)"),
        (lambda z: z[:, None], r"f must return .* \(7,\), got shape \(7, 1\)"),
        (lambda z: 3.0, r"f must return .* got float"),
        (lambda z: z.tolist(), r"f must return .* got list"),
        (lambda z: None, r"f must return .* got NoneType"),
    ],
)
def test_f_of_the_wrong_shape_or_type(name: str, f: Any, message: str) -> None:
    estimator, params = ESTIMATORS[name]
    with pytest.raises((ValueError, TypeError), match=message):
        estimator(f, params, 7, generator())


@pytest.mark.parametrize("name", ["Pathwise", "Normal"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_f_that_is_not_finite_is_counted(name: str, bad: float) -> None:
    # through `where`, the gradient of such a sample would be a silent 0
    estimator, params = ESTIMATORS[name]
    f = lambda z: torch.where(torch.arange(7) < 3, bad, z)  # noqa: E731
    with pytest.raises(ValueError, match=r"f must .* 3 of 7 samples"):
        estimator(f, params, 7, generator())


@pytest.mark.parametrize("f", [lambda z: z.detach() ** 2, lambda z: torch.ones(7), lambda z: (z > 0).float()])
def test_pathwise_refuses_an_f_that_carries_no_graph(f: Objective) -> None:
    with pytest.raises(ValueError, match=r"f.* carries no graph"):
        Pathwise(reparametrize.normal)(f, {"mu": 1.0, "sigma": 1.0}, 7, generator())


def test_pathwise_refuses_a_sampler_that_carries_no_graph() -> None:
    with pytest.raises(ValueError, match="sampler detaches"):
        Pathwise(reparametrize.gumbel_max)(value_of_one_hot, {"probs": PROBS}, 7, generator())


def test_pathwise_refuses_a_sampler_that_forgets_the_sample_axis() -> None:
    with pytest.raises(ValueError, match=r"n = 7 samples on its first axis, got shape \(2,\)"):
        Pathwise(lambda mu, generator: mu[:2])(square, {"mu": 1.0}, 7, generator())


@pytest.mark.parametrize(
    ("distribution", "params", "message"),
    [
        (td.Normal, {"loc": 0.0, "scale": -1.0}, "scale must satisfy .*-1.0"),
        (td.Bernoulli, {"probs": 1.5}, "probs must satisfy .*1.5"),
        (td.Categorical, {"probs": torch.tensor([0.5, 0.6])}, "probs must satisfy .*0.6"),
        (td.Gamma, {"concentration": 1.0, "rate": torch.tensor([1.0, 0.0])}, "rate must satisfy"),
        (td.Normal, {"mu": 0.0, "scale": 1.0}, "params .*Normal, got 'mu'"),
        (td.Normal, {"loc": float("nan"), "scale": 1.0}, "loc must be finite, got nan"),
        (td.Normal, {"loc": torch.zeros(2), "scale": torch.ones(3)}, "must broadcast together"),
        (td.Normal, {}, "params must not be empty"),
        (td.Uniform, {"low": 0.0, "high": 1.0}, "Uniform"),  # its support moves: no score
    ],
)
def test_parameters_outside_the_distribution_s_domain(
    distribution: type[td.Distribution], params: Params, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreFunction(distribution)(square, params, 7, generator())

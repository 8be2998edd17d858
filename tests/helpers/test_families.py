"""Distributions given as a class or as any function of the parameters: right for every function, or refused by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as td
from torch.autograd.function import once_differentiable

from helpers.estimators import Gradients, LeaveOneOut, Pathwise, ScoreFunction, WithParams
from helpers.implicit import rsample
from tests.support.statistical import agrees, generator, sum_of_squares

X = torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]])
W = torch.tensor([[0.4, -0.2], [0.7, 0.3]])
COVARIANCE = torch.tensor([[1.0, 0.3], [0.3, 0.5]])


def policy(w: Tensor) -> td.Distribution:
    return td.Normal(X @ w, 1.0)


def all_together(w: Tensor) -> td.Distribution:
    """A copy of w per sample would be summed over the samples, and say nothing."""
    return td.Normal((W * w).sum(), 1.0 + w.square().mean())


def in_place(w: Tensor) -> td.Distribution:
    loc = torch.zeros(2)
    loc[0] = w.sum()
    loc[1] += w.prod()
    return td.Normal(loc, 0.5)


def correlated(w: Tensor) -> td.Distribution:
    return td.MultivariateNormal(w.sum(0), scale_tril=torch.linalg.cholesky(COVARIANCE + w @ w.T))


def independent(w: Tensor) -> td.Distribution:
    return td.Independent(td.Normal(w, w.exp()), 2)


def transformed(w: Tensor) -> td.Distribution:
    return td.TransformedDistribution(td.Normal(w.mean(), 0.3), [td.TanhTransform(), td.AffineTransform(0.0, 2.0)])


def mixture(w: Tensor) -> td.Distribution:
    return td.MixtureSameFamily(td.Categorical(logits=w[0]), td.Normal(w[1], 0.5))


def classes(w: Tensor) -> td.Distribution:
    return td.Categorical(logits=X @ w)


def gamma(w: Tensor) -> td.Distribution:
    return td.Gamma(w.exp(), w.square().sum())


FUNCTIONS = [policy, all_together, in_place, correlated, independent, transformed, mixture, classes, gamma]


def one_by_one(value: Callable[[Tensor, int], Tensor], n: int, w: Tensor) -> Tensor:
    """The derivative of value(w, i) with respect to w for each i, by a backward pass of its own."""
    rows = []
    for i in range(n):
        leaf = w.clone().requires_grad_()
        rows.append(torch.autograd.grad(value(leaf, i), leaf)[0])
    return torch.stack(rows)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("w", [W, W.double()])
def test_the_score_function_of_any_function_equals_a_backward_pass_per_sample(
    function: Callable[[Tensor], td.Distribution], w: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.helpers.test_families.X", X.to(w.dtype))
    monkeypatch.setattr("tests.helpers.test_families.W", W.to(w.dtype))
    monkeypatch.setattr("tests.helpers.test_families.COVARIANCE", COVARIANCE.to(w.dtype))
    f = lambda z: sum_of_squares(z.to(w.dtype)) + 1  # noqa: E731
    estimator = ScoreFunction(function, 0.5)
    z = estimator.noise({"w": w}, 7, generator())
    found = estimator(f, {"w": w}, 7, generator())["w"]
    expected = one_by_one(lambda leaf, i: (f(z)[i] - 0.5) * function(leaf).log_prob(z[i]).sum(), 7, w)
    assert found.dtype == w.dtype
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f not in (mixture, classes, gamma)])
def test_pathwise_of_any_function_equals_a_backward_pass_per_sample(
    function: Callable[[Tensor], td.Distribution],
) -> None:
    found = Pathwise(function)(sum_of_squares, {"w": W}, 7, generator())["w"]
    with torch.random.fork_rng():

        def value(leaf: Tensor, i: int) -> Tensor:
            torch.manual_seed(generator().initial_seed())
            return sum_of_squares(function(leaf).rsample((7,)))[i]

        expected = one_by_one(value, 7, W)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


LOC, TRIL = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.5, 0.0], [-0.2, 0.1, 0.7]])


@pytest.mark.parametrize(
    "estimator",
    [
        Pathwise(td.MultivariateNormal),
        Pathwise(lambda loc, scale_tril: td.MultivariateNormal(loc, scale_tril=scale_tril)),
        Pathwise(partial(rsample, td.MultivariateNormal)),
        ScoreFunction(td.MultivariateNormal, 6.0),
        LeaveOneOut(td.MultivariateNormal, 4),
    ],
)
def test_event_dimensions_belong_to_one_sample(estimator: Any) -> None:
    shapes = []
    f = lambda z: shapes.append(z.shape[1:]) or sum_of_squares(z)  # noqa: E731
    found = estimator(f, {"loc": LOC, "scale_tril": TRIL}, 200_000, generator())
    assert set(shapes) == {(3,)}
    agrees(found["loc"], 2 * LOC, fault=0.25)
    agrees(found["scale_tril"].tril(), 2 * TRIL, fault=0.5)


def test_a_sampler_that_pairs_the_copies_is_refused() -> None:
    sampler = lambda loc, scale_tril, generator: td.MultivariateNormal(loc, scale_tril=scale_tril).rsample()  # noqa: E731
    params = {"loc": LOC, "scale_tril": TRIL}
    with pytest.raises(ValueError, match=r"sampler must broadcast .* of shape \(10, 3\).*Pathwise\(MultivariateNormal"):
        Pathwise(sampler)(sum_of_squares, params, 10, generator())
    with_own_axis = lambda mu, generator: mu[:, None] + torch.randn(len(mu), 10, generator=generator)  # noqa: E731
    assert Pathwise(with_own_axis)(sum_of_squares, {"mu": 1.0}, 10, generator())["mu"].shape == (10,)


def test_pathwise_takes_the_names_of_a_class() -> None:
    params = {"loc": 1.5, "scale": 0.5}
    by_class, by_sampler = Pathwise(td.Normal), Pathwise(partial(rsample, td.Normal))
    found = by_class(sum_of_squares, params, 100_000, generator())
    agrees(found["loc"], 3.0)
    agrees(found["scale"], 1.0, fault=0.15)
    assert found["loc"].var() == pytest.approx(by_sampler(sum_of_squares, params, 100_000, generator())["loc"].var())


@pytest.mark.parametrize("batch", [(), (4,), (2, 1)])
def test_samples_of_a_class_keep_the_broadcast_shape(batch: tuple[int, ...]) -> None:
    params = {"loc": torch.zeros(*batch, 3), "scale_tril": torch.eye(3)}
    for estimator in (Pathwise(td.MultivariateNormal), ScoreFunction(td.MultivariateNormal)):
        z = estimator.samples(estimator.noise(params, 5, generator()), params)
        assert z.shape == (5, *batch, 3)
        found = estimator(sum_of_squares, params, 5, generator())
        assert {name: g.shape[1:] for name, g in found.items()} == {name: p.shape for name, p in params.items()}


# what the score misses ------------------------------------------------------------------------------------------------


def probs_of(*probs: float) -> dict[str, Tensor]:
    return {"probs": torch.tensor(probs)}


@pytest.mark.parametrize("make", [lambda d: d, lambda d: lambda **params: d(**params)], ids=["class", "function"])
@pytest.mark.parametrize(
    ("distribution", "params", "message"),
    [
        (td.Pareto, {"scale": 1.0, "alpha": 3.0}, "support that no parameter moves"),
        (td.GeneralizedPareto, {"loc": 0.0, "scale": 1.0, "concentration": 0.1}, "support that no parameter moves"),
        (td.GeneralizedPareto, {"loc": 0.0, "scale": 1.0, "concentration": -0.1}, "support that no parameter moves"),
        (td.Uniform, {"low": 0.0, "high": 1.0}, "support that no parameter moves"),
        (td.Bernoulli, {"probs": 0.0}, "probs of .* must be > 0 and < 1, got 0"),
        (td.Bernoulli, probs_of(0.5, 1.0), "probs of .* must be > 0 and < 1, got 1"),
        (td.Categorical, probs_of(0.5, 0.5, 0.0), "probs of .* got 0"),
        (td.Categorical, probs_of(0.0, 1.0), "probs of .* got 0"),
        (td.OneHotCategorical, probs_of(0.5, 0.5, 0.0), "probs of .* got 0"),
        (td.Multinomial, probs_of(0.5, 0.5, 0.0), "probs of .* got 0"),
        (td.Binomial, {"probs": 1.0}, "probs of .* got 1"),
        (td.Geometric, {"probs": 1.0}, "probs of .* got 1"),
        (td.Poisson, {"rate": torch.tensor([1.0, 0.0])}, "rate of .* must be > 0, got 0"),
    ],
)
def test_what_the_score_misses_is_refused(make: Any, distribution: Any, params: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ScoreFunction(make(distribution))(lambda z: sum_of_squares(z.float()), params, 10, generator())
    with pytest.raises(ValueError, match=message):
        LeaveOneOut(make(distribution))(lambda z: sum_of_squares(z.float()), params, 10, generator())
    if make(1) == 1:
        assert distribution.__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("function", "a"),
    [
        (lambda a: td.TransformedDistribution(td.Uniform(0.0, 1.0), [td.AffineTransform(0.0, a)]), 1.0),
        (lambda a: td.TransformedDistribution(td.Exponential(1.0), [td.AffineTransform(a, 1.0)]), 1.0),
        (lambda a: td.Independent(td.Uniform(torch.zeros(2), a), 1), torch.ones(2)),
        (lambda a: td.MixtureSameFamily(td.Categorical(torch.ones(2)), td.Uniform(-a, a)), torch.ones(2)),
        (lambda a: td.MixtureSameFamily(td.Categorical(probs=a), td.Normal(torch.zeros(2), 1.0)), probs_of(0.0, 1.0)),
        (lambda a: td.Independent(td.Bernoulli(a), 1), torch.tensor([0.5, 1.0])),
    ],
)
def test_what_the_score_misses_is_refused_inside_another(function: Any, a: Any) -> None:
    a = a["probs"] if isinstance(a, dict) else a
    with pytest.raises(ValueError, match=r"support that no parameter moves|probs of .* must be"):
        ScoreFunction(function)(sum_of_squares, {"a": a}, 10, generator())


@pytest.mark.parametrize(
    ("distribution", "params"),
    [
        (lambda a: td.TransformedDistribution(td.Exponential(1.0), [td.AffineTransform(0.0, a)]), {"a": 1.0}),
        (lambda alpha: td.Pareto(1.0, alpha), {"alpha": 3.0}),
        (lambda low: td.Normal(low, 1.0), {"low": 0.0}),
        (td.Bernoulli, {"logits": 200.0}),
        (td.Categorical, {"logits": torch.tensor([0.0, -300.0])}),
        (lambda a: td.Categorical(probs=torch.softmax(a, 0) * torch.tensor([1.0, 1.0, 0.0])), {"a": torch.zeros(3)}),
    ],
)
def test_what_the_score_does_not_miss_is_taken(distribution: Any, params: Any) -> None:
    found = ScoreFunction(distribution)(lambda z: sum_of_squares(z.float()), params, 100, generator())
    assert all(g.isfinite().all() for g in found.values())


TWO_SIZES = {"loc": torch.zeros(3), "scale_tril": torch.eye(2)}


@pytest.mark.parametrize(
    ("estimator", "params", "error", "message"),
    [
        (lambda: ScoreFunction(3), {"a": 1.0}, TypeError, "distribution must be a class .* got 3"),
        (lambda: ScoreFunction(int), {"a": 1.0}, TypeError, "distribution must be a class .* got <class 'int'>"),
        (lambda: Pathwise(int), {"a": 1.0}, TypeError, "sampler must be a class .* got <class 'int'>"),
        (lambda: ScoreFunction(lambda a: a), {"a": 1.0}, TypeError, "must return a torch Distribution, got Tensor"),
        (lambda: Pathwise(lambda a: a), {"a": 1.0}, TypeError, "must return a torch Distribution, got Tensor"),
        (lambda: ScoreFunction(lambda a: td.Normal(a, 1.0)), {"b": 1.0}, ValueError, "params must be the arguments.*b"),
        (lambda: ScoreFunction(td.Normal), {"loc": 1.0}, ValueError, "params must be the arguments of Normal.*scale"),
        (lambda: Pathwise(td.Normal), {"mu": 1.0}, ValueError, "params must name arguments of Normal, got 'mu'"),
        (lambda: Pathwise(td.Bernoulli), {"probs": 0.5}, ValueError, "sampler must have rsample, got Bernoulli"),
        (lambda: Pathwise(td.Normal), {"loc": 0.0, "scale": -1.0}, ValueError, "scale must satisfy .*-1"),
        (
            lambda: Pathwise(lambda c: td.Dirichlet(c)),
            {"c": torch.ones(3)},
            NotImplementedError,
            r"Pathwise\(Dirichlet",
        ),
        (
            lambda: ScoreFunction(td.RelaxedBernoulli),
            {"temperature": 1.0, "probs": 0.5},
            ValueError,
            "'temperature' of RelaxedBernoulli: give a function",
        ),
        (lambda: ScoreFunction(td.Independent), {"base_distribution": 1.0}, ValueError, "of Independent: give a func"),
        (lambda: ScoreFunction(td.Normal), {1: 1.0}, TypeError, "the name of a parameter must be a string, got 1"),
        (lambda: Pathwise(td.MultivariateNormal), TWO_SIZES, ValueError, "samples of one size, got 3 and 2 from"),
        (lambda: ScoreFunction(td.MultivariateNormal), TWO_SIZES, ValueError, "samples of one size, got 3 and 2 from"),
    ],
)
def test_bad_input_is_named(estimator: Any, params: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        estimator()(sum_of_squares, params, 10, generator())


# objectives of the parameters -----------------------------------------------------------------------------------------


def free_energy(z: Tensor, params: Gradients) -> Tensor:
    """log p(z) - log q(z), p = N(1, 1): its mean is -KL(q, p)."""
    q = td.Normal(params["loc"], params["scale"])
    return (td.Normal(1.0, 1.0).log_prob(z) - q.log_prob(z)).reshape(len(z), -1).sum(1)


def path_derivative(z: Tensor, params: Gradients) -> Tensor:
    """The same, without the derivative of log q(z) with respect to its parameters, whose mean is 0."""
    return free_energy(z, {name: value.detach() for name, value in params.items()})


ELBO = {"loc": torch.tensor([0.2, 1.6]), "scale": torch.tensor([0.5, 2.0])}
SLOPE = {"loc": 1.0 - ELBO["loc"], "scale": 1 / ELBO["scale"] - ELBO["scale"]}


@pytest.mark.parametrize("f", [free_energy, path_derivative])
@pytest.mark.parametrize(
    "estimator",
    [
        Pathwise(td.Normal),
        Pathwise(lambda loc, scale: td.Normal(loc, scale)),
        ScoreFunction(td.Normal),
        ScoreFunction(lambda loc, scale: td.Normal(loc, scale), -1.0),
        LeaveOneOut(td.Normal, 3),
    ],
)
def test_the_gradient_of_an_elbo_has_its_closed_form(estimator: Any, f: Any) -> None:
    found = estimator(WithParams(f), ELBO, 100_000, generator())
    for name, exact in SLOPE.items():
        agrees(found[name], exact, fault=0.3)


def test_the_path_derivative_has_no_variance_where_q_is_p() -> None:
    at = {"loc": torch.tensor([1.0]), "scale": torch.tensor([1.0])}
    plain, path = (Pathwise(td.Normal)(WithParams(f), at, 1000, generator()) for f in (free_energy, path_derivative))
    assert path["loc"].abs().max() < 1e-6
    assert plain["loc"].var() > 0.5  # the score, of variance 1


def test_the_partial_derivative_is_that_of_each_sample() -> None:
    mu = torch.tensor(0.7)
    f = WithParams(lambda z, params: z * params["loc"] ** 2)
    found = Pathwise(td.Normal)(f, {"loc": mu, "scale": 1.0}, 9, generator())
    z = td.Normal(mu, 1.0)
    z = Pathwise(td.Normal).samples(
        Pathwise(td.Normal).noise({"loc": mu, "scale": torch.tensor(1.0)}, 9, generator()), {}
    )
    torch.testing.assert_close(found["loc"], mu**2 + 2 * mu * z)


def test_a_linear_policy_learns() -> None:
    """Reward -(a - x @ target)^2 of actions a ~ N(x @ w, 1/4): gradient ascent finds the target."""
    x = torch.randn(20, 3, generator=generator())
    target, w = torch.tensor([1.0, -2.0, 0.5]), torch.zeros(3)
    reward = lambda a: -(a - x @ target).square().mean(1)  # noqa: E731
    estimator, source = LeaveOneOut(lambda w: td.Normal(x @ w, 0.5), 10), generator(1)
    distances = []
    for _ in range(60):
        w = w + 0.3 * estimator(reward, {"w": w}, 100, source)["w"].mean(0)
        distances.append((w - target).norm().item())
    assert distances[-1] < 0.1 * distances[0]


@pytest.mark.parametrize("bad", [3, None])
def test_with_params_names_a_bad_function(bad: Any) -> None:
    with pytest.raises(TypeError, match=f"f must be a function of z and params, got {bad}"):
        WithParams(bad)


class Once(torch.autograd.Function):
    """The square, with a derivative that torch cannot differentiate: torch's Dirichlet is such a function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * slope


@pytest.mark.parametrize("added", [0.0, 1e-3])
def test_a_derivative_that_torch_cannot_differentiate_is_no_zero(added: float) -> None:
    function = lambda w: td.Normal(Once.apply(w) + added * w, 1.0)  # noqa: E731
    with pytest.raises(NotImplementedError, match="'w' must be differentiable itself"):
        ScoreFunction(function)(sum_of_squares, {"w": torch.ones(3)}, 10, generator())

"""What gave a wrong number and said nothing: each kind, over every estimator."""

import dataclasses
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch import distributions as td

from helpers import SEED, Estimate, compare_estimators, estimate_gradient, estimate_means, get_graph, reparametrize
from helpers.drawing import draw
from helpers.estimate import CHUNK_SIZE, moments_of
from helpers.estimators import Antithetic, LeaveOneOut, MeasureValued, Pathwise, QuasiMonteCarlo, ScoreFunction
from helpers.estimators.base import WithParams, checked_params
from helpers.estimators.binary import REBAR, RELAX
from helpers.estimators.bounds import PathwiseBound
from helpers.estimators.categorical import AntitheticPair, LocalExpectation, Subset, WithoutReplacement
from helpers.estimators.control_variates import ControlVariate, best_baseline
from helpers.implicit import rsample, truncated_normal
from helpers.randomness import standard_normal
from helpers.reparametrize import normal
from helpers.threads import one_core
from tests.helpers.test_contract import CASES, control
from tests.support.statistical import agrees, generator, square, sum_of_squares


def in_place(z: Tensor) -> Tensor:
    z += 1
    return sum_of_squares(z)


@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_f_may_write_into_its_argument(estimator: Any, params: dict[str, Any]) -> None:
    found = estimator(in_place, params, 20, generator())
    expected = estimator(lambda z: sum_of_squares(z + 1), params, 20, generator())
    for name in params:
        torch.testing.assert_close(found[name], expected[name])


def needs_the_derivative_of_f(estimator: Any) -> bool:
    return isinstance(estimator, REBAR | PathwiseBound) or "Pathwise" in repr(estimator)


@pytest.mark.parametrize(
    ("estimator", "params"), [case for case in CASES if not needs_the_derivative_of_f(case.values[0])]
)
def test_values_of_f_of_any_real_dtype(estimator: Any, params: dict[str, Any]) -> None:
    expected = estimator(lambda z: (control(z) > 0).float(), params, 20, generator())
    for dtype in (torch.uint8, torch.bool, torch.int64, torch.float16, torch.float64):
        found = estimator(lambda z, dtype=dtype: (control(z) > 0).to(dtype), params, 20, generator())
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_the_generator_of_f_stays_its_own(estimator: Any, params: dict[str, Any]) -> None:
    def noisy(z: Tensor) -> Tensor:
        return sum_of_squares(z) + torch.rand(len(z))

    before, own, quiet = torch.get_rng_state(), generator(), generator()
    estimator(noisy, params, 9, own)
    assert not torch.equal(before, torch.get_rng_state())  # f drew from torch's own
    estimator(sum_of_squares, params, 9, quiet)
    assert torch.equal(own.get_state(), quiet.get_state())


# Functions of all samples whose values for any two samples change when the others do.
FROM_ALL = {
    "mean": lambda y: y - y.mean(),
    "deviation": lambda y: y / y.std(),
    "softmax": lambda y: y.softmax(0),
}
FROM_SOME = {
    "first": lambda y: y + y[0],
    "last": lambda y: y + y[-1],
    "neighbour": lambda y: y + y.roll(1),
    "sum of those before": lambda y: y.cumsum(0),
    "place in order": lambda y: y * y.argsort().argsort(),
    "blocks": lambda y: y - y.reshape(-1, 10).mean(1).repeat_interleave(10),
}


def refuses(estimator: Any, params: dict[str, Any], mix: Callable[[Tensor], Tensor]) -> None:
    def f(z: Tensor) -> Tensor:
        return mix(1 + control(z))

    for mixing in (f, WithParams(lambda z, _: f(z))):
        with pytest.raises(ValueError, match="f must compute the value of each sample from that sample alone"):
            estimator(mixing, params, 40, generator())


@pytest.mark.parametrize("mix", FROM_ALL.values(), ids=FROM_ALL)
@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_an_f_that_mixes_samples_is_refused(
    estimator: Any, params: dict[str, Any], mix: Callable[[Tensor], Tensor]
) -> None:
    refuses(estimator, params, mix)


@pytest.mark.parametrize("mix", FROM_SOME.values(), ids=FROM_SOME)
def test_an_f_that_uses_some_other_sample_is_refused(mix: Callable[[Tensor], Tensor]) -> None:
    refuses(Pathwise(normal), {"mu": 1.0, "sigma": 1.0}, mix)
    refuses(ScoreFunction(td.Normal), {"loc": 1.0, "scale": 1.0}, mix)


def test_a_large_constant_does_not_hide_that_f_mixes_samples() -> None:
    refuses(Pathwise(normal), {"mu": 1.0, "sigma": 1.0}, lambda y: 1e4 + y - y.mean())
    refuses(ScoreFunction(td.Normal), {"loc": 1.0, "scale": 1.0}, lambda y: 1e4 + y - y.mean())


# A sampler of (w), params, and the reason why it cannot be used with one copy of w per sample.
COPIES = "sampler must compute each sample from its own copy of the parameters"
NOISE = "sampler must draw noise for each copy"
MIXERS = [
    (lambda w, generator: torch.randn(len(w), generator=generator) * w.norm(), COPIES),
    (lambda w, generator: torch.randn(len(w), generator=generator) + torch.softmax(w, 0)[:, 0], COPIES),
    (lambda w, generator: w + torch.randn(3, generator=generator), NOISE),
    (reparametrize.Reparametrization(standard_normal, lambda eps, w: eps * w.norm()), COPIES),
    (reparametrize.Reparametrization(standard_normal, lambda eps, w: w + eps * w.std()), COPIES),
]


@pytest.mark.parametrize(("sampler", "message"), MIXERS)
def test_a_sampler_that_mixes_samples_is_refused(sampler: Any, message: str) -> None:
    for _ in range(2):  # and is not taken for a good one the second time
        with pytest.raises(ValueError, match=message):
            Pathwise(sampler)(sum_of_squares, {"w": torch.tensor([1.0, 3.0, 2.0])}, 50, generator())


@dataclasses.dataclass
class Shifted:
    """A sampler without a hash."""

    by: float

    def __call__(self, mu: Tensor, generator: Generator | None) -> Tensor:
        return mu + self.by + torch.randn(mu.shape, generator=generator)


def by_position(shift: Tensor, mu: Tensor, generator: Generator | None) -> Tensor:
    z = mu + shift
    return z + torch.randn(z.shape, generator=generator)


def test_a_tensor_that_partial_fixes_meets_no_axis_of_the_samples() -> None:
    """Seven samples, and seven values of `low`: each sample has seven coordinates, not a `low` of its own."""
    cut = partial(truncated_normal, low=torch.linspace(-1, 0, 7), high=3.0)
    shifted = partial(normal, mu=torch.arange(7.0))
    beta = partial(rsample, td.Beta, concentration0=torch.arange(1.0, 8.0))
    for sampler, params in (
        (cut, {"mu": 0.5, "sigma": 1.0}),
        (shifted, {"sigma": 1.0}),
        (beta, {"concentration1": 2.0}),
        (partial(by_position, torch.arange(7.0)), {"mu": 1.0}),
    ):
        seen = []
        f = lambda z, seen=seen: seen.append(z.shape[1:]) or sum_of_squares(z)  # noqa: E731
        for n in (1, 7, 8):
            gradients = Pathwise(sampler)(f, params, n, generator())
            assert all(g.shape == (n,) for g in gradients.values())
        assert set(seen) == {(7,)}


def test_a_sampler_that_keeps_samples_apart_is_not_refused() -> None:
    overflowing = lambda mu, generator: 1 / (1 + torch.exp(1e4 * torch.randn(mu.shape, generator=generator) + mu))  # noqa: E731
    for _ in range(2):
        assert Pathwise(Shifted(1.0))(square, {"mu": 1.0}, 50, generator())
        with pytest.raises(ValueError, match=r"gradients of 'mu' must be finite, got \d+ of 50 samples"):
            Pathwise(overflowing)(square, {"mu": 1.0}, 50, generator())


class OfTheSum(td.Normal):
    arg_constraints = {"w": td.constraints.real_vector}  # noqa: RUF012

    def __init__(self, w: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(w.sum(), 1.0, validate_args=False)


def test_a_class_that_drops_the_axes_of_its_parameters_is_refused() -> None:
    params = {"w": torch.tensor([3.0, 4.0])}
    with pytest.raises(ValueError, match="OfTheSum must keep the axes of its parameters as its batch shape"):
        ScoreFunction(OfTheSum)(sum_of_squares, params, 50, generator())
    with pytest.raises(ValueError, match="the sampler must return n = 50 samples"):
        Pathwise(OfTheSum)(sum_of_squares, params, 50, generator())


class Detaching(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x.detach() * g.detach()


@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_a_parameter_whose_graph_is_lost_is_named() -> None:
    params = {"mu": 0.5, "rho": 0.1}
    for estimator in (ScoreFunction, Pathwise):
        with pytest.raises(ValueError, match="depends on 'rho' and carries no graph to it"):
            estimator(lambda mu, rho: td.Normal(mu, math.exp(rho)))(square, params, 50, generator())
        unused = estimator(lambda mu, rho: td.Normal(mu, 1.0))(square, params, 50, generator())
        assert not unused["rho"].any()
    with pytest.raises(ValueError, match="depends on 'mu' and carries no graph"):
        ScoreFunction(lambda mu: td.Normal(mu.item(), 1.0))(square, {"mu": 0.5}, 50, generator())
    with pytest.raises(NotImplementedError, match="must be differentiable itself"):
        ScoreFunction(lambda w: td.Normal(Detaching.apply(w), 1.0))(square, {"w": 1.5}, 50, generator())
    with pytest.raises(NotImplementedError, match="sampler"):  # also for small gradients
        Pathwise(lambda w: td.Normal(Detaching.apply(w), 1.0))(lambda z: 1e-7 * z, {"w": 1.5}, 50, generator())
    lost = ControlVariate(ScoreFunction(td.Normal), torch.exp, lambda loc, scale: math.exp(loc + scale**2 / 2))
    with pytest.raises(ValueError, match="expectation depends on 'loc' and carries no graph"):
        lost(square, {"loc": 0.0, "scale": 0.5}, 50, generator())


AFFINE, PHI = td.AffineTransform, td.transforms.CumulativeDistributionTransform(td.Normal(0.0, 1.0))


def test_a_support_that_a_transform_moves_is_refused() -> None:
    moving = [
        lambda s: td.TransformedDistribution(td.Bernoulli(0.5), [AFFINE(0.0, s)]),
        lambda s: td.TransformedDistribution(td.Normal(0.0, 1.0), [PHI, AFFINE(0.0, s)]),
        lambda s: td.TransformedDistribution(td.Uniform(0.0, 1.0), [AFFINE(0.0, s)]),
    ]
    for family in moving:
        with pytest.raises(ValueError, match="support that no parameter moves"):
            ScoreFunction(family)(square, {"s": 2.0}, 50, generator())
    exp = td.transforms.ExpTransform()
    resting = [
        lambda s: td.TransformedDistribution(td.Uniform(0.0, 1.0), [td.SigmoidTransform().inv, AFFINE(s, 1.0)]),
        lambda s: td.TransformedDistribution(td.Normal(0.0, 1.0), [AFFINE(0.0, s), exp]),
        lambda s: td.TransformedDistribution(td.Normal(s, 1.0), [td.SigmoidTransform()]),
    ]
    for family in resting:
        ScoreFunction(family)(square, {"s": 2.0}, 50, generator())


def test_a_fit_that_would_divide_a_group_is_refused() -> None:
    fitted = ControlVariate(Pathwise(normal), lambda z: z**3, lambda mu, sigma: mu**3 + 3 * mu * sigma**2)
    params = {"mu": 0.3, "sigma": 1.0}
    for grouped in (Antithetic(fitted), QuasiMonteCarlo(fitted, 4)):
        with pytest.raises(ValueError, match="estimator must have a coefficient of its own"):
            grouped(torch.exp, params, 3, generator())
    twice = ControlVariate(fitted, lambda z: z**2, lambda mu, sigma: mu**2 + sigma**2, 1.0)
    for grouped in (Antithetic(twice), QuasiMonteCarlo(twice, 4)):
        with pytest.raises(ValueError, match="estimator must have a coefficient of its own"):
            grouped(torch.exp, params, 3, generator())
    with pytest.raises(
        ValueError, match="estimator must have a coefficient of its own, got a ControlVariate that fits"
    ):
        ControlVariate(fitted, lambda z: z**2, lambda mu, sigma: mu**2 + sigma**2)
    agrees(twice(torch.exp, params, 100_000, generator())["mu"], math.exp(0.8))
    inside = ControlVariate(Antithetic(Pathwise(normal)), fitted.h, fitted.expectation)
    agrees(inside(torch.exp, params, 100_000, generator())["mu"], math.exp(0.8))


class Folded(td.Normal):
    arg_constraints = {"scale": td.constraints.positive}  # noqa: RUF012

    def __init__(self, scale: Tensor, validate_args: bool | None = None) -> None:
        super().__init__(0 * scale, scale, validate_args=validate_args)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return super().sample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        return math.log(2) + super().log_prob(value)


def test_an_inherited_inverse_cdf_is_not_trusted() -> None:
    for grouped in (Antithetic(ScoreFunction(Folded)), QuasiMonteCarlo(ScoreFunction(Folded), 4)):
        with pytest.raises(ValueError, match="whose inverse CDF is known"):
            grouped(square, {"scale": 1.0}, 50, generator())


def test_samples_that_drop_a_parameter_are_refused() -> None:
    for name, at in (("logits", 0.0), ("probs", 0.5)):
        with pytest.raises(ValueError, match="probs of ContinuousBernoulli must be outside"):
            Pathwise(td.ContinuousBernoulli)(square, {name: at}, 50, generator())
    with pytest.raises(ValueError, match="concentration of GeneralizedPareto must not be 0"):
        Pathwise(td.GeneralizedPareto)(square, {"loc": 0.0, "scale": 1.0, "concentration": 0.0}, 50, generator())


BFLOAT = {"loc": torch.tensor(100.0, dtype=torch.bfloat16), "scale": torch.tensor(0.1, dtype=torch.bfloat16)}


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (ScoreFunction(td.Gumbel), {"loc": 1e6, "scale": 0.01}),
        (ScoreFunction(td.MultivariateNormal), {"loc": torch.tensor([1e6]), "scale_tril": torch.tensor([[0.01]])}),
        (ScoreFunction(td.Normal), BFLOAT),
        (Antithetic(ScoreFunction(td.Normal)), BFLOAT),
        (MeasureValued(td.Normal), BFLOAT),
        (MeasureValued(td.Normal), {"loc": 1e6, "scale": 0.01}),
    ],
)
def test_samples_that_are_rounded_too_much_are_refused(estimator: Any, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"eps \* \|mean\| / standard deviation"):
        estimator(sum_of_squares, params, 50, generator())


def test_a_control_that_mixes_or_writes_is_named() -> None:
    params = {"logits": 0.5}
    with pytest.raises(ValueError, match="control must compute the value of each sample from that sample alone"):
        RELAX(lambda z: (z - z.mean()) / z.std())(square, params, 50, generator())
    with pytest.raises(ValueError, match="control must return finite numbers"):
        RELAX(lambda z: z / 0)(square, params, 50, generator())
    for detached in (lambda z: z + z.detach() ** 3, lambda z: torch.tanh(z) * z.sigmoid().detach()):
        with pytest.raises(ValueError, match="control must be differentiable, but its graph misses a part"):
            RELAX(detached)(square, params, 50, generator())
    found = RELAX(lambda z: z.mul_(2))(square, params, 50, generator())
    torch.testing.assert_close(found, RELAX(lambda z: 2 * z)(square, params, 50, generator()))


JUMPS: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": lambda y: torch.sign(y.sum(1) - 0.5),
    "round": lambda y: y.sum(1).round(),
    "jump and slope": lambda y: y.sum(1) + 5 * (y.sum(1) > 0.7),
    "where": lambda y: torch.where(y.sum(1) > 0.5, y.sum(1) ** 2, torch.zeros(())),
}
STEEP: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp": lambda y: (1000 * (y.sum(1) - 0.7)).clamp(0, 1),
    "wave": lambda y: torch.cos(50 * y.sum(1)),
    "root": lambda y: (y.sum(1) - 0.7).abs().sqrt(),
    "exponential": lambda y: torch.exp(20 * y.sum(1)),
    "constant": lambda y: 0 * y.sum(1) + 3,
}


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_a_control_that_jumps_is_refused_and_a_steep_one_is_not(temperature: float) -> None:
    params = {"logits": torch.zeros(1)}
    for jumping in JUMPS.values():
        with pytest.raises(ValueError, match="f must be differentiable, but it jumps"):
            REBAR(temperature)(jumping, params, 200, generator())
    for steep in STEEP.values():
        for seed in range(20):
            assert REBAR(temperature)(steep, params, 20, torch.Generator().manual_seed(seed))["logits"].isfinite().all()


CALLS = itertools.count()

# Functions that compute each value from one sample, whatever their number of samples, their noise and their memory.
SEPARATE = {
    "rows": lambda y: y * torch.arange(40),
    "first rows": lambda y: y * torch.arange(1000)[: len(y)],
    "number of samples": lambda y: y / len(y),
    "noise": lambda y: y + torch.rand(len(y)),
    "the same noise": lambda y: y + torch.rand(len(y), generator=generator()),
    "calls": lambda y: y + next(CALLS),
}


@pytest.mark.parametrize("own", SEPARATE.values(), ids=SEPARATE)
def test_an_f_that_does_not_mix_samples_is_not_refused(own: Callable[[Tensor], Tensor]) -> None:
    for estimator in (Pathwise(normal), ScoreFunction(td.Normal)):
        names = ("mu", "sigma") if isinstance(estimator, Pathwise) else ("loc", "scale")
        assert estimator(lambda z: own(1 + z**2), dict.fromkeys(names, 1.0), 40, generator())


def one(z: Tensor) -> Tensor:
    return torch.ones(len(z))


# Parameters at which samples or densities in the precision of the parameters would lose digits.
FEW_DIGITS = [
    (td.Gamma, {"concentration": 0.03, "rate": 1.0}),
    (td.InverseGamma, {"concentration": 0.1, "rate": 1.0}),
    (td.Chi2, {"df": 0.06}),
    (td.StudentT, {"df": 0.3, "loc": 0.0, "scale": 1.0}),
    (td.FisherSnedecor, {"df1": 0.06, "df2": 3.0}),
    (td.Beta, {"concentration1": 0.03, "concentration0": 0.5}),
    (td.Dirichlet, {"concentration": torch.tensor([0.03, 1.0, 1.0])}),
    (td.ContinuousBernoulli, {"probs": 0.4989}),
    (td.Laplace, {"loc": 0.0, "scale": 1.0}),
    (td.Gumbel, {"loc": 0.0, "scale": 1.0}),
    (td.Geometric, {"probs": 1e-6}),
    (td.Categorical, {"probs": torch.tensor([1e-3, 0.3, 0.699])}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("distribution", "params"), FEW_DIGITS)
def test_the_mean_of_the_score_is_zero_whatever_the_dtype(
    distribution: type[td.Distribution], params: dict[str, Any], dtype: torch.dtype
) -> None:
    given = {name: torch.as_tensor(value, dtype=dtype) for name, value in params.items()}
    found = ScoreFunction(distribution)(one, given, 200_000, generator())
    for gradient in found.values():
        assert gradient.dtype == dtype
        zero(gradient.double().reshape(200_000, -1))


def zero(samples: Tensor) -> None:
    """Each column has mean 0 within 4.5 standard errors: one false alarm in 147,000 columns."""
    error = samples.std(0) / len(samples) ** 0.5
    assert (samples.mean(0).abs() < 4.5 * error).all(), (samples.mean(0), error)


def affine(mu: Tensor, sigma: Tensor) -> td.Distribution:
    """A normal distribution whose mean torch does not know, with noise in float32 whatever the parameters are."""
    return td.TransformedDistribution(td.Normal(0.0, 1.0), td.AffineTransform(mu, sigma))


REFUSED = [
    (td.Gamma, {"concentration": 0.01, "rate": 1.0}, r"concentration must be > 0.0195 in torch.float64"),
    (lambda concentration: td.Gamma(concentration, 1.0), {"concentration": 0.1}, r"concentration must be > 0.158 in"),
    (td.StudentT, {"df": 0.03, "loc": 0.0, "scale": 1.0}, "df / 2 must be > 0.0195"),
    (td.Beta, {"concentration1": 1.0, "concentration0": 0.3}, "concentration0 must be > 0.383"),
    (td.ContinuousBernoulli, {"probs": 0.0}, "probs of ContinuousBernoulli must be > 2.2e-16 and < 1 - 2.2e-16, got"),
    (td.Normal, {"loc": 1e6, "scale": 0.01}, r"eps \* \|mean\| / standard deviation in torch.float32 must be < 0.02"),
    (td.Cauchy, {"loc": 1e6, "scale": 0.01}, r"eps \* \|loc\| / scale must be < 0.02"),
    (lambda p: td.Bernoulli(p), {"p": torch.tensor(0.3, dtype=torch.bfloat16)}, "at least float32, got half precision"),
    (lambda c: td.LKJCholesky(2, c), {"c": 0.3}, "concentration must be > 0.867 in torch.float32"),
    (lambda c: td.LKJCholesky(3, c), {"c": 1.5}, "LKJCholesky must have dim 2, as torch draws others with wrong"),
    (
        affine,
        {"mu": 1e6, "sigma": 0.01},
        "rounding of samples in torch.float32 / their standard deviation must be < 0.02",
    ),
]


@pytest.mark.parametrize(("distribution", "params", "message"), REFUSED)
def test_a_score_whose_samples_have_too_few_digits_is_refused(
    distribution: Any, params: dict[str, Any], message: str
) -> None:
    for estimator in (ScoreFunction(distribution), LeaveOneOut(distribution, 2)):
        with pytest.raises(ValueError, match=message):
            estimator(one, params, 10, generator())


def test_samples_narrower_than_the_parameters_must_have_digits_enough() -> None:
    params = {"mu": torch.tensor(1e6, dtype=torch.float64), "sigma": torch.tensor(0.01, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"the rounding of samples in torch\.float32 / their"):
        Pathwise(affine)(lambda z: (z - 1e6) ** 2, params, 1000, generator())
    near_zero = {"mu": torch.zeros((), dtype=torch.float64), "sigma": torch.ones((), dtype=torch.float64)}
    agrees(Pathwise(affine)(square, near_zero, 100_000, generator())["sigma"], 2.0, fault=0.1)


def test_discrete_samples_may_all_be_the_same() -> None:
    def with_a_place(p: Tensor) -> td.Distribution:
        return td.TransformedDistribution(td.Bernoulli(p), td.AffineTransform(3.0, 2.0))

    def straight_through(logits: Tensor) -> td.Distribution:
        return td.OneHotCategoricalStraightThrough(logits=logits.float())

    f = lambda z: z.reshape(len(z), -1).sum(1)  # noqa: E731
    assert ScoreFunction(with_a_place)(f, {"p": 1e-6}, 20, generator())["p"].isfinite().all()
    logits = torch.tensor([0.0, 0.0, 90.0], dtype=torch.float64)
    assert Pathwise(straight_through)(f, {"logits": logits}, 20, generator())["logits"].isfinite().all()


def test_a_matrix_may_have_constant_entries() -> None:
    for concentration in (0.5, 2.0):
        given = {"c": torch.tensor(concentration, dtype=torch.float64)}
        found = ScoreFunction(lambda c: td.LKJCholesky(2, c))(lambda z: z[:, 1, 0] ** 2, given, 200_000, generator())
        agrees(found["c"], -2 / (2 * concentration + 1) ** 2, fault=0.1)  # E[r^2] = 1 / (2c + 1)
    several = ScoreFunction(lambda c: td.Independent(td.LKJCholesky(2, c.expand(3)), 1))
    assert several(lambda z: z[:, 0, 1, 0] ** 2, {"c": 2.0}, 50, generator())["c"].isfinite().all()


def test_torch_draws_correlations_of_three_variables_wrongly() -> None:
    """So they are refused. With c = 1, every E[r^2] is 1/4. If torch ever draws them rightly, allow them."""
    torch.manual_seed(0)
    lower = td.LKJCholesky(3, torch.tensor(1.0, dtype=torch.float64)).sample((100_000,))
    squares = (lower @ lower.mT) ** 2
    agrees(squares[:, 1, 0], 0.25, fault=0.05)
    wrong = Estimate.from_samples(squares[:, 2, 0])
    assert wrong.mean > 0.25 + 20 * wrong.standard_error


def test_a_path_needs_no_density() -> None:
    folded = Pathwise(lambda mu: td.TransformedDistribution(td.Normal(mu, 1.0), td.AbsTransform()))
    agrees(folded(square, {"mu": 1.5}, 100_000, generator())["mu"], 3.0)


def test_a_control_with_a_whole_graph_is_not_refused() -> None:
    params = {"logits": torch.tensor([0.5, -1.0])}
    rows = torch.arange(50.0)
    controls = (
        lambda z: z.relu().sum(1),
        lambda z: 1e6 + z.sum(1),
        lambda z: torch.sigmoid(z / 1e-3).sum(1),
        lambda z: z.sum(1) * rows,
        lambda z: z.sum(1) + torch.rand(len(z)),
        lambda z: 0 * z.sum(1) + 3,
        lambda z: torch.sin(1000 * z).sum(1),
    )
    for whole in controls:
        assert RELAX(whole)(sum_of_squares, params, 50, generator())["logits"].shape == (50, 2)
    assert REBAR(1e-4)(sum_of_squares, params, 50, generator())["logits"].isfinite().all()


def test_logits_far_apart_are_taken() -> None:
    """The derivative of a sum is rounding here, and so is that of its terms."""
    params = {"logits": torch.tensor([50.0, 20.0, 0.0])}
    found = ScoreFunction(partial(Subset, k=2))(sum_of_squares, params, 50, generator())["logits"]
    assert found.isfinite().all()


def test_a_covariance_that_is_none_is_named() -> None:
    params = {"loc": torch.zeros(2), "covariance_matrix": torch.tensor([[1.0, 2.0], [2.0, 1.0]])}
    for estimator in (Pathwise, ScoreFunction):
        with pytest.raises(ValueError, match=r"covariance_matrix must satisfy PositiveDefinite\(\), got"):
            estimator(td.MultivariateNormal)(sum_of_squares, params, 50, generator())


@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_gradients_have_the_dtype_of_the_parameters(estimator: Any, params: dict[str, Any]) -> None:
    narrow = {name: torch.as_tensor(value).bfloat16() for name, value in params.items()}
    try:
        found = estimator(sum_of_squares, narrow, 20, generator())
    except ValueError as error:
        if "half precision" not in str(error):  # the only reason to refuse them
            raise
        pytest.skip(str(error))
    assert {g.dtype for g in found.values()} == {torch.bfloat16}


def test_rebar_refuses_a_step() -> None:
    def step(b: Tensor) -> Tensor:
        return (b > 0.5).float()

    for called, estimator in (("f", REBAR(0.5)), ("control", RELAX(step))):
        with pytest.raises(ValueError, match=f"{called} must be differentiable, got values that differ and carry no"):
            estimator(step, {"logits": 0.3}, 100, generator())


RETURNED = [
    (lambda n: {"x": torch.ones(n // 2)}, r"'x' must have a first axis of 100, got shape \(50,\)"),
    (lambda n: {"x": torch.ones(())}, r"got shape \(\)"),
    (
        lambda n: {"x": torch.ones(n, dtype=torch.complex64)},
        "'x' must be real floating-point numbers, got torch.complex64",
    ),
    (lambda n: {"x": torch.ones(n, dtype=torch.int64)}, "'x' must be real floating-point numbers, got torch.int64"),
    (lambda n: {"x": [1.0] * n}, "got list"),
    (lambda n: [1.0] * n, "must be a mapping"),
]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        *RETURNED,
        (lambda n: {}, r"must have the names \['x'\], got \[\]"),
        (
            lambda n: {"x": torch.ones(n), "variance": torch.ones(n)},
            r"the names \['x'\], got \['variance', 'x'",
        ),
        (lambda n: {"x": torch.ones(n, 1)}, r"of shape \(100,\), got \(100, 1\)"),
    ],
)
def test_the_engine_checks_what_an_estimator_returns(returned: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        estimate_gradient(torch.square, lambda f, params, n, generator: returned(n), {"x": 1.0}, 100)


@pytest.mark.parametrize(("returned", "message"), [*RETURNED, (lambda n: {}, "at least one name")])
def test_the_engine_checks_samples_of_which_it_takes_the_mean(returned: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        estimate_means(lambda n, generator: returned(n), 100)


def test_means_of_any_quantities() -> None:
    def moments(n: int, generator: Generator) -> dict[str, Tensor]:
        z = torch.randn(n, 2, generator=generator)
        return {"mean": z + 1, "second": z[:, 0] ** 2}

    found = estimate_means(moments, 100_000, seed=SEED, chunk_size=1000)
    again = estimate_means(moments, 100_000, seed=SEED, chunk_size=1000, progress=False)
    for name, expected in {"mean": torch.ones(2), "second": torch.tensor(1.0)}.items():
        assert torch.equal(found[name].mean, again[name].mean)
        assert ((found[name].mean - expected).abs() < 5 * found[name].standard_error).all()
    assert found["second"].n == 100_000
    assert found["second"].variance == pytest.approx(2.0, rel=0.1)
    one, two = (estimate_means(moments, n, seed=SEED, chunk_size=1000) for n in (1000, 2000))
    assert one["second"].mean != two["second"].mean  # the second chunk has samples of its own
    score = partial(ScoreFunction(td.Normal), torch.square, {"loc": 1.0, "scale": 1.0})
    one = estimate_means(score, 1000, seed=SEED)
    two = estimate_gradient(torch.square, ScoreFunction(td.Normal), {"loc": 1.0, "scale": 1.0}, 1000, seed=SEED)
    assert {name: e.mean for name, e in one.items()} == {name: e.mean for name, e in two.items()}


@pytest.mark.parametrize("size", [1e-170, 1e200])
def test_squares_outside_float64_are_refused_with_the_reason(size: float) -> None:
    params = {"mu": torch.tensor(0.5, dtype=torch.float64), "sigma": 1.0}
    with pytest.raises(ValueError, match=r"gradients of 'sigma' must be .* in float64, got \S+e.*multiply f") as caught:
        estimate_gradient(lambda z: size * z, Pathwise(normal), params, 100)
    assert "NaN" not in str(caught.value)
    found = compare_estimators(
        lambda z: size * z, {"path": Pathwise(normal), "one": constant}, params, 100, exact={"mu": size, "sigma": 0.0}
    )
    assert found.failed["path"].startswith("gradients of 'sigma' must be")


def constant(f: Any, params: Any, n: int, generator: Any) -> dict[str, Tensor]:
    return {"mu": torch.ones(n), "sigma": torch.ones(n)}


@pytest.mark.parametrize("size", [1e-170, 1e100, 0.0])
def test_gradients_that_are_all_equal_have_no_error(size: float) -> None:
    params = {"mu": torch.tensor(0.5, dtype=torch.float64)}
    found = estimate_gradient(lambda z: size * z, Pathwise(partial(normal, sigma=1.0)), params, 100)["mu"]
    assert found.mean == size
    assert found.standard_error == 0


@pytest.mark.parametrize(
    ("estimator", "params", "numbers"),
    [
        (Pathwise(normal), {"mu": torch.zeros(2000, 1), "sigma": torch.ones(1, 2000)}, 4_000_000),
        (Pathwise(td.Normal), {"loc": torch.zeros(2000, 1), "scale": torch.ones(1, 2000)}, 4_000_000),
        (ScoreFunction(td.Normal), {"loc": torch.zeros(20, 1), "scale": torch.ones(1, 20)}, 400),
        (MeasureValued(td.Normal), {"loc": torch.zeros(20, 1), "scale": torch.ones(1, 20)}, 400),
        (ScoreFunction(lambda w: td.Normal(torch.ones(50, 3) @ w, 1.0)), {"w": torch.ones(3)}, 50),
        (ScoreFunction(lambda s: td.MultivariateNormal(torch.zeros(50), s * torch.eye(50))), {"s": 1.0}, 50),
        (LeaveOneOut(td.Normal, 8), {"loc": torch.zeros(20), "scale": 1.0}, 160),
        (QuasiMonteCarlo(ScoreFunction(td.Normal), 4096), {"loc": 0.0, "scale": 1.0}, 4096),
        (Antithetic(ScoreFunction(td.Normal)), {"loc": torch.zeros(3), "scale": 1.0}, 6),
        (Pathwise(td.MultivariateNormal), {"loc": torch.zeros(3), "scale_tril": torch.eye(3)}, 9),
        (LocalExpectation(), {"logits": torch.zeros(5, 4)}, 400),
        (Pathwise(partial(normal, mu=torch.zeros(2000))), {"sigma": 1.0}, 2000),
        (ScoreFunction(partial(Subset, k=10)), {"logits": torch.zeros(20)}, 1024),
        (WithoutReplacement(2), {"logits": torch.zeros(100)}, 200),
        (WithoutReplacement(10), {"logits": torch.zeros(10)}, 1024),
        (AntitheticPair(), {"logits": torch.zeros(5, 4)}, 40),
    ],
)
def test_a_chunk_counts_what_one_sample_allocates(
    estimator: Any, params: dict[str, Any], numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def chunks(self: Any, f: Any, params: Any, n: int, generator: Any) -> Any:
        sizes.append(n)
        return moments_of({name: torch.zeros(n) for name in params})

    monkeypatch.setattr(type(estimator), "moments", chunks)
    assert estimator.numbers(checked_params(params)) == numbers
    size = max(4, CHUNK_SIZE // numbers)
    with ThreadPoolExecutor(1) as one:
        estimate_gradient(sum_of_squares, estimator, params, 10 * size, executor=one)
    assert sizes == [size] * 10


def test_what_cannot_be_sent_to_another_process_is_named() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(TypeError, match="f, estimator and params must be picklable"):
        estimate_gradient(lambda z: z, Pathwise(normal), {"mu": 1.0, "sigma": 1.0}, 100, executor=pool)


def test_a_stop_iteration_of_f_is_no_end() -> None:
    def ends(z: Tensor) -> Tensor:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        estimate_gradient(ends, Pathwise(normal), {"mu": 1.0, "sigma": 1.0}, 100)


# the state of torch around a call -------------------------------------------------------------------------------------


@contextmanager
def default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


STATES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default device": lambda: torch.device("meta"),
    "default dtype": default_dtype,
}


@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_the_state_of_torch_changes_no_number(estimator: Any, params: dict[str, Any]) -> None:
    params = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in params.items()}
    expected = estimator(control, params, 20, generator())
    threaded = estimate_gradient(control, estimator, params, 20, chunk_size=5)
    for state, entered in STATES.items():
        with entered():
            found = estimator(control, {k: v.clone() for k, v in params.items()}, 20, generator())
            chunks = estimate_gradient(control, estimator, params, 20, chunk_size=5)
        for name in params:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4, msg=partial(in_state, state))
            torch.testing.assert_close(
                chunks[name].mean, threaded[name].mean, rtol=1e-4, atol=1e-4, msg=partial(in_state, state)
            )


def in_state(state: str, message: str) -> str:
    return f"{state}: {message}"


def test_the_beta_law_of_small_concentrations() -> None:
    params = {"concentration1": 1e-2, "concentration0": 1e-2}
    found = Pathwise(partial(rsample, td.Beta))(lambda z: z, params, 1_000_000, generator())
    agrees(found["concentration1"], 25.0, fault=0.2)  # d/da a / (a + b)


def test_a_truncation_without_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="high - low"):
        truncated_normal(0.0, 1e17, -1.0, 1.0)


def test_the_best_baseline_of_an_element_without_score_is_zero() -> None:
    params = {"loc": torch.zeros(2), "scale_tril": torch.eye(2)}
    found = best_baseline(td.MultivariateNormal, sum_of_squares, params, 1000, generator())
    assert found["scale_tril"].isfinite().all()
    assert found["scale_tril"][0, 1] == 0


def test_concurrent_calls_leave_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, joined, left = (threading.Event() for _ in range(3))
    seen: list[int] = []

    def late() -> None:
        inside.wait()
        with one_core():
            joined.set()
            left.wait()

    thread = threading.Thread(target=late)
    thread.start()
    with one_core():
        inside.set()
        joined.wait()
    left.set()
    thread.join()
    fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    torch.set_num_threads(before)
    assert seen == [2]


def test_drawings_made_at_once_leave_the_standard_error() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    dot, before = get_graph(x.exp()).dot(), os.fstat(2)
    threads = [threading.Thread(target=draw, args=(dot, "")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(before, os.fstat(2))


def test_a_leaf_without_values_to_print_is_shown_by_its_shape() -> None:
    meta = torch.ones(2, 3, device="meta", requires_grad=True)
    assert "leaf (2, 3), value = (meta)" in str(get_graph(meta.sum()))
    weights = torch.nn.Embedding(4, 2, sparse=True).weight
    torch.nn.functional.embedding(torch.tensor([1]), weights, sparse=True).sum().backward()
    assert "grad = (sparse)" in str(get_graph(weights.sum()))


def test_an_estimate_in_a_format_string_and_minus_another() -> None:
    estimate = Estimate(torch.tensor(1.0), torch.tensor(1.0), 4)
    assert f"{estimate:>20}" == str(estimate).rjust(20)
    with pytest.raises(TypeError, match="value must be a known number or tensor, got an Estimate"):
        estimate - estimate


def test_the_score_function_keeps_its_mean_when_f_writes() -> None:
    found = ScoreFunction(td.Normal)(in_place, {"loc": 0.5, "scale": 1.0}, 1_000_000, generator())
    agrees(found["loc"], 3.0)
    agrees(found["scale"], 2.0, fault=0.15)

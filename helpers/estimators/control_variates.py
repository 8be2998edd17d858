"""Less variance for the same mean: leave-one-out baselines, fitted control variates, and the best constant baseline.

A baseline is the control variate h = 1, whose expectation depends on no parameter; its fitted coefficient is the best
constant baseline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimators.base import (
    Estimator,
    Gradients,
    Objective,
    Params,
    Values,
    WithParams,
    beside,
    objective,
    own_leaves,
    values_of,
)
from helpers.estimators.bounds import Bound
from helpers.estimators.families import NO_GRAPH, Family, check_family, moved
from helpers.estimators.score_function import ScoreFunction
from helpers.randomness import Noise
from helpers.threads import plain_torch
from helpers.validate import Number


def values_and_scores(
    distribution: Family, f: Objective, params: Params, n: int, generator: Generator | None = None
) -> tuple[Tensor, Gradients]:
    """f(z), shape (n,), and grad_phi log q_phi(z), shape (n, *param.shape) for each name, at the same n samples."""
    estimator = ScoreFunction(distribution)
    given, z = estimator.prepared(f, params, n, generator)
    with plain_torch(z.device):
        values = objective(f, given)(z).detach()
        return values, estimator.scores(z, given, torch.ones_like(values))


def best_baseline(
    distribution: Family, f: Objective, params: Params, n: int, generator: Generator | None = None
) -> Gradients:
    """E[f S^2] / E[S^2] with S = grad_phi log q_phi(z), the constant baseline of least variance, from n samples.

    There is one number for each element of a parameter. It is a ratio of two means, so its bias is O(1/n). If its
    samples are used for nothing else, the gradient stays unbiased. It is 0 for an element whose score is always 0.
    Source: Greensmith, Bartlett and Baxter 2004; Weaver and Tao 2001.
    """
    values, scores = values_and_scores(distribution, f, params, n, generator)
    result = {}
    for name, s in scores.items():
        spread = (s**2).mean(0)  # 0 where an element plays no part, such as those above the diagonal of scale_tril
        result[name] = torch.where(spread > 0, (beside(values, s.dim()) * s**2).mean(0) / spread, 0.0)
    return result


@dataclass(frozen=True)
class LeaveOneOut(Estimator):
    """1/k sum_i (f(z_i) - b_i) grad_phi log q_phi(z_i), in which the baseline b_i is the mean of the other f(z_j).

    One sample of the gradient takes a group of k >= 2 samples z_i and k evaluations of f. The groups are independent,
    so their standard error is correct. Unbiased if the score function is, because no z_i enters its own baseline.
    Source: Kool, van Hoof and Welling 2019; Mnih and Rezende 2016.
    """

    distribution: Family
    k: int = 2

    def __post_init__(self) -> None:
        check_family("distribution", self.distribution)
        validate.integer("k", self.k, 2)

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError if the score function does."""
        ScoreFunction(self.distribution).check(params, n)

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """k samples z for each of n groups."""
        return ScoreFunction(self.distribution).noise(params, n * self.k, generator)

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """Per-group gradients."""
        values = f(noise).detach().reshape(-1, self.k)
        weights = (values - values.mean(1, keepdim=True)) / (self.k - 1)
        terms = ScoreFunction(self.distribution).scores(noise, params, weights.reshape(-1))
        return {name: term.reshape(len(values), self.k, *term.shape[1:]).sum(1) for name, term in terms.items()}

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """The samples z."""
        return noise

    def numbers(self, params: Values) -> int:
        """k times the size for the score function."""
        return self.k * ScoreFunction(self.distribution).numbers(params)


@dataclass(frozen=True)
class ControlVariate(Estimator):
    """X - c (X_h - grad_phi E[h]), where `estimator` gives X for f, and X_h for h at the same samples.

    `h` maps samples to one number each, as f does. `expectation(**params)` is E[h(z)], differentiable with respect to
    the parameters, or a plain number if it depends on none. `coefficient` is c. By default, each half of the samples
    uses Cov(X, X_h) / Var(X_h) as fitted on the other half, separately for each element of a parameter (n >= 4). Then
    c and the gradient that it multiplies are independent, so there is no bias and no correlation between the samples of
    a half. Samples of different halves are correlated to order 1/n^2, too little to affect the standard error.
    Source: Mohamed et al. 2020, section 7; the split, Avramidis and Wilson 1993.
    """

    estimator: Estimator
    h: Objective
    expectation: Callable[..., Number]
    coefficient: float | None = None

    def __post_init__(self) -> None:
        validate.instance("estimator", self.estimator, Estimator, "an estimator of helpers.estimators")
        if isinstance(self.estimator, Bound):
            raise TypeError(f"estimator must estimate the gradient of E[f(z)], not of a bound, got {self.estimator}")
        for name in ("h", "expectation"):
            validate.instance(name, getattr(self, name), Callable, "a function")
        if isinstance(self.h, WithParams):
            raise TypeError("h must be a function of z alone, got a function of the parameters too")
        if self.coefficient is not None:
            validate.number("coefficient", self.coefficient)
        elif isinstance(self.estimator, ControlVariate) and self.estimator.fits:
            raise ValueError(
                "estimator must have a coefficient of its own, got a ControlVariate that fits it to the other half of "
                "the samples, as this one does"
            )

    @property
    def fits(self) -> bool:
        """Whether this or its estimator fits a coefficient."""
        return self.coefficient is None or (isinstance(self.estimator, ControlVariate) and self.estimator.fits)

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError if `estimator` does, or for n < 4 if the coefficient has to be fitted."""
        if self.coefficient is None:
            validate.integer("n, or chunk_size if it is smaller,", n, 4)
        self.estimator.check(params, n)

    @property
    def least_chunk(self) -> int:
        """100 samples if a coefficient is fitted, because a fit to a few of them is mostly noise."""
        return 100 if self.fits else super().least_chunk

    def standard_noise(self, params: Values) -> tuple[Noise, torch.Size]:
        """The standard noise of `estimator`."""
        return self.estimator.standard_noise(params)

    def noise_from(self, eps: Tensor, params: Values) -> Any:
        """The noise of `estimator` from standard noise eps."""
        return self.estimator.noise_from(eps, params)

    def noise(self, params: Values, n: int, generator: Generator | None) -> Any:
        """The noise of `estimator`, at which both f and h are evaluated."""
        return self.estimator.noise(params, n, generator)

    def gradients(self, f: Objective, noise: Any, params: Values) -> Gradients:
        """X - c (X_h - grad_phi E[h])."""
        exact = self._exact(params)
        of_f = self.estimator.gradients(f, noise, params)
        of_h = self.estimator.gradients(objective(self.h, params, "h"), noise, params)
        result = {}
        for name, g in of_f.items():
            excess = of_h[name] - exact[name]
            result[name] = g - self._coefficients(g, excess) * excess
        return result

    def samples(self, noise: Any, params: Values) -> Tensor:
        """The samples of `estimator`."""
        return self.estimator.samples(noise, params)

    def numbers(self, params: Values) -> int:
        """The size for `estimator`."""
        return self.estimator.numbers(params)

    def _exact(self, values: Values) -> Gradients:
        leaves = own_leaves(values)
        mean = torch.as_tensor(self.expectation(**leaves))
        if mean.dim() > 0:
            raise ValueError(f"expectation must return one number, got shape {tuple(mean.shape)}")
        slopes: Sequence[Tensor | None] = [None] * len(leaves)
        if mean.requires_grad:
            slopes = torch.autograd.grad(mean, list(leaves.values()), allow_unused=True)
        for name, slope in zip(leaves, slopes, strict=True):
            if slope is None and torch.as_tensor(self.expectation(**moved(values, name))) != mean:
                raise ValueError(f"expectation depends on {name!r} and carries no graph to it: {NO_GRAPH}")
        pairs = zip(leaves.items(), slopes, strict=True)
        return {name: torch.zeros_like(leaf) if slope is None else slope for (name, leaf), slope in pairs}

    def _coefficients(self, g: Tensor, excess: Tensor) -> Tensor | float:
        if self.coefficient is not None:
            return self.coefficient
        half = len(g) // 2
        first, second = (_slope(g[part], excess[part]) for part in (slice(half), slice(half, None)))
        return torch.cat([second.expand(half, *second.shape), first.expand(len(g) - half, *first.shape)])


def _slope(y: Tensor, x: Tensor) -> Tensor:
    """Least-squares slope of y on x over the first axis; 0 where x does not vary."""
    x = x - x.mean(0)
    squares = (x**2).sum(0)
    return torch.where(squares > 0, (x * (y - y.mean(0))).sum(0) / squares, 0.0)


def quadratic(f: Objective, point: Tensor) -> tuple[Objective, Callable[[Number, Number], Tensor]]:
    """(h, expected), the second-order Taylor polynomial h of f at `point` and its expectation, as in the delta method.

    `point` has the shape of one sample. h maps samples (n, *point.shape) to (n,); `expected(mean, variance)` is E[h(z)]
    for every distribution of independent coordinates with that mean and variance, numbers or tensors that broadcast
    to the shape of `point`. f must be twice differentiable at `point`. Raises ValueError if f does not return one
    number per sample.
    Source: Paisley, Blei and Jordan 2012; Mohamed et al. 2020, section 7.
    """
    validate.instance("f", f, Callable, "a function")
    (point,) = validate.tensors(point=point)
    point = point.detach()
    size = point.numel()
    at = lambda z: f(z[None])[0]  # noqa: E731
    with plain_torch(point.device):
        point = point.clone()  # one that was made under inference_mode cannot be differentiated
        value = values_of(f, point[None], point.dtype)[0].detach()
        slope = torch.autograd.functional.jacobian(at, point).reshape(size)
        curvature = torch.autograd.functional.hessian(at, point).reshape(size, size)

    def h(z: Tensor) -> Tensor:
        step = (z - point).reshape(len(z), size)
        return value + step @ slope + ((step @ curvature) * step).sum(1) / 2

    def expected(mean: Number, variance: Number) -> Tensor:
        mean, variance = validate.tensors(mean=mean, variance=variance)
        spread = curvature.diag() @ variance.expand(point.shape).reshape(size)
        return h(mean.expand(1, *point.shape))[0] + spread / 2

    return h, expected

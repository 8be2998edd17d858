"""The score-function estimator, also called the log-derivative trick and REINFORCE."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimators import families
from helpers.estimators.base import (
    Estimator,
    Gradients,
    Objective,
    Values,
    beside,
    checked_samples,
    gradients_of_copies,
    one_copy_per_sample,
    own_leaves,
    rows_of_jacobian,
)
from helpers.estimators.families import Family
from helpers.estimators.standard_noise import standard_noise_of
from helpers.randomness import Noise, drawing_from


@dataclass(frozen=True)
class ScoreFunction(Estimator):
    """(f(z) - baseline) * grad_phi log q_phi(z) for each sample z ~ q_phi.

    `distribution` is a class of `torch.distributions`, or any function from the parameters to a Distribution, such as
    a policy `lambda W: Normal(x @ W, 1.0)`. `baseline` is a constant that depends on no sample, so it leaves the mean
    unchanged. f need not be differentiable. Unbiased; a parameter that a function detaches at some places counts as a
    constant there. Raises ValueError where the score misses a part of the derivative, namely if a parameter determines
    the support, a probability of exactly 0 or 1, or a rate of exactly 0, and where samples have too few digits to
    compute the score (see `families.check_digits`).
    Source: Glynn 1990; Williams 1992; Mohamed et al. 2020, section 4.
    """

    distribution: Family
    baseline: float | None = None

    def __post_init__(self) -> None:
        families.check_family("distribution", self.distribution)
        if self.baseline is not None:
            validate.number("baseline", self.baseline)

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError for bad names or values, or if the score misses a part of the derivative."""
        families.check_params(self.distribution, params)
        wide = families.widened(self.distribution, params)
        families.check_digits(families.check_derivative(self.distribution, wide), next(iter(params.values())))

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """The samples z themselves, because q_phi is used only through its density.

        They keep digits that f does not see where the score needs them: see `families.widened`.
        """
        q = families.at_own_shape(self.distribution, families.widened(self.distribution, params))
        with torch.no_grad(), drawing_from(generator) if generator is not None else nullcontext():
            return checked_samples(q.sample((n,)), n)

    def standard_noise(self, params: Values) -> tuple[Noise, torch.Size]:
        """Normal noise for a normal distribution, uniform noise for others with an inverse CDF, else ValueError."""
        standard = standard_noise_of(families.at_own_shape(self.distribution, params))
        return super().standard_noise(params) if standard is None else standard[:2]

    def noise_from(self, eps: Tensor, params: Values) -> Tensor:
        """The samples z at this noise."""
        wide = families.widened(self.distribution, params)
        _, _, to_samples = standard_noise_of(families.at_own_shape(self.distribution, wide))
        return to_samples(eps).to(next(iter(wide.values())).dtype)

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """(f(z) - baseline) times the score."""
        weights = f(noise).detach()
        if self.baseline is not None:
            weights = weights - self.baseline
        return self.scores(noise, params, weights)

    def scores(self, z: Tensor, params: Values, weights: Tensor) -> Gradients:
        """weight * grad_phi log q_phi(z) for each sample z, shape (n, *param.shape); `weights` has shape (n,)."""
        n = len(z)
        if families.is_class(self.distribution):
            wide = families.widened(self.distribution, params)
            leaves = one_copy_per_sample(wide, n, families.event_dims(self.distribution, params))
            q = self.distribution(**leaves, validate_args=False)
            if q.batch_shape[:1] != (n,):
                raise ValueError(
                    f"{families.name_of(self.distribution)} must keep the axes of its parameters as its batch shape, "
                    f"got {tuple(q.batch_shape)} from {n} copies of them"
                )
            log_density = q.log_prob(z)
            return gradients_of_copies(log_density.reshape(n, -1).sum(1), weights, leaves, params)
        leaves = own_leaves(params)
        log_density = families.at_own_shape(self.distribution, leaves).log_prob(z).reshape(n, -1).sum(1)
        check_unused = partial(families.check_graph, self.distribution, params, z)
        rows = rows_of_jacobian(log_density, leaves, check_unused, 8 * torch.finfo(log_density.dtype).eps)
        return {name: beside(weights.to(row.dtype), row.dim()) * row for name, row in rows.items()}

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """The samples z."""
        return noise

    def numbers(self, params: Values) -> int:
        """The size of one sample, or of the parameters if they are larger."""
        return families.numbers_of_sample(self.distribution, params)

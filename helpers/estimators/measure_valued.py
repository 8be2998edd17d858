"""Measure-valued derivatives, which write the derivative of a density as a difference of two densities to sample.

grad_phi q_phi(z) = c_phi (q+(z) - q-(z)), so grad_phi E[f(z)] = c_phi (E+[f(z)] - E-[f(z)]).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.distributions import Bernoulli, Distribution, Exponential, Normal, Poisson

from helpers import validate
from helpers.estimators import families
from helpers.estimators.base import Estimator, Gradients, Objective, Values
from helpers.randomness import at_least_float32, drawing_from

# A triple maps the parameters, all of one shape, to (c, z+, z-) of that shape. z+ and z- are coupled, which means that
# they are made from the same random numbers and so lie close together.
_Triple = tuple[Tensor | float, Tensor, Tensor]
Triple = Callable[..., _Triple]


def _normal_loc(loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """c = 1 / (sigma sqrt(2 pi)), z± = mu ± sigma W, W ~ Rayleigh(1) = Weibull(sqrt(2), 2)."""
    w = torch.sqrt(2 * torch.empty_like(loc).exponential_())
    return 1 / (scale * (2 * torch.pi) ** 0.5), loc + scale * w, loc - scale * w


def _normal_scale(loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """c = 1 / sigma, z+ = mu + sigma M, M double-sided Maxwell, z- = mu + sigma M U, U ~ U(0, 1).

    |M| is the length of a vector of three standard normal numbers. M U is the first coordinate of a vector of that
    length and uniform direction, so it is a standard normal number.
    """
    length = torch.randn(3, *loc.shape, dtype=loc.dtype, device=loc.device).norm(dim=0)
    direction = 2 * torch.rand_like(loc) - 1
    m = torch.where(direction < 0, -length, length)
    return 1 / scale, loc + scale * m, loc + scale * length * direction


def _poisson_rate(rate: Tensor) -> tuple[float, Tensor, Tensor]:
    """c = 1, z+ = z- + 1, z- ~ Poisson(lambda)."""
    z = torch.poisson(rate)
    return 1.0, z + 1, z


def _exponential_rate(rate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """c = 1 / lambda, z+ ~ Exponential(lambda), z- = z+ + another such sample, so z- ~ Gamma(2, lambda)."""
    first, second = torch.empty(2, *rate.shape, dtype=rate.dtype, device=rate.device).exponential_() / rate
    return 1 / rate, first, first + second


def _bernoulli_probs(probs: Tensor) -> tuple[float, Tensor, Tensor]:
    """c = 1, z+ = 1, z- = 0, which are not random, so a single Bernoulli variable has no variance."""
    return 1.0, torch.ones_like(probs), torch.zeros_like(probs)


TRIPLES: Mapping[type[Distribution], Mapping[str, Triple]] = {
    Normal: {"loc": _normal_loc, "scale": _normal_scale},
    Poisson: {"rate": _poisson_rate},
    Exponential: {"rate": _exponential_rate},
    Bernoulli: {"probs": _bernoulli_probs},
}


@dataclass(frozen=True)
class MeasureValued(Estimator):
    """sum_i c_i (f(z with z_i+ in place i) - f(z with z_i- there)) over the coordinates i that a parameter affects.

    `distribution` is Normal, Poisson, Exponential or Bernoulli of `torch.distributions`; params has all its arguments
    (loc and scale; rate; probs). A batch shape is a vector of independent coordinates, which together are one sample z;
    f is evaluated twice for each coordinate and each parameter. f need not be differentiable, nor even continuous.
    Unbiased. `coupled` makes z+ and z- from the same random numbers; without it they are independent.
    Source: Pflug 1989; Heidergott, Vazquez-Abad and Volk-Makarewicz 2008; Mohamed et al. 2020, section 6.
    """

    distribution: type[Distribution]
    coupled: bool = True

    def __post_init__(self) -> None:
        validate.instance("distribution", self.distribution, type, "a class of torch.distributions")
        if self.distribution not in TRIPLES:
            known = ", ".join(family.__name__ for family in TRIPLES)
            raise ValueError(f"distribution must be one of {known}, got {self.distribution!r}")
        validate.instance("coupled", self.coupled, bool, "True or False")

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError unless the parameters are all those of the distribution, and within their domains."""
        validate.same_names("params", params, TRIPLES[self.distribution])
        validate.broadcast({name: value.shape for name, value in params.items()})
        self.distribution(**params, validate_args=True)
        if self.distribution is Normal:
            q = self.distribution(**families.widened(Normal, params))
            families.check_digits(q, next(iter(params.values())))

    def noise(self, params: Values, n: int, generator: Generator | None) -> tuple[Tensor, dict[str, _Triple]]:
        """The samples z, and for each parameter c, z+ and z- in each coordinate."""
        copies = self._copies(params, n)
        halves = {}
        with torch.no_grad(), drawing_from(generator):
            z = self.distribution(**copies, validate_args=False).sample()
            for name in params:
                weight, plus, minus = TRIPLES[self.distribution][name](**copies)
                if not self.coupled:
                    minus = TRIPLES[self.distribution][name](**copies)[2]
                halves[name] = weight, plus, minus
        return z, halves

    def gradients(self, f: Objective, noise: tuple[Tensor, dict[str, _Triple]], params: Values) -> Gradients:
        """c_i (f(z with z_i+) - f(z with z_i-)), summed over the coordinates that an element affects."""
        z, halves = noise
        result = {}
        with torch.no_grad():
            for name, (weight, plus, minus) in halves.items():
                value = params[name]
                difference = weight * (_in_each_place(f, z, plus) - _in_each_place(f, z, minus))
                padded = (1,) * (z.dim() - 1 - value.dim()) + value.shape
                result[name] = difference.sum_to_size(len(z), *padded).reshape(len(z), *value.shape)
        return result

    def samples(self, noise: tuple[Tensor, dict[str, _Triple]], params: Values) -> Tensor:
        """The samples z."""
        return noise[0]

    def _copies(self, params: Values, n: int) -> Values:
        shape = validate.broadcast({name: value.shape for name, value in params.items()})
        return {name: value.to(at_least_float32(value.dtype)).expand(n, *shape) for name, value in params.items()}


def _in_each_place(f: Objective, z: Tensor, other: Tensor) -> Tensor:
    """f of z with coordinate i of `other` in place i, for each i, in the shape of z."""
    n = len(z)
    columns = []
    for i in range(math.prod(z.shape[1:])):
        moved = z.clone()
        moved.view(n, -1)[:, i] = other.reshape(n, -1)[:, i]
        columns.append(f(moved))
    return torch.stack(columns, 1).reshape(z.shape)

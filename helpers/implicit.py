"""Implicit reparametrization: a sample that was drawn in any way gets the gradient that its CDF implies.

When phi changes, a sample keeps its height F_phi(z) = u, so dz/dphi = -(dF_phi(z)/dphi) / q_phi(z). The samplers are
called like those of `helpers.reparametrize`, and compute in float64 throughout. Source: Figurnov, Mohamed, Mnih 2018.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.distributions import (
    Beta,
    Chi2,
    ContinuousBernoulli,
    Dirichlet,
    Distribution,
    FisherSnedecor,
    Gamma,
    GeneralizedPareto,
    Independent,
    StudentT,
    TransformedDistribution,
    VonMises,
    constraints,
)
from torch.special import erfc, i0e, i1e, ndtri

from helpers import validate
from helpers.randomness import at_least_float32, drawing_from, open_uniform
from helpers.reparametrize import gumbel_max, size_of
from helpers.validate import Number


class _FirstDerivativeOnly(torch.autograd.Function):
    """x itself in value, with a derivative that cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # so it is with create_graph=True
            raise NotImplementedError(
                "implicit samples have first derivatives only: the quotient (dF/dphi) / (dF/dz) is computed at a fixed "
                "z. Use the score function or `dice` for second derivatives"
            )
        return grad_output


def implicit(z: Tensor, cdf: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """The value of z with the derivative dz/dphi = -(dF/dphi) / (dF/dz) for each of `parameters`.

    `cdf(z, *parameters)` is the CDF F at each element of z, differentiable with respect to z and the parameters. The
    gradient is only as accurate as the derivatives of `cdf` at these samples, which cannot be checked here. A series or
    a quadrature often loses its digits in a tail.
    Raises ValueError if F does not increase at a sample, and NotImplementedError for a second derivative
    (`create_graph=True`).
    """
    validate.instance("cdf", cdf, Callable, "a function")
    (z,) = validate.tensors(z=z)
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        at = cdf(z, *parameters)
        if not isinstance(at, Tensor) or at.shape != z.shape:
            raise ValueError(f"cdf must return a tensor of shape {tuple(z.shape)}, got {getattr(at, 'shape', at)}")
        if not at.requires_grad:
            raise ValueError("cdf must be differentiable with respect to z, but its result carries no graph")
        (density,) = torch.autograd.grad(at.sum(), z, retain_graph=True)
    if not (density > 0).all():
        raise ValueError(f"cdf must increase at every sample, got the slope {density.min().item():.6g}")
    return _FirstDerivativeOnly.apply(z.detach() - (at - at.detach()) / density)


# torch makes these from Gamma variables, which underflow in float32 where a concentration is small.
BY_GAMMA = (Beta, Chi2, Dirichlet, FisherSnedecor, Gamma, StudentT)
_SMALLEST = 0.01  # below it more than one Gamma variable in 1,000 underflows in float64 too
_LARGEST_BETA = 1000.0  # beyond it torch's derivative of an unbalanced Beta is wrong by several to over 20%


def concentrations(distribution: Distribution) -> Iterator[tuple[str, Tensor]]:
    """The concentrations of the Gamma variables that samples are made of, by the name of the parameter."""
    if isinstance(distribution, Chi2 | FisherSnedecor | StudentT):
        for name in ("df", "df1", "df2"):
            if hasattr(distribution, name):
                yield name, getattr(distribution, name) / 2
    elif isinstance(distribution, Beta):
        yield "concentration1", distribution.concentration1
        yield "concentration0", distribution.concentration0
    else:
        yield "concentration", distribution.concentration


def _within_limits(distribution: Distribution) -> None:
    """Raise ValueError if torch's samples underflow or torch's derivative has fewer than three digits."""
    for name, value in concentrations(distribution):
        half = " / 2" if name.startswith("df") else ""
        allowed = f">= {_SMALLEST}, below which torch's samples underflow"
        validate.within(name + half, value, 0.999 * _SMALLEST, math.inf, allowed)
    if isinstance(distribution, Beta | Dirichlet):
        both = distribution.concentration if isinstance(distribution, Dirichlet) else None
        one = distribution.concentration1 if both is None else both
        rest = distribution.concentration0 if both is None else both.sum(-1, keepdim=True) - both
        larger, smaller = torch.maximum(one, rest), torch.minimum(one, rest)
        bad = (larger > _LARGEST_BETA) & (smaller <= 6)
        if bad.any():
            raise ValueError(
                f"concentrations must be at most {_LARGEST_BETA:g} next to one up to 6, as torch's derivative is wrong "
                f"beyond that, got {larger[bad][0].item():.6g} next to {smaller[bad][0].item():.6g}"
            )


def _check_family(distribution: object) -> bool:
    """Whether it is a class of distributions; TypeError unless it is one or another function."""
    is_class = isinstance(distribution, type) and issubclass(distribution, Distribution)
    if not (is_class or (callable(distribution) and not isinstance(distribution, type))):
        raise TypeError(f"distribution must be a class or function with rsample, got {distribution!r}")
    return is_class


def rsample(
    distribution: type[Distribution] | Callable[..., Distribution],
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
    **parameters: Number,
) -> Tensor:
    """torch's own differentiable samples of Gamma, Beta, Dirichlet and others, drawn with a generator.

    `distribution` is a class of `torch.distributions` with `rsample`, or a function from the parameters to one, so
    `partial(rsample, Gamma)` is a sampler. The derivatives of gamma variables, and of all that is computed from them,
    are accurate to about three digits. Raises ValueError for a concentration below 0.01 (df below 0.02), where torch's
    samples underflow, and for Beta and Dirichlet if one is above 1000 and another at most 6, where torch's derivatives
    are wrong by several to over 20%.
    Source: Figurnov, Mohamed and Mnih 2018; Jankowiak and Obermeyer 2018.
    """
    is_class = _check_family(distribution)
    size_of(sample_shape, generator)
    checked = dict(zip(parameters, validate.tensors(**parameters), strict=True))
    narrow = next((value.dtype for value in checked.values()), torch.get_default_dtype())
    options = {"validate_args": True} if is_class else {}

    def at(dtype: torch.dtype) -> Distribution:
        q = distribution(**{name: value.to(dtype) for name, value in checked.items()}, **options)
        if not isinstance(q, Distribution) or not can_rsample(q):
            raise TypeError(f"distribution must be a class or function with rsample, got {distribution!r}")
        return q

    q = at(at_least_float32(narrow))
    if by_gamma := isinstance(_base(q), BY_GAMMA):
        q = at(torch.float64)
        _within_limits(_base(q))
    _check_path(_base(q))
    z = _drawn(q, torch.Size(sample_shape), generator, narrow)
    return (_FirstDerivativeOnly.apply(z) if by_gamma else z).to(narrow)


def can_rsample(q: Distribution) -> bool:
    """Whether torch can reparametrize q, also where its class has `rsample` and does not say so."""
    says = any("has_rsample" in vars(c) for c in type(q).__mro__ if c is not Distribution)
    silent = not says and type(q).rsample is not Distribution.rsample
    return q.has_rsample or silent


def check_spread(z: Tensor, q: Distribution) -> None:
    """Raise ValueError if the first samples z ~ q are rounded by more than a fiftieth of their standard deviation.

    Samples of discrete distributions, and of those whose support is not known, may all be the same.
    """
    few = z[:100].detach()
    if len(few) < 10 or not _is_continuous(q):
        return
    support = q.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    if support is constraints.corr_cholesky:
        few = few[..., 1:, :]  # the first row is always (1, 0, 0, ...)
    rounding = torch.finfo(z.dtype).eps * few.abs().amax(0) / few.std(0)
    name = f"the rounding of samples in {z.dtype} / their standard deviation"
    validate.within(name, rounding.nan_to_num(0.0, math.inf), -1.0, 0.02, "< 0.02, or samples have too few digits")


def _is_continuous(q: Distribution) -> bool:
    while isinstance(q, Independent | TransformedDistribution):
        q = q.base_dist
    try:
        return not q.support.is_discrete
    except (NotImplementedError, AttributeError):
        return False


def _drawn(q: Distribution, size: torch.Size, generator: Generator | None, dtype: torch.dtype) -> Tensor:
    """Samples of q, with digits enough where they are narrower than the parameters, which have this dtype."""
    with drawing_from(generator):
        z = q.rsample(size)
    if size and z.dtype.itemsize < dtype.itemsize:  # a function may hold a Normal(0.0, 1.0), which has float32
        check_spread(z, q)
    return z


def _base(q: Distribution) -> Distribution:
    return q.base_dist if isinstance(q, Independent) else q


def _check_path(q: Distribution) -> None:
    """Raise ValueError where torch's samples do not depend on a parameter of which their distribution is a function."""
    if isinstance(q, ContinuousBernoulli) and ((q.probs - 0.5).abs() <= 0.001).any():
        raise ValueError(
            "probs of ContinuousBernoulli must be outside [0.499, 0.501], where torch's rsample drops them"
        )
    if isinstance(q, GeneralizedPareto) and (q.concentration.abs() <= 1e-8).any():
        raise ValueError("concentration of GeneralizedPareto must not be 0, where torch's rsample drops it")


def _phi(x: Tensor) -> Tensor:
    """The standard normal CDF. torch's `ndtr` is 0 below -8.3, and this one is not."""
    return erfc(x * -math.sqrt(0.5)) / 2


def _check_interval(mu: Tensor, sigma: Tensor, low: Tensor, high: Tensor) -> None:
    validate.positive("sigma", sigma)
    validate.positive("high - low", high - low)
    nearest = torch.maximum(low - mu, mu - high) / sigma
    validate.within("the distance of mu from the interval, in units of sigma,", nearest, -math.inf, 37.0, "< 37")


def _ends(side: Tensor, mu: Tensor, sigma: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The standardized ends of the interval, mirrored where side is -1."""
    first, last = torch.where(side > 0, low, high), torch.where(side > 0, high, low)
    return side * (first - mu) / sigma, side * (last - mu) / sigma


def truncated_normal(
    mu: Number,
    sigma: Number,
    low: Number,
    high: Number,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """z ~ N(mu, sigma^2) given low < z < high, with F = (Phi(x) - Phi(a)) / (Phi(b) - Phi(a)), x, a, b standardized.

    sigma > 0 and low < high, both finite. For no bound, use one that is far away. A part of (low, high) must lie within
    37 sigma of mu.
    """
    given = validate.tensors(mu=mu, sigma=sigma, low=low, high=high)
    size = size_of(sample_shape, generator, **dict(zip(("mu", "sigma", "low", "high"), given, strict=True)))
    dtype, (mu, sigma, low, high) = given[0].dtype, (value.double() for value in given)
    _check_interval(mu, sigma, low, high)
    # Phi is precise on its left side only, so the interval is mirrored to where most of it is below mu
    side = torch.where(low + high > 2 * mu, -1.0, 1.0).detach()
    ends = partial(_ends, side)

    def cdf(z: Tensor, *parameters: Tensor) -> Tensor:
        a, b = map(_phi, ends(*parameters))
        return side * (_phi(side * (z - parameters[0]) / parameters[1]) - a) / (b - a)

    with torch.no_grad():
        a, b = ends(mu, sigma, low, high)
        inside = (_phi(b) - _phi(a)) / _phi(b)
        validate.within("(high - low) / sigma", inside, 1e-8, math.inf, "> 1e-8, so that Phi(b) - Phi(a) has digits")
        u = open_uniform(size, mu, generator)
        x = torch.clamp(ndtri(_phi(a) + u * (_phi(b) - _phi(a))), a, b)
        z = mu + side * sigma * x
    return implicit(z, cdf, mu, sigma, low, high).to(dtype)


def normal_mixture(
    weights: Number,
    mu: Number,
    sigma: Number,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """z ~ sum_k w_k N(mu_k, sigma_k^2), with F = sum_k w_k Phi((z - mu_k) / sigma_k).

    The components are the last axis of all three arguments, and the result does not have this axis. The weights are
    > 0 and sum to 1, and sigma > 0. F divides by the sum of the weights, as torch's categorical distributions do, so
    d/dw_k E[f] is E_k[f] - E[f]. The variance of the gradient with respect to the weights grows exponentially with the
    squared distance of the components.
    """
    given = validate.tensors(weights=weights, mu=mu, sigma=sigma)
    validate.distribution("weights", given[0])
    validate.positive("sigma", given[2])
    size = size_of(sample_shape, generator, weights=given[0], mu=given[1], sigma=given[2])
    dtype, (weights, mu, sigma) = given[0].dtype, (value.double() for value in given)

    def cdf(z: Tensor, weights: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
        return (weights * _phi((z[..., None] - mu) / sigma)).sum(-1) / weights.sum(-1)

    with torch.no_grad():
        chosen = gumbel_max((weights / weights.sum(-1, keepdim=True)).expand(size), generator=generator)
        eps = torch.randn(size[:-1], dtype=mu.dtype, device=mu.device, generator=generator)
        z = (chosen * mu).sum(-1) + (chosen * sigma).sum(-1) * eps
    return implicit(z, cdf, weights, mu, sigma).to(dtype)


_NODES, _WEIGHTS = (torch.from_numpy(values) for values in np.polynomial.legendre.leggauss(24))


def von_mises(
    loc: Number, concentration: Number, *, sample_shape: Sequence[int] = (), generator: Generator | None = None
) -> Tensor:
    """z ~ von Mises(loc, kappa), with the density exp(kappa cos(z - loc)) / (2 pi I0(kappa)) and kappa > 0.

    The `concentration` is kappa. z lies in [loc - pi, loc + pi] and is not wrapped, so it moves with loc without a jump
    and dz/dloc = 1.
    """
    loc, kappa = validate.tensors(loc=loc, concentration=concentration)
    validate.positive("concentration", kappa)
    size = size_of(sample_shape, generator, loc=loc, concentration=kappa)
    with torch.no_grad(), drawing_from(generator):
        concentrations = kappa.double().expand(size)
        x = VonMises(torch.zeros_like(concentrations), concentrations).sample()
        slope = _von_mises_slope(x, concentrations)
    return _FirstDerivativeOnly.apply(loc.double() + x + slope * (kappa - kappa.detach())).to(loc.dtype)


def _von_mises_slope(x: Tensor, kappa: Tensor) -> Tensor:
    """-(dF/dkappa) / q at x in [-pi, pi], by Gauss-Legendre quadrature.

    It is the integral of exp(kappa (cos t - cos x)) (cos t - E[cos]) over t from x > 0 to pi, and odd in x. The part
    where the exponent is below -40 is left out.
    """
    start = x.abs()
    stop = torch.acos((torch.cos(start) - 40 / kappa).clamp(min=-1.0))
    half = ((stop - start) / 2)[..., None]
    step = half * (_NODES.to(x.device) + 1)
    t = start[..., None] + step
    exponent = -2 * kappa[..., None] * torch.sin(t - step / 2) * torch.sin(step / 2)
    mean = (i1e(kappa) / i0e(kappa))[..., None]
    return torch.sign(x) * (half * _WEIGHTS.to(x.device) * torch.exp(exponent) * (torch.cos(t) - mean)).sum(-1)

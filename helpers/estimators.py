"""Estimators of grad_phi E[f(z)], z ~ q_phi: each turns a sampler or a density into per-sample gradients.

An estimator is a frozen object called as `estimator(f, params, n, generator)`. `f` maps samples of shape (n, ...) to
one number a sample, shape (n,). `params` maps the argument names of the sampler or distribution to numbers or
tensors. The result maps each name to a tensor of shape (n, *param.shape) whose mean over the first axis is the
estimate.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from numbers import Real
from typing import Any, Protocol

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, constraints

from helpers import validate
from helpers.streams import drawing_from
from helpers.validate import Number

Objective = Callable[[Tensor], Tensor]
Params = Mapping[str, Number]
Gradients = dict[str, Tensor]


class Estimator(Protocol):
    """What `estimate_gradient` asks of an estimator."""

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None) -> Gradients: ...


def _check_call(f: Objective, n: int, generator: Generator | None) -> None:
    validate.instance("f", f, Callable, "a function")
    validate.integer("n", n, 1)
    validate.instance("generator", generator, Generator | None, "a torch.Generator or None")


def _checked(params: Params) -> Gradients:
    validate.instance("params", params, Mapping, "a mapping of names to numbers or tensors")
    if not params:
        raise ValueError("params must not be empty: there is nothing to differentiate")
    return dict(zip(params, validate.tensors(**params), strict=True))


def _one_copy_per_sample(params: Params, n: int, event_dims: Mapping[str, int]) -> Gradients:
    """Each parameter as a leaf of shape (n, ...) so that one backward pass gives n separate gradients.

    The copies share memory. Batch axes are padded to a common number, so that they still broadcast behind the sample
    axis; the last `event_dims[name]` axes belong to one draw and are left alone.
    """
    values = _checked(params)
    batches = {name: value.shape[: value.dim() - event_dims.get(name, 0)] for name, value in values.items()}
    widest = len(validate.broadcast(batches))
    leaves = {}
    for name, value in values.items():
        padding = (1,) * (widest - len(batches[name]))
        copies = value.detach().expand(n, *value.shape).reshape(n, *padding, *value.shape)
        leaves[name] = copies.requires_grad_()
    return leaves


def _values_of(f: Objective, z: Tensor, n: int) -> Tensor:
    """The values of f at a copy of z, which f may write into, in the dtype of z where that is a floating one.

    Values that are not floating numbers (a class for a sample, a bool) otherwise get torch's default dtype.
    """
    if z.dim() == 0 or z.shape[0] != n:
        raise ValueError(f"the sampler must return n = {n} samples on its first axis, got shape {tuple(z.shape)}")
    values = f(z.clone())
    if not isinstance(values, Tensor) or values.shape != (n,):
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"f must return one number a sample, a tensor of shape ({n},), got {got}")
    if values.is_complex():
        raise TypeError(f"f must return real numbers, got {values.dtype}")
    if z.is_floating_point():
        values = values.to(z.dtype)
    elif not values.is_floating_point():
        values = values.to(torch.get_default_dtype())
    if validate.tracing.active:  # `helpers.compiled` looks at the sum
        return values
    # one pass to look for trouble, which a sum cannot hide; a slower one to count it
    bad = 0 if math.isfinite(values.detach().sum().item()) else n - int(values.detach().isfinite().sum())
    if bad:
        raise ValueError(f"f must return finite numbers, got NaN or infinity for {bad} of {n} samples")
    return values


def _gradients(values: Tensor, weights: Tensor, leaves: Gradients, params: Params) -> Gradients:
    """Gradient of weight * value for each sample, in the shape of each parameter; zero where it has no part in it."""
    gradients = torch.autograd.grad(values, list(leaves.values()), weights.expand_as(values), allow_unused=True)
    result = {}
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        result[name] = gradient.reshape(leaf.shape[0], *getattr(params[name], "shape", ()))
    return result


@dataclass(frozen=True)
class Pathwise:
    """grad_phi f(g_phi(eps)) for each draw of eps: the derivative goes through the sampler.

    Unbiased where the sampler is a differentiable reparametrization and f is continuous and almost everywhere
    differentiable. Over a relaxation, a straight-through sampler or one that torch does not differentiate, it is
    what backpropagation gives there: biased, or zero. A parameter that f(z) does not depend on gets zeros; an f
    that carries no graph at all (constant, or it detaches) raises ValueError.
    Source: Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014; Mohamed et al. 2020, section 5.
    """

    sampler: Callable[..., Tensor]

    def __post_init__(self) -> None:
        validate.instance("sampler", self.sampler, Callable, "a function")

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-sample gradients; see the module."""
        _check_call(f, n, generator)
        with torch.enable_grad():
            leaves = _one_copy_per_sample(params, n, {})
            values = _values_of(f, self.sampler(**leaves, generator=generator), n)
            if not values.requires_grad:
                raise ValueError(
                    "f(z) carries no graph back to the parameters: f or the sampler detaches, or f is not "
                    "differentiable. The score function needs neither"
                )
            return _gradients(values, values.new_ones(()), leaves, params)


@dataclass(frozen=True)
class ScoreFunction:
    """(f(z) - baseline) * grad_phi log q_phi(z) for each draw z ~ q_phi: the log-derivative trick, REINFORCE.

    `distribution` is a class of `torch.distributions`; `baseline` a constant that no draw enters, so that the mean
    stays what it is. f need not be differentiable. Unbiased where the support of q_phi does not depend on phi.
    Source: Glynn 1990; Williams 1992; Mohamed et al. 2020, section 4.
    """

    distribution: type[Distribution]
    baseline: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.distribution, type) and issubclass(self.distribution, Distribution)):
            raise TypeError(f"distribution must be a class of torch.distributions, got {self.distribution!r}")
        validate.instance("baseline", self.baseline, Real | None, "a number or None")
        if self.baseline is not None and not math.isfinite(self.baseline):
            raise ValueError(f"baseline must be finite, got {self.baseline}")

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-sample gradients; see the module."""
        _check_call(f, n, generator)
        event_dims = self._event_dims(params)
        with torch.enable_grad():
            leaves = _one_copy_per_sample(params, n, event_dims)
            q = self.distribution(**leaves, validate_args=False)
            with torch.no_grad(), drawing_from(generator) if generator is not None else nullcontext():
                z = q.sample()
            weights = _values_of(f, z, n).detach()
            if self.baseline is not None:
                weights = weights - self.baseline
            log_density = q.log_prob(z)
            if log_density.dim() > 1:
                log_density = log_density.reshape(n, -1).sum(1)
            return _gradients(log_density, weights, leaves, params)

    def _event_dims(self, params: Params) -> dict[str, int]:
        """How many axes of each parameter belong to one draw; ValueError for a bad name, law or value."""
        domains = self.distribution.arg_constraints
        if not validate.tracing.active:
            self._check(params, domains)
        return {name: domains[name].event_dim for name in params}

    def _check(self, params: Params, domains: Any) -> None:
        values, name_of_law = _checked(params), self.distribution.__name__
        for name in params:
            if name not in signature(self.distribution).parameters:
                raise ValueError(f"params must name arguments of {name_of_law}, got {name!r}")
        if not isinstance(domains, Mapping) or any(constraints.is_dependent(domains[name]) for name in params):
            raise ValueError(f"distribution must have a support that no parameter moves, got {name_of_law}")
        for name, value in values.items():
            if not domains[name].check(value.detach()).all():
                raise ValueError(f"{name} must satisfy {domains[name]}, got {params[name]}")

"""Estimators of grad_phi E[f(z)], z ~ q_phi: each turns a sampler or a density into per-sample gradients.

An estimator is a frozen object called as `estimator(f, params, n, generator)`. `f` maps samples of shape (n, ...) to
one number a sample, shape (n,). `params` maps the argument names of the sampler or distribution to numbers or
tensors. The result maps each name to a tensor of shape (n, *param.shape) whose mean over the first axis is the
estimate.
"""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.validate import Number

Objective = Callable[[Tensor], Tensor]


Params = Mapping[str, Number]


Gradients = dict[str, Tensor]


class Estimator(Protocol):
    """What `estimate_gradient` asks of an estimator."""

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None) -> Gradients: ...


def check_call(f: Objective, n: int, generator: Generator | None) -> None:
    validate.instance("f", f, Callable, "a function")
    validate.integer("n", n, 1)
    validate.instance("generator", generator, Generator | None, "a torch.Generator or None")


def checked_params(params: Params) -> Gradients:
    validate.instance("params", params, Mapping, "a mapping of names to numbers or tensors")
    if not params:
        raise ValueError("params must not be empty: there is nothing to differentiate")
    return dict(zip(params, validate.tensors(**params), strict=True))


def one_copy_per_sample(params: Params, n: int, event_dims: Mapping[str, int]) -> Gradients:
    """Each parameter as a leaf of shape (n, ...) so that one backward pass gives n separate gradients.

    The copies share memory. Batch axes are padded to a common number, so that they still broadcast behind the sample
    axis; the last `event_dims[name]` axes belong to one draw and are left alone.
    """
    values = checked_params(params)
    batches = {name: value.shape[: value.dim() - event_dims.get(name, 0)] for name, value in values.items()}
    widest = len(validate.broadcast(batches))
    leaves = {}
    for name, value in values.items():
        padding = (1,) * (widest - len(batches[name]))
        copies = value.detach().expand(n, *value.shape).reshape(n, *padding, *value.shape)
        leaves[name] = copies.requires_grad_()
    return leaves


def values_of(f: Objective, z: Tensor, n: int) -> Tensor:
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


def per_sample_gradients(values: Tensor, weights: Tensor, leaves: Gradients, params: Params) -> Gradients:
    """Gradient of weight * value for each sample, in the shape of each parameter; zero where it has no part in it."""
    gradients = torch.autograd.grad(values, list(leaves.values()), weights.expand_as(values), allow_unused=True)
    result = {}
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        result[name] = gradient.reshape(leaf.shape[0], *getattr(params[name], "shape", ()))
    return result

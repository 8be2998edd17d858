"""The pathwise estimator: the derivative goes through the sampler."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimators.base import (
    Gradients,
    Objective,
    Params,
    check_call,
    one_copy_per_sample,
    per_sample_gradients,
    values_of,
)


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
        check_call(f, n, generator)
        with torch.enable_grad():
            leaves = one_copy_per_sample(params, n, {})
            values = values_of(f, self.sampler(**leaves, generator=generator), n)
            if not values.requires_grad:
                raise ValueError(
                    "f(z) carries no graph back to the parameters: f or the sampler detaches, or f is not "
                    "differentiable. The score function needs neither"
                )
            return per_sample_gradients(values, values.new_ones(()), leaves, params)

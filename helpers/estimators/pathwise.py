"""The pathwise estimator: the derivative goes through the sampler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimators.base import (
    Estimator,
    Gradients,
    Objective,
    checked_samples,
    gradients_of_copies,
    one_copy_per_sample,
)
from helpers.randomness import Noise
from helpers.reparametrize import reparametrization_of


@dataclass(frozen=True)
class Pathwise(Estimator):
    """grad_phi f(g_phi(eps)) for each sample of eps: the derivative goes through the sampler.

    Unbiased where the sampler is a differentiable reparametrization and f is continuous and almost everywhere
    differentiable. Over a relaxation, a straight-through sampler or one that torch does not differentiate, it is
    what backpropagation gives there: biased, or zero. A parameter that f(z) does not depend on gets zeros; an f
    that carries no graph at all (constant, or it detaches) raises ValueError.
    Source: Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014; Mohamed et al. 2020, section 5.
    """

    sampler: Callable[..., Tensor]

    def __post_init__(self) -> None:
        validate.instance("sampler", self.sampler, Callable, "a function")

    def noise(self, params: Gradients, n: int, generator: Generator | None) -> Any:
        """The samples with the graph back to one copy of params each, and those copies."""
        if reparametrization_of(self.sampler) is not None:
            kind, shape = self.standard_noise(params)
            return self.noise_from(kind.draw((n, *shape), next(iter(params.values())), generator), params)
        leaves = one_copy_per_sample(params, n, {})
        return leaves, checked_samples(self.sampler(**leaves, generator=generator), n)

    def standard_noise(self, params: Gradients) -> tuple[Noise, torch.Size]:
        """The noise eps of a `Reparametrization`; ValueError for other samplers."""
        sampler = reparametrization_of(self.sampler)
        if sampler is None:
            return super().standard_noise(params)
        arguments = sampler.checked(**params)
        shapes = {name: value.shape for name, value in arguments.items() if isinstance(value, Tensor)}
        return sampler.noise, validate.broadcast(shapes)

    def noise_from(self, eps: Tensor, params: Gradients) -> Any:
        """z = g(eps, params), with the graph back to one copy of params for each sample, and those copies."""
        sampler = reparametrization_of(self.sampler)
        leaves = one_copy_per_sample(params, len(eps), {})
        return leaves, sampler.at(eps, **(sampler.checked(**params) | leaves))

    def gradients(self, f: Objective, noise: Any, params: Gradients) -> Gradients:
        """The derivative of f(z), taken at z first and then through the sampler."""
        leaves, z = noise
        end = z.detach().requires_grad_(z.requires_grad)
        values = f(end)
        if not values.requires_grad:
            raise ValueError(
                "f(z) carries no graph back to the parameters: f or the sampler detaches, or f is not "
                "differentiable. The score function needs neither"
            )
        (slope,) = torch.autograd.grad(values, end, torch.ones_like(values))
        return gradients_of_copies(z, slope, leaves, params)

    def samples(self, noise: Any, params: Gradients) -> Tensor:
        """The samples, without their graph."""
        return noise[1].detach()

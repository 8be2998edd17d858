"""The score-function estimator, also called the log-derivative trick and REINFORCE."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from numbers import Real
from typing import Any

import torch
from torch import Generator
from torch.distributions import Distribution, constraints

from helpers import validate
from helpers.estimators.base import (
    Gradients,
    Objective,
    Params,
    check_call,
    checked_params,
    one_copy_per_sample,
    per_sample_gradients,
    values_of,
)
from helpers.randomness import drawing_from


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
        check_call(f, n, generator)
        event_dims = self._event_dims(params)
        with torch.enable_grad():
            leaves = one_copy_per_sample(params, n, event_dims)
            q = self.distribution(**leaves, validate_args=False)
            with torch.no_grad(), drawing_from(generator) if generator is not None else nullcontext():
                z = q.sample()
            weights = values_of(f, z, n).detach()
            if self.baseline is not None:
                weights = weights - self.baseline
            log_density = q.log_prob(z)
            if log_density.dim() > 1:
                log_density = log_density.reshape(n, -1).sum(1)
            return per_sample_gradients(log_density, weights, leaves, params)

    def _event_dims(self, params: Params) -> dict[str, int]:
        """How many axes of each parameter belong to one draw; ValueError for a bad name, law or value."""
        domains = self.distribution.arg_constraints
        if not validate.tracing.active:
            self._check(params, domains)
        return {name: domains[name].event_dim for name in params}

    def _check(self, params: Params, domains: Any) -> None:
        values, name_of_law = checked_params(params), self.distribution.__name__
        for name in params:
            if name not in signature(self.distribution).parameters:
                raise ValueError(f"params must name arguments of {name_of_law}, got {name!r}")
        if not isinstance(domains, Mapping) or any(constraints.is_dependent(domains[name]) for name in params):
            raise ValueError(f"distribution must have a support that no parameter moves, got {name_of_law}")
        for name, value in values.items():
            if not domains[name].check(value.detach()).all():
                raise ValueError(f"{name} must satisfy {domains[name]}, got {params[name]}")

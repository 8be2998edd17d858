"""All that follows the noise in one compiled pass, for readers who ask for it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.func import vjp

from helpers.estimate import Moments, moments_of, pooled
from helpers.estimators import families
from helpers.estimators.base import Estimator, Gradients, Objective, Params, Values, WithParams, copy_for_f, objective
from helpers.estimators.pathwise import Pathwise
from helpers.estimators.score_function import ScoreFunction
from helpers.reparametrize import reparametrization_of
from helpers.threads import plain_torch

# float32 sums of so many numbers are added up in float64: longer ones would lose digits, shorter ones cost time.
_BLOCK = 500


@dataclass(frozen=True, eq=False)
class _Problem:
    """What the compiled pass takes besides the noise."""

    estimator: Pathwise | ScoreFunction
    f: Objective
    params: Values
    dtype: torch.dtype  # in which f sees samples and returns values
    arguments: dict[str, Any]  # of a sampler, checked
    dims: dict[str, int]  # axes of each parameter of a distribution that belong to one sample

    def copies(self, noise: Tensor) -> Values:
        """One copy of each parameter per sample, its batch axes lined up with those of the others."""
        batches = {name: value.dim() - self.dims.get(name, 0) for name, value in self.params.items()}
        widest = max(batches.values()) if self.dims else noise.dim() - 1
        padded = {name: v.reshape((1,) * (widest - batches[name]) + v.shape) for name, v in self.params.items()}
        return {name: value.expand(len(noise), *value.shape) for name, value in padded.items()}

    def per_sample(self, noise: Tensor, copies: Values) -> Tensor:
        """One number per sample, whose derivative with respect to its own copy of the parameters is the gradient."""
        estimator = self.estimator
        if isinstance(estimator, Pathwise):
            z = reparametrization_of(estimator.sampler).at(noise, **(self.arguments | copies))
            values = self.f(z.clone())
            return values.to(torch.promote_types(z.dtype, values.dtype))
        values = self.f(copy_for_f(noise, self.dtype)).detach()
        weights = values.to(torch.promote_types(self.dtype, values.dtype))
        if estimator.baseline is not None:
            weights = weights - estimator.baseline
        log_density = estimator.distribution(**copies, validate_args=False).log_prob(noise)
        return weights * log_density.reshape(len(noise), -1).sum(1)


def _gradients(problem: _Problem, noise: Tensor) -> tuple[Gradients, Tensor]:
    """The per-sample gradients, and a sum that is not finite if a value of f or a gradient is not."""
    values, back = vjp(lambda copies: problem.per_sample(noise, copies), problem.copies(noise))
    (gradients,) = back(torch.ones_like(values))
    return {name: g.reshape(len(noise), *problem.params[name].shape) for name, g in gradients.items()}, values.sum()


def _sums(problem: _Problem, noise: Tensor) -> tuple[dict[str, tuple[Tensor, Tensor, Tensor]], Tensor]:
    """The first sample, and the sums of all deviations from it and of their squares, so nothing cancels."""
    gradients, total = _gradients(problem, noise)
    sums = {}
    for name, g in gradients.items():
        apart = (g - g[0]).reshape(len(g) // _BLOCK, _BLOCK, *g.shape[1:])
        sums[name] = (g[0].double(), apart.sum(1).double().sum(0), (apart * apart).sum(1).double().sum(0))
    return sums, total


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """One pass over the noise. Chunks are what threads share, so the code has no threads of its own."""

    def compiled_only(*arguments: Any) -> Any:
        if not torch.compiler.is_compiling():
            raise RuntimeError("torch.compile is switched off, by TORCH_COMPILE_DISABLE for instance")
        return function(*arguments)

    settings = {"fullgraph": True, "dynamic": True, "options": {"cpp.threads": 1}}
    return torch.compile(compiled_only, recompile_limit=1000, **settings)  # the limit counts each estimator with each f


@dataclass(frozen=True)
class Compiled(Estimator):
    """The gradients of `estimator`, all that follows the noise compiled into one pass over it.

    `estimator` is a `Pathwise` with a `Reparametrization` or a `ScoreFunction` with a class of `torch.distributions`.
    The noise is the same as without, and the gradients are the same up to rounding, after some seconds of compiling;
    `make bench` shows what that is worth. It needs a C++ compiler, and an f of torch operations that takes any number
    of samples, draws nothing, and has no branch on the value of a sample. Raises RuntimeError where the code cannot be
    compiled, or where torch.compile is switched off.
    """

    estimator: Pathwise | ScoreFunction

    def __post_init__(self) -> None:
        if "recompile_limit" not in signature(torch.compile).parameters:
            raise RuntimeError(f"Compiled needs torch 2.13, got {torch.__version__}")
        e = self.estimator
        path = isinstance(e, Pathwise) and reparametrization_of(e.sampler) is not None
        if not path and not (isinstance(e, ScoreFunction) and families.is_class(e.distribution)):
            raise TypeError(
                "estimator must be a Pathwise with a Reparametrization or a ScoreFunction with a class of "
                f"torch.distributions, got {e!r}"
            )

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-sample gradients; see `helpers.estimators`."""
        values, noise = self._noise(f, params, n, generator)
        with plain_torch(noise.device):
            gradients, total = self._run(_gradients, f, noise, values)
            if not total.isfinite():
                return self._plain(f, noise, values)
        return {name: g.to(values[name].dtype) for name, g in gradients.items()}

    def moments(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> dict[str, Moments]:
        """What `estimate_gradient` adds up, in the same pass: no gradients are kept."""
        values, noise = self._noise(f, params, n, generator)
        whole = n - n % _BLOCK
        found: list[dict[str, Moments]] = []
        with plain_torch(noise.device):
            if whole:
                sums, total = self._run(_sums, f, noise[:whole], values)
                if not all(t.isfinite().all() for t in (total, *(t for each in sums.values() for t in each))):
                    return moments_of(self._plain(f, noise, values))
                found.append({name: _moments(whole, *each) for name, each in sums.items()})
            if n % _BLOCK:
                found.append(moments_of(self._plain(f, noise[whole:], values)))
        first, *rest = found
        return {name: pooled(first[name], rest[0][name]) for name in first} if rest else first

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """That of `estimator`."""
        return self.estimator.noise(params, n, generator)

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """Those of `estimator` at given noise, not compiled."""
        return self.estimator.gradients(f, noise, params)

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """Those of `estimator`."""
        return self.estimator.samples(noise, params)

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError where `estimator` does."""
        self.estimator.check(params, n)

    def numbers(self, params: Values) -> int:
        """Those of `estimator`."""
        return self.estimator.numbers(params)

    def _noise(self, f: Objective, params: Params, n: int, generator: Generator | None) -> tuple[Values, Tensor]:
        """Checked parameters and the noise of the plain estimator, tried on four samples for the sake of its errors."""
        if isinstance(f, WithParams):
            raise TypeError("f must be a function of z alone under Compiled, got a function of the parameters too")
        values, noise = self.prepared(f, params, n, generator)
        with plain_torch(noise.device):
            before = torch.get_rng_state()
            try:
                self._plain(f, noise[:4], values)
            except (TypeError, ValueError):
                self._plain(f, noise, values)  # so that the message speaks of n samples
                raise
            if generator is not None and not before.equal(torch.get_rng_state()):
                raise RuntimeError("can't compile an f that draws random numbers, use the estimator as it is")
        return values, noise

    def _plain(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        return self.estimator.gradients(objective(f, params), noise, params)

    def _run(self, function: Callable[..., Any], f: Objective, noise: Tensor, params: Values) -> Any:
        path = isinstance(self.estimator, Pathwise)
        dtype = next(iter(params.values())).dtype
        arguments = reparametrization_of(self.estimator.sampler).bound(**params) if path else {}
        dims = {} if path else families.event_dims(self.estimator.distribution, params)
        wide = params if path else families.widened(self.estimator.distribution, params)
        problem = _Problem(self.estimator, f, wide, dtype, arguments, dims)
        try:
            with torch.no_grad():
                return _compiled(function)(problem, noise)
        except RuntimeError as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            raise RuntimeError(f"can't compile {self.estimator} of this f, use it as it is: {reason}") from error


def _moments(n: int, first: Tensor, total: Tensor, squares: Tensor) -> Moments:
    """n, the mean and the sum of squared deviations from it, of sums about the first sample."""
    about, spread = (t.numpy(force=True) for t in (total, squares))
    return n, first.numpy(force=True) + about / n, np.maximum(spread - about * about / n, 0.0)

"""The pathwise estimator, which differentiates through the sampler."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimators import families
from helpers.estimators.base import (
    Estimator,
    Gradients,
    Objective,
    Values,
    checked_samples,
    gradients_of_copies,
    numbers_of,
    one_copy_per_sample,
    own_leaves,
    rows_of_jacobian,
)
from helpers.estimators.families import Family
from helpers.implicit import can_rsample, rsample
from helpers.randomness import Noise
from helpers.reparametrize import reparametrization_of

# The leaves, and the samples that were made from them, with their graph.
Path = tuple[Values, Tensor]
Shapes = frozenset[tuple[str, torch.Size]]


@dataclass(frozen=True)
class Pathwise(Estimator):
    """grad_phi f(g_phi(eps)) for each sample of eps, which is the derivative through the sampler.

    `sampler` is a sampler, called as `sampler(**params, generator=generator)` with one copy of the parameters per
    sample; a class of `torch.distributions`; or a function from the parameters, in their own shape, to a Distribution.
    A function without an argument `generator` is taken to return a Distribution. A Distribution needs `rsample`.

    Unbiased if the sampler is a differentiable reparametrization and f is continuous and almost everywhere
    differentiable. For a relaxation, a straight-through sampler, or one that torch does not differentiate, it is the
    result of backpropagation, which is biased or zero. A parameter on which f(z) does not depend gets zeros, and one
    that a function detaches at some places counts as a constant there. Raises ValueError if f(z) carries no graph at
    all, because f is constant or detaches, and if a sampler mixes the copies or draws one noise for all of them, for
    which it is called once with five copies.
    Source: Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014; Mohamed et al. 2020, section 5.
    """

    sampler: Callable[..., Tensor] | Family

    def __post_init__(self) -> None:
        validate.instance("sampler", self.sampler, Callable, "a function or a class of torch.distributions")
        if isinstance(self.sampler, type):
            families.check_family("sampler", self.sampler)

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError for bad names or values, a sampler that mixes samples, or a class without `rsample`."""
        if not self._is_family:
            _check_own_copy(self.sampler, params)
            return
        families.check_params(self.sampler, params)
        if not can_rsample(families.at_own_shape(self.sampler, params)):
            raise ValueError(
                f"sampler must have rsample, got {families.name_of(self.sampler)}, which torch cannot reparametrize. "
                "The score function does not need it"
            )

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor | Path:
        """The noise eps of a `Reparametrization`; for other samplers, the samples with their graph.

        A sampler that draws its own noise cannot be separated from it.
        """
        sampler = reparametrization_of(self.sampler)
        if sampler is not None:
            return sampler.draw(sampler.checked(**params), (n,), generator)
        if not self._is_family:
            leaves = _copies(self.sampler, params, n)
            z = checked_samples(self.sampler(**leaves, generator=generator), n)
            return leaves, self._separate(z, params, n)
        if families.is_class(self.sampler):
            leaves = one_copy_per_sample(params, n, families.event_dims(self.sampler, params))
            return leaves, checked_samples(rsample(self.sampler, generator=generator, **leaves), n)
        leaves = own_leaves(params)
        return leaves, rsample(self.sampler, sample_shape=(n,), generator=generator, **leaves)

    def standard_noise(self, params: Values) -> tuple[Noise, torch.Size]:
        """The noise of a `Reparametrization` and its shape for one sample; ValueError for other samplers."""
        sampler = reparametrization_of(self.sampler)
        if sampler is None:
            return super().standard_noise(params)
        return sampler.noise, torch.Size(sampler.size(sampler.bound(**params)))

    def noise_from(self, eps: Tensor, params: Values) -> Tensor:
        """The noise eps itself."""
        return eps

    def gradients(self, f: Objective, noise: Tensor | Path, params: Values) -> Gradients:
        """The derivative of f(z) for each sample."""
        sampler = reparametrization_of(self.sampler)
        if sampler is not None:
            leaves = one_copy_per_sample(params, len(noise), {}, noise.dim() - 1)
            z = sampler.at(noise, **(sampler.bound(**params) | leaves))
            return gradients_of_copies(z, slope_of(f(z), z), leaves, params)
        leaves, z = noise
        end = z.detach().requires_grad_(z.requires_grad)  # first to the samples, then through the sampler
        slope = slope_of(f(end), end)
        if self._is_family and not families.is_class(self.sampler):
            check_unused = partial(families.check_graph, self.sampler, params, z.detach())
            return self._rows((z * slope).reshape(len(z), -1).sum(1), leaves, check_unused)
        return gradients_of_copies(z, slope, leaves, params)

    def _rows(self, values: Tensor, leaves: Values, check_unused: Callable[[str], None]) -> Gradients:
        try:
            return rows_of_jacobian(values, leaves, check_unused)
        except NotImplementedError as error:  # the derivative of these samples cannot be differentiated again
            raise NotImplementedError(
                "sampler must be a class if samples are made from Gamma variables, such as Pathwise(Gamma) or "
                f"Pathwise(Dirichlet), got the function {families.name_of(self.sampler)}"
            ) from error

    def samples(self, noise: Tensor | Path, params: Values) -> Tensor:
        """The samples, without their graph."""
        sampler = reparametrization_of(self.sampler)
        if sampler is None:
            return noise[1].detach()
        return sampler.at(noise, **sampler.bound(**params)).detach()

    def numbers(self, params: Values) -> int:
        """The size of one sample, if it is known, or of the parameters if they are larger."""
        if self._is_family:
            return families.numbers_of_sample(self.sampler, params)
        sampler = reparametrization_of(self.sampler)
        if sampler is None:
            return numbers_of(params)
        return max(numbers_of(params), math.prod(sampler.size(sampler.bound(**params))))

    @property
    def _is_family(self) -> bool:
        return families.is_class(self.sampler) or families.is_function(self.sampler)

    def _separate(self, z: Tensor, params: Values, n: int) -> Tensor:
        """z; ValueError if the sampler combined the copies of one sample with those of another.

        One sample then has an axis of length n, which is no axis of a parameter. Since another axis may have this
        length by chance, the sampler is called again for n + 1 samples, which changes only the wrong axis.
        """
        sizes = {size for value in params.values() for size in value.shape}
        if n == 1 or n in sizes or n not in z.shape[1:]:
            return z
        with torch.no_grad():
            leaves = _copies(self.sampler, params, n + 1)
            again = self.sampler(**leaves, generator=Generator(z.device).manual_seed(0))
        if again.shape[1:] == z.shape[1:]:
            return z
        shapes = {name: tuple(value.shape) for name, value in params.items()}
        raise ValueError(
            f"sampler must broadcast its parameters elementwise, got samples of shape {tuple(z.shape[1:])} "
            f"from {shapes}. "
            "If axes of a parameter belong to one sample, use a class of torch.distributions, such as "
            "Pathwise(MultivariateNormal), or a function from the parameters to a Distribution"
        )


# Samplers that were seen to keep samples apart, and for which shapes of their parameters.
_SEPARATE: WeakKeyDictionary[Callable[..., Tensor], set[Shapes]] = WeakKeyDictionary()
_FEW = 5


def _copies(sampler: Callable[..., Tensor], params: Values, n: int) -> Values:
    """One copy of each parameter per sample, whose first axis meets no axis of a tensor that `partial` has fixed."""
    given = dict(enumerate(getattr(sampler, "args", ()))) | getattr(sampler, "keywords", {})
    fixed = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    owner = families.class_in(sampler)
    dims = families.event_dims(owner, fixed | params) if owner else {}
    axes = max((value.dim() - dims.get(name, 0) for name, value in fixed.items()), default=0)
    return one_copy_per_sample(params, n, dims, axes)


def _check_own_copy(sampler: Callable[..., Tensor], params: Values) -> None:
    """Raise ValueError if a sample depends on the parameters of another, or if all samples share their noise.

    The sampler is called once for a few samples, with noise of its own.
    """
    shapes = frozenset((name, value.shape) for name, value in params.items())
    with suppress(TypeError):  # of an object without a hash
        if shapes in _SEPARATE.get(sampler, ()):
            return
    leaves = _copies(sampler, params, _FEW)
    try:
        z = sampler(**leaves, generator=Generator(next(iter(params.values())).device).manual_seed(0))
        if _FEW in z.shape[1:] and _FEW not in {size for value in params.values() for size in value.shape}:
            return  # `_separate` explains it
        slopes = torch.autograd.grad(z[2].sum(), list(leaves.values()), allow_unused=True)
    except Exception:  # the call for n samples raises the error that explains itself
        return
    others = [i for i in range(_FEW) if i != 2]
    if any(slope is not None and slope[others].nan_to_num(0.0).any() for slope in slopes):  # NaN: 0 times infinity
        raise ValueError(
            "sampler must compute each sample from its own copy of the parameters, along the first axis, but a sample "
            "depends on the copies of others, as it does if the sampler takes a sum or a softmax over that axis"
        )
    if len(z) == _FEW and z.numel() > 1 and (z == z[0]).all() and (z != z.round()).any():
        raise ValueError("sampler must draw noise for each copy of the parameters, but all samples are the same")
    with suppress(TypeError):
        _SEPARATE.setdefault(sampler, set()).add(shapes)


def slope_of(values: Tensor, z: Tensor) -> Tensor:
    """d values_i / d z_i for each sample; ValueError where the values carry no graph back to the samples.

    They may carry another one, which leads to the weights of a network in f.
    """
    slope = None
    if values.requires_grad and z.requires_grad:
        (slope,) = torch.autograd.grad(values, z, torch.ones_like(values), retain_graph=True, allow_unused=True)
    if slope is None:
        raise ValueError(
            "f(z) carries no graph back to the parameters: f or the sampler detaches, or f is not differentiable. "
            "The score function needs no graph through f"
        )
    return slope

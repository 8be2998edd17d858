"""Monte-Carlo means with standard errors: how they are pooled, printed, and compared with expected values."""

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers import validate
from helpers.threads import one_core
from helpers.validate import Number

# Long enough that Python's share of a chunk is small, short enough that its tensors stay in the cache (`make bench`).
CHUNK_SIZE = 500_000


# Digits are lost if less than this share of the sum of squares remains after the squared mean is subtracted.
_CANCELS = 1e-4


@dataclass(frozen=True, eq=False)
class Estimate:
    """The mean of n samples with its standard error, printed as `24.13 ± 2.66`.

    `mean` is the mean of the samples. `variance` is that of one sample, with the divisor n - 1, in the shape of `mean`.
    Both become float64 tensors on the CPU, without a graph. `n` >= 2 is the number of samples. Raises TypeError for
    complex numbers, and ValueError if the shapes differ or a variance is negative.
    """

    mean: Tensor  # or anything that torch.as_tensor accepts
    variance: Tensor
    n: int

    def __post_init__(self) -> None:
        validate.integer("n", self.n, 2)
        for name in ("mean", "variance"):
            object.__setattr__(self, name, _real(name, getattr(self, name)).to("cpu", torch.float64))
        if self.variance.shape != self.mean.shape:
            shapes = f"{tuple(self.mean.shape)}, got {tuple(self.variance.shape)}"
            raise ValueError(f"variance must have the shape of mean, shape {shapes}")
        if (self.variance < 0).any():
            raise ValueError(f"variance must be >= 0, got {self.variance.min().item():.6g}")

    @classmethod
    def from_samples(cls, samples: Tensor) -> "Estimate":
        """The estimate from samples of shape (n, *shape), n >= 2."""
        validate.instance("samples", samples, Tensor, "a tensor")
        if samples.dim() == 0:
            raise ValueError("samples must have a first axis of n >= 2 samples, got a single number")
        n = validate.integer("the number of samples", len(samples), 2)
        with one_core():
            blocks = _real("samples", samples).split(max(1, CHUNK_SIZE * n // max(1, samples.numel())))
            moments = reduce(pooled, map(_moments, blocks))
        if (moments[2] < _SMALLEST**2).any():
            _refuse_underflow("samples", samples)
        return estimate_of(moments)

    @property
    def standard_error(self) -> Tensor:
        """sqrt(variance / n)."""
        return torch.sqrt(self.variance / self.n)

    def merge(self, other: "Estimate") -> "Estimate":
        """The estimate from both sets of samples, by the pairwise update of Chan, Golub and LeVeque 1983."""
        validate.instance("other", other, Estimate, "an Estimate")
        if other.mean.shape != self.mean.shape:
            shapes = f"{tuple(self.mean.shape)}, got {tuple(other.mean.shape)}"
            raise ValueError(f"other must have the shape of this estimate, shape {shapes}")
        mine, others = ((e.n, e.mean.numpy(), (e.n - 1) * e.variance.numpy()) for e in (self, other))
        return estimate_of(pooled(mine, others))

    def __sub__(self, value: Number) -> "Estimate":
        """The estimate minus a known value, with the same standard error, so `estimate - exact` estimates a bias."""
        if isinstance(value, Estimate):
            raise TypeError("value must be a known number or tensor, got an Estimate, which has an error of its own")
        return Estimate(self.mean - target_of("value", value, self.mean.shape), self.variance, self.n)

    def __format__(self, spec: str) -> str:
        if not re.fullmatch(r"(.?[<>^])?\d*s?", spec):
            raise ValueError(f"format of an Estimate may set a width and alignment, such as '>20', got {spec!r}")
        return format(str(self), spec)

    def __str__(self) -> str:
        return _nested(self.mean, self.standard_error)

    __repr__ = __str__


def _real(name: str, value: Any) -> Tensor:
    """The value as a tensor without a graph; TypeError if it is complex."""
    if isinstance(value, complex | np.complexfloating) or (isinstance(value, np.ndarray) and np.iscomplexobj(value)):
        raise TypeError(f"{name} must be real, got {value!r}")
    if not isinstance(value, Tensor):
        value = torch.as_tensor(value, dtype=torch.float64, device="cpu")
    if value.is_complex():
        raise TypeError(f"{name} must be real, got {value.dtype}")
    return value.detach()


# n, the mean of n samples, and the sum of their squared deviations from it, both in float64
Moments = tuple[int, np.ndarray, np.ndarray]


# Squares of numbers in this range, and sums of them, stay well within the range of float64.
_SMALLEST, _LARGEST = 1e-140, 1e140


def moments_of(gradients: Mapping[str, Tensor]) -> dict[str, Moments]:
    """n, mean and sum of squared deviations of each parameter's samples.

    Raises ValueError if a sample is not finite, or if squares or squared deviations leave the range of float64.
    """
    moments = {name: _moments(samples) for name, samples in gradients.items()}
    for name, (_, _, squares) in moments.items():
        if not np.isfinite(squares).all():
            check_finite({name: gradients[name]})
            largest = gradients[name].abs().max().item()
            raise ValueError(_out_of_range(f"gradients of {name!r}", f"at most {_LARGEST:.0e}", largest))
        if (squares < _SMALLEST**2).any():
            _refuse_underflow(f"gradients of {name!r}", gradients[name])
    return moments


def check_finite(gradients: Mapping[str, Tensor]) -> None:
    """Raise ValueError if a sample is NaN or infinite."""
    for name, g in gradients.items():
        if math.isfinite(g.detach().sum().item()):
            continue
        if bad := (~g.isfinite()).reshape(len(g), -1).any(1).sum().item():
            raise ValueError(
                f"gradients of {name!r} must be finite, got {bad} of {len(g)} samples with NaN or infinity"
            )


def _refuse_underflow(name: str, samples: Tensor) -> None:
    """Raise ValueError if samples differ by so little that squares of the differences are too small for float64."""
    first = samples[0].detach().double()
    blocks = samples.detach().split(max(1, CHUNK_SIZE * len(samples) // max(1, samples.numel())))
    spread = torch.stack([(block.double() - first).abs().amax(0) for block in blocks]).amax(0)
    lost = spread[(spread > 0) & (spread < _SMALLEST)]
    if len(lost):
        raise ValueError(_out_of_range(name, f"0, or differ by at least {_SMALLEST:.0e}", lost.min().item()))


def _out_of_range(name: str, allowed: str, value: float) -> str:
    return (
        f"{name} must be {allowed}, because their variance is computed in float64, got {value:.3g}; "
        "multiply f by a constant"
    )


@np.errstate(over="ignore", invalid="ignore")  # `moments_of` checks that they are finite
def _moments(samples: Tensor) -> Moments:
    """The moments of samples of shape (n, *shape)."""
    n, wide = samples.shape[0], samples.to(torch.float64)
    shift, (total, squares) = 0.0, _sums(wide)
    if not np.all(squares - total * total / n >= _CANCELS * squares):
        first = wide[0]  # it is near the mean, so little cancels, and a constant gives exactly 0
        shift, (total, squares) = first.numpy(force=True), _sums(wide - first)
    return n, shift + total / n, np.maximum(squares - total * total / n, 0.0)


def _sums(x: Tensor) -> tuple[np.ndarray | float, np.ndarray | float]:
    """The sums of x and of its squares over the first axis."""
    if x.dim() == 1:
        return x.sum().item(), torch.dot(x, x).item()
    ones, flat = x.new_ones(len(x)), x.reshape(len(x), -1)  # twice as fast as sum(dim=0) for ten columns
    total, squares = ((ones @ y).reshape(x.shape[1:]).numpy(force=True) for y in (flat, flat * flat))
    return total, squares


def pooled(one: Moments, other: Moments) -> Moments:
    """The moments of both sets of samples, by the pairwise update of Chan, Golub and LeVeque 1983."""
    n = one[0] + other[0]
    shift = other[1] - one[1]
    return n, one[1] + shift * (other[0] / n), one[2] + other[2] + shift**2 * (one[0] * other[0] / n)


def estimate_of(moments: Moments) -> Estimate:
    """The estimate from n, the mean and the sum of squared deviations."""
    n, mean, squares = moments
    return Estimate(mean, squares / (n - 1), n)


def _nested(mean: Tensor, error: Tensor) -> str:
    if mean.dim() == 0:
        return _plus_minus(mean.item(), error.item())
    return "[" + ", ".join(_nested(m, e) for m, e in zip(mean, error, strict=True)) + "]"


def _plus_minus(mean: float, error: float) -> str:
    """Three significant digits of the error, and the mean to the same place."""
    if error == 0 or not math.isfinite(error):
        return f"{mean:.8g} ± {error:.3g}"
    decimals = max(0, 2 - math.floor(math.log10(error)))
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"


def target_of(name: str, value: Number, shape: torch.Size) -> Tensor:
    """`value` as a finite float64 tensor of the given shape, to which a number is expanded."""
    try:
        target = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number or a tensor, got {value!r}") from None
    validate.within(name, target, -math.inf, math.inf, "finite")
    if target.dim() > 0 and target.shape != shape:
        raise ValueError(f"{name} must be a number or of shape {tuple(shape)}, got shape {tuple(target.shape)}")
    return target.expand(shape)


def compare(estimates: Mapping[str, Estimate], expected: Mapping[str, Number]) -> str:
    """A table with one line per number, which shows its name, estimate ± standard error, expected value, and z.

    `expected` is the mean of the estimator, that is the gradient if it is unbiased. Then z = (estimate - expected) /
    standard error lies within ±2 in about 95% of all runs. If the standard error is 0, the last column says `equal` or
    `DIFFERS` instead, and `equal` too if both are the same but for rounding in float32. Raises TypeError for a value
    that is no number, tensor or Estimate, and ValueError if the names or shapes of both differ.
    """
    validate.same_names("expected", expected, estimates)
    rows = [("", "estimate ± standard error", "expected", "")]
    for name, estimate in estimates.items():
        validate.instance(f"estimates[{name!r}]", estimate, Estimate, "an Estimate")
        target = target_of(f"expected[{name!r}]", expected[name], estimate.mean.shape)
        for index in itertools.product(*map(range, estimate.mean.shape)):
            mean, error = estimate.mean[index].item(), estimate.standard_error[index].item()
            value, label = target[index].item(), name + (str(list(index)) if index else "")
            rows.append((label, _plus_minus(mean, error), f"{value:.7g}", _verdict(mean, error, value)))
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    lines = (f"{a:<{first}}  {b:>{second}}  {c:>{third}}  {d}".rstrip() for a, b, c, d in rows)
    return "\n".join(lines)


def _verdict(mean: float, error: float, expected: float) -> str:
    """z or, if the error is 0, whether both values agree to a relative 1e-6.

    An error of less than a relative 1e-7 is below the rounding of float32, so a difference of that size proves nothing.
    """
    if error > 0 and not (error < 1e-7 * abs(expected) and math.isclose(mean, expected, rel_tol=3e-7)):
        return f"z = {(mean - expected) / error:+.2f}"
    return "equal" if math.isclose(mean, expected, rel_tol=1e-6, abs_tol=1e-12) else "DIFFERS"

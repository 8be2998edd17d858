"""The Monte-Carlo loop: it adds up per-sample gradients in chunks and reports each mean with its standard error."""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from helpers import validate
from helpers.estimators import Estimator, Objective, Params
from helpers.streams import generator_of
from helpers.validate import Number

# torch splits work over threads from 32,768 elements on. Below that each worker keeps to one core, its tensors stay in
# the cache, and a sum has the same rounding whatever the number of threads.
CHUNK_SIZE = 32_000
_IN_FLIGHT = 64


@dataclass(frozen=True, eq=False)
class Estimate:
    """A Monte-Carlo mean with what it takes to know its error.

    `mean` and `variance` (of one sample, divided by n - 1) are float64 tensors of the parameter's shape; `n` >= 2 is
    the number of samples. Prints as `24.13 ± 2.66`, the number behind ± being the standard error.
    """

    mean: Tensor
    variance: Tensor
    n: int

    def __post_init__(self) -> None:
        validate.integer("n", self.n, 2)
        for name in ("mean", "variance"):
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name), dtype=torch.float64))
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
        blocks = samples.to(torch.float64).split(max(1, CHUNK_SIZE * n // max(1, samples.numel())))
        mean = torch.stack([block.sum(dim=0) for block in blocks]).sum(dim=0) / n
        squares = torch.stack([(block - mean).square_().sum(dim=0) for block in blocks]).sum(dim=0)
        return cls(mean, squares / (n - 1), n)

    @property
    def standard_error(self) -> Tensor:
        """sqrt(variance / n)."""
        return torch.sqrt(self.variance / self.n)

    def merge(self, other: "Estimate") -> "Estimate":
        """The estimate from both sets of samples (pairwise update of Chan, Golub and LeVeque 1983)."""
        validate.instance("other", other, Estimate, "an Estimate")
        if other.mean.shape != self.mean.shape:
            shapes = f"{tuple(self.mean.shape)}, got {tuple(other.mean.shape)}"
            raise ValueError(f"other must have the shape of this estimate, shape {shapes}")
        n = self.n + other.n
        shift = other.mean - self.mean
        squares = (self.n - 1) * self.variance + (other.n - 1) * other.variance
        squares = squares + shift**2 * (self.n * other.n / n)
        return Estimate(self.mean + shift * (other.n / n), squares / (n - 1), n)

    def __sub__(self, value: Number) -> "Estimate":
        """The estimate minus a known value, with the same error: `estimate - exact` estimates a bias."""
        return Estimate(self.mean - torch.as_tensor(value, dtype=torch.float64), self.variance, self.n)

    def __str__(self) -> str:
        return _nested(self.mean, self.standard_error)

    __repr__ = __str__


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


def estimate_gradient(
    f: Objective,
    estimator: Estimator,
    params: Params,
    n: int = 1000,
    *,
    seed: int = 0,
    chunk_size: int = CHUNK_SIZE,
    executor: Executor | None = None,
) -> dict[str, Estimate]:
    """grad_phi E[f(z)] from n samples, as one `Estimate` for each parameter.

    Samples are drawn in chunks of `chunk_size` (the last one takes the rest, so it is the longest), chunk i from its
    own stream of `(seed, i)`, and merged in order: the result depends on `seed`, `n` and `chunk_size` and on nothing
    else, bit for bit, whichever `executor` does the work. Threads do where none is given. Memory does not grow with n.

    Raises ValueError or TypeError for bad arguments, and ValueError where a gradient is not finite.
    """
    validate.instance("f", f, Callable, "a function")
    validate.instance("estimator", estimator, Callable, "a function")
    validate.instance("params", params, Mapping, "a mapping of names to numbers or tensors")
    validate.instance("executor", executor, Executor | None, "a concurrent.futures.Executor or None")
    n = validate.integer("n", n, 2)
    seed = validate.integer("seed", seed, 0)
    chunk_size = validate.integer("chunk_size", chunk_size, 2)
    chunks = max(1, n // chunk_size)
    last = chunks - 1
    tasks = ((i, chunk_size if i < last else n - last * chunk_size) for i in range(chunks))
    run = partial(_chunk, f, estimator, params, seed)
    if executor is None and chunks > 1:
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            return _merged(_in_order(threads, run, tasks))
    return _merged(map(run, tasks) if executor is None else _in_order(executor, run, tasks))


def _chunk(f: Objective, estimator: Estimator, params: Params, seed: int, task: tuple[int, int]) -> dict[str, Estimate]:
    i, size = task
    device = next((value.device for value in params.values() if isinstance(value, Tensor)), "cpu")
    gradients = estimator(f, params, size, generator_of(seed, i, device))
    estimates = {name: Estimate.from_samples(samples) for name, samples in gradients.items()}
    for name, estimate in estimates.items():
        if not estimate.variance.isfinite().all():
            bad = (~gradients[name].isfinite()).reshape(size, -1).any(1).sum().item()
            raise ValueError(f"gradients of {name!r} must be finite, got {bad} of {size} samples with NaN or infinity")
    return estimates


def _in_order(
    executor: Executor,
    run: Callable[[tuple[int, int]], dict[str, Estimate]],
    tasks: Iterable[tuple[int, int]],
) -> Iterator[dict[str, Estimate]]:
    """Results in the order of the tasks, with a bounded number of them under way."""
    pending: deque = deque()
    try:
        for task in tasks:
            pending.append(executor.submit(run, task))
            if len(pending) > _IN_FLIGHT:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _merged(results: Iterator[dict[str, Estimate]]) -> dict[str, Estimate]:
    total = next(results)
    for result in results:
        total = {name: estimate.merge(result[name]) for name, estimate in total.items()}
    return total


def compare(estimates: Mapping[str, Estimate], exact: Mapping[str, Number]) -> str:
    """A table with a line for each number: name, estimate ± standard error, exact value, z.

    z = (estimate - exact) / standard error: within ±2 in 95 % of all runs where the estimator is unbiased. It is
    shown as a dash where the standard error is 0. Raises ValueError where the names or shapes of both differ.
    """
    validate.same_names("exact", exact, estimates)
    rows = [("", "estimate ± standard error", "exact", "")]
    for name, estimate in estimates.items():
        validate.instance(f"estimates[{name!r}]", estimate, Estimate, "an Estimate")
        try:
            target = torch.as_tensor(exact[name], dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"exact[{name!r}] must be a number or a tensor, got {exact[name]!r}") from None
        validate.within(f"exact[{name!r}]", target, -math.inf, math.inf, "finite")
        if target.dim() > 0 and target.shape != estimate.mean.shape:
            raise ValueError(
                f"exact[{name!r}] must be a number or of shape {tuple(estimate.mean.shape)}, "
                f"got shape {tuple(target.shape)}"
            )
        target = target.expand(estimate.mean.shape)
        for index in itertools.product(*map(range, estimate.mean.shape)):
            mean, error = estimate.mean[index].item(), estimate.standard_error[index].item()
            z = f"z = {(mean - target[index].item()) / error:+.2f}" if error > 0 else "z = —"
            label = name + (str(list(index)) if index else "")
            rows.append((label, _plus_minus(mean, error), f"{target[index].item():.7g}", z))
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    lines = (f"{a:<{first}}  {b:>{second}}  {c:>{third}}  {d}".rstrip() for a, b, c, d in rows)
    return "\n".join(lines)

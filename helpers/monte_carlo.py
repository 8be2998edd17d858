"""The Monte-Carlo loop: it adds up per-sample gradients in chunks and reports each mean with its standard error."""

import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import torch
from torch import Tensor

from helpers import validate
from helpers.estimators import Estimator, Gradients, Objective, Params
from helpers.streams import generator_of
from helpers.validate import Number

# Long enough that Python's share of a chunk is small, short enough that its tensors stay in the cache (`make bench`).
CHUNK_SIZE = 500_000
# glibc hands freed memory back to the system unless a larger block was freed before. To get it anew, page by page, for
# each chunk took a fifth of the time. Nothing is touched here, so nothing is used up.
torch.empty(7_500_000)
_IN_FLIGHT = 64
# Where less than this share of the sum of squares is left when the squared mean is taken off, digits were lost.
_CANCELS = 1e-4
PATIENCE = 2.0  # seconds


@dataclass(frozen=True, eq=False)
class Estimate:
    """A Monte-Carlo mean with what it takes to know its error.

    `mean` and `variance` (of one sample, divided by n - 1) become float64 tensors of the parameter's shape; `n` >= 2 is
    the number of samples. Prints as `24.13 ± 2.66`, the number behind ± being the standard error.
    """

    mean: Tensor  # or what torch.as_tensor makes one of
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
        with _one_core():
            blocks = samples.detach().split(max(1, CHUNK_SIZE * n // max(1, samples.numel())))
            return _estimate(reduce(_pooled, map(_moments, blocks)))

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
        mine, others = ((e.n, e.mean.numpy(), (e.n - 1) * e.variance.numpy()) for e in (self, other))
        return _estimate(_pooled(mine, others))

    def __sub__(self, value: Number) -> "Estimate":
        """The estimate minus a known value, with the same error: `estimate - exact` estimates a bias."""
        if isinstance(value, Estimate):
            raise TypeError("value must be a known number or tensor, got an Estimate, which has an error of its own")
        return Estimate(self.mean - torch.as_tensor(value, dtype=torch.float64), self.variance, self.n)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __str__(self) -> str:
        return _nested(self.mean, self.standard_error)

    __repr__ = __str__


# n, the mean over n samples and the sum of their squared deviations from it, both float64
Moments = tuple[int, np.ndarray, np.ndarray]


def moments_of(gradients: Gradients) -> dict[str, Moments]:
    """n, mean and sum of squared deviations of each parameter's samples; ValueError where one is not finite."""
    moments = {name: _moments(samples) for name, samples in gradients.items()}
    for name, (n, _, squares) in moments.items():
        if not np.isfinite(squares).all():
            bad = (~gradients[name].isfinite()).reshape(n, -1).any(1).sum().item()
            raise ValueError(f"gradients of {name!r} must be finite, got {bad} of {n} samples with NaN or infinity")
    return moments


@np.errstate(over="ignore", invalid="ignore")  # `moments_of` looks for what is not finite
def _moments(samples: Tensor) -> Moments:
    """Of samples of shape (n, *shape)."""
    n, wide = samples.shape[0], samples.to(torch.float64)
    shift, (total, squares) = 0.0, _sums(wide)
    if not np.all(squares - total * total / n >= _CANCELS * squares):
        first = wide[0]  # near the mean, so that little cancels, and nothing is left of a constant
        shift, (total, squares) = first.numpy(force=True), _sums(wide - first)
    return n, shift + total / n, np.maximum(squares - total * total / n, 0.0)


def _sums(x: Tensor) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Of x and of its squares, over the first axis."""
    if x.dim() == 1:
        return x.sum().item(), torch.dot(x, x).item()
    ones, flat = x.new_ones(len(x)), x.reshape(len(x), -1)  # for ten columns twice as fast as sum(dim=0)
    total, squares = ((ones @ y).reshape(x.shape[1:]).numpy(force=True) for y in (flat, flat * flat))
    return total, squares


def _pooled(one: Moments, other: Moments) -> Moments:
    """Moments of both sets of samples (pairwise update of Chan, Golub and LeVeque 1983)."""
    n = one[0] + other[0]
    shift = other[1] - one[1]
    return n, one[1] + shift * (other[0] / n), one[2] + other[2] + shift**2 * (one[0] * other[0] / n)


def _pooled_by_name(one: dict[str, Moments], other: dict[str, Moments]) -> dict[str, Moments]:
    return {name: _pooled(one[name], other[name]) for name in one}


def _estimate(moments: Moments) -> Estimate:
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


def estimate_gradient(
    f: Objective,
    estimator: Estimator,
    params: Params,
    n: int = 1000,
    *,
    seed: int = 0,
    chunk_size: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> dict[str, Estimate]:
    """grad_phi E[f(z)] from n samples, as one `Estimate` for each parameter.

    Samples are drawn in n // chunk_size chunks of equal length (within one; a single chunk where n is smaller), chunk i
    from its own stream of `(seed, i)`, and merged in order: the result depends on `seed`, `n` and `chunk_size` and on
    nothing else, bit for bit, whichever `executor` does the work. Threads do where none is given. Where no `chunk_size`
    is given, it is so large that the largest parameter has CHUNK_SIZE numbers in a chunk. Memory does not grow with n.
    Work of over two seconds shows a progress bar in a terminal and in a notebook, unless `progress` is False or the
    environment variable TQDM_DISABLE is set.

    Raises ValueError or TypeError for bad arguments, and ValueError where a gradient is not finite.
    """
    validate.instance("f", f, Callable, "a function")
    validate.instance("estimator", estimator, Callable, "a function")
    validate.instance("params", params, Mapping, "a mapping of names to numbers or tensors")
    validate.instance("executor", executor, Executor | None, "a concurrent.futures.Executor or None")
    validate.instance("progress", progress, bool, "True or False")
    n = validate.integer("n", n, 2)
    seed = validate.integer("seed", seed, 0)
    if chunk_size is None:
        largest = max((value.numel() for value in params.values() if isinstance(value, Tensor)), default=1)
        chunk_size = max(2, CHUNK_SIZE // max(1, largest))
    chunks = max(1, n // validate.integer("chunk_size", chunk_size, 2))
    tasks = ((i, n // chunks + (i < n % chunks)) for i in range(chunks))
    run = partial(_chunk, f, estimator, params, seed)
    threads = torch.get_num_threads()
    own = ThreadPoolExecutor(threads) if executor is None and chunks > 1 else nullcontext(executor)
    with _one_core(), own as pool, closing(_in_order(pool, run, tasks)) as results:
        pooled = reduce(_pooled_by_name, _with_bar(results, n) if progress else results)
    return {name: _estimate(moments) for name, moments in pooled.items()}


class _Threads:
    """How many calls run on one core now, and torch's number of threads before the first of them."""

    lock = threading.Lock()
    inside = 0
    before = 1


@contextmanager
def _one_core() -> Iterator[None]:
    """torch's own threads off in this thread: what is added up in which order must not depend on their number.

    A new thread starts with the number that was set last in any thread, which may be the 1 of a call that still runs.
    So the first of the concurrent calls asks for the number, and each of them sets it again.
    """
    with _Threads.lock:
        threads = torch.get_num_threads()  # in each thread: torch sets up a new one here, and would undo what follows
        if _Threads.inside == 0:
            _Threads.before = threads
        _Threads.inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.inside -= 1
            torch.set_num_threads(_Threads.before)


def _chunk(f: Objective, estimator: Estimator, params: Params, seed: int, task: tuple[int, int]) -> dict[str, Moments]:
    i, size = task
    device = next((value.device for value in params.values() if isinstance(value, Tensor)), "cpu")
    with _one_core():
        if hasattr(estimator, "moments"):  # of `helpers.compiled`, which adds up in the same pass
            return estimator.moments(f, params, size, generator_of(seed, i, device))
        gradients = estimator(f, params, size, generator_of(seed, i, device))
        _check_returned(gradients, params, size)
        return moments_of(gradients)


def _check_returned(gradients: Gradients, params: Params, n: int) -> None:
    """Raise unless the estimator returned n real samples under each name, in the shape of the parameter of that name.

    Other names than those of params are allowed: chapters let the loop estimate a variance beside a gradient.
    """
    validate.instance("what estimator returns", gradients, Mapping, "a mapping of names to tensors")
    if not gradients:
        raise ValueError("estimator must return at least one gradient, got an empty mapping")
    for name, g in gradients.items():
        if not isinstance(g, Tensor) or not g.is_floating_point():
            got = g.dtype if isinstance(g, Tensor) else type(g).__name__
            raise TypeError(f"estimator must return real floating gradients of {name!r}, got {got}")
        shape = (n, *(getattr(params[name], "shape", ()) if name in params else g.shape[1:]))
        if g.shape != shape:
            raise ValueError(f"estimator must return gradients of {name!r} of shape {shape}, got {tuple(g.shape)}")


def _in_order(
    executor: Executor | None,
    run: Callable[[tuple[int, int]], dict[str, Moments]],
    tasks: Iterable[tuple[int, int]],
) -> Iterator[dict[str, Moments]]:
    """Results in the order of the tasks, with a bounded number of them under way."""
    if executor is None:
        yield from map(run, tasks)
        return
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


def _with_bar(results: Iterable[dict[str, Moments]], n: int) -> Iterator[dict[str, Moments]]:
    """The same results, beside a progress bar once two seconds are over."""
    bar, done, start = None, 0, time.monotonic()
    try:
        for result in results:
            yield result
            size = next(iter(result.values()))[0]
            done += size
            if bar is not None:
                bar.update(size)
            elif time.monotonic() - start > PATIENCE:
                from tqdm.auto import tqdm  # slow to import in a notebook, and seldom needed

                alone = type("tqdm", (tqdm,), {"monitor_interval": 0})  # its monitor is a thread that stays
                hidden = True if os.environ.get("TQDM_DISABLE") else None  # None: hidden where stderr is no terminal
                bar = alone(total=n, initial=done, unit=" samples", unit_scale=True, leave=False, disable=hidden)
    finally:
        if bar is not None:
            bar.close()


def _target(name: str, value: Number, shape: torch.Size) -> Tensor:
    """An exact value as a float64 tensor of the given shape, which a number fills."""
    try:
        target = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number or a tensor, got {value!r}") from None
    validate.within(name, target, -math.inf, math.inf, "finite")
    if target.dim() > 0 and target.shape != shape:
        raise ValueError(f"{name} must be a number or of shape {tuple(shape)}, got shape {tuple(target.shape)}")
    return target.expand(shape)


def compare(estimates: Mapping[str, Estimate], exact: Mapping[str, Number]) -> str:
    """A table with a line for each number: name, estimate ± standard error, exact value, z.

    z = (estimate - exact) / standard error: within ±2 in 95 % of all runs where the estimator is unbiased. It is
    shown as a dash where the standard error is 0. Raises ValueError where the names or shapes of both differ.
    """
    validate.same_names("exact", exact, estimates)
    rows = [("", "estimate ± standard error", "exact", "")]
    for name, estimate in estimates.items():
        validate.instance(f"estimates[{name!r}]", estimate, Estimate, "an Estimate")
        target = _target(f"exact[{name!r}]", exact[name], estimate.mean.shape)
        for index in itertools.product(*map(range, estimate.mean.shape)):
            mean, error = estimate.mean[index].item(), estimate.standard_error[index].item()
            z = f"z = {(mean - target[index].item()) / error:+.2f}" if error > 0 else "z = —"
            label = name + (str(list(index)) if index else "")
            rows.append((label, _plus_minus(mean, error), f"{target[index].item():.7g}", z))
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    lines = (f"{a:<{first}}  {b:>{second}}  {c:>{third}}  {d}".rstrip() for a, b, c, d in rows)
    return "\n".join(lines)

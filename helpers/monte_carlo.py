"""The Monte-Carlo loop, which adds up per-sample gradients in chunks and returns each mean with its standard error."""

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import partial, reduce
from typing import Any

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimate import CHUNK_SIZE, Estimate, Moments, estimate_of, moments_of, pooled
from helpers.estimators.base import (
    Estimator,
    Gradients,
    Objective,
    Params,
    checked_draws,
    checked_gradients,
    checked_params,
    numbers_of,
)
from helpers.randomness import generator_of
from helpers.threads import one_core, plain_torch

# glibc returns freed memory to the system unless a larger block was freed before. Getting it back, page by page, for
# each chunk took a fifth of the time. This block is never written to, so it uses no memory.
torch.empty(7_500_000)


_IN_FLIGHT = 64


PATIENCE = 2.0  # seconds


def _pooled_by_name(one: dict[str, Moments], other: dict[str, Moments]) -> dict[str, Moments]:
    return {name: pooled(one[name], other[name]) for name in one}


def estimate_gradient(
    f: Objective,
    estimator: Estimator | Callable[..., Gradients],
    params: Params,
    n: int = 1000,
    *,
    seed: int = 0,
    chunk_size: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> dict[str, Estimate]:
    """grad_phi E[f(z)] from n samples, as one `Estimate` per parameter.

    `estimator` is one of `helpers.estimators`, or any function of (f, params, n, generator) that returns per-sample
    gradients under the names of `params`. By default, `chunk_size` is chosen such that the largest tensor of a chunk
    has about CHUNK_SIZE numbers. See `estimate_means` for the other arguments and their ranges.

    Raises ValueError or TypeError for bad arguments, ValueError if a gradient is not finite, and NotImplementedError
    for a sampler whose derivative torch cannot differentiate again where that is needed.
    """
    validate.instance("f", f, Callable, "a function")
    validate.instance("estimator", estimator, Callable, "a function")
    if isinstance(estimator, type):
        raise TypeError(f"estimator must be an estimator, not its class: {estimator.__name__}(...)")
    n, values = validate.integer("n", n, 2), checked_params(params)
    shortest = n if chunk_size is None else n // max(1, n // validate.integer("chunk_size", chunk_size, 2))
    device, ours = next(iter(values.values())).device, isinstance(estimator, Estimator)
    with plain_torch(device):
        if ours:
            estimator.check(values, shortest)
        numbers = estimator.numbers(values) if ours else numbers_of(values)
    if chunk_size is None:
        chunk_size = max(estimator.least_chunk if ours else 4, CHUNK_SIZE // max(1, numbers))
    moments = partial(_moments_of_gradients, f, estimator, values if ours else params, device)
    return _estimates(moments, n, seed, chunk_size, executor, progress, device)


def estimate_means(
    samples_of: Callable[[int, Generator], Mapping[str, Tensor]],
    n: int = 1000,
    *,
    seed: int = 0,
    chunk_size: int = CHUNK_SIZE,
    executor: Executor | None = None,
    progress: bool = True,
    device: torch.device | str = "cpu",
) -> dict[str, Estimate]:
    """The means of n samples of any quantities, as one `Estimate` per name.

    `samples_of(n, generator)` maps each name to n samples, a real floating-point tensor of shape (n, ...). The samples
    are drawn in n // chunk_size chunks whose lengths differ by at most 1 (in a single chunk if n is smaller), so a
    chunk has between `chunk_size` and almost twice as many samples. Chunk i comes from its own stream of `(seed, i)`.
    The chunks are merged in order, so the result depends on `seed`, `n` and `chunk_size` only, bit for bit, whichever
    `executor` does the work; by default, threads do. Memory does not grow with n. `device` is that of the generator.
    Work of over two seconds shows a progress bar in a terminal and in a notebook, unless `progress` is False or the
    environment variable TQDM_DISABLE is set. n >= 2, `chunk_size` is 2 or more and `seed` is 0 or more.

    Raises ValueError or TypeError for bad arguments, and ValueError if a sample is not finite.
    """
    validate.instance("samples_of", samples_of, Callable, "a function of n and a generator")
    moments = partial(_moments_of_samples, samples_of)
    return _estimates(moments, n, seed, chunk_size, executor, progress, torch.device(device))


def _moments_of_gradients(
    f: Objective,
    estimator: Callable[..., Gradients],
    params: Params,
    device: torch.device,
    n: int,
    generator: Generator,
) -> dict[str, Moments]:
    if isinstance(estimator, Estimator):
        return estimator.moments(f, params, n, generator)
    with plain_torch(device):
        return moments_of(checked_gradients(estimator(f, params, n, generator), params, n))


def _moments_of_samples(
    samples_of: Callable[[int, Generator], Mapping[str, Tensor]], n: int, generator: Generator
) -> dict[str, Moments]:
    with plain_torch(generator.device):
        return moments_of(checked_draws(samples_of(n, generator), n))


def _estimates(
    moments: Callable[[int, Generator], dict[str, Moments]],
    n: int,
    seed: int,
    chunk_size: int,
    executor: Executor | None,
    progress: bool,
    device: torch.device,
) -> dict[str, Estimate]:
    """Draw the chunks of samples, each from its own stream, and pool their moments in order."""
    validate.instance("executor", executor, Executor | None, "a concurrent.futures.Executor or None")
    validate.instance("progress", progress, bool, "True or False")
    n, seed = validate.integer("n", n, 2), validate.integer("seed", seed, 0)
    chunks = max(1, n // validate.integer("chunk_size", chunk_size, 2))
    tasks = ((i, n // chunks + (i < n % chunks)) for i in range(chunks))
    run = partial(_chunk, moments, seed, device)
    if isinstance(executor, ProcessPoolExecutor):
        _check_picklable(run)
    threads = torch.get_num_threads()
    own = ThreadPoolExecutor(threads) if executor is None and chunks > 1 else nullcontext(executor)
    with one_core(), own as pool, closing(_in_order(pool, run, tasks)) as results:
        found = reduce(_pooled_by_name, _with_bar(results, n) if progress else results)
    return {name: estimate_of(m) for name, m in found.items()}


def _chunk(
    moments: Callable[[int, Generator], dict[str, Moments]], seed: int, device: torch.device, task: tuple[int, int]
) -> dict[str, Moments]:
    i, size = task
    with one_core():
        return moments(size, generator_of(seed, i, device))


def _check_picklable(run: Callable[..., object]) -> None:
    """Raise TypeError if `run` cannot be sent to another process, for example because it holds a lambda."""
    try:
        pickle.dumps(run)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            "f, estimator and params must be picklable for a ProcessPoolExecutor, so functions must be defined at the "
            f"top level of a module: {error}"
        ) from None


def _in_order(
    executor: Executor | None,
    run: Callable[[tuple[int, int]], dict[str, Moments]],
    tasks: Iterable[tuple[int, int]],
) -> Iterator[dict[str, Moments]]:
    """The results in the order of the tasks, with only a bounded number of tasks submitted at a time."""
    if executor is None:
        for task in tasks:
            yield run(task)
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
    """The same results, with a progress bar after the first two seconds."""
    bar, done, start = None, 0, time.monotonic()
    try:
        for result in results:
            yield result
            size = next(iter(result.values()))[0]
            done += size
            if bar is not None:
                bar.update(size)
            elif time.monotonic() - start > PATIENCE:
                bar = _bar(n, done)
    finally:
        if bar is not None:
            bar.close()


def _bar(n: int, done: int) -> Any:
    from tqdm.auto import tqdm  # It is slow to import in a notebook, and rarely needed.

    class Bar(tqdm):
        monitor_interval = 0  # tqdm's monitor is a thread that outlives the bar.

    hidden = True if os.environ.get("TQDM_DISABLE") else None  # None: hidden where stderr is no terminal
    return Bar(total=n, initial=done, unit=" samples", unit_scale=True, leave=False, disable=hidden)

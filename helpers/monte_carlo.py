"""The Monte-Carlo loop: it adds up per-sample gradients in chunks and reports each mean with its standard error."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import partial, reduce

import torch
from torch import Tensor

from helpers import validate
from helpers.estimate import CHUNK_SIZE, Estimate, Moments, estimate_of, moments_of, pooled
from helpers.estimators.base import Estimator, Gradients, Objective, Params
from helpers.randomness import generator_of
from helpers.threads import one_core

# glibc hands freed memory back to the system unless a larger block was freed before. To get it anew, page by page, for
# each chunk took a fifth of the time. Nothing is touched here, so nothing is used up.
torch.empty(7_500_000)


_IN_FLIGHT = 64


PATIENCE = 2.0  # seconds


def _pooled_by_name(one: dict[str, Moments], other: dict[str, Moments]) -> dict[str, Moments]:
    return {name: pooled(one[name], other[name]) for name in one}


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
    with one_core(), own as pool, closing(_in_order(pool, run, tasks)) as results:
        pooled = reduce(_pooled_by_name, _with_bar(results, n) if progress else results)
    return {name: estimate_of(moments) for name, moments in pooled.items()}


def _chunk(f: Objective, estimator: Estimator, params: Params, seed: int, task: tuple[int, int]) -> dict[str, Moments]:
    i, size = task
    device = next((value.device for value in params.values() if isinstance(value, Tensor)), "cpu")
    with one_core():
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

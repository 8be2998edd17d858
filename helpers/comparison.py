"""Compare several estimators of one gradient by bias, variance, and cost."""

import itertools
import math
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimate import Estimate, moments_of, target_of
from helpers.estimators.base import (
    TRYING,
    Estimator,
    Gradients,
    Objective,
    Params,
    Values,
    WithParams,
    checked_gradients,
    checked_params,
)
from helpers.randomness import generator_of
from helpers.threads import one_core
from helpers.validate import Number

CALLS = 10


@dataclass(frozen=True, eq=False)
class Trial:
    """The measurements of one estimator, under labels such as "loc", or "logits[0]" for an element of a vector.

    `gradient` is the estimate, `bias` its difference from the exact gradient (or from the estimate that stands for it),
    and `variance` that of one sample, whose sum over a vector has the label "logits, sum". `heavy` has the labels of
    variances whose standard error depends on a few large samples and may be too small, because their fourth moment is
    known to no better than 15%. Values so rare that no sample met them stay unseen. `evaluations` of f and `seconds`
    on one core are per sample. The seconds are the median over CALLS calls, with the standard error `seconds_error`,
    and include the checks of the parameters and of f, whose share falls as n grows.
    """

    gradient: dict[str, Estimate]
    bias: dict[str, Estimate]
    variance: dict[str, Estimate]
    heavy: frozenset[str]
    evaluations: float
    seconds: float
    seconds_error: float

    def row(self, label: str) -> list[str]:
        """The cells of this estimator's row in the table for `label`."""
        spread, ns = self.variance[label], self.seconds * 1e9
        bias = _text(self.bias[label]) if label in self.bias else ""
        cells = [bias, _text(spread), "!" * (label in self.heavy), f"{self.evaluations:.4g}", _rough(ns)]
        if spread.mean == 0:
            return [*cells, "0", ""]
        error = math.hypot(spread.standard_error / spread.mean, self.seconds_error / self.seconds)
        return [*cells, _rough(spread.mean.item() * ns), f"≈ {100 * error:.2g}%"]


@dataclass(frozen=True, eq=False)
class Trials:
    """The measurements of each estimator, why others failed, and the goal of each table; prints as tables."""

    trials: dict[str, Trial]
    failed: dict[str, str]
    goals: dict[str, str]

    def __getitem__(self, name: str) -> Trial:
        return self.trials[name]

    def __str__(self) -> str:
        head = ["", "bias", "variance", "", "calls", "ns", "var × ns", "error"]
        tables = [[head] + [[name, *trial.row(label)] for name, trial in self.trials.items()] for label in self.goals]
        widths = [max(map(len, column)) for column in zip(*itertools.chain(*tables), strict=True)]
        widths[0] = max(map(len, [*self.trials, *self.failed]))
        lines = []
        for (label, goal), rows in zip(self.goals.items(), tables, strict=True):
            lines += ["", f"{label}: {goal}"]
            for name, *cells in rows:
                cells = [f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True) if width]
                lines.append(f"{name:{widths[0]}}{''.join(cells)}".rstrip())
            lines += [f"{name:{widths[0]}}  failed: {reason}" for name, reason in self.failed.items()]
        if any(trial.heavy for trial in self.trials.values()):
            lines += ["", "! a few large samples make up the error of this variance: it may be too small"]
        return "\n".join(lines[1:])

    __repr__ = __str__


def _text(estimate: Estimate) -> str:
    """`a ± s` with only two digits of s, because the table is wide enough."""
    mean, error = estimate.mean.item(), estimate.standard_error.item()
    digits = 1 - math.floor(math.log10(error)) if error > 0 else 9
    return f"{mean:.{max(0, digits)}f} ± {error:.{max(0, digits)}f}" if digits < 9 else f"{mean:.6g} ± {error:.2g}"


def _rough(value: float) -> str:
    """A figure that depends on the machine, to three digits."""
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"≈ {value:,.{digits}f}" if 1e-3 < value < 1e6 else f"≈ {value:.2e}"


class _Call(NamedTuple):
    gradients: Tensor  # a row for each sample, float64
    evaluations: float
    seconds: float


# An estimator, or a function without arguments that builds one.
Candidate = Callable[..., Gradients] | Callable[[], Estimator]


def compare_estimators(
    f: Objective,
    candidates: Mapping[str, Candidate],
    params: Params,
    n: int = 100_000,
    *,
    exact: Mapping[str, Number] | str,
    seed: int = 0,
) -> Trials:
    """Bias, variance of one sample, time, and variance x time of several estimators of grad_phi E[f(z)].

    Each is called CALLS times for n / CALLS samples with the same `params`, in turns and with a random stream per call;
    the samples are kept in memory. An estimator may be given as a function without arguments that builds it. `exact`
    has the exact gradients by parameter or, if they are unknown, names an unbiased estimator; a bias is then the
    difference from its estimate, with the errors of both. An estimator that cannot be built or run is listed with the
    reason. Raises ValueError if this happens to all of them, or to the one that `exact` names.
    """
    validate.instance("f", f, Callable, "a function")
    _check_candidates(candidates)
    values, seed = checked_params(params), validate.integer("seed", seed, 0)
    size = -(-validate.integer("n", n, 10 * CALLS) // CALLS)
    reference, known = _goal(exact, candidates, values)
    calls, failed = _calls(f, candidates, params, values, size, seed)
    if not calls or reference in failed:
        raise ValueError(f"one of candidates, and the one that exact names, must run, but these failed: {failed}")
    columns = _columns(values)
    samples = {name: torch.cat([call.gradients for call in calls[name]]) for name in calls}
    trials, goals = {}, {}
    for name, g in samples.items():
        goal = None if name == reference else samples.get(reference, known)
        trials[name] = _judged(g, goal, columns, calls[name])
    for label, part in columns.items():
        single = f"exact {known[part][0].item():.7g}" if reference is None else f"bias against {reference}"
        goals[label] = single if part.stop - part.start == 1 else "the whole vector"
    return Trials(trials, failed, goals)


def _check_candidates(candidates: Mapping[str, Candidate]) -> None:
    validate.instance("candidates", candidates, Mapping, "a mapping of names to estimators")
    if not candidates:
        raise ValueError("candidates must not be empty, because there would be nothing to compare")
    for name, candidate in candidates.items():
        validate.instance("the name of a candidate", name, str, "a string")
        validate.instance(f"candidates[{name!r}]", candidate, Callable, "an estimator, such as Pathwise(sampler)")


def _calls(
    f: Objective, candidates: Mapping[str, Candidate], params: Params, values: Values, size: int, seed: int
) -> tuple[dict[str, list[_Call]], dict[str, str]]:
    """CALLS calls of each estimator, in turns, and the reasons why some cannot be built or run."""
    device = next(iter(values.values())).device
    calls: dict[str, list[_Call]] = {name: [] for name in candidates}
    failed: dict[str, str] = {}
    for i, (number, name) in itertools.product(range(CALLS), enumerate(candidates)):
        if name not in failed:
            try:
                estimator = _built(candidates[name])
                generator = generator_of(seed, number * CALLS + i, device)
                calls[name].append(_call(f, estimator, params, values, size, generator))
            except Exception as error:  # a reader's f may raise anything
                failed[name] = textwrap.shorten(_reason(error), 64, placeholder=" …")
    return {name: each for name, each in calls.items() if name not in failed}, failed


def _built(candidate: Candidate) -> Callable[..., Gradients]:
    """The estimator, which is built first if it was given as a function without arguments."""
    if isinstance(candidate, Estimator):
        return candidate
    needed = [p for p in signature(candidate).parameters.values() if p.default is p.empty]
    return candidate if needed else candidate()


def _reason(error: Exception) -> str:
    """The message of the error, with its type if the message alone does not explain it, as with KeyError: 'x'."""
    if isinstance(error, KeyError | AttributeError | IndexError | AssertionError | StopIteration) or not str(error):
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    return str(error)


def _goal(
    exact: Mapping[str, Number] | str, candidates: Mapping[str, Candidate], values: Values
) -> tuple[str | None, Tensor | None]:
    """The name of the reference, or the exact gradient as one row of numbers."""
    if isinstance(exact, str):
        if exact not in candidates:
            raise ValueError(f"exact must name one of the candidates {list(candidates)}, got {exact!r}")
        return exact, None
    validate.instance("exact", exact, Mapping, "a mapping of names to numbers, or the name of a candidate")
    validate.same_names("exact", exact, values)
    return None, torch.cat([target_of(f"exact[{k!r}]", exact[k], v.shape).reshape(-1) for k, v in values.items()])


def _columns(values: Values) -> dict[str, slice]:
    """The columns of each number, and of each vector, in a row of gradients."""
    columns, start = {}, 0
    for name, value in values.items():
        for i, index in enumerate(itertools.product(*map(range, value.shape)), start):
            columns[name + (str(list(index)) if index else "")] = slice(i, i + 1)
        if value.numel() > 1:
            columns[f"{name}, sum"] = slice(start, start + value.numel())
        start += value.numel()
    return columns


def _call(
    f: Objective,
    estimator: Callable[..., Gradients],
    params: Params,
    values: Values,
    size: int,
    generator: Generator,
) -> _Call:
    evaluations = 0

    def counted(*arguments: Any) -> Tensor:
        nonlocal evaluations
        evaluations += 0 if TRYING.get() else len(arguments[0])
        return f(*arguments)

    watched = WithParams(counted) if isinstance(f, WithParams) else counted
    with one_core():
        start = time.perf_counter()
        found = {name: g.detach().cpu() for name, g in estimator(watched, params, size, generator).items()}
        seconds = time.perf_counter() - start
    checked_gradients(found, values, size)
    gradients = torch.cat([found[name].double().reshape(size, -1) for name in values], 1)
    if not gradients.isfinite().all():
        raise ValueError("gradients must be finite, got NaN or infinity")
    moments_of(found)  # raises ValueError if their squares are out of range
    return _Call(gradients, evaluations / size, seconds / size)


def _judged(g: Tensor, goal: Tensor | None, columns: dict[str, slice], calls: list[_Call]) -> Trial:
    squares = (g - Estimate.from_samples(g).mean) ** 2 * (len(g) / (len(g) - 1))
    gradient, bias, variance, heavy = {}, {}, {}, set()
    for label, part in columns.items():
        spread = squares[:, part].sum(1)
        variance[label], fourth = Estimate.from_samples(spread), Estimate.from_samples(spread**2)
        if not fourth.standard_error <= 0.15 * fourth.mean:  # `not <=`, because an overflow gives NaN
            heavy.add(label)
        if part.stop - part.start == 1:
            gradient[label] = Estimate.from_samples(g[:, part.start])
            if goal is not None:
                bias[label] = Estimate.from_samples((g - goal)[:, part.start])
    seconds = torch.tensor([call.seconds for call in calls])
    middle = seconds.quantile(0.5)  # torch's `median` is the lower of the two middle values
    # sigma is 1.48 MAD, and the standard error of a median is 1.25 sigma / sqrt(CALLS)
    error = 1.86 * (seconds - middle).abs().quantile(0.5) / math.sqrt(CALLS)
    return Trial(gradient, bias, variance, frozenset(heavy), calls[0].evaluations, middle.item(), error.item())

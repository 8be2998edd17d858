"""The interface of all estimators of grad_phi E[f(z)], z ~ q_phi: check the call, draw noise, compute gradients.

An estimator is a frozen object called as `estimator(f, params, n, generator)`. `f` maps samples of shape (n, ...) to
one number per sample, shape (n,), each computed from its sample alone, with a draw of its own if f draws; to see this,
it is called once more for two of them and, if the values differ or f raises an error, a few times more. `params` maps
the argument names of the sampler or distribution to numbers or tensors. The result maps each name to a tensor of shape
(n, *param.shape) whose mean over the first axis is the estimate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimate import Moments, check_finite, moments_of
from helpers.randomness import Noise, draws
from helpers.threads import plain_torch
from helpers.validate import Number

Objective = Callable[..., Tensor]
Params = Mapping[str, Number]
Values = dict[str, Tensor]  # parameters by name, in their own shape or as copies
Gradients = dict[str, Tensor]  # per-sample gradients by the names of the parameters

# Whether f is called only to try it, which `compare_estimators` must not count.
TRYING: ContextVar[bool] = ContextVar("trying", default=False)


@contextmanager
def trying() -> Iterator[None]:
    """Calls of f in this context only try it, and do not count as evaluations."""
    before = TRYING.set(True)
    try:
        yield
    finally:
        TRYING.reset(before)


@dataclass(frozen=True)
class WithParams:
    """An objective f(z, params) that depends on the parameters itself and returns one number per sample.

    Pass `WithParams(f)` in place of an objective f(z). `params` maps each name to the parameter in its own shape, not
    to one copy per sample. The estimator then adds the partial derivative of f with respect to the parameters at the
    same samples. Terms in which f detaches a parameter do not contribute.
    """

    f: Callable[[Tensor, Values], Tensor]

    def __post_init__(self) -> None:
        validate.instance("f", self.f, Callable, "a function of z and params")

    def __call__(self, z: Tensor, params: Values) -> Tensor:
        """f(z, params)."""
        return self.f(z, params)


class Estimator(ABC):
    """An estimator of grad_phi E[f(z)], whose gradients are a function of its noise, which holds everything random.

    A subclass defines `noise`, `gradients` and `samples` and, if it restricts its parameters, `check`. All of them
    receive checked parameters, namely finite tensors of one dtype and device that carry no graph. The engine calls
    these and not `__call__`.
    """

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-sample gradients, a tensor of shape (n, *param.shape) for each name of `params`.

        Raises TypeError or ValueError for bad arguments, or if f does not return n finite real numbers, each computed
        from one sample.
        """
        values, noise = self.prepared(f, params, n, generator)
        with plain_torch(next(iter(values.values())).device):
            gradients = self._at(f, noise, values, n)
        given = {name: p if isinstance(p, Tensor) else values[name] for name, p in params.items()}
        gradients = {name: g.to(given[name].dtype) for name, g in gradients.items()}
        check_finite(gradients)
        return gradients

    def _at(self, f: Objective, noise: Any, params: Values, n: int) -> Gradients:
        gradients = self.gradients(objective(f, params), noise, params)
        if isinstance(f, WithParams):
            own = partial_derivatives(f, self.samples(noise, params), params, n, self.of_values)
            gradients = {name: g + own[name] for name, g in gradients.items()}
        return gradients

    def prepared(self, f: Objective, params: Params, n: int, generator: Generator | None) -> tuple[Values, Any]:
        """The checked parameters, and the noise at them; TypeError or ValueError for bad arguments."""
        check_call(f, n, generator)
        values = checked_params(params)
        with plain_torch(next(iter(values.values())).device):
            self.check(values, n)
            return values, self.noise(values, n, generator)

    def check(self, params: Values, n: int) -> None:  # noqa: B027 - most estimators have nothing to add
        """Raise ValueError for parameters that this estimator cannot take, or for too small an n."""

    @abstractmethod
    def noise(self, params: Values, n: int, generator: Generator | None) -> Any:
        """Everything random that n per-sample gradients need."""

    def standard_noise(self, params: Values) -> tuple[Noise, torch.Size]:
        """The parameter-free noise behind `noise`, and its shape for one sample; ValueError if there is none.

        Antithetic pairs mirror this noise, quasi-Monte-Carlo points replace it, and a compiled pass starts from it.
        """
        raise ValueError(f"estimator must have standard noise, whose inverse CDF is known, got {self}")

    def noise_from(self, eps: Tensor, params: Values) -> Any:
        """The result of `noise`, made from standard noise eps of shape (n, *shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no standard noise")

    @abstractmethod
    def gradients(self, f: Objective, noise: Any, params: Values) -> Gradients:
        """The per-sample gradients at this noise; f is the result of `objective`."""

    @abstractmethod
    def samples(self, noise: Any, params: Values) -> Tensor:
        """The samples of q_phi at this noise, without a graph; those that belong to one gradient are adjacent."""

    def of_values(self, values: Tensor, z: Tensor, params: Values) -> Tensor:
        """What is differentiated, computed from the values of f at the samples z: here those values themselves."""
        return values

    @property
    def least_chunk(self) -> int:
        """The least number of samples in a chunk, however large one sample is."""
        return 4

    def numbers(self, params: Values) -> int:
        """The size of the largest tensor that is known to be needed for one gradient."""
        return numbers_of(params)

    def moments(self, f: Objective, params: Values, n: int, generator: Generator) -> dict[str, Moments]:
        """n, mean and sum of squared deviations of the per-sample gradients, which `estimate_gradient` pools.

        `params` have passed `check`, which is not called again for each chunk.
        """
        with plain_torch(generator.device):
            gradients = self._at(f, self.noise(params, n, generator), params, n)
            return moments_of(checked_gradients(gradients, params, n))


def numbers_of(params: Values) -> int:
    """The size of the shape to which the parameters broadcast or, if they do not, of the largest parameter."""
    shapes = [value.shape for value in params.values()]
    try:
        return torch.broadcast_shapes(*shapes).numel()
    except RuntimeError:  # axes that belong to an event need not broadcast
        return max(shape.numel() for shape in shapes)


def check_call(f: Objective, n: int, generator: Generator | None) -> None:
    """Raise TypeError or ValueError unless f is a function, n an int >= 1 and generator a generator or None."""
    validate.instance("f", f, Callable, "a function")
    validate.integer("n", n, 1)
    validate.instance("generator", generator, Generator | None, "a torch.Generator or None")


def checked_params(params: Params) -> Values:
    """The parameters as finite tensors of one dtype and device, without their graph; TypeError or ValueError if bad."""
    validate.instance("params", params, Mapping, "a mapping of names to numbers or tensors")
    if not params:
        raise ValueError("params must not be empty, because there would be nothing to differentiate")
    for name in params:
        validate.instance("the name of a parameter", name, str, "a string")
    tensors = zip(params, validate.tensors(**params), strict=True)
    with torch.inference_mode(False):
        return {name: value.clone() if value.is_inference() else value.detach() for name, value in tensors}


def objective(f: Objective, params: Params, name: str = "f") -> Objective:
    """f as a function of z alone, which checks its values and keeps the graph from z to them.

    On the first call, f is tried on two of the samples alone, and ValueError is raised if it mixes samples. Errors call
    f by `name`.
    """
    given = (lambda z: f(z, dict(params))) if isinstance(f, WithParams) else f
    dtype = next(iter(params.values())).dtype
    tried = False

    def values(z: Tensor) -> Tensor:
        nonlocal tried
        found = values_of(given, z, dtype, name)
        if not tried:
            tried = True
            _check_no_mixing(given, z.detach(), found.detach(), dtype, name)
        return found

    return values


def _check_no_mixing(f: Objective, z: Tensor, values: Tensor, dtype: torch.dtype, name: str) -> None:
    """Raise ValueError if the values of f for two samples change with the other samples, or if all share one draw.

    An f that draws for each sample, or that takes no other number of samples, because it holds a row of data for each,
    is let pass.
    """
    if len(z) < 2:
        return
    try:
        with trying():
            fault = _fault(lambda x: f(copy_for_f(x, dtype)).detach().to(values.dtype), z, values)
    except Exception:  # f may raise anything for samples that it does not expect
        return
    if fault:
        raise ValueError(f"{name} must {fault}")


def _fault(values_at: Callable[[Tensor], Tensor], z: Tensor, values: Tensor) -> str:
    """What f must do and does not, or nothing."""
    two = slice(len(z) // 2, len(z) // 2 + min(2, len(z) // 2))

    def near(found: Tensor) -> bool:
        rounding = 8 * torch.finfo(values.dtype).eps * values[two].abs()
        limit = rounding + 1e-3 * values.std()  # and little of what tells the values apart
        return bool(((found - values[two]).abs() <= limit).all())  # NaN and infinity are near no finite value

    with suppress(Exception):  # f may take no other number of samples, for instance with a row of data for each
        alone = values_at(z[two])
        if alone.equal(values[two]) or near(alone):
            return ""
    same = z[two.start]
    if not values_at(z)[two].equal(values[two]):  # as many samples as before, because f may use their number or places
        if _draws_once(values_at, same.expand(8, *same.shape)):
            return (
                "draw for each sample, but all samples share a draw, so they are not independent; draw before the call"
            )
        return ""
    others = same.expand_as(z).clone()
    others[two] = z[two]
    if near(values_at(others)[two]) or draws(lambda: values_at(z), z.device):
        return ""
    if not all(values_at(z)[two].equal(values[two]) for _ in range(3)):  # f may draw by other means than torch
        return ""
    return (
        "compute the value of each sample from that sample alone, but the values of two samples change with the other "
        f"{len(z) - len(values[two])}, as they do if it takes a mean over the first axis"
    )


def _draws_once(values_at: Callable[[Tensor], Tensor], same: Tensor) -> bool:
    """Whether f draws, and gives all copies of one sample the same value."""
    found = []
    if not draws(lambda: found.extend(values_at(same) for _ in range(4)), same.device):
        return False
    values = torch.stack(found)
    return bool((values == values[:, :1]).all()) and not bool((values == values[0]).all())


def values_of(f: Objective, z: Tensor, dtype: torch.dtype, name: str = "f") -> Tensor:
    """The values of f, in the dtype of the parameters at least, at a copy of z that f may write into.

    Raises TypeError or ValueError unless f returns one finite real number per sample.
    """
    n = len(z)
    values = f(copy_for_f(z, dtype))
    if not isinstance(values, Tensor) or values.shape != (n,):
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{name} must return one number per sample, a tensor of shape ({n},), got {got}")
    if values.is_complex():
        raise TypeError(f"{name} must return real numbers, got {values.dtype}")
    values = values.to(torch.promote_types(dtype, values.dtype))  # a difference may need the digits of wider ones
    # One fast pass detects NaN and infinity, which a sum cannot hide; a slower one counts them.
    bad = 0 if math.isfinite(values.detach().sum().item()) else n - int(values.detach().isfinite().sum())
    if bad:
        raise ValueError(f"{name} must return finite numbers, got NaN or infinity for {bad} of {n} samples")
    return values


def copy_for_f(z: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of the samples for f, in the dtype of the parameters where an estimator keeps more digits than that."""
    return z.to(dtype, copy=True) if z.is_floating_point() else z.clone()


def checked_gradients(gradients: Gradients, params: Params, n: int) -> Gradients:
    """The gradients; TypeError or ValueError unless they are n real samples per parameter, in its shape."""
    validate.instance("the result of estimator", gradients, Mapping, "a mapping of names to tensors")
    validate.same_names("the result of estimator", gradients, params)
    checked_draws(gradients, n, "gradients")
    for name, g in gradients.items():
        shape = (n, *getattr(params[name], "shape", ()))
        if g.shape != shape:
            raise ValueError(f"estimator must return gradients of {name!r} of shape {shape}, got {tuple(g.shape)}")
    return gradients


def checked_draws(samples: Values, n: int, what: str = "samples") -> Values:
    """The samples; TypeError or ValueError unless each name has n real floating-point numbers on the first axis.

    Errors call them `what`.
    """
    validate.instance(f"the {what}", samples, Mapping, "a mapping of names to tensors")
    if not samples:
        raise ValueError(f"the {what} must have at least one name, got an empty mapping")
    for name, values in samples.items():
        if not isinstance(values, Tensor) or not values.is_floating_point():
            got = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(f"the {what} of {name!r} must be real floating-point numbers, got {got}")
        if values.dim() == 0 or len(values) != n:
            raise ValueError(f"the {what} of {name!r} must have a first axis of {n}, got shape {tuple(values.shape)}")
    return samples


def checked_samples(z: Tensor, n: int) -> Tensor:
    """z; ValueError unless its first axis holds n samples."""
    if not isinstance(z, Tensor) or z.dim() == 0 or len(z) != n:
        got = f"shape {tuple(z.shape)}" if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"the sampler must return n = {n} samples on its first axis, got {got}")
    return z


def one_copy_per_sample(params: Values, n: int, event_dims: Mapping[str, int], axes: int = 0) -> Values:
    """Each parameter as a leaf of shape (n, ...), so one backward pass gives n separate gradients.

    The copies share memory. Batch axes are padded to a common number, at least `axes`, so they still broadcast after
    the sample axis. The last `event_dims[name]` axes belong to one sample and stay as they are.
    """
    batches = {name: value.shape[: value.dim() - event_dims.get(name, 0)] for name, value in params.items()}
    widest = max(axes, len(validate.broadcast(batches)))
    leaves = {}
    for name, value in params.items():
        padding = (1,) * (widest - len(batches[name]))
        copies = value.expand(n, *value.shape).reshape(n, *padding, *value.shape)
        leaves[name] = copies.requires_grad_()
    return leaves


def gradients_of_copies(values: Tensor, weights: Tensor, leaves: Values, params: Values) -> Gradients:
    """The gradient of weight * value for each sample, in the shape of each parameter; zero if it is not used."""
    gradients = torch.autograd.grad(  # retain_graph, because another objective may be evaluated at the same noise
        values, list(leaves.values()), weights.to(values.dtype).expand_as(values), retain_graph=True, allow_unused=True
    )
    result = {}
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        gradient = torch.zeros_like(leaf) if gradient is None else gradient
        result[name] = gradient.reshape(len(leaf), *params[name].shape).to(params[name].dtype)
    return result


def beside(values: Tensor, axes: int) -> Tensor:
    """`values` of shape (n,) with axes of length 1 at the end, `axes` in all: one weight for each gradient."""
    return values.reshape(len(values), *(1,) * (axes - 1))


def own_leaves(params: Values) -> Values:
    """Each parameter as a leaf in its own shape."""
    return {name: value.detach().requires_grad_() for name, value in params.items()}


def rows_of_jacobian(
    values: Tensor, leaves: Values, check_unused: Callable[[str], None] = lambda name: None, rounding: float = 0.0
) -> Gradients:
    """d values_i / d leaf for each i, shape (n, *leaf.shape), for any function of the leaves.

    The gradient of sum_i w_i values_i is linear in w, so its derivative with respect to w is one column of the
    Jacobian for each element of a leaf, and no copies of the parameters are needed. `check_unused` gets the name of
    each leaf to which no graph leads. Raises NotImplementedError if torch cannot differentiate that gradient again, as
    seen from a difference that is larger than `rounding`, which is that of one value.
    """
    weights = torch.ones_like(values, requires_grad=True)
    found = {}
    totals: Sequence[Tensor | None] = [None] * len(leaves)
    if values.requires_grad:
        totals = _grad(values, list(leaves.values()), weights, create_graph=True)
    for (name, leaf), total in zip(leaves.items(), totals, strict=True):
        if total is None:
            check_unused(name)
        if total is None or not (total.requires_grad or total.any()):
            found[name] = values.new_zeros(len(values), *leaf.shape)
            continue
        elements = total.reshape(-1)
        columns = [_grad(e, weights, retain_graph=True)[0] if e.requires_grad else None for e in elements]
        if any(column is None for column in columns) or _differ(torch.stack(columns, 1), elements, rounding):
            raise NotImplementedError(
                f"the derivative with respect to {name!r} must be differentiable itself, but this one is not, as for "
                "samples of Beta and Dirichlet, where the class helps, such as Pathwise(Dirichlet), or for a function "
                "whose backward detaches"
            )
        found[name] = torch.stack(columns, 1).reshape(len(values), *leaf.shape).to(leaf.dtype)
    return found


def _grad(*arguments: Any, **options: Any) -> tuple[Tensor | None, ...]:
    """torch.autograd.grad, with None for what is not used; NotImplementedError, with torch's reason, where it fails."""
    try:
        return torch.autograd.grad(*arguments, allow_unused=True, **options)
    except RuntimeError as error:  # of an operation that has no second derivative, as fast attention
        raise NotImplementedError(
            f"the derivative must be differentiable itself, but torch says: {str(error).splitlines()[0]} "
            "(attention has one under torch.nn.attention.sdpa_kernel(SDPBackend.MATH))"
        ) from error


def _differ(rows: Tensor, total: Tensor, rounding: float) -> bool:
    """Whether the rows miss the total, because torch gives 0 for a path that it cannot differentiate again."""
    return bool(((rows.sum(0) - total).abs() > 0.01 * rows.abs().sum(0).max() + len(rows) * rounding).any())


def partial_derivatives(
    f: WithParams,
    z: Tensor,
    params: Values,
    n: int,
    of_values: Callable[[Tensor, Tensor, Values], Tensor],
) -> Gradients:
    """The partial derivative of what `of_values` makes of f(z, params), averaged over the samples of each gradient."""
    leaves = own_leaves(params)
    values = values_of(lambda x: f(x, leaves), z, next(iter(params.values())).dtype)
    if not values.requires_grad:
        return {name: value.new_zeros(n, *value.shape) for name, value in params.items()}
    rows = rows_of_jacobian(of_values(values, z, params), leaves)
    return {name: row.reshape(n, -1, *row.shape[1:]).mean(1) for name, row in rows.items()}

"""One pass for all that follows the draws, through torch.compile, for who asks for it."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode

from helpers import validate
from helpers.estimate import Moments, moments_of
from helpers.estimators.base import Estimator, Gradients, Objective, Params
from helpers.validate import Number

# Compiled code takes no generator. Where it would draw, it calls an operator of ours, which has one from `_stream`.
_NAMESPACE = "gradients_of_expectations"
_stream = threading.local()


def _operator(draw: Callable[..., Tensor], like: Callable[..., Tensor]) -> OpOverload:
    """A random operator that compiled code calls as it stands; `like` gives an empty tensor of the shape it draws."""
    name, tags = f"{_NAMESPACE}::{draw.__name__}", (torch.Tag.nondeterministic_seeded,)
    torch.library.custom_op(name, draw, mutates_args=(), tags=tags).register_fake(like)
    return getattr(getattr(torch.ops, _NAMESPACE), draw.__name__).default


def _randn(size: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(size, dtype=dtype, device=device, generator=_stream.generator)


def _rand(size: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.rand(size, dtype=dtype, device=device, generator=_stream.generator)


def _normal(mean: Tensor, std: Tensor) -> Tensor:
    return torch.normal(mean, std, generator=_stream.generator)


def _bernoulli(p: Tensor) -> Tensor:
    return torch.bernoulli(p, generator=_stream.generator)


def _of_size(size: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(size, dtype=dtype, device=device)


_FROM_SIZE = {torch.randn: _operator(_randn, _of_size), torch.rand: _operator(_rand, _of_size)}
_FROM_TENSORS = {
    torch.normal: _operator(_normal, lambda mean, std: mean.new_empty(mean.shape)),
    torch.bernoulli: _operator(_bernoulli, lambda p: p.new_empty(p.shape)),
}


def _backend(module: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
    """torch's own compiler, Inductor, after each random function was replaced by its operator."""
    for node in module.graph.nodes:
        if node.target in _FROM_SIZE:
            size = node.args if isinstance(node.args[0], int) else node.args[0]
            dtype, device = node.kwargs.get("dtype"), node.kwargs.get("device")
            node.args = (size, dtype or torch.get_default_dtype(), torch.device(device or "cpu"))
            node.target, node.kwargs = _FROM_SIZE[node.target], {}
        elif node.target in _FROM_TENSORS:
            node.target = _FROM_TENSORS[node.target]
    module.recompile()
    from torch._inductor.compile_fx import compile_fx  # takes seconds to import

    # chunks are what threads share; with threads of its own, what is added up in which order would depend on them
    return compile_fx(module, inputs, inner_compile=_without_other_draws, config_patches={"cpp.threads": 1})


def _without_other_draws(module: GraphModule, inputs: Sequence[Any], **options: Any) -> Any:
    """Other random functions would draw from torch's global generator, in whichever order the threads come."""
    for node in module.graph.nodes:
        draws = isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags
        if draws and node.target.namespace != _NAMESPACE:
            raise NotImplementedError("it draws by another function than randn, rand, normal and bernoulli")
    from torch._inductor.compile_fx import compile_fx_inner

    return compile_fx_inner(module, inputs, **options)


class _WithoutGenerator(TorchFunctionMode):
    """Drops `generator=None`, which torch.compile does not take beside sizes that vary."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        return func(*args, **{name: value for name, value in (kwargs or {}).items() if name != "generator"})


def _kept(gradient: Tensor) -> tuple[Tensor, ...]:
    return (gradient,)


def _added_up(gradient: Tensor) -> tuple[Tensor, ...]:
    """Mean and sum of squared deviations, about the first sample, which is near the mean: little cancels."""
    wide = gradient.to(torch.float64)
    apart = wide - wide[0]
    total = apart.sum(0)
    squares = (apart * apart).sum(0) - total * total / wide.shape[0]
    return wide[0] + total / wide.shape[0], squares.clamp(min=0)


def _read(result: Tensor) -> np.ndarray | float:
    return result.numpy(force=True) if result.dim() else result.item()


def _step(
    estimator: Estimator, f: Objective, params: Params, n: int, finish: Callable[[Tensor], tuple[Tensor, ...]]
) -> tuple[dict[str, tuple[Tensor, ...]], Tensor]:
    """What `finish` makes of the gradients, and a sum that is not finite where f's values or that are not."""
    if not torch.compiler.is_compiling():  # it would draw from torch's global generator
        raise RuntimeError("torch.compile is switched off, by TORCHDYNAMO_DISABLE or the like")
    sums = []

    def summed(z: Tensor) -> Tensor:
        values = f(z)
        sums.append(values.detach().sum())
        return values

    validate.tracing.active = True  # in the trace only: nothing here runs as Python
    with _WithoutGenerator():
        gradients = estimator(summed, params, n, None)
    validate.tracing.active = False
    finished = {name: finish(gradient.detach()) for name, gradient in gradients.items()}
    return finished, sum((results[-1].sum() for results in finished.values() if len(results) > 1), sums[0])


@cache
def _compiled_step() -> Callable[..., Any]:
    """Made when first asked for: it imports the compiler, which takes seconds."""
    return torch.compile(_step, fullgraph=True, dynamic=True, backend=_backend)


@lru_cache(maxsize=1)
def _passes(estimator: Estimator, f: Objective, params: tuple[tuple[str, Number], ...], versions: tuple) -> bool:
    """Whether the plain estimator takes its arguments, tried on two draws: compiled code does not look at them."""
    device = next((value.device for _, value in params if isinstance(value, Tensor)), "cpu")
    try:
        estimator(f, dict(params), 2, torch.Generator(device).manual_seed(0))
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Compiled:
    """The gradients of `estimator`, all that follows the draws compiled into one pass over them.

    The same draws as without, and the same gradients up to rounding, after some seconds of compiling; `make bench`
    shows what that is worth. Needs a C++ compiler, a torch that compiles torch.autograd.grad (2.13 does), and an f of
    torch operations with no branch on the value of a sample. Raises RuntimeError where the code can't be compiled, or
    draws by another function than torch.randn, rand, normal and bernoulli.
    """

    estimator: Estimator

    def __post_init__(self) -> None:
        validate.instance("estimator", self.estimator, Callable, "a function")
        if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
            raise RuntimeError(f"Compiled needs a torch that compiles torch.autograd.grad, got {torch.__version__}")
        _compiled_step()  # once, before there are threads

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-sample gradients; see `helpers.estimators`."""
        found = self._run(_kept, f, params, n, generator)
        if found is None:
            return self.estimator(f, params, n, generator)
        return {name: gradient for name, (gradient,) in found.items()}

    def moments(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> dict[str, Moments]:
        """What `estimate_gradient` adds up, in the same pass: it needs no gradients to be kept."""
        found = self._run(_added_up, f, params, n, generator)
        if found is None:
            return moments_of(self.estimator(f, params, n, generator))
        return {name: (n, *map(_read, results)) for name, results in found.items()}

    def _run(
        self,
        finish: Callable[[Tensor], tuple[Tensor, ...]],
        f: Objective,
        params: Params,
        n: int,
        generator: Generator | None,
    ) -> dict[str, tuple[Tensor, ...]] | None:
        """From compiled code; None where the plain estimator has to say what is amiss, on the same draws."""
        validate.instance("params", params, Mapping, "a mapping of names to numbers or tensors")
        validate.integer("n", n, 1)
        validate.instance("generator", generator, Generator | None, "a torch.Generator or None")
        versions = tuple(value._version for value in params.values() if isinstance(value, Tensor))
        call = (self.estimator, f, tuple(params.items()), versions)
        try:
            passes = _passes(*call)
        except TypeError:  # not hashable, so not remembered
            passes = _passes.__wrapped__(*call)
        if not passes:
            return None
        tensors = dict(zip(params, validate.tensors(**params), strict=True))
        state = None if generator is None else generator.get_state()
        _stream.generator = generator
        torch._dynamo.config.trace_autograd_ops = True  # both hold for this thread only
        torch._dynamo.config.recompile_limit = 1000  # of each estimator with each f
        try:
            found, total = _compiled_step()(self.estimator, f, tensors, n, finish)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            raise RuntimeError(f"can't compile {self.estimator} of this f, use it as it is: {reason}") from error
        if math.isfinite(total.item()):
            return found
        if state is not None:
            generator.set_state(state)
        return None

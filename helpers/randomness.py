"""The sources of randomness: the book's seed, one generator per stream, and noise without parameters."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def _book_seed() -> int:
    text = os.environ.get("BOOK_SEED", "0")
    if not text.isdecimal():
        raise ValueError(f"the environment variable BOOK_SEED must be an int >= 0, got {text!r}")
    return int(text)


SEED = _book_seed()


def generator_of(seed: int, stream: int, device: torch.device | str = "cpu") -> Generator:
    """A generator for stream number `stream` of `seed`.

    The streams count up from a hash of `seed`, so up to 2**32 of them are distinct. Hashes of (seed, stream) could
    coincide and give two streams the same numbers, because torch's CPU generator keeps
    only the low 32 bits of its seed.
    """
    return Generator(device=device).manual_seed((_start(seed) + stream) % 2**32)


@cache
def _start(seed: int) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """`dtype`, or float32 for half precision, in which uniform numbers have too few values in (0, 1)."""
    return torch.promote_types(dtype, torch.float32)


def open_uniform(size: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    """Uniform samples in (0, 1) on the device of `like`, in its dtype or, for half precision, in float32.

    `torch.rand` returns multiples of a grid step, including 0. Here half a step is added. Above 1/2 the sum is rounded
    to a multiple again, and the largest is capped at 1 minus a step, so `log(u)` and `log1p(-u)` are finite.
    """
    dtype = at_least_float32(like.dtype)
    step = torch.finfo(dtype).eps / 2
    u = torch.rand(size, dtype=dtype, device=like.device, generator=generator)
    return u.add_(step / 2).clamp_(max=1 - step)


class Noise(Protocol):
    """A distribution of noise eps without parameters, with samples, mirror images, and the inverse CDF."""

    def draw(self, size: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
        """Samples of shape `size` on the device of `like`, in its dtype or, for half precision, in float32."""

    def mirror(self, eps: Tensor) -> Tensor:
        """F^-1(1 - F(eps)) for the CDF F: the mirror image of eps, which has the same distribution."""

    def inverse_cdf(self, u: Tensor, dtype: torch.dtype) -> Tensor:
        """F^-1(u) for u in (0, 1), computed in the dtype of u and returned in `dtype`, inside the open support."""


class StandardNormal:
    """eps ~ N(0, 1)."""

    def draw(self, size: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
        """Samples of N(0, 1)."""
        return torch.randn(size, dtype=at_least_float32(like.dtype), device=like.device, generator=generator)

    def mirror(self, eps: Tensor) -> Tensor:
        """-eps."""
        return -eps

    def inverse_cdf(self, u: Tensor, dtype: torch.dtype) -> Tensor:
        """Phi^-1(u)."""
        return torch.special.ndtri(u).to(dtype)


class Uniform:
    """eps ~ U(0, 1), never 0 or 1."""

    def draw(self, size: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
        """Samples of U(0, 1), from `open_uniform`."""
        return open_uniform(size, like, generator)

    def mirror(self, eps: Tensor) -> Tensor:
        """1 - eps."""
        return (1 - eps).clamp_(max=1 - torch.finfo(eps.dtype).eps / 2)

    def inverse_cdf(self, u: Tensor, dtype: torch.dtype) -> Tensor:
        """u itself, which is kept from being rounded to 1."""
        return u.to(dtype).clamp_(max=1 - torch.finfo(dtype).eps / 2)


class StandardGumbel:
    """eps = -log(-log(u)) ~ Gumbel(0, 1), u ~ U(0, 1). Source: Gumbel 1954."""

    def draw(self, size: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
        """Samples of Gumbel(0, 1)."""
        # The classes come first in memory but last in the shape, where torch's softmax takes less than half the time.
        eps = open_uniform((*size[-1:], *size[:-1]), like, generator).log_().neg_().log_().neg_()
        return eps.movedim(0, -1) if size else eps

    def mirror(self, eps: Tensor) -> Tensor:
        """-log(-log(1 - exp(-exp(-eps)))), without cancellation in either tail."""
        exponential = torch.exp(-eps)
        near = torch.log(-torch.expm1(-exponential))
        far = torch.log1p(-torch.exp(-exponential))
        return -torch.log(-torch.where(exponential < 0.7, near, far))

    def inverse_cdf(self, u: Tensor, dtype: torch.dtype) -> Tensor:
        """-log(-log(u))."""
        return -torch.log(-torch.log(u)).to(dtype)


standard_normal, uniform, standard_gumbel = StandardNormal(), Uniform(), StandardGumbel()


class drawing_from(TorchDispatchMode):  # noqa: N801 - it reads as a verb: `with drawing_from(generator):`
    """Inside the block, every random number that torch draws comes from `generator`; None changes nothing.

    `torch.distributions` takes no generator, but every random operation of torch does, through an argument of its own
    or an overload named `generator`. This context supplies it, in the current thread only.
    """

    # torch documents this class as the way to see every operation, but keeps its module's name and the schemas private.
    # The tests of this module name what breaks if they change.

    def __init__(self, generator: Generator | None) -> None:
        super().__init__()
        self.generator = generator

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch first imports its compiler, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.generator is None:
            return func(*args, **kwargs)
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**kwargs, "generator": self.generator})
        if "generator" in func.overloadpacket.overloads():
            return func.overloadpacket.generator(*args, **{**kwargs, "generator": self.generator})
        return func(*args, **kwargs)


def draws(call: Callable[[], object], device: torch.device) -> bool:
    """Whether the call draws random numbers from torch, in this thread and on this device."""
    source = Generator(device)
    before = source.get_state()
    with drawing_from(source):  # another thread may draw from torch's own
        call()
    return not before.equal(source.get_state())

"""Where randomness comes from: the book's seed, one generator a stream, and uniforms that are never 0 or 1."""

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def _book_seed() -> int:
    text = os.environ.get("BOOK_SEED", "0")
    if not text.isdecimal():
        raise ValueError(f"the environment variable BOOK_SEED must be an int >= 0, got {text!r}")
    return int(text)


SEED = _book_seed()


def generator_of(seed: int, stream: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for stream number `stream` of `seed`.

    torch's CPU generator keeps the low 32 bits of its seed only, so hashing (seed, stream) to 32 bits could give two
    streams of one run the same numbers. Counting up from a hashed start can not, below 2**32 streams.
    """
    return torch.Generator(device=device).manual_seed((_start(seed) + stream) % 2**32)


@cache
def _start(seed: int) -> int:
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def open_uniform(size: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform draws in ]0, 1[ with the dtype and device of `like`.

    `torch.rand` returns multiples of a grid step, 0 included. The draws here are the middles of its cells, so that
    `log(u)` and `log1p(-u)` are finite.
    """
    step = torch.finfo(like.dtype).eps / 2
    u = torch.rand(size, dtype=like.dtype, device=like.device, generator=generator)
    return u.add_(step / 2).clamp_(max=1 - step)


class drawing_from(TorchDispatchMode):  # noqa: N801 - it reads as a verb: `with drawing_from(generator):`
    """Every random number that torch draws inside the block comes from `generator`.

    `torch.distributions` takes no generator. Each random operation of torch does, by its own argument or by an overload
    named `generator`, and this hands it over. It acts on the current thread only.
    """

    def __init__(self, generator: torch.Generator | None) -> None:
        super().__init__()
        self.generator = generator

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch imports its compiler at the first draw otherwise, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.generator is None:
            return func(*args, **kwargs)
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**kwargs, "generator": self.generator})
        if "generator" in func.overloadpacket.overloads():
            return func.overloadpacket.generator(*args, **{**kwargs, "generator": self.generator})
        return func(*args, **kwargs)

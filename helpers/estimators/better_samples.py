"""Better-spread draws under any estimator: antithetic pairs and randomised quasi-Monte-Carlo.

Both replace the random numbers of an estimator by points of their own choice, taken through the quantile function of
what torch was about to draw. So they work where draws are uniform, normal, exponential or Bernoulli numbers, made in
one call: all of `helpers.reparametrize`, and much of `torch.distributions`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import validate
from helpers.estimators.base import Estimator, Gradients, Objective, Params, check_call
from helpers.randomness import open_uniform

# what torch is about to draw -> the quantile function of that law, at u in ]0, 1[
_QUANTILES: dict[str, Callable[..., Tensor]] = {
    "rand": lambda u: u,
    "uniform_": lambda u, low=0.0, high=1.0: low + (high - low) * u,
    "randn": torch.special.ndtri,
    "normal": lambda u, mean, std: mean + std * torch.special.ndtri(u),
    "normal_": lambda u, mean=0.0, std=1.0: mean + std * torch.special.ndtri(u),
    "exponential_": lambda u, rate=1.0: -torch.log1p(-u) / rate,
    "bernoulli": lambda u, p: u < p,
}


class _DrawingFrom(TorchDispatchMode):
    """The one random tensor that is drawn inside the block is made from `points(like)`, float64 in ]0, 1[."""

    def __init__(self, points: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.points: Callable[[Tensor], Tensor] | None = points

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        draws = "generator" in func.overloadpacket.overloads()
        if not draws and all(argument.name != "generator" for argument in func._schema.arguments):
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name not in _QUANTILES or self.points is None:
            reason = "more than once" if self.points is None else f"by torch's {name!r}, which is not inverted here"
            raise ValueError(
                f"estimator must draw once, from a law whose quantile function is known: it draws {reason}"
            )
        points, self.points = self.points, None
        if name in ("rand", "randn"):
            like, arguments = torch.empty(args[0], dtype=kwargs.get("dtype"), device=kwargs.get("device")), ()
        elif name.endswith("_"):
            like, arguments = args[0], args[1:]
        else:
            like, arguments = torch.empty_like(sum(a for a in args if isinstance(a, Tensor))), args
        u = points(like)
        if name in ("rand", "uniform_"):
            u = u.clamp(max=1 - torch.finfo(like.dtype).eps / 2)
        return like.copy_(_QUANTILES[name](u, *arguments))


def _averaged(
    estimator: Estimator, f: Objective, params: Params, n: int, m: int, points: Callable[..., Tensor]
) -> Gradients:
    """Means over n groups of m draws; `points(d, device)` gives their d coordinates each, shape (n, m, d)."""

    def laid_out(like: Tensor) -> Tensor:
        if like.dim() == 0 or len(like) != n * m:
            raise ValueError(f"estimator must draw {n * m} samples on the first axis, got shape {tuple(like.shape)}")
        return points(like.shape[1:].numel(), like.device).reshape(like.shape)

    with _DrawingFrom(laid_out):
        gradients = estimator(f, params, n * m, None)
    return {name: g.reshape(n, m, *g.shape[1:]).mean(1) for name, g in gradients.items()}


@dataclass(frozen=True)
class Antithetic:
    """(g(u) + g(1 - u)) / 2 over `estimator`'s gradient g as a function of its uniform noise u.

    One sample is a pair: two evaluations of f. Unbiased where `estimator` is, as 1 - u has the law of u. The variance
    is (Var g + Cov(g, g')) / 2: less than that of two independent draws where g is monotone in the noise, none where it
    is odd about its mean, and more where it is even. Source: Hammersley and Morton 1956; Owen 2013, section 8.2.
    """

    estimator: Estimator

    def __post_init__(self) -> None:
        validate.instance("estimator", self.estimator, Callable, "a function")

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-pair gradients; see `helpers.estimators`."""
        check_call(f, n, generator)

        def points(d: int, device: torch.device) -> Tensor:
            u = open_uniform((n, 1, d), torch.empty(0, dtype=torch.float64, device=device), generator)
            return torch.cat([u, (1 - u).clamp(max=1 - torch.finfo(u.dtype).eps / 2)], 1)

        return _averaged(self.estimator, f, params, n, 2, points)


@dataclass(frozen=True)
class QuasiMonteCarlo:
    """The mean of `estimator`'s gradient over m scrambled Sobol points of ]0, 1[^d, m a power of 2.

    One sample is a replicate of m points: m evaluations of f. Each point is uniform: the mean is that of `estimator`.
    All n replicates share one matrix scramble of `SobolEngine`, seeded by the generator, and each has a random digital
    shift of its own: replicates are unbiased given the matrix, hence uncorrelated, and their standard error is honest.
    For smooth gradients the error falls almost like 1/m, not like 1/sqrt(m).
    Source: Owen 1998; Matousek 1998; Buchholz, Wenzel and Mandt 2018 for gradients.
    """

    estimator: Estimator
    m: int

    def __post_init__(self) -> None:
        validate.instance("estimator", self.estimator, Callable, "a function")
        if validate.integer("m", self.m, 1) & (self.m - 1) or self.m > 2**SobolEngine.MAXBIT:
            raise ValueError(f"m must be a power of 2 up to 2**{SobolEngine.MAXBIT}, got {self.m}")

    def __call__(self, f: Objective, params: Params, n: int, generator: Generator | None = None) -> Gradients:
        """Per-replicate gradients; see `helpers.estimators`."""
        check_call(f, n, generator)
        cells = 2**SobolEngine.MAXBIT

        def points(d: int, device: torch.device) -> Tensor:
            if d > SobolEngine.MAXDIM:
                raise ValueError(f"one sample must take at most {SobolEngine.MAXDIM} random numbers, got {d}")
            seed = int(torch.randint(2**32, (), generator=generator, device=device))
            sobol = SobolEngine(d, scramble=True, seed=seed).draw(self.m, dtype=torch.float64).to(device)
            shift = torch.randint(cells, (n, 1, d), generator=generator, device=device)
            return (((sobol * cells).long() ^ shift).double() + 0.5) / cells

        return _averaged(self.estimator, f, params, n, self.m, points)

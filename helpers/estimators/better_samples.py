"""Antithetic pairs and quasi-Monte-Carlo points, for any estimator with standard noise.

Antithetic pairs mirror the noise; Sobol points become noise through its inverse CDF. Both therefore need an estimator
whose noise is known: `Pathwise` of a `Reparametrization`, `ScoreFunction` of a distribution with an inverse CDF, or one
for binary variables.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from helpers import validate
from helpers.estimators.base import Estimator, Gradients, Objective, Values
from helpers.estimators.control_variates import ControlVariate
from helpers.randomness import Noise, at_least_float32


@dataclass(frozen=True)
class _Grouped(Estimator):
    """The mean gradient of `estimator` over groups of m samples, whose noise is drawn together by `grouped`."""

    estimator: Estimator

    def __post_init__(self) -> None:
        validate.instance("estimator", self.estimator, Estimator, "an estimator of helpers.estimators")

    @property
    @abstractmethod
    def group(self) -> int:
        """The number m of samples that belong to one gradient."""

    @abstractmethod
    def grouped(self, kind: Noise, n: int, shape: torch.Size, like: Tensor, generator: Generator | None) -> Tensor:
        """Noise of shape (n, m, *shape)."""

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError if `estimator` does, or if it fits a coefficient, whose halves would divide a group."""
        if isinstance(self.estimator, ControlVariate) and self.estimator.fits:
            raise ValueError(
                f"estimator must have a coefficient of its own under {type(self).__name__}, got a ControlVariate that "
                f"fits it: use ControlVariate({type(self).__name__}(...), ...)"
            )
        self.estimator.check(params, n * self.group)

    def noise(self, params: Values, n: int, generator: Generator | None) -> Any:
        """The noise of `estimator` for n groups."""
        kind, shape = self.estimator.standard_noise(params)
        eps = self.grouped(kind, n, shape, next(iter(params.values())), generator)
        return self.estimator.noise_from(eps.reshape(-1, *shape), params)

    def gradients(self, f: Objective, noise: Any, params: Values) -> Gradients:
        """The mean over each group."""
        gradients = self.estimator.gradients(f, noise, params)
        return {name: g.reshape(-1, self.group, *g.shape[1:]).mean(1) for name, g in gradients.items()}

    def samples(self, noise: Any, params: Values) -> Tensor:
        """The samples of `estimator`, group by group."""
        return self.estimator.samples(noise, params)

    def numbers(self, params: Values) -> int:
        """m times the size for `estimator`."""
        return self.group * self.estimator.numbers(params)


@dataclass(frozen=True)
class Antithetic(_Grouped):
    """(g(eps) + g(eps')) / 2 for the gradient g of `estimator` and the mirror image eps' of its noise eps.

    One sample is a pair and takes two evaluations of f. It is unbiased if `estimator` is, because eps' has the same
    distribution as eps. The variance is (Var g + Cov(g, g')) / 2, which is less than that of two independent samples if
    g is monotone in the noise, 0 if g is odd about its mean, and more if g is even. Raises ValueError for an estimator
    without standard noise. Source: Hammersley and Morton 1956; Owen 2013, section 8.2.
    """

    @property
    def group(self) -> int:
        """2."""
        return 2

    def grouped(self, kind: Noise, n: int, shape: torch.Size, like: Tensor, generator: Generator | None) -> Tensor:
        """Pairs of a noise and its mirror image."""
        eps = kind.draw((n, *shape), like, generator)
        return torch.stack([eps, kind.mirror(eps)], 1)


@dataclass(frozen=True)
class QuasiMonteCarlo(_Grouped):
    """The mean of `estimator`'s gradient over m scrambled Sobol points of (0, 1)^d, m a power of 2.

    One sample is a replicate of m points and takes m evaluations of f. Each point is uniform, so the mean is that of
    `estimator`. All n replicates share one matrix scramble of `SobolEngine`, seeded by the generator, and each has a
    random digital shift of its own. Given the matrix, replicates are therefore unbiased, hence uncorrelated, and their
    standard error is correct. Where the gradient is a smooth function of few uniform numbers, with bounded derivatives,
    the error falls almost like m^(-3/2) instead of m^(-1/2); for normal noise, which is unbounded, it falls more
    slowly. Raises ValueError for an estimator without standard noise.
    Source: Owen 1998; Matousek 1998; Buchholz, Wenzel and Mandt 2018 for gradients.
    """

    m: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if validate.integer("m", self.m, 1) & (self.m - 1) or self.m > 2**SobolEngine.MAXBIT:
            raise ValueError(f"m must be a power of 2 up to 2**{SobolEngine.MAXBIT}, got {self.m}")

    @property
    def group(self) -> int:
        """m."""
        return self.m

    def grouped(self, kind: Noise, n: int, shape: torch.Size, like: Tensor, generator: Generator | None) -> Tensor:
        """The noise for n shifts of the same m points."""
        d, cells = shape.numel(), 2**SobolEngine.MAXBIT
        if d > SobolEngine.MAXDIM:
            raise ValueError(f"the noise of one sample must have at most {SobolEngine.MAXDIM} numbers, got {d}")
        seed = int(torch.randint(2**32, (), generator=generator, device=like.device))
        sobol = SobolEngine(d, scramble=True, seed=seed).draw(self.m, dtype=torch.float64).to(like.device)
        shift = torch.randint(cells, (n, 1, d), generator=generator, device=like.device)
        u = (((sobol * cells).long() ^ shift).double() + 0.5) / cells
        return kind.inverse_cdf(u, at_least_float32(like.dtype)).reshape(n, self.m, *shape)

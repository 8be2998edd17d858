"""Gradients of the importance-weighted bound on log p(x), for f(z) = log p(x, z) and samples z from q_phi.

The bound is L_k = E[log(1/k sum_j w_j)] with w_j = p(x, z_j) / q_phi(z_j) and k independent samples z_j. With k = 1 it
is the ELBO. The estimators add -log q_phi(z) themselves, so f must not contain it. Where f depends on parameters,
`WithParams(f)`, their gradient is weighted as the bound requires, sum_j w_j df(z_j) / sum_j w_j.
Source of the bound: Burda, Grosse and Salakhutdinov 2016.
"""

import math
from dataclasses import dataclass, field

from torch import Generator, Tensor

from helpers import validate
from helpers.estimators import families
from helpers.estimators.base import Estimator, Gradients, Objective, Values, trying
from helpers.estimators.families import Family
from helpers.estimators.pathwise import Path, Pathwise, slope_of
from helpers.estimators.score_function import ScoreFunction


@dataclass(frozen=True)
class Bound(Estimator):
    """What the estimators of grad_phi L_k have in common: one gradient needs k samples, and f at each of them.

    `distribution` is q: a class of `torch.distributions` or a function from the parameters to a Distribution. No
    parameter may move its support.
    """

    distribution: Family
    k: int

    def __post_init__(self) -> None:
        families.check_family("distribution", self.distribution)
        validate.integer("k", self.k, 1)

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError for bad names or values, or where a parameter moves the support."""
        ScoreFunction(self.distribution).check(params, n)

    def log_weights(self, values: Tensor, z: Tensor, params: Values) -> Tensor:
        """log w = log p(x, z) - log q(z), shape (n, k), with the parameters of q held fixed."""
        log_q = families.at_own_shape(self.distribution, families.widened(self.distribution, params)).log_prob(z)
        return (values - log_q.reshape(len(z), -1).sum(1)).reshape(-1, self.k)

    def of_values(self, values: Tensor, z: Tensor, params: Values) -> Tensor:
        """log(1/k sum_j w_j) for each group of k samples."""
        return self.log_weights(values, z, params).logsumexp(1) - math.log(self.k)

    def summed(self, terms: Gradients) -> Gradients:
        """The sum of the terms over the k samples of each gradient."""
        return {name: term.reshape(-1, self.k, *term.shape[1:]).sum(1) for name, term in terms.items()}

    def numbers(self, params: Values) -> int:
        """k times those of one sample."""
        return self.k * families.numbers_of_sample(self.distribution, params)


class PathwiseBound(Bound):
    """An estimator of grad_phi L_k whose samples are differentiated: `distribution` needs `rsample`."""

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError where a parameter moves the support, or without `rsample`."""
        super().check(params, n)
        Pathwise(self.distribution).check(params, n)

    def noise(self, params: Values, n: int, generator: Generator | None) -> Path:
        """k samples z for each of n gradients, with their graph."""
        return Pathwise(self.distribution).noise(params, n * self.k, generator)

    def samples(self, noise: Path, params: Values) -> Tensor:
        """The samples z, without their graph."""
        return Pathwise(self.distribution).samples(noise, params)

    def along_path(self, f: Objective, noise: Path, params: Values, power: int) -> tuple[Gradients, Tensor]:
        """v^power d log w/dz dz/dphi for each sample, and its weight v = w / sum_j w_j."""
        weights = []

        def weighted(z: Tensor) -> Tensor:
            values = f(z)
            _check_path(f, z)
            log_w = self.log_weights(values, z, params)
            weights.append(log_w.detach().softmax(1))
            return (weights[0] ** power * log_w).reshape(-1)

        terms = Pathwise(self.distribution).gradients(weighted, noise, params)
        return terms, weights[0].reshape(-1)


def _check_path(f: Objective, z: Tensor) -> None:
    """Raise ValueError if f cuts its graph to the samples, which log w hides, because log q has one too."""
    few = z[:2].detach().requires_grad_()
    try:
        with trying():
            values = f(few)
    except Exception:  # f may take no other number of samples
        return
    slope_of(values, few)


@dataclass(frozen=True)
class ImportanceWeighted(PathwiseBound):
    """sum_j v_j d log w_j/dphi, v_j = w_j / sum_i w_i: backpropagation through log(1/k sum_j w_j) (IWAE).

    The derivative goes through the samples and through log q_phi. With k = 1 it is the pathwise gradient of the ELBO.
    Unbiased. As k grows, the signal-to-noise ratio falls like 1/sqrt(k) for the parameters of q, provided that the
    weights have a finite variance.
    Source: Burda, Grosse and Salakhutdinov 2016; Rainforth et al. 2018.
    """

    def gradients(self, f: Objective, noise: Path, params: Values) -> Gradients:
        """sum_j v_j (d log w_j/dz dz/dphi - d log q(z_j)/dphi)."""
        path, weights = self.along_path(f, noise, params, power=1)
        scores = ScoreFunction(self.distribution).scores(self.samples(noise, params), params, weights)
        return self.summed({name: term - scores[name] for name, term in path.items()})


@dataclass(frozen=True)
class DReG(PathwiseBound):
    """sum_j v_j^2 d log w_j/dz dz/dphi, v_j = w_j / sum_i w_i: the doubly reparametrized gradient.

    log q is differentiated through z only. Its variance is zero where q is the exact posterior. Unbiased; its
    signal-to-noise ratio grows like sqrt(k), provided that w has finite moments up to the fourth order.
    Source: Tucker, Lawson, Gu and Maddison 2019.
    """

    def gradients(self, f: Objective, noise: Path, params: Values) -> Gradients:
        """sum_j v_j^2 d log w_j/dz dz/dphi."""
        return self.summed(self.along_path(f, noise, params, power=2)[0])


@dataclass(frozen=True)
class STL(DReG):
    """d log w/dz dz/dphi for one sample z: the path-derivative gradient of the ELBO, "sticking the landing".

    It leaves out -d log q(z)/dphi at fixed z, whose mean is zero. Unbiased, and without variance where q is the exact
    posterior. It may have more variance than the pathwise gradient, `ImportanceWeighted(distribution, 1)`, where q is
    too narrow. It is `DReG` with k = 1. Source: Roeder, Wu and Duvenaud 2017.
    """

    k: int = field(default=1, init=False)


@dataclass(frozen=True)
class VIMCO(Bound):
    """sum_j (L - L_-j - v_j) grad_phi log q_phi(z_j), L = log(1/k sum_i w_i), v_j = w_j / sum_i w_i.

    L_-j is L with the geometric mean of the other weights in place of w_j, so it is a baseline that does not depend on
    z_j; hence k >= 2. The score function for the bound, for discrete z: f and the samples are not differentiated.
    Unbiased where the score function is. Source: Mnih and Rezende 2016.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.integer("k", self.k, 2)

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """k samples z for each of n gradients."""
        return ScoreFunction(self.distribution).noise(params, n * self.k, generator)

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """The sum over the samples of each gradient."""
        log_w = self.log_weights(f(noise).detach(), noise, params)
        bound = log_w.logsumexp(1, keepdim=True)
        others = log_w[:, None, :].repeat(1, self.k, 1)  # row j: the weights with that of sample j replaced
        others.diagonal(dim1=1, dim2=2).copy_((log_w.sum(1, keepdim=True) - log_w) / (self.k - 1))
        weights = bound - others.logsumexp(2) - log_w.softmax(1)
        return self.summed(ScoreFunction(self.distribution).scores(noise, params, weights.reshape(-1)))

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """The samples z."""
        return noise

    def numbers(self, params: Values) -> int:
        """k times those of one sample, or k^2 for the baselines."""
        return max(super().numbers(params), self.k**2)

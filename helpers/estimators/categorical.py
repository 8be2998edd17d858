"""Gradients of E[f(y)] for one-hot vectors y and for subsets: unbiased estimators, straight-through ones, relaxations.

The parameter is the vector of logits: params is {"logits": theta} with the K classes on the last axis, and
pi = softmax(theta). f maps one-hot samples of shape (n, *theta.shape) to (n,). Further axes of theta belong to
independent variables. The score function is `ScoreFunction(OneHotCategorical)`, and with leave-one-out baselines
`LeaveOneOut(OneHotCategorical, k)`. `Subset` is a distribution for both of them.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import one_hot

from helpers import validate
from helpers.estimators.base import Estimator, Gradients, Objective, Values
from helpers.randomness import Noise, at_least_float32, open_uniform, standard_gumbel
from helpers.reparametrize import one_hot_of_largest, reparametrization, size_of
from helpers.validate import Number

_LARGEST = 12
_MOST_CLASSES = 8


def _check_subset(k: int, classes: int) -> None:
    if k > classes:
        raise ValueError(f"k must be at most the number of classes, {classes}, got {k}")


def _check_terms(k: int) -> None:
    if k > _LARGEST:
        raise ValueError(f"k must be at most {_LARGEST}, got {k}: the probability of a set of k classes has 2^k terms")


def _jacobian(pi: Tensor, v: Tensor) -> Tensor:
    """(diag(pi) - pi pi^T) v: the derivative of softmax, applied to v."""
    return pi * (v - (pi * v).sum(-1, keepdim=True))


# Samplers for Pathwise: exact one-hot values, and a derivative that is made up. ---------------------------------------


@reparametrization(standard_gumbel, logits=validate.classes)
def categorical_straight_through(eps: Tensor, logits: Tensor) -> Tensor:
    """y = one_hot(argmax_i(eps_i + theta_i)) in value, with the derivative of pi = softmax(theta).

    A sampler for `Pathwise`. For a quadratic f it estimates the gradient of f(pi), and in general no gradient of
    E[f(y)]: biased unless f is linear. Source: Bengio, Leonard and Courville 2013; Jang, Gu and Poole 2017.
    """
    pi = torch.softmax(logits, -1)
    return one_hot_of_largest(eps + logits.detach()) + (pi - pi.detach())


@reparametrization(standard_gumbel, logits=validate.classes)
def categorical_reinmax(eps: Tensor, logits: Tensor) -> Tensor:
    """y = one_hot(argmax_i(eps_i + theta_i)) in value; dy/dtheta = 2 J(q) - J(pi) / 2, q = (y + pi) / 2.

    A sampler for `Pathwise`, with J(pi) = diag(pi) - pi pi^T. Its mean has the trapezoid
    (grad f(a) + grad f(b)) (a - b) / 2 in place of each difference f(a) - f(b): exact where f is quadratic, biased
    elsewhere. For two classes it is `bernoulli_reinmax`. Source: Liu et al. 2023.
    """
    y = one_hot_of_largest(eps + logits.detach())
    pi = torch.softmax(logits.detach(), -1)
    step = logits - logits.detach()  # zero, with derivative 1
    return y + 2 * _jacobian((y + pi) / 2, step) - _jacobian(pi, step) / 2


def gumbel_rao(
    logits: Number,
    temperature: Number,
    k: int = 1,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """y ~ softmax(theta), one-hot in value, with the derivative of the mean of k relaxed samples that round to y.

    A sampler for `Pathwise`. The relaxed samples are softmax((theta + g) / temperature), where the Gumbel noise g is
    drawn given y and then held fixed. With k = 1 this is straight-through Gumbel-softmax; with larger k the mean is
    the same, equally biased, and the variance falls to that of the mean given y. One evaluation of f for every k.
    temperature > 0, k >= 1. Source: Jang, Gu and Poole 2017; Paulus, Maddison and Krause 2021.
    """
    logits, temperature = validate.tensors(logits=logits, temperature=temperature)
    validate.classes("logits", logits)
    validate.temperature("temperature", temperature)
    k = validate.integer("k", k, 1)
    size = size_of(sample_shape, generator, logits=logits, temperature=temperature)
    wide = logits.to(at_least_float32(logits.dtype)).expand(size)
    with torch.no_grad():
        log_pi = torch.log_softmax(wide, -1)
        y = one_hot_of_largest(standard_gumbel.draw(size, wide, generator) + log_pi)
        eps = standard_gumbel.draw((k, *size), wide, generator)
        winner = (y * eps).sum(-1, keepdim=True)
        scores = torch.where(y > 0, winner, -torch.logaddexp(-winner, -eps - log_pi))
        g = scores - log_pi
    soft = torch.softmax((torch.log_softmax(wide, -1) + g) / temperature, -1).mean(0)
    return (y + (soft - soft.detach())).to(logits.dtype)


# Unbiased estimators. -------------------------------------------------------------------------------------------------


class CategoricalEstimator(Estimator):
    """An estimator for independent categorical variables: params is {"logits": theta}."""

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError unless the only parameter is `logits`, with two or more classes on its last axis."""
        validate.same_names("params", params, {"logits": None})
        validate.classes("logits", params["logits"])


class GumbelEstimator(CategoricalEstimator):
    """An estimator for categorical variables whose noise is one Gumbel variable for each class."""

    def standard_noise(self, params: Values) -> tuple[Noise, torch.Size]:
        """One Gumbel variable for each class."""
        return standard_gumbel, params["logits"].shape

    def noise_from(self, eps: Tensor, params: Values) -> Tensor:
        """The Gumbel noise itself."""
        return eps

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """Gumbel noise for n samples."""
        logits = params["logits"]
        return standard_gumbel.draw((n, *logits.shape), logits, generator)

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """The one-hot vectors of the classes with the largest eps_i + theta_i."""
        return one_hot_of_largest(noise + params["logits"]).to(params["logits"].dtype)


@dataclass(frozen=True)
class LocalExpectation(GumbelEstimator):
    """J(pi) F for each variable, F_i the value of f with the class i for it and sampled classes for all others.

    Each variable takes K evaluations of f. With one variable the gradient is exact and has no variance; with several,
    the only variance comes from the sampled classes of the others. Unbiased; f need not be differentiable.
    Source: Titsias and Lazaro-Gredilla 2015.
    """

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """pi_i (F_i - sum_j pi_j F_j)."""
        logits = params["logits"]
        classes, n = logits.shape[-1], len(noise)
        variables = logits.numel() // classes
        y = self.samples(noise, params).reshape(n, 1, 1, variables, classes)
        choices = torch.eye(classes, dtype=y.dtype, device=y.device)
        own = torch.eye(variables, dtype=torch.bool, device=y.device)[:, None, :, None]
        z = torch.where(own, choices[None, :, None, :], y)  # n, variable, its class, all variables, their classes
        values = f(z.reshape(-1, *logits.shape)).detach().reshape(n, *logits.shape)
        wide = torch.promote_types(at_least_float32(logits.dtype), values.dtype)
        pi = torch.softmax(logits.to(wide), -1)  # so that they sum to 1, to as many digits as the values have
        return {"logits": _jacobian(pi, values)}

    def numbers(self, params: Values) -> int:
        """The evaluations for one gradient, times the size of a sample."""
        return params["logits"].numel() ** 2


@dataclass(frozen=True)
class WithoutReplacement(GumbelEstimator):
    """sum_{s in S} w_s (f(s) - b_s) grad_theta log pi_s over a set S of k distinct classes, with its own baselines b_s.

    S is drawn without replacement. w_s = pi_s P(S | s first) / P(S), and b_s = sum_{j in S} pi_j R_j f(j), where
    R_s = 1 and R_j = P(S | s, j first) / P(S | s first). For one variable, logits of shape (K,), with k between 2 and
    K (12 at most, as the probabilities take 2^k terms). k evaluations of f, all different; k = K gives the exact
    gradient. Unbiased; f need not be differentiable. `samples` are the classes drawn first, which alone have the
    distribution pi. Source: Kool, van Hoof and Welling 2020.
    """

    k: int = 2

    def __post_init__(self) -> None:
        _check_terms(validate.integer("k", self.k, 2))

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError unless the only parameter is `logits`, of shape (K,) with K >= k."""
        super().check(params, n)
        shape = tuple(params["logits"].shape)
        if len(shape) > 1:
            raise ValueError(f"logits must have one axis, that of the classes of one variable, got shape {shape}")
        _check_subset(self.k, shape[0])

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """The weighted scores of the k classes, each with its own baseline."""
        logits, k = params["logits"], self.k
        log_pi = torch.log_softmax(logits.to(noise.dtype), -1)
        chosen = (noise + logits).topk(k).indices
        y = one_hot(chosen, len(logits)).to(logits.dtype)
        values = f(y.reshape(-1, len(logits))).detach().reshape(-1, k)
        log_p, inside = _log_completions(log_pi, chosen), log_pi[chosen]
        total = torch.zeros_like(noise)
        for s in range(k):
            weight = torch.exp(inside[:, s] + log_p[1 << s] - log_p[0])
            ratios = [log_p[1 << s | 1 << j] - log_p[1 << s] for j in range(k)]  # 0 for j = s
            baseline = (torch.exp(inside + torch.stack(ratios, 1)) * values).sum(1)
            total = total + (weight * (values[:, s] - baseline))[:, None] * (y[:, s] - log_pi.exp())
        return {"logits": total.to(logits.dtype)}

    def numbers(self, params: Values) -> int:
        """k samples, or the 2^k probabilities where these are more."""
        return max(self.k * params["logits"].numel(), 2**self.k)


@dataclass(frozen=True)
class AntitheticPair(CategoricalEstimator):
    """(f(y) - f(y')) (y - y') pi_a pi_b / (2 q_ab) for a pair of classes a, b that are seldom equal.

    y and y' come from u and 1 - u by the inverse CDF, with the classes in a random order for each pair and variable.
    q_ab is the probability of the pair, averaged over all K! orders, so at most 8 classes are allowed. With more, two
    independent samples are seldom equal, and `LeaveOneOut` does about as well. Two evaluations of f for all variables
    together. Unbiased; f need not be differentiable. For two classes it is `DisARM`.
    Source: Dimitriev and Zhou 2021; Dong, Mnih and Tucker 2021.
    """

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError unless the only parameter is `logits`, with 2 to 8 classes on its last axis."""
        super().check(params, n)
        classes = params["logits"].shape[-1]
        if classes > _MOST_CLASSES:
            raise ValueError(f"logits must have at most {_MOST_CLASSES} classes for an antithetic pair, got {classes}")

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """The pairs of classes, shape (n, 2, variables)."""
        rows = _rows(params)
        u = open_uniform((n, len(rows)), rows, generator)
        pairs = []
        for pi, points in zip(rows, u.T, strict=True):
            keys = torch.rand((n, len(pi)), dtype=pi.dtype, device=pi.device, generator=generator)
            orders = keys.argsort(-1)
            edges = _edges(pi, orders)
            pairs.append(torch.stack([_class_at(x, edges, orders) for x in (points, 1 - points)], 1))
        return torch.stack(pairs, 2)

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """(f(y) - f(y')) (y - y') pi_a pi_b / (2 q_ab)."""
        logits = params["logits"]
        rows = _rows(params)
        both = self.samples(noise, params)
        values = f(both).detach().reshape(len(noise), 2)
        both = both.reshape(len(noise), 2, *rows.shape)
        pairs = zip(rows.tolist(), noise.permute(2, 1, 0), strict=True)
        ratios = torch.stack([_ratios(tuple(pi)).to(rows.device)[a, b] for pi, (a, b) in pairs], 1)
        half = (values[:, 0] - values[:, 1]) / 2
        g = half[:, None, None] * ratios.to(logits.dtype)[:, :, None] * (both[:, 0] - both[:, 1])
        return {"logits": g.reshape(len(noise), *logits.shape)}

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """y and y', one after the other."""
        logits = params["logits"]
        return one_hot(noise, logits.shape[-1]).to(logits.dtype).reshape(-1, *logits.shape)

    def numbers(self, params: Values) -> int:
        """Two samples."""
        return 2 * params["logits"].numel()


def _rows(params: Values) -> Tensor:
    """The probabilities in float64, one row for each variable: cells of tiny probability must keep their length."""
    return torch.softmax(params["logits"].double(), -1).reshape(-1, params["logits"].shape[-1])


def _edges(pi: Tensor, orders: Tensor) -> Tensor:
    """The upper ends of the cells of (0, 1) that belong to the classes in each order."""
    edges = pi[orders].cumsum(-1)
    return edges / edges[:, -1:]


def _class_at(u: Tensor, edges: Tensor, orders: Tensor) -> Tensor:
    """The class at each point u of (0, 1), whose last axis may hold several of them."""
    points = u.reshape(len(edges), -1).contiguous()
    place = torch.searchsorted(edges, points, right=True).clamp(max=edges.shape[-1] - 1)
    return orders.gather(-1, place).reshape(u.shape)


@lru_cache(maxsize=64)  # a run needs the same ones in each chunk
def _ratios(probabilities: tuple[float, ...]) -> Tensor:
    """pi_a pi_b / q_ab for each pair of classes, shape (K, K); what stands on the diagonal is of no use."""
    pi, classes = torch.tensor(probabilities, dtype=torch.float64), len(probabilities)
    orders = torch.tensor(list(itertools.permutations(range(classes))))
    edges = _edges(pi, orders)
    cuts = torch.cat([edges, 1 - edges], -1).sort(-1).values  # between two cuts, neither class changes
    lengths = cuts.diff(dim=-1)
    middles = (cuts[:, 1:] + cuts[:, :-1]) / 2
    pairs = _class_at(middles, edges, orders) * classes + _class_at(1 - middles, edges, orders)
    total = pi.new_zeros(classes**2).index_add_(0, pairs.flatten(), lengths.flatten()).reshape(classes, classes)
    smaller, larger = torch.minimum(pi[:, None], pi), torch.maximum(pi[:, None], pi)
    # An order with a and b at the ends contributes `smaller`, and rounding must not leave less.
    total = total.maximum(smaller).clamp(min=torch.finfo(pi.dtype).tiny)
    return len(orders) * larger * (smaller / total)


# Subsets of k classes. ------------------------------------------------------------------------------------------------


def gumbel_top_k(
    logits: Number, k: int, *, sample_shape: Sequence[int] = (), generator: Generator | None = None
) -> Tensor:
    """The classes with the k largest eps_i + theta_i, eps_i ~ Gumbel(0, 1), largest first, as integers.

    This is an ordered sample without replacement, with the probability prod_j pi_j / (1 - sum of those before j).
    `logits` has its classes on the last axis, which becomes one of length k. 1 <= k <= K.
    Source: Yellott 1977; Kool, van Hoof and Welling 2019.
    """
    (logits,) = validate.tensors(logits=logits)
    validate.classes("logits", logits)
    k, size = validate.integer("k", k, 1), size_of(sample_shape, generator, logits=logits)
    _check_subset(k, logits.shape[-1])
    with torch.no_grad():
        return (standard_gumbel.draw(size, logits, generator) + logits).topk(k).indices


def _log_completions(log_pi: Tensor, chosen: Tensor) -> Mapping[int, Tensor]:
    """For each part of a set S of k classes, as a bit mask: log P(the rest of S comes next | this part came first).

    `chosen` holds the k classes of S, shape (n, k). Each entry has shape (n,); entry 0 is log P(S).
    """
    k = chosen.shape[-1]
    log_pi = log_pi.expand(len(chosen), log_pi.shape[-1])
    inside = log_pi.gather(1, chosen)
    outside = log_pi.scatter(1, chosen, -torch.inf)
    outside = torch.cat([outside, torch.full_like(outside[:, :1], torch.finfo(log_pi.dtype).min)], 1).logsumexp(1)
    found = {2**k - 1: torch.zeros_like(outside)}
    for part in range(2**k - 2, -1, -1):
        missing = [j for j in range(k) if not part >> j & 1]
        left = torch.stack([outside, *(inside[:, j] for j in missing)], 1).logsumexp(1)
        next_one = torch.stack([inside[:, j] + found[part | 1 << j] for j in missing], 1)
        found[part] = next_one.logsumexp(1) - left
    return found


class Subset(Distribution):
    """A set of k of K classes, drawn one by one without replacement with probabilities proportional to softmax(theta).

    A sample is a vector with k ones. Its probability is the sum over the k! orders, computed from 2^k terms, so
    1 <= k <= 12. As a torch Distribution it serves the score function: `ScoreFunction(partial(Subset, k=2))`, and
    `LeaveOneOut` likewise. Raises ValueError for a k that is out of range, and for a value without k ones.
    Source: Plackett 1975; Kool, van Hoof and Welling 2020.
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012 - torch's own name

    def __init__(self, logits: Tensor, k: int, validate_args: bool | None = None) -> None:
        (self.logits,) = validate.tensors(logits=logits)
        validate.classes("logits", self.logits)
        self.k = validate.integer("k", k, 1)
        _check_subset(self.k, self.logits.shape[-1])
        _check_terms(self.k)
        super().__init__(self.logits.shape[:-1], self.logits.shape[-1:], validate_args)

    @property
    def terms(self) -> int:
        """2^k, the number of terms of a probability."""
        return 2**self.k

    @property
    def support(self) -> constraints.Constraint:
        """Vectors of zeros and ones."""
        return constraints.independent(constraints.boolean, 1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """The k classes with the largest theta_i plus Gumbel noise, as ones."""
        chosen = gumbel_top_k(self.logits.detach(), self.k, sample_shape=sample_shape)
        return one_hot(chosen, self.logits.shape[-1]).sum(-2).to(self.logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(S), differentiable with respect to the logits."""
        if not (((value == 0) | (value == 1)).all() and (value.sum(-1) == self.k).all()):
            raise ValueError(f"value must have {self.k} ones and otherwise zeros along the last axis, got {value}")
        shape = torch.broadcast_shapes(value.shape, self.logits.shape)
        chosen = value.expand(shape).reshape(-1, shape[-1]).topk(self.k).indices
        log_pi = torch.log_softmax(self.logits, -1).expand(shape).reshape(-1, shape[-1])
        return _log_completions(log_pi, chosen)[0].reshape(shape[:-1])


def _number_of_rounds(name: str, k: object) -> None:
    validate.integer(name, k, 1)


@reparametrization(standard_gumbel, logits=validate.classes, temperature=validate.temperature, k=_number_of_rounds)
def relaxed_top_k(eps: Tensor, logits: Tensor, temperature: Tensor, k: int = 1) -> Tensor:
    """q^(1) + ... + q^(k), q^(j) = softmax(a^(j) / tau), a^(1) = theta + eps, a^(j + 1) = a^(j) + log(1 - q^(j)).

    The `temperature` is tau > 0, and 1 <= k < K. This is the relaxed sample of a subset; its entries sum to k. It is
    biased, like every relaxation, and where one entry is far ahead it exceeds 1. With k = 1 it is Gumbel-softmax.
    Logarithms of 1 - q are computed without cancellation, so the derivative is finite. Source: Xie and Ermon 2019.
    """
    if k >= logits.shape[-1]:
        raise ValueError(f"k must be less than the number of classes, {logits.shape[-1]}, got {k}")
    a, total = eps + logits, torch.zeros_like(eps + logits)
    for _ in range(k):
        log_q = torch.log_softmax(a / temperature, -1)
        total = total + log_q.exp()
        a = a + _log_of_rest(log_q)
    return total


def _log_of_rest(log_q: Tensor) -> Tensor:
    """log(1 - q): for the largest entry from the sum of the others, as 1 - q would cancel."""
    largest = one_hot_of_largest(log_q.detach()) > 0
    others = log_q.masked_fill(largest, -torch.inf)
    return torch.where(largest, others.logsumexp(-1, keepdim=True), torch.log1p(-others.exp()))

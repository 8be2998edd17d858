"""helpers.estimators.bounds: means and variances against closed forms, quadrature and enumeration.

The linear-Gaussian model is z ~ N(0, 1), x | z ~ N(z + b, 1/2), x = 2, so the posterior at b = 0 is N(4/3, 1/3). Where
noise can be given, the estimators are evaluated at the nodes of a quadrature rule or at every outcome, and nothing is
random. The rest are means of samples, with the false alarms of `tests.support.statistical`.
"""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td

from helpers import compare_estimators, estimate_gradient
from helpers.compiled import Compiled
from helpers.estimators import (
    STL,
    VIMCO,
    Antithetic,
    ControlVariate,
    DReG,
    ImportanceWeighted,
    Pathwise,
    QuasiMonteCarlo,
    ScoreFunction,
    WithParams,
)
from helpers.estimators.base import checked_params, objective
from tests.support.statistical import agrees, generator, has_variance

X, S2 = 2.0, 0.5
L = 1 + 1 / S2
POSTERIOR = {"loc": X / S2 / L, "scale": math.sqrt(1 / L)}
WIDE = {"loc": 1.0, "scale": 0.8}
PLACES = [WIDE, POSTERIOR, {"loc": 1.0, "scale": POSTERIOR["scale"]}, {"loc": POSTERIOR["loc"], "scale": 0.3}]


def log_joint(z: Tensor, b: Any = 0.0) -> Tensor:
    """log p(x, z), written out."""
    return -(z**2) / 2 - (X - z - b) ** 2 / (2 * S2) - math.log(2 * math.pi) - math.log(S2) / 2


def double(params: dict[str, float]) -> dict[str, Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in params.items()}


def rule(k: int, nodes: int = 64) -> tuple[Tensor, Tensor]:
    """Noise of shape (n, k) and weights (n,): the product of k rules for N(0, 1)."""
    eps, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
    products = torch.cartesian_prod(*[weights / weights.sum()] * k).reshape(-1, k)
    return torch.cartesian_prod(*[eps] * k).reshape(-1, k), products.prod(1)


def at(eps: Tensor) -> type[td.Normal]:
    """The normal distribution whose samples are made of this noise."""

    class AtNodes(td.Normal):
        def rsample(self, sample_shape: Any = ()) -> Tensor:
            return self.loc + self.scale * eps.reshape(-1)

    return AtNodes


def bound(k: int, loc: Tensor, scale: Tensor, b: Any = 0.0, nodes: int = 64) -> Tensor:
    """L_K by quadrature, differentiable."""
    eps, weights = rule(k, nodes)
    log_q = -(eps**2) / 2 - torch.log(scale) - math.log(2 * math.pi) / 2
    log_w = log_joint(loc + scale * eps, b) - log_q
    return (weights * (torch.logsumexp(log_w, 1) - math.log(k))).sum()


def exact_gradient(k: int, params: dict[str, float], nodes: int = 64) -> dict[str, float]:
    leaves = {name: value.requires_grad_() for name, value in double(params).items()}
    found = torch.autograd.grad(bound(k, nodes=nodes, **leaves), list(leaves.values()))
    return dict(zip(leaves, (g.item() for g in found), strict=True))


def moments(estimator: Any, eps: Tensor, weights: Tensor, params: dict[str, float]) -> tuple[dict, dict]:
    """Mean and variance of one gradient by quadrature."""
    gradients = estimator(log_joint, double(params), len(eps))
    mean = {name: (weights * g).sum().item() for name, g in gradients.items()}
    return mean, {name: (weights * (g - mean[name]) ** 2).sum().item() for name, g in gradients.items()}


# the pathwise estimators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(4))
def test_one_sample_has_the_closed_forms(place: int) -> None:
    """Pathwise: L^2 s^2 and g^2 + 2 L^2 s^2; path derivative: c^2 and g^2 + 2 c^2."""
    params = PLACES[place]
    m, s = params["loc"], params["scale"]
    g, c = X / S2 - L * m, 1 / s - L * s
    eps, weights = rule(1)
    forms = {
        ImportanceWeighted(at(eps), 1): (L**2 * s**2, g**2 + 2 * L**2 * s**2),
        DReG(at(eps), 1): (c**2, g**2 + 2 * c**2),
        STL(at(eps)): (c**2, g**2 + 2 * c**2),
    }
    for estimator, variances in forms.items():
        mean, variance = moments(estimator, eps, weights, params)
        assert mean == pytest.approx({"loc": g, "scale": c}, abs=1e-9)
        assert variance == pytest.approx(dict(zip(params, variances, strict=True)), abs=1e-9)


@pytest.mark.parametrize("kind", [ImportanceWeighted, DReG])
@pytest.mark.parametrize(("k", "nodes"), [(2, 64), (3, 32)])
def test_the_mean_is_the_gradient_of_the_bound(kind: Any, k: int, nodes: int) -> None:
    eps, weights = rule(k, nodes)
    mean, _ = moments(kind(at(eps), k), eps, weights, WIDE)
    assert mean == pytest.approx(exact_gradient(k, WIDE, nodes), rel=1e-5)


def written_out(kind: Any, eps: np.ndarray, m: float, s: float) -> dict[str, np.ndarray]:
    """Each gradient of the linear-Gaussian model, from its formula, eps of shape (n, k)."""
    z = m + s * eps
    log_w = -(z**2) / 2 - (X - z) ** 2 / (2 * S2) + eps**2 / 2
    v = np.exp(log_w - log_w.max(1, keepdims=True))
    v /= v.sum(1, keepdims=True)
    slope = X / S2 - L * z + eps / s
    if kind is DReG:
        return {"loc": (v**2 * slope).sum(1), "scale": (v**2 * slope * eps).sum(1)}
    by_loc, by_scale = slope - eps / s, slope * eps - (eps**2 - 1) / s
    return {"loc": (v * by_loc).sum(1), "scale": (v * by_scale).sum(1)}


@pytest.mark.parametrize("kind", [ImportanceWeighted, DReG])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_each_sample_is_its_definition(kind: Any, k: int) -> None:
    eps = torch.randn(50, k, dtype=torch.float64, generator=generator())
    found = kind(at(eps), k)(log_joint, double(WIDE), 50)
    for name, expected in written_out(kind, eps.numpy(), 1.0, 0.8).items():
        np.testing.assert_allclose(found[name].numpy(), expected, rtol=1e-9, atol=1e-12)


def by_laplace(kind: Any, k: int, m: float, s: float) -> tuple[float, float]:
    """Mean and variance of d/dloc for any k, by 1/S^p = integral of t^(p-1) exp(-t S) / (p-1)!, which separates."""
    eps = np.linspace(-9, 9, 1201)
    density = np.exp(-(eps**2) / 2)
    density /= density.sum()
    z = m + s * eps
    log_p = -(X**2) / (2 * (1 + S2)) - math.log(2 * math.pi * (1 + S2)) / 2
    w = np.exp(-(z**2) / 2 - (X - z) ** 2 / (2 * S2) + eps**2 / 2 - math.log(2 * math.pi * S2) / 2 - log_p) * s
    power = 1 if kind is ImportanceWeighted else 2
    slope = X / S2 - L * z + (0 if power == 1 else eps / s)
    steps = np.linspace(-16, 24, 2001)
    t = np.exp(steps)[:, None]
    decay = np.exp(-t * w) * density
    phi, one, two = decay.sum(1), (w**power * slope * decay).sum(1), ((w**power * slope) ** 2 * decay).sum(1)
    t, step = t[:, 0], steps[1] - steps[0]
    mean = (t**power / math.factorial(power - 1) * k * one * phi ** (k - 1)).sum() * step
    pairs = k * two * phi ** (k - 1) + k * (k - 1) * one**2 * phi ** (k - 2)
    second = (t ** (2 * power) / math.factorial(2 * power - 1) * pairs).sum() * step
    return mean, second - mean**2


@pytest.mark.parametrize("kind", [ImportanceWeighted, DReG])
def test_mean_and_variance_for_any_k(kind: Any) -> None:
    mean, variance = by_laplace(kind, 2, 1.0, 0.8)
    eps, weights = rule(2)
    means, variances = moments(kind(at(eps), 2), eps, weights, WIDE)
    assert (means["loc"], variances["loc"]) == pytest.approx((mean, variance), rel=1e-5)
    mean, variance = by_laplace(kind, 5, 1.0, 0.8)
    found = kind(td.Normal, 5)(log_joint, double(WIDE), 400_000, generator())["loc"]
    agrees(found, mean, fault=0.3 if kind is ImportanceWeighted else 0.03)
    has_variance(found, variance)


def test_without_variance_at_the_posterior() -> None:
    for estimator in (STL(td.Normal), DReG(td.Normal, 5)):
        found = estimator(log_joint, double(POSTERIOR), 1000, generator())
        assert all(g.abs().max() < 1e-9 for g in found.values())
    plain = ImportanceWeighted(td.Normal, 1)(log_joint, double(POSTERIOR), 1000, generator())
    assert plain["loc"].var() > 1


@pytest.mark.parametrize("kind", [ImportanceWeighted, DReG, VIMCO])
def test_a_constant_in_log_p_changes_nothing(kind: Any) -> None:
    one, other = (
        kind(td.Normal, 4)(lambda z, c=c: log_joint(z) + c, double(WIDE), 100, generator()) for c in (0.0, -5000.0)
    )
    for name in WIDE:
        torch.testing.assert_close(one[name], other[name], rtol=1e-9, atol=1e-9)


SHAPES = {
    "class": (td.Normal, {"loc": torch.tensor([0.5, -1.0]), "scale": torch.tensor(2.0)}),
    "function": (
        lambda loc, scale: td.Independent(td.Normal(loc, scale.expand(2)), 1),
        {"loc": torch.tensor([0.5, -1.0]), "scale": torch.tensor(2.0)},
    ),
}


def sharp(z: Tensor) -> Tensor:
    return -((z[:, 0] - z[:, 1]) ** 2) - z[:, 0] ** 4


@pytest.mark.parametrize("kind", [ImportanceWeighted, DReG, VIMCO])
@pytest.mark.parametrize("name", SHAPES)
def test_several_coordinates_have_one_weight(kind: Any, name: str) -> None:
    """One gradient, against autograd through the formula of the whole vector."""
    family, params = SHAPES[name]
    params = {k: v.double() for k, v in params.items()}
    estimator = kind(family, 3)
    noise = estimator.noise(params, 1, generator())
    found = estimator.gradients(objective(sharp, params), noise, params)
    z = estimator.samples(noise, params)
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    eps = (z - params["loc"]) / params["scale"]
    moving = leaves["loc"] + leaves["scale"] * eps
    held = {k: v.detach() for k, v in leaves.items()}

    def log_w(z: Tensor, at: dict[str, Tensor]) -> Tensor:
        return sharp(z) - td.Normal(at["loc"], at["scale"]).log_prob(z).sum(1)

    v = log_w(z, held).softmax(0)
    if kind is ImportanceWeighted:
        loss = log_w(moving, leaves).logsumexp(0)
    elif kind is DReG:
        loss = (v**2 * log_w(moving, held)).sum()
    else:
        logs = log_w(z, held)
        left = [torch.stack([*logs[:j], *logs[j + 1 :]]) for j in range(3)]
        baselines = torch.stack([torch.cat([o, o.mean()[None]]).logsumexp(0) for o in left])
        score = td.Normal(leaves["loc"], leaves["scale"]).log_prob(z).sum(1)
        loss = ((logs.logsumexp(0) - baselines - v) * score).sum()
    for k, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        torch.testing.assert_close(found[k], g[None])


# what f knows of the parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ImportanceWeighted, DReG])
@pytest.mark.parametrize("k", [1, 2])
def test_a_parameter_of_the_model_gets_the_weighted_gradient(kind: Any, k: int) -> None:
    eps, weights = rule(k)
    params = WIDE | {"b": 0.3}

    f = WithParams(lambda z, params: log_joint(z, params["b"]))
    found = kind(lambda loc, scale, b: at(eps)(loc, scale), k)(f, double(params), len(eps))
    mean = {name: (weights * g).sum().item() for name, g in found.items()}
    assert mean == pytest.approx(exact_gradient(k, params), rel=1e-5)


def test_a_parameter_of_the_model_under_discrete_latents() -> None:
    """By enumeration: the bound's derivative with respect to an exponent t of p(x, h)."""
    params = double({"logits": PHI, "t": 1.5})
    f = WithParams(lambda h, params: params["t"] * LOG_P[h])
    estimator = VIMCO(lambda logits, t: td.Categorical(logits=logits), 2)
    outcomes, probs = every(2, params["logits"])
    found = at_outcomes(estimator, f, params, outcomes)
    t = params["t"].clone().requires_grad_()
    log_q = params["logits"].log_softmax(0)
    log_w = t * LOG_P[outcomes] - log_q[outcomes]
    (expected,) = torch.autograd.grad((probs * (log_w.logsumexp(1) - math.log(2))).sum(), t)
    assert (probs * found["t"]).sum().item() == pytest.approx(expected.item())


# VIMCO ----------------------------------------------------------------------------------------------------------------

PHI = [math.log(p) for p in (0.5, 0.3, 0.2)]
LOG_P = torch.tensor([0.1, 0.05, 0.25], dtype=torch.float64).log()


def every(k: int, logits: Tensor) -> tuple[Tensor, Tensor]:
    """All groups of k classes, shape (3^k, k), and their probabilities."""
    outcomes = torch.tensor(list(itertools.product(range(3), repeat=k)))
    return outcomes, logits.softmax(0)[outcomes].prod(1)


def at_outcomes(estimator: Any, f: Any, params: dict[str, Tensor], outcomes: Tensor) -> dict[str, Tensor]:
    """The gradients, called as usual, with these outcomes in place of samples."""

    class Given(type(estimator)):
        def noise(self, params: Any, n: int, generator: Any) -> Tensor:
            return outcomes.reshape(-1)

    return Given(estimator.distribution, estimator.k)(f, params, len(outcomes))


def of_class(h: Tensor) -> Tensor:
    return LOG_P[h]


FAMILIES = [td.Categorical, lambda logits: td.Categorical(logits=logits)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("k", "total"), [(2, 0.332114), (3, 0.158423)])
def test_vimco_by_enumeration(family: Any, k: int, total: float) -> None:
    """Mean: the gradient of the enumerated bound. Each sample: the formula in loops. Variance: from those."""
    logits = torch.tensor(PHI, dtype=torch.float64)
    outcomes, probs = every(k, logits)
    found = at_outcomes(VIMCO(family, k), of_class, {"logits": logits}, outcomes)["logits"]
    leaf = logits.clone().requires_grad_()
    log_q = leaf.log_softmax(0)
    values = (LOG_P[outcomes] - log_q[outcomes]).logsumexp(1) - math.log(k)
    (exact,) = torch.autograd.grad((log_q[outcomes].sum(1).exp() * values).sum(), leaf)
    torch.testing.assert_close((probs[:, None] * found).sum(0), exact)

    q = np.exp(PHI)
    expected = np.zeros((len(outcomes), 3))
    for row, group in enumerate(outcomes.tolist()):
        w = [math.exp(LOG_P[h]) / q[h] for h in group]
        for j, h in enumerate(group):
            others = w[:j] + w[j + 1 :]
            without = math.log((sum(others) + math.prod(others) ** (1 / (k - 1))) / k)
            expected[row] += (math.log(sum(w) / k) - without - w[j] / sum(w)) * (np.eye(3)[h] - q)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
    spread = (probs[:, None] * (found - exact) ** 2).sum()
    assert spread.item() == pytest.approx(total, abs=1e-6)


def test_vimco_of_its_own_samples() -> None:
    """A vector of two binary variables; the bound of k = 2 by enumeration of four outcomes each."""
    logits = torch.tensor([0.4, -1.1], dtype=torch.float64)

    def f(b: Tensor) -> Tensor:
        return -((b[:, 0] + 2 * b[:, 1] - 1.5) ** 2)

    leaf = logits.clone().requires_grad_()
    points = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
    log_q = td.Bernoulli(logits=leaf).log_prob(points).sum(1)
    log_w = f(points) - log_q
    pairs = torch.logaddexp(log_w[:, None], log_w) - math.log(2)
    (exact,) = torch.autograd.grad(((log_q[:, None] + log_q).exp() * pairs).sum(), leaf)
    agrees(VIMCO(td.Bernoulli, 2)(f, {"logits": logits}, 400_000, generator())["logits"], exact, fault=0.1)


# bad input and company ------------------------------------------------------------------------------------------------


def uniform(low: Tensor, high: Tensor) -> td.Uniform:
    return td.Uniform(low, high)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: DReG(td.Normal, 0), ValueError, "k must be >= 1, got 0"),
        (lambda: ImportanceWeighted(td.Normal, 2.5), TypeError, "k must be an int"),
        (lambda: VIMCO(td.Bernoulli, 1), ValueError, "k must be >= 2, got 1"),
        (lambda: STL(3), TypeError, "distribution must be a class of torch.distributions or a function"),
        (
            lambda: ImportanceWeighted(td.Bernoulli, 2)(log_joint, {"logits": 0.3}, 5),
            ValueError,
            "must have rsample, got Bernoulli",
        ),
        (
            lambda: DReG(uniform, 2)(log_joint, {"low": 0.0, "high": 1.0}, 5),
            ValueError,
            "distribution must have a support that no parameter moves, got uniform",
        ),
        (
            lambda: STL(td.Normal)(lambda z: log_joint(z).detach(), WIDE, 5),
            ValueError,
            "carries no graph back to the parameters",
        ),
        (lambda: VIMCO(td.Bernoulli, 2)(of_class, {"rate": 0.3}, 5), ValueError, "params must name arguments of Bern"),
        (lambda: DReG(td.Normal, 2)(log_joint, {"loc": 0.0, "scale": -1.0}, 5), ValueError, "scale must satisfy"),
        (lambda: VIMCO(td.Normal, 2)(lambda z: z[:3], WIDE, 5), ValueError, r"a tensor of shape \(10,\)"),
        (
            lambda: ControlVariate(DReG(td.Normal, 2), log_joint, lambda loc, scale: loc),
            TypeError,
            r"estimator must estimate the gradient of E\[f\(z\)\], not of a bound, got DReG",
        ),
        (
            lambda: Antithetic(STL(td.Normal))(log_joint, WIDE, 4),
            ValueError,
            "estimator must have standard noise",
        ),
        (
            lambda: QuasiMonteCarlo(VIMCO(td.Bernoulli, 2), 4)(log_joint, {"probs": 0.5}, 4),
            ValueError,
            "estimator must have standard noise",
        ),
        (
            lambda: Compiled(ImportanceWeighted(td.Normal, 2)),
            TypeError,
            "estimator must be a Pathwise with a Reparametrization or a ScoreFunction",
        ),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("estimator", [ImportanceWeighted(td.Normal, 3), DReG(td.Normal, 3), VIMCO(td.Normal, 3)])
def test_each_bound_stands_in_a_comparison(estimator: Any) -> None:
    trial = compare_estimators(log_joint, {"it": estimator}, double(WIDE), 20_000, exact=exact_gradient(3, WIDE))["it"]
    assert trial.evaluations == 3
    for parameter, bias in trial.bias.items():
        assert abs(bias.mean) < 5 * bias.standard_error, parameter


def test_they_stand_in_a_comparison() -> None:
    exact = exact_gradient(1, WIDE)
    candidates = {
        "pathwise": ImportanceWeighted(td.Normal, 1),
        "STL": STL(td.Normal),
        "score": lambda: ScoreFunction(td.Normal),
    }
    trials = compare_estimators(log_joint, candidates, double(WIDE), 20_000, exact=exact)
    for name in ("pathwise", "STL"):
        for parameter, bias in trials[name].bias.items():
            assert abs(bias.mean) < 5 * bias.standard_error, (name, parameter)
    entropy = trials["score"].bias["scale"]  # f is log p(x, z) alone: the gradient of the entropy is missing
    assert abs(entropy.mean + 1 / WIDE["scale"]) < 5 * entropy.standard_error


def test_the_plain_bound_is_the_pathwise_gradient_of_the_elbo() -> None:
    """Sample by sample, with the objective that contains log q."""

    def elbo(z: Tensor, params: dict[str, Tensor]) -> Tensor:
        return log_joint(z) - td.Normal(**params).log_prob(z)

    bound, pathwise = (
        estimator(f, double(WIDE), 100, generator())
        for estimator, f in ((ImportanceWeighted(td.Normal, 1), log_joint), (Pathwise(td.Normal), WithParams(elbo)))
    )
    for name in WIDE:
        torch.testing.assert_close(bound[name], pathwise[name])


@pytest.mark.parametrize(
    ("estimator", "params", "numbers"),
    [
        (ImportanceWeighted(td.Normal, 8), {"loc": torch.zeros(20), "scale": 1.0}, 160),
        (STL(td.Normal), {"loc": torch.zeros(20), "scale": 1.0}, 20),
        (VIMCO(td.Bernoulli, 8), {"logits": torch.zeros(3)}, 64),
    ],
)
def test_a_gradient_counts_what_it_allocates(estimator: Any, params: dict[str, Any], numbers: int) -> None:
    assert estimator.numbers(checked_params(params)) == numbers


def test_the_loop_takes_them() -> None:
    found = estimate_gradient(log_joint, DReG(td.Normal, 2), double(WIDE), 1000, chunk_size=100)
    assert found["loc"].n == 1000


def vimco_ratio(k: int) -> float:
    """Length of the mean over the root of the total variance, exactly, by how often each of three classes is drawn."""
    p, q = np.array([0.1, 0.05, 0.25]), np.array([0.5, 0.3, 0.2])
    log_w, counts = np.log(p / q), [(a, b, k - a - b) for a in range(k + 1) for b in range(k + 1 - a)]
    n = np.array(counts, dtype=float)
    chance = stats.multinomial.pmf(n, k, q)
    total = n @ np.exp(log_w)
    others = (n @ log_w)[:, None] - log_w  # of the k - 1 others, for each class
    changed = total[:, None] - np.exp(log_w) + np.exp(others / (k - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = np.where(n > 0, np.log(total[:, None] / changed), 0.0)
    weight = np.exp(log_w) / total[:, None]
    each = n * (gain - weight)
    gradients = each - each.sum(1, keepdims=True) * q  # sum over the samples of factor times (one-hot minus q)
    mean = chance @ gradients
    return float(np.linalg.norm(mean) / np.sqrt((chance @ (gradients - mean) ** 2).sum()))


def test_the_ratio_of_vimco_rises_at_first_and_then_falls() -> None:
    """The figures that chapter 17 states."""
    assert [round(vimco_ratio(k), 2) for k in (3, 32, 128)] == [0.67, 0.31, 0.15]
    assert vimco_ratio(2) < vimco_ratio(3) > vimco_ratio(8) > vimco_ratio(32)


@pytest.mark.parametrize("moment", [2, 3, 4])
def test_a_moment_of_the_weights_is_finite_above_its_width(moment: int) -> None:
    """q(z) (p(x, z) / q(z))^m decreases at infinity if sigma^2 > (m - 1) / 3m, and grows below."""
    limit = (moment - 1) / moment / 3
    z = torch.tensor([30.0, 60.0], dtype=torch.float64)
    for factor, is_finite in ((0.98, False), (1.02, True)):
        log_q = td.Normal(1.0, (factor * limit) ** 0.5).log_prob(z)
        near, far = moment * (log_joint(z) - log_q) + log_q
        assert bool(far < near) == is_finite

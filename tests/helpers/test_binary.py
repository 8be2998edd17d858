"""helpers.estimators.binary: unbiased over the whole unit cube, with the variances of the closed forms."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from torch import Tensor
from torch import distributions as td

from helpers.estimators import Pathwise, ScoreFunction
from helpers.estimators.binary import ARM, REBAR, RELAX, DisARM, bernoulli_reinmax
from helpers.estimators.control_variates import LeaveOneOut
from tests.support.statistical import agrees, generator, has_variance

LOGITS = torch.tensor([0.4, -1.1], dtype=torch.float64)
SLOPES = torch.tensor([1.0, -2.0], dtype=torch.float64)


def f(b: Tensor) -> Tensor:
    """Neither additive nor quadratic."""
    b = b.reshape(len(b), -1)
    slopes = SLOPES[: b.shape[1]].to(b.dtype)
    return (b @ slopes + 0.3) ** 2 + torch.exp(b.sum(1))


def exact_gradient(logits: Tensor) -> Tensor:
    """By enumeration of {0, 1}^D."""
    logits = logits.double().clone().requires_grad_()
    outcomes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=logits.numel())), dtype=torch.float64)
    probs = torch.where(outcomes > 0, logits.sigmoid(), (-logits).sigmoid()).prod(1)
    return torch.autograd.grad((probs * f(outcomes)).sum(), logits)[0]


def panels(edges: list[float], count: int) -> tuple[Tensor, Tensor]:
    x, w = np.polynomial.legendre.leggauss(count)
    low, high = np.array(edges[:-1])[:, None], np.array(edges[1:])[:, None]
    nodes, weights = low + (high - low) * (x + 1) / 2, (high - low) * w / 2
    return torch.tensor(nodes.ravel()), torch.tensor(weights.ravel())


def cube(axes: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Nodes (N, D) and weights (N,) of the product rule."""
    grids = torch.meshgrid(*(nodes for nodes, _ in axes), indexing="ij")
    weights = torch.meshgrid(*(w for _, w in axes), indexing="ij")
    return torch.stack([g.flatten() for g in grids], 1), torch.stack([w.flatten() for w in weights], 1).prod(1)


def over_uniforms(logits: Tensor) -> tuple[Tensor, Tensor]:
    """A rule that is exact for polynomials between the points where b changes: p and 1 - p."""
    return cube([panels(sorted([0.0, p, 1 - p, 1.0]), 4) for p in logits.sigmoid().tolist()])


def over_logistic_noise(logits: Tensor) -> tuple[Tensor, Tensor]:
    """A rule in l = logit(u), with an edge at z = 0."""
    axes = []
    for phi in logits.tolist():
        nodes, weights = panels(sorted({-34.0, -14.0, -5.0, -2.0, 2.0, 5.0, 14.0, 34.0, -phi}), 12)
        axes.append((nodes, weights * nodes.sigmoid() * (-nodes).sigmoid()))
    nodes, weights = cube(axes)
    return nodes.sigmoid(), weights


def moments(
    estimator: Any, logits: Tensor, rule: tuple[Tensor, Tensor], patch: pytest.MonkeyPatch
) -> tuple[Tensor, Tensor]:
    """Mean and variance of one sample, with the nodes of `rule` for uniform numbers."""
    u, weights = rule
    patch.setattr("helpers.estimators.binary.open_uniform", lambda size, like, generator: u.reshape(size))
    g = estimator(f, {"logits": logits}, len(u))["logits"]
    weights = weights.reshape(-1, *(1,) * logits.dim())
    mean = (weights * g).sum(0)
    return mean, (weights * (g - mean) ** 2).sum(0)


def bumpy(z: Tensor) -> Tensor:
    return torch.sin(z).sum(1) + 0.3 * z.prod(1)


def half_of_f(z: Tensor) -> Tensor:
    return f(z.sigmoid()) / 2


UNBIASED = {
    "ARM": (ARM(), over_uniforms),
    "DisARM": (DisARM(), over_uniforms),
    "REBAR": (REBAR(0.7), over_logistic_noise),
    "REBAR, scaled": (REBAR(1.3, 0.4), over_logistic_noise),
    "RELAX": (RELAX(bumpy), over_logistic_noise),
    "RELAX, constant": (RELAX(lambda z: torch.full((len(z),), 2.0).double()), over_logistic_noise),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_is_exact_by_quadrature(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator, rule = UNBIASED[name]
    mean, _ = moments(estimator, LOGITS, rule(LOGITS), monkeypatch)
    torch.testing.assert_close(mean, exact_gradient(LOGITS), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("phi", [-1.2, 0.0, 0.7, 3.0])
def test_variances_for_one_bit(phi: float, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.tensor([phi], dtype=torch.float64)
    difference = (f(torch.ones(1, 1).double()) - f(torch.zeros(1, 1).double())).item()
    a, exact = expit(-abs(phi)), exact_gradient(logits).item()
    _, arm = moments(ARM(), logits, over_uniforms(logits), monkeypatch)
    assert arm.item() == pytest.approx(difference**2 * (1 / 12 + 2 * (a - 0.5) ** 3 / 3) - exact**2)
    _, disarm = moments(DisARM(), logits, over_uniforms(logits), monkeypatch)
    assert disarm.item() == pytest.approx(difference**2 * a * (1 - a) ** 2 / 2 - exact**2)


def test_variance_of_disarm_by_enumeration_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.tensor([0.4, -1.1, 0.9], dtype=torch.float64)
    monkeypatch.setattr("tests.helpers.test_binary.SLOPES", torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    p = logits.sigmoid().numpy()
    first = second = np.zeros(3)
    for bits in itertools.product(itertools.product([0.0, 1.0], repeat=2), repeat=3):
        pairs = np.array(bits)
        agree = np.where(pairs[:, 0] == 1, np.maximum(2 * p - 1, 0), np.maximum(1 - 2 * p, 0))
        probability = np.where(pairs[:, 0] == pairs[:, 1], agree, np.minimum(p, 1 - p)).prod()
        values = f(torch.tensor(pairs.T)).numpy()
        g = (values[0] - values[1]) / 2 * (pairs[:, 0] - pairs[:, 1]) * np.maximum(p, 1 - p)
        first, second = first + probability * g, second + probability * g**2
    mean, variance = moments(DisARM(), logits, over_uniforms(logits), monkeypatch)
    np.testing.assert_allclose(first, exact_gradient(logits).numpy())
    np.testing.assert_allclose(mean.numpy(), first)
    np.testing.assert_allclose(variance.numpy(), second - first**2)
    _, arm = moments(ARM(), logits, over_uniforms(logits), monkeypatch)
    assert (variance < arm).all()


@pytest.mark.parametrize(("temperature", "scale"), [(0.5, 1.0), (2.0, 0.3)])
def test_each_rebar_sample_is_its_definition(temperature: float, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """z' as the paper draws it, from v = (u - (1 - p)) / p or u / (1 - p); its derivative by central differences."""
    u = np.linspace(0.013, 0.987, 40)
    phi = 0.6
    bits = (u > expit(-phi)).astype(float)
    v = np.where(bits == 1, (u - expit(-phi)) / expit(phi), u / expit(-phi))

    def relaxed(z: np.ndarray) -> np.ndarray:
        return scale * f(torch.tensor(expit(z / temperature))[:, None]).numpy()

    def z_of(phi: float) -> np.ndarray:
        return phi + logit(u)

    def z_given_b(phi: float) -> np.ndarray:
        p = expit(phi)
        return phi + logit(np.where(bits == 1, v * p + (1 - p), v * (1 - p)))

    h = 1e-6
    slopes = [(relaxed(z(phi + h)) - relaxed(z(phi - h))) / (2 * h) for z in (z_of, z_given_b)]
    expected = (f(torch.tensor(bits)[:, None]).numpy() - relaxed(z_given_b(phi))) * (bits - expit(phi))
    expected = expected + slopes[0] - slopes[1]
    monkeypatch.setattr(
        "helpers.estimators.binary.open_uniform", lambda size, like, generator: torch.tensor(u).reshape(size)
    )
    found = REBAR(temperature, scale)(f, {"logits": torch.tensor([phi], dtype=torch.float64)}, 40)["logits"]
    np.testing.assert_allclose(found[:, 0].numpy(), expected, rtol=1e-6, atol=1e-8)


def test_a_good_control_leaves_little_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.helpers.test_binary.f", lambda b: (b[:, 0] + 1) ** 2)
    logits = torch.zeros(1, dtype=torch.float64)
    mean, variance = moments(REBAR(0.5), logits, over_logistic_noise(logits), monkeypatch)
    assert mean.item() == pytest.approx(0.25 * 3, rel=1e-6)
    score = (4**2 + 1) / 8 - 0.75**2
    assert variance.item() < score / 2


def test_the_graph_of_relax_trains_its_control() -> None:
    rho = torch.tensor([0.5, -0.2], dtype=torch.float64, requires_grad=True)

    def spread(rho: Tensor) -> Tensor:
        estimator = RELAX(lambda z: rho[0] * f(z.sigmoid()) + rho[1], keep_graph=True)
        return (estimator(f, {"logits": LOGITS}, 500, generator())["logits"] ** 2).sum()

    (found,) = torch.autograd.grad(spread(rho), rho)
    steps = 1e-5 * torch.eye(2, dtype=torch.float64)
    expected = torch.stack([(spread(rho + h) - spread(rho - h)) / 2e-5 for h in steps])
    torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-6)
    plain = RELAX(lambda z: rho[0] * f(z.sigmoid()) + rho[1])(f, {"logits": LOGITS}, 500, generator())["logits"]
    assert not plain.requires_grad


@pytest.mark.parametrize("estimator", [ARM(), DisARM(), REBAR(0.7), RELAX(half_of_f), LeaveOneOut(td.Bernoulli, 2)])
def test_draws_from_a_generator_have_the_mean(estimator: Any) -> None:
    logits = LOGITS.float()
    agrees(estimator(f, {"logits": logits}, 1_000_000, generator())["logits"], exact_gradient(logits))


def test_leave_one_out_beats_the_score_function() -> None:
    plain, reduced = (
        e(f, {"logits": LOGITS}, 100_000, generator())["logits"].var(0)
        for e in (ScoreFunction(td.Bernoulli), LeaveOneOut(td.Bernoulli, 4))
    )
    assert (reduced * 4 < plain).all()


def test_reinmax_is_the_trapezoid_rule() -> None:
    """In one coordinate its mean is p (1 - p) (f'(0) + f'(1)) / 2: right for b^2, twice the truth for b^4."""
    p = expit(0.7)
    for power, exact in ((2, 1.0), (4, 2.0)):
        found = Pathwise(bernoulli_reinmax)(lambda b, k=power: b**k, {"logits": 0.7}, 200_000, generator())["logits"]
        agrees(found, p * (1 - p) * exact)
        slope = power * (1 - p * p) / 2 - power * p * (1 - p) / 2  # where b = 1; 0 elsewhere
        has_variance(found, p * (1 - p) * slope**2)
    both = Pathwise(bernoulli_reinmax)(lambda b: (b - 0.3) ** 2, {"logits": 0.7}, 800_000, generator())["logits"]
    agrees(both, p * (1 - p) * 0.4)


def test_reinmax_draws_bits_with_their_law() -> None:
    logits = torch.tensor([0.7, -1.0])
    b = bernoulli_reinmax(logits, sample_shape=(200_000,), generator=generator())
    assert b.shape == (200_000, 2)
    assert set(b.unique().tolist()) == {0.0, 1.0}
    agrees(b, logits.sigmoid())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", [ARM(), DisARM(), REBAR(1e-4), RELAX(bumpy), Pathwise(bernoulli_reinmax)])
def test_extreme_logits_stay_finite(estimator: Any, dtype: torch.dtype) -> None:
    logits = torch.tensor([-200.0, -14.0, 0.0, 14.0, 200.0], dtype=dtype)
    gradients = estimator(lambda b: (b**2).sum(1), {"logits": logits}, 1000, generator())["logits"]
    assert gradients.dtype == dtype
    assert gradients.isfinite().all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ARM()(f, {"probs": 0.5}, 5), ValueError, r"params must have the names \['logits'\], got \['probs'\]"),
        (lambda: DisARM()(f, {"logits": float("nan")}, 5), ValueError, "logits must be finite"),
        (lambda: ARM()(lambda b: b, {"logits": LOGITS}, 5), ValueError, "f must return one number per sample"),
        (lambda: REBAR(0.0), ValueError, "temperature must be > 0, got 0"),
        (lambda: REBAR(0.5, float("inf")), ValueError, "scale must be finite"),
        (lambda: RELAX(None), TypeError, "control must be a function, got None"),
        (lambda: RELAX(bumpy, 1), TypeError, "keep_graph must be True or False, got 1"),
        (
            lambda: RELAX(lambda z: z)(f, {"logits": LOGITS}, 5),
            ValueError,
            r"control must return one number per sample, a tensor of shape \(5,\), got shape \(5, 2\)",
        ),
        (lambda: bernoulli_reinmax(True), TypeError, "logits must be a number or a tensor, got True"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("estimator", [ARM(), DisARM(), REBAR(0.5), RELAX(bumpy)])
def test_the_samples_have_their_probability(estimator: Any) -> None:
    params = {"logits": LOGITS}
    b = estimator.samples(estimator.noise(params, 100_000, generator()), params)
    agrees(b, torch.sigmoid(LOGITS))

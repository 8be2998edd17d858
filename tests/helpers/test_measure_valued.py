"""helpers.estimators.measure_valued: means, variances and laws of the two halves."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td

from helpers.estimators.base import TRYING
from helpers.estimators.measure_valued import MeasureValued
from tests.support.statistical import agrees, generator, has_law, has_variance, square

M, S = 0.5, 1.0
NORMAL = {"loc": M, "scale": S}
N = 1_000_000


def positive_part(z: Tensor) -> Tensor:
    return (z > 1).to(z.dtype)


DENSITY_AT_ONE = stats.norm.pdf(1, M, S)
CASES: dict[str, tuple[type[td.Distribution], dict[str, Any], Any, dict[str, float]]] = {
    "Normal, square": (td.Normal, NORMAL, square, {"loc": 2 * M, "scale": 2 * S}),
    "Normal, cos": (
        td.Normal,
        NORMAL,
        torch.cos,
        {"loc": -math.sin(M) * math.exp(-(S**2) / 2), "scale": -S * math.cos(M) * math.exp(-(S**2) / 2)},
    ),
    "Normal, step": (
        td.Normal,
        NORMAL,
        positive_part,
        {"loc": DENSITY_AT_ONE, "scale": DENSITY_AT_ONE * (1 - M) / S},
    ),
    "Poisson, square": (td.Poisson, {"rate": 3.0}, square, {"rate": 7.0}),
    "Poisson, zero": (td.Poisson, {"rate": 1.5}, lambda z: (z == 0).to(z.dtype), {"rate": -math.exp(-1.5)}),
    "Exponential, square": (td.Exponential, {"rate": 2.0}, square, {"rate": -4 / 8}),
    "Exponential, step": (td.Exponential, {"rate": 2.0}, positive_part, {"rate": -math.exp(-2)}),
    "Bernoulli": (td.Bernoulli, {"probs": 0.25}, lambda z: 5 * z + 2, {"probs": 5.0}),
}


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_mean_has_its_closed_form(name: str, coupled: bool) -> None:
    law, params, f, exact = CASES[name]
    n = 2_000_000 if name == "Normal, step" else N
    gradients = MeasureValued(law, coupled)(f, params, n, generator())
    assert gradients.keys() == params.keys()
    for parameter, samples in gradients.items():
        agrees(samples, exact[parameter])


@pytest.mark.parametrize(("m", "s"), [(1.5, 0.5), (12.0, 42.0), (0.3, 1.0)])
def test_variance_on_the_square_of_a_normal(m: float, s: float) -> None:
    params = {"loc": m, "scale": s}
    coupled, apart = (MeasureValued(td.Normal, c)(square, params, N // 5, generator()) for c in (True, False))
    has_variance(coupled["loc"], (16 / math.pi - 4) * m**2)
    has_variance(coupled["scale"], 4 * m**2 + 4 * s**2)
    has_variance(apart["loc"], (8 / math.pi - 2) * m**2 + 4 * s**2 / math.pi)
    has_variance(apart["scale"], 16 * m**2 + 8 * s**2)


def test_variance_of_the_others() -> None:
    has_variance(MeasureValued(td.Poisson)(square, {"rate": 3.0}, N // 5, generator())["rate"], 4 * 3)
    # uncoupled: Var (z + 1)^2 + Var z^2 = (4 l^3 + 14 l^2 + 9 l) + (4 l^3 + 6 l^2 + l)
    has_variance(MeasureValued(td.Poisson, False)(square, {"rate": 3.0}, N // 5, generator())["rate"], 216 + 180 + 30)
    identity = lambda z: z  # noqa: E731
    for coupled, variance in ((True, 1 / 16), (False, 3 / 16)):
        found = MeasureValued(td.Exponential, coupled)(identity, {"rate": 2.0}, N // 5, generator())["rate"]
        has_variance(found, variance)
    single = MeasureValued(td.Bernoulli)(lambda z: 5 * z + 2, {"probs": 0.25}, 100, generator())["probs"]
    assert torch.equal(single, torch.full((100,), 5.0))


def double_sided_maxwell(x: np.ndarray) -> np.ndarray:
    return 0.5 + np.sign(x) * stats.maxwell.cdf(np.abs(x)) / 2


@pytest.mark.parametrize("coupled", [True, False])
def test_the_halves_have_their_laws(coupled: bool) -> None:
    seen: list[Tensor] = []
    watch = lambda z: z if TRYING.get() else seen.append(z.clone()) or z  # noqa: E731
    MeasureValued(td.Normal, coupled)(watch, {"loc": 0.0, "scale": 1.0}, 200_000, generator())
    MeasureValued(td.Exponential, coupled)(watch, {"rate": 1.0}, 200_000, generator())
    right, left, maxwell, normal, first, erlang = seen
    for samples, cdf in (
        (right, stats.rayleigh.cdf),
        (-left, stats.rayleigh.cdf),
        (maxwell, double_sided_maxwell),
        (normal, stats.norm.cdf),
        (first, stats.expon.cdf),
        (erlang, stats.gamma(2).cdf),
    ):
        has_law(samples, cdf)
    assert torch.equal(right, -left) == coupled
    assert ((maxwell / normal >= 1).all() and (erlang >= first).all()).item() == coupled


def product_of_squares(z: Tensor) -> Tensor:
    return (z**2).reshape(len(z), -1).prod(1)


def test_coordinates_of_a_vector_share_a_parameter() -> None:
    loc = torch.tensor([1.0, 2.0], dtype=torch.float64)
    gradients = MeasureValued(td.Normal)(product_of_squares, {"loc": loc, "scale": 0.5}, N, generator())
    agrees(gradients["loc"], [2 * 4.25, 4 * 1.25])
    agrees(gradients["scale"], 1.0 * 4.25 + 1.0 * 1.25)


def test_parameters_broadcast() -> None:
    loc, scale = torch.tensor([[1.0], [2.0]]), torch.tensor([0.5, 0.2, 0.1])
    total = lambda z: (z**2).sum((1, 2))  # noqa: E731
    gradients = MeasureValued(td.Normal)(total, {"loc": loc, "scale": scale}, 100_000, generator())
    assert {name: g.shape for name, g in gradients.items()} == {"loc": (100_000, 2, 1), "scale": (100_000, 3)}
    agrees(gradients["loc"], [[6.0], [12.0]])
    agrees(gradients["scale"], [2.0, 0.8, 0.4], fault=0.08)


def test_a_vector_of_bits() -> None:
    p = torch.tensor([0.2, 0.7, 0.5])
    gradients = MeasureValued(td.Bernoulli)(lambda b: (b.sum(1) - 0.3) ** 2, {"probs": p}, 500_000, generator())[
        "probs"
    ]
    agrees(gradients, 2 * (p.sum() - p - 0.3) + 1)  # (x + 1)^2 - x^2, x the sum of the others less 0.3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MeasureValued(td.Gamma), ValueError, "distribution must be one of Normal, Poisson.*Gamma"),
        (lambda: MeasureValued(td.Normal, 1), TypeError, "coupled must be True or False, got 1"),
        (
            lambda: MeasureValued(td.Normal)(square, {"loc": 1.0}, 5),
            ValueError,
            r"params must have the names \['loc', 's",
        ),
        (lambda: MeasureValued(td.Normal)(square, {"loc": 0.0, "scale": -1.0}, 5), ValueError, "parameter scale"),
        (lambda: MeasureValued(td.Bernoulli)(square, {"probs": 1.5}, 5), ValueError, "parameter probs"),
        (
            lambda: MeasureValued(td.Poisson)(lambda z: z.sum(), {"rate": 1.0}, 5),
            ValueError,
            "f must return one number",
        ),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

"""The explorable figures without a browser: their mathematics, run in V8, and what the renderers make of their markup.

What the pages show is tested in tests/browser/test_explorables.py.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pypandoc
import pytest
import torch
import yaml
from bs4 import BeautifulSoup
from py_mini_racer import MiniRacer
from scipy import integrate, stats
from sklearn.datasets import load_digits

from helpers import Estimate, estimate_gradient, reparametrize
from helpers.estimators import Pathwise
from render.bundle import bundle, explorables

ROOT = Path(__file__).resolve().parents[2]
EXPLORE = ROOT / "assets" / "explore"
FIGURES = [
    "baseline",
    "bent",
    "chooser",
    "convergence",
    "funnel",
    "latent",
    "measure",
    "passes",
    "pathwise",
    "race",
    "sobol",
    "temperature",
]
PI, C = [0.2, 0.3, 0.5], [0.0, 1.0, 2.0]
HERMITE_NODES, HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
HERMITE_WEIGHTS = HERMITE_WEIGHTS / HERMITE_WEIGHTS.sum()

Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Evaluates an expression over the functions of the pure modules; arrays come back as lists."""
    with MiniRacer() as engine:
        for name in ("random", "maths", "discrete"):
            source = (EXPLORE / f"{name}.js").read_text(encoding="utf-8")
            assert "import " not in source, "the pure modules stand alone"
            engine.eval(re.sub(r"^export ", "", source, flags=re.M) + ";0")
        to_list = "(key, value) => (value instanceof Float64Array ? [...value] : value)"
        yield lambda expression: json.loads(engine.eval(f"JSON.stringify({expression}, {to_list})"))


# Random numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 20261123, 2**32 - 1])
def test_uniform_numbers_are_those_of_numpy(run: Run, seed: int) -> None:
    found = run(f"((u) => Array.from({{length: 2000}}, u))(uniformSource({seed}))")
    assert found == np.random.RandomState(seed).random_sample(2000).tolist()


@pytest.mark.parametrize(("seed", "count"), [(0, 100_000), (1, 7), (7, 1)])
def test_normal_numbers_are_those_of_numpy(run: Run, seed: int, count: int) -> None:
    found = run(f"normals(uniformSource({seed}), {count})")
    np.testing.assert_allclose(found, np.random.RandomState(seed).standard_normal(count), rtol=1e-12)


def test_gumbel_noise_comes_from_the_same_uniform_numbers(run: Run) -> None:
    found = run("((u) => Array.from({length: 1000}, () => gumbel(u)))(uniformSource(3))")
    u = np.random.RandomState(3).random_sample(1000)
    np.testing.assert_allclose(found, -np.log(-np.log(u)), rtol=1e-12, atol=1e-14)


def test_gumbel_noise_is_finite_where_a_uniform_number_is_exactly_0(run: Run) -> None:
    assert run("((left) => gumbel(() => left.shift()))([0, 0, 0.5])") == pytest.approx(-np.log(np.log(2)))
    for u in (2.0**-53, 1 - 2.0**-53):
        assert np.isfinite(run(f"gumbel(() => {u!r})"))


def test_rayleigh_noise_has_the_moments_of_its_distribution(run: Run) -> None:
    found = np.array(run("((u) => Array.from({length: 20000}, () => rayleigh(u)))(uniformSource(5))"))
    np.testing.assert_allclose(found, np.sqrt(-2 * np.log1p(-np.random.RandomState(5).random_sample(20000))), rtol=1e-9)
    assert stats.kstest(found, stats.rayleigh.cdf).pvalue > 1e-5


@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
def test_sobol_points_are_those_of_scipy(run: Run, count: int) -> None:
    expected = stats.qmc.Sobol(d=2, scramble=False, bits=32).random(1024)[:count]
    np.testing.assert_array_equal(run(f"sobol({count})"), expected)


@pytest.mark.parametrize("power", [2, 5, 10])
def test_shifted_sobol_points_put_one_into_each_box(run: Run, power: int) -> None:
    found = np.array(run(f"sobol({2**power}, [0.123456789, 0.987654321])"))
    assert found.min() >= 0
    assert found.max() < 1
    for across in range(power + 1):
        columns, rows = 2**across, 2 ** (power - across)
        boxes = np.floor(found[:, 0] * columns) + columns * np.floor(found[:, 1] * rows)
        assert sorted(boxes) == list(range(2**power))
        assert run(f"emptyBoxes({found.tolist()}, {columns}, {rows})") == []


def test_empty_boxes_are_counted_row_by_row(run: Run) -> None:
    assert run("emptyBoxes([[0.1, 0.1], [0.9, 0.6], [0.95, 0.7]], 2, 2)") == [1, 2]


# Closed forms and samples ---------------------------------------------------------------------------------------------


def test_an_estimate_is_that_of_helpers(run: Run) -> None:
    samples = np.random.RandomState(0).standard_normal(500) * 3 + 1e6
    found = run(f"estimate({samples.tolist()})")
    expected = Estimate.from_samples(torch.from_numpy(samples))
    assert found["mean"] == pytest.approx(expected.mean.item(), rel=1e-14)
    assert found["error"] == pytest.approx(expected.standard_error.item(), rel=1e-7)
    assert run("estimate([2]).error") is None  # NaN in JSON


@pytest.mark.parametrize(("mu", "sigma"), [(1.0, 0.5), (-1.0, 0.1), (3.0, 1.5)])
def test_the_normal_density_and_its_score(run: Run, mu: float, sigma: float) -> None:
    for z in (mu - 3 * sigma, mu, mu + 0.7 * sigma):
        at = f"{z!r}, {mu!r}, {sigma!r}"
        assert run(f"normalDensity({at})") == pytest.approx(stats.norm(mu, sigma).pdf(z), rel=1e-12)
        params = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (mu, sigma)]
        law = torch.distributions.Normal(*params)
        by_autograd = torch.autograd.grad(law.log_prob(torch.tensor(z, dtype=torch.float64)), params)
        found = run(f"normalScore({at})")
        np.testing.assert_allclose([found["mu"], found["sigma"]], by_autograd, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("mu", "sigma"), [(1.0, 0.5), (-1.0, 0.1), (3.0, 1.5)])
def test_both_estimators_of_the_sine_have_its_gradient_as_their_mean(run: Run, mu: float, sigma: float) -> None:
    exact = run(f"sineGradient({mu}, {sigma})")
    law, h = stats.norm, 1e-5

    def mean(mu: float, sigma: float) -> float:
        over = partial(law(mu, sigma).expect, np.sin)
        return over(lb=mu - 12 * sigma, ub=mu + 12 * sigma, epsabs=1e-13)

    assert exact["mu"] == pytest.approx((mean(mu + h, sigma) - mean(mu - h, sigma)) / (2 * h), abs=1e-7)
    assert exact["sigma"] == pytest.approx((mean(mu, sigma + h) - mean(mu, sigma - h)) / (2 * h), abs=1e-7)
    eps = HERMITE_NODES.tolist()
    pathwise = run(f"{eps}.map((e) => sinePathwise({mu}, {sigma}, e))")
    score = run(f"{eps}.map((e) => normalScore({mu} + {sigma} * e, {mu}, {sigma}))")
    f = np.sin(mu + sigma * HERMITE_NODES)
    for name in ("mu", "sigma"):
        assert HERMITE_WEIGHTS @ [g[name] for g in pathwise] == pytest.approx(exact[name], abs=1e-11)
        assert HERMITE_WEIGHTS @ (f * [s[name] for s in score]) == pytest.approx(exact[name], abs=1e-11)


@pytest.mark.parametrize(("mu", "sigma"), [(12.0, 42.0), (3.0, 0.5)])
def test_variances_of_the_estimators_of_the_square(run: Run, mu: float, sigma: float) -> None:
    z = mu + sigma * HERMITE_NODES
    samples = {"pathwise": 2 * z, "score": z**2 * HERMITE_NODES / sigma}
    found = run(f"squareVariance({mu}, {sigma})")
    for kind, g in samples.items():
        assert HERMITE_WEIGHTS @ g == pytest.approx(2 * mu, rel=1e-10)
        assert found[kind] == pytest.approx(HERMITE_WEIGHTS @ (g - 2 * mu) ** 2, rel=1e-10)


def test_running_means(run: Run) -> None:
    eps = np.random.RandomState(5).standard_normal(1000)
    counts = [1, 2, 10, 333, 1000]
    found = run(f"squareRunningMeans({eps.tolist()}, 12, 42, {counts})")
    z = 12 + 42 * eps
    for kind, samples in (("pathwise", 2 * z), ("score", z**2 * eps / 42)):
        np.testing.assert_allclose(found[kind], [samples[:n].mean() for n in counts], rtol=1e-11)


@pytest.mark.parametrize("eps", [0.5, -2.0, 0.0])
def test_the_two_passes_are_those_of_autograd(run: Run, eps: float) -> None:
    mu, sigma = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (12.0, 42.0))
    s = sigma * eps
    z = mu + s
    y = z**2
    gradients = torch.autograd.grad(y, (y, z, mu, s, sigma))
    names = ("dy", "dz", "dmu", "ds", "dsigma")
    expected = {"s": s.item(), "z": z.item(), "y": y.item()}
    assert run(f"passes(12, 42, {eps})") == expected | {n: g.item() for n, g in zip(names, gradients, strict=True)}


@pytest.mark.parametrize("tau", [3.0, 0.5, 0.05, 1e-4])
def test_relaxed_draws_and_their_gradient_are_those_of_autograd(run: Run, tau: float) -> None:
    noise = np.random.RandomState(2).gumbel(size=(50, 3))
    for g in torch.from_numpy(noise):
        theta = torch.tensor(PI, dtype=torch.float64).log().requires_grad_()
        y = torch.softmax((theta + g) / tau, -1)
        found = run(f"softmax({(theta + g).tolist()}, {tau})")
        np.testing.assert_allclose(found, y.detach(), rtol=1e-9, atol=1e-300)
        (gradient,) = torch.autograd.grad((y @ torch.tensor(C, dtype=torch.float64)) ** 2, theta)
        for k in range(3):
            expected = pytest.approx(gradient[k].item(), rel=1e-7, abs=1e-12)
            assert run(f"relaxedGradient({found}, {C}, {tau}, {k})") == expected


def test_the_truth_for_three_classes(run: Run) -> None:
    theta = torch.tensor(PI, dtype=torch.float64).log().requires_grad_()
    (gradient,) = torch.autograd.grad(theta.softmax(-1) @ torch.tensor(C, dtype=torch.float64) ** 2, theta)
    for k in range(3):
        assert run(f"categoricalGradient({PI}, {C}, {k})") == pytest.approx(gradient[k].item(), rel=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7, 48])
def test_gauss_legendre_nodes_are_those_of_numpy(run: Run, count: int) -> None:
    found = run(f"gaussLegendre({count})")
    nodes, weights = np.polynomial.legendre.leggauss(count)
    np.testing.assert_allclose(found["nodes"][::-1], nodes, atol=1e-14)
    np.testing.assert_allclose(found["weights"][::-1], weights, atol=1e-14)


def moments_of_relaxed_gradient(tau: float, k: int) -> tuple[float, float]:
    """Mean and variance, by adaptive quadrature over the shares of two independent exponentials, without discrete.js.

    With g_i = -log E_i the scores depend on E_1, E_2, E_3, and their differences on the point of the simplex
    E / (E_1 + E_2 + E_3), which is uniform there: two integrals over ]0, 1[, of density 2 on the triangle.
    """

    def gradient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        clocks = np.stack([a, b, 1 - a - b])
        scores = (np.log(PI)[:, None] - np.log(clocks)) / tau
        powers = np.exp(scores - scores.max(0))
        y = powers / powers.sum(0)
        value = np.asarray(C) @ y
        return 2 / tau * value * y[k] * (C[k] - value)

    def inner(power: int) -> Callable[[float], float]:
        nodes, weights = np.polynomial.legendre.leggauss(60)

        def integral(a: float) -> float:
            pieces = np.unique(np.concatenate([[0, 1], 0.5 ** np.arange(1, 25), 1 - 0.5 ** np.arange(1, 25)]))
            low, high = pieces[:-1, None], pieces[1:, None]
            share = (low + (high - low) * (nodes + 1) / 2).ravel()
            weight = ((high - low) / 2 * weights).ravel() * (1 - a)
            return 2 * weight @ gradient(np.full_like(share, a), share * (1 - a)) ** power

        return integral

    first, second = (integrate.quad(inner(power), 0, 1, epsabs=1e-10, limit=400)[0] for power in (1, 2))
    return first, second - first**2


@pytest.mark.parametrize("tau", [0.05, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 2])
def test_moments_of_the_relaxed_gradient(run: Run, tau: float, k: int) -> None:
    found = run(f"relaxedMoments({PI}, {C}, {tau}, {k})")
    mean, variance = moments_of_relaxed_gradient(tau, k)
    assert found["mean"] == pytest.approx(mean, abs=2e-5)
    assert found["variance"] == pytest.approx(variance, rel=2e-5)


def test_the_relaxed_gradient_of_helpers_converges_to_them(run: Run) -> None:
    sampler = partial(reparametrize.gumbel_softmax, temperature=0.5)
    theta = torch.tensor(PI, dtype=torch.float64).log()
    estimator = Pathwise(lambda theta, generator=None: sampler(theta.softmax(-1), generator=generator))
    c = torch.tensor(C, dtype=torch.float64)
    found = estimate_gradient(lambda y: (y @ c) ** 2, estimator, {"theta": theta}, 200_000, seed=0)["theta"]
    for k in range(3):
        expected = run(f"relaxedMoments({PI}, {C}, 0.5, {k})")
        off = found.mean[k].item() - expected["mean"]
        assert abs(off) < 5 * (expected["variance"] / found.n) ** 0.5
        assert found.variance[k].item() == pytest.approx(expected["variance"], rel=0.03)


def test_a_baseline_changes_the_variance_by_a_parabola(run: Run) -> None:
    mu, sigma = 12.0, 42.0
    best = run(f"bestBaseline({mu}, {sigma})")
    score = HERMITE_NODES / sigma
    for b in (-6564.0, 0.0, mu**2 + sigma**2, best, 17436.0):
        g = ((mu + sigma * HERMITE_NODES) ** 2 - b) * score
        assert HERMITE_WEIGHTS @ g == pytest.approx(2 * mu, rel=1e-9)
        expected = HERMITE_WEIGHTS @ (g - 2 * mu) ** 2
        assert run(f"baselineVariance({mu}, {sigma}, {b})") == pytest.approx(expected, rel=1e-9)
    f = (mu + sigma * HERMITE_NODES) ** 2
    assert best == pytest.approx(HERMITE_WEIGHTS @ (f * score**2) / (HERMITE_WEIGHTS @ score**2), rel=1e-10)
    assert run(f"baselineVariance({mu}, {sigma}, 0)") == pytest.approx(run(f"squareVariance({mu}, {sigma}).score"))


def test_moments_of_the_exponential_on_the_square(run: Run) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(20)
    values = np.exp(np.add.outer((nodes + 1) / 2, (nodes + 1) / 2))
    over = np.multiply.outer(weights, weights) / 4
    mean = (over * values).sum()
    deviation = (over * (values - mean) ** 2).sum() ** 0.5
    found = run("exponentialMoments()")
    assert [found["mean"], found["deviation"]] == pytest.approx([mean, deviation], rel=1e-12)


@pytest.mark.parametrize("sigma", [10.0, 42.0])
def test_pairs_have_the_derivative_as_their_mean(run: Run, sigma: float) -> None:
    """Over w with the density w exp(-w^2 / 2), for a square and for a jump."""

    def term(f: Callable[[float], float], w: float) -> float:
        pair = run(f"meanPair(12, {sigma}, {w!r})")
        return pair["factor"] * (f(pair["plus"]) - f(pair["minus"]))

    square, _ = integrate.quad(lambda w: term(lambda z: z**2, w) * w * math.exp(-(w**2) / 2), 0, 10)
    assert square == pytest.approx(24, rel=1e-8)
    beyond = (50 - 12) / sigma  # the w from which z plus exceeds 50
    assert term(lambda z: z > 50, beyond - 1e-9) == 0
    jump = term(lambda z: z > 50, beyond + 1e-9) * math.exp(-(beyond**2) / 2)
    assert jump == pytest.approx(stats.norm(12, sigma).pdf(50))


def test_a_race_is_won_by_the_largest_score(run: Run) -> None:
    rates = np.array([0.1, 0.2, 0.3, 0.4])
    noise = np.random.RandomState(4).gumbel(size=(4000, 4))
    found = run(f"{noise.tolist()}.map((noise) => race({rates.tolist()}, noise))")
    np.testing.assert_allclose([one["times"] for one in found], np.exp(-noise) / rates, rtol=1e-12)
    winners = np.array([one["winner"] for one in found])
    assert np.all(winners == (np.log(rates) + noise).argmax(1))
    # chi-squared with three degrees of freedom: a false alarm in one of 100,000 seeds
    assert stats.chisquare(np.bincount(winners), 4000 * rates).pvalue > 1e-5


@pytest.mark.parametrize("a", [-4.0, -1.0, 0.0, 1.0, 2.5])
def test_straight_through_of_a_bent_function(run: Run, a: float) -> None:
    assert [run(f"bent({y}, {a})") for y in (0, 1)] == [0, 1]
    y = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    values = y + a * (y**2 - y)
    (slopes,) = torch.autograd.grad(values.sum(), y)
    assert [run(f"bent({x}, {a})") for x in y.tolist()] == pytest.approx(values.tolist())
    assert [run(f"bentSlope({x}, {a})") for x in y.tolist()] == pytest.approx(slopes.tolist())
    for p in (0.0, 0.25, 0.5, 1.0):
        expected = p * slopes[2].item() + (1 - p) * slopes[0].item()
        assert run(f"straightThroughLimit({p}, {a})") == pytest.approx(expected)
        assert expected == pytest.approx(1 + a * (2 * p - 1)), "as the chapter says"


@pytest.fixture(scope="module")
def exported() -> dict[str, torch.Tensor]:
    """The arrays of latent-weights.js, as real numbers."""
    source = (EXPLORE / "latent-weights.js").read_text(encoding="utf-8")
    found = re.findall(r"^export const (\w+) = (\[[-\d,]+\]);$", source, flags=re.M)
    return {name: torch.tensor(json.loads(numbers), dtype=torch.float64) / 100 for name, numbers in found}


def test_the_decoder_is_that_of_torch(run: Run, exported: dict[str, torch.Tensor]) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64)).double()
    names = ("HIDDEN_WEIGHTS", "HIDDEN_BIAS", "PIXEL_WEIGHTS", "PIXEL_BIAS")
    torch.nn.utils.vector_to_parameters(torch.cat([exported[name] for name in names]), layers.parameters())
    hidden, pixels = (
        json.dumps({"weights": exported[f"{part}_WEIGHTS"].tolist(), "bias": exported[f"{part}_BIAS"].tolist()})
        for part in ("HIDDEN", "PIXEL")
    )
    for z in ([0.0, 0.0], [1.5, -0.75], [-2.5, 2.5]):
        found = run(f"decode({{hidden: {hidden}, pixels: {pixels}}}, {z})")
        np.testing.assert_allclose(found, layers(torch.tensor(z, dtype=torch.float64)).sigmoid().detach(), rtol=1e-9)


def test_the_exported_codes_decode_to_the_held_out_digits(exported: dict[str, torch.Tensor]) -> None:
    """At its code, each digit is far more likely than under the best model with independent pixels."""
    digits = load_digits()
    is_held_out = np.arange(len(digits.data)) % 6 == 0
    images = torch.tensor(digits.data >= 8, dtype=torch.float64)
    held_out, training = images[is_held_out], images[~is_held_out]
    assert (exported["LABELS"] * 100).round().tolist() == digits.target[is_held_out].tolist()
    units = torch.tanh(
        exported["CODES"].view(-1, 2) @ exported["HIDDEN_WEIGHTS"].view(64, 2).T + exported["HIDDEN_BIAS"]
    )
    logits = units @ exported["PIXEL_WEIGHTS"].view(64, 64).T + exported["PIXEL_BIAS"]

    def log_likelihood(logits: torch.Tensor) -> float:
        return (held_out * logits - torch.nn.functional.softplus(logits)).sum(-1).mean().item()

    assert log_likelihood(logits) > log_likelihood(training.mean(0).clamp(1e-3, 1 - 1e-3).logit()) + 5


# Files and markup -----------------------------------------------------------------------------------------------------


def test_what_a_page_loads_is_light() -> None:
    """The script of the pages of render/, as a server sends it; it comes when the page has been drawn."""
    assert len(gzip.compress(bundle().encode())) < 50_000
    assert len(gzip.compress((EXPLORE / "explore.css").read_bytes())) < 5_000


def test_a_figure_is_short_enough_to_be_read() -> None:
    for path in EXPLORE.glob("*.js"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 220, path.name


def test_the_vendored_part_of_d3_has_its_licences() -> None:
    licence = (EXPLORE / "vendor" / "d3.LICENSE").read_text(encoding="utf-8")
    script = (ROOT / "tools" / "vendor.py").read_text(encoding="utf-8")
    packages = set(re.findall(r'^    "(d3-\w+)": \[', script, flags=re.M))
    assert packages
    for name in packages:
        version = re.search(rf'^    "{name}": "([\d.]+)"', script, flags=re.M)
        assert version
        assert f"{name} {version[1]}\n\nCopyright" in licence


def test_no_colour_is_written_here() -> None:
    """Colours come from book.css; here stand only their names."""
    for path in EXPLORE.glob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"#[0-9a-f]{3,8}\b(?! *\{)|rgba?\(|hsla?\(", text), path.name
    tokens = set(re.findall(r"var\((--book-[\w-]+)\)", (EXPLORE / "explore.css").read_text(encoding="utf-8")))
    declared = set(re.findall(r"(--book-[\w-]+):", (ROOT / "assets" / "book.css").read_text(encoding="utf-8")))
    assert tokens
    assert tokens <= declared


def test_each_figure_is_on_one_page_after_a_question() -> None:
    texts = [("index.qmd", (ROOT / "index.qmd").read_text(encoding="utf-8"))]
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += [(path.name, "".join(cell["source"])) for cell in cells]
    found = {}
    for name, text in texts:
        for match in re.finditer(r'^::: \{\.explorable data-explore="([\w-]+)"\}$', text, flags=re.M):
            assert match[1] not in found
            found[match[1]] = name
            assert "?" in text[: match.start()].split("\n\n")[-2], f"{match[1]}: no question before it"
    assert sorted(found) == FIGURES
    assert sorted(found) == explorables()


def test_quarto_loads_what_the_figures_need() -> None:
    config = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    html = config["format"]["html"]
    assert "assets/explore/explore.css" in html["css"]
    assert "/assets/explore" in config["project"]["resources"]
    assert "explore/start.js" in html["include-after-body"][0]["text"]


def test_pandoc_writes_the_element_that_the_script_looks_for() -> None:
    html = pypandoc.convert_text('::: {.explorable data-explore="passes"}\n**Text.**\n:::\n', "html", format="markdown")
    (element,) = BeautifulSoup(html, "html5lib").select("div.explorable[data-explore]")
    assert element["data-explore"] == "passes"


@pytest.fixture
def render_page(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Renders a book of two pages, the second with the given text."""

    def rendered(text: str) -> subprocess.CompletedProcess[str]:
        chapters = "[index.qmd, second.qmd]"
        config = f"project: {{type: book}}\nbook: {{title: T, chapters: {chapters}}}\n"
        (tmp_path / "_quarto.yml").write_text(config)
        (tmp_path / "index.qmd").write_text("# First {.unnumbered}\n\nText.\n")
        (tmp_path / "second.qmd").write_text(f"# Second\n\n{text}\n")
        command = [sys.executable, "-m", "render", "--book", str(tmp_path), "--out", str(tmp_path / "out")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    return rendered


def test_only_a_page_with_an_explorable_loads_the_script(render_page: Callable[..., Any], tmp_path: Path) -> None:
    done = render_page('::: {.explorable data-explore="passes"}\n**Bold** words.\n:::')
    assert done.returncode == 0, done.stderr
    pages = {
        name: BeautifulSoup((tmp_path / "out" / name).read_text(encoding="utf-8"), "html5lib")
        for name in ("index.html", "second.html")
    }
    scripts = {name: page.select('script[src*="assets/explore.js"]') for name, page in pages.items()}
    assert scripts["index.html"] == []
    (script,) = scripts["second.html"]
    assert script.has_attr("defer")
    element = pages["second.html"].select_one("div.explorable")
    assert element
    assert element["data-explore"] == "passes"
    assert element.get_text(" ", strip=True) == "Bold words."
    bundle = (tmp_path / "out" / "assets" / "explore.js").read_text(encoding="utf-8")
    assert not re.search(r"^(import|export)\b", bundle, re.MULTILINE), "a page from a file may not load modules"
    names = {path.relative_to(EXPLORE).as_posix() for path in EXPLORE.rglob("*.js")} - {"start.js"}
    assert set(re.findall(r'^modules\["([^"]+)"\] = ', bundle, re.MULTILINE)) == names


TREE = """
::: {.explorable data-explore="chooser"}
**One question at a time.**

- **Is $z$ discrete?**
    - Yes: **Can you accept a bias?**
        - Yes: *Relax* it.
        - No: Sum it.
    - No: Pathwise.
:::
"""


def test_a_list_inside_a_block_stays_a_list(render_page: Callable[..., Any], tmp_path: Path) -> None:
    done = render_page(TREE)
    assert done.returncode == 0, done.stderr
    page = BeautifulSoup((tmp_path / "out" / "second.html").read_text(encoding="utf-8"), "html5lib")
    (question,) = page.select("div.explorable > ul > li")
    answers = [item.get_text(" ", strip=True).split(":")[0] for item in question.select(":scope > ul > li")]
    assert answers == ["Yes", "No"]
    assert len(question.select(":scope > ul > li > ul > li")) == 2


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (".explorable", "an explorable without a name"),
        ('.explorable data-explore="../x"', "an explorable without a name"),
        ('.explorable data-explore="passes" width="3"', "an explorable with the attribute width"),
        ('.explorable data-explore="nothing"', "there is no explorable nothing"),
    ],
)
def test_a_broken_explorable_is_refused(render_page: Callable[..., Any], attributes: str, reason: str) -> None:
    done = render_page(f"::: {{{attributes}}}\nText.\n:::")
    assert done.returncode == 1
    assert done.stderr.startswith("second.qmd")
    assert reason in done.stderr

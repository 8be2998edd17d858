"""helpers.comparison: what it finds of estimators of known bias, variance and cost, and what it does with bad ones."""

import math
import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from nbval_tolerance import disagreements
from torch import Generator, Tensor
from torch import distributions as td

from helpers import SEED, Estimate, compare_estimators, reparametrize
from helpers.comparison import Trial, Trials
from helpers.estimators import Gradients, Pathwise, ScoreFunction, WithParams
from helpers.estimators.binary import REBAR, DisARM
from helpers.estimators.control_variates import LeaveOneOut
from helpers.estimators.measure_valued import MeasureValued
from helpers.implicit import rsample
from tests.support.statistical import square

M, S = 0.5, 1.0
NORMAL = {"loc": M, "scale": S}
EXACT = {"loc": 2 * M, "scale": 2 * S}
PATHWISE = Pathwise(partial(rsample, td.Normal))


def draws(law: str, shift: float = 0.0, **parameters: float) -> Any:
    """An estimator whose samples have a known law, whatever f is; it calls f once a sample."""

    def estimator(f: Any, params: Any, n: int, generator: Generator | None) -> Gradients:
        g = torch.empty(n, dtype=torch.float64)
        getattr(g, law)(**parameters, generator=generator)
        f(g)
        return {"x": g + shift}

    return estimator


def test_variances_agree_with_quadrature() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    one, two = np.meshgrid(nodes, nodes)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    scores = {"loc": lambda e: e / S, "scale": lambda e: (e**2 - 1) / S}
    slopes = {"loc": lambda e: 1, "scale": lambda e: e}
    f = lambda e: np.cos(M + S * e)  # noqa: E731
    mean = (weights * f(one)).sum()
    candidates = {
        "pathwise": PATHWISE,
        "baseline": ScoreFunction(td.Normal, baseline=mean),
        "pair": LeaveOneOut(td.Normal, 2),
    }
    exact = {name: (weights * f(one) * score(one)).sum() for name, score in scores.items()}
    found = compare_estimators(torch.cos, candidates, NORMAL, 400_000, exact=exact, seed=SEED)
    for name, score in scores.items():
        samples = {
            "pathwise": -np.sin(M + S * one) * slopes[name](one),
            "baseline": (f(one) - mean) * score(one),
            "pair": (f(one) - f(two)) * (score(one) - score(two)) / 2,
        }
        for candidate, sample in samples.items():
            variance = (weights * (sample - exact[name]) ** 2).sum()
            trial = found[candidate]
            spread, bias = trial.variance[name], trial.bias[name]
            assert spread.standard_error < 0.02 * variance
            assert abs(spread.mean - variance) < 5 * spread.standard_error
            assert abs(bias.mean) < 5 * bias.standard_error
            torch.testing.assert_close(spread.mean, trial.gradient[name].variance)
            torch.testing.assert_close(bias.standard_error, (spread.mean / 400_000).sqrt())
            assert not trial.heavy


def test_evaluations_are_counted() -> None:
    candidates = {
        "pathwise": PATHWISE,
        "score": ScoreFunction(td.Normal),
        "five": LeaveOneOut(td.Normal, 5),
        "measure-valued": MeasureValued(td.Normal),
    }
    found = compare_estimators(square, candidates, NORMAL, 1000, exact=EXACT)
    evaluations = {name: trial.evaluations for name, trial in found.trials.items()}
    assert evaluations == {"pathwise": 1, "score": 1, "five": 5, "measure-valued": 4}


@pytest.mark.parametrize(
    ("law", "parameters", "mean", "variance"),
    [
        ("normal_", {"mean": 3.0, "std": 2.0}, 3.0, 4.0),
        ("exponential_", {"lambd": 1.0}, 1.0, 1.0),  # kurtosis 9, not the 3 of a normal law
        ("bernoulli_", {"p": 0.3}, 0.3, 0.21),  # 1.76
    ],
)
def test_the_errors_are_honest(law: str, parameters: dict[str, float], mean: float, variance: float) -> None:
    """(found - true) / error has mean 0 and mean square 1 over many runs: of the variance, and of the bias."""
    of_variance, of_bias = [], []
    for seed in range(200 * SEED, 200 * SEED + 200):
        candidates = {"here": draws(law, **parameters), "reference": draws("normal_")}
        trial = compare_estimators(square, candidates, {"x": 1.0}, 10_000, exact="reference", seed=seed)["here"]
        of_variance.append((trial.variance["x"].mean - variance) / trial.variance["x"].standard_error)
        of_bias.append((trial.bias["x"].mean - mean) / trial.bias["x"].standard_error)
    for z in map(torch.stack, (of_variance, of_bias)):
        assert abs(z.mean()) < 5 / math.sqrt(len(z))
        assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / len(z))


def test_heavy_tails_are_marked() -> None:
    candidates = {
        "light": draws("normal_"),
        "heavy": draws("log_normal_", std=2.0),
        "rare": draws("bernoulli_", p=1e-3),
    }
    found = compare_estimators(square, candidates, {"x": 1.0}, 10_000, exact="light", seed=SEED)
    assert [name for name, trial in found.trials.items() if trial.heavy] == ["heavy", "rare"]
    marked = [line.split("  ")[0].strip() for line in str(found).splitlines() if re.search(r"\d +!", line)]
    assert marked == ["heavy", "rare"]
    assert str(found).endswith("may be too small")
    huge = {"huge": draws("normal_", std=1e100)}
    assert compare_estimators(square, huge, {"x": 1.0}, 1000, exact={"x": 0.0})["huge"].heavy == {"x"}


def test_a_bias_is_found_with_its_error() -> None:
    n = 200_000
    found = compare_estimators(
        square, {"off": draws("normal_", 0.03), "fair": draws("normal_")}, {"x": 1.0}, n, exact={"x": 0.0}
    )
    bias, fair = found["off"].bias["x"], found["fair"].bias["x"]
    assert bias.mean / bias.standard_error > 8
    assert abs(bias.mean - 0.03) < 5 * bias.standard_error
    assert abs(fair.mean) < 5 * fair.standard_error
    against = compare_estimators(
        square, {"off": draws("normal_", 0.03), "fair": draws("normal_")}, {"x": 1.0}, n, exact="fair"
    )
    assert "x" not in against["fair"].bias
    assert abs(against["off"].bias["x"].mean - 0.03) < 5 * against["off"].bias["x"].standard_error
    assert against["off"].bias["x"].standard_error == pytest.approx(math.sqrt(2 / n), rel=0.02)


def test_a_vector_has_a_row_for_each_number_and_one_for_the_sum() -> None:
    logits = torch.tensor([0.5, -1.0], dtype=torch.float64)
    f = lambda b: (b.double() @ torch.tensor([1.0, 3.0], dtype=torch.float64) - 1) ** 2  # noqa: E731
    p = torch.sigmoid(logits)
    exact = (
        p
        * (1 - p)
        * (torch.tensor([1.0, 9.0]) + 2 * torch.tensor([1.0, 3.0]) * (torch.tensor([3.0, 1.0]) * p.flip(0) - 1))
    )
    candidates = {"DisARM": DisARM(), "REBAR": REBAR(0.5), "pair": LeaveOneOut(td.Bernoulli, 2)}
    found = compare_estimators(f, candidates, {"logits": logits}, 400_000, exact={"logits": exact}, seed=SEED)
    for trial in found.trials.values():
        assert list(trial.variance) == ["logits[0]", "logits[1]", "logits, sum"]
        assert list(trial.bias) == ["logits[0]", "logits[1]"]
        parts = [trial.variance[f"logits[{i}]"].mean for i in range(2)]
        torch.testing.assert_close(trial.variance["logits, sum"].mean, sum(parts))
        for i in range(2):
            bias = trial.bias[f"logits[{i}]"]
            assert bias.standard_error < 0.01 * exact.abs().max()
            assert abs(bias.mean) < 5 * bias.standard_error
    assert {name: trial.evaluations for name, trial in found.trials.items()} == {"DisARM": 2, "REBAR": 2, "pair": 2}
    assert [line for line in str(found).splitlines() if line.startswith("logits")] == [
        f"logits[0]: exact {exact[0]:.7g}",
        f"logits[1]: exact {exact[1]:.7g}",
        "logits, sum: the whole vector",
    ]


def test_a_vector_beside_a_reference() -> None:
    params = {"loc": torch.zeros(2), "scale": 1.0}
    total = lambda z: (z**2).sum(1)  # noqa: E731
    found = compare_estimators(
        total, {"pathwise": PATHWISE, "pair": LeaveOneOut(td.Normal)}, params, 1000, exact="pair"
    )
    titles = [line for line in str(found).splitlines() if line.startswith(("loc", "scale"))]
    assert titles == [f"{name}: bias against pair" for name in ("loc[0]", "loc[1]")] + [
        "loc, sum: the whole vector",
        "scale: bias against pair",
    ]


def test_the_error_of_a_sum_counts_what_its_terms_share() -> None:
    def twice(f: Any, params: Any, n: int, generator: Generator | None) -> Gradients:
        g = torch.randn(n, 1, dtype=torch.float64, generator=generator)
        return {"x": g.expand(n, 2)}

    spread = compare_estimators(square, {"twice": twice}, {"x": torch.ones(2)}, 10_000, exact={"x": 0.0})[
        "twice"
    ].variance
    torch.testing.assert_close(spread["x, sum"].standard_error, 2 * spread["x[0]"].standard_error)


def test_each_candidate_has_draws_of_its_own_and_the_seed_decides_them() -> None:
    one, two = (
        compare_estimators(square, {"a": PATHWISE, "b": PATHWISE}, NORMAL, 1000, exact=EXACT, seed=SEED)
        for _ in range(2)
    )
    for name in "ab":
        assert one[name].gradient["loc"].mean == two[name].gradient["loc"].mean
        assert one[name].variance["scale"].mean == two[name].variance["scale"].mean
    assert one["a"].gradient["loc"].mean != one["b"].gradient["loc"].mean
    other = compare_estimators(square, {"a": PATHWISE}, NORMAL, 1000, exact=EXACT, seed=SEED + 1)
    assert other["a"].gradient["loc"].mean != one["a"].gradient["loc"].mean
    assert not disagreements(str(one), str(two))


def test_time_is_that_of_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(np.cumsum([x for duration in range(1, 11) for x in (9, duration)]))
    monkeypatch.setattr("helpers.comparison.time.perf_counter", lambda: float(next(ticks)))
    trial = compare_estimators(square, {"x": draws("normal_")}, {"x": 1.0}, 1000, exact={"x": 0.0})["x"]
    assert trial.seconds == pytest.approx(0.055)  # the mean of the two in the middle
    assert trial.seconds_error == pytest.approx(1.86 * 0.025 / 10**0.5)


def test_a_row_multiplies_variance_and_time_and_marks_heavy_tails() -> None:
    variance = Estimate(torch.tensor(6.0), torch.tensor(900.0), 100)  # 6 ± 3: an error of 50%
    trial = Trial({}, {}, {"x": variance}, frozenset({"x"}), 2.0, 4e-9, 1e-9)  # 4 ± 1 ns: 25%
    assert trial.row("x") == ["", "6.0 ± 3.0", "!", "2", "≈ 4.00", "≈ 24.0", "≈ 56%"]
    table = str(Trials({"a": trial}, {}, {"x": "exact 1"}))
    assert "6.0 ± 3.0  !  " in table
    assert table.splitlines()[-1].startswith("! a few large samples make up the error of this variance")


def fails(f: Any, params: Any, n: int, generator: Generator | None) -> Gradients:
    raise RuntimeError("no such\n   law " + "a long reason " * 10)


def not_finite(f: Any, params: Any, n: int, generator: Generator | None) -> Gradients:
    return {"loc": torch.full((n,), math.nan), "scale": torch.ones(n)}


def wrong_shape(f: Any, params: Any, n: int, generator: Generator | None) -> Gradients:
    return {"loc": torch.ones(n)}


def test_a_candidate_that_fails_does_not_stop_the_others() -> None:
    candidates = {
        "pathwise": Pathwise(partial(rsample, td.Normal)),
        "other names": Pathwise(reparametrize.normal),
        "fails": fails,
        "nan": not_finite,
        "shape": wrong_shape,
        "complex": lambda f, params, n, generator: {k: torch.ones(n, dtype=torch.complex64) for k in params},
        "score": ScoreFunction(td.Normal),
    }
    step = lambda z: (z > 1).to(z.dtype)  # noqa: E731
    found = compare_estimators(step, candidates, NORMAL, 1000, exact="score")
    assert list(found.trials) == ["score"]
    assert list(found.failed) == ["pathwise", "other names", "fails", "nan", "shape", "complex"]
    assert found.failed["pathwise"].startswith("f(z) carries no graph back to the parameters")
    assert "mu, sigma" in found.failed["other names"]
    assert found.failed["fails"] == "no such law a long reason a long reason a long reason a long …"
    assert found.failed["nan"] == "gradients must be finite, got NaN or infinity"
    assert found.failed["shape"].startswith("the result of estimator must have the names ['loc', 'scale'], ")
    assert found.failed["complex"].startswith("the gradients of 'loc' must be real floating-point numbers")
    assert str(found).count("failed:") == 2 * 6


def test_what_cannot_be_built_or_run_is_listed_with_its_reason() -> None:
    candidates = {
        "score": ScoreFunction(td.Bernoulli),
        "no such law": lambda: ScoreFunction(td.Pareto),
        "bad setting": lambda: REBAR(temperature=0.0),
        "built": lambda: LeaveOneOut(td.Bernoulli, 2),
        "other names": DisARM(),
        "key": lambda f, params, n, generator: {"probs": params["p"]},
    }
    found = compare_estimators(square, candidates, {"probs": 0.3}, 1000, exact={"probs": 1.0})
    assert list(found.trials) == ["score", "built"]
    assert found.failed == {
        "no such law": "params must name arguments of Pareto, got 'probs'",
        "bad setting": "temperature must be > 0, got 0",
        "other names": "params must have the names ['logits'], got ['probs']",
        "key": "KeyError: 'p'",
    }


@pytest.mark.parametrize("name", ["probs", "logits"])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_parameters_of_any_shape_and_name(name: str, shape: tuple[int, ...]) -> None:
    p = torch.full(shape, 0.3, dtype=torch.float64)
    params = {name: p if name == "probs" else p.logit()}
    total = lambda b: b.reshape(len(b), -1).sum(1)  # noqa: E731
    candidates = {"score": ScoreFunction(td.Bernoulli), "pair": LeaveOneOut(td.Bernoulli)}
    slope = 1.0 if name == "probs" else 0.21
    found = compare_estimators(total, candidates, params, 20_000, exact={name: torch.full(shape, slope)}, seed=SEED)
    assert not found.failed
    for trial in found.trials.values():
        labels = list(trial.bias)
        assert len(labels) == max(1, p.numel())
        assert labels[-1] == name + (str([i - 1 for i in shape]) if shape else "")
        for bias in trial.bias.values():
            assert abs(bias.mean) < 5 * bias.standard_error


def test_an_objective_of_the_parameters() -> None:
    f = WithParams(lambda z, params: (z - params["loc"]) ** 2 * params["scale"])  # mean scale^3
    candidates = {"pathwise": Pathwise(td.Normal), "score": ScoreFunction(td.Normal), "pair": LeaveOneOut(td.Normal)}
    exact = {"loc": 0.0, "scale": 3 * 0.7**2}
    found = compare_estimators(f, candidates, {"loc": 0.5, "scale": 0.7}, 50_000, exact=exact, seed=SEED)
    assert not found.failed
    for trial in found.trials.values():
        for bias in trial.bias.values():
            assert abs(bias.mean) < 5 * bias.standard_error + 1e-6
    assert found["pathwise"].evaluations == 2  # one of them for the partial derivative


def ceiling(z: Tensor) -> Tensor:
    return torch.ceil(z)


def test_no_variance_is_printed_as_such() -> None:
    found = compare_estimators(ceiling, {"pathwise": PATHWISE}, NORMAL, 1000, exact={"loc": 1.0, "scale": 0.0})
    (row, *_) = [line for line in str(found).splitlines() if line.startswith("pathwise")]
    assert re.fullmatch(r"pathwise +-1 ± 0 +0 ± 0 +1 +≈ [\d,.]+ +0", row)


def test_the_table() -> None:
    candidates = {"pathwise": PATHWISE, "pair": LeaveOneOut(td.Normal)}
    found = compare_estimators(torch.cos, candidates, NORMAL, 20_000, exact="pair", seed=SEED)
    lines = str(found).splitlines()
    assert lines[0] == "loc: bias against pair"
    assert lines[1].split() == ["bias", "variance", "calls", "ns", "var", "×", "ns", "error"]
    number = r"-?[\d.]+ ± [\d.]+"
    assert re.fullmatch(rf"pathwise +{number} +{number} +1 +≈ [\d,.]+ +≈ [\d,.]+ +≈ [\d.]+%", lines[2])
    assert re.fullmatch(rf"pair +{number} +2 +≈ [\d,.]+ +≈ [\d,.]+ +≈ [\d.]+%", lines[3])
    assert lines[4:6] == ["", "scale: bias against pair"]
    assert repr(found) == str(found)


def call(**changes: Any) -> Any:
    given = {"f": square, "candidates": {"pathwise": PATHWISE}, "params": NORMAL, "n": 1000, "exact": EXACT, "seed": 0}
    return compare_estimators(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"f": 3}, TypeError, "f must be a function, got 3"),
        ({"candidates": [PATHWISE]}, TypeError, "candidates must be a mapping of names to estimators"),
        ({"candidates": {}}, ValueError, "candidates must not be empty"),
        ({"candidates": {"a": 3}}, TypeError, r"candidates\['a'\] must be an estimator.*got 3"),
        ({"candidates": {1: PATHWISE}}, TypeError, "the name of a candidate must be a string, got 1"),
        ({"params": {}}, ValueError, "params must not be empty"),
        ({"params": {"loc": "one", "scale": 1.0}}, TypeError, "loc must be a number or a tensor, got 'one'"),
        ({"n": 99}, ValueError, "n must be >= 100, got 99"),
        ({"n": 1e5}, TypeError, "n must be an int, got 100000.0"),
        ({"seed": -1}, ValueError, "seed must be >= 0, got -1"),
        ({"exact": None}, TypeError, "exact must be a mapping.*or the name of a candidate, got None"),
        ({"exact": "score"}, ValueError, r"exact must name one of the candidates \['pathwise'\], got 'score'"),
        ({"exact": {"loc": 1.0}}, ValueError, r"exact must have the names \['loc', 'scale'\], got \['loc'\]"),
        ({"exact": {"loc": "a", "scale": 1.0}}, TypeError, r"exact\['loc'\] must be a number or a tensor, got 'a'"),
        ({"exact": {"loc": math.nan, "scale": 1.0}}, ValueError, r"exact\['loc'\] must be finite"),
        (
            {"exact": {"loc": torch.ones(2), "scale": 1.0}},
            ValueError,
            r"exact\['loc'\] must be a number or of shape \(\)",
        ),
        ({"candidates": {"a": fails}}, ValueError, "one of candidates.*must run.*'a': 'no such law"),
        ({"candidates": {"a": fails, "b": PATHWISE}, "exact": "a"}, ValueError, "exact names, must run.*'a'"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(**changes)

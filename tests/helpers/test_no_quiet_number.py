"""What gave a wrong number and said nothing: each kind, over every estimator."""

import os
import threading
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from helpers import Estimate, estimate_gradient, get_graph
from helpers.drawing import draw
from helpers.estimators import Pathwise, ScoreFunction
from helpers.estimators.binary import REBAR
from helpers.estimators.control_variates import best_baseline
from helpers.estimators.measure_valued import MeasureValued
from helpers.implicit import rsample, truncated_normal
from helpers.threads import one_core
from tests.helpers.test_contract import CASES, control
from tests.support.statistical import agrees, generator, sum_of_squares


def in_place(z: Tensor) -> Tensor:
    z += 1
    return sum_of_squares(z)


@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_f_may_write_into_its_argument(estimator: Any, params: dict[str, Any]) -> None:
    found = estimator(in_place, params, 20, generator())
    expected = estimator(lambda z: sum_of_squares(z + 1), params, 20, generator())
    for name in params:
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float16, torch.float64])
@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_values_of_f_of_any_real_dtype(estimator: Any, params: dict[str, Any], dtype: torch.dtype) -> None:
    if isinstance(estimator, REBAR) or "Pathwise" in repr(estimator):
        return  # needs the derivative of f
    found = estimator(lambda z: (control(z) > 0).to(dtype), params, 20, generator())
    expected = estimator(lambda z: (control(z) > 0).float(), params, 20, generator())
    for name in params:
        torch.testing.assert_close(found[name], expected[name])


def test_the_generator_of_f_stays_its_own() -> None:
    def noisy(z: Tensor) -> Tensor:
        return z + torch.rand(z.shape)

    before, own = torch.get_rng_state(), generator()
    MeasureValued(td.Normal)(noisy, {"loc": 0.5, "scale": 1.0}, 9, own)
    assert not torch.equal(before, torch.get_rng_state())  # f drew from torch's own
    quiet = generator()
    MeasureValued(td.Normal)(torch.ones_like, {"loc": 0.5, "scale": 1.0}, 9, quiet)
    assert torch.equal(own.get_state(), quiet.get_state())


def test_rebar_refuses_a_step() -> None:
    with pytest.raises(ValueError, match="control must be differentiable in z"):
        REBAR(0.5)(lambda b: (b > 0.5).float(), {"logits": 0.3}, 100, generator())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda n: {"x": torch.ones(n // 2)}, r"of shape \(100,\), got \(50,\)"),
        (lambda n: {}, "at least one gradient"),
        (lambda n: {"variance": torch.ones(n // 2)}, r"of shape \(100,\), got \(50,\)"),
        (lambda n: {"x": torch.ones(())}, r"got \(\)"),
        (lambda n: {"x": torch.ones(n, dtype=torch.complex64)}, "real floating gradients of 'x'"),
        (lambda n: {"x": torch.ones(n, dtype=torch.int64)}, "real floating gradients of 'x'"),
        (lambda n: {"x": [1.0] * n}, "got list"),
        (lambda n: [1.0] * n, "must be a mapping"),
    ],
)
def test_the_engine_checks_what_an_estimator_returns(returned: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        estimate_gradient(torch.square, lambda f, params, n, generator: returned(n), {"x": 1.0}, 100)


def test_the_beta_law_of_small_concentrations() -> None:
    params = {"concentration1": 1e-2, "concentration0": 1e-2}
    found = Pathwise(partial(rsample, td.Beta))(lambda z: z, params, 1_000_000, generator())
    agrees(found["concentration1"], 25.0, fault=0.2)  # d/da a / (a + b)


def test_a_truncation_without_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="high - low"):
        truncated_normal(0.0, 1e17, -1.0, 1.0)


def test_the_best_baseline_of_an_element_without_score_is_zero() -> None:
    params = {"loc": torch.zeros(2), "scale_tril": torch.eye(2)}
    found = best_baseline(td.MultivariateNormal, sum_of_squares, params, 1000, generator())
    assert found["scale_tril"].isfinite().all()
    assert found["scale_tril"][0, 1] == 0


def test_concurrent_calls_leave_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, joined, left = (threading.Event() for _ in range(3))
    seen: list[int] = []

    def late() -> None:
        inside.wait()
        with one_core():
            joined.set()
            left.wait()

    thread = threading.Thread(target=late)
    thread.start()
    with one_core():
        inside.set()
        joined.wait()
    left.set()
    thread.join()
    fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    torch.set_num_threads(before)
    assert seen == [2]


def test_drawings_made_at_once_leave_the_standard_error() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    dot, before = get_graph(x.exp()).dot(), os.fstat(2)
    threads = [threading.Thread(target=draw, args=(dot, "")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.path.samestat(before, os.fstat(2))


def test_a_leaf_without_values_to_print_is_shown_by_its_shape() -> None:
    meta = torch.ones(2, 3, device="meta", requires_grad=True)
    assert "leaf (2, 3), value = (meta)" in str(get_graph(meta.sum()))
    weights = torch.nn.Embedding(4, 2, sparse=True).weight
    torch.nn.functional.embedding(torch.tensor([1]), weights, sparse=True).sum().backward()
    assert "grad = (sparse)" in str(get_graph(weights.sum()))


def test_an_estimate_in_a_format_string_and_minus_another() -> None:
    estimate = Estimate(torch.tensor(1.0), torch.tensor(1.0), 4)
    assert f"{estimate:>20}" == str(estimate).rjust(20)
    with pytest.raises(TypeError, match="value must be a known number or tensor, got an Estimate"):
        estimate - estimate


def test_the_score_function_keeps_its_mean_when_f_writes() -> None:
    found = ScoreFunction(td.Normal)(in_place, {"loc": 0.5, "scale": 1.0}, 1_000_000, generator())
    agrees(found["loc"], 3.0)
    agrees(found["scale"], 2.0, fault=0.15)

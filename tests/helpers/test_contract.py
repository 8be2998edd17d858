"""What every estimator of helpers keeps: names, shapes, dtype, its generator, one clear error for a bad call."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from helpers import estimate_gradient, reparametrize
from helpers.estimators import Pathwise, ScoreFunction
from helpers.estimators.better_samples import Antithetic, QuasiMonteCarlo
from helpers.estimators.binary import ARM, REBAR, RELAX, DisARM, bernoulli_reinmax
from helpers.estimators.bounds import STL, VIMCO, DReG, ImportanceWeighted
from helpers.estimators.categorical import (
    AntitheticPair,
    LocalExpectation,
    Subset,
    WithoutReplacement,
    categorical_reinmax,
    categorical_straight_through,
    gumbel_rao,
    relaxed_top_k,
)
from helpers.estimators.control_variates import ControlVariate, LeaveOneOut
from helpers.estimators.measure_valued import MeasureValued
from helpers.implicit import normal_mixture, rsample, truncated_normal, von_mises
from tests.support.statistical import generator


def total(z: Tensor) -> Tensor:
    return z.reshape(len(z), -1).sum(1)


def expected_total(loc: Tensor, scale: Tensor) -> Tensor:
    return torch.broadcast_tensors(loc, scale)[0].sum()


def weighted(z: Tensor) -> Tensor:
    """Squares with weights of their own: the plain sum is the same for every one-hot vector."""
    squares = (z**2).reshape(len(z), -1)
    return squares @ torch.arange(1, squares.shape[1] + 1, dtype=z.dtype, device=z.device)


def control(z: Tensor) -> Tensor:
    return torch.sin(weighted(z))


LOC_SCALE = [
    {"loc": 0.5, "scale": 2.0},
    {"loc": torch.tensor([0.5, -1.0, 2.0]), "scale": 2.0},
    {"loc": torch.tensor([[0.5], [1.0]]), "scale": torch.tensor([0.3, 0.4, 0.5])},
]
MU_SIGMA = [{"mu": params["loc"], "sigma": params["scale"]} for params in LOC_SCALE]
CLASSES = [{"logits": torch.tensor([[0.3, -1.0, 0.5], [1.0, 0.0, 0.2]])}, {"logits": torch.tensor([0.3, -1.0, 0.5])}]
LOGITS = [{"logits": 0.3}, {"logits": torch.tensor([0.3, -1.0])}, {"logits": torch.tensor([[0.3, -1.0]])}]
ESTIMATORS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "LeaveOneOut": (LeaveOneOut(td.Normal, 3), LOC_SCALE),
    "ControlVariate": (ControlVariate(ScoreFunction(td.Normal), total, expected_total), LOC_SCALE),
    "MeasureValued": (MeasureValued(td.Normal), LOC_SCALE),
    "Antithetic": (Antithetic(Pathwise(reparametrize.normal)), MU_SIGMA),
    "QuasiMonteCarlo": (QuasiMonteCarlo(ScoreFunction(td.Normal), 4), LOC_SCALE),
    "ARM": (ARM(), LOGITS),
    "DisARM": (DisARM(), LOGITS),
    "REBAR": (REBAR(0.5), LOGITS),
    "RELAX": (RELAX(control), LOGITS),
    "ImportanceWeighted": (ImportanceWeighted(td.Normal, 3), LOC_SCALE),
    "STL": (STL(td.Normal), LOC_SCALE),
    "DReG": (DReG(td.Normal, 3), LOC_SCALE),
    "VIMCO": (VIMCO(td.Bernoulli, 3), LOGITS),
    "ReinMax": (Pathwise(bernoulli_reinmax), LOGITS),
    "LocalExpectation": (LocalExpectation(), CLASSES),
    "WithoutReplacement": (WithoutReplacement(2), CLASSES[1:]),
    "AntitheticPair": (AntitheticPair(), CLASSES),
    "straight-through": (Pathwise(categorical_straight_through), CLASSES),
    "ReinMax for classes": (Pathwise(categorical_reinmax), CLASSES),
    "gumbel_rao": (Pathwise(partial(gumbel_rao, temperature=0.5, k=3)), CLASSES),
    "relaxed_top_k": (Pathwise(partial(relaxed_top_k, temperature=0.5, k=2)), CLASSES),
    "Subset": (ScoreFunction(partial(Subset, k=2)), CLASSES),
    "truncated normal": (Pathwise(partial(truncated_normal, low=-1.0, high=3.0)), MU_SIGMA),
    "von Mises": (
        Pathwise(von_mises),
        [{"loc": params["loc"], "concentration": params["scale"]} for params in LOC_SCALE],
    ),
    "mixture": (
        Pathwise(normal_mixture),
        [
            {"weights": torch.tensor([0.4, 0.6]), "mu": torch.tensor([[0.0, 1.0], [2.0, 5.0]]), "sigma": 1.0},
            {"weights": torch.tensor([0.4, 0.6]), "mu": torch.tensor([0.0, 1.0]), "sigma": torch.tensor([1.0, 0.3])},
        ],
    ),
    "Gamma": (
        Pathwise(partial(rsample, td.Gamma)),
        [{"concentration": 2.0, "rate": 1.0}, {"concentration": torch.tensor([2.0, 0.5]), "rate": 1.0}],
    ),
}
CASES = [
    pytest.param(estimator, params, id=f"{name}-{i}")
    for name, (estimator, several) in ESTIMATORS.items()
    for i, params in enumerate(several)
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("estimator", "params"), CASES)
def test_names_shapes_and_dtype(estimator: Any, params: dict[str, Any], dtype: torch.dtype) -> None:
    params = {name: torch.as_tensor(value, dtype=dtype).clone().requires_grad_() for name, value in params.items()}
    given = copy.deepcopy(params)
    before = torch.get_rng_state()
    gradients = estimator(weighted, params, 7, generator())
    assert torch.equal(before, torch.get_rng_state())
    assert list(gradients) == list(params)
    for name, gradient in gradients.items():
        assert gradient.shape == (7, *params[name].shape)
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()
        assert not gradient.requires_grad
        assert params[name].grad is None
        assert torch.equal(params[name], given[name])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_seed_gives_the_same_numbers(name: str) -> None:
    estimator, (params, *_) = ESTIMATORS[name]
    first, again, other = (estimator(control, params, 50, generator(i)) for i in (0, 0, 1))
    for parameter in params:
        assert torch.equal(first[parameter], again[parameter])
        assert not torch.equal(first[parameter], other[parameter])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_loop_takes_it_with_any_number_of_threads(name: str) -> None:
    estimator, (params, *_) = ESTIMATORS[name]
    call = partial(estimate_gradient, weighted, estimator, params, 600, chunk_size=100)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(4) as four:
        serial, threaded = call(executor=one), call(executor=four)
    for parameter in params:
        assert torch.equal(serial[parameter].mean, threaded[parameter].mean)
        assert torch.equal(serial[parameter].variance, threaded[parameter].variance)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_can_be_sent_to_another_process(name: str) -> None:
    estimator, (params, *_) = ESTIMATORS[name]
    there = pickle.loads(pickle.dumps(estimator))
    first, again = (e(weighted, params, 5, generator()) for e in (estimator, there))
    assert all(torch.equal(first[parameter], again[parameter]) for parameter in params)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_is_frozen_and_names_what_is_bad_in_a_call(name: str) -> None:
    estimator, (params, *_) = ESTIMATORS[name]
    with pytest.raises((AttributeError, TypeError)):
        estimator.anything = 1
    with pytest.raises(TypeError, match="f must be a function, got 3"):
        estimator(3, params, 5, generator())
    with pytest.raises(TypeError, match="n must be an int"):
        estimator(total, params, 5.5, generator())
    with pytest.raises(TypeError, match="generator must be a torch"):
        estimator(total, params, 5, 0)
    with pytest.raises(ValueError, match="params must not be empty"):
        estimator(total, {}, 5, generator())
    with pytest.raises(ValueError, match="f must return finite numbers"):
        estimator(lambda z: total(z) * float("nan"), params, 5, generator())

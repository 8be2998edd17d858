"""helpers.compiled: the plain estimator's draws, gradients, moments and errors."""

import pickle
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Exponential, Gamma, MultivariateNormal, Normal

from helpers import estimate_gradient, reparametrize
from helpers.compiled import Compiled
from helpers.estimators import DisARM, Estimator, Pathwise, ScoreFunction
from helpers.estimators.base import WithParams
from helpers.implicit import rsample
from tests.support.statistical import generator, square

pytestmark = [
    pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler"),
    pytest.mark.skipif(
        not sys.prefix.isascii() or " " in sys.prefix,
        reason="torch.compile does not quote the path of the environment, which has a space or is not ASCII",
    ),
    pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning"),
]
PATHWISE = Pathwise(reparametrize.normal)
PARAMS = {"mu": 12.0, "sigma": 42.0}
SCORES = torch.tensor([3.0, -2.0, 4.0])


CASES = {
    "normal": (PATHWISE, PARAMS, square),
    "vector": (PATHWISE, {"mu": torch.tensor([1.0, 2.0]), "sigma": torch.tensor(0.5)}, lambda z: z.prod(-1)),
    "score function": (ScoreFunction(Normal, baseline=3.0), {"loc": 12.0, "scale": 42.0}, square),
    "Bernoulli": (ScoreFunction(Bernoulli), {"probs": torch.tensor(0.3, dtype=torch.float64)}, square),
    "exponential": (ScoreFunction(Exponential), {"rate": torch.tensor([2.0, 0.5])}, lambda z: z.sum(1) ** 2),
    "classes": (ScoreFunction(Categorical), {"logits": torch.tensor([0.3, -1.0, 0.5])}, lambda z: 0.4 * z),
    "gamma": (ScoreFunction(Gamma), {"concentration": torch.tensor([0.3, 2.0]), "rate": 1.0}, lambda z: z.sum(1)),
    "multivariate": (
        ScoreFunction(MultivariateNormal),
        {"loc": torch.tensor([1.0, 2.0]), "scale_tril": torch.tensor([[1.0, 0.0], [0.5, 2.0]])},
        lambda z: z.prod(-1),
    ),
    "Gumbel-softmax": (
        Pathwise(partial(reparametrize.gumbel_softmax, temperature=0.5)),
        {"probs": torch.tensor([0.2, 0.5, 0.3])},
        lambda y: y @ SCORES,
    ),
}


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions run as they are, where compiling them takes seconds each time. Other tests do compile."""
    monkeypatch.setattr("helpers.compiled._compiled", lambda function: function)


COMPILED = ("score function", "Gumbel-softmax")  # and the moments of a normal, with the loop below


@pytest.mark.parametrize("case", CASES)
def test_the_draws_and_gradients_of_the_plain_estimator(case: str, request: pytest.FixtureRequest) -> None:
    if case not in COMPILED:
        request.getfixturevalue("interpreted")
    estimator, params, f = CASES[case]
    for n in (1000, 999):
        compiled, plain = (e(f, params, n, generator()) for e in (Compiled(estimator), estimator))
        for name, gradient in plain.items():
            assert compiled[name].dtype == gradient.dtype
            assert not compiled[name].requires_grad
            scale = gradient.abs().max().item()
            torch.testing.assert_close(compiled[name], gradient, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("case", CASES)
def test_the_moments_are_those_of_the_gradients(case: str) -> None:
    estimator, params, f = CASES[case]
    for n in (1000, 1499, 99):
        added_up = Compiled(estimator).moments(f, params, n, generator())
        for name, samples in estimator(f, params, n, generator()).items():
            expected = n, samples.double().mean(0).numpy(), (n - 1) * samples.double().var(0).numpy()
            for found, wanted in zip(added_up[name], expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * samples.abs().max().item())


def far(z: Tensor) -> Tensor:
    return 1e8 * z + z**2 / 2  # of N(0, 1), the squares of its slope would leave no digit of their variance, 1


@pytest.mark.usefixtures("interpreted")
def test_half_precision_is_widened_as_without() -> None:
    params = {"probs": torch.tensor([1e-3, 0.3, 0.699], dtype=torch.bfloat16)}
    plain, f = ScoreFunction(Categorical), lambda z: (z == 0).float()
    compiled, expected = (e(f, params, 2000, generator())["probs"] for e in (Compiled(plain), plain))
    assert compiled.dtype == torch.bfloat16
    torch.testing.assert_close(compiled, expected)
    means = (e.moments(f, params, 2000, generator())["probs"][1] for e in (Compiled(plain), plain))
    np.testing.assert_allclose(*means, rtol=0.02)


def test_the_loop_gives_the_same_for_any_number_of_threads_and_loses_few_digits() -> None:
    params = {"mu": torch.tensor(0.0, dtype=torch.float64), "sigma": torch.tensor(1.0, dtype=torch.float64)}
    run = partial(estimate_gradient, far, params=params, n=10_000, chunk_size=1000)
    first = run(Compiled(PATHWISE))
    with ThreadPoolExecutor(3) as executor:
        for other in (run(Compiled(PATHWISE)), run(Compiled(PATHWISE), executor=executor)):
            for name in params:
                assert other[name].mean.equal(first[name].mean)
                assert other[name].variance.equal(first[name].variance)
    plain = run(PATHWISE)
    for name in params:  # the terms are of size 1e8
        torch.testing.assert_close(first[name].mean, plain[name].mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(first["mu"].variance, plain["mu"].variance, rtol=1e-6, atol=0)


def holes(z: Tensor) -> Tensor:
    return torch.where(z > 100, torch.nan, z)  # of 1,000, about 18: two draws seldom show it


def steep(z: Tensor) -> Tensor:
    return ((z > 100) * z).sqrt()  # finite, but its slope below 100 is 0 times infinity


def flat(z: Tensor) -> Tensor:
    return torch.ones_like(z)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("params", "f"),
    [
        ({"mu": 0.0, "sigma": -1.0}, square),
        ({"mu": 0.0}, square),
        (PARAMS, lambda z: z.sum()),
        (PARAMS, flat),
        (PARAMS, holes),
    ],
    ids=["sigma < 0", "no sigma", "one number", "no graph", "NaN"],
)
def test_the_errors_of_the_plain_estimator(params: dict[str, Any], f: Callable[[Tensor], Tensor]) -> None:
    by_the_loop = partial(estimate_gradient, f, params=params, n=1000)
    for call in (lambda estimator: estimator(f, params, 1000, generator()), by_the_loop):
        said = []
        for estimator in (PATHWISE, Compiled(PATHWISE)):
            with pytest.raises((TypeError, ValueError)) as caught:
                call(estimator=estimator)
            said.append(str(caught.value))
        assert said[0] == said[1]


@pytest.mark.usefixtures("interpreted")
def test_the_errors_of_the_plain_score_function() -> None:
    for estimator in (ScoreFunction(Normal), Compiled(ScoreFunction(Normal))):
        with pytest.raises(ValueError, match="scale must satisfy"):
            estimator(square, {"loc": 0.0, "scale": -1.0}, 10, generator())


@pytest.mark.usefixtures("interpreted")
def test_the_loop_refuses_gradients_that_are_not_finite() -> None:
    refused = r"gradients of 'mu' must be finite, got \d+ of 1000 samples"
    for estimator in (PATHWISE, Compiled(PATHWISE)):
        with pytest.raises(ValueError, match=refused):
            estimate_gradient(steep, estimator, PARAMS, 1000)


def test_a_parameter_that_was_changed_in_place_is_looked_at_again() -> None:
    estimator, _, f = CASES["score function"]
    params = {"loc": torch.tensor(0.0), "scale": torch.tensor(1.0)}
    Compiled(estimator)(f, params, 1000)
    params["scale"].neg_()
    with pytest.raises(ValueError, match=r"scale must satisfy .* got -1"):
        Compiled(estimator)(f, params, 1000)


def branches(z: Tensor) -> Tensor:
    return z if z.max() > 3 else -z


def draws(z: Tensor) -> Tensor:
    return z + torch.rand(len(z))


OWN = torch.Generator()


def draws_from_its_own(z: Tensor) -> Tensor:
    return z + torch.rand(len(z), generator=OWN)


def test_it_says_so_where_torch_compile_is_switched_off() -> None:
    off = torch.compiler.set_stance("force_eager")  # as the environment variable TORCH_COMPILE_DISABLE does
    with off, pytest.raises(RuntimeError, match=r"can't compile Pathwise.* torch.compile is switched off"):
        Compiled(PATHWISE)(square, PARAMS, 10)


@pytest.mark.parametrize("f", [branches, draws, draws_from_its_own])
def test_what_cannot_be_compiled_is_refused(f: Callable[[Tensor], Tensor]) -> None:
    with torch.random.fork_rng(), pytest.raises(RuntimeError, match=r"can't compile .* use "):
        Compiled(PATHWISE)(f, PARAMS, 1000, generator())
    assert PATHWISE(f, PARAMS, 1000, generator())  # as it is, it works


@pytest.mark.parametrize(
    "estimator", [3, DisARM(), Pathwise(partial(rsample, Normal)), ScoreFunction(lambda loc: Normal(loc, 1.0))]
)
def test_the_estimator_must_have_a_noise_apart(estimator: Estimator) -> None:
    with pytest.raises(TypeError, match="estimator must be a Pathwise with a Reparametrization or a ScoreFunction"):
        Compiled(estimator)


def test_an_objective_of_the_parameters_is_refused() -> None:
    with pytest.raises(TypeError, match="f must be a function of z alone"):
        Compiled(PATHWISE)(WithParams(lambda z, params: z * params["mu"]), PARAMS, 1000)


def test_an_older_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, *, fullgraph=False: model)
    with pytest.raises(RuntimeError, match=r"Compiled needs torch 2\.13"):
        Compiled(PATHWISE)


def test_it_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Compiled(PATHWISE))) == Compiled(PATHWISE)


class Unhashable:
    __hash__ = None

    def __call__(self, z: Tensor) -> Tensor:
        return square(z)


@pytest.mark.usefixtures("interpreted")
def test_f_need_not_be_hashable() -> None:
    compiled, plain = (e(Unhashable(), PARAMS, 1000, generator()) for e in (Compiled(PATHWISE), PATHWISE))
    torch.testing.assert_close(compiled, plain)


def test_code_that_a_reader_compiles_still_checks() -> None:
    of_a_reader = torch.compile(lambda sigma: reparametrize.normal(0.0, sigma, sample_shape=(3,)), backend="eager")
    assert of_a_reader(torch.tensor(1.0)).shape == (3,)
    with pytest.raises(ValueError, match="sigma must be > 0, got -1"):
        of_a_reader(torch.tensor(-1.0))

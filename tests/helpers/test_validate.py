"""Bad arguments: every public function answers each with one ValueError or TypeError that names it and its value."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch import distributions as td

from helpers import BernoulliSTE, Estimate, estimate_gradient, implicit, reparametrize, validate
from helpers.estimators import Pathwise, ScoreFunction, binary
from helpers.estimators.better_samples import Antithetic, QuasiMonteCarlo
from helpers.estimators.control_variates import ControlVariate, LeaveOneOut, best_baseline, quadratic
from helpers.estimators.measure_valued import MeasureValued
from helpers.estimators.surrogate import dice
from tests.support.statistical import square

Bad = tuple[object, tuple[str, ...]]  # a value, and the texts one of which the message must hold

# strategies of bad values ---------------------------------------------------------------------------------------------


def shown(number: float) -> tuple[str, ...]:
    return (f"{number:.6g}", repr(number), str(number))


@st.composite
def hidden(draw: Callable[..., Any], numbers: st.SearchStrategy[float], good: float) -> Bad:
    """A bad number as it is, as a tensor, or among good ones."""
    bad = draw(numbers)
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    among = [good] * draw(st.integers(0, 3))
    among.insert(draw(st.integers(0, len(among))), bad)
    value = draw(st.sampled_from([bad, torch.tensor(bad, dtype=dtype), torch.tensor(among, dtype=dtype)[:, None]]))
    return value, shown(bad)


NOT_FINITE = st.sampled_from([math.nan, math.inf, -math.inf])
NOT_A_NUMBER: st.SearchStrategy[Bad] = st.one_of(
    st.sampled_from([None, True, "1.0", 1j, [1.0], {}, object, np.ones(2)]).map(lambda v: (v, (repr(v),))),
    st.sampled_from([torch.int64, torch.bool, torch.complex64]).map(lambda d: (torch.ones((), dtype=d), (str(d),))),
    st.sampled_from([(0,), (2, 0), (0, 3)]).map(lambda s: (torch.ones(s), (str(s),))),
)
narrow = partial(st.floats, width=32, allow_nan=False)


def number_but(numbers: st.SearchStrategy[float], good: float) -> st.SearchStrategy[Bad]:
    return st.one_of(hidden(st.one_of(numbers, NOT_FINITE), good), NOT_A_NUMBER)


def count_but(minimum: int) -> st.SearchStrategy[Bad]:
    too_small = st.integers(max_value=minimum - 1)
    no_int = st.one_of(st.floats(), st.sampled_from([None, True, "3", 2.0, [3], torch.tensor(3.0), 1j]))
    return st.one_of(too_small, no_int).map(lambda v: (v, (repr(v), str(v))))


SHAPE = st.one_of(
    st.sampled_from([3, None, "ab", 2.5]).map(lambda v: (v, (repr(v),))),
    st.integers(max_value=-1).map(lambda v: ((2, v), (repr(v),))),
    st.sampled_from([1.5, "2", None, True]).map(lambda v: ((2, v), (repr(v),))),
)
FINITE = number_but(NOT_FINITE, 1.0)
POSITIVE = number_but(narrow(max_value=0), 1.0)
INSIDE = number_but(st.one_of(narrow(max_value=0), narrow(min_value=1)), 0.5)
PROBABILITY = number_but(st.one_of(narrow(max_value=0, exclude_max=True), narrow(min_value=1, exclude_min=True)), 0.5)
CLASSES = st.one_of(
    number_but(NOT_FINITE, 0.5).filter(lambda bad: not isinstance(bad[0], float)),
    st.floats(0.01, 0.98).map(lambda p: (torch.tensor([p, 0.01]), ("sum of",))),
    st.floats(0.01, 1).map(lambda p: (torch.tensor([p, 1 - p + 0.1]), ("sum of 1.1",))),
    st.sampled_from([[0.0, 1.0], [-0.5, 1.5]]).map(lambda p: (torch.tensor(p), shown(p[0]))),
    st.floats(2**-6, 1, width=32).map(lambda p: (p, shown(p))),
)
NOT_CALLABLE = st.sampled_from([3, None, "f", 2.5, torch.ones(2)]).map(lambda v: (v, (repr(v), type(v).__name__)))
NOT_A_FLAG = st.sampled_from([(100,), "no", None, 2]).map(lambda v: (v, (repr(v),)))
NO_TENSOR = st.sampled_from([3, None, "f", [1.0], np.ones(3)]).map(lambda v: (v, (repr(v),)))
GENERATOR = st.sampled_from([3, "seed", 2.5, np.random.default_rng(0)]).map(lambda v: (v, (repr(v), type(v).__name__)))

# public functions, with good arguments and what is bad for each -------------------------------------------------------

HALVES = torch.tensor([0.5, 0.5])
NORMAL = {"mu": 1.0, "sigma": 2.0}
SAMPLING = {"sample_shape": SHAPE, "generator": GENERATOR}
ONE = Estimate(torch.tensor(0.0), torch.tensor(1.0), 5)


def quantile(eps: Tensor, location: Tensor) -> Tensor:
    return location + eps


def total(z: Tensor) -> Tensor:
    return z.reshape(len(z), -1).sum(1) ** 2


def by_name(**params: Any) -> Tensor:
    return Pathwise(reparametrize.normal)(square, params, 4)["mu"]


def engine(**changed: Any) -> object:
    """estimate_gradient, told by keyword what is bad; `mu` and the fields of the estimators stand for themselves."""
    good: dict[str, Any] = {"f": square, "estimator": Pathwise(reparametrize.normal), "params": NORMAL, "n": 4}
    if "sampler" in changed:
        good["estimator"] = Pathwise(changed.pop("sampler"))
    if "distribution" in changed:
        good |= {"estimator": ScoreFunction(changed.pop("distribution")), "params": {"loc": 1.0}}
    if "baseline" in changed:
        good |= {"estimator": ScoreFunction(td.Normal, changed.pop("baseline")), "params": {"loc": 1.0, "scale": 1.0}}
    if "mu" in changed:
        good["params"] = NORMAL | {"mu": changed.pop("mu")}
    return estimate_gradient(**(good | changed))


FUNCTIONS: dict[str, tuple[Callable[..., object], dict[str, Any], dict[str, st.SearchStrategy[Bad]]]] = {
    "normal": (reparametrize.normal, NORMAL, {"mu": FINITE, "sigma": POSITIVE, **SAMPLING}),
    "exponential": (reparametrize.exponential, {"rate": 1.0}, {"rate": POSITIVE, **SAMPLING}),
    "weibull": (
        reparametrize.weibull,
        {"scale": 1.0, "concentration": 1.0},
        {"scale": POSITIVE, "concentration": number_but(narrow(max_value=2**-8), 1.0), **SAMPLING},
    ),
    "inverse_cdf": (
        reparametrize.inverse_cdf,
        {"icdf": quantile, "location": 1.0},
        {"location": FINITE, "icdf": NOT_CALLABLE, **SAMPLING},
    ),
    "gumbel_max": (reparametrize.gumbel_max, {"probs": HALVES}, {"probs": CLASSES, **SAMPLING}),
    "gumbel_softmax": (
        reparametrize.gumbel_softmax,
        {"probs": HALVES, "temperature": 1.0},
        {
            "probs": CLASSES,
            "temperature": POSITIVE,
            "hard": NOT_A_FLAG,  # a misplaced shape, say
            **SAMPLING,
        },
    ),
    "binary_concrete": (
        reparametrize.binary_concrete,
        {"p": 0.5, "temperature": 1.0},
        {"p": INSIDE, "temperature": POSITIVE, **SAMPLING},
    ),
    "bernoulli_straight_through": (
        reparametrize.bernoulli_straight_through,
        {"p": 0.5},
        {"p": PROBABILITY, **SAMPLING},
    ),
    "BernoulliSTE": (BernoulliSTE(), {"p": torch.tensor(0.5)}, {"p": PROBABILITY, "generator": GENERATOR}),
    "Estimate": (partial(Estimate, torch.tensor(0.0), torch.tensor(1.0)), {"n": 2}, {"n": count_but(2)}),
    "Pathwise": (
        partial(Pathwise(reparametrize.normal), square, NORMAL),
        {"n": 4},
        {"n": count_but(1), "generator": GENERATOR},
    ),
    "ScoreFunction": (
        partial(ScoreFunction(td.Normal), square, {"loc": 0.0, "scale": 1.0}),
        {"n": 4},
        {"n": count_but(1), "generator": GENERATOR},
    ),
    "truncated_normal": (
        implicit.truncated_normal,
        {"mu": 0.0, "sigma": 1.0, "low": -1.0, "high": 2.0},
        {"mu": FINITE, "sigma": POSITIVE, "low": FINITE, "high": FINITE, **SAMPLING},
    ),
    "normal_mixture": (
        implicit.normal_mixture,
        {"weights": HALVES, "mu": torch.tensor([0.0, 1.0]), "sigma": 1.0},
        {"weights": CLASSES, "mu": FINITE, "sigma": POSITIVE, **SAMPLING},
    ),
    "von_mises": (
        implicit.von_mises,
        {"loc": 0.0, "concentration": 1.0},
        {"loc": FINITE, "concentration": POSITIVE, **SAMPLING},
    ),
    "rsample": (
        implicit.rsample,
        {"distribution": td.Gamma, "concentration": 1.0, "rate": 1.0},
        {"concentration": FINITE, "rate": FINITE, "distribution": NOT_CALLABLE, **SAMPLING},
    ),
    "implicit": (implicit.implicit, {"z": torch.ones(2), "cdf": torch.tanh}, {"z": FINITE, "cdf": NOT_CALLABLE}),
    "bernoulli_reinmax": (binary.bernoulli_reinmax, {"logits": 0.5}, {"logits": FINITE, **SAMPLING}),
    "REBAR": (binary.REBAR, {"temperature": 0.5}, {"temperature": POSITIVE, "scale": FINITE}),
    "RELAX": (binary.RELAX, {"control": square}, {"control": NOT_CALLABLE, "keep_graph": NOT_A_FLAG}),
    "MeasureValued": (
        MeasureValued,
        {"distribution": td.Normal},
        {"distribution": NOT_CALLABLE, "coupled": NOT_A_FLAG},
    ),
    "Antithetic": (Antithetic, {"estimator": Pathwise(reparametrize.normal)}, {"estimator": NOT_CALLABLE}),
    "QuasiMonteCarlo": (
        QuasiMonteCarlo,
        {"estimator": Pathwise(reparametrize.normal), "m": 4},
        {
            "estimator": NOT_CALLABLE,
            "m": st.one_of(count_but(1), st.sampled_from([3, 6]).map(lambda m: (m, (str(m),)))),
        },
    ),
    "LeaveOneOut": (LeaveOneOut, {"distribution": td.Normal}, {"distribution": NOT_CALLABLE, "k": count_but(2)}),
    "ControlVariate": (
        ControlVariate,
        {"estimator": Pathwise(reparametrize.normal), "h": square, "expectation": square},
        {
            "estimator": NOT_CALLABLE,
            "h": NOT_CALLABLE,
            "expectation": NOT_CALLABLE,
            "coefficient": FINITE.filter(lambda bad: bad[0] is not None),  # None: fitted
        },
    ),
    "best_baseline": (
        best_baseline,
        {"distribution": td.Normal, "f": square, "params": {"loc": 0.0, "scale": 1.0}, "n": 4},
        {"distribution": NOT_CALLABLE, "f": NOT_CALLABLE, "n": count_but(1), "generator": GENERATOR},
    ),
    "quadratic": (quadratic, {"f": total, "point": torch.ones(2)}, {"f": NOT_CALLABLE, "point": FINITE}),
    "dice": (
        dice,
        {"values": torch.ones(3), "log_density": torch.zeros(3)},
        {"values": NO_TENSOR, "log_density": NO_TENSOR},
    ),
    "estimate_gradient": (
        engine,
        {},
        {
            "n": count_but(2),
            "seed": count_but(0),
            "chunk_size": count_but(2).filter(lambda bad: bad[0] is not None),  # None: by the size of the parameters
            "mu": FINITE,
            "f": NOT_CALLABLE,
            "estimator": NOT_CALLABLE,
            "params": st.sampled_from([3, "mu", [1.0], {}]).map(lambda v: (v, (repr(v), "must not be empty"))),
            "executor": st.sampled_from([3, "threads", 2.5]).map(lambda v: (v, (repr(v), type(v).__name__))),
            "sampler": NOT_CALLABLE,
            "distribution": NOT_CALLABLE,
            "baseline": st.sampled_from([math.nan, math.inf, "mean", [1.0]]).map(lambda v: (v, (repr(v),))),
        },
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_good_arguments_are_good(name: str) -> None:
    function, good, _ = FUNCTIONS[name]
    function(**good)


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, (_, _, bad) in FUNCTIONS.items() for argument in bad]
)
def test_a_bad_argument_gives_one_error_that_names_it_and_its_value(name: str, argument: str) -> None:
    function, good, bad = FUNCTIONS[name]

    @settings(max_examples=25, deadline=None, database=None, derandomize=True)
    @given(bad[argument])
    def check(value_and_texts: Bad) -> None:
        value, texts = value_and_texts
        with pytest.raises((ValueError, TypeError)) as caught:
            function(**(good | {argument: value}))
        message = str(caught.value)
        assert re.search(rf"\b{argument}\b", message)
        assert any(text in message for text in texts), f"{message!r} holds none of {texts}"

    check()


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: reparametrize.normal(a, b),
        lambda a, b: reparametrize.weibull(a, b),
        lambda a, b: reparametrize.binary_concrete(a / 2, b),
        lambda a, b: reparametrize.inverse_cdf(lambda eps, a, b: a * b * eps, a, b),
        lambda a, b: Pathwise(reparametrize.normal)(square, {"mu": a, "sigma": b}, 4),
        lambda a, b: ScoreFunction(td.Normal)(square, {"loc": a, "scale": b}, 4),
    ],
)
@given(st.sampled_from([((2,), (3,)), ((2, 3), (2,)), ((4, 1, 2), (3, 2, 3))]))
@settings(max_examples=3, deadline=None, database=None, derandomize=True)
def test_shapes_that_do_not_broadcast(
    call: Callable[..., object], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    with pytest.raises(ValueError, match="broadcast") as caught:
        call(*(torch.ones(shape) for shape in shapes))
    assert all(str(shape) in str(caught.value) for shape in shapes)


@pytest.mark.parametrize("shape", [(3,), (2, 2)])
def test_a_temperature_for_each_class_is_refused(shape: tuple[int, ...]) -> None:
    # it would broadcast, and softmax would mean nothing
    with pytest.raises(ValueError, match="temperature"):
        reparametrize.gumbel_softmax(torch.full((shape[-1],), 1 / shape[-1]), torch.ones(shape))


@pytest.mark.parametrize("given_", [{"nu": 1.0}, {"mu": 1.0}, {"mu": 1.0, "sigma": 1.0, "nu": 1.0}])
def test_params_that_are_not_the_sampler_s_are_named(given_: dict[str, float]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"nu|sigma"):
        by_name(**given_)


# the checks themselves ------------------------------------------------------------------------------------------------


def test_tensors_share_one_dtype_and_shapes_stay() -> None:
    a, b, c = validate.tensors(a=1, b=torch.ones(3), c=torch.ones(2, 1, dtype=torch.float64))
    assert [t.dtype for t in (a, b, c)] == [torch.float64] * 3
    assert [t.shape for t in (a, b, c)] == [(), (3,), (2, 1)]
    (alone,) = validate.tensors(a=2)
    assert alone.dtype == torch.get_default_dtype()
    assert validate.tensors(a=1.0, b=torch.ones(1, dtype=torch.float16))[0].dtype == torch.float16


def test_tensors_keep_their_graph() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    assert validate.tensors(x=x)[0] is x
    assert validate.tensors(x=x, y=torch.ones(1).double())[0].requires_grad


@pytest.mark.parametrize("value", [1, 1.5, np.float32(1.5), np.float64(1.5), np.int64(2), torch.tensor(1.5)])
def test_any_real_number_is_a_parameter(value: Any) -> None:
    assert validate.tensors(x=value)[0].item() == float(value)


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_any_integer_is_a_count(value: Any) -> None:
    assert validate.integer("n", value, 3) == 3
    assert type(validate.integer("n", value, 3)) is int


@pytest.mark.parametrize(("low", "high", "fits"), [(0, 1, True), (0.5, 1, False), (0, 0.5, False), (0.6, 1, False)])
def test_within_is_open_on_both_sides(low: float, high: float, fits: bool) -> None:
    tensor = torch.tensor([0.5, 0.5])
    if fits:
        validate.within("x", tensor, low, high, "right")
    else:
        with pytest.raises(ValueError, match=r"x must be right, got 0\.5"):
            validate.within("x", tensor, low, high, "right")


@pytest.mark.parametrize("sums", [1 + 2e-4, 1 - 2e-4, 0.5])
def test_one_bad_row_of_probabilities_is_found(sums: float) -> None:
    probs = torch.tensor([[0.5, 0.5], [0.25, sums - 0.25], [0.1, 0.9]], dtype=torch.float64)
    with pytest.raises(ValueError, match=f"probs must sum to 1 .* got a sum of {sums:.6g}"):
        validate.distribution("probs", probs)


def test_rounding_in_probabilities_is_allowed() -> None:
    validate.distribution("probs", torch.softmax(torch.randn(5, 1000, generator=torch.Generator().manual_seed(0)), -1))


def test_same_names_ignores_their_order() -> None:
    validate.same_names("exact", {"a": 1, "b": 2}, {"b": 3, "a": 4})
    with pytest.raises(ValueError, match=r"exact must have the names \['a', 'b'\], got \['a'\]"):
        validate.same_names("exact", {"a": 1}, {"b": 3, "a": 4})

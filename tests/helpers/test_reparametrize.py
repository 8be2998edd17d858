"""helpers.reparametrize: each sampler follows its law, differentiates as it should, and never returns NaN or inf."""

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from helpers import BernoulliSTE
from helpers.randomness import standard_gumbel, standard_normal, uniform
from helpers.reparametrize import (
    Reparametrization,
    bernoulli_straight_through,
    binary_concrete,
    exponential,
    gumbel_max,
    gumbel_softmax,
    inverse_cdf,
    normal,
    reparametrization_of,
    weibull,
)
from tests.support.statistical import agrees, generator, has_frequencies, has_law

DTYPES = [torch.float32, torch.float64]
Sampler = Callable[..., Tensor]
Params = dict[str, Any]


def cauchy(location: Any, scale: Any, **kwargs: Any) -> Tensor:
    def quantile(eps: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        return location + scale * torch.tan(math.pi * (eps - 0.5))

    return inverse_cdf(quantile, location, scale, **kwargs)


def logistic(location: Any, scale: Any, **kwargs: Any) -> Tensor:
    def quantile(eps: Tensor, location: Tensor, scale: Tensor) -> Tensor:
        return location + scale * torch.logit(eps)

    return inverse_cdf(quantile, location=location, scale=scale, **kwargs)


def concrete_cdf(p: float, temperature: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda y: special.expit(temperature * special.logit(y) - special.logit(p))


def case(sampler: Sampler, *values: float, law: Callable[[np.ndarray], np.ndarray]) -> Any:
    return pytest.param(sampler, values, law, id=f"{sampler.__name__}{values}")


LAWS = [
    case(normal, 0.0, 1.0, law=stats.norm(0, 1).cdf),
    case(normal, 12.0, 42.0, law=stats.norm(12, 42).cdf),
    case(normal, -3.0, 0.01, law=stats.norm(-3, 0.01).cdf),
    case(exponential, 1.0, law=stats.expon.cdf),
    case(exponential, 0.02, law=stats.expon(scale=50).cdf),
    case(exponential, 30.0, law=stats.expon(scale=1 / 30).cdf),
    case(weibull, 1.0, 1.0, law=stats.expon.cdf),
    case(weibull, 2.0, 0.5, law=stats.weibull_min(0.5, scale=2).cdf),
    case(weibull, 0.3, 4.0, law=stats.weibull_min(4, scale=0.3).cdf),
    case(cauchy, 1.0, 2.0, law=stats.cauchy(1, 2).cdf),
    case(logistic, -1.0, 0.5, law=stats.logistic(-1, 0.5).cdf),
    case(binary_concrete, 0.25, 1.0, law=concrete_cdf(0.25, 1.0)),
    case(binary_concrete, 0.25, 0.5, law=concrete_cdf(0.25, 0.5)),
    case(binary_concrete, 0.9, 2.0, law=concrete_cdf(0.9, 2.0)),
]

# every sampler, with parameters that broadcast to (2, 5), or to (2, 5, 3) where the last axis holds the classes
row, column = torch.tensor([[0.3], [0.6]]), torch.tensor([0.5, 0.8, 1.0, 2.0, 0.1])
SIMPLEX = torch.tensor([[[0.2, 0.3, 0.5]], [[0.6, 0.3, 0.1]]])
ALL: dict[str, tuple[Sampler, tuple[Tensor, ...], tuple[int, ...]]] = {
    "normal": (normal, (row, column), (2, 5)),
    "exponential": (exponential, (row * column,), (2, 5)),
    "weibull": (weibull, (row, column), (2, 5)),
    "inverse_cdf": (cauchy, (row, column), (2, 5)),
    "inverse_cdf by name": (logistic, (row, column), (2, 5)),
    "gumbel_max": (gumbel_max, (SIMPLEX,), (2, 1, 3)),
    "gumbel_softmax": (gumbel_softmax, (SIMPLEX, column[:, None]), (2, 5, 3)),
    "hard gumbel_softmax": (gumbel_softmax, (SIMPLEX, column[:, None], True), (2, 5, 3)),  # type: ignore[dict-item]
    "binary_concrete": (binary_concrete, (row, column), (2, 5)),
    "bernoulli_straight_through": (bernoulli_straight_through, (row,), (2, 1)),
}


def of_dtype(parameters: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    return tuple(p.to(dtype) if isinstance(p, Tensor) else p for p in parameters)


# laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sampler", "values", "law"), LAWS)
def test_draws_follow_their_law(
    sampler: Sampler, values: tuple[float, ...], law: Callable[[np.ndarray], np.ndarray], dtype: torch.dtype
) -> None:
    parameters = [torch.tensor(value, dtype=dtype) for value in values]
    has_law(sampler(*parameters, sample_shape=(200_000,), generator=generator()), law)


def test_each_element_of_a_parameter_has_its_own_law() -> None:
    mu, sigma = torch.tensor([[0.0], [100.0]]), torch.tensor([1.0, 5.0])
    z = normal(mu, sigma, sample_shape=(200_000,), generator=generator())
    for i in range(2):
        for j in range(2):
            has_law(z[:, i, j], stats.norm(mu[i].item(), sigma[j].item()).cdf)
    agrees((z[:, 0, 0] * z[:, 1, 0] - 100 * z[:, 0, 0]) + 1, 1.0)  # and they are independent


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("probs", [[0.5, 0.5], [0.2, 0.3, 0.5], [0.001, 0.009, 0.09, 0.9], [0.1] * 10])
def test_gumbel_max_draws_classes_with_their_probabilities(probs: list[float], dtype: torch.dtype) -> None:
    pi = torch.tensor(probs, dtype=dtype)
    y = gumbel_max(pi, sample_shape=(100_000,), generator=generator())
    assert ((y == 0) | (y == 1)).all()
    assert (y.sum(-1) == 1).all()
    has_frequencies(y, pi)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1e-4, 0.1, 1.0, 10.0, 1e6])
def test_gumbel_softmax_is_largest_at_the_class_drawn(temperature: float, dtype: torch.dtype) -> None:
    pi = torch.tensor([0.2, 0.7, 0.1], dtype=dtype)
    hard = gumbel_softmax(pi, temperature, True, sample_shape=(100_000,), generator=generator())
    has_frequencies(hard, pi)
    assert hard.equal(gumbel_max(pi, sample_shape=(100_000,), generator=generator()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_gumbel_softmax_has_logistic_log_ratios(temperature: float, dtype: torch.dtype) -> None:
    pi = torch.tensor([0.2, 0.3, 0.5], dtype=dtype)
    y = gumbel_softmax(pi, temperature, sample_shape=(200_000,), generator=generator())
    agrees(y.sum(-1), 1.0)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        ratio = temperature * torch.log(y[:, i] / y[:, j]) - torch.log(pi[i] / pi[j])
        has_law(ratio, stats.logistic.cdf)


@pytest.mark.parametrize("p", [0.001, 0.25, 0.5, 0.999])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("draw", [bernoulli_straight_through, BernoulliSTE()])
def test_bernoulli_draws_have_probability_p(draw: Callable[..., Tensor], p: float, dtype: torch.dtype) -> None:
    probs = torch.full((200_000,), p, dtype=dtype)
    y = draw(probs, generator=generator())
    assert ((y == 0) | (y == 1)).all()
    has_frequencies(torch.stack([1 - y, y], 1), torch.tensor([1 - p, p], dtype=torch.float64))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_certain_bernoulli_is_certain(p: float) -> None:
    assert (bernoulli_straight_through(p, sample_shape=(1000,), generator=generator()) == p).all()
    assert (BernoulliSTE()(torch.full((1000,), p), generator=generator()) == p).all()


# noise and map --------------------------------------------------------------------------------------------------------

MAPS = {name: case for name, case in ALL.items() if isinstance(case[0], Reparametrization)}
NOISES = {
    "normal": (standard_normal, stats.norm),
    "uniform": (uniform, stats.uniform),
    "Gumbel": (standard_gumbel, stats.gumbel_r),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_sample_is_the_map_of_the_noise(name: str) -> None:
    sampler, parameters, shape = MAPS[name]
    eps = sampler.noise.draw((4, *shape), torch.empty(0), generator())
    z = sampler(*parameters, sample_shape=(4,), generator=generator())
    assert z.equal(sampler.g(eps, *parameters))
    untouched = copy.copy(eps.numpy().copy())
    sampler.g(eps, *parameters)
    assert (eps.numpy() == untouched).all()
    assert z.equal(sampler.at(eps, **sampler.checked(*parameters)))


def test_the_maps_are_those_of_the_text() -> None:
    eps = torch.tensor([-0.5, 0.3, 2.0])
    assert normal.g(eps, 3.0, 2.0).equal(3 + 2 * eps)
    u, third = torch.tensor([0.25, 0.75]), torch.tensor(1 / 3)
    torch.testing.assert_close(exponential.g(u, 2.0), -torch.log(u) / 2)
    torch.testing.assert_close(weibull.g(u, 2.0, 0.5), 2 * torch.log(u) ** 2)
    odds = 0.5 * u / (1 - u)
    torch.testing.assert_close(binary_concrete.g(u, third, 0.5), odds**2 / (1 + odds**2))
    assert bernoulli_straight_through.g(u, third).tolist() == [1, 0]
    pi = torch.tensor([0.2, 0.3, 0.5])
    assert gumbel_max.g(eps, pi).tolist() == [0, 0, 1]
    weights = (pi * torch.exp(eps)) ** 2
    torch.testing.assert_close(gumbel_softmax.g(eps, pi, 0.5), weights / weights.sum())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NOISES)
def test_noise_its_mirror_image_and_its_inverse_cdf(name: str, dtype: torch.dtype) -> None:
    noise, law = NOISES[name]
    eps = noise.draw((200_000, 1), torch.empty(0, dtype=dtype), generator())
    assert eps.dtype == dtype
    has_law(eps[:, 0], law.cdf)
    has_law(noise.mirror(eps)[:, 0], law.cdf)
    inside = eps[law.cdf(eps).ravel() < 0.9]  # beyond, a CDF has too few digits to compare by
    np.testing.assert_allclose(law.cdf(inside) + law.cdf(noise.mirror(inside)), 1, atol=2e-6)
    u = torch.tensor([1e-6, 0.1, 0.5, 0.9, 1 - 1e-6], dtype=torch.float64)
    np.testing.assert_allclose(noise.inverse_cdf(u, u.dtype), law.ppf(u), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NOISES)
def test_noise_and_its_mirror_image_are_finite_at_the_ends(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise, _ = NOISES[name]
    for lowest in (True, False):
        end = 0.0 if lowest else 1 - torch.finfo(dtype).eps / 2
        monkeypatch.setattr(torch, "rand", lambda size, end=end, **_: torch.full(size, end, dtype=dtype))
        eps = noise.draw((2, 3), torch.empty(0, dtype=dtype), None)
        assert noise.mirror(eps).isfinite().all()
        torch.testing.assert_close(noise.mirror(noise.mirror(eps)), eps, rtol=1e-3, atol=1e-3)
        outermost = torch.tensor([2.0**-54, 1 - 2.0**-53], dtype=torch.float64)
        points = noise.inverse_cdf(outermost, dtype)
        assert points.dtype == dtype
        assert points.isfinite().all()
        if noise is uniform:
            assert ((points > 0) & (points < 1)).all()


@pytest.mark.parametrize("name", MAPS)
def test_samplers_are_pickled_and_say_how_they_are_called(name: str) -> None:
    sampler, _, _ = MAPS[name]
    assert pickle.loads(pickle.dumps(sampler)) is sampler
    assert list(inspect.signature(sampler).parameters)[-2:] == ["sample_shape", "generator"]
    assert "eps" not in inspect.signature(sampler).parameters
    assert sampler.__doc__ == sampler.g.__doc__


def shifted(eps: Tensor, mu: Tensor) -> Tensor:
    return mu + eps


def test_a_reader_makes_a_sampler_of_noise_and_map() -> None:
    sampler = pickle.loads(pickle.dumps(Reparametrization(standard_normal, shifted)))
    z = sampler(torch.tensor([1.0, 2.0]), sample_shape=(3,), generator=generator())
    assert z.equal(normal(torch.tensor([1.0, 2.0]), 1.0, sample_shape=(3,), generator=generator()))
    with pytest.raises(TypeError, match="g must be a function, got 3"):
        Reparametrization(uniform, 3)


def test_arguments_given_in_advance() -> None:
    fixed = reparametrization_of(partial(gumbel_softmax, temperature=0.5, hard=True))
    y = fixed(SIMPLEX, generator=generator())
    assert y.equal(gumbel_softmax(SIMPLEX, 0.5, True, generator=generator()))
    assert reparametrization_of(partial(normal, 2.0))(sigma=1.0, generator=generator()).equal(
        normal(2.0, 1.0, generator=generator())
    )
    with pytest.raises(ValueError, match="temperature must be > 0, got -1"):
        reparametrization_of(partial(gumbel_softmax, temperature=-1.0)).checked(SIMPLEX)
    assert reparametrization_of(normal) is normal
    assert reparametrization_of(cauchy) is None
    assert reparametrization_of(partial(normal, sample_shape=(2,))) is None


# half precision -------------------------------------------------------------------------------------------------------

HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", ALL)
def test_half_precision_is_float32_rounded(name: str, dtype: torch.dtype) -> None:
    sampler, parameters, _ = ALL[name]
    given = of_dtype(parameters, torch.float64 if "gumbel" in name else dtype)
    if "gumbel" in name:  # they sum to one in half precision as well
        given = (torch.tensor([[[0.25, 0.25, 0.5]], [[0.625, 0.25, 0.125]]]), *given[1:])
    if name == "weibull":  # float16 does not hold the samples of concentration 0.1
        given = (given[0], given[1] + 1)
    leaves = [p.to(dtype).requires_grad_() if isinstance(p, Tensor) else p for p in given]
    wide = [p.detach().float().requires_grad_() if isinstance(p, Tensor) else p for p in leaves]
    z, expected = (sampler(*p, sample_shape=(1000,), generator=generator()) for p in (leaves, wide))
    assert z.dtype == dtype
    assert z.equal(expected.to(dtype))
    if not z.requires_grad:
        return
    upstream = torch.randn(z.shape, generator=generator(1)).to(dtype)
    found = torch.autograd.grad(z, leaves[0], upstream)[0]
    assert found.equal(torch.autograd.grad(expected, wide[0], upstream.float())[0].to(dtype))


@pytest.mark.parametrize("dtype", HALF)
def test_probabilities_and_sharp_rows_in_half_precision(dtype: torch.dtype) -> None:
    pi = torch.tensor([1 / 64, 1 / 64, 31 / 32], dtype=dtype)
    has_frequencies(gumbel_max(pi, sample_shape=(200_000,), generator=generator()), pi.double())
    y = gumbel_softmax(pi, 1e-4, sample_shape=(100_000,), generator=generator())
    assert y.isfinite().all()
    p = torch.tensor(1 / 512, dtype=dtype)
    for draw in (bernoulli_straight_through, BernoulliSTE()):
        bits = draw(p.expand(1_000_000), generator=generator())
        has_frequencies(torch.stack([1 - bits, bits], 1), torch.tensor([511 / 512, 1 / 512], dtype=torch.float64))


def test_a_sample_that_half_precision_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at most"):
        exponential(torch.tensor(1e-6, dtype=torch.float16), sample_shape=(100,), generator=generator())


# shapes, dtypes, generators -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sample_shape", [(), (4,), (4, 3), (0,), torch.Size([2]), [2, 1]])
@pytest.mark.parametrize("name", ALL)
def test_shape_is_that_of_the_sample_and_the_parameters(
    name: str, sample_shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    sampler, parameters, broadcast = ALL[name]
    z = sampler(*of_dtype(parameters, dtype), sample_shape=sample_shape, generator=generator())
    assert z.shape == (*sample_shape, *broadcast)
    assert z.dtype == dtype


@pytest.mark.parametrize(
    ("sampler", "numbers"),
    [(normal, (1, 2.0)), (exponential, (2,)), (weibull, (1.0, 2)), (cauchy, (0, 1)), (binary_concrete, (0.5, 1))],
)
def test_numbers_are_parameters_too(sampler: Sampler, numbers: tuple[float, ...]) -> None:
    assert sampler(*numbers).shape == ()
    assert sampler(*numbers).dtype == torch.get_default_dtype()
    beside = sampler(*numbers[:-1], torch.tensor([numbers[-1]], dtype=torch.float64))
    assert beside.dtype == torch.float64
    assert beside.shape == (1,)


def test_a_large_integer_is_a_number_too() -> None:
    assert normal(10**20, 1.0) == 1e20


@pytest.mark.parametrize("name", ALL)
def test_the_generator_given_is_the_only_source(name: str) -> None:
    sampler, parameters, _ = ALL[name]
    before = torch.get_rng_state()
    z = sampler(*parameters, sample_shape=(20,), generator=generator())
    assert torch.get_rng_state().equal(before)
    assert z.equal(sampler(*parameters, sample_shape=(20,), generator=generator()))
    assert not z.equal(sampler(*parameters, sample_shape=(20,), generator=generator(1)))


@pytest.mark.parametrize("name", ALL)
def test_without_a_generator_the_global_one_is_used(name: str) -> None:
    sampler, parameters, _ = ALL[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        z = sampler(*parameters, sample_shape=(20,))
        torch.manual_seed(3)
        assert z.equal(sampler(*parameters, sample_shape=(20,)))
        assert not z.equal(sampler(*parameters, sample_shape=(20,)))
    assert z.equal(sampler(*parameters, sample_shape=(20,), generator=torch.Generator().manual_seed(3)))


def test_the_layer_draws_from_its_generator_too() -> None:
    p = torch.full((50,), 0.5)
    with torch.random.fork_rng():
        before = torch.get_rng_state()
        y = BernoulliSTE()(p, generator())
        assert torch.get_rng_state().equal(before)
        assert y.equal(BernoulliSTE()(p, generator=generator()))
        assert not y.equal(BernoulliSTE()(p, generator(1)))
        torch.manual_seed(3)
        assert BernoulliSTE()(p).equal(BernoulliSTE()(p, torch.Generator().manual_seed(3)))


# gradients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "values"),
    [
        (normal, ([[1.0], [2.0]], [0.5, 1.5, 3.0])),
        (exponential, ([0.2, 1.0, 5.0],)),
        (weibull, ([[0.5], [2.0]], [0.7, 1.0, 3.0])),
        (cauchy, ([0.0, 1.0], 2.0)),
        (logistic, ([0.0, 1.0], 2.0)),
        (gumbel_softmax, ([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], 0.8)),
        (binary_concrete, ([[0.1], [0.7]], [0.5, 1.0])),
    ],
)
def test_derivative_is_that_of_the_map_with_its_noise_frozen(sampler: Sampler, values: tuple[Any, ...]) -> None:
    parameters = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    draw = lambda *given: sampler(*given, sample_shape=(3,), generator=generator())  # noqa: E731
    assert torch.autograd.gradcheck(draw, parameters)


def test_closed_forms_of_the_derivatives() -> None:
    mu, sigma, rate, scale, k = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1, 2, 3, 4, 5))
    z = normal(mu, sigma, generator=generator())
    d_mu, d_sigma = torch.autograd.grad(z, (mu, sigma))
    assert d_mu == 1
    torch.testing.assert_close(d_sigma, (z - mu).detach() / 2)
    z = exponential(rate, generator=generator())
    torch.testing.assert_close(torch.autograd.grad(z, rate)[0], -z.detach() / 3)
    z = weibull(scale, k, generator=generator())
    d_scale, d_k = torch.autograd.grad(z, (scale, k))
    torch.testing.assert_close(d_scale, z.detach() / 4)
    torch.testing.assert_close(d_k, (-z * torch.log(z / 4) / 5).detach())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 20.0])
def test_hard_gumbel_softmax_is_one_hot_with_the_derivative_of_the_soft_one(temperature: float) -> None:
    pi = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
    upstream = torch.randn(50, 3, generator=generator(1))
    soft = gumbel_softmax(pi, temperature, sample_shape=(50,), generator=generator())
    hard = gumbel_softmax(pi, temperature, True, sample_shape=(50,), generator=generator())
    assert ((hard == 0) | (hard == 1)).all()
    assert (hard.sum(-1) == 1).all()
    assert hard.argmax(-1).equal(soft.argmax(-1))
    expected, found = (torch.autograd.grad(y, pi, upstream)[0] for y in (soft, hard))
    torch.testing.assert_close(found, expected)
    assert found.abs().max() > 0


@pytest.mark.parametrize("hard", [False, True])
def test_a_log_shared_by_copies_is_that_of_each(hard: bool) -> None:
    pi, upstream = torch.tensor([0.2, 0.3, 0.5]), torch.randn(50, 3, generator=generator(1))
    shared = pi.expand(50, 3).requires_grad_()
    own = pi.repeat(50, 1).requires_grad_()
    y, same = (gumbel_softmax(leaf, 0.7, hard, generator=generator()) for leaf in (shared, own))
    torch.testing.assert_close(y, same, rtol=0, atol=0)
    found, expected = (torch.autograd.grad(z, leaf, upstream)[0] for z, leaf in ((y, shared), (same, own)))
    torch.testing.assert_close(found, expected)


def test_gumbel_max_carries_no_graph() -> None:
    assert not gumbel_max(torch.tensor([0.4, 0.6], requires_grad=True)).requires_grad


@pytest.mark.parametrize("draw", [bernoulli_straight_through, BernoulliSTE()])
@pytest.mark.parametrize("dtype", DTYPES)
def test_straight_through_hands_the_gradient_on_as_it_came(draw: Callable[..., Tensor], dtype: torch.dtype) -> None:
    p = torch.rand(4, 5, generator=generator(1), dtype=dtype).requires_grad_()
    upstream = torch.randn(4, 5, generator=generator(2), dtype=dtype)
    y = draw(p, generator=generator())
    assert ((y == 0) | (y == 1)).all()
    assert y.shape == p.shape
    assert y.dtype == dtype
    assert torch.autograd.grad(y, p, upstream)[0].equal(upstream)


@pytest.mark.parametrize("name", sorted({*ALL, "BernoulliSTE"} - {"gumbel_max"}))  # which has no gradient
def test_torch_func_finds_the_gradient_of_backward(name: str) -> None:
    sampler, (p, *others), _ = ALL.get(name, (BernoulliSTE(), (row,), ()))

    def value(p: Tensor) -> Tensor:
        z = sampler(p, *others, generator=generator())
        return (z * torch.arange(z.numel()).view(z.shape)).sum()

    leaf = p.clone().requires_grad_()
    (expected,) = torch.autograd.grad(value(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(value)(p), expected)


def test_straight_through_adds_up_over_the_samples_of_one_p() -> None:
    p = torch.tensor([0.2, 0.8], requires_grad=True)
    y = bernoulli_straight_through(p, sample_shape=(7,), generator=generator())
    assert torch.autograd.grad(y.sum(), p)[0].tolist() == [7.0, 7.0]


def test_bernoulli_ste_is_a_layer() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Sigmoid(), BernoulliSTE())
    y = layer(torch.ones(5, 3))
    assert y.shape == (5, 2)
    y.sum().backward()
    assert layer[0].weight.grad.abs().sum() > 0  # p is no leaf here
    assert not list(BernoulliSTE().parameters())


# finite everywhere ----------------------------------------------------------------------------------------------------

NEAR_ONE = "the largest number below 1"
CORNERS: list[tuple[Sampler, tuple[Any, ...]]] = [
    (normal, (0.0, 1e-6)),
    (normal, (1e6, 1e6)),
    (exponential, (1e-6,)),
    (exponential, (1e6,)),
    (weibull, (1.0, 0.05)),
    (weibull, (1.0, 100.0)),
    (weibull, (1e-6, 1.0)),
    (logistic, (0.0, 1.0)),
    *((binary_concrete, (p, t)) for p in (1e-6, 0.25, 1 - 1e-6, NEAR_ONE) for t in (1e-4, 0.1, 1.0)),
    *((gumbel_softmax, (pi, t)) for pi in ([1e-6, 1 - 1e-6], [0.5, 0.5]) for t in (1e-4, 0.1, 1.0)),
    *((gumbel_softmax, (pi, t, True)) for pi in ([1e-6, 1 - 1e-6], [0.5, 0.5]) for t in (1e-4, 0.1, 1.0)),
    (gumbel_max, ([1e-6, 1 - 1e-6],)),
    *((bernoulli_straight_through, (p,)) for p in (0.0, 1e-6, 1 - 1e-6, NEAR_ONE, 1.0)),
]


def is_finite_in_value_and_gradient(sampler: Sampler, values: tuple[Any, ...], dtype: torch.dtype) -> None:
    below_one = 1 - torch.finfo(dtype).eps / 2
    parameters = [
        v if v is True else torch.tensor(below_one if v is NEAR_ONE else v, dtype=dtype, requires_grad=True)
        for v in values
    ]
    z = sampler(*parameters, sample_shape=(500,), generator=generator())
    assert z.isfinite().all()
    if sampler in (exponential, weibull):
        assert (z >= 0).all()
    if sampler is gumbel_max:
        return
    leaves = [p for p in parameters if isinstance(p, Tensor)]
    # z itself and z^2: the second multiplies by values that may be 0, where 0 * inf would show
    for objective in (z, z**2 if sampler is not weibull else z):
        for gradient in torch.autograd.grad(objective.sum(), leaves, retain_graph=True):
            assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sampler", "values"), CORNERS)
def test_nothing_is_nan_or_infinite(sampler: Sampler, values: tuple[Any, ...], dtype: torch.dtype) -> None:
    is_finite_in_value_and_gradient(sampler, values, dtype)


@pytest.mark.parametrize("lowest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("sampler", "values"), [c for c in CORNERS if c[0] not in (normal, bernoulli_straight_through)]
)
def test_nothing_is_nan_or_infinite_at_the_extreme_uniforms(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler, values: tuple[Any, ...], dtype: torch.dtype, lowest: bool
) -> None:
    calls = []

    def extreme(size: tuple[int, ...], *, dtype: torch.dtype, **kwargs: object) -> Tensor:
        calls.append(size)
        return torch.full(size, 0.0 if lowest else 1 - torch.finfo(dtype).eps / 2, dtype=dtype)

    monkeypatch.setattr(torch, "rand", extreme)
    is_finite_in_value_and_gradient(sampler, values, dtype)
    assert calls, "the sampler draws its uniforms elsewhere: patch that"


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_uniforms_in_one_race_only(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    below_one = 1 - torch.finfo(dtype).eps / 2
    monkeypatch.setattr(
        torch, "rand", lambda *args, **kwargs: torch.tensor([[0, below_one], [below_one, 0]], dtype=dtype)
    )
    pi = torch.tensor([1e-6, 1 - 1e-6], dtype=dtype, requires_grad=True)
    for temperature in (1e-4, 1.0):
        y = gumbel_softmax(pi, temperature, sample_shape=(2,))
        assert y.isfinite().all()
        assert torch.autograd.grad((y**2).sum(), pi)[0].isfinite().all()
        torch.testing.assert_close(y.sum(-1), torch.ones(2, dtype=dtype))

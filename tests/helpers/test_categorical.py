"""helpers.estimators.categorical: means and variances by enumeration of classes, pairs and orders, or by quadrature."""

import itertools
import math
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import distributions as td

from helpers import compare_estimators
from helpers.estimators import LeaveOneOut, Pathwise, ScoreFunction
from helpers.estimators.base import objective
from helpers.estimators.binary import DisARM, bernoulli_reinmax
from helpers.estimators.categorical import (
    AntitheticPair,
    LocalExpectation,
    Subset,
    WithoutReplacement,
    categorical_reinmax,
    categorical_straight_through,
    gumbel_rao,
    gumbel_top_k,
    relaxed_top_k,
)
from helpers.reparametrize import gumbel_softmax
from tests.support.statistical import agrees, generator, has_frequencies, has_variance

THREE = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
FOUR = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
PLACES = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
PAIR = torch.tensor([[0.3, -1.0, 0.5], [1.0, 0.0, 0.2]], dtype=torch.float64)


def quadratic(y: Tensor) -> Tensor:
    return (y @ PLACES.to(y.dtype) - 1) ** 2


def quartic(y: Tensor) -> Tensor:
    return (y @ PLACES.to(y.dtype) - 1) ** 4


def of_four(y: Tensor) -> Tensor:
    return y @ torch.tensor([1.0, 0.0, 4.0, 16.0], dtype=y.dtype)


def of_two_variables(y: Tensor) -> Tensor:
    """Not additive, so each variable is noise for the other."""
    places = y @ PLACES.to(y.dtype)
    return torch.exp(places[:, 0] / 2) * (places[:, 1] - 0.7)


def all_classes(shape: torch.Size) -> Tensor:
    """Every choice of a class for each variable, as one-hot vectors (N, *shape)."""
    rows = math.prod(shape[:-1])
    choices = torch.tensor(list(itertools.product(range(shape[-1]), repeat=rows)))
    return torch.nn.functional.one_hot(choices, shape[-1]).double().reshape(-1, *shape)


def probabilities(y: Tensor, logits: Tensor) -> Tensor:
    return (y * torch.log_softmax(logits, -1)).reshape(len(y), -1).sum(1).exp()


def exact_gradient(f: Any, logits: Tensor) -> Tensor:
    logits = logits.clone().requires_grad_()
    y = all_classes(logits.shape)
    return torch.autograd.grad((probabilities(y, logits) * f(y)).sum(), logits)[0]


def moments(estimator: Any, f: Any, logits: Tensor, noise: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of one sample, where noise[i] has the probability weights[i]."""
    params = {"logits": logits}
    g = estimator.gradients(objective(f, params), noise, params)["logits"]
    weights = (weights / weights.sum()).reshape(-1, *(1,) * logits.dim())
    mean = (weights * g).sum(0)
    return mean, (weights * (g - mean) ** 2).sum(0)


def by_classes(estimator: Any, f: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of an estimator that depends on nothing but the classes with the largest scores."""
    y = all_classes(logits.shape)
    return moments(estimator, f, logits, 100 * y - logits, probabilities(y, logits))


def by_orders(estimator: Any, f: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of an estimator that depends on the order of the scores, whose probability is a product (Plackett 1975)."""
    p = torch.softmax(logits, -1).tolist()
    orders = list(itertools.permutations(range(len(p))))
    weights = [math.prod(p[c] / sum(p[d] for d in order[i:]) for i, c in enumerate(order)) for order in orders]
    noise = torch.zeros(len(orders), len(p), dtype=torch.float64)
    for row, order in zip(noise, orders, strict=True):
        row[list(order)] = -torch.arange(len(p), dtype=torch.float64)
    return moments(estimator, f, logits, noise - logits, torch.tensor(weights, dtype=torch.float64))


def jacobian(p: Tensor) -> Tensor:
    return torch.diag(p) - torch.outer(p, p)


# the sum over the classes ---------------------------------------------------------------------------------------------


def test_the_local_expectation_of_one_variable_is_the_exact_gradient() -> None:
    mean, variance = by_classes(LocalExpectation(), quartic, THREE.log())
    torch.testing.assert_close(mean, exact_gradient(quartic, THREE.log()))
    torch.testing.assert_close(variance, torch.zeros(3).double())


def test_the_local_expectation_of_two_variables() -> None:
    """Of the first, given class b of the second, it is J(p) F[:, b]."""
    mean, variance = by_classes(LocalExpectation(), of_two_variables, PAIR)
    torch.testing.assert_close(mean, exact_gradient(of_two_variables, PAIR))
    p = torch.softmax(PAIR, -1)
    table = torch.exp(PLACES / 2)[:, None] * (PLACES - 0.7)
    of_first, of_second = jacobian(p[0]) @ table, jacobian(p[1]) @ table.T
    first = (p[1] * of_first**2).sum(1) - (of_first @ p[1]) ** 2
    second = (p[0] * of_second**2).sum(1) - (of_second @ p[0]) ** 2
    torch.testing.assert_close(variance, torch.stack([first, second]))


# pairs and sets -------------------------------------------------------------------------------------------------------


def completion(p: list[float], chosen: frozenset[int], removed: frozenset[int]) -> float:
    """The probability that the next draws without replacement are `chosen`, in any order, once `removed` are gone."""
    total = 0.0
    for order in itertools.permutations(chosen):
        left, product = 1 - sum(p[c] for c in removed), 1.0
        for c in order:
            product, left = product * p[c] / left, left - p[c]
        total += product
    return total


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_set_estimator_is_its_definition_and_unbiased(k: int) -> None:
    """The formula of Kool, van Hoof and Welling 2020, with each probability as a sum over orders."""
    p, values = FOUR.tolist(), [1.0, 0.0, 4.0, 16.0]
    none: frozenset[int] = frozenset()
    first, second = np.zeros(4), np.zeros(4)
    for chosen in map(frozenset, itertools.combinations(range(4), k)):
        g = np.zeros(4)
        for s in chosen:
            alone = completion(p, chosen - {s}, frozenset({s}))
            baseline = p[s] * values[s] + sum(
                p[j] * completion(p, chosen - {s, j}, frozenset({s, j})) / alone * values[j] for j in chosen - {s}
            )
            weight = p[s] * alone / completion(p, chosen, none)
            g += weight * (values[s] - baseline) * (np.eye(4)[s] - np.array(p))
        probability = completion(p, chosen, none)
        first, second = first + probability * g, second + probability * g**2
    mean, variance = by_orders(WithoutReplacement(k), of_four, FOUR.log())
    torch.testing.assert_close(mean, exact_gradient(of_four, FOUR.log()))
    np.testing.assert_allclose(mean.numpy(), first)
    np.testing.assert_allclose(variance.numpy(), second - first**2, atol=1e-12)


def test_the_set_of_two_in_closed_form() -> None:
    a, b = np.triu_indices(4, 1)
    p, values = FOUR.numpy(), np.array([1.0, 0.0, 4.0, 16.0])
    probability = p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b]))
    weight = (1 - p[a]) * (1 - p[b]) / (2 - p[a] - p[b]) * (values[a] - values[b])
    g = weight[:, None] * (np.eye(4)[a] - np.eye(4)[b])
    mean = probability @ g
    _, variance = by_orders(WithoutReplacement(2), of_four, FOUR.log())
    np.testing.assert_allclose(variance.numpy(), probability @ g**2 - mean**2)


def overlaps(p: list[Fraction], orders: list[tuple[int, ...]]) -> np.ndarray:
    """q_ab for u and 1 - u by the inverse CDF, averaged over the orders, in exact arithmetic."""
    q = np.full((len(p), len(p)), Fraction(0))
    for order in orders:
        cells, start = {}, Fraction(0)
        for c in order:
            cells[c], start = (start, start + p[c]), start + p[c]
        for a, b in itertools.product(order, repeat=2):
            low, high = max(cells[a][0], 1 - cells[b][1]), min(cells[a][1], 1 - cells[b][0])
            q[a, b] += max(high - low, Fraction(0)) / len(orders)
    return q


TENTHS = {3: [Fraction(5, 10), Fraction(3, 10), Fraction(2, 10)], 4: [Fraction(i, 10) for i in (4, 3, 2, 1)]}


def pair_probabilities(classes: int) -> Tensor:
    q = overlaps(TENTHS[classes], list(itertools.permutations(range(classes))))
    if classes == 3:
        assert (q[0, 1], q[0, 2], q[1, 2]) == (Fraction(7, 30), Fraction(2, 15), Fraction(1, 15))
    return torch.tensor(q.astype(float))


@pytest.mark.parametrize(("p", "f"), [(THREE, quadratic), (FOUR, of_four)])
def test_the_antithetic_pair_by_enumeration(p: Tensor, f: Any) -> None:
    q = pair_probabilities(len(p))
    a, b = (index.flatten() for index in torch.meshgrid(*[torch.arange(len(p))] * 2, indexing="ij"))
    values = f(torch.eye(len(p)).double())
    ratio = p[a] * p[b] / q[a, b].clamp(min=1e-30)  # 0 for two pairs of equal classes, which count nothing
    g = (ratio / 2 * (values[a] - values[b]))[:, None] * (torch.eye(len(p))[a] - torch.eye(len(p))[b])
    weights = q[a, b][:, None]
    pairs = torch.stack([a, b], 1)[:, :, None]
    mean, variance = moments(AntitheticPair(), f, p.log(), pairs, q[a, b])
    torch.testing.assert_close(mean, exact_gradient(f, p.log()))
    torch.testing.assert_close(variance, (weights * g**2).sum(0) - mean**2)


def test_the_antithetic_pair_of_two_variables() -> None:
    logits = torch.stack([THREE, THREE.flip(0)]).log()
    q = pair_probabilities(3)
    pairs = torch.tensor(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2)  # variable, then y and y'
    weights = q[pairs[:, 0, 0], pairs[:, 0, 1]] * q.flip(0, 1)[pairs[:, 1, 0], pairs[:, 1, 1]]
    mean, _ = moments(AntitheticPair(), of_two_variables, logits, pairs.transpose(1, 2), weights)
    torch.testing.assert_close(mean, exact_gradient(of_two_variables, logits))


@pytest.mark.parametrize("p", [THREE, FOUR])
def test_antithetic_pairs_have_their_probability(p: Tensor) -> None:
    noise = AntitheticPair().noise({"logits": p.log()}, 200_000, generator())
    a, b = noise[:, :, 0].T
    q = pair_probabilities(len(p)).flatten()
    one_hot = torch.nn.functional.one_hot(a * len(p) + b, len(p) ** 2)
    has_frequencies(one_hot[:, q > 0], q[q > 0])


@pytest.mark.parametrize(
    ("estimator", "f", "logits"),
    [
        (LocalExpectation(), of_two_variables, PAIR),
        (WithoutReplacement(2), of_four, FOUR.log()),
        (AntitheticPair(), of_four, FOUR.log()),
        (AntitheticPair(), of_two_variables, PAIR),
        (LeaveOneOut(td.OneHotCategorical, 3), of_four, FOUR.log()),
    ],
)
def test_draws_from_a_generator_have_the_mean(estimator: Any, f: Any, logits: Tensor) -> None:
    found = estimator(f, {"logits": logits.float()}, 100_000, generator())["logits"]
    agrees(found, exact_gradient(f, logits), fault=0.1)


# straight-through -----------------------------------------------------------------------------------------------------


def slopes(f: Any, y: Tensor) -> Tensor:
    y = y.clone().requires_grad_()
    return torch.autograd.grad(f(y).sum(), y)[0]


@pytest.mark.parametrize("f", [quadratic, quartic])
def test_straight_through_is_the_jacobian_times_the_slope(f: Any) -> None:
    g = slopes(f, torch.eye(3).double()) @ jacobian(THREE)
    mean, variance = by_classes(Pathwise(categorical_straight_through), f, THREE.log())
    torch.testing.assert_close(mean, THREE @ g)
    torch.testing.assert_close(variance, THREE @ g**2 - mean**2)


@pytest.mark.parametrize("f", [quadratic, quartic])
def test_reinmax_is_the_trapezoid_rule(f: Any) -> None:
    """Its mean is that of the pairs (p_a p_b / 2) (e_a - e_b) with a trapezoid for f(a) - f(b)."""
    slope, steps = slopes(f, torch.eye(3).double()), torch.eye(3).double()
    expected = torch.zeros(3).double()
    for a, b in itertools.product(range(3), repeat=2):
        difference = (slope[a] + slope[b]) @ (steps[a] - steps[b]) / 2
        expected += THREE[a] * THREE[b] / 2 * difference * (steps[a] - steps[b])
    halfway = [2 * jacobian((THREE + y) / 2) - jacobian(THREE) / 2 for y in steps]
    g = torch.stack([j @ s for j, s in zip(halfway, slope, strict=True)])
    mean, variance = by_classes(Pathwise(categorical_reinmax), f, THREE.log())
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(variance, THREE @ g**2 - mean**2)
    assert torch.allclose(mean, exact_gradient(f, THREE.log())) == (f is quadratic)


def test_reinmax_of_two_classes_is_the_binary_one() -> None:
    phi = torch.full((1000,), 0.7, requires_grad=True)
    b = bernoulli_reinmax(phi, generator=generator())
    (expected,) = torch.autograd.grad(b.sum(), phi)
    eps = 10 * torch.stack([1 - b, b], 1).detach()
    y = categorical_reinmax.g(eps, torch.stack([torch.zeros_like(phi), phi], 1))
    assert torch.equal(y[:, 1], b)
    torch.testing.assert_close(torch.autograd.grad(y[:, 1].sum(), phi)[0], expected)


def relaxed_moments(tau: float, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Of Gumbel-softmax with the slope at the class d that it rounds to, averaged over `draws` samples given d.

    Given d, the two others have exp(score) / exp(score of d) = 1 / (1 + t), where the t have the joint density
    2 p_a p_b / (1 + p_a t_a + p_b t_b)^3. In log t it is smooth and falls exponentially, so the trapezoidal rule does.
    """
    t = np.exp(np.arange(-40, 40, 0.15))
    ta, tb = np.meshgrid(t, t, indexing="ij")
    weights = 0.15**2 * ta * tb
    mean, second, within = np.zeros(3), np.zeros(3), np.zeros(3)
    p, slope = THREE.numpy(), slopes(quadratic, torch.eye(3).double()).numpy()
    for d in range(3):
        a, b = (c for c in range(3) if c != d)
        density = weights * 2 * p[a] * p[b] / (1 + p[a] * ta + p[b] * tb) ** 3
        y = np.ones((3, *ta.shape))
        y[a], y[b] = (1 + ta) ** (-1 / tau), (1 + tb) ** (-1 / tau)
        y /= y.sum(0)
        g = y * (slope[d][:, None, None] - np.tensordot(slope[d], y, 1)) / tau
        given = (density * g).sum((1, 2))
        assert density.sum() == pytest.approx(1, rel=1e-6)
        mean, second = mean + p[d] * given, second + p[d] * given**2
        within += p[d] * ((density * g**2).sum((1, 2)) - given**2)
    return mean, second - mean**2 + within / draws


@pytest.mark.parametrize(("tau", "draws"), [(1.0, 1), (1.0, 4), (0.5, 1), (0.5, 3)])
def test_gumbel_rao_by_quadrature(tau: float, draws: int) -> None:
    mean, variance = relaxed_moments(tau, draws)
    estimator = Pathwise(partial(gumbel_rao, temperature=tau, k=draws))
    found = estimator(quadratic, {"logits": THREE.log()}, 250_000, generator())["logits"]
    agrees(found, mean, fault=0.2)
    has_variance(found, variance)


def test_one_draw_is_straight_through_gumbel_softmax() -> None:
    def hard(logits: Tensor, generator: Any) -> Tensor:
        return gumbel_softmax(torch.softmax(logits, -1), 0.5, hard=True, generator=generator)

    mean, variance = relaxed_moments(0.5, 1)
    found = Pathwise(hard)(quadratic, {"logits": THREE.log()}, 250_000, generator())["logits"]
    agrees(found, mean, fault=0.2)
    has_variance(found, variance)


@pytest.mark.parametrize(
    "sampler", [categorical_straight_through, categorical_reinmax, partial(gumbel_rao, temperature=2.0)]
)
def test_values_are_one_hot_with_their_probability(sampler: Any) -> None:
    y = sampler(FOUR.log(), sample_shape=(200_000,), generator=generator())
    assert torch.equal(y.sort(-1).values, torch.eye(4).double()[3:].expand(200_000, 4))
    has_frequencies(y, FOUR)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype(dtype: torch.dtype) -> None:
    logits = torch.tensor([0.5, -1.0, 0.0], dtype=dtype)
    for sampler in (categorical_straight_through, categorical_reinmax, partial(gumbel_rao, temperature=0.5)):
        assert sampler(logits, generator=generator()).dtype == dtype
    for estimator in (LocalExpectation(), WithoutReplacement(2), AntitheticPair()):
        found = estimator(quadratic, {"logits": logits}, 100_000, generator())["logits"]
        assert found.dtype == dtype
        torch.testing.assert_close(
            found.double().mean(0), exact_gradient(quadratic, logits.double()), rtol=0.02, atol=0.005
        )


# subsets --------------------------------------------------------------------------------------------------------------


def subsets(classes: int, k: int) -> Tensor:
    rows = [[float(c in chosen) for c in range(classes)] for chosen in itertools.combinations(range(classes), k)]
    return torch.tensor(rows, dtype=torch.float64)


def test_ordered_draws_have_the_probability_of_plackett_and_luce() -> None:
    chosen = gumbel_top_k(THREE.log(), 2, sample_shape=(200_000,), generator=generator())
    a, b = zip(*itertools.permutations(range(3), 2), strict=True)
    probability = THREE[[*a]] * THREE[[*b]] / (1 - THREE[[*a]])
    code = chosen[:, 0] * 3 + chosen[:, 1]
    has_frequencies(
        torch.nn.functional.one_hot(code, 9)[:, [3 * i + j for i, j in zip(a, b, strict=True)]], probability
    )


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_probability_of_a_subset_is_the_sum_over_its_orders(k: int) -> None:
    sets = subsets(4, k)
    logits = FOUR.log().requires_grad_()
    found = Subset(logits, k).log_prob(sets).exp()
    expected = [completion(FOUR.tolist(), frozenset(row.nonzero()[:, 0].tolist()), frozenset()) for row in sets]
    torch.testing.assert_close(found.detach(), torch.tensor(expected, dtype=torch.float64))
    assert found.sum().item() == pytest.approx(1)
    if k < 4:
        h = 1e-6
        (slope,) = torch.autograd.grad(found[0], logits)
        steps = h * torch.eye(4).double()
        plus, minus = (Subset(logits.detach() + sign * steps, k).log_prob(sets[0]).exp() for sign in (1, -1))
        torch.testing.assert_close(slope, (plus - minus) / (2 * h), rtol=1e-7, atol=1e-9)


def test_subsets_have_their_probability() -> None:
    sets = subsets(4, 2)
    torch.manual_seed(generator().initial_seed())
    y = Subset(FOUR.log(), 2).sample((200_000,))
    which = (y[:, None] == sets).all(-1)
    has_frequencies(which, Subset(FOUR.log(), 2).log_prob(sets).exp())


@pytest.mark.parametrize(
    ("estimator", "k"), [(ScoreFunction(partial(Subset, k=2)), 1), (LeaveOneOut(partial(Subset, k=2), 3), 3)]
)
def test_the_score_function_of_a_subset(estimator: Any, k: int) -> None:
    """The mean, and the variance by enumeration of the six subsets; see LeaveOneOut for that of a group of k."""
    logits = FOUR.log().requires_grad_()
    log_p = Subset(logits, 2).log_prob(subsets(4, 2))
    scores = torch.stack([torch.autograd.grad(x, logits, retain_graph=True)[0] for x in log_p])
    p, f = log_p.exp().detach(), of_four(subsets(4, 2))

    def variance(baseline: Tensor | float) -> Tensor:
        return p @ ((f - baseline)[:, None] * scores - expected) ** 2

    expected = p @ (f[:, None] * scores)
    found = estimator(of_four, {"logits": logits.detach()}, 60_000, generator())["logits"]
    agrees(found, expected, fault=0.1)
    if k == 1:
        has_variance(found, variance(0.0))
    else:  # with a known mean as the baseline, divided by k, and what the means of k - 1 others add
        noise = (p @ (f - p @ f) ** 2) * (p @ scores**2) + expected**2
        has_variance(found, variance(p @ f) / k + noise / (k * (k - 1)), fault=0.2)


@pytest.mark.parametrize(
    ("estimator", "f", "calls"),
    [
        (LocalExpectation(), of_four, 4),
        (WithoutReplacement(3), of_four, 3),
        (AntitheticPair(), of_four, 2),
        (Pathwise(categorical_reinmax), lambda y: (y @ torch.arange(4.0).double() - 1) ** 2, 1),
    ],
)
def test_each_stands_in_a_comparison(estimator: Any, f: Any, calls: float) -> None:
    exact = {"logits": exact_gradient(f, FOUR.log())}
    trial = compare_estimators(f, {"it": estimator}, {"logits": FOUR.log()}, 20_000, exact=exact)["it"]
    assert trial.evaluations == calls
    for name, bias in trial.bias.items():
        assert abs(bias.mean) < 5 * bias.standard_error + 1e-12, name


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
def test_the_antithetic_pair_of_two_classes_is_disarm(p: float) -> None:
    """For the pairs that differ, which are as likely in both; the logit of DisARM is the difference of the two."""

    def of_bit(y: Tensor) -> Tensor:
        return quadratic_of_two(torch.cat([y, 1 - y], -1))

    logits = torch.tensor([p, 1 - p], dtype=torch.float64).log()
    pairs = torch.tensor([[0, 1], [1, 0]])[:, :, None]
    found = AntitheticPair().gradients(objective(quadratic_of_two, {"logits": logits}), pairs, {"logits": logits})
    phi, u = {"logits": (logits[0] - logits[1]).reshape(1)}, torch.tensor([[0.001], [0.999]], dtype=torch.float64)
    disarm = DisARM().gradients(objective(of_bit, phi), u, phi)["logits"]
    torch.testing.assert_close(found["logits"], torch.cat([disarm, -disarm], 1))


def quadratic_of_two(y: Tensor) -> Tensor:
    return (2 * y[:, 0] - 0.3) ** 2


def test_the_relaxed_subset_of_one_item_is_gumbel_softmax() -> None:
    params = {"logits": FOUR.log()}
    relaxed, softmax = (
        Pathwise(sampler)(of_four, {name: value}, 1000, generator())[name]
        for sampler, name, value in (
            (partial(relaxed_top_k, temperature=0.7), "logits", params["logits"]),
            (partial(gumbel_softmax, temperature=0.7), "probs", FOUR),
        )
    )
    jacobian_of_softmax = torch.diag(FOUR) - torch.outer(FOUR, FOUR)
    torch.testing.assert_close(relaxed, softmax @ jacobian_of_softmax)


def test_a_batch_of_subsets() -> None:
    logits = torch.stack([FOUR, FOUR.flip(0)]).log()
    q = Subset(logits, 2)
    y = q.sample((5,))
    assert y.shape == (5, 2, 4)
    expected = torch.stack([Subset(row, 2).log_prob(y[:, i]) for i, row in enumerate(logits)], 1)
    torch.testing.assert_close(q.log_prob(y), expected)


def recursion(a: Tensor, tau: float, k: int) -> Tensor:
    """As in the code of Xie and Ermon 2019, without a clamp."""
    total = torch.zeros_like(a)
    for _ in range(k):
        q = torch.softmax(a / tau, -1)
        total, a = total + q, a + torch.log(1 - q)
    return total


@pytest.mark.parametrize(("tau", "k"), [(1.0, 1), (1.0, 2), (0.3, 3)])
def test_the_relaxed_subset_is_its_recursion(tau: float, k: int) -> None:
    a = torch.tensor([1.0, 0.0, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    found, expected = relaxed_top_k.g(torch.zeros_like(a), a, tau, k), recursion(a, tau, k)
    torch.testing.assert_close(found, expected)
    assert found.sum().item() == pytest.approx(k)
    one, other = (torch.autograd.grad(y @ torch.arange(4.0).double(), a)[0] for y in (found, expected))
    torch.testing.assert_close(one, other)


def test_the_relaxed_subset_is_finite_where_one_class_is_far_ahead() -> None:
    """In float32, 1 - q is 0 there, and the derivative of the plain recursion NaN.

    As the first entry grows, a_1 + log(1 - q_1) tends to log(exp(a_2) + exp(a_3)), so y_2 to sigmoid(a_2 - a_3) / 2.
    """
    a = torch.tensor([40.0, 0.0, 0.0], requires_grad=True)
    y = relaxed_top_k.g(torch.zeros(3), a, 1.0, 2)
    torch.testing.assert_close(y, torch.tensor([1.5, 0.25, 0.25]))
    (slope,) = torch.autograd.grad(y[1], a)
    torch.testing.assert_close(slope, torch.tensor([0.0, 1.0, -1.0]) / 8, atol=1e-6, rtol=1e-6)
    assert torch.autograd.grad(recursion(a, 1.0, 2)[1], a)[0].isnan().any()


# all of them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "estimator",
    [
        LocalExpectation(),
        WithoutReplacement(2),
        WithoutReplacement(5),
        AntitheticPair(),
        Pathwise(categorical_straight_through),
        Pathwise(categorical_reinmax),
        Pathwise(partial(gumbel_rao, temperature=1e-3, k=2)),
        Pathwise(partial(relaxed_top_k, temperature=1e-3, k=2)),
        ScoreFunction(partial(Subset, k=3)),
    ],
)
def test_extreme_logits_stay_finite(estimator: Any, dtype: torch.dtype) -> None:
    for logits in ([-200.0, -14.0, 0.0, 14.0, 200.0], [2000.0, 0.0, 0.0, 0.0, -2000.0]):
        params = {"logits": torch.tensor(logits, dtype=dtype)}
        gradients = estimator(lambda y: y @ torch.arange(5, dtype=y.dtype), params, 1000, generator())["logits"]
        assert gradients.dtype == dtype
        assert gradients.isfinite().all()


def test_sets_of_a_concentrated_distribution_keep_their_digits() -> None:
    """1 - p is 1e-9 here, which float32 cannot tell from 0."""
    logits = torch.tensor([0.0, -21.0, -22.0, -23.0], dtype=torch.float32)
    for k in (2, 3):
        narrow, _ = by_orders(WithoutReplacement(k), of_four, logits)
        torch.testing.assert_close(narrow.double(), exact_gradient(of_four, logits.double()), rtol=1e-5, atol=0)


@pytest.mark.parametrize("estimator", [LocalExpectation(), WithoutReplacement(2), AntitheticPair()])
def test_the_samples_have_their_probability(estimator: Any) -> None:
    params = {"logits": FOUR.log()}
    y = estimator.samples(estimator.noise(params, 300_000, generator()), params)
    agrees(y, FOUR)


def f_of_nine(y: Tensor) -> Tensor:
    return y @ torch.arange(9.0)


BAD: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: LocalExpectation()(quadratic, {"probs": THREE}, 5),
        ValueError,
        r"params must have the names \['logits'\]",
    ),
    (lambda: LocalExpectation()(quadratic, {"logits": 0.5}, 5), ValueError, r"logits must have two or more classes"),
    (lambda: AntitheticPair()(quadratic, {"logits": THREE[:1]}, 5), ValueError, r"two or more classes .* \(1,\)"),
    (lambda: AntitheticPair()(quadratic, {"logits": THREE / 0}, 5), ValueError, "logits must be finite"),
    (lambda: AntitheticPair()(f_of_nine, {"logits": torch.zeros(9)}, 5), ValueError, "at most 8 classes .* got 9"),
    (lambda: WithoutReplacement(1), ValueError, "k must be >= 2, got 1"),
    (lambda: WithoutReplacement(2.0), TypeError, "k must be an int, got 2.0"),
    (lambda: WithoutReplacement(13), ValueError, "k must be at most 12, got 13"),
    (lambda: WithoutReplacement(4)(quadratic, {"logits": THREE}, 5), ValueError, "number of classes, 3, got 4"),
    (lambda: WithoutReplacement(2)(quadratic, {"logits": PAIR}, 5), ValueError, r"one axis, .* got shape \(2, 3\)"),
    (lambda: gumbel_rao(THREE, 0.0), ValueError, "temperature must be > 0, got 0"),
    (lambda: gumbel_rao(THREE, torch.ones(3)), ValueError, "temperature must have a last axis of 1"),
    (lambda: gumbel_rao(THREE, 1.0, 0), ValueError, "k must be >= 1, got 0"),
    (lambda: gumbel_rao(0.3, 1.0), ValueError, "logits must have two or more classes"),
    (lambda: categorical_straight_through(0.3), ValueError, "logits must have two or more classes"),
    (lambda: categorical_reinmax(torch.ones(1)), ValueError, "logits must have two or more classes"),
    (lambda: gumbel_top_k(THREE, 4), ValueError, "k must be at most the number of classes, 3, got 4"),
    (lambda: gumbel_top_k(THREE, True), TypeError, "k must be an int, got True"),
    (lambda: relaxed_top_k(THREE, 1.0, 3), ValueError, "k must be less than the number of classes, 3, got 3"),
    (lambda: relaxed_top_k(THREE, 1.0, k=0), ValueError, "k must be >= 1, got 0"),
    (lambda: relaxed_top_k(THREE, -1.0, k=2), ValueError, "temperature must be > 0, got -1"),
    (lambda: Subset(THREE, 0), ValueError, "k must be >= 1, got 0"),
    (lambda: Subset(THREE, 4), ValueError, "k must be at most the number of classes, 3, got 4"),
    (lambda: Subset(torch.zeros(20), 13), ValueError, "k must be at most 12, got 13"),
    (lambda: Subset(THREE, 2).log_prob(torch.ones(3)), ValueError, "value must have 2 ones"),
    (lambda: Subset(THREE, 2).log_prob(torch.tensor([0.5, 0.5, 1.0])), ValueError, "value must have 2 ones"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

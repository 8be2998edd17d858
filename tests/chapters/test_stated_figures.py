"""Figures that the text of a chapter states and none of its cells prints."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import Tensor
from torch.autograd.functional import jacobian


@pytest.mark.parametrize(("tau", "is_fixed"), [(0.05, False), (0.09, False), (0.12, True), (0.2, True)])
def test_08_the_false_fixed_point_disappears_below_a_temperature_of_about_a_tenth(tau: float, is_fixed: bool) -> None:
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    slopes = []
    for p in torch.linspace(0.02, 0.98, 49, dtype=torch.float64):
        leaf = p.clone().requires_grad_()
        relaxed = torch.sigmoid((torch.logit(leaf) + torch.logit(u)) / tau)
        slopes += torch.autograd.grad(((relaxed - 0.45) ** 2).mean(), leaf)
    p, slope = torch.linspace(0.02, 0.98, 49, dtype=torch.float64), torch.stack(slopes)
    assert (slope - (0.1 - tau * (1 - 2 * p))).abs().max() < 0.02
    assert bool((slope < 0).any()) == is_fixed  # the discrete problem has the slope 0.1 everywhere


def test_11_the_prices_of_a_pair_and_of_two_samples_are_closest_at_the_root_of_37() -> None:
    r = np.linspace(0.01, 50, 100_000)
    price = (2 * r**2 + 20 * r + 74) / (r**2 + 30 * r + 37)
    assert abs(r[price.argmin()] - math.sqrt(37)) < 0.01
    assert price.min() == pytest.approx(1.05, abs=0.005)


@pytest.mark.parametrize("d", [2, 20])
def test_11_sobol_points_suit_sums_of_terms_with_one_coordinate_in_any_dimension(d: int) -> None:
    """Of 256 points, each coordinate has one point in each of 256 intervals; their errors stay small when added."""
    engines = [torch.quasirandom.SobolEngine(d, scramble=True, seed=seed) for seed in range(50)]
    u = torch.stack([engine.draw(256, dtype=torch.float64) for engine in engines])
    errors = (u**2).sum(-1).mean(1) - d / 3
    assert (errors**2).mean() < d * (4 / 45) / 256 / 1000  # the variance with independent points, over 1000


def test_16_the_relative_variance_of_the_policy_gradient_grows_with_the_number_of_decisions() -> None:
    """Of T equal decisions with the mean action as the reward, whose gradient p (1 - p) does not depend on T."""
    p, relative = 0.3, []
    for decisions in (20, 200, 2000):
        ones = np.arange(decisions + 1)
        chance = stats.binom.pmf(ones, decisions, p)
        gradient = ones / decisions * (ones - decisions * p)  # reward times score
        assert chance @ gradient == pytest.approx(p * (1 - p))
        relative.append(chance @ gradient**2 / (p * (1 - p)) ** 2 - 1)
    assert relative[1] > 5 * relative[0]
    assert relative[2] / relative[1] == pytest.approx(10, rel=0.05)  # in proportion, for many decisions


def test_04_and_12_the_variance_of_a_difference_quotient_at_a_jump_grows_like_1_over_h() -> None:
    rng = np.random.default_rng(1)
    steps, n = np.array([0.1, 0.01, 0.001]), 1_000_000
    u = rng.random(n)
    quotients = [((u < 0.25 + h) * 1.0 - (u < 0.25 - h)) / (2 * h) for h in steps]
    for h, quotient in zip(steps, quotients, strict=True):
        # A share 2h of the samples jumps, by 1 / 2h. The relative error of the variance is about 1 / sqrt(2h n).
        assert quotient.var() * 2 * h == pytest.approx(1 - 2 * h, abs=5 / math.sqrt(2 * h * n))


def test_13_the_density_of_the_gamma_distribution_far_below_its_mean() -> None:
    assert float(f"{stats.gamma.pdf(4, 30):.0e}") == 6e-16


def test_13_the_share_of_gamma_samples_below_the_range_that_was_compared() -> None:
    assert stats.gamma(0.1).cdf(0.05) == pytest.approx(0.78, abs=0.005)
    assert 1 / stats.gamma(2.5).cdf(0.05) == pytest.approx(6000, rel=0.05)


def test_15_a_sum_over_the_likely_classes_and_a_sample_of_the_others_is_unbiased() -> None:
    theta = torch.tensor([1.0, 0.5, 0.0, -1.0, -2.0], dtype=torch.float64)
    f = torch.tensor([1.0, 4.0, 1.0, 0.0, 9.0], dtype=torch.float64)
    pi, one_hot, b = theta.softmax(0), torch.eye(5, dtype=torch.float64), 2.5

    def term(i: int) -> Tensor:
        return (f[i] - b) * (one_hot[i] - pi)

    likely, others = [0, 1], [2, 3, 4]
    rest = pi[others].sum()
    drawn = [sum(pi[i] * term(i) for i in likely) + rest * term(j) for j in others]
    mean = sum(pi[j] / rest * gradient for j, gradient in zip(others, drawn, strict=True))
    torch.testing.assert_close(mean, jacobian(lambda t: t.softmax(0) @ f, theta))


def test_15_the_variance_of_two_samples_is_3_80_and_antithetic_pairs_draw_items_2_and_4_less_often() -> None:
    pi = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
    loss, unit = (np.array([1.0, 0, 3, 2, -1]) - 2) ** 2, np.eye(5)
    gradient = pi * (loss - pi @ loss)
    second_moment = pi @ (loss**2 * ((unit - pi) ** 2).sum(1))
    assert (round(second_moment, 3), round(gradient @ gradient, 3)) == (8.224, 0.621)
    assert (second_moment - gradient @ gradient) / 2 == pytest.approx(3.80, abs=0.005)

    both = 0.0  # u lies in the cell of item 2 and 1 - u in that of item 4
    for order in itertools.permutations(range(5)):
        high = dict(zip(order, pi[list(order)].cumsum(), strict=True))
        low = {item: high[item] - pi[item] for item in order}
        both += max(0.0, min(high[1], 1 - low[3]) - max(low[1], 1 - high[3])) / math.factorial(5)
    assert both < pi[1] * pi[3]


def test_13_a_stretch_of_the_gap_carries_44_percent_of_the_mean_and_one_sample_in_2500() -> None:
    d, half = 12.0, 2.65
    z, step = np.linspace(-half, half, 100_001, retstep=True)
    density = (stats.norm.pdf(z, -d / 2) + stats.norm.pdf(z, d / 2)) / 2
    moved = stats.norm.cdf(z + d / 2) - stats.norm.cdf(z - d / 2)  # the speed times the density
    assert moved.sum() * step / d == pytest.approx(0.44, abs=0.005)
    assert 1 / (density.sum() * step) == pytest.approx(2_500, rel=0.02)


def test_13_the_simple_path_of_a_mean_has_more_variance_for_the_identity() -> None:
    z, step = np.linspace(-12, 12, 200_001, retstep=True)
    parts = np.array([0.3, 0.7])[:, None] * stats.norm.pdf(z, np.array([[-1.0], [1.5]]), np.array([[0.6], [1.0]]))
    density, first = parts.sum(0), parts[0] / parts.sum(0)
    assert round(0.3 * 0.7, 3) == 0.210
    assert ((first**2 * density).sum() * step - 0.3**2) == pytest.approx(0.167, abs=0.0005)


def test_18_a_pathwise_sample_of_the_wave_costs_as_much_as_a_score_near_k_sigma_1() -> None:
    mu, sigma = 1.0, 0.5
    z, step = np.linspace(mu - 10 * sigma, mu + 10 * sigma, 200_001, retstep=True)
    density = stats.norm.pdf(z, mu, sigma)

    def excess(k: float) -> float:
        pathwise, score = -k * np.sin(k * z), np.cos(k * z) * (z - mu) / sigma**2
        return float((density * (pathwise**2 - score**2)).sum() * step)

    assert optimize.brentq(excess, 1.5, 3.0) * sigma == pytest.approx(1.0, abs=0.1)


def test_14_disarm_is_rarely_worse_than_leave_one_out() -> None:
    """The total variances of one pair, over all pairs of states, for 300 functions of three binary variables."""
    rng = np.random.default_rng(1)
    states = np.array(list(itertools.product((0, 1), repeat=3)))
    for _ in range(300):
        p, f = rng.uniform(0.02, 0.98, 3), rng.normal(size=8)
        coupled = np.array(
            [[np.maximum(0, 1 - 2 * p), np.minimum(p, 1 - p)], [np.minimum(p, 1 - p), np.maximum(0, 2 * p - 1)]]
        )
        alone = np.array([1 - p, p])
        independent = alone[:, None] * alone[None]
        totals = []
        for joint, factor in ((coupled, np.maximum(p, 1 - p)), (independent, 1.0)):
            mean, square = np.zeros(3), 0.0
            for (y, fy), (other, fo) in itertools.product(zip(states, f, strict=True), repeat=2):
                chance = joint[y, other, range(3)].prod()
                gradient = (fy - fo) / 2 * (y - other) * factor
                mean, square = mean + chance * gradient, square + chance * (gradient**2).sum()
            totals.append((square - (mean**2).sum(), mean))
        (disarm, mean), (leave_one_out, other_mean) = totals
        assert mean == pytest.approx(other_mean)
        assert disarm < leave_one_out


def test_15_the_order_of_a_subset_adds_noise() -> None:
    """Total variances of both score functions for two of the five items of the chapter."""
    pi = torch.tensor([0.4, 0.25, 0.2, 0.1, 0.05], dtype=torch.float64)
    v = torch.tensor([1.0, 0.0, 3.0, 2.0, -1.0], dtype=torch.float64)
    theta = pi.log().requires_grad_()
    ordered, values = {}, {}
    for a, b in itertools.permutations(range(5), 2):
        q = theta.softmax(0)
        ordered[a, b] = (q[a] * q[b] / (1 - q[a])).log()
        values[a, b] = ((v[a] + v[b]) / 2 - 2) ** 2
    sets = {(a, b): torch.logaddexp(ordered[a, b], ordered[b, a]) for a, b in itertools.combinations(range(5), 2)}
    variances, means = [], []
    for log_p in (ordered, sets):
        scores = {key: torch.autograd.grad(x, theta, retain_graph=True)[0] for key, x in log_p.items()}
        mean = sum(x.exp().detach() * values[key] * scores[key] for key, x in log_p.items())
        square = sum(x.exp().detach() * ((values[key] * scores[key]) ** 2).sum() for key, x in log_p.items())
        variances.append((square - mean @ mean).item())
        means.append(mean)
    torch.testing.assert_close(means[0], means[1])
    assert variances == [pytest.approx(5.27, abs=0.005), pytest.approx(5.02, abs=0.005)]


@pytest.mark.parametrize(
    ("d", "score", "pairs"),
    [(1, 18_792, 315), (10, 55_728, 3_148), (100, 425_088, 31_477), (1_000, 4_118_688, 314_772)],
)
def test_12_the_table_of_many_dimensions(d: int, score: int, pairs: int) -> None:
    """By quadrature, for the sum of d squares at mu = 12 and sigma = 42."""
    mu, sigma = 12.0, 42.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights, z = weights / weights.sum(), mu + sigma * nodes
    centred, unit_score = z**2 - mu**2 - sigma**2, nodes / sigma
    own = weights @ (centred * unit_score) ** 2 - (2 * mu) ** 2
    other = (weights @ centred**2) * (weights @ unit_score**2)
    assert own + (d - 1) * other == pytest.approx(score)
    # A pair mu +- sigma w with w of the density w exp(-w^2 / 2) gives 4 mu sigma w c with c = 1 / (sigma sqrt(2 pi)).
    variance = (4 * mu) ** 2 / (2 * math.pi) * (2 - math.pi / 2)
    assert 2 * d * variance == pytest.approx(pairs, rel=2e-3)


def test_12_where_pathwise_costs_less_than_a_pair() -> None:
    assert math.sqrt(4 / (32 / math.pi - 8)) == pytest.approx(1.35, abs=0.005)

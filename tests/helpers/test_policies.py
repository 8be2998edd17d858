"""Advantages, PPO's objective and the estimates of a divergence, against sums over all outcomes and closed forms."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import Bernoulli, Categorical, Normal

from helpers.estimators import Antithetic, LeaveOneOut, ScoreFunction
from helpers.policies import clipped_objective, group_normalized, kl_estimates, leave_one_out, returns_to_go
from tests.support.statistical import agrees, generator, has_variance

PROBS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
REWARDS = torch.tensor([1.0, 0.0, 4.0], dtype=torch.float64)


def exact_gradient(probs: Tensor, rewards: Tensor) -> Tensor:
    """Of E[r] with respect to the logits."""
    return probs * (rewards - probs @ rewards)


def group_mean(advantages: Callable[[Tensor], Tensor], probs: Tensor, rewards: Tensor, k: int) -> Tensor:
    """The mean of 1/k sum_i A_i score_i over all groups of k, each with its probability."""
    arms = torch.tensor(list(itertools.product(range(len(probs)), repeat=k)))
    scores = torch.eye(len(probs), dtype=torch.float64) - probs
    per_group = (advantages(rewards[arms])[..., None] * scores[arms]).mean(1)
    return probs[arms].prod(1) @ per_group


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_returns_to_go_are_discounted_sums_of_later_rewards(gamma: float) -> None:
    rewards = torch.randn(3, 5, dtype=torch.float64, generator=generator())
    expected = torch.zeros_like(rewards)
    for t in range(5):
        for s in range(t, 5):
            expected[:, t] += gamma ** (s - t) * rewards[:, s]
    found = returns_to_go(rewards, gamma)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(returns_to_go(rewards[0], gamma), expected[0])


def test_reward_to_go_keeps_the_gradient_of_two_steps() -> None:
    """All four trajectories of a problem with three logits: its gradient is (1.104, 0.168, 0.384)."""
    actions = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    rewards = torch.tensor([[1.0, 0.0], [1.0, 2.0], [2.0, 1.0], [2.0, 5.0]], dtype=torch.float64)

    def log_pi(theta: Tensor) -> Tensor:
        logits = torch.stack([theta[0].expand(4), theta[1 + actions[:, 0]]], 1)
        return Bernoulli(logits=logits).log_prob(actions.double())

    theta = torch.logit(torch.tensor([0.6, 0.3, 0.8], dtype=torch.float64))
    probability = log_pi(theta).sum(1).exp()
    terms = (returns_to_go(rewards)[..., None] * jacobian(log_pi, theta)).sum(1)
    mean = probability @ terms
    torch.testing.assert_close(mean, torch.tensor([1.104, 0.168, 0.384], dtype=torch.float64))
    assert (probability @ ((terms - mean) ** 2).sum(1)).item() == pytest.approx(3.823104)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_leave_one_out_keeps_the_gradient_over_all_groups(k: int) -> None:
    found = group_mean(leave_one_out, PROBS, REWARDS, k)
    torch.testing.assert_close(found, exact_gradient(PROBS, REWARDS))


def test_leave_one_out_is_the_estimator_of_the_same_name() -> None:
    k, n, logits = 4, 50, PROBS.log()
    expected = LeaveOneOut(Categorical, k)(lambda z: REWARDS[z], {"logits": logits}, n, generator())
    arms = ScoreFunction(Categorical).noise({"logits": logits}, n * k, generator()).reshape(n, k)
    scores = torch.eye(3, dtype=torch.float64)[arms] - PROBS
    found = (leave_one_out(REWARDS[arms])[..., None] * scores).mean(1)
    torch.testing.assert_close(found, expected["logits"])


def test_group_normalized_turns_the_gradient_of_graded_rewards() -> None:
    """By the sum over all 81 groups; s divides by k - 1, which multiplies by sqrt(3/4)."""
    found = group_mean(lambda r: group_normalized(r, 1e-12), PROBS, REWARDS, 4)
    expected = math.sqrt(3 / 4) * torch.tensor([0.028885, -0.289004, 0.260119], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    cosine = torch.cosine_similarity(found, exact_gradient(PROBS, REWARDS), 0)
    assert math.degrees(math.acos(cosine)) == pytest.approx(20.8142, abs=1e-3)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.9])
@pytest.mark.parametrize(("k", "c"), [(2, 1.0), (3, math.sqrt(2))])
def test_group_normalized_reweights_a_prompt_with_rewards_0_and_1(k: int, c: float, p: float) -> None:
    probs, rewards = torch.tensor([1 - p, p], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = group_mean(lambda r: group_normalized(r, 1e-12), probs, rewards, k)
    torch.testing.assert_close(found, c * math.sqrt((k - 1) / k) * exact_gradient(probs, rewards))


def test_group_normalized_gives_nothing_where_all_rewards_are_equal() -> None:
    assert torch.equal(group_normalized(torch.full((2, 4), 3.0)), torch.zeros(2, 4))
    assert group_normalized(torch.tensor([0.0, 1.0]), eps=1.0).tolist() == pytest.approx([-0.5 / 1.7071068, 0.2928932])


@pytest.mark.parametrize("advantages", [returns_to_go, leave_one_out, group_normalized])
def test_advantages_carry_no_graph_and_leave_the_rewards_alone(advantages: Callable[[Tensor], Tensor]) -> None:
    rewards = torch.tensor([[1.0, 0.0, 4.0], [2.0, 2.0, 5.0]], requires_grad=True)
    found = advantages(rewards)
    assert not found.requires_grad
    assert found.dtype == rewards.dtype
    assert rewards.tolist() == [[1.0, 0.0, 4.0], [2.0, 2.0, 5.0]]
    torch.testing.assert_close(found[1], advantages(rewards[1]))


def step_on_arm_1(old: float, new: float, advantage: tuple[float, float]) -> float:
    """The derivative of E_old[clipped objective] with respect to the logit of arm 1."""
    logit = torch.tensor(math.log(new / (1 - new)), dtype=torch.float64, requires_grad=True)
    before = torch.tensor([1 - old, old], dtype=torch.float64)
    log_new = torch.nn.functional.logsigmoid(torch.stack([-logit, logit]))
    terms = clipped_objective(log_new - before.log(), torch.tensor(advantage, dtype=torch.float64))
    (before @ terms).backward()
    return logit.grad.item()


@pytest.mark.parametrize(
    ("old", "new", "advantage", "expected"),
    [
        (0.5, 0.5, (-0.5, 0.5), 0.25),
        (0.5, 0.58, (-0.5, 0.5), 0.2436),
        (0.5, 0.65, (-0.5, 0.5), 0.0),
        (0.2, 0.25, (-0.2, 0.8), 0.0375),
        (0.2, 0.25, (1.0, 2.0), -0.1875),  # the same advantages, but for a baseline
    ],
)
def test_clipped_objective_of_two_arms(old: float, new: float, advantage: tuple[float, float], expected: float) -> None:
    assert step_on_arm_1(old, new, advantage) == pytest.approx(expected, abs=1e-12)


def test_clipped_objective_is_the_smaller_of_two_products() -> None:
    log_ratio = torch.tensor([[0.5, 1.0, 1.3], [0.5, 1.0, 1.3]]).log().requires_grad_()
    advantage = torch.tensor([[2.0], [-2.0]], requires_grad=True)
    found = clipped_objective(log_ratio, advantage, clip=0.1)
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0, 2.2], [-1.8, -2.0, -2.6]]))
    found.sum().backward()
    torch.testing.assert_close(log_ratio.grad, torch.tensor([[1.0, 2.0, 0.0], [0.0, -2.0, -2.6]]))
    assert advantage.grad is None


@pytest.mark.parametrize("d", [0.5, 2.0])
def test_estimates_of_a_divergence_between_normals(d: float) -> None:
    """N(0, 1) against N(d, 1) by Gauss-Hermite quadrature: KL d^2 / 2, k2 too high by d^4 / 8."""
    x, weight = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(60))
    weight = weight / weight.sum()
    found = kl_estimates(Normal(0.0, 1.0).log_prob(x), Normal(d, 1.0).log_prob(x))
    means = {"k1": d**2 / 2, "k2": d**2 / 2 + d**4 / 8, "k3": d**2 / 2}
    variances = {"k1": d**2, "k2": d**4 / 2 + d**6 / 4, "k3": math.exp(d**2) - 1 - d**2}
    for name, k in found.items():
        assert (weight @ k).item() == pytest.approx(means[name])
        assert (weight @ (k - weight @ k) ** 2).item() == pytest.approx(variances[name])
    assert (found["k3"] >= 0).all()


def test_gradients_of_the_estimates_as_losses() -> None:
    """The sum over three classes, each held fixed: 0, the gradient of KL(q || p), and that of KL(p || q)."""
    p = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
    theta = PROBS.log().requires_grad_()
    found = kl_estimates(theta.log_softmax(0), p.log())
    q = theta.softmax(0)
    directions = {
        "k1": torch.zeros(()) * theta.sum(),
        "k2": (q * (q / p).log()).sum(),
        "k3": (p * (p / q).log()).sum(),
    }
    for name, divergence in directions.items():
        (gradient,) = torch.autograd.grad((PROBS * found[name]).sum(), theta, retain_graph=True)
        (expected,) = torch.autograd.grad(divergence, theta, retain_graph=True)
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
    rewards = {"k1": directions["k2"], "k3": directions["k2"] - directions["k3"]}  # with the score of the sample
    for name, divergence in rewards.items():
        (gradient,) = torch.autograd.grad((q * found[name].detach()).sum(), theta, retain_graph=True)
        (expected,) = torch.autograd.grad(divergence, theta, retain_graph=True)
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
    (gradient,) = torch.autograd.grad((q * found["k2"].detach()).sum(), theta, retain_graph=True)
    torch.testing.assert_close(gradient, torch.tensor([0.032271, -0.081915, 0.049644]).double(), rtol=0, atol=1e-6)
    assert (PROBS * found["k1"]).sum().item() == pytest.approx(0.360062, abs=1e-6)
    assert (PROBS * found["k3"]).sum().item() == pytest.approx(0.360062, abs=1e-6)


def test_antithetic_evolution_strategies_are_pairs_of_the_score_function() -> None:
    """A quadratic with slope v at mu: mean v, variance v_i^2 + |v|^2, whatever sigma is."""
    hessian = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    mu, sigma = torch.tensor([1.0, 0.5], dtype=torch.float64), 0.5
    v = hessian @ mu + torch.tensor([0.5, 0.0], dtype=torch.float64)

    def f(z: Tensor) -> Tensor:
        return ((z @ hessian) * z).sum(1) / 2 + 0.5 * z[:, 0] - 3.0

    estimator = Antithetic(ScoreFunction(Normal))
    found = estimator(f, {"loc": mu, "scale": sigma}, 1_000_000, generator())["loc"]
    agrees(found, v)
    has_variance(found, v**2 + v @ v)


T = torch.tensor
BAD: list[tuple[Callable[..., Any], tuple[Any, ...], type[Exception], str]] = [
    (leave_one_out, ([1.0, 0.0],), TypeError, "rewards must be a tensor"),
    (leave_one_out, (T([1, 0]),), TypeError, "rewards must be a floating-point tensor, got torch.int64"),
    (leave_one_out, (T([1.0]),), ValueError, r"rewards must have a last axis of at least 2, got shape \(1,\)"),
    (leave_one_out, (T(1.0),), ValueError, r"rewards must have a last axis of at least 2, got shape \(\)"),
    (leave_one_out, (T([1.0, math.nan]),), ValueError, "rewards must be finite, got nan"),
    (leave_one_out, (torch.empty(0, 3),), ValueError, "rewards must not be empty"),
    (group_normalized, (T([[1.0]]),), ValueError, "rewards must have a last axis of at least 2"),
    (group_normalized, (T([True, False]),), TypeError, "rewards must be a floating-point tensor, got torch.bool"),
    (group_normalized, (T([1.0, 0.0]), 0.0), ValueError, "eps must be > 0, got 0"),
    (group_normalized, (T([1.0, 0.0]), "small"), TypeError, "eps must be a number"),
    (returns_to_go, (T(1.0),), ValueError, "rewards must have a last axis of at least 1"),
    (returns_to_go, (T([1.0, 2.0]), 1.1), ValueError, r"gamma must be in \[0, 1\], got 1.1"),
    (returns_to_go, (T([1.0, 2.0]), -0.1), ValueError, r"gamma must be in \[0, 1\], got -0.1"),
    (clipped_objective, (0.1, T([1.0])), TypeError, "log_ratio must be a tensor"),
    (clipped_objective, (T([0.1]), 1.0), TypeError, "advantage must be a tensor"),
    (clipped_objective, (torch.zeros(3, 3), torch.zeros(3)), ValueError, "advantage must have as many axes"),
    (clipped_objective, (torch.zeros(3), torch.zeros(2)), ValueError, "must broadcast together, got log_ratio"),
    (clipped_objective, (T([0.1]), T([1.0]), 0.0), ValueError, r"clip must be in \(0, 1\), got 0"),
    (clipped_objective, (T([0.1]), T([1.0]), 1.0), ValueError, r"clip must be in \(0, 1\), got 1"),
    (
        clipped_objective,
        (T([90.0]), T([1.0])),
        ValueError,
        "log_ratio must be below 88.72, where exp overflows",
    ),
    (kl_estimates, (0.1, T([1.0])), TypeError, "log_q must be a tensor"),
    (kl_estimates, (T([0.1]), 1.0), TypeError, "log_p must be a tensor"),
    (kl_estimates, (T([0.1]), T([-math.inf])), ValueError, "log_p must be finite, got -inf"),
    (kl_estimates, (torch.zeros(3, 3), torch.zeros(3)), ValueError, "log_p must have the shape of log_q"),
    (kl_estimates, (T([-90.0]), T([0.0])), ValueError, "log_p - log_q must be below 88.72, where exp overflows"),
]


@pytest.mark.parametrize(("function", "arguments", "error", "message"), BAD)
def test_bad_input_is_named(
    function: Callable[..., Any], arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(*arguments)


def test_equal_rewards_have_no_advantage() -> None:
    for reward in (100.1, 1234.56, 1e5 + 0.1):
        rewards = torch.full((2, 7), reward)
        assert not leave_one_out(rewards).any()
        assert not group_normalized(rewards).any()
    torch.testing.assert_close(leave_one_out(torch.tensor([1e8, 1e8 + 8, 1e8 + 16])), torch.tensor([-12.0, 0.0, 12.0]))


def test_settings_are_single_numbers() -> None:
    for call in (
        lambda: returns_to_go(torch.ones(2, 2), torch.tensor([0.5, 1.0])),
        lambda: group_normalized(torch.ones(2, 2), torch.tensor([0.5, 1.0])),
        lambda: clipped_objective(torch.zeros(2), torch.ones(2), torch.tensor([0.5, 0.1])),
    ):
        with pytest.raises(ValueError, match=r"(gamma|eps|clip) must be one number, got shape \(2,\)"):
            call()
    assert not returns_to_go(torch.ones(3), torch.tensor(0.5, requires_grad=True)).requires_grad

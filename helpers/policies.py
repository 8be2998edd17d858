"""The returns, advantages and penalties that go into a score-function loss for policies and language models.

Each function takes rewards or log-probabilities and does not depend on the model from which they came. A
policy-gradient loss is `-(log_prob * advantage).mean()`, where the advantage is a weight without a gradient.
"""

import math

import torch
from torch import Tensor

from helpers import validate
from helpers.randomness import at_least_float32


def returns_to_go(rewards: Tensor, gamma: float = 1.0) -> Tensor:
    """G_t = sum over s >= t of gamma^(s - t) r_s along the last axis: what was earned from step t on.

    `rewards` is a floating tensor of shape (..., T) and `gamma` lies in [0, 1]. The result has the shape of `rewards`
    and no graph, because it is the weight of the score of step t. Raises TypeError or ValueError for other arguments.
    Source: Sutton et al. 2000; Williams 1992.
    """
    returns = _along_an_axis("rewards", rewards, 1).clone()
    gamma = validate.number("gamma", gamma)
    validate.probability("gamma", torch.tensor(gamma))
    for t in range(returns.shape[-1] - 2, -1, -1):
        returns[..., t] += gamma * returns[..., t + 1]
    return _narrow("returns", returns, rewards.dtype)


def leave_one_out(rewards: Tensor) -> Tensor:
    """r_i minus the mean of the other k - 1 rewards of the group: the advantages of RLOO, which keep the gradient.

    `rewards` is a floating tensor of shape (..., k) with k >= 2, one group along the last axis. The result has the same
    shape and no graph. A sample does not enter its own baseline, so the policy gradient stays unbiased. Raises
    TypeError or ValueError for other arguments. Source: Kool, van Hoof and Welling 2019; Ahmadian et al. 2024.
    """
    centred = _centred(_along_an_axis("rewards", rewards, 2))
    k = centred.shape[-1]
    return _narrow("advantages", centred * (k / (k - 1)), rewards.dtype)


def group_normalized(rewards: Tensor, eps: float = 1e-4) -> Tensor:
    """(r_i - mean) / (s + eps) within the group, where s is its standard deviation: the advantages of GRPO.

    `rewards` is a floating tensor of shape (..., k) with k >= 2, one group along the last axis; s divides by k - 1, as
    common implementations do; `eps` > 0. The result has the same shape and no graph. **Biased**: for 0/1 rewards each
    prompt's gradient is multiplied by a number > 0 that depends on its chance of success, and for graded rewards the
    direction changes as well. Raises TypeError or ValueError for other arguments. Source: Shao et al. 2024.
    """
    centred = _centred(_along_an_axis("rewards", rewards, 2))
    eps = validate.number("eps", eps)
    validate.positive("eps", torch.tensor(eps))
    return _narrow("advantages", centred / (centred.std(-1, keepdim=True) + eps), rewards.dtype)


def clipped_objective(log_ratio: Tensor, advantage: Tensor, clip: float = 0.2) -> Tensor:
    """min(w A, clamp(w, 1 - clip, 1 + clip) A) with w = exp(log_ratio): PPO's objective for each action, to maximise.

    `log_ratio` is log pi_new - log pi_old of the actions, which were drawn from pi_old; the gradient passes through it
    alone. `advantage` has as many axes and broadcasts with it; `clip` lies in (0, 1). At w = 1 the gradient is that of
    the score function. It is zero where A > 0 and w > 1 + clip, and where A < 0 and w < 1 - clip. Raises TypeError or
    ValueError for other arguments, and where a ratio overflows. Source: Schulman et al. 2017.
    """
    _tensor("log_ratio", log_ratio)
    _tensor("advantage", advantage)
    log_ratio, advantage = validate.tensors(log_ratio=log_ratio, advantage=advantage)
    if log_ratio.dim() != advantage.dim():
        shapes = f"{tuple(log_ratio.shape)}, got {tuple(advantage.shape)}"
        raise ValueError(f"advantage must have as many axes as log_ratio, shape {shapes}")
    validate.broadcast({"log_ratio": log_ratio.shape, "advantage": advantage.shape})
    clip = validate.number("clip", clip)
    validate.within("clip", torch.tensor(clip), 0.0, 1.0, "in (0, 1)")
    largest = math.log(torch.finfo(log_ratio.dtype).max)
    validate.within("log_ratio", log_ratio, -math.inf, largest, f"below {largest:.4g}, where exp overflows")
    ratio, advantage = log_ratio.exp(), advantage.detach()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def kl_estimates(log_q: Tensor, log_p: Tensor) -> dict[str, Tensor]:
    """k1 = -log r, k2 = (log r)^2 / 2 and k3 = r - 1 - log r with r = p(x) / q(x): estimates of KL(q || p), x ~ q.

    `log_q` and `log_p` are log-probabilities of the same x, of the same shape, as is each result. k1 and k3 have the
    mean KL(q || p), k2 only nearly; k3 is never negative. The *gradients* of these losses are something else: on
    average, for x drawn and held fixed, that of k1 is 0, that of k2 is the gradient of KL(q || p) and that of k3 is the
    gradient of KL(p || q). Raises TypeError or ValueError for other arguments, and where r overflows.
    Source: Schulman 2020; Tang and Munos 2025.
    """
    _tensor("log_q", log_q)
    _tensor("log_p", log_p)
    log_q, log_p = validate.tensors(log_q=log_q, log_p=log_p)
    if log_q.shape != log_p.shape:
        raise ValueError(f"log_p must have the shape of log_q, shape {tuple(log_q.shape)}, got {tuple(log_p.shape)}")
    dtype = log_q.dtype
    log_r = log_p.to(at_least_float32(dtype)) - log_q.to(at_least_float32(dtype))
    largest = math.log(torch.finfo(dtype).max)
    validate.within("log_p - log_q", log_r, -math.inf, largest, f"below {largest:.4g}, where exp overflows")
    found = {"k1": -log_r, "k2": log_r**2 / 2, "k3": torch.expm1(log_r) - log_r}
    return {name: _narrow(name, value, dtype) for name, value in found.items()}


def _centred(rewards: Tensor) -> Tensor:
    """The rewards minus their mean, exactly 0 if all are equal: the first is subtracted before the mean is rounded."""
    shifted = rewards - rewards[..., :1]
    return shifted - shifted.mean(-1, keepdim=True)


def _tensor(name: str, value: object) -> None:
    validate.instance(name, value, Tensor, "a tensor")


def _along_an_axis(name: str, value: Tensor, smallest: int) -> Tensor:
    """The tensor in float32 at least, without its graph; an error unless its last axis has `smallest` elements."""
    _tensor(name, value)
    (checked,) = validate.tensors(**{name: value})
    if checked.dim() == 0 or checked.shape[-1] < smallest:
        raise ValueError(f"{name} must have a last axis of at least {smallest}, got shape {tuple(checked.shape)}")
    return checked.detach().to(at_least_float32(checked.dtype))


def _narrow(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    """The value in this dtype; ValueError where it does not fit."""
    largest = torch.finfo(dtype).max
    validate.within(
        name,
        value,
        -math.nextafter(largest, math.inf),
        math.nextafter(largest, math.inf),
        f"at most {largest:.4g} in {dtype}",
    )
    return value.to(dtype)

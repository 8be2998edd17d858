"""Differentiable samplers z = g_phi(eps): the noise eps carries no parameter, the map g_phi carries them all.

Each sampler is called as `name(*parameters, sample_shape=(), generator=None)` and returns a tensor of shape
`sample_shape + broadcast(parameters)` with the dtype and device of the parameters, which may be numbers or tensors.
Bad parameters raise ValueError or TypeError with the name and the value.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from helpers import validate
from helpers.randomness import open_uniform
from helpers.validate import Number


def size_of(sample_shape: Sequence[int], generator: Generator | None, **parameters: Tensor) -> tuple[int, ...]:
    validate.instance("generator", generator, Generator | None, "a torch.Generator or None")
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    return validate.shape("sample_shape", sample_shape) + validate.broadcast(shapes)


def normal(
    mu: Number,
    sigma: Number,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """z = mu + sigma * eps, eps ~ N(0, 1): draws of N(mu, sigma^2), sigma > 0.

    Source: Kingma and Welling 2014, section 2.4.
    """
    mu, sigma = validate.tensors(mu=mu, sigma=sigma)
    validate.positive("sigma", sigma)
    size = size_of(sample_shape, generator, mu=mu, sigma=sigma)
    eps = torch.randn(size, dtype=mu.dtype, device=mu.device, generator=generator)
    return mu + sigma * eps


def exponential(rate: Number, *, sample_shape: Sequence[int] = (), generator: Generator | None = None) -> Tensor:
    """z = -log(eps) / rate, eps ~ U(]0, 1[): draws of the exponential law of mean 1 / rate, rate > 0."""
    (rate,) = validate.tensors(rate=rate)
    validate.positive("rate", rate)
    eps = open_uniform(size_of(sample_shape, generator, rate=rate), rate, generator)
    return -torch.log(eps) / rate


def weibull(
    scale: Number,
    concentration: Number,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """z = scale * (-log(eps))^(1 / concentration), eps ~ U(]0, 1[): draws of Weibull(scale, concentration), both > 0.

    A concentration so small that a draw or its derivative could overflow the dtype raises ValueError (about 0.04 in
    float32, 0.006 in float64).
    """
    scale, concentration = validate.tensors(scale=scale, concentration=concentration)
    validate.positive("scale", scale)
    limits = torch.finfo(scale.dtype)
    log_largest = math.log(-math.log(limits.eps / 4))
    smallest = log_largest / (math.log(limits.max) - 16)
    validate.within("concentration", concentration, smallest, math.inf, f"> {smallest:.2g} in {scale.dtype}")
    eps = open_uniform(size_of(sample_shape, generator, scale=scale, concentration=concentration), scale, generator)
    return scale * torch.exp(torch.log(-torch.log(eps)) / concentration)


def inverse_cdf(
    icdf: Callable[..., Tensor],
    *parameters: Number,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
    **named: Number,
) -> Tensor:
    """z = F^-1(eps), eps ~ U(]0, 1[): draws of any law whose quantile function is at hand.

    `icdf(eps, *parameters, **named)` is the quantile function, differentiable in its parameters. Parameters may be
    given by position or by name. Source: Devroye 1986, section II.2.
    """
    validate.instance("icdf", icdf, Callable, "a function")
    values = {f"parameter {i}": value for i, value in enumerate(parameters)} | named
    if not values:
        raise ValueError("parameters must not be empty: inverse_cdf(icdf, *parameters)")
    checked = validate.tensors(**values)
    size = size_of(sample_shape, generator, **dict(zip(values, checked, strict=True)))
    eps = open_uniform(size, checked[0], generator)
    by_position, by_name = checked[: len(parameters)], checked[len(parameters) :]
    return icdf(eps, *by_position, **dict(zip(named, by_name, strict=True)))


class _Log(torch.autograd.Function):
    """log(x) from one of the copies where x was expanded: to take it of each costs a third of all the other work."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.log(validate.distinct(x)).expand_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return grad_output * validate.distinct(ctx.saved_tensors[0]).reciprocal()


def _gumbel_scores(probs: Tensor, size: Sequence[int], generator: Generator | None) -> Tensor:
    """g_i + log pi_i, the classes on the first axis: torch's softmax takes less than half the time there."""
    u = open_uniform((size[-1], *size[:-1]), probs, generator)
    log = _Log.apply if 0 in probs.stride() and not validate.tracing.active else torch.log
    return log(probs).expand(size).movedim(-1, 0) - u.log_().neg_().log_()


def _one_hot_of_largest(scores: Tensor) -> Tensor:
    """From classes on the first axis to classes on the last."""
    return torch.zeros_like(scores).scatter_(0, scores.argmax(0, keepdim=True), 1.0).movedim(0, -1)


def gumbel_max(probs: Number, *, sample_shape: Sequence[int] = (), generator: Generator | None = None) -> Tensor:
    """y = one_hot(argmax_i(g_i + log pi_i)), g_i ~ Gumbel(0, 1): one-hot draws of the categorical law `probs`.

    `probs` has its classes on the last axis, each > 0, summing to 1. argmax has no useful derivative: y carries no
    gradient. Source: Gumbel 1954; Maddison, Tarlow and Minka 2014.
    """
    (probs,) = validate.tensors(probs=probs)
    validate.distribution("probs", probs)
    scores = _gumbel_scores(probs, size_of(sample_shape, generator, probs=probs), generator)
    return _one_hot_of_largest(scores.detach())


def gumbel_softmax(
    probs: Number,
    temperature: Number,
    hard: bool = False,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """y = softmax((g + log pi) / temperature), g_i ~ Gumbel(0, 1): the relaxed one-hot draw.

    `probs` has its classes on the last axis, each > 0, summing to 1; `temperature` > 0 broadcasts with `probs`, so a
    temperature for each row has shape (..., 1). With `hard`, the value is the one-hot vector of the largest entry
    and the derivative is that of the relaxed draw (straight-through Gumbel-softmax).
    Source: Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017.
    """
    probs, temperature = validate.tensors(probs=probs, temperature=temperature)
    validate.instance("hard", hard, bool, "True or False")
    validate.distribution("probs", probs)
    validate.positive("temperature", temperature)
    if temperature.dim() > 0 and temperature.shape[-1] != 1:
        raise ValueError(f"temperature must have a last axis of 1, got shape {tuple(temperature.shape)}")
    size = size_of(sample_shape, generator, probs=probs, temperature=temperature)
    scores = _gumbel_scores(probs, size, generator)
    one_hot = _one_hot_of_largest(scores.detach()) if hard else None
    # in place: a pass that writes to other memory takes several times as long
    soft = torch.softmax(scores.div_(temperature.squeeze(-1)), dim=0).movedim(0, -1)
    return soft if one_hot is None else one_hot + (soft - soft.detach())


def binary_concrete(
    p: Number,
    temperature: Number,
    *,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """y = sigmoid((logit(p) + l) / temperature), l = logit(eps), eps ~ U(]0, 1[): the relaxed Bernoulli draw.

    p in ]0, 1[, temperature > 0. The difference of two Gumbels is one logistic l, so this is the two-class
    Gumbel-softmax. Source: Maddison, Mnih and Teh 2017, appendix B.
    """
    p, temperature = validate.tensors(p=p, temperature=temperature)
    validate.within("p", p, 0.0, 1.0, "in ]0, 1[")
    validate.positive("temperature", temperature)
    eps = open_uniform(size_of(sample_shape, generator, p=p, temperature=temperature), p, generator)
    return torch.sigmoid((torch.logit(p) + torch.logit(eps)) / temperature)


def bernoulli_straight_through(
    p: Number, *, sample_shape: Sequence[int] = (), generator: Generator | None = None
) -> Tensor:
    """y ~ Bernoulli(p) in value, dy/dp = 1 in derivative; p in [0, 1]. A biased estimator, not a reparametrization.

    Source: Bengio, Leonard and Courville 2013.
    """
    (p,) = validate.tensors(p=p)
    validate.probability("p", p)
    p = p.expand(size_of(sample_shape, generator, p=p))
    return torch.bernoulli(p.detach(), generator=generator) + (p - p.detach())


class _StraightThrough(torch.autograd.Function):
    """Forward draws; backward hands the gradient on as it came, and None to what is not a tensor."""

    @staticmethod
    def forward(ctx: object, p: Tensor, generator: Generator | None) -> Tensor:
        return torch.bernoulli(p, generator=generator)

    @staticmethod
    def backward(ctx: object, grad_output: Tensor) -> tuple[Tensor, None]:
        return grad_output, None


class BernoulliSTE(nn.Module):
    """The straight-through Bernoulli as a layer: p of any shape, in [0, 1], to draws of the same shape.

    Source: Bengio, Leonard and Courville 2013.
    """

    def forward(self, p: Tensor, generator: Generator | None = None) -> Tensor:
        """Draws y ~ Bernoulli(p); backward gives p the gradient that y receives."""
        (p,) = validate.tensors(p=p)
        validate.probability("p", p)
        validate.instance("generator", generator, Generator | None, "a torch.Generator or None")
        return _StraightThrough.apply(p, generator)

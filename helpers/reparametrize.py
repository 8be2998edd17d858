"""Differentiable samplers z = g(eps, parameters), in which only the map g has parameters and the noise eps has none.

Each sampler is called as `name(*parameters, sample_shape=(), generator=None)` and returns a tensor of shape
`sample_shape + broadcast(parameters)` with the dtype and device of the parameters, which may be numbers or tensors.
Half precision is computed in float32 and rounded at the end. `name.noise` is the noise and `name.g` the map g. Bad
parameters raise a ValueError or TypeError with their name and value.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import WRAPPER_ASSIGNMENTS, partial
from inspect import Parameter, Signature, signature
from typing import Any

import torch
from torch import Generator, Tensor, nn

from helpers import validate
from helpers.randomness import Noise, at_least_float32, standard_gumbel, standard_normal, uniform
from helpers.validate import Number

Check = Callable[[str, Any], None]

_SETTINGS = (
    Parameter("sample_shape", Parameter.KEYWORD_ONLY, default=()),
    Parameter("generator", Parameter.KEYWORD_ONLY, default=None),
)


def size_of(sample_shape: Sequence[int], generator: Generator | None, **parameters: Tensor) -> tuple[int, ...]:
    """The shape of samples, `sample_shape + broadcast(parameters)`; TypeError or ValueError for bad arguments."""
    validate.instance("generator", generator, Generator | None, "a torch.Generator or None")
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    return validate.shape("sample_shape", sample_shape) + validate.broadcast(shapes)


@dataclass(frozen=True, eq=False)
class Reparametrization:
    """A sampler z = g(eps, *parameters) with eps from `noise`, whose derivative is that of g for fixed eps.

    The arguments of g after eps are the parameters; one with a default is an option, which is passed on unchanged.
    `domain` maps a name to a check, called as `check(name, value)`, that raises an error for a bad value; `fixed` holds
    arguments that are given in advance. Source: Kingma and Welling 2014, section 2.4.
    """

    noise: Noise
    g: Callable[..., Tensor]
    domain: Mapping[str, Check] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        validate.instance("g", self.g, Callable, "a function")
        try:
            _, *arguments = signature(self.g).parameters.values()
        except ValueError:  # from `signature`, or because there is no argument
            raise ValueError(
                f"g must be a Python function of eps and its parameters, got {self.g!r}; wrap it in a lambda"
            ) from None
        if unknown := set(self.domain) - {argument.name for argument in arguments}:
            raise ValueError(f"domain must name parameters of g, got {', '.join(map(repr, sorted(unknown)))}")
        of_g = {name: getattr(self.g, name) for name in WRAPPER_ASSIGNMENTS if hasattr(self.g, name)}
        vars(self).update(of_g, _arguments=Signature(arguments), __signature__=Signature([*arguments, *_SETTINGS]))

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle a sampler that a module defines by its name, as functions are."""
        name = vars(self).get("__name__", "")
        if getattr(sys.modules.get(self.__module__), name, None) is self:
            return name
        return type(self), (self.noise, self.g, self.domain, self.fixed)

    def __repr__(self) -> str:
        name = vars(self).get("__name__", repr(self.g))
        return f"partial({', '.join([name, *(f'{key}=...' for key in self.fixed)])})" if self.fixed else name

    def __call__(
        self, *parameters: Number, sample_shape: Sequence[int] = (), generator: Generator | None = None, **named: Any
    ) -> Tensor:
        """Samples of shape `sample_shape + broadcast(parameters)`."""
        arguments = self.checked(*parameters, **named)
        return self.at(self.draw(arguments, sample_shape, generator), **arguments)

    def checked(self, *parameters: Number, **named: Any) -> dict[str, Any]:
        """The result of `bound`, whose parameters are within their domains."""
        arguments = self.bound(*parameters, **named)
        for name, check in self.domain.items():
            check(name, arguments[name])
        return arguments

    def bound(self, *parameters: Number, **named: Any) -> dict[str, Any]:
        """The arguments of g after eps by name: parameters as finite tensors of one dtype, options unchanged."""
        try:
            bound = self._arguments.bind(*parameters, **(self.fixed | named))
        except TypeError as error:
            raise TypeError(f"the parameters must be {', '.join(self._arguments.parameters)}: {error}") from None
        bound.apply_defaults()
        options = {p.name for p in self._arguments.parameters.values() if p.default is not Parameter.empty}
        names = [name for name in bound.arguments if name not in options]
        tensors = validate.tensors(**{name: bound.arguments[name] for name in names})
        return bound.arguments | dict(zip(names, tensors, strict=True))

    def draw(self, arguments: Mapping[str, Any], sample_shape: Sequence[int], generator: Generator | None) -> Tensor:
        """The noise for `sample_shape` samples; `arguments` is the result of `bound`."""
        like = next(value for value in arguments.values() if isinstance(value, Tensor))
        return self.noise.draw(self.size(arguments, sample_shape, generator), like, generator)

    def size(
        self, arguments: Mapping[str, Any], sample_shape: Sequence[int] = (), generator: Generator | None = None
    ) -> tuple[int, ...]:
        """The shape of the noise and of the samples; `arguments` is the result of `bound`."""
        tensors = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
        return size_of(sample_shape, generator, **tensors)

    def at(self, eps: Tensor, **arguments: Any) -> Tensor:
        """g(eps, **arguments) in the dtype of the parameters; half precision is computed in float32 and then rounded.

        Raises ValueError if a sample is too large for half precision.
        """
        dtype = next(value.dtype for value in arguments.values() if isinstance(value, Tensor))
        wide = at_least_float32(dtype)
        if dtype == wide:
            return self.g(eps, **arguments)
        z = self.g(eps, **{n: v.to(wide) if isinstance(v, Tensor) else v for n, v in arguments.items()}).to(dtype)
        if not z.isfinite().all():
            raise ValueError(f"samples must be at most {torch.finfo(dtype).max:.4g} in {dtype}; use float32")
        return z


def reparametrization(noise: Noise, **domain: Check) -> Callable[[Callable[..., Tensor]], Reparametrization]:
    """Decorator that turns the map g(eps, *parameters) into a sampler with this noise; `domain` checks parameters."""
    return lambda g: Reparametrization(noise, g, domain)


def reparametrization_of(sampler: object) -> Reparametrization | None:
    """The sampler as a `Reparametrization`, even if `functools.partial` fixes some parameters; otherwise None."""
    if isinstance(sampler, partial) and isinstance(sampler.func, Reparametrization):
        names = signature(sampler.func).parameters
        settings = {"sample_shape", "generator"} & set(sampler.keywords)
        fixed = dict(zip(names, sampler.args, strict=False)) | sampler.keywords
        return None if settings else replace(sampler.func, fixed=sampler.func.fixed | fixed)
    return sampler if isinstance(sampler, Reparametrization) else None


@reparametrization(standard_normal, sigma=validate.positive)
def normal(eps: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """Samples of N(mu, sigma^2), z = mu + sigma * eps with eps ~ N(0, 1); sigma > 0.

    Source: Kingma and Welling 2014, section 2.4.
    """
    return mu + sigma * eps


@reparametrization(uniform, rate=validate.positive)
def exponential(eps: Tensor, rate: Tensor) -> Tensor:
    """Samples of the exponential distribution of mean 1 / rate, z = -log(eps) / rate with eps ~ U(0, 1); rate > 0.

    Source: Devroye 1986, section II.2.
    """
    return -torch.log(eps) / rate


def _concentration(name: str, concentration: Tensor) -> None:
    """Raise ValueError unless, at the largest -log(eps), sample and derivative fit the dtype, with room for scale."""
    limits = torch.finfo(at_least_float32(concentration.dtype))
    smallest = math.log(-math.log(limits.eps / 4)) / (math.log(limits.max) - 16)
    validate.within(name, concentration, smallest, math.inf, f"> {smallest:.2g} in {limits.dtype}")


@reparametrization(uniform, scale=validate.positive, concentration=_concentration)
def weibull(eps: Tensor, scale: Tensor, concentration: Tensor) -> Tensor:
    """Samples of Weibull(scale, concentration), z = scale * (-log(eps))^(1 / concentration) with eps ~ U(0, 1).

    Both parameters are > 0. Raises ValueError for a concentration so small that a sample or its derivative could
    overflow the dtype (below about 0.04 in float32, 0.005 in float64). Source: Devroye 1986, section II.2.
    """
    return scale * torch.exp(torch.log(-torch.log(eps)) / concentration)


def inverse_cdf(
    icdf: Callable[..., Tensor],
    *parameters: Number,
    sample_shape: Sequence[int] = (),
    generator: Generator | None = None,
    **named: Number,
) -> Tensor:
    """Samples z = F^-1(eps), eps ~ U(0, 1), of any distribution whose inverse CDF (quantile function) is known.

    `icdf(eps, *parameters, **named)` is the inverse CDF, differentiable with respect to its parameters. As a sampler,
    this is `Reparametrization(uniform, icdf)`. Source: Devroye 1986, section II.2.
    """
    validate.instance("icdf", icdf, Callable, "a function")
    if not parameters and not named:
        raise ValueError("parameters must not be empty: inverse_cdf(icdf, *parameters)")
    sampler = Reparametrization(uniform, icdf)
    return sampler(*parameters, sample_shape=sample_shape, generator=generator, **named)


class _LogOfCopies(torch.autograd.Function):
    """log(x), computed once for all copies if x was expanded; computing each would take as long as all the rest."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.log(validate.distinct(x)).expand_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        # Under create_graph each copy needs its own place in the graph.
        return grad_output * (x if torch.is_grad_enabled() else validate.distinct(x)).reciprocal()


def _log(x: Tensor) -> Tensor:
    shared = 0 in x.stride() and not torch.compiler.is_compiling()
    return _LogOfCopies.apply(x) if shared else torch.log(x)


def one_hot_of_largest(scores: Tensor) -> Tensor:
    """The one-hot vector of the largest entry along the last axis, without a gradient."""
    return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)


@reparametrization(standard_gumbel, probs=validate.distribution)
def gumbel_max(eps: Tensor, probs: Tensor) -> Tensor:
    """One-hot samples of the categorical distribution, y = one_hot(argmax_i(eps_i + log pi_i)), eps_i ~ Gumbel(0, 1).

    `probs` holds pi, with the classes on the last axis, each > 0, summing to 1. y carries no gradient, because argmax
    has no useful derivative. Source: Gumbel 1954; Maddison, Tarlow and Minka 2014.
    """
    return one_hot_of_largest(eps + torch.log(probs.detach()))


def _flag(name: str, value: object) -> None:
    validate.instance(name, value, bool, "True or False")


@reparametrization(standard_gumbel, probs=validate.distribution, temperature=validate.temperature, hard=_flag)
def gumbel_softmax(eps: Tensor, probs: Tensor, temperature: Tensor, hard: bool = False) -> Tensor:
    """Relaxed one-hot samples, y = softmax((eps + log pi) / temperature) with eps_i ~ Gumbel(0, 1).

    `probs` holds pi, with the classes on the last axis, each > 0, summing to 1. `temperature` > 0 broadcasts with
    `probs`, so one temperature per row has shape (..., 1). With `hard`, the value is the one-hot vector of the largest
    entry, and the derivative is that of the relaxed sample (straight-through Gumbel-softmax).
    Source: Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017.
    """
    scores = eps + _log(probs)
    one_hot = one_hot_of_largest(scores.detach()) if hard else None
    # In place, and over the axis that comes first in memory, because anything else takes several times as long.
    soft = torch.softmax(scores.div_(temperature).movedim(-1, 0), dim=0).movedim(0, -1)
    return soft if one_hot is None else one_hot + (soft - soft.detach())


def _inside(name: str, p: Tensor) -> None:
    validate.within(name, p, 0.0, 1.0, "in (0, 1)")


@reparametrization(uniform, p=_inside, temperature=validate.positive)
def binary_concrete(eps: Tensor, p: Tensor, temperature: Tensor) -> Tensor:
    """Relaxed Bernoulli samples, y = sigmoid((logit(p) + logit(eps)) / temperature) with eps ~ U(0, 1).

    p is in (0, 1), and temperature > 0. The difference of two Gumbel variables is a logistic variable, here logit(eps),
    so this is the Gumbel-softmax with two classes. Source: Maddison, Mnih and Teh 2017.
    """
    return torch.sigmoid((torch.logit(p) + torch.logit(eps)) / temperature)


@reparametrization(uniform, p=validate.probability)
def bernoulli_straight_through(eps: Tensor, p: Tensor) -> Tensor:
    """Samples of Bernoulli(p), y = 1[eps < p] with eps ~ U(0, 1), whose derivative dy/dp is set to 1; p in [0, 1].

    A biased estimator, since y is not differentiable with respect to p. Source: Bengio, Leonard and Courville 2013.
    """
    return (eps < p).to(p.dtype) + (p - p.detach())


class BernoulliSTE(nn.Module):
    """The straight-through Bernoulli sampler as a layer, from p in [0, 1] of any shape to samples of the same shape.

    Source: Bengio, Leonard and Courville 2013.
    """

    def forward(self, p: Tensor, generator: Generator | None = None) -> Tensor:
        """Samples y ~ Bernoulli(p); the backward pass gives p the gradient that y receives."""
        (p,) = validate.tensors(p=p)
        validate.probability("p", p)
        validate.instance("generator", generator, Generator | None, "a torch.Generator or None")
        y = torch.bernoulli(p.detach().to(at_least_float32(p.dtype)), generator=generator).to(p.dtype)
        return y + (p - p.detach())

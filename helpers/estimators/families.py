"""Families of distributions q_phi: a class of `torch.distributions`, or any function from parameters to a Distribution.

The parameters of a class broadcast elementwise, so one copy of them per sample gives per-sample gradients. What a
function does with its parameters is not known, `Normal((x * w).sum(), 1.0)` for instance: it is called once, with the
parameters in their own shape, and per-sample gradients are the rows of a Jacobian.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import Parameter, signature

import torch
from torch import Generator, Tensor, nn
from torch.distributions import (
    Beta,
    ContinuousBernoulli,
    Distribution,
    Independent,
    IndependentTransform,
    InverseGamma,
    Kumaraswamy,
    LKJCholesky,
    LogisticNormal,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    Transform,
    TransformedDistribution,
    constraints,
)

from helpers import validate
from helpers.estimators.base import Values, own_leaves
from helpers.implicit import BY_GAMMA, check_spread, concentrations
from helpers.randomness import at_least_float32, drawing_from, draws

# Classes whose samples underflow or are rounded to an end of their support, or whose density loses digits, in float32.
_WIDE = (
    *BY_GAMMA,
    ContinuousBernoulli,
    InverseGamma,
    Kumaraswamy,
    LogisticNormal,
    LowRankMultivariateNormal,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)

Family = type[Distribution] | Callable[..., Distribution]


def is_class(family: object) -> bool:
    """Whether it is a class of `torch.distributions`, or one derived from those."""
    return isinstance(family, type) and issubclass(family, Distribution)


def is_function(family: object) -> bool:
    """Whether it can be a function from parameters to a Distribution: no other class, and without a `generator`."""
    if isinstance(family, type) or not callable(family):
        return False
    try:
        arguments = signature(family.forward if isinstance(family, nn.Module) else family).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(a.name != "generator" and a.kind is not Parameter.VAR_KEYWORD for a in arguments)


def check_family(name: str, family: object) -> None:
    """Raise TypeError unless it is a class of `torch.distributions` or a function from parameters to a Distribution."""
    if not is_class(family) and (isinstance(family, type) or not callable(family)):
        wanted = "a class of torch.distributions or a function from the parameters to a Distribution"
        raise TypeError(f"{name} must be {wanted}, got {family!r}")


def name_of(family: Family) -> str:
    """The name of the class or function, for error messages."""
    return getattr(family, "__name__", repr(family))


def event_dims(family: Family, params: Values) -> dict[str, int]:
    """How many axes of each parameter of a class belong to one sample; ValueError for a name that is no parameter."""
    found, arguments = {}, signature(family).parameters
    for name, value in params.items():
        if name not in arguments:
            raise ValueError(f"params must name arguments of {name_of(family)}, got {name!r}")
        domain = _domain_of(family, name, params)
        if domain is None or constraints.is_dependent(domain):
            raise ValueError(
                f"params must name arguments whose domain torch states, got {name!r} of {name_of(family)}: give a "
                f"function from the parameters to the distribution, such as lambda {name}: {name_of(family)}(...)"
            )
        if value.dim() < domain.event_dim:
            raise ValueError(f"{name} must have at least {domain.event_dim} axes, got shape {tuple(value.shape)}")
        found[name] = domain.event_dim
    validate.broadcast({name: params[name].shape[: params[name].dim() - found[name]] for name in params})
    return found


def check_params(family: Family, params: Values) -> None:
    """Raise ValueError for names, values or sizes that a class cannot take; a function checks its own.

    A size is wrong if parameters belong to samples of different sizes, which torch need not notice. A function must
    give the same distribution each time, because the samples and their density come from different calls.
    """
    if not is_class(family):
        _check_same(family, params)
        return
    dims = {name: dim for name, dim in event_dims(family, params).items() if dim}
    for name, value in params.items():
        domain = _domain_of(family, name, params)
        if not domain.check(value).all():
            raise ValueError(f"{name} must satisfy {domain}, got {value}")
    event = at_own_shape(family, params).event_shape if dims else ()
    for name, dim in dims.items():
        size = params[name].shape[-dim]
        if event and size != event[-1]:
            shapes = {each: tuple(value.shape) for each, value in params.items()}
            raise ValueError(f"parameters must belong to samples of one size, got {event[-1]} and {size} from {shapes}")


def _check_same(family: Family, params: Values) -> None:
    """Raise ValueError if a function draws its distribution at random, as with dropout."""
    device = next(iter(params.values())).device
    if not draws(lambda: at_own_shape(family, params), device):
        return
    source, few = Generator(device), []
    for _ in range(5):
        with drawing_from(source):
            q = at_own_shape(family, params)
        with torch.no_grad(), drawing_from(Generator(device).manual_seed(0)):
            few.append(q.sample())
    if not all(z.equal(few[0]) for z in few):
        raise ValueError(
            f"{name_of(family)} must give the same distribution at each call, but it draws random numbers; switch "
            "dropout off with eval()"
        )


def _domain_of(family: Family, name: str, params: Values) -> constraints.Constraint | None:
    """The domain of an argument of a class; where it depends on other arguments, that at these parameters."""
    domains = family.arg_constraints
    if not isinstance(domains, Mapping):
        domains = at_own_shape(family, params).arg_constraints
    return domains.get(name) if isinstance(domains, Mapping) else None


def at_own_shape(family: Family, params: Values) -> Distribution:
    """The distribution at these parameters; TypeError or ValueError, with the reason, where there is none."""
    given = ", ".join(params)
    try:
        signature(family).bind(**params)
    except TypeError as error:
        raise ValueError(f"params must be the arguments of {name_of(family)}, got {given}: {error}") from None
    q = family(**params, **({"validate_args": False} if is_class(family) else {}))
    if not isinstance(q, Distribution):
        raise TypeError(f"{name_of(family)} must return a torch Distribution, got {type(q).__name__}")
    return q


NO_GRAPH = "use operations of torch on tensors, such as torch.exp and not math.exp"


def moved(params: Values, name: str) -> Values:
    """The parameters with this one a hundredth larger, which shows whether a function depends on it."""
    return params | {name: params[name] + 0.01 * params[name].abs().clamp(min=0.01)}


def check_graph(family: Family, params: Values, z: Tensor, name: str) -> None:
    """Raise ValueError if a function depends on this parameter, although no graph leads from its density to it."""
    try:
        with torch.no_grad():
            before, after = (at_own_shape(family, values).log_prob(z) for values in (params, moved(params, name)))
    except ValueError:  # the distribution does not exist there
        return
    if not before.equal(after):
        raise ValueError(f"{name_of(family)} depends on {name!r} and carries no graph to it: {NO_GRAPH}")


def check_derivative(family: Family, params: Values) -> Distribution:
    """The distribution at `params`, or ValueError where grad log q misses a part of the derivative of an expectation.

    This is so where a parameter moves an end of the support, or a probability or rate that is 0 (or a probability that
    is 1): what has no probability now is never sampled, though it would be sampled at another parameter.
    """
    leaves = own_leaves(params)
    with torch.enable_grad():
        q = at_own_shape(family, leaves)
        if _move(_ends_of_support(q), leaves):
            raise ValueError(f"distribution must have a support that no parameter moves, got {name_of(family)}")
        for name, edge in _arguments_on_an_edge(q):
            if _move([edge], leaves):
                bounds = "> 0" if name == "rate" else "> 0 and < 1"
                raise ValueError(
                    f"{name} of {name_of(family)} must be {bounds}, got {edge.flatten()[0].item():.6g}: its samples "
                    "never show the derivative there"
                )
    return q


def widened(family: Family, params: Values) -> Values:
    """The parameters in the dtype in which samples are drawn and their density is computed.

    That of a class is float32 at least, as half precision has too few uniform numbers, and float64 where torch's
    samples underflow or its density loses digits. A function may hold tensors of its own, whose dtype is not known, so
    it keeps the dtype. Raises ValueError for a function of half precision.
    """
    if is_class(family) and issubclass(family, _WIDE):
        return {name: value.double() for name, value in params.items()}
    narrow = any(value.dtype.itemsize < 4 for value in params.values())
    if narrow and not is_class(family):
        raise ValueError(f"params of the function {name_of(family)} must have at least float32, got half precision")
    return {name: value.to(at_least_float32(value.dtype)) for name, value in params.items()} if narrow else params


def check_digits(q: Distribution, like: Tensor) -> None:
    """Raise ValueError where samples of q in its own precision have too few digits for the score, or in that of `like`
    for f.

    One Gamma variable in a million may underflow, one Beta variable in a million may be rounded to 1, and a sample may
    be rounded by a fiftieth of its standard deviation, or before f sees it by a third.
    """
    _check_rounding(q, like)
    _check_inverse(q, like)
    while isinstance(q, Independent | TransformedDistribution | MixtureSameFamily):
        q = q.component_distribution if isinstance(q, MixtureSameFamily) else q.base_dist
    if isinstance(q, BY_GAMMA):
        for name, value in concentrations(q):
            _at_least("tiny", name + " / 2" if name.startswith("df") else name, value, "torch's samples underflow")
    if isinstance(q, Beta):
        _at_least("eps", "concentration0", q.concentration0, "samples are rounded to 1")
    if isinstance(q, LKJCholesky) and q.dim > 2:
        raise ValueError(f"LKJCholesky must have dim 2, as torch draws others with wrong probabilities, got {q.dim}")
    if isinstance(q, LKJCholesky):
        _at_least("eps", "concentration", q.concentration, "samples are rounded to correlations of 1")
    if isinstance(q, ContinuousBernoulli) and "probs" in vars(q):
        least = torch.finfo(q.probs.dtype).eps  # torch clamps probs to it, which loses the derivative
        validate.within(
            "probs of ContinuousBernoulli", q.probs, least, 1 - least, f"> {least:.2g} and < 1 - {least:.2g}"
        )
    if isinstance(getattr(q, "loc", None), Tensor) and isinstance(getattr(q, "scale", None), Tensor):
        rounding = torch.finfo(q.loc.dtype).eps * q.loc.abs() / q.scale
        validate.within("eps * |loc| / scale", rounding, -1.0, 0.02, "< 0.02, or samples have too few digits")


def _check_rounding(q: Distribution, like: Tensor) -> None:
    moments = _moments(q)
    if moments is None:  # then a few samples show it, drawn from a generator of their own
        with torch.no_grad(), drawing_from(Generator(like.device).manual_seed(0)):
            check_spread(q.sample((100,)), q)
        return
    mean, deviation = moments
    if q.support.is_discrete or not mean.is_floating_point():
        return
    ratio = (mean.detach().abs() / deviation.detach()).nan_to_num(0.0, 0.0, 0.0)
    for precision, largest in ((mean.dtype, 0.02), (like.dtype, 0.3)):
        rounding = torch.finfo(precision).eps * ratio
        name = f"eps * |mean| / standard deviation in {precision}"
        validate.within(name, rounding, -1.0, largest, f"< {largest}, or samples have too few digits")


def _check_inverse(q: Distribution, like: Tensor) -> None:
    """Raise ValueError if more than one sample in 200 is rounded where a transform is flat, as sigmoid is at its ends.

    The density is computed from the sample by the inverse transform, which then finds another number or none.
    """
    while isinstance(q, Independent | MixtureSameFamily):
        q = q.component_distribution if isinstance(q, MixtureSameFamily) else q.base_dist
    if not isinstance(q, TransformedDistribution) or not all(t.bijective for t in q.transforms):
        return
    if _is_discrete(q.base_dist):
        return
    share = _share_lost(q, 1000, like.device)
    if share > 0:
        share = _share_lost(q, 10_000, like.device)
    if share > 5e-3:
        raise ValueError(
            f"samples of {type(q).__name__} must keep the digits that its density needs, but {100 * share:.2g}% of "
            f"them are rounded in {like.dtype} where its transform is flat; use float64, or the variable before the "
            "transform, as in LogitRelaxedBernoulli"
        )


def _share_lost(q: TransformedDistribution, numbers: int, device: torch.device) -> float:
    """The share of about so many numbers, or of vectors where a transform mixes coordinates, that are not found again.

    Of the numbers it is that of the worst coordinate, if there are enough samples to tell.
    """
    size = max(1, (q.base_dist.batch_shape + q.base_dist.event_shape).numel())
    n = max(2, min(max(100, numbers // size), 1_000_000 // size))
    transforms = [_elementwise(t) for t in q.transforms]
    with torch.no_grad(), drawing_from(Generator(device).manual_seed(0)):
        x = z = q.base_dist.sample((n,))
        try:
            for transform in transforms:
                z = transform(z)
            z = z.clone()  # another tensor, because a transform may remember from what it made this one
            for transform in reversed(transforms):
                z = transform.inv(z)
        except NotImplementedError:  # a transform need not have an inverse that is computed
            return 0.0
    spread = x.std(0) if n >= 100 else x.std()
    lost = ~((z - x).abs() <= 0.02 * spread + torch.finfo(x.dtype).eps * x.abs())
    if any(max(t.domain.event_dim, t.codomain.event_dim) > 0 for t in transforms):
        return lost.reshape(n, -1).any(1).double().mean().item()
    shares = lost.double().mean(0)
    return (shares.max() if n >= 1000 else shares.mean()).item()


def _elementwise(transform: Transform) -> Transform:
    """The transform of each coordinate, where this one says only that several coordinates belong together."""
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return transform


def _is_discrete(q: Distribution) -> bool:
    """Whether q says that its support is discrete; a reader's own class need not say."""
    try:
        return bool(getattr(q.support, "is_discrete", False))
    except NotImplementedError:
        return False


def _moments(q: Distribution) -> tuple[Tensor, Tensor] | None:
    """The mean and the standard deviation; None if torch does not know them, or not the support."""
    try:
        return (q.mean, q.stddev) if q.support is not None else None
    except (NotImplementedError, AttributeError):
        return None


def _at_least(limit: str, name: str, value: Tensor, reason: str) -> None:
    """Raise ValueError if a variable with this concentration is beyond the limit once in a million."""
    least = math.log(1e-6) / math.log(getattr(torch.finfo(value.dtype), limit))
    validate.within(name, value, least, math.inf, f"> {least:.3g} in {value.dtype}, below which {reason}")


def _move(ends: list[Tensor], leaves: Values) -> bool:
    """Whether one of these numbers has a derivative other than 0 with respect to a parameter."""
    for end in ends:
        if end.requires_grad:
            finite = end[end.isfinite()]
            # Unequal weights, as the derivatives of several ends may cancel: probabilities sum to 1.
            weights = 1 + (0.618 * torch.arange(len(finite), device=end.device)) % 1
            slopes = torch.autograd.grad(
                (finite * weights).sum(), list(leaves.values()), allow_unused=True, retain_graph=True
            )
            if any(slope is not None and slope.nan_to_num(0.0).any() for slope in slopes):  # NaN: 0 times infinity
                return True
    return False


def _ends_of_support(q: Distribution) -> list[Tensor]:
    """The finite ends of the support, with their graph."""
    if isinstance(q, Independent):
        return _ends_of_support(q.base_dist)
    if isinstance(q, MixtureSameFamily):
        return _ends_of_support(q.component_distribution)
    if type(q) is TransformedDistribution:
        ends = _places(q.base_dist)
        for transform in q.transforms:
            while isinstance(transform, IndependentTransform):
                transform = transform.base_transform
            if max(transform.domain.event_dim, transform.codomain.event_dim) > 0:
                return []  # of a vector, whose coordinates it mixes
            ends = [transform(end) for end in ends]
            if _is_real(transform.codomain) and not _is_real(transform.domain):
                ends = []  # they went to infinity, though torch clamps them
        return ends
    try:
        support = q.support
    except NotImplementedError:  # of a reader's own class, which need not say
        return []
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    ends = (getattr(support, name) for name in ("lower_bound", "upper_bound") if hasattr(support, name))
    return [torch.as_tensor(end) for end in ends]


def _places(q: Distribution) -> list[Tensor]:
    """What a transform must not move: the ends of the support, infinite ones too, or two values of a discrete one."""
    if _is_discrete(q):
        return [torch.zeros(q.batch_shape + q.event_shape), torch.ones(q.batch_shape + q.event_shape)]
    return _ends_of_support(q) or [torch.tensor(-math.inf), torch.tensor(math.inf)]


def _is_real(constraint: constraints.Constraint) -> bool:
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint is constraints.real


def _arguments_on_an_edge(q: Distribution) -> Iterator[tuple[str, Tensor]]:
    """The probabilities and rates that are exactly at an end of their domain, with their graph.

    A probability that is 0 or 1 because its logit is so large has no derivative there, so nothing is lost.
    """
    for name in ("base_dist", "component_distribution", "mixture_distribution"):
        if isinstance(getattr(q, name, None), Distribution):
            yield from _arguments_on_an_edge(getattr(q, name))
    for name in ("probs", "rate"):
        value = getattr(q, name, None)
        if isinstance(value, Tensor):
            edge = (value <= 0) if name == "rate" else (value <= 0) | (value >= 1)
            if edge.any():
                yield name, value[edge]


def numbers_of_sample(family: Family, params: Values) -> int:
    """The size of one sample, of the largest parameter, or of the terms of its probability, whichever is largest."""
    q = at_own_shape(family, params)
    sizes = [q.event_shape.numel(), getattr(q, "terms", 1)]
    if isinstance(q, MixtureSameFamily):  # its density takes that of each component
        sizes.append(q.event_shape.numel() * q.component_distribution.batch_shape[-1])
    return max(q.batch_shape.numel() * max(sizes), *(value.numel() for value in params.values()))


def class_in(sampler: object) -> type[Distribution] | None:
    """The class in `partial(rsample, distribution)`, whose parameters are then those of the sampler."""
    if not isinstance(sampler, partial):
        return None
    first = sampler.args[0] if sampler.args else sampler.keywords.get("distribution")
    return first if is_class(first) else None

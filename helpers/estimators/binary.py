"""Gradients of E[f(y)] for a vector y of independent Bernoulli variables: unbiased ones of low variance, and ReinMax.

As in their sources, the parameter is the logit: params is {"logits": phi}, p = sigmoid(phi); f maps y of shape
(n, *phi.shape), zeros and ones, to (n,). For the derivative in p, divide by p (1 - p). Leave-one-out is
`LeaveOneOut(Bernoulli, k)`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from helpers import validate
from helpers.estimators.base import Estimator, Gradients, Objective, Values, beside, objective, trying
from helpers.randomness import Noise, open_uniform, uniform
from helpers.reparametrize import size_of
from helpers.validate import Number


class BinaryEstimator(Estimator):
    """An estimator for independent Bernoulli variables: params is {"logits": phi}, the noise is uniform."""

    def check(self, params: Values, n: int) -> None:
        """Raise ValueError unless the only parameter is `logits`."""
        validate.same_names("params", params, {"logits": None})

    def standard_noise(self, params: Values) -> tuple[Noise, torch.Size]:
        """One uniform number for each coordinate."""
        return uniform, params["logits"].shape

    def noise_from(self, eps: Tensor, params: Values) -> Tensor:
        """The uniform numbers u."""
        return eps

    def noise(self, params: Values, n: int, generator: Generator | None) -> Tensor:
        """One uniform number u for each of n samples of each coordinate."""
        logits = params["logits"]
        return open_uniform((n, *logits.shape), logits, generator)

    def samples(self, noise: Tensor, params: Values) -> Tensor:
        """y = 1[u > sigmoid(-phi)]."""
        return (1 - noise < torch.sigmoid(params["logits"])).to(noise.dtype)


def _antithetic(f: Objective, logits: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y from u and y' from 1 - u, and (f(y) - f(y')) / 2."""
    with torch.no_grad():
        y, other = ((v < torch.sigmoid(logits)).to(u.dtype) for v in (1 - u, u))
        half = (f(y) - f(other)) / 2
    return y, other, beside(half, u.dim())


@dataclass(frozen=True)
class ARM(BinaryEstimator):
    """(f(y) - f(y')) (u - 1/2), u uniform, y = 1[u > sigmoid(-phi)], y' = 1[u < sigmoid(phi)].

    Augment, reinforce, merge: two evaluations of f for all coordinates together. Unbiased.
    Source: Yin and Zhou 2019.
    """

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """(f(y) - f(y')) (u - 1/2)."""
        logits, u = params["logits"], noise
        _, _, half = _antithetic(f, logits, u)
        return {"logits": half * (2 * u - 1)}


@dataclass(frozen=True)
class DisARM(BinaryEstimator):
    """(f(y) - f(y')) / 2 (y - y') sigmoid(|phi|): the mean of ARM given y and y', known as U2G as well.

    It evaluates f twice. Its variance is that of ARM minus the part that is due to u once y and y' are known. Unbiased.
    Source: Dong, Mnih and Tucker 2020; Yin et al. 2020.
    """

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """(f(y) - f(y')) / 2 (y - y') sigmoid(|phi|)."""
        logits, u = params["logits"], noise
        y, other, half = _antithetic(f, logits, u)
        return {"logits": half * (y - other) * torch.sigmoid(logits.abs())}


def _eps(values: Tensor, z: Tensor) -> float:
    """The rounding of values that may be wider than the samples from which they come."""
    return max(torch.finfo(values.dtype).eps, torch.finfo(z.dtype).eps)


def _check_slope(called: str, control: Objective, z: Tensor, slope: Tensor, values: Tensor) -> None:
    """Raise ValueError if the graph of the control misses a part of its derivative, at most of a few samples."""
    few = z[:8]

    def agrees(h: float) -> bool:
        at, up, down = (control(few + step) for step in (0.0, h, -h))
        rounding = 64 * _eps(at, z) * at.abs().max()
        off = (up - down - 2 * h * slope[:8].reshape(len(few), -1).sum(1)).abs().median()
        near = 0.05 * (up - down).abs().median() + rounding
        draws = not torch.allclose(at, values[:8])
        return draws or bool(off <= near)

    try:
        with trying(), torch.no_grad():
            agree = agrees(1e-3) or agrees(1e-4)  # the control may be steep
    except Exception:  # it may take no other number of samples
        return
    if not agree:
        raise ValueError(f"{called} must be differentiable, but its graph misses a part, as where it detaches")


def _check_jump(called: str, control: Objective, z: Tensor, values: Tensor) -> None:
    """Raise ValueError if the control jumps on the line between the samples with its least and its greatest value.

    The line is cut into eight parts, and so is each part whose difference the derivatives at its ends do not explain,
    until they do.
    """
    least, greatest = values.argmin(), values.argmax()
    low, high, gap = z[least][None], z[greatest][None], values[greatest] - values[least]
    rounding = 8 * _eps(values, z) * values.abs().max()
    share = torch.linspace(0, 1, 9, dtype=z.dtype, device=z.device).reshape(-1, *[1] * (z.dim() - 1))
    try:
        with trying(), torch.enable_grad():
            for _ in range(20):
                at = torch.lerp(low[:, None], high[:, None], share).requires_grad_()
                c = control(at.flatten(0, 1)).to(z.dtype).reshape(at.shape[:2])
                (slope,) = torch.autograd.grad(c.sum(), at)
                along = (slope * (high - low)[:, None]).flatten(2).sum(2)
                missed = (c.diff(dim=1) - (along[:, 1:] + along[:, :-1]) / 16).abs()
                part = missed.flatten().topk(min(16, missed.numel())).indices
                part = part[missed.flatten()[part] > 0.02 * gap + rounding]
                if len(part) == 0:
                    return
                line, step = part // 8, part % 8
                low, high = at[line, step].detach(), at[line, step + 1].detach()
            draws = not torch.allclose(control(at.flatten(0, 1)).to(z.dtype).reshape(c.shape), c)
    except Exception:  # it may take no other number of samples
        return
    if not draws:
        raise ValueError(f"{called} must be differentiable, but it jumps. DisARM needs no differentiable f")


def _with_control(
    f: Objective, control: Objective, called: str, u: Tensor, logits: Tensor, keep_graph: bool
) -> Gradients:
    """The estimate of `RELAX`; errors name the control by the argument that it was `called`."""
    z = (logits + torch.logit(u)).requires_grad_()
    with torch.enable_grad():
        c = control(z)
        if not c.requires_grad and not (c == c[0]).all():
            raise ValueError(
                f"{called} must be differentiable, got values that differ and carry no graph. "
                "DisARM needs no differentiable f"
            )
        total = c.sum() + 0 * z.sum()  # a constant control has no graph of its own
        (slope,) = torch.autograd.grad(total, z, create_graph=keep_graph)
    z = z.detach()
    _check_slope(called, control, z, slope.detach(), c.detach())
    _check_jump(called, control, z, c.detach())
    y = (z > 0).to(z.dtype)
    weight = f(y).detach() - (c if keep_graph else c.detach())
    speed = -torch.expm1(-z.abs()) * torch.sigmoid((2 * y - 1) * logits)
    return {"logits": beside(weight, z.dim()) * (y - torch.sigmoid(logits)) + slope * (1 - speed)}


@dataclass(frozen=True)
class RELAX(BinaryEstimator):
    """(f(y) - c(z')) (y - p) + d/dphi c(z) - d/dphi c(z'), z = phi + logit(u), y = 1[z > 0], z' ~ q(z | y).

    c is the `control`: any differentiable map of z, shape (n, *phi.shape), to (n,); the closer c(z) is to f(y), the
    less variance. Unbiased for every c, as the last two terms make up for what the first takes away. The noise of z' is
    the one that makes z' = z, but z' moves with phi at another speed, dz'/dphi = (1 - exp(-|z|)) q(y). So one
    evaluation of f and one of c are enough. With `keep_graph` the result can be differentiated with respect to the
    control's parameters, to train them for less variance. Raises ValueError for a c that jumps, or whose graph misses a
    part of its derivative. Source: Grathwohl et al. 2018; tied noise: Tucker et al. 2017.
    """

    control: Callable[[Tensor], Tensor]
    keep_graph: bool = False

    def __post_init__(self) -> None:
        validate.instance("control", self.control, Callable, "a function")
        validate.instance("keep_graph", self.keep_graph, bool, "True or False")

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """(f(y) - c(z')) (y - p) + d/dphi c(z) - d/dphi c(z')."""
        control = objective(self.control, params, "control")
        return _with_control(f, control, "control", noise, params["logits"], self.keep_graph)


@dataclass(frozen=True)
class REBAR(BinaryEstimator):
    """RELAX with the control c(z) = scale * f(sigmoid(z / temperature)), f itself at relaxed samples.

    f must be differentiable on [0, 1] as well; temperature > 0. Two evaluations of f. To train temperature and scale,
    write that control and give it to RELAX. Source: Tucker et al. 2017.
    """

    temperature: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        validate.number("scale", self.scale)
        temperature = validate.number("temperature", self.temperature)
        if not temperature > 0:
            raise ValueError(f"temperature must be > 0, got {temperature:.6g}")

    def gradients(self, f: Objective, noise: Tensor, params: Values) -> Gradients:
        """Those of RELAX with the control of this class."""

        def control(z: Tensor) -> Tensor:
            return self.scale * f(torch.sigmoid(z / self.temperature))

        return _with_control(f, control, "f", noise, params["logits"], keep_graph=False)


def bernoulli_reinmax(
    logits: Number, *, sample_shape: Sequence[int] = (), generator: Generator | None = None
) -> Tensor:
    """y ~ Bernoulli(p) in value, p = sigmoid(phi); dy/dphi = 2 q (1 - q) - p (1 - p) / 2, q = (y + p) / 2.

    A sampler for `Pathwise`. Where straight-through puts p f'(1) + (1 - p) f'(0) for f(1) - f(0), this puts the
    trapezoid (f'(0) + f'(1)) / 2: exact where f is quadratic in each coordinate, biased elsewhere.
    Source: Liu et al. 2023 (ReinMax, for two categories).
    """
    (logits,) = validate.tensors(logits=logits)
    logits = logits.expand(size_of(sample_shape, generator, logits=logits))
    with torch.no_grad():
        p = torch.sigmoid(logits)
        y = torch.bernoulli(p, generator=generator)
        q = (y + p) / 2
        slope = 2 * q * (1 - q) - p * (1 - p) / 2
    return y + slope * (logits - logits.detach())

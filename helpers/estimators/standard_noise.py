"""The parameter-free noise of a torch Distribution, and the map from it to samples."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, MultivariateNormal, Normal

from helpers.randomness import Noise, standard_normal, uniform


def standard_noise_of(q: Distribution) -> tuple[Noise, torch.Size, Callable[[Tensor], Tensor]] | None:
    """The noise, its shape for one sample, and the map to samples of q; None if q has no known inverse CDF.

    The noise is normal for a normal distribution, and uniform for others, whose map is the inverse CDF.
    """
    if type(q) is Independent:
        return standard_noise_of(q.base_dist)
    if type(q) is Normal:
        return standard_normal, q.batch_shape, lambda eps: q.loc + q.scale * eps
    if type(q) is MultivariateNormal:
        shape = q.batch_shape + q.event_shape
        return standard_normal, shape, lambda eps: q.loc + (q.scale_tril @ eps[..., None])[..., 0]
    if type(q) is Bernoulli:
        return uniform, q.batch_shape, lambda u: (u < q.probs).to(q.probs.dtype)
    if not _is_its_own(q, "icdf"):
        return None
    try:
        q.icdf(torch.full(q.batch_shape, 0.5))
    except NotImplementedError:
        return None
    # in float64, because some inverse CDFs of torch first subtract 1/2 from u
    return uniform, q.batch_shape + q.event_shape, lambda u: q.icdf(u.double())


def _is_its_own(q: Distribution, name: str) -> bool:
    """Whether no class of a reader has samples or densities of its own, and this method from a class of torch."""
    kinds = type(q).__mro__
    derived = kinds[: next(i for i, kind in enumerate(kinds) if name in vars(kind))]
    own = [set(vars(kind)) for kind in derived if not kind.__module__.startswith("torch.")]
    return not any(names & {"sample", "rsample", "log_prob", "cdf"} for names in own)

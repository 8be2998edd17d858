"""The same work by other libraries: d/dmu and d/dsigma of E[z^2], z ~ N(mu, sigma^2), from n draws in float32.

Each function here prepares a peer and returns `work(n)`, which gives both estimates. ImportError says that it is not
installed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

MU, SIGMA = 12.0, 42.0
Work = Callable[[int], tuple[float, float]]


def _mean_and_error(gradient: Any) -> tuple[Any, Any]:
    """Of per-sample gradients, in the peer's own array type."""
    mean = gradient.mean()
    return mean, (((gradient - mean) ** 2).mean() / gradient.size) ** 0.5


def loop() -> Work:
    """One draw, one backward pass, and so on: what the article does."""

    def work(n: int) -> tuple[float, float]:
        mu, sigma = torch.tensor([MU], requires_grad=True), torch.tensor([SIGMA], requires_grad=True)
        gradients = torch.empty(n, 2)
        for i in range(n):
            z = mu + sigma * torch.randn(1)
            (z**2).backward()
            gradients[i, 0], gradients[i, 1] = mu.grad, sigma.grad
            mu.grad = sigma.grad = None
        _, (d_mu, d_sigma) = torch.std_mean(gradients, dim=0)
        return d_mu.item(), d_sigma.item()

    return work


def torch_vmap() -> Work:
    """torch.func.vmap(grad)."""

    def value(mu: Tensor, sigma: Tensor, eps: Tensor) -> Tensor:
        return (mu + sigma * eps) ** 2

    per_sample = torch.func.vmap(torch.func.grad(value, argnums=(0, 1)), in_dims=(None, None, 0))

    def work(n: int) -> tuple[float, float]:
        gradients = per_sample(torch.tensor(MU), torch.tensor(SIGMA), torch.randn(n))
        (d_mu, _), (d_sigma, _) = (_mean_and_error(gradient.numpy()) for gradient in gradients)
        return float(d_mu), float(d_sigma)

    return work


def _jax(per_sample: Callable[[Any], Callable[..., Any]]) -> Work:
    import jax

    def all_samples(key: Any, mu: float, sigma: float, n: int) -> Any:
        eps = jax.random.normal(key, (n,))
        return [_mean_and_error(gradient) for gradient in per_sample(jax)(mu, sigma, eps)]

    compiled = jax.jit(all_samples, static_argnums=3)

    def work(n: int) -> tuple[float, float]:
        (d_mu, _), (d_sigma, _) = compiled(jax.random.key(0), MU, SIGMA, n)
        return float(d_mu), float(d_sigma)

    return work


def jax_vmap() -> Work:
    """jax.jit(vmap(grad)), draws and moments included."""

    def per_sample(jax: Any) -> Callable[..., Any]:
        def value(mu: Any, sigma: Any, eps: Any) -> Any:
            return (mu + sigma * eps) ** 2

        return jax.vmap(jax.grad(value, argnums=(0, 1)), in_axes=(None, None, 0))

    return _jax(per_sample)


def jax_jacobian() -> Work:
    """The Jacobian of all costs in the parameters, forward mode, as mc_gradients and early optax take it."""

    def per_sample(jax: Any) -> Callable[..., Any]:
        return jax.jacfwd(lambda mu, sigma, eps: (mu + sigma * eps) ** 2, argnums=(0, 1))

    return _jax(per_sample)


def pyro_particles() -> Work:
    """Pyro's Trace_ELBO with vectorised particles; the mean only, no standard error."""
    import pyro
    from pyro import distributions
    from pyro.infer import Trace_ELBO

    mu, sigma = torch.tensor(MU, requires_grad=True), torch.tensor(SIGMA, requires_grad=True)

    def model() -> None:  # the masks leave both densities out, and E[z^2] is what is left of the ELBO
        pyro.factor("f", pyro.sample("z", distributions.Normal(0.0, 1.0).mask(False)) ** 2)

    def guide() -> None:
        pyro.sample("z", distributions.Normal(mu, sigma).mask(False))

    def work(n: int) -> tuple[float, float]:
        elbo = Trace_ELBO(num_particles=n, vectorize_particles=True, max_plate_nesting=0)
        d_mu, d_sigma = torch.autograd.grad(-elbo.differentiable_loss(model, guide), (mu, sigma))
        return d_mu.item(), d_sigma.item()

    return work


def storchastic() -> Work:
    """Storchastic's Reparameterization; the mean only, no standard error."""
    import storch
    from torch.distributions import Normal

    def work(n: int) -> tuple[float, float]:
        mu, sigma = torch.tensor(MU, requires_grad=True), torch.tensor(SIGMA, requires_grad=True)
        z = storch.method.Reparameterization("z", n_samples=n)(Normal(mu, sigma))
        storch.add_cost(z**2, "f")
        storch.backward()
        return mu.grad.item(), sigma.grad.item()

    return work


PEERS: dict[str, Callable[[], Work]] = {
    "torch.func.vmap(grad)": torch_vmap,
    "jax.jit(vmap(grad))": jax_vmap,
    "jax.jit(jacfwd), as mc_gradients": jax_jacobian,
    "Pyro Trace_ELBO, vectorised": pyro_particles,
    "Storchastic Reparameterization": storchastic,
}

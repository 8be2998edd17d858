"""A loss whose derivatives, of every order, estimate those of an expectation."""

import torch
from torch import Tensor

from helpers import validate


def dice(values: Tensor, log_density: Tensor) -> Tensor:
    """`values` times the magic box exp(log q - stopped(log q)): f(z) in value, for each draw z.

    Its k-th derivative in phi is unbiased for that of E[f(z)], through the score function where z carries no gradient;
    what `values` itself carries adds the derivative of f. Both have shape (n,), log_density the graph; take the mean,
    then torch.autograd.grad with create_graph=True as often as needed. Source: Foerster et al. 2018.
    """
    validate.instance("values", values, Tensor, "a tensor")
    validate.instance("log_density", log_density, Tensor, "a tensor")
    if values.shape != log_density.shape:
        raise ValueError(f"log_density must have shape {tuple(values.shape)}, got {tuple(log_density.shape)}")
    return values * torch.exp(log_density - log_density.detach())

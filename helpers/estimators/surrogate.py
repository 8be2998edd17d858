"""A loss whose derivatives, of every order, estimate those of an expectation."""

import torch
from torch import Tensor

from helpers import validate


def dice(values: Tensor, log_density: Tensor) -> Tensor:
    """`values` times the magic box exp(log q - stopped(log q)), which equals f(z) for each sample z.

    Its k-th derivative with respect to phi is unbiased for that of E[f(z)], by the score function if z has no graph.
    A graph of `values` adds the derivative of f. Both arguments have shape (n,), and `log_density` carries the graph.
    Take the mean, then apply torch.autograd.grad with create_graph=True as often as needed. Raises TypeError unless
    both are tensors, and ValueError if their shapes differ. Source: Foerster et al. 2018.
    """
    validate.instance("values", values, Tensor, "a tensor")
    validate.instance("log_density", log_density, Tensor, "a tensor")
    if values.shape != log_density.shape:
        raise ValueError(f"log_density must have shape {tuple(values.shape)}, got {tuple(log_density.shape)}")
    return values * torch.exp(log_density - log_density.detach())

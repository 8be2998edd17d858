"""The shared package of the book: samplers, estimators, the Monte-Carlo loop, the graph crawler, figures."""

from helpers import estimators, graph, monte_carlo, plots, reparametrize
from helpers.graph import get_graph
from helpers.monte_carlo import Estimate, compare, estimate_gradient
from helpers.reparametrize import BernoulliSTE
from helpers.streams import SEED
from helpers.trial import try_all

__all__ = [
    "SEED",
    "BernoulliSTE",
    "Estimate",
    "compare",
    "estimate_gradient",
    "estimators",
    "get_graph",
    "graph",
    "monte_carlo",
    "plots",
    "reparametrize",
    "try_all",
]

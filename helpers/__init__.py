"""The package that all chapters share: samplers, estimators, the Monte-Carlo loop, the graph crawler, and figures."""

from helpers import drawing, estimators, graph, monte_carlo, plots, randomness, reparametrize
from helpers.comparison import compare_estimators
from helpers.estimate import Estimate, compare
from helpers.graph import get_graph
from helpers.monte_carlo import estimate_gradient, estimate_means
from helpers.randomness import SEED
from helpers.reparametrize import BernoulliSTE

__version__ = "0.1.0"

__all__ = [
    "SEED",
    "BernoulliSTE",
    "Estimate",
    "compare",
    "compare_estimators",
    "drawing",
    "estimate_gradient",
    "estimate_means",
    "estimators",
    "get_graph",
    "graph",
    "monte_carlo",
    "plots",
    "randomness",
    "reparametrize",
]

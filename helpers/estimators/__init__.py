"""The estimators of grad_phi E[f(z)]; `helpers.estimators.base` describes what they have in common."""

from helpers.estimators.base import Estimator, Gradients, Objective, Params, WithParams
from helpers.estimators.better_samples import Antithetic, QuasiMonteCarlo
from helpers.estimators.binary import ARM, REBAR, RELAX, DisARM, bernoulli_reinmax
from helpers.estimators.bounds import STL, VIMCO, DReG, ImportanceWeighted
from helpers.estimators.control_variates import ControlVariate, LeaveOneOut, best_baseline, quadratic, values_and_scores
from helpers.estimators.measure_valued import TRIPLES, MeasureValued
from helpers.estimators.pathwise import Pathwise
from helpers.estimators.score_function import ScoreFunction
from helpers.estimators.surrogate import dice

__all__ = [
    "ARM",
    "REBAR",
    "RELAX",
    "STL",
    "TRIPLES",
    "VIMCO",
    "Antithetic",
    "ControlVariate",
    "DReG",
    "DisARM",
    "Estimator",
    "Gradients",
    "ImportanceWeighted",
    "LeaveOneOut",
    "MeasureValued",
    "Objective",
    "Params",
    "Pathwise",
    "QuasiMonteCarlo",
    "ScoreFunction",
    "WithParams",
    "bernoulli_reinmax",
    "best_baseline",
    "dice",
    "quadratic",
    "values_and_scores",
]

"""The estimators of grad_phi E[f(z)]; `helpers.estimators.base` describes what they have in common."""

from helpers.estimators.base import Estimator, Gradients, Objective, Params, WithParams
from helpers.estimators.better_samples import Antithetic, QuasiMonteCarlo
from helpers.estimators.binary import ARM, REBAR, RELAX, DisARM, bernoulli_reinmax
from helpers.estimators.bounds import STL, VIMCO, DReG, ImportanceWeighted
from helpers.estimators.categorical import (
    AntitheticPair,
    LocalExpectation,
    Subset,
    WithoutReplacement,
    categorical_reinmax,
    categorical_straight_through,
    gumbel_rao,
    gumbel_top_k,
    relaxed_top_k,
)
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
    "AntitheticPair",
    "ControlVariate",
    "DReG",
    "DisARM",
    "Estimator",
    "Gradients",
    "ImportanceWeighted",
    "LeaveOneOut",
    "LocalExpectation",
    "MeasureValued",
    "Objective",
    "Params",
    "Pathwise",
    "QuasiMonteCarlo",
    "ScoreFunction",
    "Subset",
    "WithParams",
    "WithoutReplacement",
    "bernoulli_reinmax",
    "best_baseline",
    "categorical_reinmax",
    "categorical_straight_through",
    "dice",
    "gumbel_rao",
    "gumbel_top_k",
    "quadratic",
    "relaxed_top_k",
    "values_and_scores",
]

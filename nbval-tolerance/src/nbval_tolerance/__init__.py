"""Compare the estimates that notebooks print within their standard errors. `pytest --nbval` uses this by itself."""

from nbval_tolerance.grammar import Number
from nbval_tolerance.outputs import compare, numbers, report
from nbval_tolerance.rule import (
    Disagreement,
    Tolerance,
    disagreements,
    only_rough_numbers_differ,
    standard_errors_apart,
)

__all__ = [
    "Disagreement",
    "Number",
    "Tolerance",
    "compare",
    "disagreements",
    "numbers",
    "only_rough_numbers_differ",
    "report",
    "standard_errors_apart",
]

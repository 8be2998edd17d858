"""What the README says about false alarms, checked by simulation."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from nbval_tolerance import Tolerance, disagreements

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PAIRS = 1500
RNG = np.random.default_rng(20260101)
DISTRIBUTIONS: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
    "normal": RNG.standard_normal,
    "exponential": lambda shape: RNG.exponential(size=shape),
    "Student t, 3 degrees of freedom": lambda shape: RNG.standard_t(3, shape),
    "log-normal": lambda shape: np.exp(RNG.standard_normal(shape)),
}


def table() -> dict[tuple[str, int], float]:
    """The rates of the README, by distribution and number of replicates."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in README.splitlines() if "|" in line]
    head = next(i for i, row in enumerate(rows) if row[0] == "replicates")
    body = rows[head + 2 : head + 2 + 6]
    return {
        (name, int(row[0])): float(cell.removesuffix(" %")) / 100
        for row in body
        for name, cell in zip(rows[head][1:], row[1:], strict=True)
    }


def test_the_table_is_complete() -> None:
    assert table().keys() == {(name, n) for name in DISTRIBUTIONS for n in (5, 10, 16, 30, 100, 1000)}


@pytest.mark.parametrize(("name", "n"), table(), ids=str)
def test_false_alarms_are_as_many_as_stated(name: str, n: int) -> None:
    """1,500 pairs of honest runs, within 4.5 standard errors: a false alarm of this test has probability 7e-6.

    The stated rates are rounded to two digits; one alarm more is allowed where they are near 0.
    """
    stated = table()[name, n]
    alarms = 0
    for _ in range(PAIRS):
        draws = DISTRIBUTIONS[name]((2, n))
        means, errors = draws.mean(1), draws.std(1, ddof=1) / np.sqrt(n)
        alarms += bool(disagreements(*(f"{m:.6f} ± {s:.6f}" for m, s in zip(means, errors, strict=True))))
    spread = 4.5 * np.sqrt(PAIRS * stated * (1 - stated)) + 0.05 * PAIRS * stated + 1
    assert abs(alarms - PAIRS * stated) <= spread


def test_with_known_standard_errors() -> None:
    assert 2 * NormalDist().cdf(-Tolerance.sigmas) == pytest.approx(7e-6, rel=0.05)
    assert "7 × 10⁻⁶" in README
    means = 5 + 0.1 * RNG.standard_normal((8000, 2))
    alarms = sum(bool(disagreements(f"{a} ± 0.1000", f"{b} ± 0.1000")) for a, b in means)
    assert alarms <= 3  # expected 0.06; more than 3 has probability 3e-7


def test_rounding_adds_no_false_alarms() -> None:
    """Two honest runs with a standard error of 0.004 or 0.02, printed to two decimals."""
    for error in (0.004, 0.02):
        means = 5 + error * RNG.standard_normal((PAIRS, 2))
        alarms = sum(bool(disagreements(f"{a:.2f} ± {error:.3f}", f"{b:.2f} ± {error:.3f}")) for a, b in means)
        assert alarms == 0  # 0.01 expected without rounding


def test_a_three_percent_error_is_seen_where_the_standard_error_is_under_a_third_of_a_percent() -> None:
    assert disagreements("1.0000 ± 0.0033", "1.0300 ± 0.0033")


def test_the_factors_that_the_readme_gives_for_few_replicates() -> None:
    """With them at most one honest pair in 500 of normal data disagrees; stated is one in 1,000."""
    found = re.findall(r"factor (\S+) for (\d+)", README)
    assert {int(n) for _, n in found} == {5, 10, 16}
    for factor, n in found:
        draws = RNG.standard_normal((2, 20_000, int(n)))
        errors = draws.std(-1, ddof=1)
        alarms = np.sum(errors.max(0) > float(factor) * errors.min(0))
        assert alarms <= 40  # 20 are expected, and 40 is 4.5 standard deviations more

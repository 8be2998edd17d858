"""What the README says about false alarms, checked by simulation."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from nbval_tolerance import Tolerance, disagreements

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PAIRS = 2000
LEVEL = 2e-6  # of each side of each check
RNG = np.random.default_rng(20260101)
DISTRIBUTIONS: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
    "normal": RNG.standard_normal,
    "exponential": lambda shape: RNG.exponential(size=shape),
    "Student t, 3 degrees of freedom": lambda shape: RNG.standard_t(3, shape),
    "log-normal": lambda shape: np.exp(RNG.standard_normal(shape)),
}


def table() -> dict[tuple[str, int], str]:
    """The rates of the README, by distribution and number of replicates."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in README.splitlines() if "|" in line]
    head = next(i for i, row in enumerate(rows) if row[0] == "replicates")
    body = rows[head + 2 : head + 2 + 6]
    return {(name, int(row[0])): cell for row in body for name, cell in zip(rows[head][1:], row[1:], strict=True)}


def test_the_table_is_complete() -> None:
    assert table().keys() == {(name, n) for name in DISTRIBUTIONS for n in (5, 10, 16, 30, 100, 1000)}


def rate(cell: str) -> tuple[float, float]:
    """The rates that a cell of the table may mean: it is rounded to its last digit."""
    if cell.startswith("<"):
        return 0.0, float(cell.strip("< %")) / 100
    shown = cell.removesuffix("%")
    half = 0.5 * 10.0 ** -len(shown.partition(".")[2])
    return (float(shown) - half) / 100, (float(shown) + half) / 100


def at_least(count: int, trials: int, p: float) -> float:
    """The probability of `count` or more successes in `trials` trials, each with probability p."""
    terms = np.cumsum(np.log((trials - np.arange(trials)) / (1 + np.arange(trials)))) if trials else np.zeros(0)
    ways = np.concatenate([[0.0], terms])
    successes = np.arange(trials + 1)
    return float(np.exp(ways + successes * np.log(p) + (trials - successes) * np.log1p(-p))[count:].sum())


def has_the_rate(alarms: int, pairs: int, low: float, high: float) -> bool:
    """Whether so many alarms are no surprise for any rate from low to high.

    A right rate is refused with probability LEVEL at most, on either side.
    """
    too_many = at_least(alarms, pairs, high) < LEVEL
    too_few = low > 0 and 1 - at_least(alarms + 1, pairs, low) < LEVEL
    return not too_many and not too_few


def alarms_of(means: np.ndarray, errors: np.ndarray, decimals: int = 6) -> int:
    """How many pairs of printed estimates disagree; both arrays have the shape (pairs, 2)."""
    runs = (
        "\n".join(f"{m:.{decimals}f} ± {s:.{decimals + 1}f}" for m, s in zip(means[:, i], errors[:, i], strict=True))
        for i in (0, 1)
    )
    return len(disagreements(*runs))


@pytest.mark.parametrize(("name", "n"), table(), ids=str)
def test_false_alarms_are_as_many_as_stated(name: str, n: int) -> None:
    """2,000 pairs of honest runs.

    A right table of 24 rates is refused with probability 24 * 2 * LEVEL = 1e-4. A rate that is stated as 1% where it
    is 2.5%, or as 10% where it is 15%, is refused with probability 0.7 or more (a test below works it out).
    """
    draws = DISTRIBUTIONS[name]((PAIRS, 2, n))
    assert has_the_rate(alarms_of(draws.mean(-1), draws.std(-1, ddof=1) / np.sqrt(n)), PAIRS, *rate(table()[name, n]))


@pytest.mark.parametrize(("stated", "true"), [("1.0%", 0.025), ("10%", 0.15), ("40%", 0.465), ("< 0.01%", 0.005)])
def test_a_wrong_rate_is_seen(stated: str, true: float) -> None:
    """The power of the check above, for some rates that are off."""
    low, high = rate(stated)
    accepted = [count for count in range(PAIRS + 1) if has_the_rate(count, PAIRS, low, high)]
    passes = at_least(accepted[0], PAIRS, true) - at_least(accepted[-1] + 1, PAIRS, true)
    assert 1 - passes >= 0.7


def test_with_known_standard_errors() -> None:
    assert 2 * NormalDist().cdf(-Tolerance.sigmas) == pytest.approx(7e-6, rel=0.05)
    assert "7 × 10⁻⁶" in README
    means = 5 + 0.1 * RNG.standard_normal((8000, 2))
    assert alarms_of(means, np.full_like(means, 0.1)) <= 3  # expected 0.05; more than 3 has probability 3e-7


def test_rounding_adds_no_false_alarms() -> None:
    """Two honest runs with a standard error of 0.004 or 0.02, printed to two decimals."""
    for error in (0.004, 0.02):
        means = 5 + error * RNG.standard_normal((PAIRS, 2))
        assert alarms_of(means, np.full_like(means, error), decimals=2) == 0  # 0.03 expected without rounding


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


def ranges(draws: np.ndarray) -> str:
    """A line for each row of draws, with their median, smallest and largest."""
    rows = np.stack([np.median(draws, -1), draws.min(-1), draws.max(-1)], -1)
    return "\n".join(f"≈ {middle:.9f} ({low:.9f} to {high:.9f})" for middle, low, high in rows)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_ranges_of_a_few_runs_rarely_disagree(name: str) -> None:
    """A right rate is refused with probability LEVEL at most."""
    assert "with 4 runs at most one in 500" in README
    assert "of 6 runs, at most one comparison in 10,000" in README
    for n, stated in ((4, 1 / 500), (6, 1 / 10_000)):
        draws = DISTRIBUTIONS[name]((2, 10_000, n))
        apart = np.maximum(*draws.min(-1)) > np.minimum(*draws.max(-1))
        assert not disagreements(*map(ranges, draws[:, ~apart][:, :1000]))  # ranges that overlap agree
        assert at_least(len(disagreements(*map(ranges, draws[:, apart]))), 10_000, stated) > LEVEL


def test_a_shift_of_six_standard_deviations_is_seen_by_the_ranges_of_six_runs() -> None:
    draws = RNG.standard_normal((2, PAIRS, 6))
    draws[1] += 6
    assert len(disagreements(*map(ranges, draws))) > 0.7 * PAIRS

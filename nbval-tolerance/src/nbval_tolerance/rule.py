"""The rule: when a number that is printed now confirms the one that was stored, and when a whole text does."""

import itertools
import math
from dataclasses import dataclass, fields

from nbval_tolerance.grammar import Number, Token, shows_nonfinite, tokens

ROUNDING = 1 + 1e-9  # what floating point may add to a distance that is allowed exactly
GAP = 0.5  # between two ranges, as a fraction of the sum of their widths


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart.

    `sigmas`: estimates, in combined standard errors, and a z score from 0. `factor`: the larger standard error divided
    by the smaller. `relative`: values whose standard error is 0, as a fraction of their size. `rough_factor`: figures
    after ≈. ValueError unless all are finite, `sigmas` > 0, `relative` >= 0, and both factors >= 1.
    """

    sigmas: float = 4.5
    factor: float = 2.0
    relative: float = 1e-6
    rough_factor: float = 100.0

    def __post_init__(self) -> None:
        for field, (low, allowed) in zip(
            fields(self), ((0, "> 0"), (1, ">= 1"), (0, ">= 0"), (1, ">= 1")), strict=True
        ):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= low and (value > 0 or allowed != "> 0")):
                raise ValueError(f"{field.name} must be a finite number {allowed}, got {value:g}")


DEFAULT = Tolerance()


@dataclass(frozen=True)
class Disagreement:
    """A line of an output of the kind `key` that the fresh run does not confirm, and why.

    `by_distance` says that nothing is wrong but a distance over `sigmas`, which chance explains now and then.
    """

    stored: str
    fresh: str
    reasons: tuple[str, ...]
    by_distance: bool = False
    key: str = ""


@dataclass(frozen=True)
class _Reason:
    text: str
    by_distance: bool = False


def standard_errors_apart(old: Number, new: Number) -> float:
    """|a1 - a2| / sqrt(s1^2 + s2^2), the distance of two estimates in combined standard errors."""
    return abs(new.value - old.value) / math.hypot(old.error, new.error)


def disagreements(
    stored: str, fresh: str, tolerance: Tolerance = DEFAULT, *, nonfinite: bool = False, key: str = ""
) -> list[Disagreement]:
    """The lines where `fresh` does not confirm `stored`, up to the first that differs in more than its numbers.

    A line in which nan or infinity is printed never agrees, unless `nonfinite` allows it outside estimates.
    """
    old_lines, new_lines = stored.split("\n"), fresh.split("\n")
    olds, news = [tokens(line) for line in old_lines], [tokens(line) for line in new_lines]
    slack = 2 * _widest_change(olds, news)
    found = []
    for old_line, new_line, old, new in itertools.zip_longest(old_lines, new_lines, olds, news):
        if old is None or new is None:
            reason = f"{len(old_lines)} lines were stored, {len(new_lines)} were printed now"
            found.append(Disagreement(old_line or "", new_line or "", (reason,), key=key))
            break
        changed = _change(old, new, slack)
        reasons = [_Reason(changed)] if changed else _number_reasons(old, new, tolerance)
        if not nonfinite and shows_nonfinite(new_line):
            reasons.append(_Reason("nan or inf was printed, in a cell without the tag shows-nonfinite"))
        if reasons:
            by_distance = all(reason.by_distance for reason in reasons)
            texts = tuple(reason.text for reason in reasons)
            found.append(Disagreement(old_line.strip(), new_line.strip(), texts, by_distance, key))
        if changed:
            break
    return found


def only_rough_numbers_differ(stored: str, fresh: str) -> bool:
    """Whether the two texts are the same to the letter, but for figures that depend on the machine."""

    def masked(text: str) -> list[list[Token | tuple[int, bool, bool | None]]]:
        return [
            [(t.gap, t.is_time, t.stop) if t.number and t.number.kind == "rough" else t for t in tokens(line)]
            for line in text.split("\n")
        ]

    return masked(stored) == masked(fresh)


def _widest_change(olds: list[list[Token]], news: list[list[Token]]) -> int:
    """By how many characters the text of a number grew or shrank, at most."""
    changes = (
        abs(len(a.text) - len(b.text))
        for old, new in zip(olds, news, strict=False)
        for a, b in zip(old, new, strict=False)
        if a.number and b.number
    )
    return max(changes, default=0)


def _change(old: list[Token], new: list[Token], slack: int) -> str:
    """What differs between two lines besides their numbers; "" where nothing does."""
    if (was := sum(t.number is not None for t in old)) != (now := sum(t.number is not None for t in new)):
        return f"{was} numbers to compare were stored, {now} were printed now"
    if len(old) != len(new) or not all(map(_alike, old, new)):
        return "the words around the numbers changed"
    if any(abs(a.gap - b.gap) > slack for a, b in zip(old, new, strict=True)):
        return "the words are the same, but stand in other columns"
    return ""


def _alike(old: Token, new: Token) -> bool:
    """Whether two tokens are the same word, or numbers of the same kind."""
    if old.number is None or new.number is None:
        return old.text == new.text and old.number is new.number
    stops = None in (old.stop, new.stop) or old.stop == new.stop
    return old.number.kind == new.number.kind and old.is_time == new.is_time and stops


def _number_reasons(old: list[Token], new: list[Token], tolerance: Tolerance) -> list[_Reason]:
    rules = {"z": _z_reason, "estimate": _estimate_reason, "rough": _rough_reason, "range": _range_reason}
    pairs = ((a.number, b.number) for a, b in zip(old, new, strict=True) if a.number and b.number)
    return [reason for a, b in pairs if (reason := rules[a.kind](a, b, tolerance))]


def _z_reason(old: Number, new: Number, tolerance: Tolerance) -> _Reason | None:
    worst = max(old.value, new.value, key=abs)
    if abs(worst) <= tolerance.sigmas:
        return None
    return _Reason(f"|z| = {abs(worst):.2f} is over {tolerance.sigmas:g}", by_distance=True)


def _estimate_reason(old: Number, new: Number, tolerance: Tolerance) -> _Reason | None:
    shown = f"stored {old.value:g} ± {old.error:g}, now {new.value:g} ± {new.error:g}"
    if not all(map(math.isfinite, (old.value, old.error, new.value, new.error))):
        return _Reason(f"{shown}: not finite")
    if min(old.error, new.error) < 0:
        return _Reason(f"{shown}: a standard error is negative")
    if old.error == new.error == 0:
        return _exact_reason(old, new, tolerance, shown)
    small, large = sorted((old, new), key=lambda number: number.error)
    apart = f"{standard_errors_apart(old, new):.1f} combined standard errors apart"
    if large.error - large.error_rounding > tolerance.factor * (small.error + small.error_rounding) * ROUNDING:
        return _Reason(f"{shown}:\n  the standard errors differ by more than a factor {tolerance.factor:g}; {apart}")
    errors = math.hypot(old.error + old.error_rounding, new.error + new.error_rounding)
    if abs(old.value - new.value) > (old.rounding + new.rounding + tolerance.sigmas * errors) * ROUNDING:
        return _Reason(f"{shown}:\n  {apart}, over {tolerance.sigmas:g}", by_distance=True)
    return None


def _exact_reason(old: Number, new: Number, tolerance: Tolerance, shown: str) -> _Reason | None:
    """Both standard errors are 0: the values agree to a small fraction, or to the decimals that both numbers show."""
    rounded = old.rounding + new.rounding if old.error_rounding and new.error_rounding else 0.0
    allowed = max(rounded, tolerance.relative * max(abs(old.value), abs(new.value)))
    return None if abs(old.value - new.value) <= allowed * ROUNDING else _Reason(f"{shown}: exact values differ")


def _rough_reason(old: Number, new: Number, tolerance: Tolerance) -> _Reason | None:
    shown = f"stored ≈ {old.value:g}, now ≈ {new.value:g}"
    if not all(math.isfinite(n.value) and n.value > 0 for n in (old, new)):
        return _Reason(f"{shown}: not finite and positive")
    if max(old.value, new.value) > tolerance.rough_factor * min(old.value, new.value):
        return _Reason(f"{shown}: more than a factor {tolerance.rough_factor:g} apart")
    return None


def _range_reason(old: Number, new: Number, _: Tolerance) -> _Reason | None:
    shown = f"stored {old.low:g} to {old.high:g}, now {new.low:g} to {new.high:g}"
    if not all(math.isfinite(x) for n in (old, new) for x in (n.low, n.value, n.high)):
        return _Reason(f"{shown}: not finite")
    if not all(n.low <= n.value <= n.high for n in (old, new)):
        return _Reason(f"{shown}: a value is outside its own range")
    gap, widths = max(new.low - old.high, old.low - new.high), old.high - old.low + new.high - new.low
    if gap > GAP * widths * ROUNDING:
        return _Reason(f"{shown}:\n  the gap between the ranges is over half the sum of their widths")
    return None

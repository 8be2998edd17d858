"""A pytest plugin: nbval compares printed estimates within their standard errors, and all else to the letter.

Load it (`pytest_plugins = ["tests.tolerance"]` or `-p tests.tolerance`) and run `pytest --nbval`. It reads two
things in what a cell prints, shows as text or writes into an SVG:

- `a ± s`, an estimate and its standard error. A stored one and a fresh one agree when they differ by at most
  SIGMAS combined standard errors, sqrt(s1^2 + s2^2), and s by at most a factor FACTOR; where both s are 0, when the
  values agree to RELATIVE of their size. With normal errors a comparison is a false alarm with probability 7e-6.
- `z = 1.02`, a z-score, which must lie within SIGMAS of 0.

Everything else must be the same, but for the length of runs of spaces. `nan` and `inf` never pass in an estimate or
a z, and elsewhere only in a cell with the tag `shows-nonfinite`. What agrees is handed to nbval as if it were the
same.
"""

import math
import os
import re
from dataclasses import dataclass
from types import MethodType
from typing import Any
from xml.etree import ElementTree

import pytest
from nbval.plugin import IPyNbCell

SIGMAS = 4.5
FACTOR = 2.0
RELATIVE = 1e-6

_NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?|nan|inf)"
_TOKEN = re.compile(rf"(?P<mean>{_NUMBER}) ± (?P<error>{_NUMBER})|z = (?P<z>{_NUMBER})")
_NONFINITE = re.compile(r"(?<![\w.])-?(?:nan|inf)\b")
_KEYS = ("text", "text/plain", "text/markdown", "image/svg+xml")


@dataclass(frozen=True)
class Reading:
    """A text as its words, with a mark where each number to compare stood, and those numbers as (value, error)."""

    words: str
    numbers: list[tuple[float, float | None]]


def read(text: str) -> Reading:
    """Split `text` into words and comparable numbers; a z-score has no error."""
    numbers: list[tuple[float, float | None]] = []

    def mark(token: re.Match[str]) -> str:
        if token["z"]:
            numbers.append((_value(token["z"]), None))
            return "z = #"
        numbers.append((_value(token["mean"]), _value(token["error"])))
        return "# ± #"

    words = re.sub(r"[ \t]+", " ", _TOKEN.sub(mark, text))
    return Reading("\n".join(line.strip() for line in words.strip().splitlines()), numbers)


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def disagreements(stored: str, fresh: str) -> list[str]:
    """Why `fresh` does not confirm `stored`, one line a reason; empty where it does."""
    old, new = read(stored), read(fresh)
    reasons = []
    if old.words != new.words:
        if len(old.numbers) != len(new.numbers):
            reasons.append(f"{len(old.numbers)} numbers were stored, {len(new.numbers)} were printed now")
        reasons.append("the words around the numbers changed")
        return reasons
    for a, b in zip(old.numbers, new.numbers, strict=True):
        reason = _z_reason(a[0], b[0]) if a[1] is None or b[1] is None else _estimate_reason(*a, *b)
        if reason:
            reasons.append(reason)
    return reasons


def _z_reason(old: float, new: float) -> str | None:
    worst = max(old, new, key=lambda z: math.inf if math.isnan(z) else abs(z))
    return None if abs(worst) <= SIGMAS else f"z = {worst:+.2f} is not within ±{SIGMAS}"


def _estimate_reason(old: float, old_error: float, new: float, new_error: float) -> str | None:
    shown = f"stored {old:g} ± {old_error:g}, now {new:g} ± {new_error:g}"
    if not all(map(math.isfinite, (old, old_error, new, new_error))):
        return f"{shown}: not finite"
    if min(old_error, new_error) < 0:
        return f"{shown}: a standard error is negative"
    if old_error == new_error == 0:
        return None if math.isclose(old, new, rel_tol=RELATIVE) else f"{shown}: exact values differ"
    if max(old_error, new_error) > FACTOR * min(old_error, new_error):
        return f"{shown}: the standard errors differ by more than a factor {FACTOR:g}"
    distance = abs(new - old) / math.hypot(old_error, new_error)
    return None if distance <= SIGMAS else f"{shown}: {distance:.1f} combined standard errors apart"


def _svg_words(svg: str) -> str:
    """The words of a drawing, one label a line; positions depend on the version of graphviz."""
    return "\n".join(text.strip() for text in ElementTree.fromstring(svg).itertext() if text.strip())


def _compared(outputs: list[Any]) -> list[Any]:
    """What nbval compares: all but standard error."""
    return [output for output in outputs if output.get("name") != "stderr"]


def _compare(cell: IPyNbCell, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
    allowed = "shows-nonfinite" in cell.cell.metadata.get("tags", [])
    reasons = []
    for new, old in zip(_compared(test), _compared(ref), strict=False):
        for new_texts, old_texts in ((new, old), (new.get("data", {}), old.get("data", {}))):
            for key in [key for key in _KEYS if key in new_texts and key in old_texts]:
                words = _svg_words if key == "image/svg+xml" else str
                found = disagreements(words(old_texts[key]), words(new_texts[key]))
                if not found:
                    new_texts[key] = old_texts[key]
                reasons += found
                if not allowed and _NONFINITE.search(_TOKEN.sub("", words(new_texts[key]))):
                    reasons.append("nan or inf was printed, in a cell without the tag shows-nonfinite")
    same = IPyNbCell.compare_outputs(cell, test, ref, skip_compare)
    if reasons:
        cell.comparison_traceback.insert(0, "\n".join(f"  {reason}" for reason in reasons) + "\n")
    return same and not reasons


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every notebook cell of the session the tolerant comparison."""
    for item in items:
        if isinstance(item, IPyNbCell):
            item.compare_outputs = MethodType(_compare, item)


def pytest_configure() -> None:
    """Progress bars write to standard error, which differs at each run."""
    os.environ["TQDM_DISABLE"] = "1"

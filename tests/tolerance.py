"""A pytest plugin: nbval compares printed estimates within their standard errors, and all else to the letter.

Load it (`pytest_plugins = ["tests.tolerance"]` or `-p tests.tolerance`) and run `pytest --nbval`. It reads three
things in what a cell prints, shows as text or writes into an SVG:

- `a ± s`, an estimate and its standard error. A stored one and a fresh one agree when they differ by at most
  SIGMAS combined standard errors, sqrt(s1^2 + s2^2), and s by at most a factor FACTOR; where both s are 0, when the
  values agree to RELATIVE of their size. With normal errors a comparison is a false alarm with probability 7e-6.
- `z = 1.02`, a z-score, which must lie within SIGMAS of 0.
- `≈ 12.3 µs`, a figure that depends on the machine, mostly a time. A stored one and a fresh one agree when both are
  finite and positive and within a factor ROUGHLY of one another; ns, µs, ms and s are counted in seconds.

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
ROUGHLY = 100.0

_NUMBER = r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?|nan|inf)"
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0}  # µ is the micro sign or the Greek letter
_TOKEN = re.compile(
    rf"(?P<mean>{_NUMBER}) ± (?P<error>{_NUMBER})|z = (?P<z>{_NUMBER})"
    rf"|≈ (?P<rough>(?>{_NUMBER}))(?! ±)(?: (?P<unit>{'|'.join(_SECONDS)})\b)?"
)
_NONFINITE = re.compile(r"(?<![\w.])-?(?:nan|inf)\b")
_KEYS = ("text", "text/plain", "text/markdown", "image/svg+xml")


@dataclass(frozen=True)
class Number:
    """One number to compare: an "estimate" with its standard error, a "z", or a "rough" one in seconds or its unit."""

    kind: str
    value: float
    error: float = math.nan


@dataclass(frozen=True)
class Reading:
    """A text as its words, with a mark where each number to compare stood, and those numbers."""

    words: str
    numbers: list[Number]


def read(text: str) -> Reading:
    """Split `text` into words and comparable numbers."""
    numbers: list[Number] = []

    def mark(token: re.Match[str]) -> str:
        if token["z"]:
            numbers.append(Number("z", _value(token["z"])))
            return "z = #"
        if token["rough"]:
            numbers.append(Number("rough", _value(token["rough"]) * _SECONDS.get(token["unit"], 1.0)))
            return "≈ # s" if token["unit"] else "≈ #"
        numbers.append(Number("estimate", _value(token["mean"]), _value(token["error"])))
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
        reason = _REASONS[a.kind](a, b)
        if reason:
            reasons.append(reason)
    return reasons


def only_rough_numbers_differ(stored: str, fresh: str) -> bool:
    """Whether the two texts are the same to the letter, but for figures that depend on the machine."""

    def masked(text: str) -> str:
        return _TOKEN.sub(lambda token: "≈" if token["rough"] else token[0], text)

    return masked(stored) == masked(fresh)


def _z_reason(old: Number, new: Number) -> str | None:
    worst = max(old.value, new.value, key=lambda z: math.inf if math.isnan(z) else abs(z))
    return None if abs(worst) <= SIGMAS else f"z = {worst:+.2f} is not within ±{SIGMAS}"


def _estimate_reason(old: Number, new: Number) -> str | None:
    shown = f"stored {old.value:g} ± {old.error:g}, now {new.value:g} ± {new.error:g}"
    if not all(map(math.isfinite, (old.value, old.error, new.value, new.error))):
        return f"{shown}: not finite"
    if min(old.error, new.error) < 0:
        return f"{shown}: a standard error is negative"
    if old.error == new.error == 0:
        return None if math.isclose(old.value, new.value, rel_tol=RELATIVE) else f"{shown}: exact values differ"
    if max(old.error, new.error) > FACTOR * min(old.error, new.error):
        return f"{shown}: the standard errors differ by more than a factor {FACTOR:g}"
    distance = abs(new.value - old.value) / math.hypot(old.error, new.error)
    return None if distance <= SIGMAS else f"{shown}: {distance:.1f} combined standard errors apart"


def _rough_reason(old: Number, new: Number) -> str | None:
    shown = f"stored ≈ {old.value:g}, now ≈ {new.value:g}"
    if not all(math.isfinite(n.value) and n.value > 0 for n in (old, new)):
        return f"{shown}: not finite and positive"
    if max(old.value, new.value) > ROUGHLY * min(old.value, new.value):
        return f"{shown}: more than a factor {ROUGHLY:g} apart"
    return None


_REASONS = {"z": _z_reason, "estimate": _estimate_reason, "rough": _rough_reason}


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

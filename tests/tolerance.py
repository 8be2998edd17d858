"""A pytest plugin: nbval compares printed estimates within their standard errors, and all else to the letter.

This file stands on its own: copy it, load it (`pytest_plugins = ["tests.tolerance"]` in the topmost conftest.py, or
`-p tests.tolerance`), and run `pytest --nbval`. It reads three things in what a cell prints or shows:

- `a ± s`, an estimate and its standard error. A stored one and a fresh one agree when they differ by at most
  SIGMAS combined standard errors, sqrt(s1^2 + s2^2), and s by at most a factor FACTOR; where both s are 0, when the
  values agree to RELATIVE of their size. With normal errors a comparison is a false alarm with probability 7e-6.
- `z = 1.02`, a z-score, which must lie within SIGMAS of 0.
- `≈ 12.3 µs`, a figure that depends on the machine, mostly a time. A stored one and a fresh one agree when both are
  finite and positive and within a factor ROUGHLY of one another; ns, µs, ms and s are counted in seconds.

Everything else must be the same, but for the length of runs of spaces. `nan` and `inf` never pass in one of the three,
and elsewhere only in a cell with the tag `shows-nonfinite`. A cell that fails shows the stored and the fresh line one
above the other, why they do not agree, and the line of the cell that printed it.
"""

import ast
import itertools
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from textwrap import indent
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
_TOO_FAR = f"over {SIGMAS}"
_PICTURES = ("image/png", "image/jpeg")


@dataclass(frozen=True)
class Number:
    """One number to compare: an "estimate" with its standard error, a "z", or a "rough" one in seconds or its unit."""

    kind: str
    value: float
    error: float = 0.0  # not NaN: records that hold one are never equal from Python 3.13 on


@dataclass(frozen=True)
class Reading:
    """A text as its words, with a mark where each number to compare stood, and those numbers."""

    words: str
    numbers: list[Number]


@dataclass(frozen=True)
class Disagreement:
    """A line of an output of the kind `key` that the fresh run does not confirm, and why.

    `line` is its number in the fresh output, from 0, or -1 where the fresh output has no such line.
    """

    line: int
    stored: str
    fresh: str
    reasons: tuple[str, ...]
    key: str = ""

    @property
    def by_distance(self) -> bool:
        """Whether nothing is wrong but distances over SIGMAS, as chance has it once in 150,000 comparisons."""
        return all(reason.endswith(_TOO_FAR) for reason in self.reasons)


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


def only_rough_numbers_differ(stored: str, fresh: str) -> bool:
    """Whether the two texts are the same to the letter, but for figures that depend on the machine."""

    def masked(text: str) -> str:
        return _TOKEN.sub(lambda token: "≈" if token["rough"] else token[0], text)

    return masked(stored) == masked(fresh)


def disagreements(stored: str, fresh: str, key: str = "") -> list[Disagreement]:
    """Where `fresh` does not confirm `stored`, up to the first line whose words changed; empty where it does."""
    found = []
    for (_, old_line), (i, new_line) in itertools.zip_longest(_lines(stored), _lines(fresh), fillvalue=(-1, "")):
        old, new = read(old_line), read(new_line)
        changed = old.words != new.words
        reasons = tuple(_changes(old, new) if changed else filter(None, map(_reason, old.numbers, new.numbers)))
        if reasons:
            found.append(Disagreement(i, old_line.strip(), new_line.strip(), reasons, key))
        if changed:
            break
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines with their numbers, without blank ones at both ends."""
    lines = list(enumerate(text.rstrip().split("\n")))
    return list(itertools.dropwhile(lambda line: not line[1].strip(), lines))


def _changes(old: Reading, new: Reading) -> Iterator[str]:
    if len(old.numbers) != len(new.numbers):
        yield f"{len(old.numbers)} numbers were stored, {len(new.numbers)} were printed now"
    yield "the words around the numbers changed"


def _reason(old: Number, new: Number) -> str | None:
    return {"z": _z_reason, "estimate": _estimate_reason, "rough": _rough_reason}[old.kind](old, new)


def _z_reason(old: Number, new: Number) -> str | None:
    if not (math.isfinite(old.value) and math.isfinite(new.value)):
        return f"stored z = {old.value:g}, now z = {new.value:g}: not finite"
    worst = max(old.value, new.value, key=abs)
    return None if abs(worst) <= SIGMAS else f"|z| = {abs(worst):.2f} is {_TOO_FAR}"


def standard_errors_apart(old: Number, new: Number) -> float:
    """The distance of two estimates in combined standard errors."""
    return abs(new.value - old.value) / math.hypot(old.error, new.error)


def _estimate_reason(old: Number, new: Number) -> str | None:
    shown = f"stored {old.value:g} ± {old.error:g}, now {new.value:g} ± {new.error:g}"
    if not all(map(math.isfinite, (old.value, old.error, new.value, new.error))):
        return f"{shown}: not finite"
    if min(old.error, new.error) < 0:
        return f"{shown}: a standard error is negative"
    if old.error == new.error == 0:
        return None if math.isclose(old.value, new.value, rel_tol=RELATIVE) else f"{shown}: exact values differ"
    apart = standard_errors_apart(old, new)
    distance = f"{apart:.1f} combined standard errors apart"
    if max(old.error, new.error) > FACTOR * min(old.error, new.error):
        return f"{shown}:\n  the standard errors differ by more than a factor {FACTOR:g}; {distance}"
    return None if apart <= SIGMAS else f"{shown}:\n  {distance}, {_TOO_FAR}"


def _rough_reason(old: Number, new: Number) -> str | None:
    shown = f"stored ≈ {old.value:g}, now ≈ {new.value:g}"
    if not all(math.isfinite(n.value) and n.value > 0 for n in (old, new)):
        return f"{shown}: not finite and positive"
    if max(old.value, new.value) > ROUGHLY * min(old.value, new.value):
        return f"{shown}: more than a factor {ROUGHLY:g} apart"
    return None


# ---------------------------------------------------------------- the outputs of a cell


def compare(stored: list[Any], fresh: list[Any], *, nonfinite: bool = False) -> list[Disagreement]:
    """Where the fresh outputs of a cell do not confirm the stored ones, both as a notebook holds them.

    Pictures of pixels are not compared, nor is the order of outputs of different kinds. `nonfinite` allows nan and inf.
    """
    found = []
    old, new = _places(stored), _places(fresh)
    for key in sorted({*old, *new}):
        olds, news = ([_text(key, place[name]) for place, name in places[key]] for places in (old, new))
        if len(olds) != len(news):
            reason = f"{len(olds)} outputs of the kind {key} were stored, {len(news)} are there now"
            found.append(Disagreement(0, "\n".join(olds), "\n".join(news), (reason,), key))
            continue
        for a, b in zip(olds, news, strict=True):
            found += disagreements(a, b, key)
            if not nonfinite:
                found += _strays(b, key)
    return found


def numbers(outputs: list[Any]) -> list[Number]:
    """The comparable numbers of a cell's outputs, in the order in which `compare` meets them."""
    places = _places(outputs)
    texts = (_text(key, place[name]) for key in sorted(places) for place, name in places[key])
    return [number for text in texts for number in read(text).numbers]


def _strays(text: str, key: str) -> Iterator[Disagreement]:
    for i, line in enumerate(text.split("\n")):
        if _NONFINITE.search(_TOKEN.sub("", line)):
            reason = "nan or inf was printed, in a cell without the tag shows-nonfinite"
            yield Disagreement(i, line.strip(), line.strip(), (reason,), key)


def _places(outputs: list[Any]) -> dict[str, list[tuple[Any, str]]]:
    """Where the texts of `outputs` stand, by kind: a stream's name, "display" or "value" and MIME type, error parts.

    A value is that of the last statement of the cell.
    """
    places: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for output in outputs:
        if "text" in output:
            places[output["name"]].append((output, "text"))
        for key in output.get("data", {}):
            if key not in _PICTURES:
                kind = "value" if output["output_type"] == "execute_result" else "display"
                places[f"{kind} {key}"].append((output["data"], key))
        for key in ("ename", "evalue"):
            if key in output:
                places[key].append((output, key))
    return places


def _text(key: str, value: Any) -> str:
    """What is compared; of a drawing its words, one label a line: positions depend on the version of graphviz."""
    if key.endswith("image/svg+xml"):
        return "\n".join(text.strip() for text in ElementTree.fromstring(value).itertext() if text.strip())
    return value if isinstance(value, str) else repr(value)


# ---------------------------------------------------------------- nbval's part


def _compare(cell: IPyNbCell, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
    """In the place of nbval's compare_outputs: this comparison, then nbval's own with the stored texts put in."""
    found = compare(ref, test, nonfinite="shows-nonfinite" in cell.cell.metadata.get("tags", []))
    if found:
        where = f"{cell.parent.path.name}, cell {cell.cell_num}"
        cell.comparison_traceback = [where, report(cell.cell, found, _printing_lines(cell.parent.kernel))]
        return False
    old, new = _places(ref), _places(test)
    for key in new:
        for (place, name), (stored, _) in zip(new[key], old[key], strict=True):
            place[name] = stored[name]
    return IPyNbCell.compare_outputs(cell, test, ref, skip_compare)


def report(cell: Any, found: list[Disagreement], printing_lines: list[int]) -> str:
    """What to tell about `found`; `printing_lines` says for each line of standard output which line printed it."""
    blocks = []
    for disagreement in found:
        stored, fresh = _aligned(disagreement.stored, disagreement.fresh)
        block = [f"stored  {stored}", f"now     {fresh}", *disagreement.reasons]
        if line := _origin(cell.source, disagreement, printing_lines):
            block.append(f"printed by line {line}: {cell.source.splitlines()[line - 1].strip()}")
        blocks.append("\n".join(block))
    return indent("\n\n".join(blocks), "  ") + "\n"


def _aligned(*lines: str) -> tuple[str, ...]:
    """The lines with their words in columns, where they have the same number of words."""
    rows = [line.split() for line in lines]
    if len({len(row) for row in rows}) > 1:
        return lines
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([w.rjust(n) if w[-1].isdigit() else w.ljust(n) for w, n in zip(row, widths, strict=True)] for row in rows)
    return tuple(" ".join(row).rstrip() for row in padded)


def _origin(source: str, disagreement: Disagreement, printing_lines: list[int]) -> int:
    """The line of the cell that an output comes from, counted from 1; 0 where unknown."""
    if disagreement.key == "stdout" and 0 <= disagreement.line < len(printing_lines):
        return printing_lines[disagreement.line]
    if disagreement.key.startswith("value"):
        with suppress(SyntaxError, IndexError):
            return ast.parse(source).body[-1].lineno
    return 0


# Runs in the kernel. IPython puts back what it finds as sys.stdout.write after each cell, so it is replaced in between:
# where user expressions are evaluated.
_WATCH = """
def _watch():
    import sys
    shell, write = get_ipython(), sys.stdout.write
    printing = shell.printing_lines = []
    open_line = False

    def line_of_cell():
        frame, inside = sys._getframe(2), []
        while frame:
            if frame.f_globals is shell.user_ns:
                inside.append(frame)
            frame = frame.f_back
        if not inside or not inside[-1].f_code.co_name.startswith(("<module>", "<cell line")):
            return 0  # a thread's, or a call-back's
        return next(f.f_lineno for f in inside if f.f_code.co_filename == inside[-1].f_code.co_filename)

    def watched(text):
        nonlocal open_line
        for part in text.splitlines(keepends=True):
            if not open_line:
                printing.append(line_of_cell())
            open_line = not part.endswith("\\n")
        return write(text)

    def start(_):
        nonlocal open_line
        printing.clear()
        open_line = False

    sys.stdout.write = watched
    shell.events.register("pre_run_cell", start)
    return ""

get_ipython().watch_printing = _watch
del _watch
"""


def _execute(kernel: Any, code: str, expression: str = "''") -> str:
    """Run `code` in the kernel unseen by the notebook; returns the string `expression`, "" where it can't be had."""
    options = {"silent": True, "store_history": False, "user_expressions": {"it": expression}}
    msg_id = kernel.kc.execute(code, **options)
    try:
        while (reply := kernel.get_message("shell", timeout=10))["parent_header"].get("msg_id") != msg_id:
            pass
        return ast.literal_eval(reply["content"]["user_expressions"]["it"]["data"]["text/plain"])
    except (Empty, KeyError):
        return ""


def _printing_lines(kernel: Any) -> list[int]:
    """For each line on standard output of the last cell, the line of the cell that printed it; 0 where unknown."""
    if kernel.language != "python":
        return []
    lines = _execute(kernel, "", "' '.join(map(str, get_ipython().printing_lines))")
    return [int(line) for line in lines.split()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every notebook cell of the session the tolerant comparison."""
    for item in items:
        if isinstance(item, IPyNbCell):
            item.compare_outputs = MethodType(_compare, item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Before the first cell of a notebook: have its kernel note which line prints what."""
    if isinstance(item, IPyNbCell) and item.parent.kernel is not getattr(item.parent, "watched_kernel", None):
        item.parent.watched_kernel = item.parent.kernel
        if item.parent.kernel.is_alive() and item.parent.kernel.language == "python":
            _execute(item.parent.kernel, _WATCH, "get_ipython().watch_printing()")


def pytest_configure() -> None:
    """Progress bars write to standard error, which differs at each run."""
    os.environ["TQDM_DISABLE"] = "1"

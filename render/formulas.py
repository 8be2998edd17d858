"""Draws formulas by KaTeX, with MathML for screen readers, once at rendering, so pages need no script for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from py_mini_racer import MiniRacer

from render.book import KATEX

Formula = tuple[str, bool]  # its TeX, and whether it is displayed

SCRIPT = Path(__file__).with_suffix(".js")
DRAW_ALL = "(formulas) => JSON.stringify(formulas.map(([tex, displayMode]) => draw(tex, displayMode)))"

_drawn: dict[Formula, tuple[str, str]] = {}


def draw(formulas: Iterable[Formula]) -> dict[Formula, tuple[str, str]]:
    """Returns the HTML of each formula and, where KaTeX refuses it, the reason. Formulas drawn earlier are reused."""
    missing = [formula for formula in dict.fromkeys(formulas) if formula not in _drawn]
    if missing:
        with MiniRacer() as engine:  # one that is left open keeps Python 3.13 from ending
            for path in (KATEX / "katex.min.js", SCRIPT):
                engine.eval(path.read_text(encoding="utf-8") + ";0")
            answer = engine.eval(f"({DRAW_ALL})({json.dumps(missing)})")
        for formula, (html, reason) in zip(missing, json.loads(str(answer)), strict=True):
            _drawn[formula] = (html, " ".join(reason.split()))
    return _drawn

"""Draws formulas by KaTeX, with MathML for screen readers, once at rendering, so pages need no script for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from py_mini_racer import MiniRacer

from render.book import KATEX

Formula = tuple[str, bool]  # its TeX, and whether it is displayed

OPTIONS = {"output": "htmlAndMathml", "strict": "error"}
DRAW_ALL = """(formulas, options) => JSON.stringify(formulas.map(([tex, displayMode]) => {
  try { return [katex.renderToString(tex, { ...options, displayMode }), ""]; }
  catch (error) { return ["", error.rawMessage || String(error)]; }
}))"""

TEX = re.compile(r"<annotation.*?</annotation>", re.DOTALL)  # KaTeX repeats it in the MathML, where nothing reads it

_drawn: dict[Formula, tuple[str, str]] = {}


def draw(formulas: Iterable[Formula]) -> dict[Formula, tuple[str, str]]:
    """Returns the HTML of each formula and, where KaTeX refuses it, the reason. Formulas drawn earlier are reused."""
    missing = [formula for formula in dict.fromkeys(formulas) if formula not in _drawn]
    if missing:
        with MiniRacer() as engine:  # one that is left open keeps Python 3.13 from ending
            engine.eval((KATEX / "katex.min.js").read_text(encoding="utf-8") + ";0")
            answer = engine.eval(f"({DRAW_ALL})({json.dumps(missing)}, {json.dumps(OPTIONS)})")
        for formula, (html, reason) in zip(missing, json.loads(str(answer)), strict=True):
            _drawn[formula] = (TEX.sub("", html), " ".join(reason.split()))
    return _drawn

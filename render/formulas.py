"""Renders formulas with KaTeX, when the book is built, and leaves out what its markup can do without (formulas.js)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from py_mini_racer import MiniRacer

from render.book import KATEX


@cache
def _katex() -> MiniRacer:
    engine = MiniRacer()
    for script in (KATEX / "katex.min.js", Path(__file__).with_suffix(".js")):
        engine.eval(script.read_text(encoding="utf-8") + ";0")
    return engine


@cache
def render_formula(tex: str, is_display: bool) -> str:
    """Returns what belongs into an element of the class katex; raises JSEvalException where KaTeX finds a mistake."""
    return _katex().eval(f"renderFormula({json.dumps(tex)}, {json.dumps(is_display)})")

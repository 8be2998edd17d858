"""Renders formulas with KaTeX, when the book is built."""

from __future__ import annotations

import json
from functools import cache

from py_mini_racer import MiniRacer

from render.book import KATEX


@cache
def _katex() -> MiniRacer:
    engine = MiniRacer()
    engine.eval((KATEX / "katex.min.js").read_text(encoding="utf-8") + ";0")
    return engine


@cache
def render_formula(tex: str, is_display: bool) -> str:
    """Returns a formula as HTML and MathML; raises JSEvalException where KaTeX finds a mistake."""
    options = {"displayMode": is_display, "output": "htmlAndMathml", "strict": "error"}
    return _katex().eval(f"katex.renderToString({json.dumps(tex)}, {json.dumps(options)})")

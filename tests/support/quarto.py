"""A page of Quarto's after render/formulas.js, for tests without Quarto."""

from __future__ import annotations

import json

from py_mini_racer import MiniRacer

from render.book import KATEX
from render.formulas import SCRIPT

# As pandoc and Quarto write them for the method katex.
SCRIPTS = """<script defer="" src="../assets/katex/katex.min.js"></script>
  <script>document.addEventListener("DOMContentLoaded", function () {
 var mathElements = document.getElementsByClassName("math");
 for (var i = 0; i < mathElements.length; i++) {
  katex.render(mathElements[i].firstChild.data, mathElements[i], {});
}});
  </script>"""


def with_formulas_drawn(html: str) -> str:
    """The page, whose formulas pandoc wrote as TeX; JSEvalException for a formula that KaTeX refuses."""
    with MiniRacer() as engine:
        for path in (KATEX / "katex.min.js", SCRIPT):
            engine.eval(path.read_text(encoding="utf-8") + ";0")
        return str(engine.eval(f"drawPage({json.dumps(html)})"))

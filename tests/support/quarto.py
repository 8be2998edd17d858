"""A page of Quarto's after render/after_quarto.js, for tests without Quarto."""

from __future__ import annotations

import json

from py_mini_racer import MiniRacer

from render.book import KATEX
from render.formulas import SCRIPT

AFTER = SCRIPT.with_name("after_quarto.js")
# As pandoc and Quarto write them for the method katex.
SCRIPTS = """<script defer="" src="../assets/katex/katex.min.js"></script>
  <script>document.addEventListener("DOMContentLoaded", function () {
 var mathElements = document.getElementsByClassName("math");
 for (var i = 0; i < mathElements.length; i++) {
  katex.render(mathElements[i].firstChild.data, mathElements[i], {});
}});
  </script>"""


def after_quarto(html: str) -> str:
    """The page that pandoc wrote as it is in the end; JSEvalException for a formula that KaTeX refuses."""
    with MiniRacer() as engine:
        for path in (KATEX / "katex.min.js", SCRIPT, AFTER):
            engine.eval(path.read_text(encoding="utf-8") + ";0")
        return str(engine.eval(f"withPicturesLater(withFormulas({json.dumps(html)}))"))

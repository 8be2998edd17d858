"""Explorable figures: the element that a script fills, and that script on the pages that have one."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset
from sphinx.writers.html5 import HTML5Translator

from render.book import KATEX

EXPLORE = KATEX.with_name("explore")


class explorable(nodes.General, nodes.Element):  # noqa: N801 (docutils names nodes so)
    """What stands where the script puts its figure: the question, and what to see without scripts."""


class Explorable(SphinxDirective):
    """The directive that `to_myst.lua` makes of `::: {.explorable data-explore="name"}`."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Makes the node, and refuses a name without a module."""
        name = directives.unchanged_required(self.arguments[0])
        if not (EXPLORE / f"{name}.js").is_file():
            raise self.error(f"there is no explorable {name}: assets/explore/{name}.js was not found")
        return [explorable("", *self.parse_content_to_nodes(), name=name)]


def visit_explorable(translator: HTML5Translator, node: explorable) -> None:
    """Begins the element, as Quarto writes it."""
    translator.body.append(translator.starttag(node, "div", CLASS="explorable", **{"data-explore": node["name"]}))


def depart_explorable(translator: HTML5Translator, node: explorable) -> None:
    """Ends the element."""
    translator.body.append("</div>\n")


def load_script(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Adds the script to a page that has an explorable, and its files to the book."""
    if doctree is not None and doctree.next_node(explorable):
        copy_asset(EXPLORE, app.outdir / "_static" / "explore", excluded=lambda path: path.endswith(".css"))
        app.add_js_file("explore/start.js", defer="defer")


def setup(app: Sphinx) -> None:
    """Registers all of the above with Sphinx."""
    app.add_node(explorable, html=(visit_explorable, depart_explorable))
    app.add_directive("explorable", Explorable)
    app.connect("html-page-context", load_script)

"""Lay out a graphviz graph as an SVG that is the same on every machine."""

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

import graphviz
import pygraphviz

from helpers import validate

_LINE, _TEXT, _OPERATION, _LEAF = "#757d87", "#1d232b", "#eef1f4", "#cfe3f5"
LEAF_MARK = "lightblue"  # torchviz's fill of a leaf


@dataclass(frozen=True)
class Drawing:
    """An SVG for notebooks, with `text` to show where there is no picture."""

    data: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_svg_(self) -> str:
        return self.data


def draw(dot: graphviz.Digraph, text: str) -> Drawing:
    """Lay out a graphviz graph, such as one from torchviz, as an SVG that is the same at each run.

    `text` is the alternative text for readers who cannot see the picture. Boxes are sized by the length of their text,
    not by the fonts of the machine, and node names, which are memory addresses in torchviz, are left out. Graphviz need
    not be installed. Raises TypeError unless `dot` is a graph of the Python package graphviz.
    """
    validate.instance("dot", dot, graphviz.Digraph | graphviz.Graph, "a graphviz.Digraph")
    graph = pygraphviz.AGraph(string=dot.source)
    graph.graph_attr.update(bgcolor="transparent", size="")
    graph.node_attr.update(shape="box", style="filled,rounded", fontname="monospace", fontsize="11", fixedsize="true")
    graph.edge_attr.update(color=_LINE)
    for node in graph.nodes():
        lines = [line.strip() for line in (node.attr["label"] or node).replace("\\n", "\n").strip().splitlines()]
        node.attr.update(
            label="\n".join(lines),
            width=0.2 + 0.093 * max(map(len, lines), default=0),
            height=0.15 + 0.19 * len(lines),
            color=_LINE,
            fontcolor=_TEXT,
            fillcolor=_LEAF if node.attr["fillcolor"] == LEAF_MARK else _OPERATION,
        )
    with _silenced():
        svg = graph.draw(format="svg", prog="dot").decode()
    svg = re.sub(r"<!--.*?-->\n?|<title>.*?</title>\n?", "", svg[svg.index("<svg") :], flags=re.S)
    label = escape(text, {'"': "&quot;", "\n": "&#10;"})
    return Drawing(svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1), text)


_STANDARD_ERROR = threading.Lock()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Discard what fontconfig writes about the machine's font settings straight to file descriptor 2.

    Only one thread may do this at a time, because a second one would save and restore the silenced descriptor.
    """
    with _STANDARD_ERROR:
        kept = os.dup(2)
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)

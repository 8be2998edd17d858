"""Crawl the graph that torch's autograd recorded, and show it as a tree or a drawing."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import graphviz
import torch
from torch import Tensor

from helpers import validate
from helpers.drawing import LEAF_MARK, draw

MOST_LINES = 200
_DEEP = 20_000


@dataclass(frozen=True, eq=False)
class Node:
    """A backward operation or a leaf: its lines of text, and the numbers of the nodes that receive its gradients."""

    lines: tuple[str, ...]
    is_leaf: bool
    inputs: tuple[int, ...]

    @property
    def label(self) -> str:
        """The text in one line."""
        return ", ".join(self.lines)


@dataclass(frozen=True, eq=False)
class Graph:
    """A backward graph, as nodes by number with the root as 0. `print` shows a tree, a notebook a drawing."""

    nodes: dict[int, Node]

    def __str__(self) -> str:
        lines: list[str] = []
        for line in self._lines():
            if len(lines) == MOST_LINES:
                lines.append(f"… (a graph of {len(self.nodes):,} nodes, cut after {MOST_LINES} lines)")
                break
            lines.append(line)
        return "\n".join(lines)

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        """The tree, depth first; where a node is reached again, only its name is shown."""
        reached = [number for node in self.nodes.values() for number in node.inputs]
        shared = {number: f" [{i}]" for i, number in enumerate(_repeated(reached), start=1)}
        shown: set[int] = set()
        stack = [(0, "", "")]
        while stack:
            number, branch, indent = stack.pop()
            node, mark = self.nodes[number], shared.get(number, "")
            if number in shown:
                yield f"{branch}{node.lines[0]}{mark} again"
                continue
            shown.add(number)
            yield f"{branch}{node.label}{mark}"
            for i, child in reversed(list(enumerate(node.inputs))):
                last = i == len(node.inputs) - 1
                stack.append((child, indent + ("└── " if last else "├── "), indent + ("    " if last else "│   ")))

    def dot(self) -> graphviz.Digraph:
        """The graph for graphviz, whose arrows point the way gradients flow, from the root to the leaves."""
        drawing = graphviz.Digraph()
        for number, node in self.nodes.items():
            fill = {"fillcolor": LEAF_MARK} if node.is_leaf else {}
            drawing.node(str(number), "\\n".join(map(graphviz.escape, node.lines)), **fill)
            for child in node.inputs:
                drawing.edge(str(number), str(child))
        return drawing

    def _repr_svg_(self) -> str | None:
        return draw(self.dot(), str(self)).data if len(self.nodes) <= MOST_LINES else None


def get_graph(root: Any, **names: Tensor) -> Graph:
    """The backward graph of `root`, a tensor or a grad_fn, found by following `next_functions`.

    Each node is visited once, however many paths lead to it, and the depth is not limited. Leaves show their shape,
    value and gradient; sparse, meta and nested ones show only their shape. `names` gives names to leaves and to
    intermediate tensors, as in `get_graph(y, mu=mu, sigma=sigma)`. Raises TypeError if `root` is neither a tensor nor a
    grad_fn, and ValueError if it is a tensor without a graph or if a named tensor is not in the graph.
    """
    for name, tensor in names.items():
        validate.instance(name, tensor, Tensor, "a tensor")
    if isinstance(root, Tensor):
        if not root.requires_grad:
            raise ValueError(
                f"root must carry a graph, got a tensor of shape {_shape(root)} that does not require grad"
            )
        if root.grad_fn is None:
            _refuse_unknown(names, [root], [])
            return Graph({0: Node(_leaf_lines(root, names), True, ())})
        root = root.grad_fn
    if not hasattr(root, "next_functions"):
        raise TypeError(f"root must be a tensor or a grad_fn, got {type(root).__name__}")
    return _crawled(root, names)


def _crawled(root: Any, names: dict[str, Tensor]) -> Graph:
    numbers, nodes, todo, leaves = {root: 0}, {}, [root], []
    for function in todo:
        inputs = [child for child, _ in function.next_functions if child is not None]
        for child in inputs:
            if child not in numbers:
                numbers[child] = len(todo)
                todo.append(child)
        if type(function).__name__ == "AccumulateGrad":
            leaves.append(function.variable)
            lines = _leaf_lines(function.variable, names)
        else:
            known = [name for name, tensor in names.items() if tensor.grad_fn is function]
            lines = (" ".join([type(function).__name__, *known]),)
        is_leaf = type(function).__name__ == "AccumulateGrad"
        nodes[numbers[function]] = Node(lines, is_leaf, tuple(numbers[child] for child in inputs))
    _refuse_unknown(names, leaves, todo)
    if len(nodes) > _DEEP:
        _keep(root)
    return Graph(nodes)


def _refuse_unknown(names: dict[str, Tensor], leaves: list[Tensor], functions: list[Any]) -> None:
    known = {id(leaf) for leaf in leaves} | {id(function) for function in functions}
    for name, tensor in names.items():
        if not {id(tensor), id(tensor.grad_fn)} & known:
            raise ValueError(
                f"{name} must be a tensor of the graph, got one of shape {_shape(tensor)} that is not in it"
            )


def _keep(function: Any) -> None:
    """Never free this graph: when torch 2.13 frees a deep one that Python has visited, it overflows the C stack."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(function))


def _repeated(numbers: list[int]) -> list[int]:
    seen: set[int] = set()
    return list(dict.fromkeys(n for n in numbers if n in seen or seen.add(n)))  # type: ignore[func-returns-value]


def _leaf_lines(leaf: Tensor, names: dict[str, Tensor]) -> tuple[str, ...]:
    name = next((name for name, tensor in names.items() if tensor is leaf), "leaf")
    gradient = "None" if leaf.grad is None else _short(leaf.grad)
    return f"{name} {_shape(leaf)}", f"value = {_short(leaf)}", f"grad = {gradient}"


def _shape(tensor: Tensor) -> str:
    """The shape or, for a nested tensor, whose rows differ in length, the shapes of its parts."""
    if tensor.is_nested:
        return "[" + ", ".join(str(tuple(part.shape)) for part in tensor.detach().unbind()) + "]"
    return str(tuple(tensor.shape))


def _short(tensor: Tensor) -> str:
    if tensor.is_nested or tensor.is_meta or tensor.layout != torch.strided:
        kind = "nested" if tensor.is_nested else "meta" if tensor.is_meta else "sparse"
        return f"({kind})"
    values = tensor.detach().flatten()[:3].tolist()
    text = " ".join(f"{value:.6g}" for value in values) + (" …" if tensor.numel() > 3 else "")
    return text if tensor.dim() == 0 else f"[{text}]"

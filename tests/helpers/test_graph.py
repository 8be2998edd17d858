"""helpers.graph: the tree that torch recorded, each node once, to any depth, and the same drawing at each run."""

import os
import sys
import time
import tracemalloc
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import graphviz
import pytest
import torch
from torch import Tensor

from helpers import get_graph
from helpers.drawing import draw
from helpers.graph import MOST_LINES, Graph
from tests.support.processes import answer

SVG = "{http://www.w3.org/2000/svg}"


def leaf(value: Any = 3.0, **kwargs: Any) -> Tensor:
    return torch.tensor(value, requires_grad=True, **kwargs)


def reparametrized() -> tuple[Tensor, dict[str, Tensor]]:
    """z = mu + sigma * eps at fixed numbers, squared: the book's running example."""
    mu, sigma = leaf(12.0), leaf(42.0)
    return (mu + sigma * 0.5) ** 2, {"mu": mu, "sigma": sigma}


def shown_text(svg: str) -> list[str]:
    """What a reader sees in a drawing, line by line."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# trees ----------------------------------------------------------------------------------------------------------------


def test_the_tree_of_the_running_example() -> None:
    y, names = reparametrized()
    y.backward()
    assert str(get_graph(y, **names)).splitlines() == [
        "PowBackward0",
        "└── AddBackward0",
        "    ├── mu (), value = 12, grad = 66",
        "    └── MulBackward0",
        "        └── sigma (), value = 42, grad = 33",
    ]


def test_both_branches_are_followed_in_order() -> None:
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    y = (a.exp() * b.sin()) - (b.cos() / c)
    assert str(get_graph(y, a=a, b=b, c=c)).splitlines() == [
        "SubBackward0",
        "├── MulBackward0",
        "│   ├── ExpBackward0",
        "│   │   └── a (), value = 1, grad = None",
        "│   └── SinBackward0",
        "│       └── b (), value = 2, grad = None [1]",
        "└── DivBackward0",
        "    ├── CosBackward0",
        "    │   └── b () [1] again",
        "    └── c (), value = 3, grad = None",
    ]


def test_a_shared_node_is_drawn_once_and_named_after_that() -> None:
    x = leaf(3.0)
    h = x.exp()
    assert str(get_graph(h * h + x, x=x)).splitlines() == [
        "AddBackward0",
        "├── MulBackward0",
        "│   ├── ExpBackward0 [1]",
        "│   │   └── x (), value = 3, grad = None [2]",
        "│   └── ExpBackward0 [1] again",
        "└── x () [2] again",
    ]


def test_the_graph_holds_each_node_once_and_each_edge() -> None:
    x = leaf(3.0)
    h = x.exp()
    nodes = get_graph(h * h + x).nodes
    assert [(node.label.split()[0], node.is_leaf, node.inputs) for node in nodes.values()] == [
        ("AddBackward0", False, (1, 2)),
        ("MulBackward0", False, (3, 3)),
        ("leaf", True, ()),
        ("ExpBackward0", False, (2,)),
    ]


def test_inputs_without_a_graph_are_no_branches() -> None:
    x = leaf(3.0)
    assert str(get_graph(x * torch.ones(())).nodes[0].inputs) == "(1,)"
    assert len(get_graph(x.detach() * x).nodes) == 2


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (leaf(1 / 3), "w (), value = 0.333333, grad = None"),
        (leaf(123456.0), "w (), value = 123456, grad = None"),
        (leaf([1.0, -2.5]), "w (2,), value = [1 -2.5], grad = None"),
        (leaf([[1.0, 2.0], [3.0, 4.0]]), "w (2, 2), value = [1 2 3 …], grad = None"),
        (leaf([1.0, 2.0, 3.0]), "w (3,), value = [1 2 3], grad = None"),
    ],
)
def test_a_leaf_shows_its_name_shape_and_value(tensor: Tensor, text: str) -> None:
    assert str(get_graph(tensor.sum(), w=tensor)).splitlines()[1] == f"└── {text}"
    assert str(get_graph(tensor.sum())).splitlines()[1] == f"└── {text.replace('w', 'leaf', 1)}"


def test_a_leaf_shows_its_gradient() -> None:
    w = leaf([1.0, 2.0])
    (3 * w).sum().backward()
    assert str(get_graph(w, w=w)) == "w (2,), value = [1 2], grad = [3 3]"


def test_names_go_by_identity_not_by_value() -> None:
    a, b = leaf(1.0), leaf(1.0)
    assert [line[4:5] for line in str(get_graph(a * b, b=b, a=a)).splitlines()[1:]] == ["a", "b"]


def test_a_name_for_an_intermediate_tensor_labels_its_node() -> None:
    a = leaf(2.0)
    b = a * 3
    shown = str(get_graph(b.exp(), b=b, a=a))
    assert shown.splitlines()[1] == "└── MulBackward0 b"


@pytest.mark.parametrize("root", [lambda a: a, lambda a: a.exp()])
def test_a_name_that_is_nowhere_in_the_graph_is_refused(root: Callable[[Tensor], Tensor]) -> None:
    a = leaf(2.0)
    for other in (leaf(2.0), leaf(1.0).exp(), torch.ones(3)):
        with pytest.raises(ValueError, match="other must be a tensor of the graph, got one of shape "):
            get_graph(root(a), other=other)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_leaf_is_shown_by_its_shapes() -> None:
    rows = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], requires_grad=True)
    shown = str(get_graph(torch.nested.to_padded_tensor(rows, 0.0).sum(), rows=rows))
    assert "rows [(2,), (3,)], value = (nested), grad = None" in shown


def test_a_grad_fn_is_a_root_too() -> None:
    y, names = reparametrized()
    assert str(get_graph(y.grad_fn, **names)) == str(get_graph(y, **names))
    assert str(get_graph(y.grad_fn.next_functions[0][0], **names)).startswith("AddBackward0")


def test_printing_and_representing_are_the_same() -> None:
    y, _ = reparametrized()
    assert repr(get_graph(y)) == str(get_graph(y))


class Doubled(torch.autograd.Function):
    """A custom operation that keeps something called `variable`, as a leaf's node does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.variable = x
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def test_a_custom_function_has_its_own_name() -> None:
    x = leaf(3.0)
    assert str(get_graph(Doubled.apply(x), x=x)).splitlines() == [
        "DoubledBackward",
        "└── x (), value = 3, grad = None",
    ]


# size -----------------------------------------------------------------------------------------------------------------


def test_a_node_reached_along_many_paths_is_visited_once() -> None:
    # 2^10000 paths; what each node costs must not grow with them
    y = leaf(1.0)
    for _ in range(10_000):
        y = y * y
    started = time.perf_counter()
    graph = get_graph(y)
    text = str(graph)
    assert len(graph.nodes) == 10_001
    assert text.splitlines()[-1] == f"… (a graph of 10,001 nodes, cut after {MOST_LINES} lines)"
    assert len(text.splitlines()) == MOST_LINES + 1
    assert time.perf_counter() - started < 30  # a hang, not a benchmark


DEEP = """
import torch
from helpers import get_graph
y = torch.tensor(1.0, requires_grad=True)
for _ in range(50_000):
    y = y + 1
assert "cut after" in str(get_graph(y))
del y
"""


def test_a_deep_graph_neither_hits_the_recursion_limit_nor_kills_python_when_it_is_freed() -> None:
    # in a process of its own: torch 2.13 overflows the C stack when it frees a chain of 40,000 nodes and more whose
    # grad_fns Python has seen
    process = get_context("spawn").Process(target=exec, args=(DEEP, {}), daemon=True)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def test_a_graph_that_just_fits_is_not_cut() -> None:
    y = leaf(1.0)
    for _ in range(MOST_LINES - 1):
        y = y + 1
    assert len(str(get_graph(y)).splitlines()) == MOST_LINES
    assert "cut" not in str(get_graph(y))
    assert get_graph(y)._repr_svg_() is not None
    assert get_graph(y + 1)._repr_svg_() is None
    assert str(get_graph(y + 1)).endswith(f"(a graph of {MOST_LINES + 1} nodes, cut after {MOST_LINES} lines)")


def test_a_large_leaf_is_not_copied_to_be_shown() -> None:
    w = torch.ones(1_000_000, requires_grad=True)
    tracemalloc.start()
    text = str(get_graph(w, w=w))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "[1 1 1 …]" in text
    assert peak < 1_000_000  # as a list it takes 32 MB


# errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "error", "message"),
    [
        (torch.ones(2, 3), ValueError, r"root must carry a graph, got a tensor of shape \(2, 3\)"),
        (leaf().detach(), ValueError, "root must carry a graph"),
        (3.0, TypeError, "root must be a tensor or a grad_fn, got float"),
        (None, TypeError, "root must be a tensor or a grad_fn, got NoneType"),
        ("y", TypeError, "root must be a tensor or a grad_fn, got str"),
    ],
)
def test_what_carries_no_graph_is_an_error(root: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        get_graph(root)


def test_a_name_must_be_given_to_a_tensor() -> None:
    x = leaf()
    with pytest.raises(TypeError, match=r"x must be a tensor, got 3.0"):
        get_graph(x * x, x=3.0)  # type: ignore[arg-type]


# drawings -------------------------------------------------------------------------------------------------------------


def test_the_drawing_says_what_the_tree_says() -> None:
    y, names = reparametrized()
    shown = shown_text(get_graph(y, **names)._repr_svg_() or "")
    leaves = ["mu ()", "value = 12", "grad = None", "sigma ()", "value = 42", "grad = None"]
    assert sorted(shown) == sorted(["PowBackward0", "AddBackward0", "MulBackward0", *leaves])


@pytest.mark.parametrize(
    ("tensor", "line"),
    [
        (leaf(1 / 3), "value = 0.333333"),
        (leaf(123456.0), "value = 123456"),
        (leaf([[1.0, 2.0], [3.0, 4.0]]), "w (2, 2)"),
        (torch.zeros(1000000, requires_grad=True), "w (1000000,)"),
        (leaf([1.0, 2.0, 3.0, 4.0]), "value = [1 2 3 …]"),
    ],
)
def test_numbers_and_shapes_survive_the_drawing(tensor: Tensor, line: str) -> None:
    assert line in shown_text(get_graph(tensor.sum(), w=tensor)._repr_svg_() or "")


def test_the_drawing_has_an_arrow_for_each_edge() -> None:
    x = leaf(3.0)
    h = x.exp()
    root = ElementTree.fromstring(get_graph(h * h + x)._repr_svg_() or "")
    classes = [group.get("class") for group in root.iter(f"{SVG}g")]
    assert classes.count("node") == 4
    assert classes.count("edge") == 5


def test_arrows_run_from_the_root_down_to_the_leaves() -> None:
    x = leaf(3.0)
    root = ElementTree.fromstring(get_graph(x.exp().sin())._repr_svg_() or "")
    texts = [text for text in root.iter(f"{SVG}text") if (text.text or "").startswith(("Sin", "Exp", "leaf"))]
    assert [text.text for text in sorted(texts, key=lambda text: float(text.get("y", 0)))] == [
        "SinBackward0",
        "ExpBackward0",
        "leaf ()",
    ]
    tips = [
        [float(point.split(",")[1]) for point in head.get("points", "").split()]
        for edge in root.iter(f"{SVG}g")
        if edge.get("class") == "edge"
        for head in edge.iter(f"{SVG}polygon")
    ]
    assert len(tips) == 2
    assert all(tip[1] == max(tip) for tip in tips)  # y grows downwards: the point of each head is its lowest corner


def test_the_drawing_is_well_formed_and_has_a_text_alternative() -> None:
    y, names = reparametrized()
    graph = get_graph(y, **names)
    root = ElementTree.fromstring(graph._repr_svg_() or "")
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == str(graph)


def test_the_text_alternative_is_escaped() -> None:
    text = """a "quoted" <tag> & 'more'\nsecond line"""
    drawing = draw(graphviz.Digraph(body=["\ta [label=x]\n"]), text)
    assert ElementTree.fromstring(drawing.data).get("aria-label") == text
    assert repr(drawing) == text
    assert drawing._repr_svg_() == drawing.data


@pytest.mark.parametrize("label", ["a", " ", "", "two\\nlines", '<b> & \\"c\\"'])
def test_any_label_can_be_drawn(label: str) -> None:
    ElementTree.fromstring(draw(graphviz.Digraph(body=[f'\ta [label="{label}"]\n']), "x").data)


@pytest.mark.parametrize("given", [3, None, "digraph {}"])
def test_only_a_graphviz_graph_can_be_drawn(given: Any) -> None:
    with pytest.raises(TypeError, match="dot must be a graphviz"):
        draw(given, "x")


def test_stderr_is_as_before_after_drawing(capfd: pytest.CaptureFixture[str]) -> None:
    y, _ = reparametrized()
    get_graph(y)._repr_svg_()
    print("still here", file=sys.stderr, flush=True)
    assert capfd.readouterr().err == "still here\n"


def drawings() -> list[str]:
    """Of one graph: ours, and torchviz's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import torchviz

        mu, sigma = leaf(12.0), leaf(42.0)
        y = (mu + sigma * 0.5) ** 2 * mu
        ours = get_graph(y, mu=mu, sigma=sigma)._repr_svg_() or ""
        return [ours, draw(torchviz.make_dot(y, params={"mu": mu, "sigma": sigma}), "torchviz").data]


def send_drawings(connection: Connection) -> None:
    connection.send((hash("seed"), drawings()))


def test_drawings_are_the_same_in_each_process() -> None:
    kept = [torch.ones(100) for _ in range(1000)]  # moves the addresses
    ours, torchvizs = here = drawings()
    seed, there = answer(send_drawings)
    assert seed != hash("seed") or "PYTHONHASHSEED" in os.environ
    assert there == here
    assert "PowBackward0" in ours
    assert "MulBackward0" in torchvizs
    assert len(kept) == 1000


def test_leaves_are_told_apart_by_their_fill() -> None:
    y, _ = reparametrized()
    root = ElementTree.fromstring(get_graph(y)._repr_svg_() or "")
    nodes = [group for group in root.iter(f"{SVG}g") if group.get("class") == "node"]
    fills: dict[bool, set[str | None]] = {True: set(), False: set()}
    for node in nodes:
        is_leaf = any((text.text or "").startswith("leaf") for text in node.iter(f"{SVG}text"))
        fills[is_leaf].update(path.get("fill") for path in node.iter(f"{SVG}path"))
    assert len(fills[True]) == len(fills[False]) == 1
    assert fills[True] != fills[False]


def test_torchviz_s_drawing_keeps_its_labels() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import torchviz

        w = torch.ones(100000, 2, requires_grad=True)
        dot = torchviz.make_dot(w.sum(), params={"w": w})
    shown = shown_text(draw(dot, "x").data)
    assert "SumBackward0" in shown
    assert "w" in shown
    assert "(100000, 2)" in [line.strip() for line in shown]
    assert not [line for line in shown if line.strip().isdecimal()]  # no memory addresses


def test_a_graph_is_what_comes_back() -> None:
    assert isinstance(get_graph(leaf() * 2), Graph)

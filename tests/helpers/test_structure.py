"""How `helpers` is built: private names stay in their module, imports form no circle, functions are short."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 35


def modules(root: Path) -> dict[str, ast.Module]:
    """The source of each module under helpers, by its dotted name."""
    found = {}
    for path in sorted((root / "helpers").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module, known: set[str]) -> dict[str, set[str]]:
    """The names that a module imports from each module of helpers."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "helpers":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.setdefault(whole if whole in known else node.module, set()).add(alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in known:
                    found.setdefault(alias.name, set())
    return found


def private_names_that_cross(trees: dict[str, ast.Module]) -> list[str]:
    """`from helpers.x import _y`, and `x._y` for a module x that was imported."""
    crossing = []
    for module, tree in trees.items():
        aliases = set()
        for target, names in imported(tree, set(trees)).items():
            crossing += [f"{module}: {target}.{name}" for name in names if name.startswith("_")]
            aliases.add(target.rpartition(".")[2])
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                private = node.attr.startswith("_") and not node.attr.endswith("__")
                crossing += [f"{module}: {node.value.id}.{node.attr}"] if private else []
    return crossing


def in_order(trees: dict[str, ast.Module]) -> list[str]:
    """The modules in an order in which each comes after all that it imports; CycleError if there is none."""
    return list(
        TopologicalSorter({name: set(imported(tree, set(trees))) for name, tree in trees.items()}).static_order()
    )


def test_no_private_name_crosses_a_module() -> None:
    assert private_names_that_cross(modules(ROOT)) == []


def test_imports_form_no_circle() -> None:
    order = in_order(modules(ROOT))
    for below, above in [("estimate", "monte_carlo"), ("randomness", "reparametrize"), ("drawing", "graph")]:
        assert order.index(f"helpers.{below}") < order.index(f"helpers.{above}")
    assert order.index("helpers.estimators.base") < order.index("helpers.estimators.score_function")


@pytest.mark.parametrize(
    ("one", "other", "private", "circle"),
    [
        ("from helpers.b import _x", "", True, False),
        ("from helpers import b\nb._x()", "", True, False),
        ("from helpers import b\nb.x()", "from helpers.a import y", False, True),
        ("from helpers.b import x", "import helpers.a", False, True),
        ("from helpers import b\nb.x()", "import torch", False, False),
    ],
)
def test_the_checks_find_what_they_look_for(one: str, other: str, private: bool, circle: bool) -> None:
    trees = {"helpers.a": ast.parse(one), "helpers.b": ast.parse(other)}
    assert bool(private_names_that_cross(trees)) == private
    if circle:
        with pytest.raises(ValueError, match="cycle"):
            in_order(trees)
    else:
        in_order(trees)


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_no_function_is_long() -> None:
    long = {}
    for module, tree in modules(ROOT).items():
        for node in functions(tree):
            lines = node.end_lineno - node.lineno + 1
            if lines > LONGEST:
                long[f"{module}.{node.name}"] = lines
    assert long == {}


def public(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """The public functions and classes of a module, and the public methods of the latter."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    found = [node for node in found if not node.name.startswith("_")]
    inside = [node for each in found if isinstance(each, ast.ClassDef) for node in each.body]
    methods = [node for node in inside if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    return found + methods


def test_docstrings_are_whole_sentences() -> None:
    """Each public name has one, and each of its paragraphs ends like a sentence."""
    bad = []
    for module, tree in modules(ROOT).items():
        for node in [tree, *public(tree)]:
            for paragraph in (ast.get_docstring(node) or "missing").split("\n\n"):
                if not paragraph.rstrip().endswith((".", ":")):
                    bad.append(f"{module}.{getattr(node, 'name', '')}: {paragraph[-60:]}")
    assert bad == []

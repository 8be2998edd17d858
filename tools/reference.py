"""Write the reference of `helpers` into its appendix, from signatures and docstrings: `python -m tools.reference`.

The reference lists each name that a chapter's code imports, or uses from a module of `helpers` that it imports. The
code is parsed, not run.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tools.execute import chapters

ROOT = Path(__file__).resolve().parent.parent
HELPERS = ROOT / "helpers"
PAGE = ROOT / "appendices" / "reference.qmd"
PLACE = re.compile(r"(<!-- reference -->\n).*(<!-- end -->)", re.DOTALL)
WIDTH = 110
SHORT = 40  # a longer signature has one argument per line
# Characters that pandoc would read as markup or print as another; each may be escaped by a backslash.
MARKUP = re.compile(r"[\\*&_^~$\[\]<>{}|#@'\"`]|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.")

Definition = ast.FunctionDef | ast.ClassDef
Name = tuple[str, str]  # module, name


class Helpers:
    """The modules of `helpers` as syntax trees."""

    def __init__(self) -> None:
        paths = {".".join(p.relative_to(HELPERS).with_suffix("").parts): p for p in sorted(HELPERS.rglob("*.py"))}
        self.trees = {k.removesuffix("__init__").removesuffix("."): ast.parse(p.read_text()) for k, p in paths.items()}

    def home(self, module: str, name: str) -> Name:
        """Where a name that can be imported from `module` is defined; a module has the name ""."""
        if not module and name in self.trees:
            return name, ""
        for node in self.trees[module].body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "helpers":
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self.home(submodule(node.module or ""), alias.name)
        return module, name

    def definition(self, module: str, name: str) -> Definition | None:
        """The function or class, or None for a name that is assigned."""
        found = (n for n in self.trees[module].body if isinstance(n, Definition) and n.name == name)
        return next(found, None)

    def alias(self, name: str) -> Definition | ast.expr | None:
        """The definition of a type that occurs in a signature, if helpers defines it."""
        for module, tree in self.trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return node
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name and module:
                    return node.value
        return None


def submodule(module: str) -> str:
    return module.removeprefix("helpers").removeprefix(".")


def names_in(code: str, helpers: Helpers) -> Iterator[Name]:
    """The names of `helpers` that a chapter's code uses, in the order of the code."""
    modules: dict[str, str] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "helpers":
            for alias in node.names:
                module, name = helpers.home(submodule(node.module or ""), alias.name)
                if name:
                    yield module, name
                else:
                    modules[alias.asname or alias.name] = module
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield helpers.home(modules[node.value.id], node.attr)


def uses(helpers: Helpers) -> dict[Name, list[str]]:
    """Each public name with the labels of the chapters whose code uses it, in the order of the book."""
    found: dict[Name, list[str]] = {}
    for path in chapters():
        cells = nbformat.read(path, as_version=4).cells
        label = re.search(r"\{#(sec-[\w-]+)\}", cells[0].source)
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        if not label:
            raise SystemExit(f"{path.name} must begin with a title and its label, {{#sec-…}}")
        for name in names_in(code, helpers):
            labels = found.setdefault(name, [])
            if label[1] not in labels:
                labels.append(label[1])
    return found


def escaped(text: str) -> str:
    """The text of a docstring as markdown that shows it to the letter; text in backquotes stays code."""
    parts = re.split(r"(`[^`\n]+`)", text)
    return "".join(part if i % 2 else MARKUP.sub(r"\\\g<0>", part) for i, part in enumerate(parts))


def paragraphs(node: Definition | ast.Module) -> list[str]:
    """The docstring as paragraphs of plain text, with its sources in a paragraph of their own."""
    text = re.sub(r"\s(?=Source: )", "\n\n", ast.get_docstring(node) or "")
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def typed(name: str, kind: ast.expr | None, default: ast.expr | None) -> str:
    """`name: kind = default`, without the parts that are missing."""
    text = name + (f": {ast.unparse(kind)}" if kind else "") + (f" = {ast.unparse(default)}" if default else "")
    return text.replace("'", '"')


def arguments(node: ast.arguments) -> list[str]:
    """Each argument as in the code, except for `self` and `cls`."""

    def one(argument: ast.arg, default: ast.expr | None, stars: str = "") -> str:
        return stars + typed(argument.arg, argument.annotation, default)

    positional = [*node.posonlyargs, *node.args]
    defaults = [None] * (len(positional) - len(node.defaults)) + node.defaults
    parts = [one(a, d) for a, d in zip(positional, defaults, strict=True) if a.arg not in ("self", "cls")]
    if node.vararg:
        parts.append(one(node.vararg, None, "*"))
    elif node.kwonlyargs:
        parts.append("*")
    parts += [one(a, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
    return parts + ([one(node.kwarg, None, "**")] if node.kwarg else [])


def signature(node: Definition) -> str:
    """The signature of a function, or that of the constructor of a class."""
    if isinstance(node, ast.FunctionDef):
        parts = arguments(node.args)
        if any(ast.unparse(decorator).startswith("reparametrization(") for decorator in node.decorator_list):
            # a map g(eps, *parameters), which is called without eps
            parts = [part.replace(": Tensor", ": Number") for part in parts[1:]]
            parts += ["*", "sample_shape: Sequence[int] = ()", "generator: Generator | None = None"]
    elif constructor := next((m for m in methods(node, private=True) if m.name == "__init__"), None):
        parts = arguments(constructor.args)
    else:
        fields = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
        parts = [typed(ast.unparse(field.target), field.annotation, field.value) for field in fields]
    result = f" -> {ast.unparse(node.returns)}" if isinstance(node, ast.FunctionDef) and node.returns else ""
    line = f"{node.name}({', '.join(parts)}){result}"
    if len(line) <= SHORT:
        return line
    return f"{node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def methods(node: ast.ClassDef, private: bool = False) -> list[ast.FunctionDef]:
    """The public methods with a docstring, except for `__call__`, which is the same for all estimators."""
    found = [statement for statement in node.body if isinstance(statement, ast.FunctionDef)]
    if private:
        return found
    return [m for m in found if ast.get_docstring(m) and m.name != "__call__" and not re.match(r"_[a-z]", m.name)]


def method_line(node: ast.ClassDef, method: ast.FunctionDef) -> str:
    decorators = [ast.unparse(decorator) for decorator in method.decorator_list]
    names = [a.arg for a in (*method.args.args, *method.args.kwonlyargs) if a.arg not in ("self", "cls")]
    owner = node.name if "classmethod" in decorators else ""
    call = "" if "property" in decorators else f"({', '.join(names)})"
    return filled(f"- `{owner}.{method.name}{call}`: {escaped(' '.join(paragraphs(method)))}", "  ")


def entry(node: Definition, labels: list[str]) -> str:
    parts = [f"### `{node.name}`", f"```python\n{signature(node)}\n```"]
    parts += [filled(escaped(paragraph)) for paragraph in paragraphs(node)]
    if isinstance(node, ast.ClassDef) and methods(node):
        parts.append("\n".join(method_line(node, method) for method in methods(node)))
    used = ", ".join(f"@{label}" for label in labels)
    return "\n\n".join([*parts, filled(f"Used in {used}.")])


def types(helpers: Helpers, shown: list[Definition]) -> str:
    """A list of the types in the signatures that `helpers` itself defines."""
    todo = [signature(node) for node in shown]
    lines: dict[str, str] = {}
    while todo:
        for word in re.findall(r"\b[A-Z]\w*", todo.pop()):
            meaning = helpers.alias(word)
            if meaning is None or word in lines or word in {node.name for node in shown}:
                continue
            if isinstance(meaning, ast.expr):
                lines[word] = f"- `{word}` is `{ast.unparse(meaning)}`"
                todo.append(ast.unparse(meaning))
            else:
                call = next((m for m in methods(meaning, private=True) if m.name == "__call__"), None)
                text = escaped(" ".join(paragraphs(meaning)))
                how = signature(call).replace("__call__", "", 1) if call else ""
                how = re.sub(r"\s+", " ", how).replace("( ", "(").replace(", )", ")")
                lines[word] = filled(f"- `{word}`: {text}" + (f" `{how}`" if how else ""), "  ")
                todo.append(how)
    return "\n".join(lines[word] for word in sorted(lines))


def reference() -> str:
    """The generated part of the page."""
    helpers = Helpers()
    found = uses(helpers)
    private = [name for _, name in found if name.startswith("_")]
    if private:
        raise SystemExit(f"chapters must not use private names of helpers, got {', '.join(private)}")
    shown: list[Definition] = []
    parts = []
    for module in sorted({module for module, _ in found}):
        tree = helpers.trees[module]
        parts.append(f"## helpers.{module}" if module else "## helpers")
        parts += [filled(escaped(paragraph)) for paragraph in paragraphs(tree)]
        names = {name: labels for (home, name), labels in found.items() if home == module}
        constants = sorted(name for name in names if helpers.definition(module, name) is None)
        if constants:
            parts.append(filled("Values: " + ", ".join(f"`{name}`" for name in constants) + "."))
        nodes = [n for n in tree.body if isinstance(n, Definition) and n.name in names]
        parts += [entry(node, names[node.name]) for node in nodes]
        shown += nodes
    parts += ["## Types in signatures", types(helpers, shown)]
    return "\n\n".join(parts)


def into_page(page: str) -> str:
    """The page with a new reference; ValueError if it has no place for one."""
    made, count = PLACE.subn(lambda m: f"{m[1]}\n{reference()}\n\n{m[2]}", page)
    if count != 1:
        raise ValueError(f"the page must hold the reference once, got {count}")
    return made


def main() -> int:
    old = PAGE.read_text()
    new = into_page(old)
    PAGE.write_text(new)
    if new != old:
        print(f"{PAGE.relative_to(ROOT)}: written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())

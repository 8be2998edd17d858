"""Write the reference of `helpers` into its appendix, from signatures and docstrings: `python -m tools.reference`.

The reference lists each name that a chapter's code imports, or uses from a module of `helpers` that it imports, under
the chapter that is the first to use it. `tools/reference.toml` adds what docstrings do not say: the meaning of
recurring arguments, and each formula as mathematics.
"""

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args

import nbformat
import torch

from helpers.reparametrize import Reparametrization
from render.book import Book, read_book
from tools.execute import chapters

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "appendices" / "reference.qmd"
PLACE = re.compile(r"(<!-- reference -->\n).*(<!-- end -->)", re.DOTALL)
WIDTH = 110
CALL_WIDTH = 40  # characters of code that a phone shows
FEW = 5  # so many other chapters are listed, more are counted
# Characters that pandoc would read as markup or print as another; each may be escaped by a backslash.
MARKUP = re.compile(r"[\\*&_^~$\[\]<>{}|#@'\"`]|-(?=-)|(?<=-)-|\.(?=\.)|(?<=\.)\.")
# English has no words of one letter but "a" and "I", so any other letter is a symbol.
LETTER = re.compile(r"(?<![\w'])[b-zB-HJ-Z](?![\w'])")
SENTENCE = re.compile(r"(?<=\.) (?=[\w`(])")
NUMBER = "float | int | Tensor"

Name = tuple[str, str]  # the module that defines it, name


@dataclass
class Notes:
    """The entries of `tools/reference.toml`, and which of them were used."""

    arguments: dict[str, str]
    formulas: dict[str, str]
    used: set[str] = field(default_factory=set)

    def meaning(self, owner: str, argument: str) -> str | None:
        """What an argument of `owner` means, by its own entry or by that of all arguments of this name."""
        key = next((key for key in (f"{owner}.{argument}", argument) if key in self.arguments), None)
        if key is None:
            return None
        self.used.add(key)
        return self.arguments[key]

    def shown(self, text: str) -> str:
        """The text of a docstring as Markdown: formulas as mathematics, code as code, and the rest to the letter."""
        parts = re.split(r"(`[^`\n]+`)", text)
        return "".join(part if i % 2 else self._prose(part) for i, part in enumerate(parts))

    def _prose(self, text: str) -> str:
        def found(match: re.Match[str]) -> str:
            if match[0] in self.formulas:
                self.used.add(match[0])
                return self.formulas[match[0]]
            return f"${match[0]}$"

        done, end = [], 0
        for match in _formula(tuple(self.formulas)).finditer(text):
            done += [MARKUP.sub(r"\\\g<0>", text[end : match.start()]), found(match)]
            end = match.end()
        return "".join([*done, MARKUP.sub(r"\\\g<0>", text[end:])])


@cache
def _formula(formulas: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the formulas, the longest first, or a letter that is a symbol."""
    longest = sorted(formulas, key=len, reverse=True)
    listed = "|".join(rf"(?<![\w']){re.escape(formula)}(?![\w'])" for formula in longest)
    return re.compile(f"{listed}|{LETTER.pattern}" if listed else LETTER.pattern)


def read_notes() -> Notes:
    return Notes(**tomllib.loads(Path(__file__).with_suffix(".toml").read_text()))


def names_in(code: str) -> Iterator[Name]:
    """The names of `helpers` that a chapter's code uses, in the order of the code."""
    modules: dict[str, ModuleType] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "helpers":
            for alias in node.names:
                found = member(import_module(node.module), alias.name)
                if isinstance(found, ModuleType):
                    modules[alias.asname or alias.name] = found
                else:
                    yield home(node.module, alias.name)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield home(modules[node.value.id].__name__, node.attr)


def member(module: ModuleType, name: str) -> Any:
    """What `from module import name` gives."""
    return getattr(module, name) if hasattr(module, name) else import_module(f"{module.__name__}.{name}")


def home(module: str, name: str) -> Name:
    """The module that defines a name; numbers, strings and tuples do not know theirs."""
    return getattr(getattr(import_module(module), name), "__module__", module), name


def importable(name: Name) -> str:
    """The shortest module from which a name can be imported."""
    modules = ("helpers", "helpers.estimators", name[0])
    return next(module for module in modules if vars(import_module(module)).get(name[1]) is thing(name))


def thing(name: Name) -> Any:
    return getattr(import_module(name[0]), name[1])


def uses() -> tuple[dict[str, str], dict[Name, list[str]]]:
    """The titles of the chapters by label, and each name with the labels of the chapters whose code uses it."""
    titles: dict[str, str] = {}
    found: dict[Name, list[str]] = {}
    for path in chapters():
        cells = nbformat.read(path, as_version=4).cells
        title = re.match(r"# (.*) \{#(sec-[\w-]+)\}", cells[0].source)
        if not title:
            raise SystemExit(f"{path.name} must begin with a title and its label, {{#sec-…}}")
        titles[title[2]] = title[1]
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        for name in names_in(code):
            labels = found.setdefault(name, [])
            if title[2] not in labels:
                labels.append(title[2])
    private = [name for _, name in found if name.startswith("_")]
    if private:
        raise SystemExit(f"chapters must not use private names of helpers, got {', '.join(private)}")
    return titles, found


def paragraphs(of: Any) -> list[str]:
    """The docstring as paragraphs of plain text, with its sources in a paragraph of their own."""
    text = re.sub(r"\s(?=Source: )", "\n\n", inspect.getdoc(of) or "")
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def filled(text: str, indent: str = "") -> str:
    """The text in lines, none of which begins with "1983.", since that would begin a list."""
    text = re.sub(r" (?=\d+[.)](?: |$))", "\N{NO-BREAK SPACE}", text)
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def parameters(of: Any) -> list[Parameter]:
    """The arguments of a function, a sampler, or the constructor of a class."""
    if isinstance(of, type) and issubclass(of, torch.nn.Module):
        return []  # torch's constructor takes anything
    found = list(inspect.signature(of).parameters.values())
    if not isinstance(of, Reparametrization):
        return found
    settings = inspect.signature(Reparametrization.__call__).parameters
    kinds = {name: settings[name].annotation for name in ("sample_shape", "generator")}
    return [p.replace(annotation=kinds.get(p.name, NUMBER)) for p in found]


def type_name(annotation: Any) -> str:
    """A type as in the code, without the modules of its parts."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).replace(NUMBER, "Number")


def call(name: str, of: Any) -> str:
    """How it is called, with the default values."""
    plain = inspect.Signature([p.replace(annotation=Parameter.empty) for p in parameters(of)])
    line = f"{name}{plain}"
    if len(line) <= CALL_WIDTH:
        return line
    inside = textwrap.fill(
        str(plain)[1:-1] + ",", CALL_WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False
    )
    return f"{name}(\n{inside}\n)"


def label(parameter: Parameter) -> str:
    stars = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
    return stars.get(parameter.kind, "") + parameter.name


def described(name: str, of: Any, notes: Notes) -> tuple[list[str], dict[str, str]]:
    """The paragraphs of a docstring, and those sentences that begin with the name of an argument, by argument."""
    first, *others = paragraphs(of)
    meanings: dict[str, str] = {}
    arguments = {label(p).lstrip("*"): label(p) for p in parameters(of)}
    kept = [first]
    for paragraph in others:
        sentences = []
        for sentence in SENTENCE.split(paragraph):
            start = re.match(r"`(\w+)(?:\([^`]*\))?` ", sentence)
            argument = arguments.get(start[1]) if start else None
            if argument and argument not in meanings and f"{name}.{argument}" not in notes.arguments:
                meanings[argument] = notes.shown(re.sub(r"^`\w+` is ", "", sentence).removesuffix("."))
            else:
                sentences.append(sentence)
        kept += [" ".join(sentences)] if sentences else []
    return kept, meanings


def table(name: str, of: Any, meanings: dict[str, str], notes: Notes) -> str:
    """The arguments as a table of two columns, with type and default after the meaning."""
    lines = ["| Argument | Meaning |", "|:----------|:------------------------------|"]
    for parameter in parameters(of):
        argument = label(parameter)
        meaning = meanings.get(argument) or notes.meaning(name, argument)
        if not meaning:
            raise SystemExit(f"tools/reference.toml must say what {name}.{argument} means")
        default = {Parameter.empty: "", None: ", optional"}.get(parameter.default, f", default `{parameter.default}`")
        kind = type_name(parameter.annotation).removesuffix(" | None") if default else type_name(parameter.annotation)
        lines.append(f"| `{argument}` | {meaning} (`{kind}`{default}) |")
    return "\n".join(lines)


def methods(of: type) -> dict[str, Any]:
    """The public methods and properties that no base class has, and subtraction."""
    inherited = {name for base in of.__mro__[1:] for name in vars(base)} - {"__sub__"}
    return {
        name: value
        for name, value in vars(of).items()
        if isinstance(value, FunctionType | classmethod | property)
        and inspect.getdoc(value)
        and name not in inherited
        and (name == "__sub__" or not name.startswith("_"))
    }


def method_line(owner: type, name: str, method: Any, notes: Notes) -> str:
    shown = f"{owner.__name__ if isinstance(method, classmethod) else ''}.{name}"
    if not isinstance(method, property):
        _, *arguments = inspect.signature(getattr(method, "__func__", method)).parameters.values()
        shown += f"({', '.join(map(label, arguments))})"
    return filled(f"- `{shown}`: {notes.shown(' '.join(paragraphs(method)))}", "  ")


@cache
def book() -> Book:
    return read_book(ROOT)


def source(of: Any) -> str:
    """The file and line of a definition, as a link if the book has a repository."""
    code = of.g if isinstance(of, Reparametrization) else of
    path = Path(inspect.getsourcefile(code) or "").resolve().relative_to(ROOT).as_posix()
    line = 0 if isinstance(of, ModuleType) else inspect.getsourcelines(code)[1]
    text, anchor = (f"`{path}`, line {line}", f"#L{line}") if line else (f"`{path}`", "")
    url = book().repo_url
    return f"[{text}]({url}/blob/{book().repo_branch}/{path}{anchor})" if url else text


def entry(name: Name, others: list[str], notes: Notes) -> str:
    found = thing(name)
    (summary, *text), meanings = described(name[1], found, notes)
    code = f"from {importable(name)} import {name[1]}\n\n{call(name[1], found)}"
    parts = [f"### `{name[1]}`", filled(notes.shown(summary)), f"```python\n{code}\n```"]
    if parameters(found):
        parts.append(table(name[1], found, meanings, notes))
    parts += [filled(notes.shown(paragraph)) for paragraph in text]
    if isinstance(found, type) and methods(found):
        parts.append("\n".join(method_line(found, each, method, notes) for each, method in methods(found).items()))
    also = ", ".join(f"@{other}" for other in others) if len(others) <= FEW else f"{len(others)} other chapters"
    used = f" Also used in {also}." if others else ""
    return "\n\n".join([*parts, filled(f"Defined in {source(found)}.{used}")])


def classes_in(annotation: Any) -> Iterator[type]:
    """The classes of `helpers` in a type."""
    if isinstance(annotation, type) and annotation.__module__.split(".")[0] == "helpers":
        yield annotation
    arguments = annotation if isinstance(annotation, list) else get_args(annotation)
    for argument in arguments:
        yield from classes_in(argument)


def types(shown: list[Any], notes: Notes) -> str:
    """A list of the classes of `helpers` that signatures mention and that have no entry."""
    annotations = [p.annotation for found in shown for p in parameters(found)]
    annotations += [inspect.signature(found).return_annotation for found in shown]
    classes = {one for annotation in annotations for one in classes_in(annotation)} - set(shown)
    lines = []
    for one in sorted(classes, key=lambda one: one.__name__):
        lines.append(filled(f"- `{one.__name__}`: {notes.shown(' '.join(paragraphs(one)))} {source(one)}.", "  "))
    return "\n".join(lines)


def reference(notes: Notes) -> str:
    """The generated part of the page."""
    titles, found = uses()
    parts = []
    for label, title in titles.items():
        new = {name: labels[1:] for name, labels in found.items() if labels[0] == label}
        entries = [name for name in new if callable(thing(name))]
        values = sorted(name[1] for name in new if name not in entries)
        if new:
            parts += [f"## {title}", f"First used in @{label}."]
        if values:
            parts.append(filled("Constants: " + ", ".join(f"`{value}`" for value in values) + "."))
        parts += [entry(name, new[name], notes) for name in entries]
    shown = [thing(name) for name in found if callable(thing(name))]
    parts += ["## Other types in signatures", types(shown, notes), "## Modules"]
    lines = []
    for name in sorted({module for module, _ in found} - {"helpers"}):
        module = import_module(name)
        lines.append(filled(f"- {source(module)}: {notes.shown(' '.join(paragraphs(module)))}", "  "))
    return "\n\n".join([*parts, "\n".join(lines)])


def into_page(page: str, notes: Notes | None = None) -> str:
    """The page with a new reference; ValueError if it has no place for one."""
    made, count = PLACE.subn(lambda m: f"{m[1]}\n{reference(notes or read_notes())}\n\n{m[2]}", page)
    if count != 1:
        raise ValueError(f"the page must hold the reference once, got {count}")
    return made


def main() -> int:
    old = PAGE.read_text()
    new = into_page(old)
    PAGE.write_text(new)
    if new != old:
        print(f"{PAGE.relative_to(ROOT)}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())

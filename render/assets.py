"""Makes what every page loads small: one style sheet and one script, with what the pages use and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path

import tinycss2
from tinycss2.ast import Node, QualifiedRule

THEME_STYLES = (
    "basic.css",
    "styles/pydata-sphinx-theme.css",
    "pygments.css",
    "styles/sphinx-book-theme.css",
    "copybutton.css",
    "sphinx-design.min.css",
    "katex/katex.min.css",
)
SCRIPTS = (
    "documentation_options.js",
    "doctools.js",
    "sphinx_highlight.js",
    "clipboard.min.js",
    "copybutton.js",
    "scripts/sphinx-book-theme.js",
    "design-tabs.js",
    "scripts/pydata-sphinx-theme.js",
    "book.js",
)
ICON_SCRIPT = "scripts/fontawesome.js"
NOT_NEEDED = ("styles", "scripts", "vendor", "images", "locales", "**/*.map", "*macros.html", "*-button.svg")
NOT_NEEDED += ("file.png", "minus.png", "plus.png")

ICON_TAG = re.compile(r'<(i|span) class="([^"]*\bfa-solid\b[^"]*)"([^>]*)></\1>')
ICON_DATA = re.compile(r'(?:"([\w-]+)"|([\w$]+)):\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]*)"\]')
ICON_STYLES = {"fa-solid", "fa-lg", "fa-fw"}
# The theme measures every code block on load, which lays out all of a long page; book.js does it for what is seen.
MEASURES_ALL = re.compile(r'"complete"===document\.readyState\?(\w+)\(\):window\.addEventListener\("load",\1\)')
# A sixth of a chapter's elements would be names, punctuation and blanks of its code, which have the colour of the text.
CODE = re.compile(r'<div class="highlight"><pre.*?</pre>', re.DOTALL)
PLAIN_TOKEN = re.compile(r'<span class="(?:n|p|w)">([^<]*)</span>')
BLOCKING_SCRIPT = re.compile(r"<script src=")
NAMES = re.compile(r'\b(?:class|id)="([^"]*)"')
WORD = re.compile(r"[\w-]+")
ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)["']?\s*\)""")
LICENCE = re.compile(r"/\*!.*?\*/", re.DOTALL)
VARIABLE = re.compile(r"var\(\s*(--[\w-]+)")
FONT = "@font-face"
GROUPS = {"media", "supports", "container", "layer"}
ALTERNATIVES = {"is", "where", "has"}
COMBINATORS = (">", "+", "~")
# With a rule for these, a browser makes two styles more for every element.
EVERY_PSEUDO_ELEMENT = {":before", ":after"}
BORDER_BOX = ("box-sizing", "border-box")


def lighten(pages: Path, styles: Iterable[str]) -> None:
    """Joins the style sheets and scripts of the site in `pages`, without what it has no use for.

    `styles` names the book's own sheets in `_static`, which follow the theme's.
    """
    static = pages / "_static"
    html = {path: path.read_text(encoding="utf-8") for path in pages.rglob("*.html") if static not in path.parents}
    icons = _icons((static / ICON_SCRIPT).read_text(encoding="utf-8"))
    html = {path: BLOCKING_SCRIPT.sub("<script defer src=", _inline_icons(text, icons)) for path, text in html.items()}
    html = {path: CODE.sub(lambda code: PLAIN_TOKEN.sub(r"\1", code[0]), text) for path, text in html.items()}

    script = MEASURES_ALL.sub("0", ";\n".join(_taken(static / name) for name in SCRIPTS))
    sheets = [(static / name, _taken(static / name)) for name in (*THEME_STYLES, *styles)]
    for pattern in NOT_NEEDED:
        for path in list(static.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    others = [path.read_text(encoding="utf-8") for kind in ("js", "mjs", "css") for path in static.rglob(f"*.{kind}")]
    used = {name for text in html.values() for names in NAMES.findall(text) for name in names.split()}
    used.update(word for text in (script, *others) for word in WORD.findall(text))
    used.update(variable for text in html.values() for variable in VARIABLE.findall(text))
    style = join_styles(sheets, static, used)

    for name, text in (("book.css", style), ("book.js", script)):
        (static / name).write_text(text, encoding="utf-8")
        digest = sha256(text.encode()).hexdigest()[:8]
        html = {path: page.replace(f"_static/{name}", f"_static/{name}?v={digest}") for path, page in html.items()}
    for path, text in html.items():
        path.write_text(text, encoding="utf-8")


def _taken(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return re.sub(r"\n//# sourceMappingURL=.*", "", text)


def _icons(script: str) -> dict[str, tuple[str, str, str]]:
    """Returns the width, height and path of each icon in the theme's script."""
    found: dict[str, tuple[str, str, str]] = {}
    for quoted, plain, width, height, aliases, path in ICON_DATA.findall(script):
        for name in (quoted or plain, *re.findall(r'"([a-z][\w-]*)"', aliases)):
            found[name] = (width, height, path)
    return found


def _inline_icons(page: str, icons: dict[str, tuple[str, str, str]]) -> str:
    """Draws the icons in the page, which else takes a script of 100 kB."""

    def drawn(match: re.Match[str]) -> str:
        classes = match[2].split()
        (name,) = (c.removeprefix("fa-") for c in classes if c.startswith("fa-") and c not in ICON_STYLES)
        width, height, path = icons[name]
        kept = " ".join(c for c in classes if c != "fa-solid" and c != f"fa-{name}")
        return (
            f'<svg class="{f"icon {kept}".strip()}" viewBox="0 0 {width} {height}" aria-hidden="true"'
            f'{re.sub(r" title=.*", "", match[3])}><path fill="currentColor" d="{path}"/></svg>'
        )

    return ICON_TAG.sub(drawn, page)


@dataclass
class Block:
    """A rule of a style sheet: declarations, or other rules (in a media query), or text that is kept as it is."""

    head: str
    declarations: list[tuple[str, str]] = field(default_factory=list)
    inner: list[Block] = field(default_factory=list)
    text: str = ""

    def written(self, is_kept: Callable[[str], bool]) -> str:
        """Returns the rule as text, without the declarations whose name is not kept; "" where none is left."""
        body = ";".join(f"{name}:{value}" for name, value in self.declarations if is_kept(name))
        body += "\n".join(filter(None, (block.written(is_kept) for block in self.inner)))
        return self.text or (f"{self.head}{{{body}}}" if body else "")


def join_styles(sheets: list[tuple[Path, str]], static: Path, used: set[str]) -> str:
    """Returns the sheets as one, without rules, variables and fonts that nothing uses."""
    licences = dict.fromkeys(licence for _, text in sheets for licence in LICENCE.findall(text))
    blocks: list[Block] = []
    for path, text in sheets:
        folder = path.parent.relative_to(static).as_posix()
        placed = text if folder == "." else ADDRESS.sub(partial(_placed, folder), text)
        blocks += _blocks(tinycss2.parse_stylesheet(placed, skip_comments=True, skip_whitespace=True), used)
    families = " ".join(v for block in _flat(blocks) for _, v in block.declarations if block.head != FONT)
    blocks = [block for block in blocks if block.head != FONT or dict(block.declarations)["font-family"] in families]

    def text_with(is_kept: Callable[[str], bool]) -> str:
        return "\n".join(filter(None, (block.written(is_kept) for block in blocks)))

    text, shorter = "", text_with(lambda name: True)
    while text != shorter:
        text, asked = shorter, used.union(VARIABLE.findall(shorter))
        shorter = text_with(lambda name, asked=asked: not name.startswith("--") or name in asked)
    return "\n".join([*licences, text])


def _placed(folder: str, match: re.Match[str]) -> str:
    return match[0] if match[1].startswith("data:") else f"url({folder}/{match[1]})"


def _flat(blocks: list[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        yield from _flat(block.inner)


def _blocks(rules: list[Node], used: set[str]) -> list[Block]:
    blocks = []
    for rule in rules:
        if isinstance(rule, QualifiedRule):
            choices = [
                simple for choice in _split(rule.prelude) if _is_used(choice, used) for simple in _simple(choice)
            ]
            declarations = _declarations(rule)
            if declarations == [BORDER_BOX]:
                choices = [choice for choice in choices if choice not in EVERY_PSEUDO_ELEMENT]
            elif "content" in dict(declarations):
                declarations.insert(0, BORDER_BOX)
            if choices:
                blocks.append(Block(",".join(choices), declarations))
        elif rule.at_keyword in GROUPS and rule.content is not None:
            head = f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}"
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            blocks.append(Block(head, inner=_blocks(inner, used)))
        elif rule.at_keyword == "font-face":
            blocks.append(Block(FONT, declarations=_declarations(rule)))
        elif rule.at_keyword != "charset":
            blocks.append(Block("", text=rule.serialize()))
    return blocks


def _declarations(rule: Node) -> list[tuple[str, str]]:
    parts = tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True)
    return [
        (part.name, " ".join(tinycss2.serialize(part.value).split()) + "!important" * part.important)
        for part in parts
        if part.type == "declaration"
    ]


def _split(tokens: list[Node]) -> list[list[Node]]:
    choices: list[list[Node]] = [[]]
    for token in tokens:
        if token == ",":
            choices.append([])
        else:
            choices[-1].append(token)
    return choices


def _simple(selector: list[Node]) -> list[str]:
    """Returns selectors for the same elements with the same weight, without an `:is()` for the element itself.

    A browser looks a rule up by the tag or class of its element; one that ends in `:is()` it tries on every element.
    """
    tokens = tinycss2.parse_component_value_list(" ".join(tinycss2.serialize(selector).split()))
    start = 1 + max((i for i, token in enumerate(tokens) if _is_combinator(token)), default=-1)
    before, choice, after = tokens[:start], tokens[start + 1 : start + 2], tokens[start + 2 :]
    if not choice or tokens[start] != ":" or choice[0].type != "function" or choice[0].lower_name != "is":
        return [tinycss2.serialize(tokens)]
    alternatives = _split(choice[0].arguments)
    weights = [_weight(alternative) for alternative in alternatives]
    missing = [[most - own for most, own in zip(max(weights), weight, strict=True)] for weight in weights]
    is_chain = any(_is_combinator(token) for alternative in alternatives for token in _stripped(alternative))
    if (is_chain and before) or any(count < 0 for counts in missing for count in counts):
        return [tinycss2.serialize(tokens)]
    simple = []
    for alternative, (ids, classes, tags) in zip(alternatives, missing, strict=True):
        weight = ":not(#_)" * ids + ":not(._)" * classes + ":not(_)" * tags
        text = "".join(map(tinycss2.serialize, (before, _stripped(alternative)))) + weight + tinycss2.serialize(after)
        simple += _simple(tinycss2.parse_component_value_list(text))
    return simple


def _is_combinator(token: Node) -> bool:
    return token.type == "whitespace" or token in COMBINATORS


def _stripped(tokens: list[Node]) -> list[Node]:
    return tinycss2.parse_component_value_list(tinycss2.serialize(tokens).strip())


def _weight(selector: list[Node]) -> tuple[int, int, int]:
    """Returns the specificity of a selector: how many ids, classes and tags it asks for."""
    weights = [(0, 0, 0)]
    for before, token in zip([None, *selector], selector, strict=False):
        if token.type == "function" and token.lower_name in {"is", "not", "has"}:
            weights.append(max(map(_weight, _split(token.arguments))))
        elif token.type == "hash":
            weights.append((1, 0, 0))
        elif token.type in {"[] block", "function"} or (token.type == "ident" and before in (".", ":")):
            weights.append((0, token.type != "function" or token.lower_name != "where", 0))
        elif token.type == "ident":
            weights.append((0, 0, 1))
    ids, classes, tags = (sum(counts) for counts in zip(*weights, strict=True))
    return ids, classes, tags


def _is_used(selector: list[Node], used: set[str]) -> bool:
    """Says whether every class and id that the selector asks for is in `used`."""
    for before, token in zip([None, *selector], selector, strict=False):
        if token.type == "hash" and token.value not in used:
            return False
        if token.type == "ident" and before == "." and token.value not in used:
            return False
        is_choice = token.type == "function" and token.lower_name in ALTERNATIVES
        if is_choice and not any(_is_used(choice, used) for choice in _split(token.arguments)):
            return False
    return True

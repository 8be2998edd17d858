"""Makes the reader's copy of each chapter, a notebook that reads well and runs without the rest of the book.

JupyterLab and Colab show Quarto's markup unchanged. Therefore a copy has text and links instead of references and
citations, no labels, block quotes instead of callouts, folded solutions, a first code cell that looks for `helpers`,
and its data inside.

The numbers and the wording of citations come from the rendered pages, so they are the same in both. Both renderers
write pages of this structure: `render/` calls `write_copies`, and Quarto runs this file after rendering, as the
`post-render` of `_quarto.yml`. Only the standard library is used, because Quarto takes the Python that it finds.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import urldefrag

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LABEL = re.compile(r"(?:sec|eq|fig|tbl)-[\w-]+")
TITLE = re.compile(r"^# (.+?) *\{#(sec-[\w-]+)\} *$", re.MULTILINE)
DIV = re.compile(r"^ *(:{3,}) *(.*?) *$")
DATA = re.compile(r"data/[\w.-]+\w")
CODE = r"(?P<code>^(?P<fence>```+).*?^(?P=fence)|(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))"
MATHS = r"(?P<display>\$\$.*?\$\$)(?: *\{#(?P<equation>eq-[\w-]+)\})?|(?P<maths>(?<!\\)\$(?=\S).*?(?<=\S)\$(?!\d))"
MARKUP = re.compile(
    rf"{CODE}|{MATHS}"
    r"|^: (?P<caption>(?:(?!\n\n).)+?) *\{#(?P<table>tbl-[\w-]+)\} *$"
    r"|\[(?P<group>@[\w-]+(?:;\s*@[\w-]+)*)\]"
    r"|(?<![\w@])@(?P<key>\w[\w-]*)"
    r"|\[\^(?P<note>[\w-]+)\](?P<definition>:)?"
    r"| *\{#(?P<dropped>[\w-]+)\}"
    r"|\]\((?P<target>(?!\w+:)[^)\s#]+\.(?:qmd|ipynb|md))(?P<anchor>#[\w-]+)?\)"
    r"|(?P<space>\\ )",
    re.DOTALL | re.MULTILINE,
)
LEFT = re.compile(rf"{CODE}|{MATHS}|(?P<left>:::|\{{[#.]|\[@|@(?:sec|eq|fig|tbl)-|\[\^|^#\|)", re.DOTALL | re.MULTILINE)
HELPERS = """\
try:  # the package that the chapters share
    import helpers.estimators
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "this book's package, helpers, is not installed in the Python environment of this notebook: "
        {how!r}
    ) from None"""
IN_COLAB = """\
import os

if "COLAB_RELEASE_TAG" in os.environ:  # set by Colab, which has only this notebook
    %pip install -q "{package}"

"""


class CopyError(Exception):
    """Markup of a chapter that a reader's copy cannot hold; the message names the chapter and the cell."""


@dataclass(frozen=True)
class Site:
    """The contents of the rendered pages that a copy needs to resolve references.

    `labels`: by label, the text of a reference and the page, as a path without suffix. `cited`: by keys and whether the
    citation is in brackets, its Markdown. `entries`: by key, the entry in the references, as Markdown.
    """

    labels: dict[str, tuple[str, str]]
    cited: dict[tuple[tuple[str, ...], bool], str]
    entries: dict[str, str]
    title: str
    site_url: str
    repo_url: str
    repo_branch: str

    def link(self, text: str, page: str, anchor: str = "") -> str:
        """`text` as a link to the page: its address once there is a site, or else the copy next to this one."""
        if self.site_url:
            return f"[{text}]({self.site_url}/{page}.html{anchor})"
        return f"[{text}]({Path(page).name}.ipynb)" if page.startswith("chapters/") else text


def write_copies(folder: Path, output: Path, pages: Mapping[str, str]) -> list[Path]:
    """Write the copy of every chapter of the book in `folder` into `output`.

    `pages` holds the HTML of the rendered pages by their paths without suffix; formulas need not be drawn there.
    Returns the copies. Raises CopyError, which names the markup, if a copy cannot hold it.
    """
    site = _site(folder, pages)
    copies = []
    for source in sorted(folder.glob("chapters/*.ipynb")):
        if f"chapters/{source.stem}" in pages:
            copy = _Copier(site, source).copy()
            target = output / "chapters" / source.name
            target.write_text(json.dumps(copy, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            copies.append(target)
    return copies


def read_pages(output: Path) -> dict[str, str]:
    """Returns the HTML of the rendered pages in `output` by their paths without suffix."""
    paths = sorted(output.rglob("*.html"))
    return {path.relative_to(output).with_suffix("").as_posix(): path.read_text(encoding="utf-8") for path in paths}


# What the pages know --------------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Collects references, captions, numbered equations, citations, and entries of the references from a page."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.open: list[tuple[str, dict[str, str], int, list[str]]] = []
        self.found: list[tuple[str, dict[str, str], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what a later text belongs to."""
        attributes = {name: value or "" for name, value in attrs}
        if tag in VOID:
            return
        self.depth += 1
        classes = attributes.get("class", "").split()
        wanted = tag in ("h1", "figcaption") or {"quarto-xref", "citation", "csl-entry"} & set(classes)
        if wanted or attributes.get("id", "").startswith("eq-") or (self.open and (tag == "a" or "math" in classes)):
            self.open.append((tag, attributes, self.depth, []))

    def handle_endtag(self, tag: str) -> None:
        """Stores the text that has ended; a link or a formula inside becomes Markdown."""
        if tag in VOID:
            return
        if self.open and self.open[-1][2] == self.depth:
            name, attributes, _, pieces = self.open.pop()
            text = "".join(pieces)
            if "math" in attributes.get("class", "").split():
                text = f"${text}$"
            self.found.append((name, attributes, " ".join(text.replace("\u00a0", " ").split())))
            if self.open:
                href = attributes.get("href", "")
                self.open[-1][3].append(f"[{text}]({href})" if name == "a" and "#ref-" in href else text)
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        """Appends to the innermost open text."""
        if self.open:
            self.open[-1][3].append(data)


def _site(folder: Path, pages: Mapping[str, str]) -> Site:
    labels: dict[str, tuple[str, str]] = {}
    cited: dict[tuple[tuple[str, ...], bool], str] = {}
    entries: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for name, text_of_page in sorted(pages.items()):
        parser = _Page()
        parser.feed(text_of_page)
        last_address, title = "", ""
        for tag, attributes, text in parser.found:
            classes = attributes.get("class", "").split()
            href, anchor = urldefrag(attributes.get("href", ""))
            if "quarto-xref" in classes and anchor:
                page = normpath(f"{Path(name).parent.as_posix()}/{href.removesuffix('.html')}") if href else name
                labels.setdefault(anchor, (text, page))
            elif tag == "figcaption" and (number := re.match(r"(?:Figure|Table) [\w.]+\w", text)):
                label = re.match(r"((?:fig|tbl)-[\w-]+?)-caption", attributes.get("id", ""))
                if label:
                    labels.setdefault(label[1], (number[0], name))
            elif attributes.get("id", "").startswith("eq-") and (number := re.search(r"\\tag\{(.+?)\}", text)):
                labels.setdefault(attributes["id"], (f"Equation {number[1]}", name))
            elif "citation" in classes:
                keys = tuple(attributes["data-cites"].split())
                cited.setdefault((keys, text.startswith("(")), text)
            elif "csl-entry" in classes:
                key = attributes["id"].removeprefix("ref-")
                entries[key], addresses[key] = text, last_address
                last_address = ""
            elif tag == "a" and attributes.get("href", "").startswith("https://"):
                last_address = attributes["href"]
            elif tag == "h1" and not title:
                title = text
        source = next((p for s in (".ipynb", ".qmd") if (p := folder / f"{name}{s}").is_file()), None)
        heading = TITLE.search(_text_of(source)) if source else None
        if heading and (number := re.match(r"(Appendix \w+|\d+)\b", title)):
            spoken = number[1] if number[1].startswith("Appendix") else f"Chapter {number[1]}"
            labels[heading[2]] = (spoken, name)
        elif heading:
            labels[heading[2]] = (heading[1], name)
    for key, address in addresses.items():
        if address:
            entries[key] = entries[key].replace(address, f"<{address}>")

    def resolved(text: str) -> str:
        def link(match: re.Match[str]) -> str:
            address = addresses.get(match[2], "")
            return f"[{match[1]}]({address})" if address else match[1]

        return re.sub(r"\[([^\]]*)\]\([^)]*#ref-([\w-]+)\)", link, text)

    settings = (folder / "_quarto.yml").read_text(encoding="utf-8")
    return Site(
        labels,
        {key: resolved(text) for key, text in cited.items()},
        entries,
        _setting(settings, "title"),
        _setting(settings, "site-url").rstrip("/"),
        _setting(settings, "repo-url").removesuffix(".git").rstrip("/"),
        _setting(settings, "repo-branch") or "main",
    )


def _setting(settings: str, name: str) -> str:
    found = re.search(rf"^ +{name}: *([\"']?)(.+?)\1 *(?: #.*)?$", settings, re.MULTILINE)
    return found[2] if found else ""


def _text_of(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    if source.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return _source(cells[0]) if cells else ""


def _source(cell: dict[str, Any]) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


# The copy of one chapter ----------------------------------------------------------------------------------------------


@dataclass
class _Div:
    kind: str  # "quote", "fold" or "none"
    title: str = ""
    shown: bool = False
    last: str = ""


@dataclass
class _Copier:
    site: Site
    path: Path
    divs: list[_Div] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    made: int = 0

    @property
    def page(self) -> str:
        return f"chapters/{self.path.stem}"

    def copy(self) -> dict[str, Any]:
        notebook = json.loads(self.path.read_text(encoding="utf-8"))
        cells: list[dict[str, Any]] = []
        for number, cell in enumerate(notebook["cells"], start=1):
            where = f"{self.path.name}, cell {number}"
            new = self._code(cell) if cell["cell_type"] == "code" else self._markdown(cell)
            for made in new:
                self._check(made, where)
            cells += new
        if self.divs:
            raise CopyError(f"{self.path.name}: a div is not closed")
        cells[1:1] = self._first_cells(notebook["cells"])
        if self.keys:
            entries = "\n".join(f"- {self.site.entries[key]}" for key in sorted(self.keys) if key in self.site.entries)
            cells.append(self._new("markdown", f"## References\n\n{entries}"))
        notebook["cells"] = cells
        return notebook

    def _new(self, kind: str, source: str, **metadata: Any) -> dict[str, Any]:
        self.made += 1
        cell = {"cell_type": kind, "id": f"copy-{self.made}", "metadata": metadata, "source": source}
        return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})

    def _first_cells(self, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
        title = self.site.title or "the book"
        page = self.site.link(title, self.page) if self.site.site_url else title
        about = f"This is a reader's copy of a chapter of *{page}*. Run its cells in order, from the top."
        in_colab, how = "", "`pip install .` in the folder of the book's repository"
        if self.site.repo_url:
            package = f"git+{self.site.repo_url}@{self.site.repo_branch}"
            in_colab, how = IN_COLAB.format(package=package), f'%pip install "{package}"'
        code = in_colab + HELPERS.format(how=f"run {how}, then restart the kernel")
        first = [self._new("markdown", about), self._new("code", code)]
        names = sorted({name for c in cells if c["cell_type"] == "code" for name in DATA.findall(_source(c))})
        for name in names:
            data = self.path.parent / name
            if data.is_file():
                first.append(self._new("code", _embedded(name, data.read_bytes()), jupyter={"source_hidden": True}))
        return first

    # code cells

    def _code(self, cell: dict[str, Any]) -> list[dict[str, Any]]:
        options, code = _options(_source(cell))
        folded = any(div.kind == "fold" for div in self.divs)
        metadata = dict(cell["metadata"])
        if folded or options.get("code-fold") == "true":
            metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": folded}
        outputs = [_at_half_size(output) for output in cell["outputs"]]
        cells = [cell | {"source": code, "metadata": metadata, "outputs": outputs}]
        if "fig-cap" in options:
            number, _ = self._numbered(options.get("label", ""))
            text = f"**{number}.** {self._inline(options['fig-cap'])}"
            if folded:
                text = f"<details><summary>{number}</summary>\n\n{text}\n\n</details>"
            cells.append(self._new("markdown", text))
        return cells

    # text

    def _markdown(self, cell: dict[str, Any]) -> list[dict[str, Any]]:
        pieces: list[str] = []
        for div, text in self._by_div(_source(cell)):
            text = self._inline(text).strip("\n")
            if div is None or div.kind == "none":
                pieces += [text] if text else []
                continue
            title = div.title if not div.shown else f"{div.title}, continued"
            if div.kind == "fold":
                pieces += [f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"] if text else []
            elif text:
                head = f"**{title}**\n\n" if div.title and not div.shown else ""
                body = f"{head}{text}{div.last}"
                pieces.append("\n".join(f"> {line}".rstrip() for line in body.split("\n")))
            div.shown |= bool(text)
        text = "\n\n".join(pieces)
        return [cell | {"source": text}] if text else []

    def _by_div(self, source: str) -> Iterator[tuple[_Div | None, str]]:
        """The pieces of a cell's text with the div that each is in; divs may begin in one cell and end in another."""
        lines: list[str] = []
        fenced = False
        for line in source.split("\n"):
            fenced ^= line.lstrip().startswith("```")
            match = DIV.match(line)
            if fenced or not match:
                lines.append(line)
                continue
            yield (self.divs[-1] if self.divs else None), "\n".join(lines)
            lines = []
            if match[2]:
                self.divs.append(self._div(match[2]))
            elif self.divs:
                self.divs.pop()
            else:
                raise CopyError(f"{self.path.name}: a div is closed that was not opened")
        yield (self.divs[-1] if self.divs else None), "\n".join(lines)

    def _div(self, opening: str) -> _Div:
        title = re.search(r'title="([^"]*)"', opening)
        callout = re.search(r"\.callout-(\w+)", opening)
        if callout and 'collapse="true"' in opening:
            return _Div("fold", title[1] if title else callout[1].capitalize())
        if callout:
            return _Div("quote", title[1] if title else callout[1].capitalize())
        if ".explorable" in opening:
            where = self.site.link("page", self.page) if self.site.site_url else "page"
            return _Div(
                "quote", last=f"\n\n(On the {where} of this chapter in the book, this is an interactive figure.)"
            )
        return _Div("none")

    def _inline(self, text: str) -> str:
        return MARKUP.sub(self._replaced, self._titled(text))

    def _titled(self, text: str) -> str:
        def title(match: re.Match[str]) -> str:
            spoken, page = self.site.labels.get(match[2], ("", ""))
            return f"# {spoken}. {match[1]}" if page == self.page and spoken.startswith("Chapter") else f"# {match[1]}"

        return TITLE.sub(title, text)

    def _replaced(self, match: re.Match[str]) -> str:
        found = match.groupdict()
        if found["code"] or found["maths"]:
            return match[0]
        if display := found["display"]:
            return self._tagged(display, found["equation"])
        if found["table"]:
            return f"**{self._numbered(found['table'])[0]}.** {self._inline(found['caption'].strip())}"
        if found["group"] or found["key"]:
            return self._citation(found["group"], found["key"])
        if note := found["note"]:
            if note not in self.notes:
                self.notes.append(note)
            return f"<sup>{self.notes.index(note) + 1}</sup>"
        if found["target"]:
            page = normpath(f"chapters/{Path(found['target']).with_suffix('').as_posix()}")
            return self.site.link("", page, found["anchor"] or "")[1:] if self._linked(page) else "]"
        return "\u00a0" if found["space"] else ""

    def _linked(self, page: str) -> bool:
        return bool(self.site.site_url) or page.startswith("chapters/")

    def _tagged(self, display: str, label: str | None) -> str:
        if not label:
            return display
        number = self._numbered(label)[0].removeprefix("Equation ")
        return f"{display[:-2].rstrip()}\n\\tag{{{number}}}\n$$"

    def _numbered(self, label: str) -> tuple[str, str]:
        if label not in self.site.labels:
            raise CopyError(f"{self.path.name}: the pages have no number for {label or 'a figure without a label'}")
        return self.site.labels[label]

    def _citation(self, group: str | None, key: str | None) -> str:
        if key and LABEL.fullmatch(key):
            text, page = self._numbered(key)
            return text if page == self.page else self.site.link(text, page, f"#{key}")
        keys = tuple(re.findall(r"@([\w-]+)", group)) if group else (str(key),)
        if (keys, bool(group)) not in self.site.cited:
            raise CopyError(f"{self.path.name}: the pages do not cite {', '.join(keys)} in this form")
        self.keys.update(keys)
        return self.site.cited[keys, bool(group)]

    def _check(self, cell: dict[str, Any], where: str) -> None:
        source = _source(cell)
        pattern = LEFT if cell["cell_type"] == "markdown" else re.compile(r"(?P<left>^#\|)", re.MULTILINE)
        for match in pattern.finditer(source):
            if match["left"]:
                line = source[source.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0]
                raise CopyError(f"{where}: no reader's copy can hold this: {line}")


def _at_half_size(output: dict[str, Any]) -> dict[str, Any]:
    """The output; a picture gets the size at which the book shows it, half of its stored width and height."""
    if "image/png" not in output.get("data", {}):
        return output
    header = base64.b64decode("".join(output["data"]["image/png"])[:32])
    width, height = (int.from_bytes(header[i : i + 4], "big") // 2 for i in (16, 20))
    return output | {"metadata": {"image/png": {"width": width, "height": height}}}


def _options(source: str) -> tuple[dict[str, str], str]:
    """The options of a cell that are texts, and its code. A text may be quoted or folded over lines."""
    lines = source.split("\n")
    count = next((i for i, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options: dict[str, str] = {}
    key = ""
    for line in (line[2:] for line in lines[:count]):
        if match := re.match(r" ?([\w-]+): *(.*)", line):
            key, options[match[1]] = match[1], match[2]
        elif key:
            options[key] += f" {line.strip()}"
    for key, value in options.items():
        value = re.sub(r"^>-? *", "", value)
        options[key] = json.loads(value) if value.startswith('"') else value.strip("'")
    return options, "\n".join(lines[count:]).lstrip("\n")


def _embedded(name: str, content: bytes) -> str:
    packed = base64.b64encode(zlib.compress(content, 9)).decode()
    lines = "\n".join(f'    "{packed[i : i + 108]}"' for i in range(0, len(packed), 108))
    return (
        f"# The data of this chapter: {name}, compressed. This cell stores the file unless it is already there.\n"
        "import base64\nimport zlib\nfrom pathlib import Path\n\n"
        f"packed = (\n{lines}\n)\n"
        f'if not Path("{name}").exists():\n'
        f'    Path("{name}").parent.mkdir(parents=True, exist_ok=True)\n'
        f'    Path("{name}").write_bytes(zlib.decompress(base64.b64decode(packed)))'
    )


def main() -> int:
    """Writes the copies into the folder that Quarto rendered to, or into the one that is given."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("QUARTO_PROJECT_OUTPUT_DIR", "_book"))
    try:
        write_copies(Path(), output, read_pages(output))
    except CopyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Nothing in the book loads code or data from elsewhere: not when it runs, is read, or is built."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
import yaml
from py_mini_racer import MiniRacer

from tools.execute import chapters

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / "index.qmd", ROOT / "references.qmd", *sorted(ROOT.glob("appendices/*.qmd"))]
HELPERS = sorted((ROOT / "helpers").rglob("*.py"))

NETWORK_MODULES = {"aiohttp", "datasets", "ftplib", "gdown", "http", "httpx", "huggingface_hub", "kagglehub", "openml"}
NETWORK_MODULES |= {"pip", "requests", "smtplib", "socket", "subprocess", "torchvision", "transformers", "urllib"}
NETWORK_MODULES |= {"urllib3", "webbrowser", "wget", "xmlrpc"}
NETWORK_NAMES = re.compile(r"fetch_\w+|download\w*|urlopen|urlretrieve|load_state_dict_from_url|hub|get_ipython|system")
ADDRESS = re.compile(r"\b(?:https?|ftp|s3|gs|hf|git)(?:\+\w+)?://(?!www\.w3\.org/)")  # a name space loads nothing
RAW_HTML = re.compile(r"<(?:script|iframe|img|object|embed|link|style|form)\b", re.IGNORECASE)
FOREIGN_PICTURE = re.compile(r"!\[[^\]]*\]\((?:\w+:)?//")
STORED = {"text/plain", "image/png", "image/svg+xml"}
SVG_ACTIVE = {"script", "foreignObject", "iframe", "image", "audio", "video", "animate", "set"}


def code_that_may_load(source: str) -> Iterator[str]:
    """What in this Python asks the network, or another program that may."""
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            yield from (alias.name for alias in node.names if NETWORK_NAMES.fullmatch(alias.name))
        yield from (module for module in modules if module.split(".")[0] in NETWORK_MODULES)
        name = getattr(node, "attr", getattr(node, "id", getattr(node, "arg", None)))
        if isinstance(name, str) and NETWORK_NAMES.fullmatch(name):
            yield name
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ADDRESS.search(node.value):
            yield node.value


def text_that_may_load(text: str) -> Iterator[str]:
    """What in this Markdown a page would load from elsewhere."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    yield from (match[0] for pattern in (RAW_HTML, FOREIGN_PICTURE) for match in pattern.finditer(prose))


def output_that_may_load(output: Any) -> Iterator[str]:
    """What in a stored output a reader's browser would run, or ask another host for."""
    data = output.get("data", {})
    yield from (kind for kind in data if kind not in STORED)
    if "image/svg+xml" in data:
        for element in ElementTree.fromstring(data["image/svg+xml"]).iter():
            name = element.tag.rpartition("}")[2]
            if name in SVG_ACTIVE:
                yield name
            for attribute, value in element.items():
                attribute = attribute.rpartition("}")[2].lower()
                leads_out = attribute == "href" and not value.startswith("#")
                if attribute.startswith("on") or leads_out or ADDRESS.search(value) or "url(" in value.lower():
                    yield f"{attribute}={value}"


@pytest.fixture(params=chapters(), ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def test_a_chapter_loads_nothing_when_it_runs(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not list(code_that_may_load(cell.source))  # a line of the shell is a SyntaxError here


def test_a_chapter_loads_nothing_when_it_is_read(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not list(text_that_may_load(cell.source))
            assert not cell.get("attachments")
        for output in cell.get("outputs", []):
            assert not list(output_that_may_load(output))


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.name)
def test_the_helpers_load_nothing(path: Path) -> None:
    assert not list(code_that_may_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_a_text_loads_nothing(path: Path) -> None:
    assert not list(text_that_may_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "import requests",
        "from urllib.request import urlopen",
        "import torch.hub, socket",
        "from sklearn.datasets import fetch_openml",
        "torch.hub.load('a/b', 'c')",
        "datasets.MNIST('.', download=True)",
        "np.loadtxt('https://example.org/a.csv')",
        "get_ipython().run_line_magic('pip', 'install a')",
        "os.system('curl example.org')",
        "import subprocess as s",
    ],
)
def test_code_that_loads_is_found(source: str) -> None:
    assert list(code_that_may_load(source))


@pytest.mark.parametrize("text", ["<script src='a.js'>", "![A dot.](https://example.org/a.png)", "<IMG src=a>"])
def test_text_that_loads_is_found(text: str) -> None:
    assert list(text_that_may_load(f"Before. {text} After."))
    assert not list(text_that_may_load(f"Before `{text}` after, [a link](https://example.org)."))


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'


@pytest.mark.parametrize(
    "data",
    [
        {"text/html": "<b>1</b>"},
        {"application/javascript": "1"},
        {"application/vnd.jupyter.widget-view+json": "{}"},
        {"image/svg+xml": SVG.format("<script>1</script>")},
        {"image/svg+xml": SVG.format('<g onload="f()"/>')},
        {"image/svg+xml": SVG.format('<image href="a.png"/>')},
        {"image/svg+xml": SVG.format('<a xlink:href="https://example.org"/>')},
        {"image/svg+xml": SVG.format('<path fill="url(https://example.org/a)"/>')},
    ],
)
def test_an_output_that_loads_is_found(data: dict[str, str]) -> None:
    assert list(output_that_may_load({"data": data}))
    assert not list(output_that_may_load({"data": {"image/svg+xml": SVG.format('<g id="a"><text>1</text></g>')}}))


def test_every_dependency_is_pinned_exactly() -> None:
    for name in ("requirements.lock", "benchmarks/peers.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
        assert lines
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), name


def test_actions_are_pinned_by_commit_and_locked_versions_are_audited() -> None:
    text = (ROOT / ".github/workflows/book.yml").read_text()
    used = re.findall(r"uses: *(.*)", text)
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", use) for use in used), used
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert any("pip_audit --requirement requirements.lock" in step.get("run", "") for step in steps)
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_on_quartos_pages_a_script_marks_the_links_that_leave() -> None:
    html = yaml.safe_load((ROOT / "_quarto.yml").read_text())["format"]["html"]
    (part,) = html["include-after-body"]
    script = part["text"].strip().removeprefix("<script>").removesuffix("</script>")
    with MiniRacer() as engine:
        found = engine.eval(
            """
            const link = (host) => ({host, rel: [], relList: {add(word) { this.owner.rel.push(word) }}});
            const links = ["here", "example.org"].map(link);
            links.forEach((one) => { one.relList.owner = one });
            const location = {host: "here"};
            const document = {
                links,
                head: {append() {}},
                createElement: () => ({}),
                querySelector: (what) => (what.startsWith("meta") ? {content: "./"} : null),
            };
            """
            + f"{script}; JSON.stringify(links.map((one) => one.rel))"
        )
    assert found == '[[],["noopener"]]'

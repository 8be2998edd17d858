"""What real Quarto needs of our sources, on machines without it. It renders each of these faults and exits 0."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
CONFIG = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
OPTION_BLOCK = re.compile(r"(?:^[ \t]*#\|.*\n?)+", re.MULTILINE)
# Quarto 1.9 appends these two to .gitignore where it does not find them word for word.
IGNORED_BY_QUARTO = {"/.quarto/", "**/*.quarto_ipynb"}


def block_scalars(text: str) -> list[str]:
    """Returns the names of the cell options in text whose values are written with `>` or `|`, captions excepted.

    Quarto doubles the line ends between option lines. A folded or literal value then begins with an empty line, which
    breaks the attributes of the figure. A caption is parsed as text of its own, so a folded one is harmless.
    """
    found = []
    for block in OPTION_BLOCK.findall(text):
        options = yaml.compose("\n".join(line.strip()[2:] for line in block.splitlines()))
        if isinstance(options, yaml.MappingNode):
            found += [
                key.value
                for key, value in options.value
                if value.style == "|" or (value.style == ">" and key.value != "fig-cap")
            ]
    return found


def texts(name: str) -> Iterator[str]:
    """Yields the code cells of a notebook, or the whole text of a page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if not name.endswith(".ipynb"):
        yield text
        return
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


def published(patterns: list[str], files: list[str]) -> dict[str, set[str]]:
    """Returns the files that each pattern of `resources` publishes: all below a folder, in any depth without a `/`."""
    found = {}
    for pattern in patterns:
        anywhere = "" if pattern.startswith("/") else "(?:.*/)?"
        name = re.escape(pattern.strip("/")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        found[pattern] = {file for file in files if re.fullmatch(f"{anywhere}{name}(?:/.*)?", file)}
    return found


def foreign(patterns: list[str], files: list[str], chapters: set[str]) -> set[str]:
    """Returns the files that patterns publish and that are neither the book's assets nor among its chapters."""
    every = set().union(*published(patterns, files).values())
    return {file for file in every if not file.startswith("assets/") and file not in chapters}


def listed() -> set[str]:
    parts = [part.get("chapters", []) if isinstance(part, dict) else [part] for part in CONFIG["book"]["chapters"]]
    return {name for part in parts for name in part}


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith((".ipynb", ".qmd"))])
def test_quarto_can_carry_the_cell_options(name: str) -> None:
    assert [option for text in texts(name) for option in block_scalars(text)] == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("#| fig-alt: >-\n#|   A curve\n#|   falls.\n", ["fig-alt"]),
        ("#| label: fig-a\n#| fig-alt: |\n#|   A curve.\n", ["fig-alt"]),
        ("#| code-summary: >\n#|   Draw it\nx = 1\n", ["code-summary"]),
        ("#| fig-cap: |\n#|   A curve.\n", ["fig-cap"]),
        ("#| fig-cap: >-\n#|   A curve\n#|   falls.\n", []),
        ('#| fig-alt: "A curve\n#|   falls: >- is no option here."\nx = 1\n', []),
    ],
)
def test_values_that_quarto_cannot_carry_are_found(options: str, found: list[str]) -> None:
    assert block_scalars(options) == found


def test_the_resources_are_the_books() -> None:
    patterns = CONFIG["project"]["resources"]
    assert foreign(patterns, TRACKED, listed()) == set()
    assert [pattern for pattern, files in published(patterns, TRACKED).items() if not files] == []
    assert {name for name in listed() if name.endswith(".ipynb")} <= published(patterns, TRACKED)["/chapters/*.ipynb"]


def test_a_resource_that_matches_in_deeper_folders_is_found() -> None:
    files = ["chapters/01.ipynb", "tests/book/chapters/01.ipynb", "assets/a/b.js", "tests/assets/a/c.js"]
    assert foreign(["/chapters/*.ipynb", "/assets/a"], files, {"chapters/01.ipynb"}) == set()
    assert foreign(["chapters/*.ipynb"], files, {"chapters/01.ipynb"}) == {"tests/book/chapters/01.ipynb"}
    assert foreign(["assets/a"], files, set()) == {"tests/assets/a/c.js"}
    assert foreign(["/tests/**/*.js"], files, set()) == {"tests/assets/a/c.js"}
    assert foreign(["/chapters/*.ipynb"], files, set()) == {"chapters/01.ipynb"}


def test_rendering_leaves_gitignore_alone() -> None:
    assert set((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()) >= IGNORED_BY_QUARTO

"""Flattens a notebook with stored outputs into one markdown text for `book.lua`.

Each cell becomes a raw block of JSON, in a format whose name is new for each rendering, so no text can contain it. A
markdown cell's text follows its block, so callouts and tabs may span cells.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import yaml

PICTURES = {"image/svg+xml": ".svg", "image/png": ".png", "image/jpeg": ".jpg"}  # the first that an output has is shown
TEXTS = {"text/markdown": "markdown", "text/plain": "text"}
OPTIONS = {
    "label": str,
    "fig-cap": str,
    "fig-alt": str,
    "code-fold": bool,
    "code-summary": str,
    "echo": bool,
    "include": bool,
    "output": bool,
    "error": bool,
}
ANSI_SEQUENCE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def flatten_notebook(path: Path, stem: Path, raw: str) -> tuple[str, list[str]]:
    """Returns the markdown of the notebook at `path`, and the faults of its cells, as `, cell 3: …`.

    Its pictures go to `stem`-1.png and so on; `raw` is the format of the raw blocks that stand for cells.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        return "# Title", [f": not a valid notebook ({error})"]
    blocks: list[str] = []
    faults: list[str] = []
    for number, cell in enumerate(cells, start=1):
        try:
            for block in _cell_blocks(cell, number, stem):
                blocks.append(block if isinstance(block, str) else f"```{{={raw}}}\n{json.dumps(block)}\n```")
        except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            faults.append(f", cell {number}: {error}")
    return "\n\n".join(blocks), faults


def _cell_blocks(cell: dict[str, Any], number: int, stem: Path) -> list[str | dict[str, Any]]:
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        return [{"number": str(number)}, source]
    if cell["cell_type"] != "code":
        raise ValueError(f"a {cell['cell_type']} cell; only markdown and code cells are shown")
    options, code = _split_options(source)
    if not options.get("include", True) or not (code.strip() or cell["outputs"]):
        return []
    shown = {"number": str(number), "options": options, "outputs": []}
    if options.get("echo", True):
        shown["code"] = code.strip("\n")
    if options.get("output", True):
        picture = stem.with_name(f"{stem.name}-{number}")
        outputs = [_output(output, picture, options) for output in cell["outputs"]]
        shown["outputs"] = _join_texts(outputs)
    if sum("picture" in output for output in shown["outputs"]) > 1:
        raise ValueError("makes more than one picture, so its text alternative cannot fit")
    return [shown]


def _text(field: str | list[str]) -> str:
    return field if isinstance(field, str) else "".join(field)


def _split_options(source: str) -> tuple[dict[str, Any], str]:
    lines = source.split("\n")
    count = next((i for i, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = yaml.safe_load("\n".join(line[2:] for line in lines[:count])) or {}
    for key, value in options.items():
        if key not in OPTIONS:
            raise ValueError(f"unknown cell option '{key}'")
        if not isinstance(value, OPTIONS[key]):
            raise ValueError(f"cell option '{key}' is not a {OPTIONS[key].__name__}")
    return options, "\n".join(lines[count:])


def _output(output: dict[str, Any], picture: Path, options: dict[str, Any]) -> dict[str, Any]:
    if output["output_type"] == "stream":
        if output["name"] != "stdout":
            raise ValueError("prints on standard error")
        return {"text": ANSI_SEQUENCE.sub("", _text(output["text"])), "class": "cell-output-stdout"}
    if output["output_type"] == "error":
        if not options.get("error"):
            raise ValueError(f"fails with {output['ename']}, but has no option 'error: true'")
        return {"error": ANSI_SEQUENCE.sub("", "\n".join(output["traceback"]))}
    data = output["data"]
    if unknown := sorted(set(data) - set(PICTURES) - set(TEXTS)):
        raise ValueError(
            f"has an output of a kind that is not shown: {', '.join(unknown)}; "
            "show text, text/markdown, a PNG, a JPEG or an SVG"
        )
    for kind, suffix in PICTURES.items():
        if kind in data:
            picture = picture.with_suffix(suffix)
            content = _text(data[kind])
            picture.write_bytes(content.encode() if suffix == ".svg" else base64.b64decode(content))
            is_dense = "width" in output.get("metadata", {}).get(kind, {})  # as Jupyter says of "retina" pictures
            return {"picture": picture.name, "dense": is_dense}
    for kind, name in TEXTS.items():
        if kind in data:
            return {name: _text(data[kind]), "class": "cell-output-display"}
    raise ValueError("has an output without content")


def _join_texts(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Joins neighbouring texts, because a notebook may store printed output in several pieces."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        if joined and "text" in output and "text" in joined[-1]:
            joined[-1] = joined[-1] | {"text": joined[-1]["text"] + output["text"]}
        else:
            joined.append(dict(output))
    return joined

"""Flattens a notebook with stored outputs into one markdown text for the filter `to_myst.lua`.

Each cell becomes a raw block `cell` of JSON; a markdown cell's text follows its block, so that
callouts and tabs may span cells.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from pathlib import Path
from typing import Any

import yaml

from render.book import RenderError

FIGURE_DPI = 144
SCREEN_DPI = 96
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


def flatten_notebook(path: Path, name: Path, stem: Path) -> str:
    """Returns the markdown of the notebook at `path`; its pictures go to `stem`-1.png and so on.

    `name` stands for the notebook in error messages.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise RenderError(f"{name}: not a valid notebook ({error})") from error
    blocks: list[str] = []
    for number, cell in enumerate(cells, start=1):
        try:
            blocks += _cell_blocks(cell, number, stem)
        except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise RenderError(f"{name}, cell {number}: {error}") from error
    return "\n\n".join(blocks)


def _cell_blocks(cell: dict[str, Any], number: int, stem: Path) -> list[str]:
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        return [_raw_block({"number": str(number)}), source]
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
        raise ValueError("makes more than one picture, so that its text alternative cannot fit")
    return [_raw_block(shown)]


def _raw_block(content: dict[str, Any]) -> str:
    return f"```{{=cell}}\n{json.dumps(content)}\n```"


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
        return {"text": ANSI_SEQUENCE.sub("", _text(output["text"]))}
    if output["output_type"] == "error":
        if not options.get("error"):
            raise ValueError(f"fails with {output['ename']}, but has no option 'error: true'")
        return {"error": ANSI_SEQUENCE.sub("", "\n".join(output["traceback"]))}
    data = output["data"]
    if "text/html" in data:
        raise ValueError("has a text/html output; show text, text/markdown, a PNG or an SVG")
    if "image/svg+xml" in data:
        picture = picture.with_suffix(".svg")
        picture.write_text(_text(data["image/svg+xml"]), encoding="utf-8")
        return {"picture": picture.name}
    if "image/png" in data:
        picture = picture.with_suffix(".png")
        picture.write_bytes(base64.b64decode(_text(data["image/png"])))
        return {"picture": picture.name} | _screen_size(picture.read_bytes())
    for kind in ("markdown", "plain"):
        if f"text/{kind}" in data:
            return {"markdown" if kind == "markdown" else "text": _text(data[f"text/{kind}"])}
    raise ValueError(f"has an output of a kind that is not shown: {', '.join(data)}")


def _screen_size(png: bytes) -> dict[str, str]:
    width, height = struct.unpack(">II", png[16:24])
    scale = SCREEN_DPI / FIGURE_DPI
    return {"width": f"{width * scale:.0f}px", "height": f"{height * scale:.0f}px"}


def _join_texts(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Joins neighbouring texts: a notebook may store what was printed in several pieces."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        if joined and "text" in output and "text" in joined[-1]:
            joined[-1] = {"text": joined[-1]["text"] + output["text"]}
        else:
            joined.append(dict(output))
    return joined

"""Compare the outputs of a cell, as a notebook holds them, and tell what does not agree."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection
from textwrap import indent
from typing import Any
from xml.etree import ElementTree

from nbval_tolerance.grammar import Number, tokens
from nbval_tolerance.rule import DEFAULT, Disagreement, Tolerance, disagreements

PICTURES = ("image/png", "image/jpeg")
SVG = "image/svg+xml"


def compare(
    stored: list[Any],
    fresh: list[Any],
    tolerance: Tolerance = DEFAULT,
    *,
    nonfinite: bool = False,
    skip: Collection[str] = PICTURES,
    sanitize: Callable[[Any], Any] = lambda text: text,
) -> list[Disagreement]:
    """Where the fresh outputs of a cell do not confirm the stored ones, both as a notebook holds them.

    Kinds of output in `skip` are not compared, nor is the order of outputs of different kinds. `sanitize` is applied to
    each text first. `nonfinite` allows nan and infinity outside estimates.
    """
    found = []
    old, new = _by_kind(stored, skip), _by_kind(fresh, skip)
    for key in sorted({*old, *new}):
        olds, news = ([_text(sanitize(value)) for value in outputs[key]] for outputs in (old, new))
        if len(olds) != len(news):
            reason = f"outputs of the kind {key}: {len(olds)} stored, {len(news)} now"
            found.append(Disagreement("\n".join(olds), "\n".join(news), (reason,), key=key))
            continue
        for a, b in zip(olds, news, strict=True):
            if key.endswith(SVG):
                a, b = _labels(a, b)
            found += disagreements(a, b, tolerance, nonfinite=nonfinite, key=key)
    return found


def numbers(outputs: list[Any]) -> list[Number]:
    """The comparable numbers of a cell's outputs, in the order in which `compare` meets them."""
    by_kind = _by_kind(outputs, PICTURES)
    texts = [(key, _text(value)) for key in sorted(by_kind) for value in by_kind[key]]
    lines = (line for key, text in texts for line in (_labels(text)[0] if key.endswith(SVG) else text).split("\n"))
    return [token.number for line in lines for token in tokens(line) if token.number]


def report(found: list[Disagreement]) -> str:
    """What to tell about `found`: for each, the stored and the fresh line one above the other, and the reasons."""
    blocks = []
    for disagreement in found:
        stored, fresh = _aligned(disagreement.stored, disagreement.fresh)
        blocks.append("\n".join([f"stored  {stored}", f"now     {fresh}", *disagreement.reasons]))
    return indent("\n\n".join(blocks), "  ") + "\n"


def _by_kind(outputs: list[Any], skip: Collection[str]) -> dict[str, list[Any]]:
    """What `outputs` hold, by kind: a stream's name, "display" or "value" with the MIME type, the parts of an error.

    A value is that of the last expression of the cell.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    for output in outputs:
        if "text" in output:
            found[output["name"]].append(output["text"])
        for key, value in output.get("data", {}).items():
            if key not in skip:
                kind = "value" if output["output_type"] == "execute_result" else "display"
                found[f"{kind} {key}"].append(value)
        for key in ("ename", "evalue"):
            if key in output:
                found[key].append(output[key])
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _labels(*drawings: str) -> tuple[str, ...]:
    """The text labels of SVG drawings, one a line; their sources where one of them is not well-formed.

    Positions are left out, because they depend on the version of what draws.
    """
    try:
        labels = [[text.strip() for text in ElementTree.fromstring(svg).itertext()] for svg in drawings]
    except ElementTree.ParseError:
        return drawings
    return tuple("\n".join(filter(None, texts)) for texts in labels)


def _aligned(*lines: str) -> tuple[str, ...]:
    """The lines with their words in columns, where they have the same number of words."""
    rows = [line.split() for line in lines]
    if len({len(row) for row in rows}) > 1:
        return lines
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([w.rjust(n) if w[-1].isdigit() else w.ljust(n) for w, n in zip(row, widths, strict=True)] for row in rows)
    return tuple(" ".join(row).rstrip() for row in padded)

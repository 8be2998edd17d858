"""Write the weights of chapter 3's decoder, and the codes of its held-out pictures, for the page's explorable figure.

usage: python -m tools.latent      (after a change of chapter 3's training; it runs the chapter up to there)

They go to assets/explore/latent-weights.js as whole numbers of hundredths, which keeps the file small.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import torch

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = ROOT / "chapters" / "03-vae.ipynb"
TARGET = ROOT / "assets" / "explore" / "latent-weights.js"
HEAD = "// Written by `python -m tools.latent` from the training of chapter 3: whole numbers of hundredths."
FIGURE = "#| label: fig-"


def trained(chapter: Path = CHAPTER) -> dict[str, Any]:
    """The variables of the chapter once its cells have trained `vae`; cells that draw figures are left out."""
    variables: dict[str, Any] = {"__name__": "chapter"}
    for cell in nbformat.read(chapter, as_version=4).cells:
        if cell.cell_type == "code" and FIGURE not in cell.source:
            exec(compile(cell.source, chapter.name, "exec"), variables)  # the book's own cells
        if "vae" in variables:
            return variables
    raise ValueError(f"{chapter.name}: no cell defines vae, the trained model")


def hundredths(values: torch.Tensor) -> str:
    """The numbers, row after row, as whole numbers of hundredths."""
    return "[" + ",".join(str(int(x)) for x in (values.detach().flatten() * 100).round()) + "]"


def script(variables: dict[str, Any]) -> str:
    """The module, from the chapter's variables."""
    first, _, second = variables["vae"].decoder
    with torch.no_grad():
        codes = variables["vae"].encode(variables["held_out"])[0]
    arrays = {
        "HIDDEN_WEIGHTS": first.weight,
        "HIDDEN_BIAS": first.bias,
        "PIXEL_WEIGHTS": second.weight,
        "PIXEL_BIAS": second.bias,
        "CODES": codes,
    }
    lines = [f"export const {name} = {hundredths(values)};" for name, values in arrays.items()]
    labels = ",".join(str(label) for label in variables["held_out_labels"])
    return "\n".join([HEAD, *lines, f"export const LABELS = [{labels}];", ""])


def main() -> int:
    TARGET.write_text(script(trained()), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

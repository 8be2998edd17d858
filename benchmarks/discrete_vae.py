"""Train chapter 14's autoencoder of binary variables by every method; store what the chapter prints and draws.

The code is the chapter's own: the cells that contain MARK. `python -m benchmarks.discrete_vae` takes about a quarter of
an hour on one core. Every method has the same number of evaluations, steps, seeds and learning rates.
"""

import argparse
import hashlib
import json
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import torch
from tqdm import tqdm

from benchmarks.__main__ import processor

CHAPTER = Path(__file__).parent.parent / "chapters" / "14-binary.ipynb"
STORED = CHAPTER.parent / "data" / "discrete-vae.json"
MARK = "# The stored run"
RATES = (0.002, 0.006)


def code_of(chapter: Path = CHAPTER) -> str:
    """The marked cells, joined."""
    cells = nbformat.read(chapter, as_version=4).cells
    return "\n\n".join(c.source for c in cells if c.cell_type == "code" and MARK in c.source)


def fingerprint(code: str) -> str:
    """A hash of the text: what `ast` makes of the same code differs between versions of Python."""
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def curves_of(chapter: dict[str, Any], steps: int, seeds: int, advance: Any) -> tuple[list[int], dict[str, Any]]:
    """The steps at which the ELBO was measured, and {rate: {method: {"training" or "held out": a list for each seed}}}.

    Methods take their turn within a seed; `advance` is called after each run.
    """
    names = list(chapter["contestants"]())
    curves = {str(rate): {name: {"training": [], "held out": []} for name in names} for rate in RATES}
    for seed in range(seeds):
        for rate in RATES:
            for name in names:
                measured, training, held_out = zip(*chapter["train"](name, rate, steps, seed), strict=True)
                for key, values in (("training", training), ("held out", held_out)):
                    curves[str(rate)][name][key].append([round(value, 3) for value in values])
                advance()
    return list(measured), curves


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.discrete_vae", description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="number of runs of each method at each rate (>= 2)")
    parser.add_argument("--steps", type=int, default=2000, help="optimizer steps of a run")
    parser.add_argument("--output", type=Path, default=STORED)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds must be >= 2, got {options.seeds}")
    code, start = code_of(), time.process_time()
    chapter: dict[str, Any] = {}
    exec(compile(code, str(CHAPTER), "exec"), chapter)
    with tqdm(total=options.seeds * len(RATES) * len(chapter["contestants"]()), unit=" runs") as bar:
        measured, curves = curves_of(chapter, options.steps, options.seeds, bar.update)
    stored = {
        "date": date.today().isoformat(),
        "machine": f"{processor()}, one thread",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}",
        "code": fingerprint(code),
        "minutes": round((time.process_time() - start) / 60),
        "seeds": list(range(options.seeds)),
        "step": measured,
        "curves": curves,
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(stored, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

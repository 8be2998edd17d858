"""Train chapter 14's autoencoder of bits by every method and with several seeds; store what the chapter draws.

The code is the chapter's own: the cells that begin with MARK. `python -m benchmarks.discrete_vae` takes some minutes
on one core. Methods take turns within a seed, so that what disturbs the machine disturbs them all.
"""

import argparse
import hashlib
import json
import os
import platform
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import torch
from tqdm import tqdm

from benchmarks.__main__ import processor
from helpers.randomness import generator_of

CHAPTER = Path(__file__).parent.parent / "chapters" / "14-binary.ipynb"
STORED = CHAPTER.parent / "data" / "discrete-vae.json"
MARK = "# The stored run"
WARM_UP, DRAWS, REFERENCE = 300, 1000, 4000


def code_of(chapter: Path = CHAPTER) -> str:
    """The marked cells, joined."""
    cells = nbformat.read(chapter, as_version=4).cells
    return "\n\n".join(c.source for c in cells if c.cell_type == "code" and c.source.startswith(MARK))


def fingerprint(code: str) -> str:
    """A hash of the text: what `ast` makes of the same code differs between versions of Python."""
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def moments(chapter: dict[str, Any], vae: torch.nn.Module, method: Any, n: int, seed: int) -> tuple[Any, Any]:
    """Mean and variance of n gradients in the logits of 100 held-out images, after a warm-up in which RELAX learns."""
    generator, x = generator_of(seed, 4), chapter["held_out"][:100]
    for _ in range(WARM_UP):
        chapter["image_gradients"](vae, x, method, generator)
    draws = torch.stack([chapter["image_gradients"](vae, x, method, generator) for _ in range(n)])
    return draws.double().mean(0), draws.double().var(0)


def noise_and_bias(chapter: dict[str, Any], steps: int, seed: int) -> dict[str, dict[str, float]]:
    """Variance of one estimate and squared bias, at weights that DisARM has trained, in parts of the squared gradient.

    The gradient is the mean of many DisARM draws. Of each square of a mean, the part that is noise is subtracted, so
    that all are unbiased, and a squared bias of 0 comes out negative as often as positive.
    """
    vae, _ = chapter["train"]("DisARM", steps, seed)
    truth, variance = moments(chapter, vae, chapter["disarm"], REFERENCE, seed + 1000)
    rest = variance.sum() / REFERENCE
    square = (truth**2).sum() - rest
    found = {}
    for name, method in chapter["all_methods"](chapter["D"]).items():
        mean, variance = moments(chapter, vae, method, DRAWS, seed)
        bias = ((mean - truth) ** 2).sum() - variance.sum() / DRAWS - rest
        found[name] = {"variance": (variance.sum() / square).item(), "squared bias": (bias / square).item()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.discrete_vae", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="number of runs of each method (>= 2)")
    parser.add_argument("--steps", type=int, default=3000, help="optimizer steps of a run")
    parser.add_argument("--output", type=Path, default=STORED)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds must be >= 2, got {options.seeds}")
    code = code_of()
    chapter: dict[str, Any] = {}
    exec(compile(code, str(CHAPTER), "exec"), chapter)
    names = list(chapter["all_methods"](chapter["D"]))
    curves: dict[str, dict[str, list]] = {name: {"elbo": [], "seconds": []} for name in names}
    gradients: dict[str, dict[str, list]] = {name: {"variance": [], "squared bias": []} for name in names}
    with tqdm(total=options.seeds * (len(names) + 1), unit=" runs") as bar:
        for seed in range(options.seeds):
            for name in names:
                _, history = chapter["train"](name, options.steps, seed)
                steps, seconds, elbos = zip(*history, strict=True)
                curves[name]["elbo"].append([round(value, 3) for value in elbos])
                curves[name]["seconds"].append([round(value, 3) for value in seconds])
                bar.update()
            for name, numbers in noise_and_bias(chapter, options.steps // 3, seed).items():
                for key, value in numbers.items():
                    gradients[name][key].append(float(f"{value:.4g}"))
            bar.update()
    stored = {
        "date": date.today().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores, one thread used",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}",
        "code": fingerprint(code),
        "seeds": list(range(options.seeds)),
        "step": steps,
        "curves": curves,
        "gradients": gradients,
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(stored, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

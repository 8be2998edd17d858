"""Run the chapters whose code, helpers or dependencies changed and store their outputs, normalized.

usage: python -m tools.execute [--chapter NN] [--check]

`chapters/executed.json` keeps, for each chapter, a fingerprint of what its stored outputs depend on. `--check` runs
nothing, and exits with 1 if the outputs of a chapter are older than its code.
"""

import argparse
import hashlib
import io
import json
import platform
import re
import sys
import tokenize
import tomllib
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbval_tolerance import only_rough_numbers_differ
from tqdm import tqdm

from tools.running import ChapterError, fault, run

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
RECORD = CHAPTERS / "executed.json"
# The address of an object, the kernel's file, a folder of this machine.
_MACHINE = re.compile("|".join([r"\b0x[0-9a-f]{6,}\b", r"ipykernel_\d+", re.escape(str(ROOT))]))


def chapters(prefix: str = "") -> list[Path]:
    """The notebooks whose name starts with `prefix`, in order; SystemExit if there is none."""
    found = sorted(CHAPTERS.glob(f"{prefix}*.ipynb"))
    if not found:
        raise SystemExit(f"CHAPTER must be the start of a notebook's name in chapters/, got {prefix!r}")
    return found


def pins() -> list[str]:
    """The locked versions of the packages that helpers and chapters may import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["cluster"]
    names = {re.split(r"[^\w.-]", line)[0] for line in lines}
    return [pin for pin in (ROOT / "requirements.lock").read_text().splitlines() if pin.partition("==")[0] in names]


@cache
def bare(source: str) -> str:
    """The source without comments (captions are some) and with "..." for docstrings: no output depends on either.

    (No chapter prints a docstring, or a comment of its source.)
    """
    lines, cuts, before = source.split("\n"), [], tokenize.NEWLINE
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type != tokenize.NL]
    for token, after in pairwise(tokens):
        alone = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT) and after.type == tokenize.NEWLINE
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and alone):
            cuts.append((*token.start, *token.end, "..." if token.type == tokenize.STRING else ""))
        if token.type != tokenize.COMMENT:
            before = token.type
    for first, start, last, end, instead in reversed(cuts):
        rest = (lines[first - 1][:start] + instead + lines[last - 1][end:]).rstrip()
        lines[first - 1 : last] = [rest] if rest else []
    return "\n".join(lines)


def fingerprint(path: Path) -> str:
    """A hash of what outputs depend on: code cells, data they name, `helpers`, and the packages that both import."""
    notebook = nbformat.read(path, as_version=4)
    code = [bare(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    helpers = [bare(module.read_text()) for module in sorted((ROOT / "helpers").rglob("*.py"))]
    data = [f.read_text() for f in sorted((path.parent / "data").glob("*")) if any(f.name in cell for cell in code)]
    return hashlib.sha256(json.dumps([code, helpers, pins(), *data]).encode()).hexdigest()[:16]


def recorded() -> dict[str, dict[str, Any]]:
    """The entry of each chapter in `executed.json`: fingerprint, whole seconds of the run, versions."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return {name: entry for name, entry in record.items() if isinstance(entry, dict)}


def stale(paths: list[Path]) -> list[Path]:
    """The chapters whose stored outputs are older than what they depend on."""
    record = recorded()
    return [path for path in paths if record.get(path.stem, {}).get("fingerprint") != fingerprint(path)]


def complaints(paths: list[Path]) -> list[str]:
    """One line per chapter whose stored outputs are out of date."""
    return [
        f"{path.name}: its outputs are older than its code, helpers or versions: run `make execute`"
        for path in stale(paths)
    ]


def normalise(notebook: Any) -> None:
    """Reduce a notebook to what a reader sees, without times, machine, or more of the kernel than name and language."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = {}


def _texts(output: Any) -> str:
    """All text of an output, without bitmaps."""
    data = [str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/p")]
    return "\n".join([output.get("text", ""), *output.get("traceback", []), *data])


def says_the_same(old: Any, new: Any) -> bool:
    """Whether two normalised notebooks are equal except for figures in their outputs that depend on the machine."""
    if isinstance(old, str) and isinstance(new, str):
        return only_rough_numbers_differ(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(says_the_same, old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(says_the_same(old[key], new[key]) for key in old)
    return bool(old == new)


def execute(path: Path) -> float:
    """Run one chapter and store its outputs with a record of the run; returns the seconds it took.

    The old file stays if anything fails. It also stays if the run confirms it, that is with the same code,
    helpers and versions, and the same outputs except for figures that depend on the machine (`≈ 12.3 µs`). Its recorded
    time is then replaced only if this run was much faster.
    """
    stored = nbformat.read(path, as_version=4)
    notebook, seconds = run(path, seed=0)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                raise fault(path, code, number, f"wrote to standard error: {output.text.strip()[:200]}")
            if "text/html" in output.get("data", {}):
                raise fault(path, code, number, "shows HTML; print text or draw a picture")
            if trace := _MACHINE.search(_texts(output)):
                raise fault(path, code, number, f"shows what differs between runs or machines: {trace[0]}")
    normalise(notebook)
    nbformat.validate(notebook)
    if stale([path]) or not says_the_same(stored, notebook):
        replace(path, nbformat.writes(notebook) + "\n")
        record(path, seconds)
    elif round(seconds) < 0.7 * recorded()[path.stem]["seconds"]:  # something else ran beside the recorded run
        record(path, seconds)
    return seconds


def record(path: Path, seconds: float) -> None:
    """Record that the stored outputs of `path` belong to its present code, with the run time and the versions."""
    present = {p.stem for p in CHAPTERS.glob("*.ipynb")}
    updated = {name: entry for name, entry in recorded().items() if name in present}
    versions = {name: version(name).partition("+")[0] for name in ("numpy", "torch")}  # +cpu is the machine's
    versions["python"] = platform.python_version()
    updated[path.stem] = {"fingerprint": fingerprint(path), "seconds": round(seconds), "versions": versions}
    replace(RECORD, json.dumps(updated, indent=2, sort_keys=True) + "\n")


def replace(path: Path, text: str) -> None:
    """Write a file in one step, so no reader finds half of it."""
    half = path.with_name(f".{path.name}.part")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", default="", help="the start of a chapter's file name; runs it in any case")
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 where stored outputs are out of date")
    arguments = parser.parse_args()
    found = chapters(arguments.chapter)
    if arguments.check:
        print("\n".join(old := complaints(found)))
        return bool(old)
    todo = found if arguments.chapter else stale(found)
    failed = False
    for path in tqdm(todo, desc="executing", unit="chapter", disable=False if sys.stderr.isatty() else None):
        try:
            seconds = execute(path)
        except ChapterError as error:
            failed = True
            print(error, file=sys.stderr)
            continue
        print(f"{path.name}: {seconds:.1f} s")
    if not todo:
        print(f"all {len(found)} chapters are up to date")
    return failed


if __name__ == "__main__":
    sys.exit(main())

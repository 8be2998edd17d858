"""Run the chapters whose code, helpers or dependencies changed and store their outputs, normalised.

usage: python -m tools.execute [--chapter NN] [--check]

`chapters/executed.json` keeps, for each chapter, a fingerprint of what its stored outputs came from. `--check` runs
nothing and exits 1 when a chapter is older than its code.
"""

import argparse
import ast
import copy
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

from tests.tolerance import only_rough_numbers_differ

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
RECORD = CHAPTERS / "executed.json"
CELL_TIMEOUT = 120


class ChapterError(Exception):
    """A chapter that could not be executed as it is; the message names the chapter and the cell."""


def chapters(prefix: str = "") -> list[Path]:
    """The notebooks whose name starts with `prefix`, in order; SystemExit where there is none."""
    found = sorted(CHAPTERS.glob(f"{prefix}*.ipynb"))
    if not found:
        raise SystemExit(f"CHAPTER must be the start of a notebook's name in chapters/, got {prefix!r}")
    return found


def fingerprint(path: Path) -> str:
    """A hash of what the outputs of a chapter depend on: its code cells, the helpers' code, the locked versions."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    helpers = [ast.dump(ast.parse(module.read_text())) for module in sorted((ROOT / "helpers").glob("*.py"))]
    lock = (ROOT / "requirements.lock").read_text()
    return hashlib.sha256(json.dumps([code, helpers, lock]).encode()).hexdigest()[:16]


def recorded() -> dict[str, str]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def stale(paths: list[Path]) -> list[Path]:
    """The chapters whose stored outputs are older than what they come from."""
    record = recorded()
    return [path for path in paths if record.get(path.stem) != fingerprint(path)]


def normalise(notebook: Any) -> None:
    """Reduce a notebook to what a reader sees: no times, no machine, the kernel's name and language only."""
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
        merged: list[Any] = []
        for output in cell.outputs:
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = {}
            if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        cell.outputs = merged


def says_the_same(old: Any, new: Any) -> bool:
    """Whether two normalised notebooks are equal but for the figures in their outputs that depend on the machine."""
    if isinstance(old, str) and isinstance(new, str):
        return only_rough_numbers_differ(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(says_the_same, old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(says_the_same(old[key], new[key]) for key in old)
    return bool(old == new)


def execute(path: Path) -> float:
    """Run one chapter and store its outputs; returns the seconds it took. The old file stays if anything fails.

    It also stays where the run confirms it: same code, helpers and versions, and the same outputs but for
    figures that depend on the machine (`≈ 12.3 µs`).
    """
    notebook = nbformat.read(path, as_version=4)
    stored = copy.deepcopy(notebook)
    started = time.monotonic()
    try:
        NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": str(CHAPTERS)}},
            extra_arguments=["--log-level=ERROR"],  # else each kernel warns that it talks over TCP
        ).execute()
    except CellExecutionError as error:
        number = next(
            i for i, c in enumerate(notebook.cells) if any(o.output_type == "error" for o in c.get("outputs", []))
        )
        raise ChapterError(f"{path.name}: cell {number} failed: {error.ename}: {error.evalue}") from None
    except TimeoutError:
        raise ChapterError(f"{path.name}: a cell ran for more than {CELL_TIMEOUT} s") from None
    seconds = time.monotonic() - started
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise ChapterError(f"{path.name}: cell {number} wrote to standard error: {output.text.strip()[:200]}")
            if "text/html" in output.get("data", {}):
                raise ChapterError(f"{path.name}: cell {number} shows HTML; print text or draw a picture")
    normalise(notebook)
    nbformat.validate(notebook)
    if stale([path]) or not says_the_same(stored, notebook):
        replace(path, nbformat.writes(notebook) + "\n")
    return seconds


def record(path: Path) -> None:
    """Note that the stored outputs of `path` belong to its present code."""
    with open(ROOT / "chapters" / "_metadata.yml") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = {p.stem for p in CHAPTERS.glob("*.ipynb")}
        updated = {name: print_ for name, print_ in recorded().items() if name in present}
        updated[path.stem] = fingerprint(path)
        replace(RECORD, json.dumps(updated, indent=2, sort_keys=True) + "\n")


def replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.stem}", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", default="", help="the start of a chapter's file name; runs it in any case")
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 where stored outputs are out of date")
    arguments = parser.parse_args()
    found = chapters(arguments.chapter)
    if arguments.check:
        old = [path.name for path in stale(found)]
        for name in old:
            print(f"{name}: its outputs are older than its code, helpers or versions: run `make execute`")
        return bool(old)
    todo = found if arguments.chapter else stale(found)
    os.environ |= {"TQDM_DISABLE": "1", "BOOK_SEED": "0", "PYTHONHASHSEED": "0"}
    os.environ.pop("MPLBACKEND", None)
    failed = False
    for path in tqdm(todo, desc="executing", unit="chapter", disable=False if sys.stderr.isatty() else None):
        try:
            seconds = execute(path)
        except ChapterError as error:
            failed = True
            print(error, file=sys.stderr)
            continue
        record(path)
        print(f"{path.name}: {seconds:.1f} s")
    if not todo:
        print(f"all {len(found)} chapters are up to date")
    return failed


if __name__ == "__main__":
    sys.exit(main())

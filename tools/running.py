"""Run a chapter in a fresh kernel, in the same way for `make execute`, `make sweep` and their tests."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

CELL_TIMEOUT = 120  # seconds
ENVIRONMENT = {"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0"}


class ChapterError(Exception):
    """A chapter that could not be run to its end, or may not be stored; the message names the chapter and the cell."""


def fault(path: Path, code: list[Any], number: int, why: str) -> ChapterError:
    """The error for cell `number` of a chapter; code cells are counted from 0, as nbval does."""
    lines = [line for line in code[number].source.splitlines() if not line.startswith("#|")] or [""]
    return ChapterError(f"{path.name}: cell {number} {why}\n    the cell begins: {lines[0]}")


def run(path: Path, seed: int, **variables: str) -> tuple[Any, float]:
    """Run the chapter at `path`, in its folder, with BOOK_SEED=`seed`; returns the executed notebook and the seconds.

    The kernel's environment has `variables` too.

    Raises ChapterError if a cell fails, takes more than CELL_TIMEOUT seconds, or ends its kernel.
    """
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    begun: list[int] = []
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        coalesce_streams=True,  # a slow cell writes its text in several pieces
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns that it talks over TCP
        on_cell_execute=lambda cell, cell_index: begun.append(cell_index),
    )
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    started = time.monotonic()
    try:
        client.execute(env=environment | ENVIRONMENT | {"BOOK_SEED": str(seed)} | variables)
    except CellExecutionError as error:
        raise fault(path, code, len(begun) - 1, f"failed: {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise fault(path, code, len(begun) - 1, f"ran for more than {CELL_TIMEOUT} s") from None
    except DeadKernelError:
        raise fault(path, code, len(begun) - 1, "ended its kernel") from None
    return notebook, time.monotonic() - started


@dataclass(frozen=True)
class Run:
    """The outputs of each code cell without pictures, the seconds that the run took, or the error that ended it."""

    outputs: list[list[dict[str, Any]]]
    seconds: float = 0.0
    error: str = ""


def outputs(notebook: Any) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell, without bitmaps and without what only a notebook's file needs."""
    kept = ("output_type", "name", "text", "data", "ename", "evalue")
    return [
        [
            {key: output[key] for key in kept if key in output}
            for output in cell.outputs
            if "image/png" not in output.get("data", {})
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def rerun(path: Path, seed: int) -> Run:
    """The run of a chapter with another seed, for the sweep. Safe to call from several threads."""
    try:
        notebook, seconds = run(path, seed, OMP_NUM_THREADS="1")  # the runs themselves are parallel
    except ChapterError as error:
        return Run([], error=str(error).splitlines()[0].removeprefix(f"{path.name}: "))
    return Run(outputs(notebook), seconds)

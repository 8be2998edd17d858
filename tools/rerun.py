"""Run the code of a chapter with another seed: in a process of its own that has torch loaded already, without pictures.

A kernel per run costs four seconds before the first cell; here a server process imports what all chapters need once and
each run is forked from it. Pictures are not drawn, since nobody compares them. One thread a run: the runs themselves
are parallel.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nbformat

from tools.forks import forks

TIMEOUT = 900  # seconds, for a whole chapter
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    "TQDM_DISABLE": "1",
    "PYTHONHASHSEED": "0",
    "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver",
}


@dataclass(frozen=True)
class Run:
    """The outputs of each code cell but for pictures, the seconds it took, or the error that ended it."""

    outputs: list[list[dict[str, Any]]]
    seconds: float = 0.0
    error: str = ""


def rerun(path: Path, seed: int) -> Run:
    """Run the chapter at `path` with BOOK_SEED=`seed`. Safe to call from several threads."""
    context = forks(**ENVIRONMENT)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, path, seed))
    process.start()
    sender.close()
    try:
        if not receiver.poll(TIMEOUT):
            process.kill()
            return Run([], error=f"ran for more than {TIMEOUT} s")
        return receiver.recv()
    except EOFError:
        process.join()
        return Run([], error=f"its process ended with exit code {process.exitcode}")
    finally:
        process.join()


def _send(sender: Connection, path: Path, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    started = time.monotonic()
    try:
        run = Run(_outputs(path, seed), time.monotonic() - started)
    except Exception as error:
        run = Run([], time.monotonic() - started, str(error))
    sender.send(run)


def _outputs(path: Path, seed: int) -> list[list[dict[str, Any]]]:
    if "helpers" in sys.modules:
        raise RuntimeError("helpers read the seed when they are imported, and this process has imported them already")
    os.environ |= {**ENVIRONMENT, "BOOK_SEED": str(seed)}
    import matplotlib.pyplot as plt
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    os.chdir(path.parent)
    plt.show = lambda: plt.close("all")
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell._showtraceback = lambda *_: None  # it would print
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [_run_cell(shell, cell, number) for number, cell in enumerate(cells)]


def _run_cell(shell: Any, cell: Any, number: int) -> list[dict[str, Any]]:
    from IPython.core.displayhook import CapturingDisplayHook
    from IPython.utils.capture import capture_output

    values: list[Any] = []
    shell.display_trap.hook = CapturingDisplayHook(shell, values)
    with capture_output() as captured:
        result = shell.run_cell(cell.source)
    outputs = [
        {"output_type": "stream", "name": name, "text": text}
        for name, text in (("stdout", captured.stdout), ("stderr", captured.stderr))
        if text
    ]
    outputs += [{"output_type": "display_data", "data": shown.data} for shown in captured.outputs]
    outputs += [{"output_type": "execute_result", "data": value["data"]} for value in values]
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        if "raises-exception" not in cell.metadata.get("tags", []):
            raise RuntimeError(f"cell {number} failed: {type(error).__name__}: {error}")
        outputs.append({"output_type": "error", "ename": type(error).__name__, "evalue": str(error)})
    return outputs

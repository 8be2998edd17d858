"""What the engine does to the process it runs in: clusters, interruption, progress, memory."""

import os
import pty
import sys
import termios
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from helpers import estimate_gradient, monte_carlo, reparametrize
from helpers.estimators import Pathwise
from helpers.randomness import SEED
from tests.support.processes import answer
from tests.support.statistical import same

ROOT = Path(__file__).resolve().parents[2]
PREPARE = """
import os, signal, threading, time
import torch
import tqdm.auto  # takes long enough to be interrupted in
from helpers import estimate_gradient, monte_carlo, reparametrize
from helpers.estimators import Pathwise
monte_carlo.PATIENCE = 0.15
torch.set_num_threads(2)
def estimate(n, pause, **options):
    def f(z):
        time.sleep(pause)
        return z**2
    params = {"mu": 12.0, "sigma": 42.0}
    return estimate_gradient(f, Pathwise(reparametrize.normal), params, n, chunk_size=10, **options)
estimate(20, 0, progress=False)  # the first backward pass of a process takes longer
"""
LONG = 400, 0.015  # 40 chunks on two threads: 0.3 seconds


def run(connection: Connection, code: str) -> None:
    exec(PREPARE + textwrap.dedent(code), {"connection": connection})


def test_a_killed_worker_of_a_cluster_costs_time_and_not_the_answer() -> None:
    from tests.support import cluster  # which imports Dask: half a second, for this test only

    report = answer(cluster.run)
    assert report["started at"] < report["killed at"] < report["finished at"]
    assert report["cluster"] == report["threads"]
    assert report["cluster, one worker killed"] == report["threads"]


def test_an_interrupt_returns_promptly_and_leaves_no_thread() -> None:
    waited, threads = answer(
        run,
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us in the background
        torch_threads = torch.get_num_threads()
        sent = []
        def interrupt():
            time.sleep(0.5)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        try:
            estimate(10**12, 0.05)
        except KeyboardInterrupt:
            waited = time.monotonic() - sent[0]
            interrupter.join()
            assert torch.get_num_threads() == torch_threads
            connection.send((waited, threading.active_count()))
        """,
    )
    assert waited < 2  # a chunk that is being worked on is finished: 0.05 s
    assert threads == 1


@pytest.fixture
def estimate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """The function of that name in PREPARE, here."""
    monkeypatch.setattr(monte_carlo, "PATIENCE", monte_carlo.PATIENCE)  # so that what PREPARE sets is undone
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    names: dict[str, Any] = {}
    threads = torch.get_num_threads()
    exec(PREPARE, names)
    yield names["estimate"]
    torch.set_num_threads(threads)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Standard error is a terminal; in the end the list holds what was written there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    written: list[str] = []
    with monkeypatch.context() as patch, open(theirs, "w") as stream:
        patch.setattr(sys, "stderr", stream)
        yield written
        stream.write("end")
        stream.flush()
        shown = b""
        while not shown.endswith(b"end"):
            shown += os.read(ours, 10_000)
        written.append(shown.decode().removesuffix("end"))
    os.close(ours)


def test_a_long_run_shows_its_progress_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, estimate: Callable[..., object]
) -> None:
    with terminal(monkeypatch) as shown:
        estimate(*LONG)
    assert "%|" in shown[0]
    assert "samples/s" in shown[0]


def test_two_seconds_are_what_it_waits() -> None:
    assert monte_carlo.PATIENCE == 2


def test_no_progress_of_a_short_run_or_where_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, estimate: Callable[..., object]
) -> None:
    with terminal(monkeypatch) as shown:
        estimate(50, 0)
        estimate(*LONG, progress=False)
        monkeypatch.setenv("TQDM_DISABLE", "1")
        estimate(*LONG)
    assert shown == [""]


def test_no_progress_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, estimate: Callable[..., object]
) -> None:
    with open(tmp_path / "stderr", "w+") as file:
        monkeypatch.setattr(sys, "stderr", file)
        estimate(*LONG)
    assert (tmp_path / "stderr").read_text() == ""


def test_progress_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    off = 'os.environ["TQDM_DISABLE"] = "1"'
    sources = (PREPARE, f"result = estimate(*{LONG})", f"{off}; result = estimate(*{LONG})")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    NotebookClient(nbformat.v4.new_notebook(cells=cells), resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in cells]
    assert "application/vnd.jupyter.widget-view+json" in shown[1]
    assert shown[2] == set()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_parameters_stay_on_their_device() -> None:
    params = {"mu": torch.tensor(12.0, device="cuda"), "sigma": torch.tensor(42.0, device="cuda")}
    first, second = (
        estimate_gradient(torch.square, Pathwise(reparametrize.normal), params, 1_000_000, seed=SEED) for _ in range(2)
    )
    assert same(first, second)
    assert abs(first["mu"].mean.item() - 24) < 4.5 * first["mu"].standard_error.item()

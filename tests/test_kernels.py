"""The forked kernels in which the chapters are tested: what runs there, but for Dask, takes them for fresh ones."""

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from jupyter_client.provisioning import KernelProvisionerFactory
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from tests import kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

SEEN = """
import os, sys
import matplotlib
own = {"exit", "quit", "get_ipython", "In", "Out"}
print({
    "names": sorted(name for name in globals() if name[0] != "_" and name not in own),
    "folder": os.path.basename(os.getcwd()),
    "path": sys.path,
    "program": os.path.basename(sys.argv[0]).removesuffix(".py"),
    "environment": sorted((k, v) for k, v in os.environ.items() if k != "JPY_PARENT_PID" and not k.startswith("DASK_")),
    "of the project": sorted({"helpers", "tests", "tools"} & sys.modules.keys()),
    "backend": matplotlib.rcParams["backend"],
    "leader": os.getpgid(0) == os.getpid(),
})
"""
LOADED = "import sys; print('torch' in sys.modules)"
DRAWS = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
SEEDED = "from helpers import SEED\nprint(SEED)"

Run = Callable[..., list[list[nbformat.NotebookNode]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs cells in a kernel of the kind given and returns the outputs of each."""
    factory = KernelProvisionerFactory.instance()
    monkeypatch.setattr(factory, "default_provisioner_name", factory.default_provisioner_name)  # is put back
    kernels.use()

    def run(kind: str, *sources: str, **options: object) -> list[list[nbformat.NotebookNode]]:
        factory.default_provisioner_name = kind
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, kernel_name="python3", resources=resources, **options).execute()
        return [cell.outputs for cell in notebook.cells]

    return run


def test_a_forked_kernel_looks_like_a_fresh_one_and_has_torch_loaded(run: Run) -> None:
    (seen, loaded), (fresh, unloaded) = (run(kind, SEEN, LOADED) for kind in (kernels.NAME, "local-provisioner"))
    assert ast.literal_eval(seen[0].text) == ast.literal_eval(fresh[0].text)
    assert (loaded[0].text, unloaded[0].text) == ("True\n", "False\n")


def test_a_forked_kernel_draws_and_takes_the_seed_of_its_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOK_SEED", "7")
    drawn, seeded = run(kernels.NAME, DRAWS, SEEDED)
    assert [[*output.data] for output in drawn] == [["text/plain", "image/png"]]
    assert seeded[0].text == "7\n"


def test_a_forked_kernel_is_interrupted(run: Run) -> None:
    stuck, after = run(
        kernels.NAME, "import time\ntime.sleep(60)", "print(1)", timeout=1, interrupt_on_timeout=True, allow_errors=True
    )
    assert stuck[-1].ename == "KeyboardInterrupt"
    assert after[0].text == "1\n"


ABANDONED = """
import os
from jupyter_client.manager import start_new_kernel
from tests import kernels
from tools import forks

if __name__ == "__main__":
    forks.PRELOADED.clear()
    kernels.use()
    manager, _ = start_new_kernel(kernel_name="python3")
    print(manager.provisioner.pid, flush=True)
    os._exit(0)
"""


def test_a_forked_kernel_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(ABANDONED)
    command = [sys.executable, tmp_path / "script.py"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    process = Path("/proc", done.stdout.strip())
    deadline = time.monotonic() + 20
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.exists()


def test_a_forked_kernel_that_ends_itself_is_missed(run: Run) -> None:
    with pytest.raises(DeadKernelError):
        run(kernels.NAME, "import os; os._exit(1)")

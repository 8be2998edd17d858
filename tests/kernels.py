"""Kernels for `pytest` that have loaded torch: forked from a server, where a fresh one spends seconds on imports.

jupyter_client asks for a "provisioner" wherever a kernel is started; `conftest.py` names the one here. What a chapter
sees is a fresh kernel: nothing is imported there for it, and `helpers` are not among what the server has loaded.
Only Dask is told to fork its workers, from the same server.
"""

import ast
import os
import sys
from importlib.metadata import EntryPoint
from multiprocessing import parent_process
from subprocess import check_output
from threading import Thread
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from tools.forks import fork_from_the_same, forks

NAME = "forked"
LAUNCHER = "ipykernel_launcher"


def use() -> None:
    """From now on, kernels that this process starts are forked ones."""
    factory = KernelProvisionerFactory.instance()
    factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:Forked", factory.GROUP_NAME)
    factory.default_provisioner_name = NAME


class Forked(LocalProvisioner):
    """Starts IPython's kernels from the server, others as usual."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        if LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        arguments = cmd[cmd.index(LAUNCHER) + 1 :]
        process = forks().Process(target=_kernel, args=(arguments, kwargs["env"], kwargs.get("cwd") or os.getcwd()))
        process.start()
        self.process = _Handle(process)
        self.pid = self.pgid = process.pid
        return self.connection_info


class _Handle:
    """A process of multiprocessing with the names of one of subprocess."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self.process, self.pid = process, process.pid
        self.kill, self.terminate = process.kill, process.terminate

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)


def _kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """What `python -m ipykernel_launcher` does."""
    os.setsid()
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()
    parent = str(parent_process().pid)
    os.environ.clear()
    os.environ |= environment | {"JPY_PARENT_PID": parent}
    if fork_from_the_same():
        os.environ["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "forkserver"
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    os.environ["PYDEVD_USE_FRAME_EVAL"] = "NO"  # set by IPython's debugger, which the server has imported
    os.chdir(folder)
    sys.path[:] = ast.literal_eval(check_output([sys.executable, "-c", "import sys; print(sys.path[1:])"], text=True))
    sys.argv[:] = [LAUNCHER, *arguments]
    for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "tools")]:
        del sys.modules[name]  # a reader's kernel could not import them
    import matplotlib as mpl
    from ipykernel import kernelapp

    mpl.rcParams["backend"] = os.environ["MPLBACKEND"]
    # it read the environment when it was imported, and would tell how to connect to a kernel without a parent
    kernelapp.launch_new_instance(argv=[*arguments, f"--IPKernelApp.parent_handle={parent}"])


def _end_with(parent: Any) -> None:
    """The server lives as long as we do, so that IPython's own look-out for a lost parent sees nothing."""
    parent.join()
    os._exit(1)

"""A server process that has loaded what all chapters import once; processes forked from it save seconds each."""

import os
from contextlib import chdir
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).parent.parent
PRELOADED = ["tools.loaded"]
_LOCK = Lock()


def forks(**environment: str) -> ForkServerContext:
    """The context whose processes come from the server, which the first call starts, with `environment` added to ours.

    Safe to call from several threads.
    """
    with _LOCK:
        before = dict(os.environ)
        os.environ |= environment
        try:
            forkserver.set_forkserver_preload(PRELOADED)
            with chdir(ROOT):  # it imports from the folder where it starts, and tests/statistics.py hides Python's own
                forkserver.ensure_running()
        finally:
            os.environ.clear()
            os.environ |= before
    return get_context("forkserver")


def fork_from_the_same() -> bool:
    """In a process of the server: what it forks in turn comes from that server, where Python would start another.

    False where Python does not let it, from 3.14 on: only the process that has started the server knows its key.
    """
    if hasattr(forkserver._forkserver, "_forkserver_authkey"):
        return False
    forkserver._forkserver.ensure_running = resource_tracker.ensure_running
    return True

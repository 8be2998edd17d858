"""torch's own threads off while chunks are the unit of parallel work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class _Threads:
    """How many calls run on one core now, and torch's number of threads before the first of them."""

    lock = threading.Lock()
    inside = 0
    before = 1


@contextmanager
def one_core() -> Iterator[None]:
    """torch's own threads off in this thread: what is added up in which order must not depend on their number.

    A new thread starts with the number that was set last in any thread, which may be the 1 of a call that still runs.
    So the first of the concurrent calls asks for the number, and each of them sets it again.
    """
    with _Threads.lock:
        threads = torch.get_num_threads()  # in each thread: torch sets up a new one here, and would undo what follows
        if _Threads.inside == 0:
            _Threads.before = threads
        _Threads.inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.inside -= 1
            torch.set_num_threads(_Threads.before)

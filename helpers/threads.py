"""Set torch's state in this thread while gradients are computed: one core, and no mode that changes results."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


class _Threads:
    """The number of calls that run on one core now, and torch's number of threads before the first of them."""

    lock = threading.Lock()
    inside = 0
    before = 1


@contextmanager
def one_core() -> Iterator[None]:
    """Turn torch's own threads off in this thread, because the order of a sum must not depend on their number.

    A new thread starts with the number that was set last in any thread, which may be the 1 of a call that still runs.
    Therefore only the first of several concurrent calls reads the number, and each of them restores it.
    """
    with _Threads.lock:
        threads = torch.get_num_threads()  # in every thread: torch sets up a new one here, and would undo what follows
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


@contextmanager
def plain_torch(device: torch.device) -> Iterator[None]:
    """Record gradients, and suspend inference mode, autocast, and another default device that the caller may use."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if torch.is_autocast_enabled(device.type):
            stack.enter_context(torch.autocast(device.type, enabled=False))
        if torch.get_default_device().type not in ("cpu", device.type):
            stack.enter_context(device)
        stack.enter_context(torch.enable_grad())
        yield

"""A run on two Dask processes, one of which is killed half way: for a process of its own that test_engine.py starts."""

import os
import signal
import time
from multiprocessing.connection import Connection
from threading import Thread

from distributed import Client, LocalCluster
from torch import Tensor

from helpers import estimate_gradient, reparametrize
from helpers.estimators import Pathwise

PAUSE, CHUNKS, WORKERS = 0.02, 60, 2


def slow_square(z: Tensor) -> Tensor:
    time.sleep(PAUSE)
    return z**2


def estimate(**executor: object) -> list[tuple[float, float]]:
    found = estimate_gradient(
        slow_square,
        Pathwise(reparametrize.normal),
        {"mu": 12.0, "sigma": 42.0},
        CHUNKS * 1000,
        chunk_size=1000,
        **executor,
    )
    return [(estimate.mean.item(), estimate.variance.item()) for estimate in found.values()]


def run(connection: Connection) -> None:
    """Sends a report, and ends the process."""
    cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
    client = Client(cluster)
    victim = min(client.run(os.getpid).values())
    report: dict[str, object] = {"threads": estimate(), "cluster": estimate(executor=client.get_executor())}

    def kill() -> None:
        time.sleep(PAUSE * CHUNKS / WORKERS / 2)
        os.kill(victim, signal.SIGKILL)
        report["killed at"] = time.monotonic()

    killer = Thread(target=kill)
    report["started at"] = time.monotonic()
    killer.start()
    report["cluster, one worker killed"] = estimate(executor=client.get_executor())
    report["finished at"] = time.monotonic()
    killer.join()
    connection.send(report)
    os._exit(0)  # the cluster would wait for the worker that it is starting anew; all of them end with this process

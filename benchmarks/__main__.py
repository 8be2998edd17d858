"""Measure the engine, print what was measured, store it as results.json and set it into the book's page.

Ratios compare works that are timed in turn in one process, by their medians. Nothing here is a test: the machine may
be busy, and then the spread, which is stored too, says so.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from benchmarks.peers import MU, PEERS, SIGMA, Work, loop
from benchmarks.report import CHUNKS, RESULTS, Row, write
from helpers import estimate_gradient, get_graph, reparametrize
from helpers.compiled import Compiled
from helpers.estimate import CHUNK_SIZE
from helpers.estimators import Estimator, Pathwise, ScoreFunction
from helpers.randomness import generator_of

PARAMS = {"mu": MU, "sigma": SIGMA}
PATHWISE = Pathwise(reparametrize.normal)
HOWS = ("", ", compiled")
THREADS = torch.get_num_threads()
Draw = Callable[[int, torch.Generator], Tensor]


def square(z: Tensor) -> Tensor:
    return z**2


def seconds(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Wall times of each work, taken in turn so that what disturbs one disturbs its neighbours too."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            found[name].append(time.perf_counter() - start)
    return found


def in_a_row(work: Callable[[], object], times: int) -> None:
    """Work so short that its first call, in the caches of another work, would not be typical."""
    for _ in range(times):
        work()


def raw(draw: Draw, n: int, chunk: int = CHUNK_SIZE) -> None:
    """As many random numbers as n samples take, in the engine's chunks on as many threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # new threads start with this
    with ThreadPoolExecutor(threads) as executor:
        for _ in executor.map(lambda i: draw(chunk, generator_of(0, i)).shape, range(n // chunk)):
            pass
    torch.set_num_threads(threads)


def normals(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, generator=generator)


def uniforms(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator)


def coins(n: int, generator: torch.Generator) -> Tensor:
    return torch.bernoulli(torch.full((n,), 0.3), generator=generator)


def engine(n: int, estimator: Estimator = PATHWISE, params: Mapping = PARAMS, f: Callable = square) -> object:
    return estimate_gradient(f, estimator, params, n, progress=False)


def plain_and_compiled(n: int, estimator: Estimator = PATHWISE, *rest: object) -> dict[str, Callable[[], object]]:
    """The engine's works, by how they are marked in the labels of rows."""
    return dict(zip(HOWS, (partial(engine, n, e, *rest) for e in (estimator, Compiled(estimator))), strict=True))


def toy(y: Tensor) -> Tensor:
    return (y - 0.45) ** 2


CLASSES = 10
COST = torch.arange(float(CLASSES))
Case = tuple[Estimator, Mapping, Callable, float, float | None]  # estimator, params, f, must, aim
# For each kind of raw random numbers: how many a sample takes, and what is compared with drawing them.
KINDS: dict[str, tuple[Draw, dict[str, tuple[int, Case]]]] = {
    "torch.randn": (
        normals,
        {
            "pathwise": (1, (PATHWISE, PARAMS, square, 0.35, 0.45)),
            "score function, Normal": (1, (ScoreFunction(Normal), {"loc": MU, "scale": SIGMA}, square, 0.2, 0.3)),
        },
    ),
    "torch.bernoulli": (
        coins,
        {"score function, Bernoulli": (1, (ScoreFunction(Bernoulli), {"probs": 0.3}, toy, 0.2, None))},
    ),
    "torch.rand": (
        uniforms,
        {
            "straight-through": (1, (Pathwise(reparametrize.bernoulli_straight_through), {"p": 0.3}, toy, 0.2, None)),
            "binary concrete": (
                1,
                (Pathwise(partial(reparametrize.binary_concrete, temperature=0.5)), {"p": 0.3}, toy, 0.2, None),
            ),
            "Gumbel-softmax, K = 10": (
                CLASSES,
                (
                    Pathwise(partial(reparametrize.gumbel_softmax, temperature=0.5)),
                    {"probs": torch.full((CLASSES,), 1 / CLASSES)},
                    lambda y: y @ COST,
                    0.25,
                    None,
                ),
            ),
        },
    ),
}


def shares_of_raw(repeats: int) -> list[Row]:
    """Raw random numbers are timed once for each kind, in turn with all that is compared with them."""
    n, rows = 20_000_000, []
    for kind, (draw, cases) in KINDS.items():
        works: dict[str, Callable[[], object]] = {"raw": partial(raw, draw, n)}
        for name, (numbers, (estimator, params, f, _, _)) in cases.items():
            both = plain_and_compiled(n // numbers, estimator, params, f)
            works |= {name + how: work for how, work in both.items()}
        times = seconds(works, repeats)
        for name, (numbers, (_, _, _, must, aim)) in cases.items():
            for how in HOWS:
                label = f"{name}{how}: share of raw {kind}"
                rows.append(Row.of_ratio(label, times["raw"], times[name + how], n // numbers, must, aim))
    return rows


def in_chunks(work: Work, n: int) -> None:
    """A peer given the engine's chunks, one after the other, on as many threads as it takes for itself."""
    for _ in range(n // CHUNK_SIZE):
        work(CHUNK_SIZE)


def check(name: str, work: Work) -> None:
    """RuntimeError unless the peer estimates the same two numbers: a fast wrong answer is no peer."""
    n = 100_000
    spreads = (2 * SIGMA, (4 * MU**2 + 8 * SIGMA**2) ** 0.5)  # standard deviations of 2 z and 2 z eps
    for found, exact, spread in zip(work(n), (2 * MU, 2 * SIGMA), spreads, strict=True):
        if abs(found - exact) > 5 * spread / n**0.5:
            raise RuntimeError(f"{name} must estimate {exact}, got {found}")


def against_peers(repeats: int) -> list[Row]:
    n, few = 10_000_000, 100_000
    article = loop()
    calls = 20
    works = {how: partial(in_a_row, work, calls) for how, work in plain_and_compiled(few).items()}
    times = seconds({"loop": partial(article, few // 10)} | works, repeats)
    times["loop"] = [10 * t for t in times["loop"]]  # a tenth of the draws: it is linear, and slow
    times |= {how: [t / calls for t in times[how]] for how in HOWS}
    label = "one backward a sample, N = 1e5{}: speed-up"
    rows = [Row.of_ratio(label.format(how), times["loop"], times[how], few, 10_000, 20_000) for how in HOWS]
    marks = {"torch.func.vmap(grad)": (2, 4), "jax.jit(vmap(grad))": (2, 4)}
    works = plain_and_compiled(n)
    for name, prepare in PEERS.items():
        try:
            work = prepare()
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        check(name, work)
        works[name] = partial(work, n)
        works[name + CHUNKS] = partial(in_chunks, work, n)
    times = seconds(works, repeats)
    for name in (name for name in works if name not in HOWS):
        must, aim = marks.get(name.removesuffix(CHUNKS), (1, 3))
        label = f"{name}, N = 1e7{{}}: speed-up"
        rows += [Row.of_ratio(label.format(how), times[name], times[how], n, must, aim) for how in HOWS]
    return rows


def scaling(repeats: int) -> list[Row]:
    sizes = {1_000_000: "1e6", 10_000_000: "1e7", 100_000_000: "1e8"}
    times = seconds({label: partial(engine, n) for n, label in sizes.items()}, repeats)
    rows = []
    for small, large in (("1e6", "1e7"), ("1e7", "1e8")):
        label = f"time from N = {small} to {large}, over 10"
        ratio = statistics.median(times[large]) / statistics.median(times[small]) / 10
        rows.append(Row(label, ratio, "", must=1.1, aim=None, less_is_better=True))
    return rows


def overhead(repeats: int) -> Row:
    (times,) = seconds({"calls": partial(in_a_row, partial(engine, 1000), 100)}, repeats).values()
    return Row("a call at N = 1000", statistics.median(times) * 10, "ms", must=1, aim=0.3, less_is_better=True)


def memory() -> Row:
    """In a process of its own: what the peak of resident memory grows by from N = 1e6 to 1e9."""
    code = "from benchmarks.__main__ import growth; growth()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    label = "growth of resident memory from N = 1e6 to 1e9"
    return Row(label, float(done.stdout), "MB", must=50, aim=10, less_is_better=True)


def growth() -> None:
    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    engine(1_000_000)
    before = peak()
    engine(1_000_000_000)
    print(peak() - before)


def graphs() -> list[Row]:
    def chain() -> Tensor:
        y = torch.ones((), requires_grad=True)
        for _ in range(100_000):
            y = y + 1
        return y

    def repeated() -> Tensor:
        y = torch.ones((), requires_grad=True)
        for _ in range(10_000):
            y = y * y
        return y

    rows = []
    for label, make in (("get_graph, chain of 1e5 nodes", chain), ("get_graph, y = y * y 1e4 times", repeated)):
        root, times = make(), []
        for _ in range(5):
            start = time.perf_counter()
            get_graph(root)
            times.append(time.perf_counter() - start)
        rows.append(Row(label, statistics.median(times), "s", must=1, aim=None, less_is_better=True))
    return rows


def profile() -> dict[str, float]:
    """Share of one thread's time that each torch operation takes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        for _ in range(40):
            engine(CHUNK_SIZE)
    own = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in recorded.key_averages()}
    total = sum(own.values())
    largest = sorted(own, key=own.__getitem__, reverse=True)[:8]
    shares = {name: own[name] / total for name in largest}
    return shares | {"all else": 1 - sum(shares.values())}


def processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="runs of each work, of which the median counts (>= 5)")
    parser.add_argument("--dry-run", action="store_true", help="print what was measured and store nothing")
    options = parser.parse_args()
    if options.repeats < 5:
        parser.error(f"--repeats must be >= 5, got {options.repeats}")
    r = options.repeats
    parts: list[Callable[[], Row | list[Row]]] = [
        partial(shares_of_raw, r),
        partial(against_peers, r),
        partial(scaling, r),
        partial(overhead, r),
        memory,
        graphs,
    ]
    rows: list[Row] = []
    for part in parts:
        found = part()
        new = found if isinstance(found, list) else [found]
        for row in new:
            print(row, flush=True)
        rows += new
    results = {
        "date": date.today().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__.split('+')[0]}",
        "threads": THREADS,
        "repeats": r,
        "chunk_size": CHUNK_SIZE,
        "rows": [row.as_dict() for row in rows],
        "profile": profile(),
    }
    if not options.dry_run:
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        write()


if __name__ == "__main__":
    main()

"""Run every chapter with other seeds. Each estimate must agree with the stored one, and all z must look normal.

usage: python -m tools.sweep [--seeds N] [--jobs N] [--chapter NN]

Run i of chapter NN has the seed 1000 (100 i + NN). No two runs share random numbers, because chapters count up from the
seed in steps of 1. What a run printed is kept in `build/sweep.jsonl`, and is used again while the chapter's fingerprint
stays the same, so a sweep that was stopped continues where it was. With STORED_FROM seeds or more and all chapters, the
result goes into `reports/sweep.json` and onto the page that the book shows.

There are three tests.
- Every run confirms what is stored, by the rules of nbval-tolerance. Of many correct comparisons, a few lie beyond
  4.5 by chance. They are listed, and the test fails if so many runs with one are improbable (LEVEL, by a Poisson
  distribution with the expected number, a good approximation although all runs share the stored numbers).
- Kolmogorov-Smirnov for each place where a z is printed, over the runs, which are independent; p-values after Holm,
  which is valid for places that share samples too.
- Kolmogorov-Smirnov for one z per run. Run i gives the i-th of its chapter's places in turn, so all places count.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbval_tolerance import Number, Tolerance, compare, numbers, standard_errors_apart
from scipy import stats
from tqdm import tqdm

from tools.execute import ROOT, chapters, fingerprint, replace
from tools.report import PAGE, page
from tools.running import Run, rerun

STATE = ROOT / "build" / "sweep.jsonl"
REPORT = ROOT / "reports" / "sweep.json"
STORED_FROM = 20
LEVEL = 1e-3
BEYOND = 2 * stats.norm.sf(Tolerance.sigmas)


def seed_of(path: Path, i: int) -> int:
    """The seed of run i, from 1, of a chapter."""
    return 1000 * (100 * i + int(path.stem[:2]))


# ---------------------------------------------------------------- running


def load(prints: dict[str, str]) -> dict[tuple[str, int], Run]:
    """The runs of earlier sweeps by (chapter, seed), without outdated ones, which are removed from the file."""
    runs, kept = {}, []
    for line in STATE.read_text().splitlines() if STATE.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the last line of a sweep that was killed
            continue
        if prints.get(entry["chapter"], entry["fingerprint"]) == entry["fingerprint"]:
            runs[entry["chapter"], entry["seed"]] = Run(**entry["run"])
            kept.append(line)
    STATE.parent.mkdir(exist_ok=True)
    replace(STATE, "".join(line + "\n" for line in kept))
    return runs


def complete(paths: list[Path], seeds: int, jobs: int) -> dict[tuple[str, int], Run]:
    """Every run of the sweep; those that are missing are run now, `jobs` at a time, the longest chapters first."""
    prints = {path.stem: fingerprint(path) for path in paths}
    runs = load(prints)
    wanted = [(path, seed_of(path, i)) for i in range(1, seeds + 1) for path in paths]
    todo = [(path, seed) for path, seed in wanted if (path.stem, seed) not in runs]
    bar = tqdm(total=len(wanted), initial=len(wanted) - len(todo), desc="sweep", unit="run")
    with bar, open(STATE, "a") as state, ThreadPoolExecutor(jobs) as pool:
        try:
            futures = {pool.submit(rerun, path, seed): (path.stem, seed) for path, seed in todo}
            for future in as_completed(futures):
                chapter, seed = futures[future]
                runs[chapter, seed] = run = future.result()
                entry = {"chapter": chapter, "seed": seed, "fingerprint": prints[chapter], "run": asdict(run)}
                if not run.error:
                    print(json.dumps(entry, ensure_ascii=False), file=state, flush=True)
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)
    return {(path.stem, seed): runs[path.stem, seed] for path, seed in wanted}


# ---------------------------------------------------------------- judging


@dataclass(frozen=True)
class Z:
    """A z that a run printed; its place in the book is chapter, cell and position among the numbers of the cell."""

    chapter: str
    cell: int
    position: int
    seed: int
    value: float

    @property
    def place(self) -> tuple[str, int, int]:
        return self.chapter, self.cell, self.position

    def __str__(self) -> str:
        return f"{self.chapter} cell {self.cell} number {self.position}, seed {self.seed}: z = {self.value:+.2f}"


def stored_cells(path: Path) -> list[Any]:
    """The code cells of a chapter, without the outputs that hold pictures."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs = [output for output in cell.outputs if "image/png" not in output.get("data", {})]
    return cells


def failures(cells: list[Any], run: Run) -> tuple[list[str], bool]:
    """The reasons why a run does not confirm the stored outputs, and whether chance alone could explain them."""
    if run.error:
        return [run.error], False
    lines, by_distance = [], True
    for number, (cell, fresh) in enumerate(zip(cells, run.outputs, strict=True)):
        allowed = "shows-nonfinite" in cell.metadata.get("tags", [])
        for found in compare(cell.outputs, fresh, nonfinite=allowed):
            lines.append(f"cell {number}: {' '.join('; '.join(found.reasons).split())} | {found.fresh}")
            by_distance &= found.by_distance
        changed = [old != new for old, new in zip(numbers(cell.outputs), numbers(fresh), strict=False)]
        if _quotes(cell) and any(changed):
            lines.append(f"cell {number}: it quotes its numbers, and they depend on the seed")
            by_distance = False
    return lines, by_distance


def _quotes(cell: Any) -> bool:
    """Whether the estimates of a cell are quoted, so they depend on no random number."""
    return "quotes" in cell.metadata.get("tags", [])


def pairs(cells: list[Any], run: Run) -> Iterator[tuple[int, int, Number, Number]]:
    """Each random number in the outputs that can be compared, as (cell, position, stored, fresh)."""
    for cell, (stored, fresh) in enumerate(zip(cells, run.outputs, strict=False)):
        both = [] if _quotes(stored) else zip(numbers(stored.outputs), numbers(fresh), strict=False)
        yield from ((cell, position, old, new) for position, (old, new) in enumerate(both))


def holm(p_values: list[float]) -> list[float]:
    """The p-values after Holm (1979); a test is rejected at every familywise level above its value."""
    order = np.argsort(p_values)
    scaled = np.minimum(1, np.array(p_values)[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.ones(len(p_values))
    adjusted[order] = np.maximum.accumulate(scaled)
    return adjusted.tolist()


def one_a_run(zs: list[Z]) -> list[float]:
    """One z per run, from each place of its chapter in turn."""
    chosen = []
    for chapter in sorted({z.chapter for z in zs}):
        mine = [z for z in zs if z.chapter == chapter]
        places = sorted({z.place for z in mine})
        by_run = {seed: {z.place: z.value for z in mine if z.seed == seed} for seed in sorted({z.seed for z in mine})}
        turns = ((of_run, places[i % len(places)]) for i, of_run in enumerate(by_run.values()))
        chosen += [of_run[place] for of_run, place in turns if place in of_run]
    return chosen


def judge(paths: list[Path], runs: dict[tuple[str, int], Run]) -> dict[str, Any]:
    """The result of the sweep, in the form of `reports/sweep.json`."""
    zs: list[Z] = []
    failed: dict[str, list[str]] = {}
    otherwise = []
    apart, comparisons = [0.0], 0
    cells = {path.stem: stored_cells(path) for path in paths}
    for (chapter, seed), run in sorted(runs.items()):
        lines, by_distance = failures(cells[chapter], run)
        if lines:
            failed[f"{chapter}, seed {seed}"] = lines
        if not by_distance:
            otherwise.append(f"{chapter}, seed {seed}")
        for cell, position, old, new in pairs(cells[chapter], run):
            comparisons += new.kind != "rough"
            if new.kind == "z":
                zs.append(Z(chapter, cell, position, seed, new.value))
            elif old.kind == new.kind == "estimate" and max(old.error, new.error) > 0:
                apart.append(standard_errors_apart(old, new))
    places = sorted({z.place for z in zs})
    p_values = holm([_ks([z.value for z in zs if z.place == place])[1] for place in places])
    independent = one_a_run(zs)
    distance, p = _ks(independent)
    wide = [float(np.mean([abs(z.value) > 2 for z in of_run])) for of_run in _grouped(zs)] or [0.0]
    worst = max(zs, key=lambda z: abs(z.value), default=Z("", 0, 0, 0, 0.0))
    chance, expected = len(failed) - len(otherwise), comparisons * BEYOND
    return {
        "date": date.today().isoformat(),
        "seeds": len({seed for _, seed in runs}) // max(1, len(paths)),
        "fingerprints": {path.stem: fingerprint(path) for path in paths},
        "runs": len(runs),
        "comparisons": comparisons,
        "failed": failed,
        "failed otherwise": otherwise,
        "failed by chance": {"count": chance, "expected": expected, "p": float(stats.poisson.sf(chance - 1, expected))},
        "worst distance": max(apart),
        "z": len(zs),
        "worst z": asdict(worst),
        "beyond 2": {"share": float(np.mean(wide)), "error": float(stats.sem(wide)) if len(wide) > 1 else math.nan},
        "places": len(places),
        "departing places": {
            f"{chapter} cell {cell} number {position}": p
            for (chapter, cell, position), p in zip(places, p_values, strict=True)
            if p < LEVEL
        },
        "least p of a place": min(p_values, default=1.0),
        "one a run": {"n": len(independent), "distance": distance, "p": p},
    }


def _grouped(zs: list[Z]) -> list[list[Z]]:
    groups: dict[tuple[str, int], list[Z]] = {}
    for z in zs:
        groups.setdefault((z.chapter, z.seed), []).append(z)
    return list(groups.values())


def _ks(values: Iterable[float]) -> tuple[float, float]:
    values = list(values)
    if not values:
        return 0.0, 1.0
    result = stats.kstest(values, "norm")
    return float(result.statistic), float(result.pvalue)


def verdicts(found: dict[str, Any]) -> dict[str, bool]:
    return {
        "no run fails for a reason other than distance": not found["failed otherwise"],
        "no more runs fail by distance than chance explains": found["failed by chance"]["p"] >= LEVEL,
        "at each place, z is normally distributed over the runs": not found["departing places"],
        "one z-score per run: normally distributed": found["one a run"]["p"] >= LEVEL,
    }


def text(found: dict[str, Any]) -> str:
    """The result for a terminal."""
    lines = [f"{run}\n" + "\n".join(f"    {why}" for why in whys) for run, whys in found["failed"].items()]
    lines += [f"{place}: Kolmogorov-Smirnov p = {p:.2g} after Holm" for place, p in found["departing places"].items()]
    chance, one, wide = found["failed by chance"], found["one a run"], found["beyond 2"]
    lines += [
        f"{found['runs']} runs, {found['comparisons']} comparisons: {chance['count']} runs failed by distance, "
        f"{chance['expected']:.2g} expected by chance; {len(found['failed otherwise'])} otherwise",
        f"worst: {Z(**found['worst z'])}; a stored and a fresh estimate at most {found['worst distance']:.2f} apart",
        f"{found['places']} places with a z-score: smallest Kolmogorov-Smirnov p after Holm's correction "
        f"{found['least p of a place']:.2g}",
        f"one z-score per run, {one['n']} independent: Kolmogorov-Smirnov D = {one['distance']:.3f}, "
        f"p = {one['p']:.2g}",
        f"share of |z| > 2: {wide['share']:.2%} ± {wide['error']:.2%}, for a normal distribution "
        f"{2 * stats.norm.sf(2):.2%}",
        *(f"{verdict}: {'yes' if holds else 'NO'}" for verdict, holds in verdicts(found).items()),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--chapter", default="", help="the start of a chapter's file name")
    arguments = parser.parse_args()
    for name in ("seeds", "jobs"):
        if getattr(arguments, name) < 1:
            raise SystemExit(f"{name.upper()} must be >= 1, got {getattr(arguments, name)}")
    paths = chapters(arguments.chapter)
    found = judge(paths, complete(paths, arguments.seeds, arguments.jobs))
    print(text(found))
    if arguments.seeds >= STORED_FROM and paths == chapters():
        REPORT.parent.mkdir(exist_ok=True)
        replace(REPORT, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        replace(PAGE, page())
    return not all(verdicts(found).values())


if __name__ == "__main__":
    sys.exit(main())

"""Fill the appendix on execution with the results that chapters, sweep and mutants stored when they ran.

usage: python -m tools.report        (`make execute`, `make sweep` and `make mutants` end with it)
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import nbformat
from nbval_tolerance import Tolerance, numbers
from scipy import stats

from tools.execute import ROOT, chapters, recorded, replace
from tools.pages import fill

PAGE = ROOT / "appendices" / "execution.qmd"
REPORTS = ROOT / "reports"


def label(notebook: Any) -> str:
    """The label of a chapter, from its title."""
    return re.search(r"\{#(sec-[\w-]+)\}", notebook.cells[0].source)[1]


def executions(paths: list[Path], record: dict[str, dict[str, Any]]) -> str:
    """A table of the stored chapters, and the versions with which they were executed."""
    lines = ["| chapter | run time | cells | estimates | farthest z |", "|---|--:|--:|--:|--:|"]
    total = defaultdict(int)
    by_versions = defaultdict(list)
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        entry = record.get(path.stem, {"seconds": 0, "versions": None})
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        printed = [number for cell in cells for number in numbers(cell.outputs)]
        z = max((number.value for number in printed if number.kind == "z"), key=abs, default=None)
        row = {
            "seconds": entry["seconds"],
            "cells": len(cells),
            "estimates": sum(number.kind == "estimate" for number in printed),
        }
        for name, value in row.items():
            total[name] += value
        if entry["versions"]:
            by_versions[_versions(entry["versions"])].append(label(notebook))
        farthest = "—" if z is None else f"{z:+.2f}"
        took = f"{row['seconds']} s" if entry["versions"] else "—"
        lines.append(f"| @{label(notebook)} | {took} | {row['cells']} | {row['estimates']} | {farthest} |")
    lines.append(f"| all | {total['seconds']} s | {total['cells']} | {total['estimates']:,} | |")
    lines += ["", ": The stored execution of each chapter. {#tbl-execution}", ""]
    if len(by_versions) == 1:
        lines.append(f"All were executed with {next(iter(by_versions))}.")
    else:
        lines += [f"- {', '.join(f'@{name}' for name in names)}: {which}" for which, names in by_versions.items()]
    return "\n".join(lines)


def _versions(versions: dict[str, str]) -> str:
    return f"Python {versions['python']}, torch {versions['torch']} and NumPy {versions['numpy']}"


def sweep(found: dict[str, Any] | None, paths: list[Path], record: dict[str, dict[str, Any]]) -> str:
    """The results of `make sweep`."""
    if found is None:
        return "`make sweep` has not been run yet."
    chance, one, wide = found["failed by chance"], found["one a run"], found["beyond 2"]
    rows = [
        ("runs that failed for a reason other than distance", len(found["failed otherwise"]), "0"),
        (
            f"runs with a comparison beyond {Tolerance.sigmas} standard errors",
            chance["count"],
            f"{chance['expected']:.2g} by chance",
        ),
        ("farthest z", f"{found['worst z']['value']:+.2f}", ""),
        ("largest distance of a fresh estimate from the stored one", f"{found['worst distance']:.2f}", ""),
        ("share of z-scores beyond ±2", f"{wide['share']:.2%} ± {wide['error']:.2%}", f"{2 * stats.norm.sf(2):.2%}"),
        (f"one z-score per run, {one['n']:,}: Kolmogorov-Smirnov D", f"{one['distance']:.3f}, p = {one['p']:.2g}", ""),
        (
            f"smallest Kolmogorov-Smirnov p of the {found['places']} places with a z-score, after Holm's correction",
            f"{found['least p of a place']:.2g}",
            "",
        ),
    ]
    text = (
        f"On {found['date']}, each chapter ran with {found['seeds']} other seeds: {found['runs']:,} runs, "
        f"{found['comparisons']:,} comparisons, {found['z']:,} z-scores.\n\n"
        "| quantity | found | expected |\n|---|--:|--:|\n"
        + "\n".join(f"| {what} | {value} | {expected} |" for what, value, expected in rows)
        + "\n\n: All chapters with other seeds. {#tbl-sweep}"
    )
    if found["departing places"]:
        text += "\n\nThe distribution of z is not normal at: " + "; ".join(found["departing places"]) + "."
    old = [
        path for path in paths if found["fingerprints"].get(path.stem) != record.get(path.stem, {}).get("fingerprint")
    ]
    if old:
        names = ", ".join(f"@{label(nbformat.read(path, as_version=4))}" for path in old)
        text += f"\n\nSince then, code, helpers or versions have changed for {names}."
    return text


def mutants(found: dict[str, Any] | None) -> str:
    """The results of `make mutants`."""
    if found is None:
        return "`make mutants` has not been run yet."
    text = (
        f"On {found['date']}, {found['caught']} of {found['total']} deliberate faults made the unit tests fail. "
        f"A chapter that shows the affected number was run with a fault {found['chapters_total']} times, and it failed "
        f"{found['chapters_caught']} times."
    )
    survivors = [f"- {one['fault']} (`{one['file']}`): {', '.join(one['green'])}" for one in found["survivors"]]
    return text + ("\n\nThese did not fail:\n\n" + "\n".join(survivors) if survivors else "")


def page() -> str:
    """The appendix as it must be now."""

    def stored(name: str) -> dict[str, Any] | None:
        path = REPORTS / name
        return json.loads(path.read_text()) if path.exists() else None

    paths, record = chapters(), recorded()
    parts = {
        "executions": executions(paths, record),
        "sweep": sweep(stored("sweep.json"), paths, record),
        "mutants": mutants(stored("mutants.json")),
    }
    return fill(PAGE.read_text(), parts)


if __name__ == "__main__":
    replace(PAGE, page())
    sys.exit()

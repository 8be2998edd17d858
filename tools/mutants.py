"""Put each fault of tests/mutants.toml into a copy of the project, where its tests and its chapters must then fail.

usage: python -m tools.mutants [--jobs N] [--only TEXT] [--tests-only]

Everything must first be green without a fault, or no result counts. Results are kept in build/mutants.json with a hash
of all that they depend on, so an interrupted run continues where it was, and a changed test is run again. A whole run
writes reports/mutants.json.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tools.execute import bare

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "_book*", "build")
TIMEOUT = 600
# Without plugins that are not needed: nbval and that of hypothesis take longer to start than most of the tests.
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
FOR_TESTS = ["--noconftest", "-p", "pytester", "-p", "no:nbval", "-p", "no:nbval_tolerance", "-o", "addopts="]


class MutantError(Exception):
    """An error in the catalogue, the baseline or a run, so the result says nothing about the tests."""


@dataclass(frozen=True)
class Mutant:
    """A fault, `new` in place of `old` in `file`. `chapters` are starts of names; `unshown` says why there are none."""

    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    chapters: tuple[str, ...] = ()
    unshown: str = ""

    def applied(self, source: str) -> str:
        """The source with the fault; MutantError unless it contains `old` exactly once."""
        if source.count(self.old) != 1:
            raise MutantError(f"{self.file}: {self.old!r} is found {source.count(self.old)} times, not once")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Run:
    """A run of pytest on `targets`, in a copy with the fault of `mutant`, or without one."""

    targets: tuple[str, ...]
    mutant: Mutant | None = None


def catalogue(root: Path = ROOT) -> list[Mutant]:
    """The faults of tests/mutants.toml; MutantError for an entry that is not of the form described there."""
    mutants = []
    for entry in tomllib.loads((root / "tests" / "mutants.toml").read_text(encoding="utf-8"))["mutant"]:
        lists = {key: tuple(entry.get(key, ())) for key in ("tests", "chapters")}
        try:
            mutant = Mutant(**entry | lists)
        except TypeError as error:
            raise MutantError(f"{entry.get('fault', entry)}: {error}") from None
        if not mutant.tests or bool(mutant.chapters) == bool(mutant.unshown):
            raise MutantError(f"{mutant.fault}: needs tests, and either chapters or `unshown`")
        mutants.append(mutant)
    return mutants


def chapter(root: Path, prefix: str) -> str:
    """The notebook whose name starts with `prefix`, as pytest wants it."""
    found = sorted((root / "chapters").glob(f"{prefix}*.ipynb"))
    if len(found) != 1:
        raise MutantError(f"chapter {prefix!r} must be the start of one notebook's name, found {len(found)}")
    return f"chapters/{found[0].name}"


def of_tests(mutant: Mutant) -> Run:
    return Run(mutant.tests, mutant)


def of_chapters(root: Path, mutant: Mutant) -> list[Run]:
    return [Run((chapter(root, prefix),), mutant) for prefix in mutant.chapters]


def without_fault(runs: Iterable[Run]) -> list[Run]:
    """All targets of `runs` without a fault, each once, one run per file."""
    by_file: dict[str, dict[str, None]] = {}
    for run in runs:
        for target in run.targets:
            by_file.setdefault(target.partition("::")[0], {})[target] = None
    return [Run(tuple(targets)) for targets in by_file.values()]


@cache
def content(path: Path, text: str) -> str:
    """What a run depends on in a file: neither docstrings and comments nor the words of a chapter."""
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        return json.dumps([[bare("".join(cell["source"])), cell["outputs"], cell["metadata"]] for cell in cells])
    return bare(text) if path.suffix == ".py" else text


def key(root: Path, run: Run) -> str:
    """A hash of what the result of a run depends on."""
    files = {
        *root.glob("helpers/**/*.py"),
        *root.glob("nbval-tolerance/src/*/*.py"),
        *(path for path in root.glob("tests/**/*.py") if not path.name.startswith("test_")),
    }
    files |= {root / "conftest.py", root / "pyproject.toml", *(root / t.partition("::")[0] for t in run.targets)}
    files |= {root / run.mutant.file} if run.mutant else set()
    contents = [(p.name, content(p, p.read_text(encoding="utf-8"))) for p in sorted(files) if p.exists()]
    fault = [run.mutant.file, run.mutant.old, run.mutant.new] if run.mutant else []
    return hashlib.sha256(json.dumps([run.targets, fault, contents]).encode()).hexdigest()[:16]


@contextmanager
def copied(root: Path, mutant: Mutant | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / "book"
        shutil.copytree(root, copy, ignore=NOT_COPIED)
        if mutant:
            path = copy / mutant.file
            path.write_text(mutant.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
        yield copy


def first_red(root: Path, run: Run) -> str:
    """The first test or cell that fails in a fresh copy, or "" if none does; MutantError for a run that breaks."""
    with copied(root, run.mutant) as copy:
        environment = os.environ | {
            # Both come before the editable installations, for kernels as well.
            "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "nbval-tolerance" / "src")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "BOOK_SEED": "0",
        }
        options = [] if run.targets[0].startswith("chapters/") else FOR_TESTS
        command = [*PYTEST, *options, *run.targets]
        name = run.mutant.fault if run.mutant else "without a fault"
        try:
            done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise MutantError(f"{name}: over {TIMEOUT} s in {', '.join(run.targets)}") from None
    if done.returncode == 0:
        return ""
    red = re.search(r"^FAILED (.+?)(?: - .*)?$", done.stdout, flags=re.M)
    if done.returncode != 1 or not red:
        raise MutantError(f"{name}: {', '.join(run.targets)} broke\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return red[1]


def check_that_copies_are_used(root: Path) -> None:
    """MutantError if a kernel that is started in a copy would import the helpers of the original."""
    with copied(root, None) as copy:
        code = "import helpers, pathlib; print(pathlib.Path(helpers.__file__).resolve().parents[1])"
        environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=copy / "chapters", env=environment, capture_output=True, text=True)
        if done.stdout.strip() != str(copy.resolve()):
            raise MutantError(f"the helpers of a copy are not what it imports\n{done.stdout}{done.stderr}")


class Results:
    """The results so far, by a hash of what they depend on, kept in a file."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root, self.path = root, path
        self.kept: dict[str, str] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def __getitem__(self, run: Run) -> str:
        return self.kept[key(self.root, run)]

    def complete(self, runs: Iterable[Run], jobs: int, what: str) -> None:
        """Do the runs without a result, `jobs` at a time; MutantError if one breaks, after the others have ended."""
        runs = list(runs)
        todo = {key(self.root, run): run for run in runs}
        todo = {k: run for k, run in todo.items() if k not in self.kept}
        broken = []
        with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(runs), initial=len(runs) - len(todo), desc=what) as bar:
            futures = {pool.submit(first_red, self.root, run): k for k, run in todo.items()}
            try:
                for future in as_completed(futures):
                    bar.update()
                    try:
                        self.kept[futures[future]] = future.result()
                    except MutantError as error:
                        broken.append(str(error))
                    self._store()
            finally:
                pool.shutdown(cancel_futures=True)
        if broken:
            raise MutantError("\n".join(broken))

    def _store(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.kept, indent=1))
        os.replace(new, self.path)


def judge(mutants: list[Mutant], root: Path, jobs: int, tests_only: bool) -> dict[str, Any]:
    """Do the remaining runs, and return the report of how many faults were seen, and which were not."""
    kept = root / "build" / "mutants.json"
    with copied(root, None) as root:  # because work on the project must not disturb the run
        check_that_copies_are_used(root)
        results = Results(root, kept)
        tests = [of_tests(mutant) for mutant in mutants]
        shown = [] if tests_only else [run for mutant in mutants for run in of_chapters(root, mutant)]
        clean = without_fault([*tests, *shown])
        results.complete(clean, jobs, "without a fault")
        red = [results[run] for run in clean if results[run]]
        if red:
            raise MutantError("red without a fault, so nothing counts:\n" + "\n".join(red))
        results.complete(tests, jobs, "tests")
        results.complete(shown, jobs, "chapters")
        entries = []
        for mutant, run in zip(mutants, tests, strict=True):
            cells = {r.targets[0].removeprefix("chapters/"): results[r] for r in shown if r.mutant is mutant}
            entries.append({"fault": mutant.fault, "file": mutant.file, "test": results[run], "chapters": cells})
        digest = hashlib.sha256("".join(key(root, run) for run in [*tests, *shown]).encode()).hexdigest()
    return report(entries, digest[:16])


def report(entries: list[dict[str, Any]], fingerprint: str) -> dict[str, Any]:
    """The scores and the survivors. A chapter counts once for each fault it shows."""
    cells = [cell for entry in entries for cell in entry["chapters"].values()]
    survivors = [
        {"fault": entry["fault"], "file": entry["file"], "green": green}
        for entry in entries
        if (green := [*([] if entry["test"] else ["tests"]), *(c for c, red in entry["chapters"].items() if not red)])
    ]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "caught": sum(bool(entry["test"]) for entry in entries),
        "total": len(entries),
        "chapters_caught": sum(map(bool, cells)),
        "chapters_total": len(cells),
        "survivors": survivors,
        "fingerprint": fingerprint,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "numpy")}},
    }


def score(found: dict[str, Any]) -> str:
    """The report in a few lines."""
    lines = [f"still green: {s['fault']} ({s['file']}): {', '.join(s['green'])}" for s in found["survivors"]]
    lines.append(f"{found['caught']} of {found['total']} faults turn the unit tests red")
    if found["chapters_total"]:
        lines.append(f"{found['chapters_caught']} of {found['chapters_total']} chapters that show a fault turn red")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="only faults that have this in their words or their file")
    parser.add_argument("--tests-only", action="store_true", help="leave the chapters out")
    arguments = parser.parse_args()
    try:
        mutants = [m for m in catalogue() if arguments.only in f"{m.fault} {m.file}"]
        found = judge(mutants, ROOT, arguments.jobs, arguments.tests_only)
    except MutantError as error:
        print(error, file=sys.stderr)
        return 1
    if not arguments.only and not arguments.tests_only:
        path = ROOT / "reports" / "mutants.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(score(found))
    return bool(found["survivors"])


if __name__ == "__main__":
    sys.exit(main())

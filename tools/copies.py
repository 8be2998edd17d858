"""Run readers' copies of the chapters, each in an empty folder of its own: `make copies` (CHAPTER=13 for one).

The copies are those of the rendered book. Each must run from top to bottom with nothing but the installed package.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tools.running import ChapterError, run

ROOT = Path(__file__).resolve().parent.parent


def run_copy(copy: Path, seed: int) -> float:
    """Run `copy` in an empty folder, and return the seconds it took; ChapterError if a cell fails."""
    with tempfile.TemporaryDirectory(prefix="copy-") as folder:
        _, seconds = run(Path(shutil.copy(copy, folder)), seed)
    return seconds


def main() -> int:
    """Run the requested copies; the exit status says whether all of them ran."""
    parser = argparse.ArgumentParser(prog="python -m tools.copies", description=__doc__)
    parser.add_argument("--chapter", default="", help="the start of a notebook's name")
    parser.add_argument("--book", type=Path, default=ROOT / "_book", help="folder of the rendered book")
    arguments = parser.parse_args()
    copies = sorted(arguments.book.glob(f"chapters/{arguments.chapter}*.ipynb"))
    if not copies:
        print(f"no copies in {arguments.book}/chapters: run `make book` first", file=sys.stderr)
        return 1
    failed = 0
    for copy in copies:
        try:
            print(f"{copy.name}: ran in {run_copy(copy, seed=1):.0f} s", flush=True)
        except ChapterError as error:
            failed += 1
            print(error, file=sys.stderr)
    print(f"{len(copies) - failed} of {len(copies)} copies ran in a folder of their own")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

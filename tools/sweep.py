"""Run every chapter under nbval with other seeds; each must agree with the stored outputs.

usage: python -m tools.sweep [--seeds N] [--jobs N]
"""

import argparse
import os
import re
import subprocess
import sys

from tqdm import tqdm

from tools.execute import ROOT


def sweep(seed: int, jobs: int) -> list[str]:
    """The cells that disagree with the stored outputs under this seed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "chapters",
        "-q",
        "-n",
        str(jobs),
        "--dist",
        "loadscope",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "BOOK_SEED": str(seed)}, capture_output=True, text=True
    )
    failed = re.findall(r"^FAILED (\S+::Cell \d+)", result.stdout, flags=re.M)
    if result.returncode and not failed:
        raise SystemExit(f"seed {seed}: the run broke\n{result.stdout}{result.stderr}")
    reasons = re.findall(r"^  (stored .*|z = .*|.*words around.*)$", result.stdout, flags=re.M)
    return [f"seed {seed}: {cell}" for cell in failed] + [f"    {reason}" for reason in reasons]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        raise SystemExit(f"SEEDS must be >= 1, got {arguments.seeds}")
    failures = []
    for seed in tqdm(range(1, arguments.seeds + 1), desc="sweep", unit="seed"):
        failures += sweep(seed, arguments.jobs)
    print("\n".join(failures) or f"all chapters agree with {arguments.seeds} other seeds")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())

"""Write requirements.lock with the exact versions that pip installs today for pyproject.toml on the oldest Python.

usage: python3.11 tools/lock.py     (any release of the oldest supported minor version)

The oldest release decides, because a package may ask for a later one (soupsieve 4.1.2 wants 3.11.5, for example), and
what the oldest can install, newer ones can too. There are no hashes, because the CPU build of PyTorch, which
CI and many readers install, is another file of the same version.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("lab", "test", "render", "browser", "cluster")
TORCH = "torch==2.13.0"
HEAD = f"""\
# What `make` installs with pip. Written by `make lock` from pyproject.toml (extras {", ".join(EXTRAS)}); do not edit.
"""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=")
    if not sys.version.startswith(f"{oldest}."):
        sys.exit(f"lock: run it with Python {oldest}, whose markers count; this is {sys.version.split()[0]}")
    wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--target", folder]
        command += ["--python-version", f"{oldest}.0", "--only-binary=:all:", "--report", str(report), TORCH, *wanted]
        subprocess.run(command, check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    lines = sorted((f"{_name(item['name'])}=={item['version'].split('+')[0]}" for item in found), key=str.lower)
    (ROOT / "requirements.lock").write_text(HEAD + "\n".join(lines) + "\n")
    print(f"requirements.lock: {len(lines)} packages")


def _name(given: str) -> str:
    """The normalised name, because the file must not depend on how an author spells it."""
    return re.sub(r"[-_.]+", "-", given).lower()


if __name__ == "__main__":
    main()

"""Write requirements.lock: what pip installs today for pyproject.toml, in a fresh environment, as exact versions.

No hashes: the CPU build of PyTorch, which CI and many readers install, is another file of the same version.
"""

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("lab", "test", "render", "browser", "cluster")
TORCH = "torch==2.13.0"
HEAD = f"""\
# What `make` installs with pip. Written by `make lock` from pyproject.toml (extras {", ".join(EXTRAS)}); do not edit.
"""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        frozen = subprocess.run(
            [python, "-m", "pip", "freeze", "--all", "--exclude", "pip"], check=True, capture_output=True, text=True
        ).stdout
    lines = sorted((line.split("+")[0] for line in frozen.splitlines()), key=str.lower)
    (ROOT / "requirements.lock").write_text(HEAD + "\n".join(lines) + "\n")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    sys.exit(main())

"""Bring the virtual environment `.venv` up to date with requirements.lock and pyproject.toml.

usage: python tools/setup.py        (any Python, even Python 2: one line says what is missing)

`.venv/ready` holds a hash of what the environment was made from. It is removed before the first change and written
after the last, so a set-up that failed or was interrupted is not mistaken for a finished one.
"""

from __future__ import print_function

import hashlib
import io
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
READY = os.path.join(VENV, "ready")

# What a failed step printed -> why it failed. The first match counts, because without a network pip also reports that
# it found no version.
REASONS = (
    (r"No space left on device|Errno 28|Disk quota exceeded", "the disk is full; .venv takes about 2 GB"),
    (r"Read-only file system|Errno 30|Permission denied|Errno 13", "this folder is not writable"),
    (
        r"NewConnectionError|NameResolutionError|Temporary failure in name|ConnectTimeout|ReadTimeout|ProxyError"
        r"|SSLError|Connection refused|Connection reset|Could not fetch URL",
        "the package index cannot be reached; check your connection and run make again",
    ),
    (
        r"No matching distribution found for (?P<package>[^\s;(]+)",
        "the package index has no {package} for Python {python}; choose another one with make PYTHON=python3.12",
    ),
)


def reason(printed):
    """Why a step of the set-up failed, from what it printed, in one line."""
    for pattern, why in REASONS:
        found = re.search(pattern, printed)
        if found:
            python = ".".join(map(str, sys.version_info[:3]))
            return why.format(python=python, **found.groupdict())
    return "this step failed, and what it printed above says why"


def wanted():
    """What `.venv/ready` must hold."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.lock", "pyproject.toml", "nbval-tolerance/pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def found():
    """What `.venv/ready` holds, if the environment works."""
    try:
        with open(READY) as file:
            ready = file.read().strip()
    except (IOError, OSError):
        return None
    return ready if works("pip") else None


def works(*modules):
    """Whether the environment's Python starts and has these modules."""
    command = [PYTHON, "-c", "import " + ", ".join(("sys",) + modules)]
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def run(command):
    """Run a step of the set-up and show what it prints; if it fails, exit with one line that says why."""
    printed = []
    try:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in io.TextIOWrapper(process.stdout, errors="replace"):
            printed.append(line)
            print(line, end="")
            sys.stdout.flush()
        failed = process.wait() != 0
    except KeyboardInterrupt:
        sys.exit("set-up: interrupted; run make again to continue")
    if failed:
        sys.exit("set-up: " + reason("".join(printed)))


def main():
    if sys.version_info < (3, 11):
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            "set-up: Python 3.11 or newer is needed, but this is %s; choose one with make PYTHON=python3.12" % version
        )
    if found() == wanted():
        os.utime(READY)
        return
    if not has_venv():
        package = "python%d.%d-venv" % sys.version_info[:2]
        sys.exit("set-up: Python's venv module is missing; install it (Debian and Ubuntu: apt install %s)" % package)
    if os.path.exists(READY):
        os.remove(READY)
    print("set-up: installing the packages of requirements.lock into .venv (once; several minutes)")
    sys.stdout.flush()
    if not works("pip"):
        run([sys.executable, "-m", "venv", "--clear", VENV])
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    run(pip + ["-r", "requirements.lock"])
    own = ["--editable", ".", "--editable", "./nbval-tolerance"]
    run(pip + ["--quiet", "--no-deps", "--no-build-isolation"] + own)
    with open(READY, "w") as file:
        file.write(wanted() + "\n")
    print("set-up: done")


def has_venv():
    """Whether this Python can make virtual environments (Debian splits that off)."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()

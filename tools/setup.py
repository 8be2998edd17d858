"""Bring the virtual environment `.venv` up to date with requirements.lock and pyproject.toml.

usage: python tools/setup.py        (any Python: it says in one line what is missing)

`.venv/ready` holds a hash of what the environment was made from. It is removed before the first change and written
after the last, so that a set-up that failed or was interrupted is not taken for finished.
"""

import hashlib
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
READY = os.path.join(VENV, "ready")


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
    except OSError:
        return None
    return ready if works("pip") else None


def works(*modules):
    """Whether the environment's Python starts and has these modules."""
    command = [PYTHON, "-c", "import " + ", ".join(("sys", *modules))]
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def run(command, remedy):
    """Run a step of the set-up; end with one line that says what to do where it fails."""
    try:
        failed = subprocess.run(command, cwd=ROOT).returncode != 0
    except KeyboardInterrupt:
        sys.exit("set-up: interrupted; call make again to go on")
    if failed:
        sys.exit("set-up: " + remedy)


def main():
    if sys.version_info < (3, 11):
        version = ".".join(map(str, sys.version_info[:3]))
        sys.exit("set-up: Python 3.11 or newer is needed, this is %s; name one: make PYTHON=python3.12" % version)
    if found() == wanted():
        os.utime(READY)
        return
    if not has_venv():
        package = "python%d.%d-venv" % sys.version_info[:2]
        sys.exit("set-up: Python's venv module is missing; install it (Debian and Ubuntu: apt install %s)" % package)
    if os.path.exists(READY):
        os.remove(READY)
    print("set-up: installing the packages of requirements.lock into .venv (once; several minutes)", flush=True)
    if not works("pip"):
        run([sys.executable, "-m", "venv", "--clear", VENV], "could not make .venv; is the disk full or read-only?")
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    remedy = "pip failed (its reason stands above); if the package index is out of reach, connect and call make again"
    run([*pip, "-r", "requirements.lock"], remedy)
    own = ["--editable", ".", "--editable", "./nbval-tolerance"]
    run([*pip, "--quiet", "--no-deps", "--no-build-isolation", *own], remedy)
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

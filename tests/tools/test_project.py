"""The files around the book agree with one another."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import helpers
from render.book import READERS_BRANCH

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
WORKFLOW = (ROOT / ".github/workflows/book.yml").read_text()
LOCKED = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), flags=re.M)
}
# pip's name -> conda-forge's name, where they differ
CONDA_NAMES = {"torch": "pytorch", "graphviz": "python-graphviz"}


def requirements(*extras: str) -> list[Requirement]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    "requirement", requirements("lab", "test", "render", "browser", "cluster"), ids=lambda requirement: requirement.name
)
def test_the_lock_holds_each_dependency_at_a_version_in_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(LOCKED[canonicalize_name(requirement.name)])


def test_the_lock_pins_torch_without_a_local_version() -> None:
    assert LOCKED["torch"] == "2.13.0"
    assert not [version for version in LOCKED.values() if "+" in version or "/" in version]


def test_conda_has_the_channel_and_each_dependency_in_the_same_range() -> None:
    assert [channel for channel in ENVIRONMENT["channels"] if channel != "nodefaults"] == ["conda-forge"]
    conda = {Requirement(line).name: Requirement(line) for line in ENVIRONMENT["dependencies"] if isinstance(line, str)}
    by_pip = next(line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict))
    assert {"-e .", "-e ./nbval-tolerance"} <= set(by_pip)
    for requirement in requirements("lab", "test", "cluster"):
        if requirement.name == "torchviz":
            assert str(requirement) in by_pip
            continue
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        assert conda[name].specifier == requirement.specifier, name
    assert str(conda["python"].specifier) == PROJECT["requires-python"]
    assert {"quarto", "graphviz", "jupyterlab", "pip"} <= conda.keys()


def test_the_quarto_extra_and_conda_name_the_same_oldest_quarto() -> None:
    (extra,) = (Requirement(line) for line in PROJECT["optional-dependencies"]["quarto"])
    assert extra.name == "quarto-cli"
    assert f"quarto{extra.specifier}" in ENVIRONMENT["dependencies"]


def test_the_citation_has_the_version_of_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"] == helpers.__version__
    assert citation["cff-version"] == "1.2.0"
    book = yaml.safe_load((ROOT / "_quarto.yml").read_text())["book"]
    assert str(citation["date-released"]) == book["date"]
    assert [author["name"] for author in citation["authors"]] == [book["author"]]
    quoted = (ROOT / "index.qmd").read_text()
    entry = dict(re.findall(r"^  (\w+) += \{\{?(.*?)\}?\},?$", quoted, flags=re.M))
    assert entry["author"] == book["author"]
    assert entry["year"] == book["date"][:4]
    assert entry["note"].endswith(f"version {citation['version']}")


def test_the_first_page_has_a_card_with_its_title_for_every_chapter_in_order() -> None:
    book = yaml.safe_load((ROOT / "_quarto.yml").read_text())["book"]
    parts = [part for part in book["chapters"] if isinstance(part, dict)]
    titles = {}
    for source in (source for part in parts for source in part["chapters"]):
        first = "".join(json.loads((ROOT / source).read_text())["cells"][0]["source"])
        titles[source] = re.match(r"# (.*) \{#", first)[1]
    chapters = (ROOT / "index.qmd").read_text().partition("## A map")[2].partition("\n## ")[0]
    cards = re.findall(r"^- \[(.*)\]\((.*)\)\\\n  \S", chapters, flags=re.M)
    assert [(title, source) for source, title in titles.items()] == cards
    assert re.findall(r"^\*\*(.*)\*\*$", chapters, flags=re.M) == [part["part"] for part in parts]


def test_the_workflow_is_sound() -> None:
    workflow = yaml.safe_load(WORKFLOW)
    jobs = workflow["jobs"]
    assert set(workflow[True]) == {"push", "pull_request", "schedule", "workflow_dispatch"}  # YAML reads `on` as true
    for name, job in jobs.items():
        assert job["runs-on"], name
        assert all(("uses" in step) != ("run" in step) for step in job["steps"]), name
        assert set([job.get("needs", [])] if isinstance(job.get("needs"), str) else job.get("needs", [])) <= jobs.keys()
    bounds = dict(line.split(">=") for line in PROJECT["dependencies"] if line.startswith(("torch>", "numpy>")))
    versions = {run["name"]: run["versions"] for run in jobs["test"]["strategy"]["matrix"]["include"]}
    assert versions["oldest"] == f"torch=={bounds['torch']}.* numpy=={bounds['numpy']}.*"
    assert versions["newest"] == "torch numpy"
    assert "OMP_NUM_THREADS=2" in WORKFLOW
    pythons = {run["name"]: run["python"] for run in jobs["test"]["strategy"]["matrix"]["include"]}
    assert pythons["locked"] == pythons["oldest"] == f"{PROJECT['requires-python'].removeprefix('>=')}.0"
    assert "WARN" in WORKFLOW  # of an unresolved reference, among others


def test_the_branch_of_the_readers_copies_has_what_binder_needs_and_no_history(tmp_path: Path) -> None:
    """The step of the workflow, with a folder in the place of the repository's address."""
    job = yaml.safe_load(WORKFLOW)["jobs"]["publish"]
    (step,) = (step for step in job["steps"] if "git push" in step.get("run", ""))
    assert job["permissions"]["contents"] == "write"
    remote, work, temp = (tmp_path / name for name in ("remote", "work", "temp"))
    for name in (
        "work/.github/a.yml",
        "work/chapters/01-a.ipynb",
        "work/environment.yml",
        "temp/pages/chapters/01-a.html",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (work / ".gitignore").write_text("/notebooks/")
    (temp / "pages/chapters/01-a.ipynb").write_text("a copy")
    address = "https://x-access-token:secret@github.com/someone/book"
    redirected = {"COUNT": "1", "KEY_0": f"url.{remote}.insteadOf", "VALUE_0": address}
    environ = os.environ | {f"GIT_CONFIG_{key}": value for key, value in redirected.items()}
    environ |= {"RUNNER_TEMP": str(temp), "TOKEN": "secret", "GITHUB_REPOSITORY": "someone/book"}

    def run(script: str) -> str:
        command = ["bash", "-e", "-c", script]
        return subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True, check=True).stdout

    run("tar --create --file ../temp/artifact.tar --directory ../temp/pages .; git init --bare ../remote; git init")
    for commit in ("abc", "def"):
        run(f"export GITHUB_SHA={commit}; rm -rf notebooks; git add --all; {step['run']}")
    assert run(f"git --git-dir ../remote ls-tree -r --name-only {READERS_BRANCH}").split() == (
        f".gitignore chapters/01-a.ipynb environment.yml {READERS_BRANCH}/01-a.ipynb".split()
    )
    assert run(f"git --git-dir ../remote show {READERS_BRANCH}:{READERS_BRANCH}/01-a.ipynb") == "a copy"
    assert run(f"git --git-dir ../remote log --format=%s {READERS_BRANCH}") == "Readers' copies of def\n"


def test_make_alone_prints_each_verb() -> None:
    printed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    verbs = set(re.findall(r"^make (\w+)", printed, flags=re.M))
    assert verbs >= {"book", "test", "execute", "sweep", "lab", "preview", "lint", "bench", "clean"}
    readme = (ROOT / "README.md").read_text()
    assert all(f"make {verb}" in readme for verb in verbs - {"help", "lock"})


@pytest.mark.parametrize("verb", ["book", "test"])
def test_the_conda_environment_is_used_where_it_is_active(verb: str) -> None:
    environ = {**os.environ, "CONDA_DEFAULT_ENV": ENVIRONMENT["name"]}
    printed = subprocess.run(["make", "-n", verb], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert ".venv" not in printed.stdout


def test_set_up_says_which_python_is_too_old(tmp_path: Path) -> None:
    script = str(ROOT / "tools/setup.py")
    code = f"import sys, runpy; sys.version_info = (3, 9, 2); runpy.run_path({script!r}, run_name='__main__')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.strip() == (
        "set-up: Python 3.11 or newer is needed, but this is 3.9.2; choose one with make PYTHON=python3.12"
    )


# What pip prints, shortened, where a set-up fails.
OFFLINE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/torch/\n"
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
    "ERROR: No matching distribution found for torch==2.13.0"
)


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (OFFLINE, "the package index cannot be reached"),
        (OFFLINE.split("\n", 1)[1], "the package index has no torch==2.13.0 for Python 3.11"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Error: [Errno 30] Read-only file system: '.venv'", "this folder is not writable"),
        ("error: subprocess-exited-with-error", "this step failed, and what it printed above says why"),
    ],
)
def test_the_last_line_of_a_failed_set_up_names_the_reason(printed: str, why: str, tmp_path: Path) -> None:
    """A step that prints this and fails, run by the set-up as it runs pip."""
    code = (
        f"import sys, runpy; sys.version_info = (3, 11, 0); setup = runpy.run_path({str(ROOT / 'tools/setup.py')!r})\n"
        f"setup['run']([sys.executable, '-c', {f'print({printed!r}); raise SystemExit(1)'!r}])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout.strip() == printed
    assert result.stderr.startswith(f"set-up: {why}")
    assert result.stderr.count("\n") == 1


def test_python_2_can_read_the_set_up() -> None:
    """An old Python must get far enough to say that it is too old; lib2to3's grammar went with Python 3.13."""
    source = (ROOT / "tools/setup.py").read_text()
    assert source.isascii()
    assert "from __future__ import print_function" in source
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.JoinedStr | ast.Starred | ast.AnnAssign | ast.NamedExpr | ast.AsyncFunctionDef)
        assert not isinstance(node, ast.Raise) or node.cause is None


def test_one_chapter_can_be_tested_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    def make(chapter: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "--no-print-directory", "-n", "test", f"CHAPTER={chapter}"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert make("04").stdout.rstrip().endswith("chapters/04-pytorch.ipynb")
    assert "CHAPTER must be the start of a notebook's name in chapters/, got 77" in make("77").stderr


def test_nothing_names_a_machine_or_a_registry() -> None:
    """Paths and hosts that hold on one machine only have no place in the repository."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/(?:home|root|work|Users)/\w|pypi\.org/simple|files\.pythonhosted|registry\.npmjs")
    own = Path(__file__).relative_to(ROOT).as_posix()
    for name in tracked:
        path = ROOT / name
        if (
            name != own
            and path.is_file()
            and path.suffix in {".py", ".ipynb", ".qmd", ".md", ".yml", ".toml", ".lock", ".json"}
        ):
            found = pattern.search(path.read_text())
            assert not found, f"{name}: {found[0] if found else ''}"


def test_each_file_that_the_documentation_names_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.qmd"), *(ROOT / "appendices").glob("*.qmd")]
    folders = "appendices|assets|benchmarks|chapters|helpers|nbval-tolerance|render|reports|tests|tools"
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert {(page, path) for page, path in named if not (ROOT / path).exists()} == set()

"""For every test run, of `tests/` and of `chapters/` alike: no progress bars, and comparisons are counted."""

import os
import sys
from collections import Counter
from typing import Any

import pytest

pytest_plugins = ["pytester"]

os.environ["TQDM_DISABLE"] = "1"  # progress bars write to standard error, which differs at each run

by_workers: Counter[str] = Counter()  # of tests.support.statistical, in the workers of pytest-xdist


def _made_here() -> Counter[str]:
    statistics = sys.modules.get("tests.support.statistical")  # not imported for the chapters alone: that takes seconds
    return Counter(statistics.made, alarms=statistics.alarms_expected(statistics.made)) if statistics else Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands on what it counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["made"] = dict(_made_here())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The controller adds up what a worker counted."""
    by_workers.update(getattr(node, "workeroutput", {}).get("made", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often such a run goes red by chance."""
    if made := _made_here() + by_workers:
        counts = f"{made['means']:,} means and {made['laws']:,} laws were compared"
        terminalreporter.write_line(f"{counts}: one such run in {1 / made['alarms']:,.0f} goes red by chance")

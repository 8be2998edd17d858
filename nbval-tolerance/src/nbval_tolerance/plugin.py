"""The pytest plugin: nbval runs the notebooks, and this compares what they print."""

import time
from collections.abc import Generator
from dataclasses import fields
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from nbval_tolerance.outputs import compare, report
from nbval_tolerance.rule import DEFAULT, Tolerance

NONFINITE_TAG = "shows-nonfinite"
POLL = 1.0  # seconds between two looks at whether the kernel lives
TOLERANCE = pytest.StashKey[Tolerance]()
MEANING = {
    "sigmas": "combined standard errors that two estimates may be apart, and a z score from 0",
    "factor": "factor between two standard errors that is allowed",
    "relative": "relative difference allowed between values whose standard error is 0",
    "rough_factor": "factor allowed between two figures after ≈",
}


class KernelDiedError(Exception):
    """The kernel of a notebook ended while a cell was running."""


class TolerantFile(IPyNbFile):
    """A notebook, whose cells are compared within a tolerance and whose kernel is watched."""

    died_in: int | None = None

    def collect(self) -> Generator["TolerantCell"]:
        """The code cells, as nbval finds them."""
        for cell in super().collect():
            yield TolerantCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )

    def setup(self) -> None:
        """Start the kernel; from then on, waiting for a message ends when the kernel has died."""
        super().setup()
        wait = self.kernel.get_message

        def get_message(stream: str, timeout: float | None = None) -> Any:
            end = time.monotonic() + (float("inf") if timeout is None else timeout)
            while True:
                alive = self.kernel.is_alive()
                try:
                    return wait(stream, timeout=max(0.0, min(POLL, end - time.monotonic())))
                except Empty:
                    if not alive:
                        raise KernelDiedError from None
                    if time.monotonic() >= end:
                        raise

        self.kernel.get_message = get_message


class TolerantCell(IPyNbCell):
    """A cell of a notebook that is compared within a tolerance."""

    clear_before_next = False

    def setup(self) -> None:
        """Skip the cells after one in which the kernel died."""
        super().setup()
        if self.parent.died_in is not None:
            pytest.skip(f"the kernel died in cell {self.parent.died_in}")

    def runtest(self) -> None:
        """Run the cell and compare its outputs; a cell in which the kernel dies fails."""
        receive = self.parent.get_kernel_message
        self.parent.get_kernel_message = lambda **options: self._noting_clear_output(receive(**options))
        try:
            super().runtest()
        except KernelDiedError:
            self.parent.died_in = self.cell_num
            self.parent.kernel.stop()
            self.raise_cell_error("The kernel died while this cell was running; the cells after it are skipped")
        finally:
            del self.parent.get_kernel_message

    def _noting_clear_output(self, message: Any) -> Any:
        """Forget the outputs so far where the cell has cleared them, as a notebook does."""
        kind = message["msg_type"]
        if kind == "clear_output":
            self.clear_before_next = message["content"]["wait"]
            if not self.clear_before_next:
                self.test_outputs.clear()
        elif self.clear_before_next and kind in ("stream", "display_data", "execute_result", "error"):
            self.test_outputs.clear()
            self.clear_before_next = False
        return message

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
        """Whether the fresh outputs confirm the stored ones, after nbval's sanitizers and without what it skips."""
        found = compare(
            ref,
            test,
            self.config.stash[TOLERANCE],
            nonfinite=NONFINITE_TAG in self.cell.metadata.get("tags", []),
            skip=skip_compare or self.parent.skip_compare,
            sanitize=self.sanitize,
        )
        self.comparison_traceback = [f"{self.path.name}, cell {self.cell_num}", report(found)] if found else []
        return not found


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    """Take the place of nbval's notebooks."""
    found = yield
    return [TolerantFile.from_parent(parent, path=file_path) if type(one) is IPyNbFile else one for one in found]


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option and a setting for each part of the tolerance."""
    group = parser.getgroup("nbval-tolerance", "nbval within standard errors")
    for field in fields(Tolerance):
        text = f"{MEANING[field.name]} (default: {field.default:g})"
        group.addoption(f"--tolerance-{field.name.replace('_', '-')}", type=float, help=text)
        parser.addini(f"tolerance_{field.name}", text)


def pytest_configure(config: pytest.Config) -> None:
    """Read the tolerance: the command line, else the settings, else the defaults."""
    chosen = {}
    for field in fields(Tolerance):
        option, setting = config.getoption(f"tolerance_{field.name}"), config.getini(f"tolerance_{field.name}")
        try:
            chosen[field.name] = option if option is not None else float(setting or getattr(DEFAULT, field.name))
        except ValueError:
            raise pytest.UsageError(f"tolerance_{field.name} must be a number, got {setting!r}") from None
    try:
        config.stash[TOLERANCE] = Tolerance(**chosen)
    except ValueError as error:
        raise pytest.UsageError(f"nbval-tolerance: {error}") from None

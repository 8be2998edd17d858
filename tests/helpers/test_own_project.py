"""The page "Use it in your own project": its programs run, and print what the text promises."""

import re
from pathlib import Path

import pytest
import torch

import helpers

PAGE = (Path(__file__).resolve().parents[2] / "appendices" / "your-own-project.qmd").read_text(encoding="utf-8")
TEN_LINES, TRAINING = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_ten_lines_print_estimates_next_to_the_exact_values(capsys: pytest.CaptureFixture[str]) -> None:
    exec(TEN_LINES, {})
    z = [float(text) for text in re.findall(r"z = ([+-][\d.]+)", capsys.readouterr().out)]
    assert len(z) == 4
    assert max(map(abs, z)) < 5
    lines = [line for line in TEN_LINES.splitlines() if line]
    assert len(lines) <= 10


def test_the_training_loop_learns() -> None:
    names: dict[str, object] = {}
    exec(TRAINING, names)
    torch.testing.assert_close(names["w"], torch.tensor([1.0, -2.0, 0.5]), atol=0.1, rtol=0)


def test_the_name_and_version_are_those_of_the_project() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{helpers.__version__}"' in project
    assert 'name = "gradients-of-expectations"' in project

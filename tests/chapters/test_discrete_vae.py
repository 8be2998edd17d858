"""The stored run of chapter 14: made from the chapter's present code, whole, and by code that compares what it says."""

import json
from typing import Any

import pytest
import torch

from benchmarks.discrete_vae import RATES, STORED, code_of, curves_of, fingerprint

NAMES = ["score function", "leave-one-out", "DisARM", "RELAX", "straight-through", "ReinMax"]


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return json.loads(STORED.read_text())


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    threads, names = torch.get_num_threads(), {}
    exec(code_of(), names)
    torch.set_num_threads(threads)
    return names


def test_it_comes_from_the_present_code(stored: dict[str, Any]) -> None:
    assert stored["code"] == fingerprint(code_of()), "run: python -m benchmarks.discrete_vae"


def test_it_is_whole(stored: dict[str, Any]) -> None:
    runs, steps = len(stored["seeds"]), len(stored["step"])
    assert runs >= 3
    assert list(stored["curves"]) == [str(rate) for rate in RATES]
    for each in stored["curves"].values():
        assert list(each) == NAMES
        for curve in each.values():
            for key in ("training", "held out"):
                assert torch.tensor(curve[key]).shape == (runs, steps)
                assert torch.tensor(curve[key]).isfinite().all()


def test_each_run_is_stored_at_its_place() -> None:
    def train(name: str, rate: float, steps: int, seed: int) -> list[tuple[int, float, float]]:
        value = 100 * ["a", "b"].index(name) + 10 * RATES.index(rate) + seed
        return [(0, value, -value), (steps, value + 0.5, -value - 0.5)]

    runs = []
    chapter = {"contestants": lambda: {"a": None, "b": None}, "train": train}
    steps, curves = curves_of(chapter, 7, 2, lambda: runs.append(1))
    assert steps == [0, 7]
    assert len(runs) == 8
    assert curves[str(RATES[1])]["b"]["training"] == [[110, 110.5], [111, 111.5]]
    assert curves[str(RATES[0])]["a"]["held out"] == [[0, -0.5], [-1, -1.5]]


def test_every_contestant_evaluates_f_twice(chapter: dict[str, Any]) -> None:
    assert list(chapter["contestants"]()) == NAMES
    phi, rows = torch.zeros(5, 32), []

    def f(y: torch.Tensor) -> torch.Tensor:
        rows.append(len(y))
        return y.sum(-1)

    for estimate, _ in chapter["contestants"]().values():
        rows.clear()
        assert estimate(f, phi, torch.Generator().manual_seed(0)).shape == phi.shape
        assert rows == [5, 5]


def test_the_decoder_sees_the_same_samples_under_every_method(
    chapter: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At rate 0 the model stays as it is, so the last samples of a step are equal if the random numbers are."""
    binary, seen = chapter["binary"], []
    monkeypatch.setitem(chapter, "binary", lambda phi, u: seen.append(binary(phi, u)) or seen[-1])
    last = {}
    for name in NAMES:
        chapter["train"](name, 0.0, 1, seed=0, every=10)
        last[name] = seen[-1]
    for name in NAMES:
        torch.testing.assert_close(last[name], last["DisARM"])


def test_training_raises_the_elbo(chapter: dict[str, Any]) -> None:
    (_, start, _), (_, end, _) = chapter["train"]("leave-one-out", 0.006, 60, seed=0, every=60)
    assert end > start + 5

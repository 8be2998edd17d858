"""The stored run of chapter 14: made from the chapter's present code, whole, and by code that measures what it says."""

import json
from typing import Any

import pytest
import torch

from benchmarks import discrete_vae
from benchmarks.discrete_vae import STORED, code_of, fingerprint, noise_and_bias

NAMES = ["score function", "leave-one-out", "ARM", "DisARM", "REBAR", "RELAX"]
BIASED = ["straight-through", "Gumbel-softmax", "ReinMax"]


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return json.loads(STORED.read_text())


def test_it_comes_from_the_present_code(stored: dict[str, Any]) -> None:
    assert stored["code"] == fingerprint(code_of()), "run: python -m benchmarks.discrete_vae"


def test_it_is_whole(stored: dict[str, Any]) -> None:
    runs, steps = len(stored["seeds"]), len(stored["step"])
    assert runs >= 5
    for part in ("curves", "gradients"):
        assert list(stored[part]) == NAMES + BIASED
    for curve in stored["curves"].values():
        for key in ("elbo", "seconds"):
            assert torch.tensor(curve[key]).shape == (runs, steps)
            assert torch.tensor(curve[key]).isfinite().all()
    assert all(len(numbers) == runs for found in stored["gradients"].values() for numbers in found.values())


def test_noise_and_bias_of_a_model_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient of ones with noise of variance 4, one estimator off by a half: in parts of the squared gradient."""
    monkeypatch.setattr(discrete_vae, "WARM_UP", 0)
    noisy = lambda offset: lambda generator: 1 + offset + 2 * torch.randn(100, 5, generator=generator)  # noqa: E731
    chapter = {
        "D": 5,
        "held_out": torch.zeros(100, 1),
        "train": lambda name, steps, seed: (None, []),
        "image_gradients": lambda vae, x, method, generator: method(generator),
        "disarm": noisy(0.0),
        "all_methods": lambda d: {"right": noisy(0.0), "wrong": noisy(0.5)},
    }
    found = noise_and_bias(chapter, 1, seed=0)
    for name, bias in (("right", 0.0), ("wrong", 0.25)):
        assert found[name]["variance"] == pytest.approx(4, rel=0.02)
        assert found[name]["squared bias"] == pytest.approx(bias, abs=0.02)

"""helpers.plots: colours that can be told apart and read on light and dark pages, and bars of the right height."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb
from scipy import stats

from helpers import Estimate, plots
from helpers.reparametrize import normal
from tests.support.statistical import generator

DARK = re.search(r"\$body-bg:\s*(#\w{6})", (Path(__file__).resolve().parents[2] / "assets" / "dark.scss").read_text())
GROUNDS = ["#ffffff", DARK[1] if DARK else ""]


@pytest.fixture(autouse=True)
def _no_window_and_no_trace() -> Iterator[None]:
    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    low, high = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


# what `invert(1) hue-rotate(180deg)` of the style sheet does to sRGB values (W3C, Filter Effects, section 13)
HUE_ROTATED = np.array([[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]])


def on_a_dark_page(colour: str) -> str:
    return to_hex(np.clip(HUE_ROTATED @ (1 - np.array(to_rgb(colour))), 0, 1))


def on(ground: str, colour: str) -> str:
    return on_a_dark_page(colour) if ground == DARK[1] else colour


def test_the_grounds_are_white_and_the_dark_theme_s() -> None:
    assert GROUNDS == ["#ffffff", "#14181e"]
    assert contrast("#ffffff", "#000000") == pytest.approx(21)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("colour", plots.PALETTE)
def test_curves_and_their_labels_can_be_read_on_the_page(colour: str, ground: str) -> None:
    assert contrast(on(ground, colour), ground) >= 4.5


@pytest.mark.parametrize("ground", GROUNDS)
def test_text_can_be_read_on_the_page(ground: str) -> None:
    assert contrast(on(ground, plots.INK), ground) >= 7


# how red-blind and green-blind eyes see linear RGB (Viénot, Brettel and Mollon 1999)
BLIND = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize(("one", "other"), list(combinations(plots.PALETTE, 2)))
def test_two_curves_differ_for_colour_blind_readers(one: str, other: str, kind: str) -> None:
    seen = [np.clip(np.array(BLIND[kind]) @ linear(colour), 0, 1) ** (1 / 2.2) for colour in (one, other)]
    with mpl.rc_context():
        plots.figure()
        styles = mpl.rcParams["axes.prop_cycle"].by_key()
    lines = dict(zip(styles["color"], styles["linestyle"], strict=True))
    assert lines[one] != lines[other]  # not by colour alone
    assert np.abs(seen[0] - seen[1]).max() > 0.08


def test_a_figure_is_opaque_and_as_wide_as_the_text() -> None:
    figure, ax = plots.figure(height=2)
    assert isinstance(ax, plt.Axes)
    assert figure.get_size_inches().tolist() == pytest.approx([plots.WIDTH, 2])
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert figure.dpi * plots.WIDTH == 720
    assert ax.title.get_fontname() == "Source Serif 4"
    assert to_rgb(ax.xaxis.label.get_color()) == to_rgb(plots.INK)
    _, axes = plots.figure(3, 2, height=2)
    assert axes.shape == (2, 3)
    assert plt.gcf().get_size_inches().tolist() == pytest.approx([plots.WIDTH, 4])


def test_text_is_legible_on_a_phone() -> None:
    figure, ax = plots.figure()
    ax.plot([0, 1], label="one")
    phone = 360 - 2 * 16  # pixels between the margins
    texts = [ax.xaxis.label, ax.title, *ax.get_xticklabels(), *ax.legend().get_texts()]
    sizes = {text.get_fontsize() / 72 / figure.get_figwidth() * phone for text in texts}
    assert min(sizes) >= 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_histogram_has_the_area_and_height_of_its_density(dtype: torch.dtype) -> None:
    samples = normal(torch.tensor(12.0, dtype=dtype), 42.0, sample_shape=(500_000,), generator=generator())
    _, ax = plots.figure()
    plots.histogram(ax, samples.requires_grad_().reshape(2, -1), stats.norm(12, 42).pdf, "N(12, 42²)")
    heights, edges, _ = ax.patches[0].get_data()
    assert heights @ np.diff(edges) == pytest.approx(0.996, abs=1e-3)
    middles = (edges[1:] + edges[:-1]) / 2
    central = np.abs(middles - 12) < 42  # 5,000 draws a bar and more: 1.5% apart by chance
    np.testing.assert_allclose(heights[central], stats.norm(12, 42).pdf(middles)[central], rtol=0.1)
    (curve,) = ax.lines
    np.testing.assert_allclose(curve.get_ydata(), stats.norm(12, 42).pdf(curve.get_xdata()))
    assert [text.get_text() for text in ax.legend().get_texts()] == ["500,000 samples", "N(12, 42²)"]


def test_what_lies_outside_a_histogram_still_counts() -> None:
    samples = torch.cat([torch.rand(9990, generator=generator()), torch.full((10,), 1e6)])
    _, ax = plots.figure()
    plots.histogram(ax, samples, np.ones_like)
    heights, edges, _ = ax.patches[0].get_data()
    assert edges[-1] < 2
    assert heights.mean() == pytest.approx(1, abs=0.02)


def test_intervals_reach_two_standard_errors_either_side() -> None:
    estimates = {
        "pathwise": Estimate(torch.tensor(24.0), torch.tensor(400.0), 100),
        "score": Estimate(torch.tensor(30.0), torch.tensor(1600.0), 100),
    }
    _, ax = plots.figure()
    plots.intervals(ax, estimates, exact=25.0)
    bars = [container.lines[2][0].get_segments()[0] for container in ax.containers]
    np.testing.assert_allclose(bars[0], [[20, 0], [28, 0]])
    np.testing.assert_allclose(bars[1], [[22, 1], [38, 1]])
    assert [container.lines[0].get_xdata()[0] for container in ax.containers] == [24, 30]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["pathwise", "score"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top
    rules = [line for line in ax.lines if list(line.get_xdata()) == [25.0, 25.0]]
    assert len(rules) == 1


def test_intervals_without_an_exact_value_draw_no_rule() -> None:
    _, ax = plots.figure()
    plots.intervals(ax, {"one": Estimate(torch.tensor(24.0), torch.tensor(400.0), 100)})
    assert not [line for line in ax.lines if list(line.get_ydata()) == [0, 1]]
    plt.gcf().canvas.draw()

"""The style of the book's figures: dark on white, in colours that colour-blind readers can tell apart.

On a dark page the book's style sheet inverts the lightness of the pictures and keeps their hues.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager
from torch import Tensor

from helpers.estimate import Estimate

WIDTH = 6.0  # inches; on a phone 360 px wide, text of 12 points is still 9 px high
INK = "#20262d"
BLUE, ORANGE, GREEN, PURPLE = PALETTE = ("#1f6fb2", "#b4560a", "#14775c", "#a3478e")

for _name, _weight in {"regular": 400, "semibold": 700}.items():
    _file = Path(__file__).with_name("fonts") / f"source-serif-{_name}.ttf"
    fontManager.ttflist.append(FontEntry(fname=str(_file), name="Source Serif 4", weight=_weight, size="scalable"))

_STYLE = {
    "figure.dpi": 120,  # 720 pixels across, as wide as the text; a notebook stores twice as many
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=PALETTE, linestyle=["-", "--", "-.", ":"]),
    "axes.linewidth": 1,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "font.family": ["Source Serif 4", "DejaVu Serif"],  # the second has characters that the first lacks
    "mathtext.fontset": "cm",
    "font.size": 12,
    "legend.fontsize": "medium",
    "legend.handlelength": 1.6,
    "lines.linewidth": 2,
    "ytick.alignment": "center",  # with the default, the labels of this face hang below their ticks
    "hist.bins": 60,
    "svg.hashsalt": "book",
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"], INK
    ),
}


def figure(columns: int = 1, rows: int = 1, *, height: float = 3.0, **kwargs: Any) -> tuple[Figure, Any]:
    """`plt.subplots(rows, columns)` in the book's style, as wide as the text and `height` inches high per row.

    Returns the figure and its Axes (an array of them if there are several); `kwargs` go to `plt.subplots`, which takes
    rows first. The style, and sharp pictures in a notebook, stay in force for figures made later.
    """
    mpl.rcParams.update(_STYLE)
    made = plt.subplots(rows, columns, figsize=(WIDTH, height * rows), **kwargs)  # loads the backend
    if inline := sys.modules.get("matplotlib_inline.backend_inline"):  # we are in a notebook
        inline.set_matplotlib_formats("retina")
    return made


def histogram(ax: Axes, samples: Tensor, density: Callable[[np.ndarray], np.ndarray], label: str = "density") -> None:
    """Draw samples as a histogram of area 1, and the density that they should follow as a curve.

    The picture leaves out the outermost 0.2% of the samples at either end. They still count in the area, so the bars
    of a heavy-tailed distribution have the right height.
    """
    values = samples.detach().cpu().numpy().ravel()
    low, high = np.quantile(values, [0.002, 0.998])
    edges = np.linspace(low, high, 61)
    heights = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
    ax.stairs(heights, edges, fill=True, color=BLUE, alpha=0.35, label=f"{len(values):,} samples")
    grid = np.linspace(low, high, 400)
    ax.plot(grid, density(grid), color=ORANGE, linestyle="-", label=label)


def intervals(ax: Axes, estimates: Mapping[str, Estimate], exact: float | None = None) -> None:
    """Draw scalar estimates as dots with bars of ±2 standard errors, one per row, and the exact value as a line."""
    for row, estimate in enumerate(estimates.values()):
        bar = 2 * estimate.standard_error.item()
        ax.errorbar(estimate.mean.item(), row, xerr=bar, fmt="o", capsize=3, color=PALETTE[row % len(PALETTE)])
    ax.set_yticks(range(len(estimates)), list(estimates))
    ax.set_ylim(len(estimates) - 0.5, -0.5)
    if exact is not None:
        ax.axvline(exact, color=INK, linewidth=1, linestyle="--", zorder=0)

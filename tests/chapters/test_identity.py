"""The book's look: colours written in one place and readable, fonts at hand, pictures that are their estimator's."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib import pyplot as plt
from PIL import Image

from helpers import plots
from helpers.estimators import Pathwise
from helpers.reparametrize import normal
from tests.helpers.test_plots import contrast, on_a_dark_page
from tools import cover

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "assets"
STYLE = (ASSETS / "book.css").read_text(encoding="utf-8")
FONTS = sorted(set(re.findall(r'url\("([^"]+)"\)', STYLE)))  # a file may serve two faces
TEXT_COLOURS = ["ink", "muted", "accent", "accent-strong", "note", "tip", "warning", "important"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    with plt.rc_context():
        return {path.name: path for path in cover.draw(tmp_path_factory.mktemp("pictures"))}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"), dtype=float)


def test_both_schemes_define_the_same_colours() -> None:
    assert cover.tokens("light").keys() == cover.tokens("dark").keys() >= {*TEXT_COLOURS, "ground", "surface", "mark"}


def test_colours_are_written_in_the_first_section_only() -> None:
    tokens, rest = STYLE.split("/* Text ---")
    assert len(re.findall(r"#\w{6}\b", tokens)) == 44
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?=[;, )])|rgba?\(|hsla?\(", rest)


def test_figures_have_the_colours_of_the_page() -> None:
    drawn = dict(zip(["blue", "orange", "green", "purple"], plots.PALETTE, strict=True)) | {"figure-ink": plots.INK}
    assert {name: cover.tokens("light")[name] for name in drawn} == drawn
    shown = {name: on_a_dark_page(colour) for name, colour in drawn.items()}
    assert {name: cover.tokens("dark")[name] for name in drawn} == shown


def test_quarto_s_dark_theme_has_the_colours_of_the_page() -> None:
    theme = dict(re.findall(r"\$([\w-]+): (#\w{6});", (ASSETS / "dark.scss").read_text(encoding="utf-8")))
    dark = cover.tokens("dark")
    same = {"body-bg": "ground", "body-color": "ink", "link-color": "accent", "border-color": "line"}
    surfaces = dict.fromkeys(["code-bg", "code-block-bg", "input-bg"], "surface")
    inks = dict.fromkeys(["code-color", "input-color"], "ink")
    assert theme == {name: dark[token] for name, token in (same | surfaces | inks).items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "surface"])
@pytest.mark.parametrize("colour", TEXT_COLOURS)
def test_text_can_be_read(colour: str, ground: str, scheme: str) -> None:
    tokens = cover.tokens(scheme)
    assert contrast(tokens[colour], tokens[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marked_text_can_be_read(scheme: str) -> None:
    tokens = cover.tokens(scheme)
    assert contrast(tokens["ink"], tokens["mark"]) >= 4.5


def test_fonts_are_here_small_and_licensed() -> None:
    assert len([font for font in FONTS if font.startswith("fonts/")]) == 3
    assert len(FONTS) == 4  # and one of KaTeX's
    assert sum((ASSETS / font).stat().st_size for font in FONTS) < 80_000
    assert "SIL Open Font License" in (ASSETS / "fonts" / "LICENSE").read_text(encoding="utf-8")


def test_nothing_is_asked_of_another_host() -> None:
    assert not re.search(r"@import|https?:|//fonts|url\((?!\"(?:katex/)?fonts/)", STYLE)


def test_pictures_are_drawn_the_same_again(pictures: dict[str, Path], tmp_path: Path) -> None:
    with plt.rc_context():
        for path in cover.draw(tmp_path):
            assert path.read_bytes() == pictures[path.name].read_bytes()


@pytest.mark.parametrize("name", ["first-picture.png", "cover.png", "social-card.png"])
def test_stored_pictures_are_what_the_code_draws(pictures: dict[str, Path], name: str) -> None:
    stored, fresh = pixels(ASSETS / name), pixels(pictures[name])
    assert stored.shape == fresh.shape
    assert np.abs(stored - fresh).mean() < 1  # of 255; another matplotlib may smooth an edge differently


def test_pictures_have_the_sizes_that_are_asked_for(pictures: dict[str, Path]) -> None:
    assert pixels(pictures["social-card.png"]).shape == (630, 1200, 4)
    assert pixels(pictures["cover.png"]).shape == (1800, 1200, 4)
    assert pictures["social-card.png"].stat().st_size < 300_000
    assert pictures["first-picture.png"].stat().st_size < 150_000  # the first thing that a phone waits for


def test_the_pictures_are_opaque(pictures: dict[str, Path]) -> None:
    assert [name for name, path in pictures.items() if pixels(path)[..., 3].min() < 255] == []


def test_the_pictures_show_the_gradients_that_they_name() -> None:
    assert not cover.running_means(Pathwise(cover.naive), 0).any()
    ends = [cover.running_means(Pathwise(normal), run)[-1].item() for run in range(4)]
    error = cover.DEVIATION / cover.LARGEST**0.5
    assert np.abs(np.array(ends) - 24).max() < 4.5 * error
    assert len(set(ends)) == 4


def title(source: Path) -> str:
    """The title of a chapter."""
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".ipynb":
        text = "".join(json.loads(text)["cells"][0]["source"])
    return re.search(r"^# (.*) \{#", text, re.MULTILINE)[1]


def test_the_map_has_every_part_and_chapter_in_the_book_s_order() -> None:
    book = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["book"]
    parts = [entry for entry in book["chapters"] if isinstance(entry, dict)]
    shown = (ROOT / "index.qmd").read_text(encoding="utf-8").split("## A map")[1].split("\n## ")[0]
    stops = re.findall(r"^\*\*(.+)\*\*$|^- \[(.+)\]\((.+)\)\\$", shown, re.MULTILINE)
    expected = [
        stop
        for part in parts
        for stop in [(part["part"], "", ""), *(("", title(ROOT / chapter), chapter) for chapter in part["chapters"])]
    ]
    assert stops == expected
    assert all(f"({appendix})" in shown for appendix in book["appendices"] if appendix.endswith(".qmd"))


def test_the_line_that_the_first_page_explains_is_a_chapter_s() -> None:
    index = (ROOT / "index.qmd").read_text(encoding="utf-8")
    row = re.search(r"^\| `mu` \| (.+) \| (\d+) \| (.+) \|$", index, re.MULTILINE)
    assert row
    cells = json.loads((ROOT / "chapters" / "04-pytorch.ipynb").read_text(encoding="utf-8"))["cells"]
    printed = ["".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])]
    line = rf"^mu +{re.escape(row[1])} +{row[2]}  z = {re.escape(row[3])}$"
    assert any(re.search(line, text, re.MULTILINE) for text in printed)

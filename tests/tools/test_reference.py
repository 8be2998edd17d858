"""The reference of `helpers` is what the code and the chapters say, and shows docstrings to the letter."""

import re

import pypandoc
import pytest

from tools.reference import PAGE, Helpers, escaped, into_page, names_in, paragraphs, signature, uses

HELPERS = Helpers()
USED = uses(HELPERS)


def test_the_page_is_made_from_the_present_code() -> None:
    assert PAGE.read_text() == into_page(PAGE.read_text()), "run: make reference"


def test_each_name_that_chapters_use_has_an_entry() -> None:
    page = PAGE.read_text()
    for module, name in USED:
        section = page.split(f"## helpers.{module}\n")[1].split("\n## ")[0]
        assert f"### `{name}`\n" in section or f"`{name}`" in section.split("### ")[0], f"{module}.{name}"
    shown = re.findall(r"^### `(.*)`$", page, flags=re.MULTILINE)
    assert sorted(shown) == sorted(name for module, name in USED if HELPERS.definition(module, name))
    assert not [name for name in shown if name.startswith("_")]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from helpers import compare", [("estimate", "compare")]),
        ("from helpers import plots as p\np.figure()", [("plots", "figure")]),
        ("from helpers import SEED", [("randomness", "SEED")]),
        ("from helpers.estimators import Pathwise as P", [("estimators.pathwise", "Pathwise")]),
        ("from helpers.estimators.binary import open_uniform", [("randomness", "open_uniform")]),
        ("import torch\nplots = torch\nplots.figure()", []),
    ],
)
def test_names_are_found_where_they_are_defined(code: str, found: list[tuple[str, str]]) -> None:
    assert list(names_in(code, HELPERS)) == found


def docstrings() -> list[str]:
    nodes = [HELPERS.trees[module] for module in sorted({module for module, _ in USED})]
    nodes += [node for module, name in USED if (node := HELPERS.definition(module, name))]
    return [paragraph for node in nodes for paragraph in paragraphs(node)]


def test_docstrings_are_shown_to_the_letter() -> None:
    awkward = r"a_b *c* [d](e) <f> ~g~ ^h^ x**2 ... -- --- $i$ 'j' "
    awkward += r'"k" @l #m \n |o| {p} ]0, 1[ 1[u > v] f\'(1) <!-- q --> b\' ± & &amp; :smile: http://r.s '
    texts = [*docstrings(), " ".join(awkward.split())]
    assert len(texts) > 40
    made = pypandoc.convert_text("\n\n".join(map(escaped, texts)), "plain", "markdown", extra_args=["--wrap=none"])
    made = made.replace("\xa0", " ")  # pandoc's own, after what it takes for an abbreviation
    assert made.replace("\n\n", "\n").splitlines() == [text.replace("`", "") for text in texts]


def test_a_signature_is_that_of_the_code() -> None:
    normal = HELPERS.definition("reparametrize", "normal")
    assert normal
    assert " ".join(signature(normal).split()) == (
        "normal( mu: Number, sigma: Number, *, sample_shape: Sequence[int] = (), "
        "generator: Generator | None = None, ) -> Tensor"
    )
    score = HELPERS.definition("estimators.score_function", "ScoreFunction")
    assert score
    assert "    baseline: float | None = None,\n" in signature(score)


def test_a_page_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold the reference once, got 0"):
        into_page("# Reference\n")

"""The reference of `helpers` is what the code and the chapters say, and shows docstrings to the letter."""

import re
from dataclasses import replace

import pypandoc
import pytest

from helpers.reparametrize import normal
from tools import reference
from tools.reference import (
    PAGE,
    Notes,
    call,
    described,
    entry,
    importable,
    into_page,
    label,
    names_in,
    paragraphs,
    parameters,
    read_notes,
    source,
    thing,
    type_name,
    uses,
)

NOTES = read_notes()
TITLES, USED = uses()
ENTRIES = [name for name in USED if callable(thing(name))]
MADE = into_page(PAGE.read_text(), NOTES)
UNUSED = (NOTES.arguments.keys() | NOTES.formulas.keys()) - NOTES.used


def test_the_page_is_made_from_the_present_code() -> None:
    assert PAGE.read_text() == MADE, "run: make reference"


def test_each_name_stands_under_the_chapter_that_uses_it_first() -> None:
    sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## )", MADE, flags=re.MULTILINE | re.DOTALL))
    for name, labels in USED.items():
        section = sections[TITLES[labels[0]]]
        assert f"First used in @{labels[0]}." in section
        assert (f"### `{name[1]}`\n" if name in ENTRIES else f"`{name[1]}`") in section, name
    shown = re.findall(r"^### `(.*)`$", MADE, flags=re.MULTILINE)
    assert sorted(shown) == sorted(name for _, name in ENTRIES)
    assert list(sections) == [*(t for t in TITLES.values() if t in sections), "Other types in signatures"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from helpers import compare", [("helpers.estimate", "compare")]),
        ("from helpers import plots as p\np.figure()", [("helpers.plots", "figure")]),
        ("from helpers.randomness import SEED", [("helpers.randomness", "SEED")]),
        ("from helpers.estimators import Pathwise as P", [("helpers.estimators.pathwise", "Pathwise")]),
        ("from helpers.estimators.binary import open_uniform", [("helpers.randomness", "open_uniform")]),
        ("from helpers import reparametrize\nreparametrize.normal", [("helpers.reparametrize", "normal")]),
        ("import torch\nplots = torch\nplots.figure()", []),
    ],
)
def test_names_are_found_where_they_are_defined(code: str, found: list[tuple[str, str]]) -> None:
    assert list(names_in(code)) == found


def test_a_private_name_in_a_chapter_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "names_in", lambda code: [("helpers.plots", "_file")])
    with pytest.raises(SystemExit, match="must not use private names of helpers, got _file"):
        uses()


@pytest.mark.parametrize("name", ENTRIES, ids=lambda name: name[1])
def test_each_argument_has_a_meaning(name: tuple[str, str]) -> None:
    shown = entry(name, [], NOTES)
    rows = dict(re.findall(r"^\| `([\w*]+)` \| (.*) \|$", shown, flags=re.MULTILINE))
    assert list(rows) == [label(parameter) for parameter in parameters(thing(name))]
    for argument, row in rows.items():
        assert re.fullmatch(r"\S.*\S \(`[^`]+`(, optional|, default `[^`]+`)?\)", row), argument


def test_an_argument_without_a_meaning_is_an_error() -> None:
    with pytest.raises(SystemExit, match=r"must say what normal\.mu means"):
        entry(("helpers.reparametrize", "normal"), [], Notes({}, {}))


def test_no_note_is_left_over() -> None:
    assert sorted(UNUSED) == []


def without_formulas(made: str) -> str:
    """What a reader sees as plain text, where code and formulas are left out."""
    text = re.sub(r"```.*?```", "", made, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\$[^$]*\$|@sec-[\w-]+", "", text)


LEFT = re.compile(r"\\[_^~|\[\]{}<>*]|=|\b(?:phi|theta|eps|sigma|mu|kappa|pi|tau|gamma\^|sqrt|log|exp|grad)\b(?!-)")


def test_no_formula_is_left_as_plain_text() -> None:
    assert LEFT.findall(without_formulas(MADE.split("<!-- reference -->")[1])) == []


@pytest.mark.parametrize("lost", ["grad_phi f(g_phi(eps))", "2^k", "log q is", "k = K", "sigma > 0"])
def test_a_formula_that_is_not_listed_is_found(lost: str) -> None:
    fewer = replace(NOTES, formulas={key: value for key, value in NOTES.formulas.items() if key != lost})
    shown = (fewer.shown(text) for name in ENTRIES for text in paragraphs(thing(name)))
    assert [text for text in shown if LEFT.search(without_formulas(text))]


def test_docstrings_are_shown_to_the_letter() -> None:
    awkward = r"a_bb *cc* [dd](ee) <ff> ~gg~ ^hh^ xx**2 ... -- --- 'jj' "
    awkward += r'"kk" @ll #mm \nn |oo| {pp} ]0, 1[ 1[uu > vv] ff\'(1) <!-- qq --> bb\' ± & &amp; :smile: http://rr.ss '
    texts = [text for name in ENTRIES for text in paragraphs(thing(name))] + [" ".join(awkward.split())]
    assert len(texts) > 40
    plain = Notes({}, {})
    shown = [re.sub(r"(?<!`)\$([b-zB-HJ-Z])\$", r"\1", plain.shown(text)) for text in texts]
    made = pypandoc.convert_text("\n\n".join(shown), "plain", "markdown", extra_args=["--wrap=none"])
    made = made.replace("\xa0", " ")  # pandoc's own, after what it takes for an abbreviation
    assert made.replace("\n\n", "\n").splitlines() == [text.replace("`", "") for text in texts]


def test_letters_and_listed_formulas_are_mathematics() -> None:
    notes = Notes({}, {"f(z)": r"$f(z)$", "2 f(z)": r"$2 f(z)$"})
    assert notes.shown("A mean of 2 f(z), f(z) or n, torch's `f(z)`") == (
        r"A mean of $2 f(z)$, $f(z)$ or $n$, torch\'s `f(z)`"
    )


def sampled(pi: float, k: int = 2) -> None:
    """Computes nothing.

    `pi` is a number. It is in (0, 1). `k` counts. The `pi` of others stays.
    """


def test_a_sentence_that_begins_with_an_argument_is_its_meaning() -> None:
    text, meanings = described("sampled", sampled, Notes({}, {}))
    assert text == ["Computes nothing.", "It is in (0, 1). The `pi` of others stays."]
    assert meanings == {"pi": "a number", "k": "`k` counts"}
    text, meanings = described("sampled", sampled, Notes({"sampled.k": "another"}, {}))
    assert text[1] == "It is in (0, 1). `k` counts. The `pi` of others stays."
    assert meanings == {"pi": "a number"}


def test_a_call_is_that_of_the_code() -> None:
    assert " ".join(call("normal", normal).split()) == "normal( mu, sigma, *, sample_shape=(), generator=None, )"
    kinds = [type_name(parameter.annotation) for parameter in parameters(normal)]
    assert kinds == ["Number", "Number", "Sequence[int]", "Generator | None"]
    for name, shown in (("Antithetic", "(estimator)"), ("STL", "(distribution)"), ("BernoulliSTE", "()")):
        assert call(name, thing(next(found for found in ENTRIES if found[1] == name))) == name + shown


def test_names_are_imported_from_the_shortest_module() -> None:
    assert importable(("helpers.estimate", "compare")) == "helpers"
    assert importable(("helpers.estimators.pathwise", "Pathwise")) == "helpers.estimators"
    assert importable(("helpers.plots", "figure")) == "helpers.plots"


def test_the_source_is_a_link_once_the_book_has_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    text = source(normal)
    path, line = re.fullmatch(r"`(.*)`, line (\d+)", text).groups()  # type: ignore[union-attr]
    assert "def normal(" in "".join((reference.ROOT / path).read_text().splitlines(keepends=True)[int(line) - 1 :][:2])
    book = replace(reference.read_book(reference.ROOT), repo_url="https://github.com/a/b", repo_branch="main")
    monkeypatch.setattr(reference, "book", lambda: book)
    assert source(normal) == f"[{text}](https://github.com/a/b/blob/main/{path}#L{line})"


def test_a_page_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold the reference once, got 0"):
        into_page("# Reference\n")


def test_no_line_begins_with_a_number_that_markdown_takes_for_a_list() -> None:
    assert "\n1983." not in reference.filled("x" * (reference.WIDTH - 2) + " 1983.")

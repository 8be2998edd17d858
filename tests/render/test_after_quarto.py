"""What render/after_quarto.js makes of Quarto's pages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from py_mini_racer import JSEvalException

from render.formulas import draw
from tests.support.quarto import AFTER, SCRIPTS, after_quarto

ROOT = Path(__file__).resolve().parents[2]
PAGE = (
    f"<head>{SCRIPTS}\n<script>other()</script></head>"
    '<p>If <span class="math inline">\\begin{aligned} a &amp;&lt; b \\end{aligned}</span> '
    '(as in <span\nclass="math inline">z</span>), stop.</p>'
    '<span class="math display">x^2 \\tag{1.2}</span>.'
)


def test_quarto_runs_the_script_after_the_copies_which_read_the_formulas_as_tex() -> None:
    after = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["project"]["post-render"]
    assert [ROOT / name for name in after] == [ROOT / "render" / "copies.py", AFTER]


def test_the_formulas_are_those_of_our_own_pages() -> None:
    page = BeautifulSoup(after_quarto(PAGE), "html5lib")
    inner = [formula.decode_contents() for formula in page.select(".math")]
    formulas = [("\\begin{aligned} a &< b \\end{aligned}", False), ("z", False), ("x^2 \\tag{1.2}", True)]
    found = draw(formulas)
    assert inner == [
        BeautifulSoup(found[formula][0], "html5lib").select("body")[0].decode_contents() for formula in formulas
    ]


def test_only_the_scripts_that_draw_formulas_are_gone() -> None:
    page = BeautifulSoup(after_quarto(PAGE), "html5lib")
    assert [script.string for script in page.select("script")] == ["other()"]


def test_a_mark_stays_with_the_formula_before_it() -> None:
    page = BeautifulSoup(after_quarto(PAGE), "html5lib")
    assert [mark.get_text() for mark in page.select(".joined .formula-end")] == ["),"]
    assert page.select(".joined.wide")[0].next_sibling == " stop."


def test_a_page_without_formulas_or_with_drawn_ones_is_left_alone() -> None:
    once = after_quarto(PAGE)
    assert after_quarto(once) == once
    assert after_quarto("<p>None.</p>") == "<p>None.</p>"


def test_a_formula_that_katex_refuses_is_named() -> None:
    with pytest.raises(JSEvalException, match=r"KaTeX refuses \\frac\{1: Unexpected end of input"):
        after_quarto(f'{SCRIPTS}<span class="math inline">\\frac{{1</span>')


def test_pictures_below_the_first_wait_until_they_are_near() -> None:
    picture = '<img src="a.png" class="img-fluid figure-img" alt="a &gt; b">'
    page = BeautifulSoup(after_quarto(f'<img src="icon.png">{picture * 3}'), "html5lib")
    told = [(image.get("fetchpriority"), image.get("loading")) for image in page.select("img")]
    assert told == [(None, None), ("low", None), (None, "lazy"), (None, "lazy")]
    assert after_quarto(after_quarto(picture * 3)) == after_quarto(picture * 3)

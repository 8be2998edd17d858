"""Tests of what is left of the style sheets of the theme."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.assets import CODE, PLAIN_TOKEN, join_styles

STATIC = Path("static")


def joined(*sheets: str, used: str = "", folder: str = "") -> str:
    return join_styles([(STATIC / folder / "a.css", sheet) for sheet in sheets], STATIC, set(used.split()))


@pytest.mark.parametrize(
    ("sheet", "left"),
    [
        (".seen{color:red} .gone{color:red}", ".seen{color:red}"),
        (".seen , .gone { color : red }", ".seen{color:red}"),
        ("p .gone > a{color:red}", ""),
        ("#gone{color:red}", ""),
        ("p:not(.gone){color:red}", "p:not(.gone){color:red}"),
        (":is(.gone, .seen) a{color:red}", ":is(.gone, .seen) a{color:red}"),
        (":is(.gone, #gone) a{color:red}", ""),
        ("@media print{.gone{color:red}}", ""),
        ("@media print{.gone{color:red} .seen{color:red}}", "@media print{.seen{color:red}}"),
        ("a[class*=gone]{color:red!important}", "a[class*=gone]{color:red!important}"),
        (".seen{--asked:1;--idle:2;width:var(--asked)}", ".seen{--asked:1;width:var(--asked)}"),
        (".seen{--a:var(--b);--b:1}", ""),
        (".seen{--script:1}", ".seen{--script:1}"),
        ('a{--i:url("data:image/svg+xml;{};");mask:var(--i)}', 'a{--i:url("data:image/svg+xml;{};");mask:var(--i)}'),
        ("@font-face{font-family:Idle;src:url(i.woff2)} p{font-family:Other}", "p{font-family:Other}"),
        ("@keyframes turn{to{left:0}}", "@keyframes turn{to{left:0}}"),
        ("@charset 'utf-8';p{/* why */color:red}", "p{color:red}"),
    ],
)
def test_what_nothing_uses_is_left_out(sheet: str, left: str) -> None:
    assert joined(sheet, used="seen --script").strip() == left


@pytest.mark.parametrize(
    ("selector", "simple"),
    [
        ("x :is(a, b):hover", "x a:hover,x b:hover"),
        (":is(.x a, .x .y a)::before", ".x a:not(._)::before,.x .y a::before"),
        (":is(.x, #y :is(.c, .d))", ".x:not(#_),#y .c,#y .d"),
        ("x > :is(.c, [d]:not(.e))", "x > .c:not(._),x > [d]:not(.e)"),
        (":is(.c, section > p.d)", ".c:not(_):not(_),section > p.d"),
        (":is(a, b) c", ":is(a, b) c"),  # of its element it names the tag
        (":is(a, .b)", ":is(a, .b)"),  # no selector for a weighs just as much as .b
        ("x :is(a, b > c)", "x :is(a, b > c)"),  # x need not be around b
    ],
)
def test_a_rule_names_its_element(selector: str, simple: str) -> None:
    assert joined(f"{selector}{{color:red}}", used="x y b c d e") == f"\n{simple}{{color:red}}".lstrip("\n")


def test_pseudo_elements_get_their_box_only_where_they_are() -> None:
    sheet = "*,:after,:before{box-sizing:border-box} p::before{content:none} p::after{color:red}"
    rules = ["*{box-sizing:border-box}", "p::before{box-sizing:border-box;content:none}", "p::after{color:red}"]
    assert joined(sheet).split("\n") == rules


def test_fonts_that_are_asked_for_stay_and_their_address_follows_the_sheet() -> None:
    sheet = "@font-face{font-family:Own;src:url(fonts/own.woff2)} p{font-family:Own,serif}"
    assert "src:url(katex/fonts/own.woff2)" in joined(sheet, folder="katex")
    assert "src:url(fonts/own.woff2)" in joined(sheet)


def test_sheets_keep_their_order_and_their_licences() -> None:
    text = joined("/*! One. */ p{color:red}", "p{color:blue}")
    assert text.index("/*! One. */") < text.index("red") < text.index("blue")


def test_code_keeps_its_text_and_what_has_a_colour() -> None:
    code = '<div class="highlight"><pre id="codecell0"><span></span><span class="n">x</span><span class="w"> </span>'
    code += '<span class="k">def</span><span class="p">(</span></pre></div>'
    page = f'<span class="n">outside</span>{code}'
    plain = CODE.sub(lambda found: PLAIN_TOKEN.sub(r"\1", found[0]), page)
    assert plain.startswith('<span class="n">outside</span>')
    assert plain.endswith('<span></span>x <span class="k">def</span>(</pre></div>')

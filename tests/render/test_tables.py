"""Tests of assets/tables.lua, which typesets the tables that cells print. It runs here as a filter, as in Quarto."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pypandoc
import pytest
from bs4 import BeautifulSoup, Tag

from helpers import Estimate, compare

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = "estimate ± standard error"


def typeset(*texts: str, kind: str = "cell-output-stdout") -> list[Tag]:
    """The outputs of cells that printed these texts."""
    outputs = "\n\n".join(f"::: {{.cell-output .{kind}}}\n```\n{text}\n```\n:::" for text in texts)
    filters = [str(ROOT / "assets" / "tables.lua")]
    html = pypandoc.convert_text(outputs, "html", format="markdown", extra_args=["--wrap=none"], filters=filters)
    return BeautifulSoup(html, "html5lib").select(".cell-output")


def cells(table: Tag, part: str) -> list[list[str]]:
    return [[" ".join(cell.get_text().split()) for cell in row.select("th, td")] for row in table.select(f"{part} tr")]


def as_printed(text: str) -> str:
    return text.replace("−", "-")


def printed() -> list[str]:
    """What the cells of all chapters print."""
    texts = []
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            streams = [out for out in cell.get("outputs", []) if out["output_type"] == "stream"]
            texts.append("".join("".join(out["text"]) for out in streams).rstrip())
    return [text for text in texts if text]


def test_a_comparison_is_a_table() -> None:
    found = {"mu": Estimate(mean=1.01, variance=4.0, n=10_000), "a long name": Estimate(mean=0, variance=0, n=2)}
    (output,) = typeset(compare(found, {"mu": 1, "a long name": 0}))
    (table,) = output.select("table")
    assert cells(table, "thead") == [["", HEADINGS, "expected", ""]]
    assert cells(table, "tbody") == [
        ["mu", "1.0100 ± 0.0200", "1", "z = +0.50"],
        ["a long name", "0 ± 0", "0", "equal"],
    ]
    assert not output.select("pre")
    assert [cell["style"] for cell in table.select("tbody tr:first-child :is(th, td)")] == [
        "text-align: left;",
        *["text-align: right;"] * 3,
    ]


def test_titles_and_other_lines_stay_around_a_table() -> None:
    text = "first line\nsecond line\n\nvariance\n      a     b\nx   1.0   2.0\n\nbias: 3"
    (output,) = typeset(text)
    assert [part.name for part in output.find_all(recursive=False)] == ["pre", "div", "div", "pre"]
    assert [part.get_text().strip() for part in output.select("pre, .printed-title")] == [
        "first line\nsecond line",
        "variance",
        "bias: 3",
    ]


def test_a_cell_stands_in_its_column_though_others_are_empty() -> None:
    lines = "        bias  variance     ns", "first  +0.10      1.00  !  300", "second           10.00     200"
    (output,) = typeset("\n".join(lines))
    assert cells(output, "thead") == [["", "bias", "variance", "", "ns"]]
    assert cells(output, "tbody") == [["first", "+0.10", "1.00", "!", "300"], ["second", "", "10.00", "", "200"]]


@pytest.mark.parametrize(
    ("text", "head", "body"),
    [
        ("   k  textbook  pooled\n   2         1       1", [["k", "textbook", "pooled"]], [["2", "1", "1"]]),
        ("for 0.1%  time  n\na          1.0  2", [["for 0.1%", "time", "n"]], [["a", "1.0", "2"]]),
        ("     [1]   k = 3\na  -0.25  -1e-05", [["", "[1]", "k = 3"]], [["a", "−0.25", "−1e-05"]]),
    ],
)
def test_other_headings(text: str, head: list[list[str]], body: list[list[str]]) -> None:
    (output,) = typeset(text)
    assert cells(output, "thead") == head
    assert cells(output, "tbody") == body


def test_a_name_does_not_break_inside_and_a_minus_is_a_long_one() -> None:
    lines = (
        "                   mean        range",
        "leave-one-out, 4   -0.5  (-1 to -.5)",
        "x-2               1e-05          2-3",
        "error at N = 10     0.5          2-3",
        "L[0, 1]             0.5          2-3",
    )
    (output,) = typeset("\n".join(lines))
    assert cells(output, "tbody") == [
        ["leave-one-out, 4", "−0.5", "(−1 to −.5)"],
        ["x-2", "1e-05", "2-3"],
        ["error at N = 10", "0.5", "2-3"],
        ["L[0, 1]", "0.5", "2-3"],
    ]
    assert [whole.get_text() for whole in output.select("td .whole, th .whole")] == [
        "leave-one-out,",
        "N = 10",
        "L[0, 1]",
    ]


def test_a_heading_above_others_spans_the_columns_up_to_the_next_one() -> None:
    heads = "   calls   K = 3         K = 10", "           bias²    var   bias²    var"
    (output,) = typeset("\n".join([*heads, "a      1    0.00  10.00    0.00  20.00"]))
    upper, lower = output.select("thead tr")
    assert [(cell.get_text(), cell.get("colspan")) for cell in upper.select("th")] == [
        ("", None),
        ("calls", None),
        ("K = 3", "2"),
        ("K = 10", "2"),
    ]
    assert [cell.get_text() for cell in lower.select("th")] == ["", "", "bias²", "var", "bias²", "var"]
    assert cells(output, "tbody") == [["a", "1", "0.00", "10.00", "0.00", "20.00"]]


@pytest.mark.parametrize(
    "text",
    [
        "one line",
        "normal       largest difference 0.0000\nexponential  largest difference 0.0000",
        "mu + sigma * eps  [1.0, 0.5]\nitem()            no graph",
        "PowBackward0\n└── AddBackward0\n    ├── mu (), value = 12\n    └── MulBackward0",
        "k = 3  leave-one-out 1.92 ± 0.01  without 0.93 ± 0.01\nk = 4  leave-one-out 1.28 ± 0.01  without 0.30 ± 0.01",
        "     mean          variance\na  1.0  2.0  3.0  4.0\nb  1.0  2.0  3.0  4.0",  # headings for two of four columns
        "     left    right\na  1.0  2.0    3.0\nb      1.00    3.0",  # a cell below two columns
        "        bias    variance    ns    \nscore     0.123456    12.500     7",  # headings beside their columns
        "pathwise  10%  20%\nscore     30%  40%",
        "mu     nan  inf\nsigma  nan  inf",
        "log q  True  False\nlog p  True  False",
        "      K = 3       K = 10\n   bias  var  bias  var\na  0.10  1.0  0.10  1.0",  # above two columns each
        "alpha  beta  gamma\na       1.0    2.0\nb              4.0",  # a row with a hole
    ],
)
def test_what_is_not_a_table_stays_as_it_is(text: str) -> None:
    (output,) = typeset(text)
    assert not output.select("table")
    assert output.pre
    assert output.pre.get_text().rstrip("\n") == text


def test_quarto_runs_the_filter() -> None:
    assert "filters:\n  - assets/tables.lua" in (ROOT / "_quarto.yml").read_text(encoding="utf-8")


def test_only_what_was_printed_is_typeset() -> None:
    (output,) = typeset("      a     b\nx   1.0   2.0", kind="cell-output-display")
    assert not output.select("table")


def places(line: str) -> list[tuple[int, int, str]]:
    """Where the cells of a printed line begin and end, and their texts."""
    return [(found.start(), found.end(), found[0]) for found in re.finditer(r"\S+(?: \S+)*", line)]


def test_no_word_of_the_book_is_lost_and_each_stands_below_the_heading_above_which_it_was_printed() -> None:
    """The places of all cells are found again, in another way, in the printed lines."""
    texts, count = printed(), 0
    for text, output in zip(texts, typeset(*texts), strict=True):
        assert as_printed(output.get_text(" ")).split() == as_printed(text).split()
        lines = [line for line in text.splitlines() if line.strip()]
        for table in output.select("table"):
            count += 1
            head, body = cells(table, "thead")[-1], cells(table, "tbody")
            body = [[as_printed(cell) for cell in row] for row in body]
            start = next(
                i for i, line in enumerate(lines) if [cell[2] for cell in places(line)] == [c for c in head if c]
            )
            headings = places(lines[start])
            for row, line in zip(body, lines[start + 1 :], strict=False):
                assert [cell[2] for cell in places(as_printed(line))] == [text for text in row if text]
                for first, last, cell in places(as_printed(line)):
                    above = [heading for a, b, heading in headings if first < b and a < last]
                    assert head[row.index(cell)] == (above[0] if above else "") or row.count(cell) > 1
            assert all(any(row[i] for row in body) for i, heading in enumerate(head) if heading)
            lines = lines[start + 1 :]
    assert count >= 170
    comparisons = sum(text.count(HEADINGS) + text.count("var × ns") for text in texts)
    assert comparisons == sum(len(re.findall(f"<th[^>]*>({HEADINGS}|var × ns)</th>", str(o))) for o in typeset(*texts))

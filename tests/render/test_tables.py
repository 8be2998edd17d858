"""Tests of assets/tables.lua, which typesets the tables that cells print. It runs here as a filter, as in Quarto."""

from __future__ import annotations

import json
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
    html = pypandoc.convert_text(outputs, "html", format="markdown", filters=[str(ROOT / "assets" / "tables.lua")])
    return BeautifulSoup(html, "html5lib").select(".cell-output")


def cells(table: Tag, part: str) -> list[list[str]]:
    return [[cell.get_text() for cell in row.select("th, td")] for row in table.select(f"{part} tr")]


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
    assert [cell["style"] for cell in table.select("tbody tr:first-child td")] == [
        "text-align: left;",
        *["text-align: right;"] * 3,
    ]


def test_titles_and_other_lines_stay_around_a_table() -> None:
    text = "first line\nsecond line\n\nvariance\n      a     b\nx   1.0   2.0\n\nbias: 3"
    (output,) = typeset(text)
    assert [part.name for part in output.find_all(recursive=False)] == ["pre", "div", "table", "pre"]
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
        (
            "        K = 3        K = 10\n   bias²  var  bias²     var\na   0.00  1.0   0.00    2.00\nb  10.00  1.0",
            [["", "", "K = 3", "", "K = 10"], ["", "bias²", "var", "bias²", "var"]],
            [["a", "0.00", "1.0", "0.00", "2.00"], ["b", "10.00", "1.0", "", ""]],
        ),
    ],
)
def test_other_headings(text: str, head: list[list[str]], body: list[list[str]]) -> None:
    (output,) = typeset(text)
    assert cells(output, "thead") == head
    assert cells(output, "tbody") == body


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
    ],
)
def test_what_is_not_a_table_stays_as_it_is(text: str) -> None:
    (output,) = typeset(text)
    assert not output.select("table")
    assert output.pre
    assert output.pre.get_text().rstrip("\n") == text


def test_only_what_was_printed_is_typeset() -> None:
    (output,) = typeset("      a     b\nx   1.0   2.0", kind="cell-output-display")
    assert not output.select("table")


def test_each_comparison_of_the_book_is_a_table_and_no_word_is_lost() -> None:
    texts = printed()
    for text, output in zip(texts, typeset(*texts), strict=True):
        assert output.get_text(" ").split() == text.split()
        for table in output.select("table"):
            assert "" not in [row[0] for row in cells(table, "tbody")]
        headings = [row for table in output.select("table") for row in cells(table, "thead")]
        assert sum(HEADINGS in row for row in headings) == text.count(HEADINGS)

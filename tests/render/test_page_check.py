"""Tests that the check over rendered pages goes red for each kind of fault, and stays green on good pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from render.check import check_book

ROOT = Path(__file__).resolve().parents[2]
PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>A title</title><link rel="stylesheet" href="style.css"><link rel="icon" href="data:,">
</head><body><h1 id="top">Heading</h1><img src="dot.svg" alt="A dot."><p>Text, <a href="#top">up</a>,
<a href="other.html#there">there</a>, <a rel="noopener" href="https://example.org/#a">elsewhere</a>.</p>
<pre>::: $$ @fig-x</pre><p><code>{#eq-x}</code> <span class="math display">\\[ $$ \\]</span></p></body></html>
"""
OTHER = '<html lang="en"><head><title>T</title></head><body><h1 id="there">H</h1></body></html>'


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "other.html").write_text(OTHER)
    (tmp_path / "style.css").write_text("p { background: url(dot.svg) }")
    (tmp_path / "dot.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return tmp_path


def run_check(book: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "render.check", str(book)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_good_pages_pass(book: Path) -> None:
    done = run_check(book)
    assert (done.returncode, done.stdout) == (0, "2 pages, 0 findings\n")


def test_findings_are_printed_and_counted(book: Path) -> None:
    (book / "dot.svg").unlink()
    done = run_check(book)
    assert (done.returncode, done.stdout) == (1, "index.html: has a broken link: dot.svg\n2 pages, 1 finding\n")


def test_an_empty_folder_does_not_pass(tmp_path: Path) -> None:
    assert run_check(tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('lang="en"', "", "has no lang"),
        ("A title", "", "has no title"),
        ("<h1 id", "<h1>Two</h1><h1 id", "has 2 first-level headings"),
        ("h1", "h2", "has 0 first-level headings"),
        ("<p>Text", '<p id="top">Text', "has the id top 2 times"),
        ("other.html#there", "gone.html", "has a broken link: gone.html"),
        ("other.html#there", "../outside.html", "has a broken link: ../outside.html"),
        ("other.html#there", "gone.ipynb", "has a broken link: gone.ipynb"),
        ("#there", "#gone", "has a link to an anchor that is not there: other.html#gone"),
        ("#top", "#gone", "has a link to an anchor that is not there: #gone"),
        ("style.css", "gone.css", "has a broken link: gone.css"),
        ("style.css", "https://example.org/a.css", "loads from another host: https://example.org/a.css"),
        ("</body>", '<script src="//example.org/a.js"></script></body>', "loads from another host: //example.org/a.js"),
        ("dot.svg", "https://example.org/a.svg", "loads from another host: https://example.org/a.svg"),
        (
            "<p>Text",
            '<p style="background: url(https://example.org/b)">Text',
            "loads from another host: https://example.org/b",
        ),
        (
            "</head>",
            "<style>@import 'https://example.org/c';</style></head>",
            "loads from another host: https://example.org/c",
        ),
        (
            "</body>",
            '<form action="https://example.org/f"></form></body>',
            "loads from another host: https://example.org/f",
        ),
        (
            "</body>",
            '<object data="https://example.org/o"></object></body>',
            "loads from another host: https://example.org/o",
        ),
        (
            ' rel="noopener"',
            "",
            "has a link that leaves the book without rel=noopener: https://example.org/#a",
        ),
        (
            ' href="other.html',
            ' ping="https://example.org/p" href="other.html',
            "has a link that reports clicks: https://example.org/p",
        ),
        (
            "</body>",
            "<script>new Image().src = '//pixel.example.org/p?' + location</script></body>",
            "has a script that names another host: pixel.example.org",
        ),
        (
            "</body>",
            '<script>navigator.sendBeacon("https://example.org/b")</script></body>',
            "has a script that names another host: example.org",
        ),
        ('alt="A dot."', 'alt=" "', "has a picture without a text alternative: dot.svg"),
        ('alt="A dot."', "", "has a picture without a text alternative: dot.svg"),
    ],
)
def test_a_fault_in_a_page_is_found(book: Path, old: str, new: str, finding: str) -> None:
    (book / "index.html").write_text(PAGE.replace(old, new))
    assert (Path("index.html"), finding) in check_book(book)


@pytest.mark.parametrize(("minutes", "found"), [(15, []), (16, ["takes 16 minutes to read, and a chapter at most 15"])])
def test_a_chapter_can_be_read_in_a_quarter_of_an_hour(book: Path, minutes: int, found: list[str]) -> None:
    (book / "chapters").mkdir()
    text = OTHER.replace("</h1>", f"</h1><p>About {minutes} minutes to read</p>")
    (book / "chapters" / "01.html").write_text(text)
    assert check_book(book) == [(Path("chapters/01.html"), what) for what in found]


@pytest.mark.parametrize(
    "leak", ["$$", "@eq-a", "@fig-a", "@sec-a", "@tbl-a", "?@sec-a", "::: {.x}", "{#a}", "{{< v >}}"]
)
def test_leaked_markup_is_found(book: Path, leak: str) -> None:
    (book / "index.html").write_text(PAGE.replace("Text", f"Text {leak} text"))
    findings = [what for _, what in check_book(book)]
    assert findings
    assert all(what.startswith("shows markup") for what in findings)


def test_a_style_sheet_that_asks_another_host_is_found(book: Path) -> None:
    (book / "style.css").write_text("@font-face { src: url('https://example.org/f.woff2') }")
    assert check_book(book) == [(Path("style.css"), "loads from another host: https://example.org/f.woff2")]


def test_hidden_icons_and_quartos_title_block_are_no_faults(book: Path) -> None:
    extras = '<header id="title-block-header"><h1>Book</h1></header><img src="dot.svg" aria-hidden="true">'
    (book / "index.html").write_text(PAGE.replace("<p>Text", f"{extras}<p>Text"))
    assert check_book(book) == []


@pytest.mark.parametrize(
    ("attributes", "found"), [("", 0), (' target="_blank"', 1), (' target="_blank" rel="noopener"', 0)]
)
def test_of_quartos_links_those_that_open_a_window_are_looked_at(book: Path, attributes: str, found: int) -> None:
    page = PAGE.replace("<title>", '<meta name="generator" content="quarto-1.9.38"><title>')
    (book / "index.html").write_text(page.replace(' rel="noopener"', attributes))
    assert len(check_book(book)) == found


def test_a_script_may_name_a_name_space(book: Path) -> None:
    script = '<script>document.createElementNS("http://www.w3.org/2000/svg", "svg")</script></body>'
    (book / "index.html").write_text(PAGE.replace("</body>", script))
    assert check_book(book) == []

"""The server of the browser tests, how Lighthouse's reports are read, and how heights are written."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tools.chromium import find_chromium
from tools.heights import BANDS, STYLES, written
from tools.lighthouse import PRESETS, read_scores
from tools.pdf import page_numbers
from tools.serve import served

ROOT = Path(__file__).resolve().parents[2]


def ask(address: str, encoding: str) -> tuple[bytes, str | None]:
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept-Encoding": encoding})) as answer:
        return answer.read(), answer.headers["Content-Encoding"]


def test_text_is_served_compressed_and_pictures_as_they_are(tmp_path: Path) -> None:
    text, picture = b"<p>Many words.</p>" * 100, b"\x89PNG"
    (tmp_path / "index.html").write_bytes(text)
    (tmp_path / "a.png").write_bytes(picture)
    with served(tmp_path) as base:
        body, encoding = ask(base, "gzip")
        assert encoding == "gzip"
        assert len(body) < len(text)
        assert gzip.decompress(body) == text
        assert ask(base, "identity") == (text, None)
        assert ask(f"{base}a.png", "gzip") == (picture, None)
        with pytest.raises(urllib.error.HTTPError, match="404") as error:
            ask(f"{base}b.html", "gzip")
        error.value.close()


def report(performance: float, shift: float = 0.0, best: float = 1.0) -> dict:
    marks = {"performance": performance, "accessibility": 1.0, "best-practices": best}
    return {
        "categories": {name: {"score": score} for name, score in marks.items()},
        "audits": {
            "cumulative-layout-shift": {"numericValue": shift},
            "total-byte-weight": {"numericValue": 2e5},
        },
    }


def test_the_median_counts_and_what_is_missed_is_named() -> None:
    scores = read_scores([report(0.5), report(0.94), report(0.99)])
    assert scores.marks["performance"] == pytest.approx(94)
    assert scores.kilobytes == pytest.approx(200)
    assert scores.misses(PRESETS["desktop"]) == ["performance < 95"]
    assert scores.misses(PRESETS["mobile"]) == []
    scores = read_scores([report(1.0, shift=0.05, best=0.9)])
    assert scores.misses(PRESETS["mobile"]) == ["best-practices < 95", "CLS >= 0.05"]


def test_a_page_that_could_not_be_measured_is_no_zero() -> None:
    broken = report(1.0) | {"runtimeError": {"message": "No paint."}, "requestedUrl": "x.html"}
    with pytest.raises(ValueError, match=r"Lighthouse failed on x\.html: No paint\."):
        read_scores([broken])


def test_the_browser_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert find_chromium() is None
    named = tmp_path / "browser"
    named.write_text("#!/bin/sh\n")
    named.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(named))
    assert find_chromium() == str(named)


def test_the_devcontainer_sets_up_as_make_does() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "python tools/setup.py"
    assert "chromium" in container["onCreateCommand"]


def test_places_in_a_pdf_are_counted_in_the_order_of_its_pages() -> None:
    pdf = b"""
9 0 obj
<</Type /Pages /Kids [7 0 R 4 0 R] /Count 2>>
4 0 obj
<</Type /Page /Parent 9 0 R>>
7 0 obj
<</Type /Page /Parent 9 0 R>>
<</index#2F [7 0 R /XYZ 0 800 0] /chapters#2F01#2F [4 0 R /XYZ 0 10 0] /elsewhere [12 0 R /XYZ 0 10 0]>>
"""
    assert page_numbers(pdf) == {"index/": 1, "chapters/01/": 2}


def test_heights_are_rounded_up_to_a_quarter_and_written_to_the_line_of_the_figure() -> None:
    styles = '[data-explore="race"] { --explore-wide: 1rem; }\n[data-explore="bent"] { --explore-wide: 2rem; }\n'
    assert written(styles, {"race": {"wide": 28.21, "narrow": 40.0}}) == styles.replace(
        "--explore-wide: 1rem;", "--explore-wide: 28.25rem; --explore-narrow: 40rem;"
    )
    with pytest.raises(ValueError, match="no line of heights for the figure 'funnel'"):
        written(styles, {"funnel": {"wide": 1.0}})


def test_each_band_of_heights_is_one_of_the_style_sheet() -> None:
    styles = STYLES.read_text(encoding="utf-8")
    assert all(f"--explore-height: var(--explore-{band})" in styles for band in BANDS)

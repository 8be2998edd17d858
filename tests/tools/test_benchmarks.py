"""The benchmark: its table is made from its results file, its marks are applied, its peers do the same work."""

import json
import re

import pytest

from benchmarks import peers
from benchmarks.__main__ import check
from benchmarks.report import CHART, PAGE, PARTS, RESULTS, Row, drawing, into_page, libraries, rates
from tools.pages import fill


def results() -> dict[str, object]:
    return json.loads(RESULTS.read_text())


def test_the_page_and_the_chart_are_made_from_the_results_file() -> None:
    assert PAGE.read_text() == into_page(PAGE.read_text(), results()), "run: python -m benchmarks.report"
    assert CHART.read_text() == drawing(results()), "run: python -m benchmarks.report"


@pytest.mark.parametrize("part", ["chart", "rates", "facts"])
def test_other_results_make_another_page(part: str) -> None:
    """The figures of a part follow the results: none is typed by hand."""
    other = results()
    for row in other["rows"]:  # type: ignore[attr-defined]
        row["value"] *= 3
        row["rate"] = row["rate"] and 7 * row["rate"]
    old, new = (re.findall(r"\d[\d.,]*", re.sub(r"\$.*?\$", "", PARTS[part](found))) for found in (results(), other))
    assert len(set(old) - set(new)) >= 6


def test_a_page_without_a_part_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold the part 'run' once, got 0"):
        fill("# Performance\n", {"run": "text"})


@pytest.mark.parametrize(
    ("value", "less_is_better", "verdict"),
    [
        (0.39, False, "falls short"),
        (0.4, False, "holds"),
        (0.65, False, "reaches the aim"),
        (0.66, True, "falls short"),
        (0.65, True, "holds"),
        (0.4, True, "reaches the aim"),
    ],
)
def test_the_verdict_goes_by_the_marks(value: float, less_is_better: bool, verdict: str) -> None:
    must, aim = (0.65, 0.4) if less_is_better else (0.4, 0.65)
    row = Row("share", value, "", must, aim, less_is_better)
    assert row.verdict == verdict
    assert str(row).endswith(f"({verdict})")


def test_plain_and_compiled_are_next_to_each_other() -> None:
    rows = [
        Row("share: share of raw", 0.4, "", 0.2, None, rate=2e6),
        Row("share, compiled: share of raw", 0.1, "", 0.2, None, spread=0.3, rate=5e5),
    ]
    found = results() | {"rows": [row.as_dict() for row in rows]}
    assert "\n| share | 2 | 0.5 | 40% ± 0% | 10% ± 3% |\n" in rates(found)


def test_the_rate_of_a_peer_is_that_of_the_engine_over_the_speed_up() -> None:
    rows = [
        Row("pathwise: share of raw", 0.4, "", 0.2, None, rate=1e6),  # another comparison, at another time
        Row("peer, N = 1e7: speed-up", 2.0, "", 1, None, rate=8e6),
        Row("peer, N = 1e7, compiled: speed-up", 4.0, "", 1, None, rate=16e6),
        Row("peer, in our chunks, N = 1e7: speed-up", 0.8, "", 1, None, rate=8e6),
        Row("peer, in our chunks, N = 1e7, compiled: speed-up", 1.6, "", 1, None, rate=16e6),
        Row("slow, N = 1e7: speed-up", 8.0, "", 1, None, rate=8e6),
        Row("slow, N = 1e7, compiled: speed-up", 16.0, "", 1, None, rate=16e6),
    ]
    found = results() | {"rows": [row.as_dict() for row in rows]}
    speeds = libraries(found)
    assert speeds == {"this book, compiled": (16, None), "peer": (4, 10), "this book": (8, None), "slow": (1, None)}
    assert list(speeds) == ["this book, compiled", "peer", "this book", "slow"]
    assert "; peer 4, in chunks 10; this book 8; slow 1." in PARTS["chart"](found)
    assert drawing(found) != drawing(found | {"rows": [row.as_dict() for row in (*rows[:3], *rows[5:])]})


def test_a_ratio_is_that_of_the_medians() -> None:
    row = Row.of_ratio("x", [2.0, 4.0, 90.0], [1.0, 2.0, 3.0], 10, 1.5, None)
    assert row.value == 2
    assert row.rate == 5


def test_every_mark_of_the_engine_is_measured() -> None:
    """What the book's engine promises to reach; a row that is left out would look like one that holds."""
    labels = " ".join(row["label"] for row in results()["rows"])  # type: ignore[attr-defined, index]
    promised = (
        "raw torch.randn",
        "one backward",
        "jax.jit(vmap(grad))",
        "torch.func.vmap(grad)",
        "Pyro",
        "Storchastic",
    )
    promised += ("resident memory", "1e6 to 1e7", "1e7 to 1e8", "N = 1000", "chain of 1e5", "1e4 times")
    promised += ("score function", "straight-through", "binary concrete", "Gumbel-softmax, K = 10", "mc_gradients")
    assert [name for name in promised if name not in labels] == []


@pytest.mark.parametrize("peer", [peers.torch_vmap, lambda: lambda n: peers.loop()(n // 50)], ids=["vmap", "loop"])
def test_a_peer_does_the_same_work(peer: object) -> None:
    work = peer()  # type: ignore[operator]
    found = work(100_000)
    # 7 standard errors of the loop, which draws 2,000 times
    assert abs(found[0] - 24) < 7 * 84 / 2000**0.5
    assert abs(found[1] - 84) < 7 * 122 / 2000**0.5


def test_a_peer_that_estimates_something_else_is_refused() -> None:
    with pytest.raises(RuntimeError, match="twice must estimate"):
        check("twice", lambda n: tuple(2 * value for value in peers.torch_vmap()(n)))  # type: ignore[arg-type, return-value]

"""The benchmark: its table is made from its results file, its marks are applied, its peers do the same work."""

import json
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.__main__ import check
from benchmarks.report import PAGES, PARTS, RESULTS, Row, into_page, shortfalls, table
from tools.pages import fill


def results() -> dict[str, object]:
    return json.loads(RESULTS.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_made_from_the_results_file(page: Path) -> None:
    assert page.read_text() == into_page(page, results()), "run: python -m benchmarks.report"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_results_make_another_page(page: Path) -> None:
    """Each figure of a page follows its row: none is typed by hand."""
    other = results()
    for row in other["rows"]:  # type: ignore[attr-defined]
        row["value"] *= 3
        row["rate"] = row["rate"] and 3 * row["rate"]
    old, new = page.read_text().splitlines(), into_page(page, other).splitlines()
    changed = [a for a, b in zip(old, new, strict=True) if a != b]
    assert len(changed) >= 15
    assert all("|" in line for line in changed if "alls short" not in line)


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
    found = results() | {"rows": [row.as_dict()]}
    assert ("share" in shortfalls(found)) == (verdict == "falls short")
    mark = {"falls short": "(short)", "holds": "", "reaches the aim": "(aim)"}[verdict]
    assert table(found).splitlines()[-1].startswith(f"| share | {value} {mark}".rstrip() + " |")


def test_plain_and_compiled_stand_side_by_side() -> None:
    rows = [Row("share: of raw", 0.4, "", 0.2, None), Row("share, compiled: of raw", 0.1, "", 0.2, None, spread=0.031)]
    found = results() | {"rows": [row.as_dict() for row in rows]}
    assert table(found).splitlines()[-1] == "| share: of raw | 0.4 | 0.1 ± 3% (short) | ≥ 0.2 |  |"


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
    assert set(PARTS) == {name for parts in PAGES.values() for name in parts}


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

"""The explorable figures in a browser: the numbers that a page shows are right, and every reader can work them.

The random numbers are those of numpy.random.RandomState, so each printed estimate is compared with one computed here,
to its last digit; that these estimates are right is a matter of standard errors, at most 4.5 of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect
from scipy import stats

from tests.browser.conftest import NewPage

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "funnel": "index",
    "pathwise": "chapters/01-general-idea",
    "latent": "chapters/03-vae",
    "passes": "chapters/05-backpropagation",
    "bent": "chapters/06-straight-through",
    "race": "chapters/07-gumbel-max",
    "temperature": "chapters/08-gumbel-softmax",
    "convergence": "chapters/09-log-derivative",
    "baseline": "chapters/09-log-derivative",
    "measure": "chapters/12-measure-valued",
    "sobol": "chapters/11-better-samples",
}
PI, C = np.array([0.2, 0.3, 0.5]), np.array([0.0, 1.0, 2.0])
SIGMAS = 4.5
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "experimental"]}

Open = Callable[[str], Locator]


def open_on(page: Page, book: str, name: str) -> Locator:
    """Opens the chapter of a figure, goes there and waits until it is live."""
    page.goto(f"{book}{PAGES[name]}.html")
    figure = page.locator(f"[data-explore={name}]")
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".explore-body")).to_be_visible(timeout=30_000)  # a busy machine is no fault of the page
    return figure


@pytest.fixture
def opened(page: Page, book: str) -> Open:
    return partial(open_on, page, book)


def number(text: str) -> float:
    return float(text.replace("\u2212", "-").replace(",", ""))


def pair(text: str) -> tuple[float, float]:
    """Reads `a ± s`."""
    mean, error = text.split(" ± ")
    return number(mean), number(error)


def cell(figure: Locator, row: str, column: str) -> str:
    return figure.locator(f'td[data-number="{row}, {column}"]').inner_text()


def slider(figure: Locator, name: str) -> Locator:
    return figure.get_by_role("slider", name=name, exact=True)


def shows(text: str, samples: np.ndarray) -> None:
    """`text` is the mean of the samples and its standard error, correct to the last digit."""
    mean, error = pair(text)
    step = 10.0 ** -len(text.split(" ± ")[1].partition(".")[2])
    assert mean == pytest.approx(samples.mean(), abs=0.5001 * step)
    assert error == pytest.approx(samples.std(ddof=1) / len(samples) ** 0.5, abs=0.5001 * step)
    assert len(text.split(" ± ")[1].replace(".", "").lstrip("0")) == 3, f"{text}: not three digits"


# Chapter 1 ------------------------------------------------------------------------------------------------------------


def check_pathwise(figure: Locator, mu: float, sigma: float, seed: int) -> None:
    eps = np.random.RandomState(seed).standard_normal(50)
    z = mu + sigma * eps
    samples = {
        ("pathwise", "∂/∂μ"): np.cos(z),
        ("pathwise", "∂/∂σ"): np.cos(z) * eps,
        ("score function", "∂/∂μ"): np.sin(z) * eps / sigma,
        ("score function", "∂/∂σ"): np.sin(z) * (eps**2 - 1) / sigma,
    }
    exact = {
        "∂/∂μ": math.exp(-(sigma**2) / 2) * math.cos(mu),
        "∂/∂σ": -sigma * math.exp(-(sigma**2) / 2) * math.sin(mu),
    }
    for (row, column), gradients in samples.items():
        shows(cell(figure, row, column), gradients)
        mean, error = pair(cell(figure, row, column))
        assert abs(mean - exact[column]) < SIGMAS * error
    for column, value in exact.items():
        assert number(cell(figure, "exact", column)) == pytest.approx(value, abs=5.1e-5)


def test_pathwise_shows_the_right_numbers_for_every_noise(opened: Open) -> None:
    figure = opened("pathwise")
    for seed in range(10):
        check_pathwise(figure, 1.0, 0.5, seed)
        figure.get_by_role("button", name="New noise").click()


def test_the_bars_of_both_derivatives_have_one_scale(opened: Open) -> None:
    figure = opened("pathwise")
    eps = np.random.RandomState(0).standard_normal(50)
    z = 1 + 0.5 * eps
    terms = {
        "pathwise, mu": np.cos(z),
        "pathwise, sigma": np.cos(z) * eps,
        "score, mu": np.sin(z) * eps / 0.5,
        "score, sigma": np.sin(z) * (eps**2 - 1) / 0.5,
    }
    longest = {
        "pathwise, mu": (-1.1, 1.1),
        "pathwise, sigma": (-2.2, 1.4),
        "score, mu": (-2, 4),
        "score, sigma": (-2, 4),
    }
    units = []
    for name, expected in terms.items():
        track = figure.locator(f"[data-track='{name}']")
        ends = "lines => lines.map((line) => Number(line.getAttribute('y1')) - Number(line.getAttribute('y2')))"
        heights = np.array(track.locator(".explore-bar").evaluate_all(ends))
        shown = np.clip(expected, *longest[name])
        units.append(np.abs(heights).max() / np.abs(shown).max())
        assert heights == pytest.approx(units[-1] * shown, abs=1e-6)
        assert track.locator(".explore-beyond").count() == (shown != expected).sum()
    assert units == pytest.approx([units[0]] * 4)


def test_pathwise_by_keyboard_moves_the_draws_and_not_the_noise(opened: Open) -> None:
    figure = opened("pathwise")
    noise, draws = figure.locator(".explore-draws .is-noise"), figure.locator(".explore-draws :not(.is-noise)")

    def places(dots: Locator) -> np.ndarray:
        return np.array(dots.evaluate_all("dots => dots.map((dot) => Number(dot.getAttribute('cx')))"))

    noise_before, draws_before = places(noise), places(draws)
    mu, sigma = slider(figure, "mu"), slider(figure, "sigma")
    for _ in range(20):
        mu.press("ArrowRight")
    assert mu.get_attribute("aria-valuetext") == "1.20"
    moved = places(draws) - draws_before
    assert np.all(places(noise) == noise_before)
    assert moved == pytest.approx(np.full(50, moved[0]))
    assert moved[0] > 5
    for _ in range(30):
        sigma.press("ArrowLeft")
    check_pathwise(figure, 1.2, 0.2, seed=0)
    mu.press("Home")
    sigma.press("End")
    check_pathwise(figure, -1.0, 1.5, seed=0)


def test_pathwise_by_dragging(page: Page, opened: Open) -> None:
    figure = opened("pathwise")

    def drag(handle: str, pixels: int) -> None:
        box = figure.locator(f"[data-handle={handle}] .explore-touch").bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + pixels, y, steps=5)
        page.mouse.up()
        page.mouse.move(x + pixels + 200, y)  # let go: nothing may follow

    drag("mu", 84)
    width = figure.locator(".explore-drawing").evaluate("svg => svg.viewBox.baseVal.width")
    mu = number(slider(figure, "mu").get_attribute("aria-valuetext") or "")
    assert mu == pytest.approx(1 + 84 / ((width - 16) / 10), abs=0.02)
    check_pathwise(figure, mu, 0.5, seed=0)
    drag("sigma", 40)
    sigma = number(slider(figure, "sigma").get_attribute("aria-valuetext") or "")
    assert sigma == pytest.approx(0.5 + 40 / ((width - 16) / 10), abs=0.02)
    check_pathwise(figure, mu, sigma, seed=0)
    drag("mu", 3000)
    assert slider(figure, "mu").get_attribute("aria-valuetext") == "3.00"


# The words and dots of a drawing that are outside it, or outside the chart that cuts off what lies beyond it. Slanted
# and Greek letters reach out of their lines by some pixels.
OUTSIDE = """figure => [...figure.querySelectorAll(".explore-drawing")].flatMap(drawing =>
    [...drawing.querySelectorAll("text, .explore-dot, .explore-handle circle:not(.explore-touch)")].flatMap(mark => {
        const [whole, part] = [drawing.getBoundingClientRect(), mark.closest(".explore-inside")];
        const of = (name) => part?.[name].baseVal.value; // the box of an inner svg would grow with what is in it
        const frame = part ? new DOMRect(whole.left + of("x"), whole.top + of("y"), of("width"), of("height")) : whole;
        const box = mark.getBoundingClientRect();
        const [across, down] = mark.tagName === "circle" ? [box.width / 2 + 1, box.width / 2 + 1] : [4, 6];
        const inside = box.left > frame.left - across && box.right < frame.right + across &&
            box.top > frame.top - down && box.bottom < frame.bottom + down;
        return inside ? [] : [mark.textContent || mark.getAttribute("class")];
    }))"""


@pytest.mark.parametrize("name", ["pathwise", "temperature", "latent", "bent", "baseline"])
@pytest.mark.parametrize("width", [390, 1280])
def test_words_and_dots_stay_inside_at_the_ends_of_all_sliders(page: Page, opened: Open, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    figure = opened(name)
    sliders, again = figure.get_by_role("slider").all(), figure.get_by_role("button", name=re.compile("^New "))
    for _ in range(4 if again.count() else 1):
        for ends in product(("Home", "End"), repeat=len(sliders)):
            for control, end in zip(sliders, ends, strict=True):
                control.press(end)
            assert figure.evaluate(OUTSIDE) == [], ends
        if again.count():
            again.click()


# Chapter 8 ------------------------------------------------------------------------------------------------------------


def check_temperature(figure: Locator, seed: int) -> None:
    tau = number(slider(figure, "temperature tau").get_attribute("aria-valuetext") or "")
    step = int(slider(figure, "temperature tau").input_value())
    tau_exactly = 0.05 * 60 ** (step / 40)
    assert tau == pytest.approx(tau_exactly, abs=5.1e-4)
    u = np.random.RandomState(seed).random_sample((300, 3))
    scores = (np.log(PI) - np.log(-np.log(u))) / tau_exactly
    y = np.exp(scores - scores.max(1, keepdims=True))
    y /= y.sum(1, keepdims=True)
    value = y @ C
    gradient = 2 / tau_exactly * value * y[:, 1] * (C[1] - value)
    line = figure.locator(".explore-step").inner_text()
    found = re.fullmatch(
        r"These samples give (.+)\. With more of them, the estimate converges to (.+)\. "
        r"The exact value is \u22120\.39\.",
        line,
    )
    assert found, line
    shows(found[1], gradient)
    truth = PI[1] * (C[1] ** 2 - PI @ C**2)
    limit = number(found[2])
    bias, error, whole = (number(cell(figure, "relaxed", c)) for c in ("bias", "standard error", "r.m.s. error"))
    assert truth == pytest.approx(-0.39)
    assert bias == pytest.approx(limit - truth, abs=1.1e-4)
    assert whole == pytest.approx(math.hypot(bias, error), abs=1.1e-4)
    assert abs(gradient.mean() - limit) < SIGMAS * error
    squares = (gradient - limit) ** 2  # heavy-tailed at a low temperature, so their own standard error is the measure
    assert abs(squares.mean() - 300 * error**2) < SIGMAS * squares.std(ddof=1) / math.sqrt(300)


def test_temperature_shows_the_right_numbers(opened: Open) -> None:
    figure = opened("temperature")
    tau = slider(figure, "temperature tau")
    for seed in range(3):
        for key in ("Home", "PageUp", "PageUp", "PageUp", "End"):
            tau.press(key)
            check_temperature(figure, seed)
        figure.get_by_role("button", name="New noise").click()


def test_the_error_is_least_at_the_temperature_that_the_text_names(page: Page, opened: Open) -> None:
    figure = opened("temperature")
    tau = slider(figure, "temperature tau")
    tau.press("Home")
    errors, lowest = {}, {}
    for _ in range(41):
        at = number(tau.get_attribute("aria-valuetext") or "")
        errors[at] = number(cell(figure, "relaxed", "r.m.s. error"))
        lowest[at] = float(figure.locator(".explore-dot.is-whole").get_attribute("cy") or "")
        tau.press("ArrowRight")
    assert len(errors) == 41
    best = min(errors, key=errors.__getitem__)
    assert best == pytest.approx(0.2, abs=0.04)
    assert lowest[best] == max(lowest.values()), "the dot on the curve is lowest there, too"
    assert lowest[best] - lowest[0.05] > 15, "and the minimum can be seen"
    assert "The error is smallest at about" in page.locator("[data-explore] ~ p").first.inner_text()


def test_every_sample_lies_in_the_triangle_and_moves_to_a_corner_as_the_temperature_falls(opened: Open) -> None:
    figure = opened("temperature")
    outline = figure.locator(".explore-outline").get_attribute("points") or ""
    corners = np.array([[number(x) for x in point.split(",")] for point in outline.split(" ")])
    to_shares = np.linalg.inv(np.vstack([corners.T, np.ones(3)]))

    def largest_shares() -> np.ndarray:
        places = figure.locator(".explore-mark").evaluate_all(
            "marks => marks.map((mark) => [Number(mark.getAttribute('x')), Number(mark.getAttribute('y')), 1])"
        )
        shares = np.array(places) @ to_shares.T
        assert shares.shape == (300, 3)
        assert shares.min() > -0.002
        return shares.max(1)

    slider(figure, "temperature tau").press("End")
    hot = largest_shares().mean()
    slider(figure, "temperature tau").press("Home")
    assert hot < 0.6 < 0.95 < largest_shares().mean()


# Chapter 9 ------------------------------------------------------------------------------------------------------------


EXACT_VARIANCE = {"pathwise": 4 * 42**2, "score function": 12**4 / 42**2 + 14 * 12**2 + 15 * 42**2}


def gradients_of_forty_runs(seed: int) -> dict[str, np.ndarray]:
    eps = np.random.RandomState(seed).standard_normal((40, 10_000))
    z = 12 + 42 * eps
    return {"pathwise": 2 * z, "score function": z**2 * eps / 42}


def test_convergence_shows_the_right_numbers_for_every_run(opened: Open) -> None:
    figure = opened("convergence")
    count = slider(figure, "number of samples")
    for seed in range(4):
        samples = gradients_of_forty_runs(seed)
        for key in ("Home", "PageUp", "End"):
            count.press(key)
            n = int(number(count.get_attribute("aria-valuetext") or ""))
            assert n >= 10
            for row, g in samples.items():
                mean, error = pair(cell(figure, row, "one run ± std. error"))
                exact_error = (EXACT_VARIANCE[row] / n) ** 0.5
                z_scores = (g[:, :n].mean(1) - 24) / exact_error
                assert error == pytest.approx(exact_error, rel=0.005)
                assert mean == pytest.approx(g[0, :n].mean(), abs=0.005 * exact_error)
                assert number(cell(figure, row, "z-score").replace("+", "")) == pytest.approx(z_scores[0], abs=0.0051)
                within = (abs(z_scores) <= 2).sum()
                assert cell(figure, row, "runs within ±2 std. errors") == f"{within} of 40"
        assert n == 10_000
        # the sum of 40 squared z-scores is close to chi-squared at N = 10,000; 1e-4 of it lies beyond 85 (and 12)
        assert 12 < (z_scores**2).sum() < 85
        figure.get_by_role("button", name="Forty new runs").click()


def test_the_funnels_are_two_standard_errors_wide_and_their_widths_differ_by_two(opened: Open) -> None:
    figure = opened("convergence")
    expect(figure.locator(".explore-line.is-past")).to_have_count(78)
    halves = {}
    for svg, (name, variance) in zip(figure.locator(".explore-drawing").all(), EXACT_VARIANCE.items(), strict=True):
        axis = svg.locator(".explore-axis").nth(1).locator(".tick")
        texts = axis.locator("text").all_text_contents()
        heights = axis.evaluate_all("ticks => ticks.map((t) => t.transform.baseVal[0].matrix.f)")
        places = {
            number(text): y - 0.5 for text, y in zip(texts, heights, strict=True)
        }  # d3 moves ticks to whole pixels
        points = (svg.locator(".explore-band").get_attribute("points") or "").split(" ")
        upper = np.array([[float(x) for x in point.split(",")] for point in points[: len(points) // 2]])
        unit = (places[72] - places[24]) / 48
        assert upper[-1, 1] == pytest.approx(places[24] + unit * 2 * (variance / 10_000) ** 0.5, abs=0.06)
        halves[name] = places[24] - upper[len(upper) // 2 :, 1]
    assert halves["score function"] == pytest.approx(
        (EXACT_VARIANCE["score function"] / 7056) ** 0.5 * halves["pathwise"], rel=0.05
    )
    assert (halves["score function"] - halves["pathwise"]).min() > 2, "at every N on the right half, it can be seen"


# Chapter 5 ------------------------------------------------------------------------------------------------------------


def test_passes_step_by_step(opened: Open) -> None:
    figure = opened("passes")
    line, nodes = figure.locator(".explore-step"), figure.locator(".explore-node")
    following = figure.get_by_role("button", name="Next")
    for words in ["12", "= 21", "= 33", "= 1089", "= 1.", "= 66", "= 66 and", "= 33"]:
        assert words in line.inner_text()
        last = line.inner_text()
        following.press("Enter")
    assert line.inner_text() == last, "there is nothing behind the last step"
    expect(following).to_have_attribute("aria-disabled", "true")
    final = {node.get_attribute("data-node"): node.locator("text").all_text_contents()[1:] for node in nodes.all()}
    assert final == {
        "sigma": ["42", "dy/dσ = 33"],
        "s": ["21", "dy/ds = 66"],
        "eps": ["0.5"],
        "z": ["33", "dy/dz = 66"],
        "mu": ["12", "dy/dμ = 66"],
        "y": ["1089", "dy/dy = 1"],
    }
    edges = figure.locator(".explore-edge text").all_text_contents()
    assert sorted(edges) == sorted(["42", "0.5", "21", "12", "33", "66 × 0.5", "66 × 1", "66 × 1", "1 × 2 · 33"])
    figure.get_by_role("button", name="Back").click()
    assert "dy/dσ = 33" not in figure.inner_text()


@pytest.mark.parametrize(("key", "eps"), [("Home", -2.0), ("End", 2.0), ("ArrowLeft", 0.25)])
def test_passes_with_another_noise(opened: Open, key: str, eps: float) -> None:
    figure = opened("passes")
    slider(figure, "step").press("End")
    slider(figure, "epsilon").press(key)
    text = figure.locator(".explore-drawing").text_content() or ""
    in_mu = re.search(r"dy/dμ = (\u2212?[\d.]+)", text)
    in_sigma = re.search(r"dy/dσ = (\u2212?[\d.]+)", text)
    assert in_mu
    assert in_sigma
    assert number(in_mu[1]) == 2 * (12 + 42 * eps)
    assert number(in_sigma[1]) == 2 * (12 + 42 * eps) * eps


def test_the_graph_lies_on_a_desktop_and_stands_on_a_phone(page: Page, opened: Open) -> None:
    figure = opened("passes")
    place = "nodes => nodes.map((node) => [node.transform.baseVal[0].matrix.e, node.transform.baseVal[0].matrix.f])"
    chain = figure.locator("[data-node=sigma], [data-node=s], [data-node=z], [data-node=y]")
    across, down = np.array(chain.evaluate_all(place)).T
    assert np.all(np.diff(np.sort(across)) > 150)
    assert np.ptp(down) == 0
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function(
        "svg => svg.viewBox.baseVal.width < 400", arg=figure.locator(".explore-drawing").element_handle()
    )
    across, down = np.array(chain.evaluate_all(place)).T
    assert np.ptp(across) == 0
    assert np.all(np.diff(np.sort(down)) > 80)


def test_an_arrow_has_one_colour_and_a_backward_one_is_dashed(opened: Open) -> None:
    figure = opened("passes")
    slider(figure, "step").press("End")
    for edge in figure.locator(".explore-edge.is-shown").all():
        line, head, text = (
            edge.locator(part).evaluate(f"e => getComputedStyle(e).{of}")
            for part, of in (("line", "stroke"), ("polygon", "fill"), ("text", "fill"))
        )
        assert line == head == text
    dashes = "lines => lines.map((line) => getComputedStyle(line).strokeDasharray)"
    assert set(figure.locator(".is-forward line").evaluate_all(dashes)) == {"none"}
    assert set(figure.locator(".is-backward.is-shown line").evaluate_all(dashes)) == {"7px, 4px"}


def test_it_plays_when_asked_and_stops_when_asked(page: Page, opened: Open) -> None:
    page.clock.install()
    figure = opened("passes")
    step = slider(figure, "step")
    page.clock.run_for(5000)
    assert step.input_value() == "0", "nothing moves unasked"
    figure.get_by_role("button", name="Play").click()
    page.clock.run_for(2000)
    assert step.input_value() == "1"
    figure.get_by_role("button", name="Pause").click()
    page.clock.run_for(5000)
    assert step.input_value() == "1"
    figure.get_by_role("button", name="Play").click()
    page.clock.run_for(2000)
    figure.get_by_role("button", name="Next").click()  # who takes a step stops it, too
    page.clock.run_for(5000)
    assert step.input_value() == "3"
    figure.get_by_role("button", name="Play").click()
    page.clock.run_for(20_000)
    assert step.input_value() == "7"
    expect(figure.get_by_role("button", name="Play")).to_be_visible()


def test_with_less_motion_the_end_is_shown_at_once(new_page: NewPage, book: str) -> None:
    figure = open_on(new_page(reduced_motion="reduce"), book, "passes")
    figure.get_by_role("button", name="Play").click()
    assert slider(figure, "step").input_value() == "7"
    expect(figure.get_by_role("button", name="Play")).to_be_visible()


def test_nothing_of_a_pass_is_shown_before_its_step(opened: Open) -> None:
    figure = opened("passes")
    assert figure.locator(".explore-edge.is-shown").count() == 0
    assert figure.locator(".explore-backward").count() == 0
    slider(figure, "step").press("ArrowRight")
    assert figure.locator(".explore-edge.is-shown").count() == 2


# Chapter 7 ------------------------------------------------------------------------------------------------------------

RATES = np.array([0.1, 0.2, 0.3, 0.4])


def winners(seed: int, races: int) -> np.ndarray:
    u = np.random.RandomState(seed).random_sample((races, 4))
    return (np.log(RATES) - np.log(-np.log(u))).argmax(1)


def check_tally(figure: Locator, won: np.ndarray) -> None:
    for i in range(4):
        row = f"runner {i + 1}"
        wins = np.sum(won == i)
        assert cell(figure, row, "wins") == str(wins)
        assert number(cell(figure, row, "expected")) == pytest.approx(RATES[i] * len(won), abs=0.051)
        share, error = pair(cell(figure, row, "share of wins"))
        assert share == pytest.approx(wins / len(won), abs=5.1e-4)
        assert error == pytest.approx((wins * (len(won) - wins) / len(won) ** 3) ** 0.5, rel=0.006)
        assert abs(share - RATES[i]) < SIGMAS * (RATES[i] * (1 - RATES[i]) / len(won)) ** 0.5


def test_the_tally_counts_the_right_winners(new_page: NewPage, book: str) -> None:
    figure = open_on(new_page(reduced_motion="reduce"), book, "race")
    for races in (40, 80, 120, 160):
        figure.get_by_role("button", name="Forty races").click()
        check_tally(figure, winners(0, races))
        bars = figure.locator(".explore-tally").evaluate_all("bars => bars.map((bar) => bar.width.baseVal.value)")
        assert bars == pytest.approx(np.bincount(winners(0, races)) * (sum(bars) / races), abs=0.01)
    figure.get_by_role("button", name="Start over").click()
    assert cell(figure, "runner 1", "wins") == "0"
    figure.get_by_role("button", name="Forty races").click()
    check_tally(figure, winners(1, 40))


def test_a_race_ends_when_the_first_arrives(page: Page, opened: Open) -> None:
    page.clock.install()
    figure = opened("race")
    place = "runners => runners.map((runner) => Number(runner.firstChild.getAttribute('cx')))"
    start = figure.locator(".explore-runner").evaluate_all(place)
    finish = float(figure.locator(".explore-exact").get_attribute("x1") or "")
    figure.get_by_role("button", name="One race").click()
    page.clock.run_for(600)
    assert cell(figure, "runner 1", "share of wins") == "none yet"
    page.clock.run_for(1000)
    (won,) = winners(0, 1)
    assert cell(figure, f"runner {won + 1}", "wins") == "1"
    expect(figure.locator(".explore-runner.is-winner")).to_have_attribute("data-runner", str(won + 1))
    u = np.random.RandomState(0).random_sample(4)
    ways = np.array(figure.locator(".explore-runner").evaluate_all(place)) - start
    assert ways == pytest.approx((finish - start[0]) * (-np.log(u) / RATES).min() / (-np.log(u) / RATES), abs=0.01)


# Chapter 9, the baseline ----------------------------------------------------------------------------------------------


def test_a_baseline_changes_the_variance_and_not_the_mean(opened: Open) -> None:
    figure = opened("baseline")
    b = slider(figure, "baseline b")
    z = 12 + 42 * np.random.RandomState(0).standard_normal(400)
    least = 8 * 12**2 + 6 * 42**2
    heights = {}

    def check(expected: float) -> None:
        assert float(b.input_value()) == expected
        shows(cell(figure, "score function", "estimate of 24"), (z**2 - expected) * (z - 12) / 42**2)
        variance = least + (expected - 12**2 - 3 * 42**2) ** 2 / 42**2
        assert abs(pair(cell(figure, "score function", "estimate of 24"))[0] - 24) < SIGMAS * (variance / 400) ** 0.5
        assert number(cell(figure, "score function", "variance")) == pytest.approx(variance, abs=0.51)
        assert number(cell(figure, "score function", "÷ lowest")) == pytest.approx(variance / least, abs=5.1e-4)
        heights[expected] = float(figure.locator(".explore-dot").get_attribute("cy") or "")

    check(0)
    figure.get_by_role("button", name="b = mean of f").click()
    check(12**2 + 42**2)
    b.fill("5436")
    check(5436)
    assert cell(figure, "score function", "÷ lowest") == "1.000"
    b.press("ArrowRight")
    assert number(cell(figure, "score function", "variance")) >= least
    b.press("End")
    check(17436)
    assert heights[5436] == max(heights.values())


# Chapter 12 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f(z) = z²", "f(z) = 1 if z > 50, else 0"])
def test_pairs_estimate_the_derivative_of_a_jump_too(opened: Open, kind: str) -> None:
    figure = opened("measure")
    figure.get_by_role("button", name=kind).click()
    source = np.random.RandomState(0)
    w = np.sqrt(-2 * np.log1p(-source.random_sample(400)))
    jumps = "50" in kind
    f = (lambda z: (z > 50).astype(float)) if jumps else np.square
    pairs = (f(12 + 42 * w) - f(12 - 42 * w)) / (42 * (2 * math.pi) ** 0.5)
    exact = stats.norm(12, 42).pdf(50) if jumps else 24
    column = "∂/∂μ"
    shows(cell(figure, "400 pairs", column), pairs)
    assert number(cell(figure, "exact", column)) == pytest.approx(exact, rel=1e-3)
    assert abs(pairs.mean() - exact) < SIGMAS * pairs.std(ddof=1) / 20
    if jumps:
        assert cell(figure, "pathwise, 400 samples", column) == "0"
    else:
        mean, error = pair(cell(figure, "pathwise, 400 samples", column))
        assert error == pytest.approx(84 / 20, rel=0.2)
        assert abs(mean - 24) < SIGMAS * 84 / 20
    slider(figure, "distance w").press("Home")
    assert "this gives 0.00" in figure.locator(".explore-step").inner_text(), "both places are the mean"


def test_a_pair_moves_from_the_mean_outwards(page: Page, opened: Open) -> None:
    page.clock.install()
    figure = opened("measure")
    w = slider(figure, "distance w")
    figure.get_by_role("button", name="Move the pair").click()
    page.clock.run_for(2500)
    assert 1 < float(w.input_value()) < 2
    w.press("ArrowLeft")  # who moves it by hand stops it
    by_hand = w.input_value()
    page.clock.run_for(2000)
    assert w.input_value() == by_hand
    figure.get_by_role("button", name="Move the pair").click()
    page.clock.run_for(8000)
    assert w.input_value() == "3"
    expect(figure.get_by_role("button", name="Move the pair")).to_be_visible()


# Chapter 3 ------------------------------------------------------------------------------------------------------------


def test_a_point_of_the_latent_plane_is_decoded(page: Page, opened: Open) -> None:
    source = (ROOT / "assets" / "explore" / "latent-weights.js").read_text(encoding="utf-8")
    stored = {name: np.array(json.loads(text)) for name, text in re.findall(r"const (\w+) = (\[[-\d,]+\]);", source)}
    codes = stored["CODES"].reshape(-1, 2) / 100
    figure = opened("latent")

    def check() -> np.ndarray:
        z = np.array([number(slider(figure, name).get_attribute("aria-valuetext") or "") for name in ("z 1", "z 2")])
        units = np.tanh(stored["HIDDEN_WEIGHTS"].reshape(64, 2) @ z / 100 + stored["HIDDEN_BIAS"] / 100)
        logits = stored["PIXEL_WEIGHTS"].reshape(64, 64) @ units / 100 + stored["PIXEL_BIAS"] / 100
        expected = 1 / (1 + np.exp(-logits))
        shown = figure.locator(".explore-pixel").evaluate_all(
            "all => all.map((p) => Number(p.getAttribute('fill-opacity')))"
        )
        np.testing.assert_allclose(shown, expected, atol=6e-4)
        line = figure.locator(".explore-step").inner_text()
        found = re.search(r"switches on ([\d.]+) of 64 pixels on average. The nearest code is that of an? (\d)", line)
        assert found, line
        assert float(found[1]) == pytest.approx(expected.sum(), abs=0.051)
        near = np.hypot(*(codes - z).T)
        assert int(found[2]) in stored["LABELS"][near < near.min() + 1e-9]
        return z

    start = check()
    slider(figure, "z 1").press("ArrowRight")
    assert check() == pytest.approx(start + np.array([0.05, 0]))
    box = figure.locator("[data-handle=z] .explore-touch").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()
    moved = check() - start
    assert moved[0] > 0.8
    assert moved[1] < -0.5
    # A code is left out if the sliders, which have steps of 0.05, would show it as one of another digit.
    near_grid = np.hypot(*(codes[:, None] - np.clip(np.round(codes / 0.05) * 0.05, -2.5, 2.5)).T).argmin(1)
    offered = np.flatnonzero(stored["LABELS"][near_grid] == stored["LABELS"])
    left_out = np.flatnonzero(offered != np.arange(len(offered)))[0]
    for code in offered[1 : left_out + 1]:  # the first is where the figure begins
        figure.get_by_role("button", name="Go to a picture's code").click()
        assert check() == pytest.approx(np.clip(codes[code], -2.5, 2.5), abs=0.026)
        digit = f"{stored['LABELS'][code]}"
        assert f" {digit}. The codes of this digit" in figure.locator(".explore-step").inner_text()
        lit = figure.locator(".is-code.is-pathwise").all_text_contents()
        assert lit == [digit] * np.count_nonzero(stored["LABELS"] == stored["LABELS"][code])


# Chapter 6 ------------------------------------------------------------------------------------------------------------


def test_a_limit_of_zero_has_no_sign(opened: Open) -> None:
    figure = opened("bent")
    slider(figure, "bend").fill("-1.25")
    slider(figure, "probability p").fill("0.9")
    expect(figure.locator(".explore-step")).to_contain_text("converges to 0 here")


def test_only_the_main_button_drags(page: Page, opened: Open) -> None:
    figure = opened("latent")
    at = figure.locator("[data-handle=z]").bounding_box()
    before = figure.locator(".explore-step").inner_text()
    assert at
    page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    page.mouse.down(button="right")
    page.mouse.move(at["x"] + 80, at["y"] + 40)
    page.mouse.up(button="right")
    assert figure.locator(".explore-step").inner_text() == before


def test_the_races_stop_and_start_anew(page: Page, opened: Open) -> None:
    page.clock.install()
    figure = opened("race")
    figure.get_by_role("button", name="Forty races").click()
    page.clock.run_for(300)
    figure.get_by_role("button", name="Stop").click()
    expect(figure.get_by_role("button", name="Forty races")).to_be_visible()


def test_a_figure_has_its_summary_before_it_may_speak(page: Page, opened: Open) -> None:
    page.clock.install()  # no timer of the page ends
    assert opened("temperature").get_by_role("status").inner_text()


@pytest.mark.parametrize(
    ("a", "p", "said"), [(1, 0.25, "converges to 0.500"), (4, 0.25, "wrong sign"), (4, 0.5, "unbiased")]
)
def test_straight_through_of_a_bent_function(opened: Open, a: float, p: float, said: str) -> None:
    figure = opened("bent")
    slider(figure, "bend").fill(str(a))
    slider(figure, "probability p").fill(str(p))
    slopes = 1 + a * (2 * (np.random.RandomState(0).random_sample(200) < p) - 1)
    row = "straight-through"
    shows(cell(figure, row, "200 samples"), slopes)
    limit = 1 + a * (2 * p - 1)
    assert number(cell(figure, row, "limit")) == pytest.approx(limit, abs=5.1e-4)
    assert number(cell(figure, row, "bias")) == pytest.approx(limit - 1, abs=5.1e-4)
    assert abs(slopes.mean() - limit) < SIGMAS * 2 * a * (p * (1 - p) / 200) ** 0.5
    expect(figure.locator(".explore-step")).to_contain_text(said)


# The cover ------------------------------------------------------------------------------------------------------------


def test_the_cover_is_alive(page: Page, opened: Open) -> None:
    page.clock.install()
    figure = opened("funnel")
    expect(figure.locator("img")).to_be_hidden()
    expect(figure.locator("figcaption")).to_be_visible()
    expect(figure.locator(".explore-line.is-past")).to_have_count(39)
    g = 2 * (12 + 42 * np.random.RandomState(0).standard_normal(10_000))
    count, row = slider(figure, "number of samples"), "z = mu + sigma * eps"

    def check(n: int) -> None:
        mean, error = pair(cell(figure, row, "mu.grad, one run"))
        assert error == pytest.approx(84 / n**0.5, rel=0.005)
        assert mean == pytest.approx(g[:n].mean(), abs=0.005 * error)
        assert cell(figure, "z = torch.normal(mu, sigma)", "mu.grad, one run") == "0"

    check(10_000)
    figure.get_by_role("button", name="Play").click()
    page.clock.run_for(2500)
    figure.get_by_role("button", name="Pause").click()
    n = int(number(count.get_attribute("aria-valuetext") or ""))
    assert 100 < n < 10_000  # the clock of the page also runs while the test waits for a slow machine
    check(n)
    figure.get_by_role("button", name="Play").click()
    page.clock.run_for(5000)
    assert count.get_attribute("aria-valuetext") == "10,000"
    page.emulate_media(media="print")
    expect(figure.locator("img")).to_be_visible()
    expect(figure.locator(".explore-body")).to_be_hidden()


# Figures whose chapters are being written -----------------------------------------------------------------------------


@pytest.fixture
def alone(page: Page, book: str) -> Callable[[str, str], Locator]:
    """Opens a page that holds one figure with the given content, and waits until it is live."""

    def opened(name: str, content: str = "") -> Locator:
        head = '<title>T</title><link rel="stylesheet" href="assets/page.css">'
        head += '<script src="assets/explore.js" defer></script>'
        body = f'<main class="content"><h1>T</h1><div class="explorable" data-explore="{name}">{content}</div></main>'
        html = f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}</head><body>{body}</body></html>'
        page.route(f"{book}alone.html", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto(f"{book}alone.html")
        figure = page.locator(f"[data-explore={name}]")
        expect(figure.locator(".explore-body")).to_be_visible()
        return figure

    return opened


def check_everywhere(figure: Locator) -> None:
    """What every figure keeps to: it fits a phone, axe finds nothing in either theme, and changes are spoken."""
    page = figure.page
    expect(figure.get_by_role("status")).not_to_be_empty()
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        found = Axe().run(page, context="[data-explore]", options=RULES).response["violations"]
        assert [(rule["id"], [node["html"][:80] for node in rule["nodes"]]) for rule in found] == []
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def sobol_errors(seed: int, power: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The forty errors of both kinds of points, and the first random points, as the figure draws them."""
    source = np.random.RandomState(seed)
    net = (stats.qmc.Sobol(d=2, scramble=False, bits=32).random(2**power) * 2**32).astype(np.uint64)
    errors, first = [], None
    for _ in range(40):
        shift = (source.random_sample(2) * 2**32).astype(np.uint64)
        shifted = (net ^ shift) / 2**32
        chance = source.random_sample((1024, 2))[: 2**power]
        first = chance if first is None else first
        errors.append([np.exp(points.sum(1)).mean() - (math.e - 1) ** 2 for points in (chance, shifted)])
    chance_errors, net_errors = np.array(errors).T
    assert first is not None
    return chance_errors, net_errors, first


def test_sobol_points_leave_no_box_empty_and_have_smaller_errors(alone: Callable[..., Locator]) -> None:
    figure = alone("sobol")
    for key, power in (("Home", 2), ("End", 10)):
        slider(figure, "number of points").press(key)
        chance, net, points = sobol_errors(0, power)
        assert cell(figure, "Sobol points", "empty boxes") == f"0 of {2**power}"
        boxes = np.floor(points[:, 0] * 2 ** (power // 2)) + 1000 * np.floor(points[:, 1] * 2 ** (power // 2))
        assert cell(figure, "random points", "empty boxes") == f"{2**power - len(np.unique(boxes))} of {2**power}"
        for row, errors in (("random points", chance), ("Sobol points", net)):
            assert number(cell(figure, row, "error of one mean")) == pytest.approx(errors[0], abs=5.1e-6)
            assert number(cell(figure, row, "r.m.s. error of 40")) == pytest.approx(
                (errors**2).mean() ** 0.5, abs=5.1e-6
            )
        # forty independent errors of known variance: chi-squared, of which 1e-5 lies on either side
        deviation = (((math.e**2 - 1) / 2) ** 2 - (math.e - 1) ** 4) ** 0.5 / 2 ** (power / 2)
        assert 13 < ((chance / deviation) ** 2).sum() < 91
    assert (net**2).mean() < (chance**2).mean() / 100
    check_everywhere(figure)


def test_points_fill_the_square_one_by_one(alone: Callable[..., Locator]) -> None:
    figure = alone("sobol")
    points = figure.locator(".explore-point.is-pathwise")
    figure.get_by_role("button", name="Fill").click()
    expect(figure.get_by_role("button", name="Pause")).to_be_visible()
    figure.page.wait_for_function("document.querySelectorAll('.explore-point.is-pathwise').length > 8")
    assert 8 < points.count() < 1024
    figure.get_by_role("button", name="Pause").click()
    stopped = points.count()
    figure.page.wait_for_timeout(300)
    assert points.count() == stopped
    slider(figure, "number of points").press("Home")
    assert points.count() == 4
    figure.page.emulate_media(reduced_motion="reduce")
    figure.get_by_role("button", name="Fill").click()
    assert points.count() == 1024
    assert cell(figure, "Sobol points", "empty boxes") == "0 of 1024"
    assert slider(figure, "number of points").input_value() == "10"


TREE = """<p>Text.</p><ul><li><strong>Can it be summed?</strong>
<ul><li>Yes: Sum it, see <a href="index.html">here</a>.</li>
<li><p>No: <strong>Is z discrete?</strong></p>
<ul><li>Yes: <em>Relax</em> it.</li><li>No: Pathwise.</li></ul></li></ul></li></ul>"""


def test_the_chooser_asks_what_its_list_says(alone: Callable[..., Locator]) -> None:
    figure = alone("chooser", TREE)
    question = figure.locator(".explore-question")
    expect(figure.locator(":scope > ul")).to_be_hidden()
    expect(question).to_contain_text("Can it be summed?")
    question.get_by_role("button", name="No").press("Enter")
    expect(question).to_contain_text("Is z discrete?")
    question.get_by_role("button", name="Yes").click()
    expect(question.locator("em")).to_have_text("Relax")
    expect(question.get_by_role("button")).to_have_text(["Start over"])
    figure.get_by_role("button", name="Go back to this question").nth(1).click()
    expect(question).to_contain_text("Is z discrete?")
    figure.get_by_role("button", name="Go back to this question").click()
    question.get_by_role("button", name="Yes").click()
    expect(question.get_by_role("link", name="here")).to_be_visible()
    check_everywhere(figure)
    figure.page.emulate_media(media="print")
    expect(figure.locator(":scope > ul")).to_be_visible()


def test_the_chooser_of_the_chapter_leads_to_an_estimator_and_fits_a_phone(page: Page, book: str) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"{book}chapters/18-which-estimator.html")
    figure = page.locator("[data-explore=chooser]")
    figure.scroll_into_view_if_needed()
    question = figure.locator(".explore-question")
    for answer in ("No", "Binary", "Few"):
        question.get_by_role("button", name=answer, exact=True).click()
    expect(question).to_contain_text("Local expectation")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    question.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Measure-valued derivatives")


EVERY_PATH = """(figure) => {
  const over = [], right = figure.getBoundingClientRect().right;
  let ends = 0;
  const walk = (path) => {
    for (const button of figure.querySelectorAll("button")) {
      if (button.getBoundingClientRect().right > right + 0.5) over.push(`${path.join(" > ")}: ${button.textContent}`);
    }
    const answers = () => [...figure.querySelectorAll(".explore-question button")];
    if (answers()[0].textContent === "Start over") return ends++;
    answers().forEach((answer, i) => {
      answers()[i].click();
      walk([...path, answer.textContent]);
      [...figure.querySelectorAll(".explore-path button")].at(-1).click();
    });
  };
  walk([]);
  return [ends, over];
}"""


@pytest.mark.parametrize("width", [320, 390])
def test_on_every_path_of_the_chooser_all_answers_fit_a_phone(page: Page, book: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{book}chapters/18-which-estimator.html")
    figure = page.locator("[data-explore=chooser]")
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".explore-question")).to_be_visible()
    ends, over = figure.evaluate(EVERY_PATH)
    assert ends > 20
    assert over == []


# Every figure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_changes_are_spoken_without_motion(opened: Open, name: str) -> None:
    figure = opened(name)
    status = figure.get_by_role("status")
    expect(status).not_to_be_empty()
    before = status.inner_text()
    if name == "race":
        figure.page.emulate_media(reduced_motion="reduce")
        figure.get_by_role("button", name="Forty races").click()
    else:
        figure.get_by_role("slider").first.press("ArrowLeft" if name == "funnel" else "ArrowRight")
    assert figure.evaluate("element => element.getAnimations({ subtree: true }).length") == 0
    expect(status).not_to_have_text(before)
    for svg in figure.locator(".explore-drawing").all():
        assert len(svg.get_attribute("aria-label") or "") > 40


SETTLED = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    do {
        await frame();
        await frame();
        await document.fonts.ready;
    } while (document.fonts.status !== "loaded");
}"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1280, 700, 424, 360, 320])
def test_the_page_does_not_jump(page: Page, book: str, name: str, width: int) -> None:
    page.add_init_script(
        "window.shifts = []; new PerformanceObserver((list) => { for (const { value, sources } of list.getEntries()) "
        "shifts.push([value, ...sources.map(({ node }) => (node?.outerHTML ?? node?.data ?? '').slice(0, 80))]) })"
        ".observe({ type: 'layout-shift', buffered: true })"
    )
    # The figure measures itself while it fills its place: a page that is taller then is scrolled, and stays so.
    page.add_init_script(
        "window.tallest = 0; const measure = Element.prototype.getBoundingClientRect; "
        "Element.prototype.getBoundingClientRect = function () { "
        "tallest = Math.max(tallest, document.documentElement.scrollHeight); return measure.call(this); }"
    )
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{book}{PAGES[name]}.html")
    page.evaluate(SETTLED)  # what moved until then was told to the observer, too
    page.evaluate("tallest = 0, shifts.length = 0")
    figure = page.locator(f"[data-explore={name}]")
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".explore-body")).to_be_visible(timeout=30_000)
    page.evaluate(SETTLED)
    shifts = page.evaluate("shifts")
    assert sum(value for value, *_ in shifts) < 0.005, shifts
    assert 0 < page.evaluate("tallest") <= page.evaluate("document.documentElement.scrollHeight") + 1
    live = figure.evaluate("element => element.getBoundingClientRect().height")
    figure.evaluate("element => element.querySelector('.explore-body').remove()")
    assert figure.evaluate("element => element.getBoundingClientRect().height") == pytest.approx(live, abs=1)


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_every_width(page: Page, opened: Open, name: str) -> None:
    figure = opened(name)
    for width in (820, 600, 360, 320):
        page.set_viewport_size({"width": width, "height": 800})
        svg = figure.locator(".explore-drawing").first
        page.wait_for_function(
            "svg => svg.viewBox.baseVal.width === Math.round(svg.clientWidth)", arg=svg.element_handle()
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = figure.bounding_box()
        assert box
        for part in figure.locator("svg, table, input, button").all():
            inner = part.bounding_box()
            assert inner
            assert inner["x"] >= box["x"] - 1, width
            assert inner["x"] + inner["width"] <= box["x"] + box["width"] + 1, width
            assert inner["height"] >= 24, width  # WCAG 2.5.8


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_colours_follow_the_theme(page: Page, opened: Open, name: str) -> None:
    figure = opened(name)
    inks = set()
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        inks.add(figure.evaluate("element => getComputedStyle(element.querySelector('.explore-body')).color"))
        found = Axe().run(page, context="[data-explore]", options=RULES).response["violations"]
        assert [(rule["id"], [node["html"][:80] for node in rule["nodes"]]) for rule in found] == []
    assert len(inks) == 2
    page.emulate_media(media="print")  # on paper the chapter's own figures stand alone
    expect(figure.locator(".explore-body")).to_be_hidden()


@pytest.fixture
def browser_of(page: Page) -> Browser:
    browser = page.context.browser
    assert browser
    return browser


def test_without_scripts_the_static_figures_stand_alone(browser_of: Browser, book: str) -> None:
    with browser_of.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        for name, address in PAGES.items():
            page.goto(f"{book}{address}.html")
            figure = page.locator(f"[data-explore={name}]")
            if figure.locator("img").count():
                expect(figure.locator("img")).to_be_visible()
            else:
                expect(figure).to_be_hidden()
            expect(page.locator("figure img").first).to_be_visible()


def test_by_touch(browser_of: Browser, book: str) -> None:
    with browser_of.new_context(has_touch=True, viewport={"width": 360, "height": 800}) as context:
        page = context.new_page()
        figure = open_on(page, book, "passes")
        figure.get_by_role("button", name="Next").tap()
        expect(figure.locator(".explore-step")).to_contain_text("s = σϵ")
        figure = open_on(page, book, "pathwise")
        handle = figure.locator("[data-handle=mu]")
        handle.scroll_into_view_if_needed()
        box = handle.locator(".explore-touch").bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2 - 5, box["y"] + box["height"] / 2
        finger = context.new_cdp_session(page)
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for dx in (10, 20, 39):
            finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + dx, "y": y}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        expect(slider(figure, "mu")).to_have_attribute("aria-valuetext", re.compile(r"2\.1\d"))
        mu = number(slider(figure, "mu").get_attribute("aria-valuetext") or "")
        check_pathwise(figure, mu, 0.5, seed=0)


# Files ----------------------------------------------------------------------------------------------------------------


def test_from_a_file_no_place_is_kept_for_a_figure_that_cannot_move(browser_of: Browser, tmp_path: Path) -> None:
    script = (ROOT / "assets" / "explore" / "start.js").as_uri()
    (tmp_path / "page.html").write_text(
        f'<!doctype html><title>T</title><div data-explore="passes"></div><script src="{script}"></script>'
    )
    with browser_of.new_context() as context:
        page = context.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        expect(page.locator("[data-explore]")).to_have_class(re.compile("is-still"))

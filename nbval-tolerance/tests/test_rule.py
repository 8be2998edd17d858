"""The comparison passes everything that it should, and nothing else."""

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbval_tolerance import Tolerance, disagreements, only_rough_numbers_differ, standard_errors_apart
from nbval_tolerance.grammar import tokens

ROW = "mu     24.13 ± 2.66     24  z = +0.05"


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("mean 24.13 ± 2.66", "mean 31.0 ± 2.9"),
        ("mean 9.98 ± 0.11", "mean 10.020 ± 0.110"),
        ("3.2±0.1", "3.25±0.11"),
        ("3.2 ± 0.1", "3.25±0.11"),
        ("3.2 +/- 0.1", "3.25 +/- 0.11"),
        ("3.2\u00a0±\u00a00.1", "3.25 ± 0.11"),
        (".5 ± .1", ".6 ± .1"),
        ("3. ± 1.", "2. ± 1."),
        ("3. ± 1.", "3.5 ± 0.9"),
        ("it is 3 ± 1.", "it is 3.5 ± 0.9."),
        ("1.2E-05 ± 3E-06", "1.3e-05 ± 3e-06"),
        ("\u22123.2 ± 0.1", "-3.25 ± 0.1"),
        ("(3.2 ± 0.1) %", "(3.3 ± 0.1) %"),
        ("3.2 ± 0.1%", "3.3 ± 0.1%"),
        ("(1.20+/-0.30)e-05", "(9.50+/-2.80)E-06"),
        ("0.50 ± 0.00", "0.51 ± 0.00"),
        ("0.50 ± 0.01", "0.51 ± 0.03"),
        ("0.50 ± 0.01", "0.51 ± 0.00"),
        ("0 ± 0", "0 ± 0"),
        ("1000000 ± 0", "1000000.5 ± 0"),
        ("[1.0 ± 0.1, 2.0 ± 0.1]", "[1.1 ± 0.1, 1.9 ± 0.1]"),
        ("1,234.0 ± 10.0", "1,250.0 ± 11.0"),
        ("<td>1.0 ± 0.1</td>", "<td>1.1 ± 0.1</td>"),
        ("|1.0 ± 0.1|", "|1.1 ± 0.1|"),
        ("no numbers", "no numbers"),
        ("≈ 12.3 µs", "≈ 1,100.5 µs"),
        ("≈ 900 µs a call", "≈ 1.1 ms a call"),
        ("≈ 2 μs", "≈ 900 ns"),
        ("≈ 59.0 s.", "≈ 1 s."),
        ("≈ 4.1", "≈ 3.5e2"),
        ("≈ 4.1 (3 to 5)", "≈ 7.2 (6.5 to 8)"),
        ("≈ −4.1 (−5 to −4)", "≈ −3.2 (−3.5 to −3)"),
        ("≈ 4 (4 to 4), then", "≈ 4 (4 to 4), then"),
        ("≈ 1,200,000 samples/s", "≈ 9e5 samples/s"),
        ("≈ 12, then ≈ 3.5 times", "≈ 12.5, then ≈ 4 times"),
        ("≈ 3 s, 1.0 ± 0.1, z = +1.00", "≈ 4 s, 1.1 ± 0.1, z = +2.00"),
        (ROW, ROW.replace("24.13 ± 2.66", " 20.1 ± 2.5 ").replace("+0.05", "-1.56")),
    ],
)
def test_what_agrees(stored: str, fresh: str) -> None:
    assert disagreements(stored, fresh) == []
    assert disagreements(fresh, stored) == []


@pytest.mark.parametrize(
    ("stored", "fresh", "reason"),
    [
        ("nnz = 3", "nnz = 4", "words"),
        ("p(z = 1) = 0.25", "p(z = 2) = 0.25", "words"),
        ("3.0 ± 0.1 p(z = +1.50)", "3.0 ± 0.1 p(z = +2.50)", "words"),
        ("z = 1.02 ± 0.01", "z = 4.40 ± 0.01", "over 4.5"),
        ("E z = 3.20 ± 0.10", "E z = -4.10 ± 0.10", "over 4.5"),
        ("1.2E-05 ± 3E-06", "1.2E-03 ± 3E-06", "over 4.5"),
        ("3.2 ± 0.1", "# ± #", "numbers"),
        ("≈ 3", "≈ #", "numbers"),
        ("NaN", "NaN", "shows-nonfinite"),
        ("Infinity", "Infinity", "shows-nonfinite"),
        ("[nan, 1]", "[nan, 1]", "shows-nonfinite"),
        ("a   1.0 ± 0.1           b", "a           1.0 ± 0.1   b", "columns"),
        ("\t1.0 ± 0.1\t", "\t\t1.0 ± 0.1", "words"),
        ("exact 24", "exact      24", "columns"),
        ("24.13 ± 0.10", "24.90 ± 0.10", "over 4.5"),
        ("24.13 ± 0.10", "24.13 ± 0.22", "factor"),
        ("24.13 ± 0.10", "24.13 ± 0", "factor"),
        ("0 ± 0", "0.001 ± 0", "exact values differ"),
        ("0.5 ± 0", "0.6 ± 0", "exact values differ"),
        ("0.50 ± 0.00", "0.52 ± 0.00", "exact values differ"),
        ("5 ± 0", "6 ± 0", "exact values differ"),
        ("1.5 ± 0.1", "nan ± nan", "not finite"),
        ("NaN ± NaN", "NaN ± NaN", "not finite"),
        ("1.5 ± 0.1", "1.5 ± inf", "not finite"),
        ("1.5 ± 0.1", "1e999 ± 0.1", "not finite"),
        ("1.5 ± 0.1", "1.5 ± -0.1", "negative"),
        (ROW, ROW.replace("+0.05", "+4.51"), "over 4.5"),
        (ROW.replace("+0.05", "-4.51"), ROW, "over 4.5"),
        (ROW, ROW.replace("+0.05", "nan"), "numbers"),
        (ROW, ROW.replace("+0.05", "—"), "numbers"),
        ("z = +1.02", "z = +1.03", "words"),
        ("the estimate is 1.0 ± 0.1", "the result is 1.0 ± 0.1", "words"),
        ("exact 24", "exact 24.1", "words"),
        ("1.0 ± 0.1, 2.0 ± 0.1", "1.0 ± 0.1", "2 numbers to compare were stored, 1 were printed"),
        ("1.0 ± 0.1", "1.0 ± 0.1, 2.0 ± 0.1", "1 numbers to compare were stored, 2 were printed"),
        ("1.0 ± 0.1", "1.0", "numbers"),
        ("1.0 ± 0.1", "1.0 ± 0.1 kg", "words"),
        ("1.0 ± 0.1.", "1.0 ± 0.1", "words"),
        ("a\nb", "a b", "words"),
        ("a\nb", "a", "lines"),
        ("a", "a\n", "lines"),
        ("3.2(1)", "3.3(1)", "words"),
        ("3.2 ± 0.1 ± 0.1", "3.3 ± 0.1 ± 0.1", "words"),
        ("3,2 ± 0,1", "3,3 ± 0,1", "words"),
        ("v1.0 ± 0.1", "v1.1 ± 0.1", "words"),
        ("1.0 ± 0.1x", "1.1 ± 0.1x", "words"),
        ("≈ 1.0 µs", "≈ 101 µs", "factor 100"),
        ("≈ 1.0 ms", "≈ 9 µs", "factor 100"),
        ("≈ 1.0 ms", "≈ 0 ms", "not finite and positive"),
        ("≈ 1.0 ms", "≈ -1.0 ms", "not finite and positive"),
        ("≈ 1.0 ms", "≈ nan ms", "not finite and positive"),
        ("≈ inf", "≈ inf", "not finite and positive"),
        ("≈ 3 samples", "≈ 3 sample", "words"),
        ("≈ 4.1 (3 to 5)", "≈ 7.8 (7 to 8)", "gap between the ranges"),
        ("≈ 7.8 (7 to 8)", "≈ 4.1 (3 to 5)", "gap between the ranges"),
        ("≈ 4.1 (3 to 5)", "≈ 4.1 (3 to nan)", "not finite"),
        ("≈ 4.1 (3 to 5)", "≈ 5.1 (3 to 5)", "outside its own range"),
        ("≈ 4.1 (3 to 5)", "≈ 4.1 (5 to 3)", "outside its own range"),
        ("≈ 4.1 (3 to 5)", "≈ 4.1", "words"),
        ("4.1 (3 to 5)", "4.1 (3 to 6)", "words"),
        ("≈ 3 s", "≈ 3", "words"),
        ("≈ 3 MB", "≈ 3 GB", "words"),
        ("≈ 3 s", "3 s", "numbers"),
        ("≈ 24.0 ± 0.1", "≈ 30.0 ± 0.1", "over 4.5"),
    ],
)
def test_what_does_not(stored: str, fresh: str, reason: str) -> None:
    (found,) = disagreements(stored, fresh)
    assert any(reason in one for one in found.reasons), found
    assert found.by_distance == (reason == "over 4.5")


@pytest.mark.parametrize(
    ("stored", "fresh", "same"),
    [
        ("≈ 12.3 µs, 4.0 ± 0.1", "≈ 0.01 ms, 4.0 ± 0.1", True),
        ("≈ 12.3 µs, 4.0 ± 0.1", "≈ 12.3 µs, 4.1 ± 0.1", False),
        ("≈ 12.3 µs", "≈ 12.3 µs ", False),
        ("≈ 12.3 µs", "≈ 12.3", False),
    ],
)
def test_texts_that_differ_in_rough_numbers_only(stored: str, fresh: str, same: bool) -> None:
    assert only_rough_numbers_differ(stored, fresh) == same


def test_a_tolerance_of_ones_own() -> None:
    assert disagreements("3.0 ± 0.1", "3.8 ± 0.1", Tolerance(sigmas=3))
    assert not disagreements("3.0 ± 0.1", "3.0 ± 0.3", Tolerance(factor=4))
    assert not disagreements("3.0 ± 0", "3.1 ± 0", Tolerance(relative=0.1))
    assert disagreements("≈ 3", "≈ 30", Tolerance(rough_factor=5))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("sigmas", 0.0, "> 0"),
        ("sigmas", float("inf"), "> 0"),
        ("factor", 0.5, ">= 1"),
        ("relative", -1e-9, ">= 0"),
        ("rough_factor", float("nan"), ">= 1"),
    ],
)
def test_a_tolerance_out_of_range_is_refused(name: str, value: float, allowed: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} must be a finite number {allowed}, got {value:g}")):
        replace(Tolerance(), **{name: value})


# generated texts ------------------------------------------------------------------------------------------------------

ALPHABET = "zaZ09.,;:=±≈+-−()[]|#%/eE_ \t\u00a0µs"
SURROUNDINGS = st.text(ALPHABET, max_size=25)
WORDS = st.text(ALPHABET.replace("≈", "").replace("±", ""), max_size=25)  # a line with "≈ 0" never agrees
DELIMITED = st.sampled_from(["", " ", "= ", "[", "(", "| ", "\t", "E z = ", "≈ ", "# ± # ", "word ", "é: "])
AFTER = st.sampled_from(["", " ", ", ", "]", ")", " |", "\t", " %", "; z = 3", " ≈", " word"])
VALUES = st.tuples(st.integers(-10_000, 10_000), st.integers(20, 400), st.integers(1, 3), st.booleans())


def _write(units: float, decimals: int, exponent: bool) -> str:
    return f"{units / 10**decimals:.{decimals}f}" + ("E+01" if exponent else "")


@given(WORDS, DELIMITED, VALUES, st.floats(-4.4, 4.4), st.floats(0.6, 1.6), AFTER, WORDS)
def test_a_change_inside_the_tolerance_passes_wherever_the_estimate_is_delimited(
    before: str, left: str, value: tuple[int, int, int, bool], apart: float, ratio: float, right: str, after: str
) -> None:
    mean, error, *form = value
    other = round(error * ratio)
    moved = round(mean + apart * (error**2 + other**2) ** 0.5)
    one, two = (f"{_write(m, *form)} ± {_write(s, *form)}" for m, s in ((mean, error), (moved, other)))
    before = before + "\n"
    texts = [f"{before}{left}{number}{right}\n{after}" for number in (one, two)]
    assert disagreements(*texts) == []


@given(SURROUNDINGS, VALUES, st.floats(5.5, 100), st.sampled_from([-1, 1]), SURROUNDINGS)
def test_a_change_outside_the_tolerance_fails_whatever_surrounds_it(
    before: str, value: tuple[int, int, int, bool], apart: float, sign: int, after: str
) -> None:
    mean, error, *form = value
    moved = round(mean + sign * (apart * 2**0.5 * error + 2))
    after = re.sub(r"^[0-9eE]+", "", after)  # these would make another standard error of it
    one, two = (f"{_write(m, *form)} ± {_write(error, *form)}" for m in (mean, moved))
    assert disagreements(f"{before}{one}{after}", f"{before}{two}{after}")


@given(SURROUNDINGS, SURROUNDINGS)
def test_texts_that_differ_in_words_never_agree(one: str, two: str) -> None:
    """Whatever agrees has the same words: what is left of a text where numbers and spaces are taken out."""

    def words(text: str) -> list[str]:
        return [token.text for token in tokens(text) if token.number is None]

    if not disagreements(one, two):
        assert words(one) == words(two)


@given(st.text(ALPHABET, max_size=60))
def test_nothing_is_lost_in_reading(line: str) -> None:
    """The tokens, with their spaces and full stops, are the line again."""
    assert "".join(" " * token.gap + token.text + "." * bool(token.stop) for token in tokens(line)) == line


PIECES = ["9", "1 ± ", " ", "1,111", "-", "1.", "z = ", "≈ ", "1e", "≈ 1 ± 2", "± 1 ± 2 ", "(1 ± 2)e", "1 ± 1 z = +1."]


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_are_read_in_linear_time(piece: str) -> None:
    """A quadratic reader takes minutes for these."""
    text = (piece * 100_000)[:100_000]
    assert "".join(" " * token.gap + token.text + "." * bool(token.stop) for token in tokens(text)) == text


@pytest.mark.parametrize("text", ["z = +0.12 0.5 ± 0.1 z = +0.12", "≈ 1.5 ms", "0.5 ± 0.1"])
def test_a_number_equals_itself(text: str) -> None:
    """Python 3.13 compares dataclasses field by field, so a field that is NaN would differ from itself."""
    first, second = (tokens(text) for _ in range(2))
    assert first
    assert first == second


def test_distance() -> None:
    one, two = (tokens(text)[0].number for text in ("1.0 ± 0.3", "2.0 ± 0.4"))
    assert standard_errors_apart(one, two) == pytest.approx(2.0)


def test_numbers_of_different_width_may_move_words_a_little() -> None:
    """Columns as wide as their widest cell; a number in another column is something else."""
    rng = random.Random(1)
    for _ in range(200):
        tables = []
        for _ in range(2):
            cells = [f"{rng.gauss(0, 20):.2f} ± 20.00" for _ in range(6)]
            width = max(map(len, cells))
            tables.append(
                "\n".join(f"{a:>{width}}  {b:>{width}}" for a, b in zip(cells[::2], cells[1::2], strict=True))
            )
        assert disagreements(*tables) == []

"""Split printed text into words and the numbers that are compared within a tolerance.

The README describes the grammar. A number counts only as a whole token: no letter, digit or decimal part may touch it.
Reading takes time proportional to the length of the text, because the patterns never give back what they have matched.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPACE = "[ \u00a0\u2009\u202f]*+"  # also no-break, thin, and narrow no-break spaces
_SIGN = "[-+\u2212]"  # also the Unicode minus
_PLUS_MINUS = r"(?:±|\+/-)"
_DIGITS = "(?>[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)"
_EXPONENT = f"[eE]{_SIGN}?[0-9]{{1,4}}+"
_NUMBER = rf"(?>{_SIGN}?+(?:(?:{_DIGITS}(?:\.[0-9]*+)?+|\.[0-9]++)(?:{_EXPONENT})?+|(?i:nan|inf(?:inity)?+)))"
_START = r"(?<![\w.])(?<![0-9],)(?<!±)(?<!±\s)(?<!\+/-)(?<!\+/-\s)"
_END = r"(?!\w|[.,][0-9])"
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}  # micro sign and Greek letter
_COMPARABLE = re.compile(
    rf"≈{_SPACE}(?P<rough>{_NUMBER}){_END}(?!{_SPACE}{_PLUS_MINUS})"
    rf"(?:{_SPACE}\((?P<low>{_NUMBER}){_SPACE}to{_SPACE}(?P<high>{_NUMBER})\)|{_SPACE}(?P<unit>{'|'.join(_SECONDS)})(?!\w))?"
    rf"|{_START}(?P<mean>{_NUMBER}){_SPACE}{_PLUS_MINUS}{_SPACE}(?P<error>{_NUMBER})"
    rf"(?P<chain>(?:{_SPACE}{_PLUS_MINUS}{_SPACE}{_NUMBER})*+){_END}(?!{_SPACE}{_PLUS_MINUS})"
    rf"|(?:(?<![^\s|,;])|(?<=\s\())z{_SPACE}={_SPACE}"
    rf"(?P<z>(?>{_SIGN}{_DIGITS}\.[0-9]++)){_END}(?!{_SPACE}{_PLUS_MINUS})"
)
_POWER = re.compile(rf"\)({_EXPONENT})(?!\w)")
_WORD = re.compile("[^ ]++")
_NONFINITE = re.compile(rf"(?<![\w.]){_SIGN}?(?:nan|inf(?:inity)?)(?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number to compare: an "estimate" with its standard error, a "z" score, a "rough" figure (times in seconds), or
    a "range" from `low` to `high` of several runs.

    `rounding` and `error_rounding` are half a unit of the last digit of each, 0 for one without decimals and exponent.
    """

    kind: str
    value: float
    error: float = 0.0
    rounding: float = 0.0
    error_rounding: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Token:
    """A word or a number of a line: its text, how many spaces stand before it, and the number if it is one.

    `is_time` tells rough times from other rough figures. `stop` says whether a full stop follows the number; it is None
    where that cannot be told, because `3.` may be a float or end a sentence.
    """

    text: str
    gap: int
    number: Number | None = None
    is_time: bool = False
    stop: bool | None = False


def tokens(line: str) -> list[Token]:
    """The words and numbers of one line. The last token is the empty text at its end."""
    found: list[Token] = []
    end, has_estimate = 0, False
    for match in _COMPARABLE.finditer(line):
        if match["chain"] or (match["z"] and not has_estimate):
            continue
        start, after, power = match.start(), match.end(), ""
        if match["mean"] and line[max(0, start - 1) : start] == "(" and (scaled := _POWER.match(line, after)):
            power, after = scaled[1], scaled.end()
        found += _words(line, end, start)
        number, text = _number(match, power), line[start:after]
        stop = None if text.endswith(".") else line[after : after + 1] == "."
        found.append(Token(text, _gap(line, end, start), number, bool(match["unit"]), stop))
        has_estimate |= number.kind == "estimate"
        end = after + bool(stop)
    return [*found, *_words(line, end, len(line)), Token("", _gap(line, end, len(line)))]


def shows_nonfinite(line: str) -> bool:
    """Whether nan or infinity stands in the line as a word, outside the numbers that are compared."""
    return any(token.number is None and _NONFINITE.search(token.text) for token in tokens(line))


def _words(line: str, start: int, end: int) -> Iterator[Token]:
    for word in _WORD.finditer(line, start, end):
        yield Token(word[0], word.start() - start)
        start = word.end()


def _gap(line: str, start: int, end: int) -> int:
    """How many spaces stand before `end`."""
    piece = line[start:end]
    return len(piece) - len(piece.rstrip(" "))


def _number(match: re.Match[str], power: str) -> Number:
    if match["z"]:
        return Number("z", _value(match["z"]))
    if match["low"]:
        return Number("range", _value(match["rough"]), low=_value(match["low"]), high=_value(match["high"]))
    if match["rough"]:
        return Number("rough", _value(match["rough"]) * _SECONDS.get(match["unit"], 1.0))
    mean, error = match["mean"] + power, match["error"] + power
    return Number("estimate", _value(mean), _value(error), _rounding(mean), _rounding(error))


def _value(text: str) -> float:
    return float(text.replace(",", "").replace("\u2212", "-"))


def _rounding(text: str) -> float:
    mantissa, _, exponent = text.replace("\u2212", "-").lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(f"0.5e{int(exponent or 0) - decimals}") if decimals or exponent else 0.0

"""Asks pandoc (book.lua) for the HTML of the pages, and keeps it for the next rendering, as a preview needs it."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack, suppress
from itertools import accumulate
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pypandoc

from render.book import RenderError

SCRIPT = Path(__file__).with_name("book.lua")
SHOWN_ELSEWHERE = ("title", "title_html", "label", "shared")
ENOUGH_FOR_TWO = 8  # pages: with fewer, a second pandoc takes longer to start than it saves


class Pandoc:
    """The result of pandoc for each page, with the input that it was made from.

    Pages that changed are converted alone unless something changed that other pages show of them, namely title,
    number, labels, and the sources that they cite. Otherwise all pages are converted.
    """

    def __init__(self) -> None:
        self.cell = (
            f"cell-{secrets.token_hex(8)}"  # the format of the raw blocks that stand for cells, which no text contains
        )
        self._common: dict[str, Any] = {}
        self._made: dict[str, dict[str, Any]] = {}
        self._inputs: dict[str, list[bytes]] = {}

    def pages(
        self, requests: list[dict[str, Any]], bibliography: list[Path], explorables: list[str]
    ) -> dict[str, list[Any]]:
        """Returns `errors` in words, and `pages` in the order of `requests`; book.lua describes their content."""
        common = {"bibliography": [str(path) for path in bibliography], "explorables": explorables, "cell": self.cell}
        state = common | {
            "sources": [path.read_bytes() for path in bibliography],
            "names": [(one["name"], one["is_appendix"]) for one in requests],
        }
        changed = {one["name"] for one in requests if self._inputs.get(one["name"]) != self._input(one)}
        if state != self._common or not self._remade(requests, changed, common):
            answer = ask(requests, common)
            if answer["errors"]:
                return answer
            self._made = {one["name"]: one for one in answer["pages"]}
        self._common = state
        self._inputs = {one["name"]: self._input(one) for one in requests}
        return {"errors": [], "pages": [self._made[one["name"]] for one in requests]}

    def _input(self, request: dict[str, Any]) -> list[bytes]:
        """The input of a page, namely its source and the pictures that it shows."""
        folder = Path(request["folder"])
        names = [Path(request["source"]).name, *self._made.get(request["name"], {"files": []})["files"]]
        return [(folder / name).read_bytes() if (folder / name).is_file() else b"" for name in names]

    def _remade(self, requests: list[dict[str, Any]], changed: set[str], common: dict[str, Any]) -> bool:
        """Converts the pages that changed; returns whether the others can stay as they are."""
        if not changed:
            return True
        mixed = [
            one if one["name"] in changed else one | {"known": self._made[one["name"]]["shared"], "markdown": ""}
            for one in requests
        ]
        answer = ask(mixed, common)
        for one in answer["pages"]:
            if any(one[key] != self._made[one["name"]][key] for key in SHOWN_ELSEWHERE):
                return False
        if answer["errors"]:
            return False
        self._made |= {one["name"]: one for one in answer["pages"]}
        return True


def ask(pages: list[dict[str, Any]], common: dict[str, Any]) -> dict[str, list[Any]]:
    """Asks one pandoc for all pages, or two at once, which then learn from each other what pages show of others."""
    new = [one for one in pages if "known" not in one]
    shares = _halves(new) if len(new) >= ENOUGH_FOR_TWO else [new]
    command = [pypandoc.get_pandoc_path(), "+RTS", "-A64m", "-RTS", "lua", str(SCRIPT)]  # more memory, less collecting
    with ExitStack() as stack:
        processes = []
        for share in shares:
            process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, encoding="utf-8")
            stack.callback(_end, process)
            names = {one["name"] for one in share}
            split = [one | {"elsewhere": "known" not in one and one["name"] not in names} for one in pages]
            _tell(process, {"pages": split, **common})
            processes.append(process)
        shared = [one for process in processes for one in _answer(process)]
        for process in processes:
            _tell(process, shared)
        answers = [_answer(process) for process in processes]
    return {key: [one for answer in answers for one in answer[key]] for key in ("errors", "pages")}


def _halves(pages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cuts the pages into two runs of about the same length of text."""
    lengths = list(accumulate(len(one["markdown"]) for one in pages))
    cut = sum(length <= lengths[-1] / 2 for length in lengths)
    return [pages[:cut], pages[cut:]]


def _tell(process: Popen[str], message: object) -> None:
    assert process.stdin
    with suppress(BrokenPipeError):  # _answer then says why it ended
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()


def _answer(process: Popen[str]) -> Any:
    assert process.stdout
    assert process.stderr
    line = process.stdout.readline()
    if not line:
        raise RenderError(process.stderr.read().strip())
    return json.loads(line)


def _end(process: Popen[str]) -> None:
    process.kill()
    process.communicate()

"""A served book and a page of a real browser, for the tests in this folder (`make test-browser`)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, Playwright, Request, sync_playwright

from tools.chromium import FLAGS, HOW_TO_GET, find_chromium
from tools.serve import served

ROOT = Path(__file__).resolve().parents[2]
DESKTOP = {"width": 1280, "height": 900}

NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def book_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the book's pages, as render/ makes them now: once, for all workers of pytest-xdist."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent if is_worker else tmp_path_factory.getbasetemp()
    folder = shared / "_book"
    with FileLock(shared / "book.lock"):
        if not folder.exists():
            subprocess.run([sys.executable, "-m", "render", "--out", str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="session")
def book(book_folder: Path) -> Iterator[str]:
    """The address of the served book; it ends in a slash."""
    with served(book_folder) as address:
        yield address


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium, without a window."""
    executable = find_chromium()
    if not executable:
        pytest.exit(f"no Chromium was found; {HOW_TO_GET}", returncode=2)
    browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def new_page(browser: Browser, book: str) -> Iterator[NewPage]:
    """Opens pages that fail the test on a console error, a missing file, or a request to another host.

    Options are those of a Playwright context (`viewport`, `color_scheme`, ...); each page has a context of its own.
    """
    pages, faults = [], []

    def note_request(request: Request) -> None:
        if not request.url.startswith((book, "data:", "blob:")):
            faults.append(f"a request to {request.url}")

    def open_page(**options: object) -> Page:
        page = browser.new_context(**{"viewport": DESKTOP} | options).new_page()
        page.set_default_timeout(10_000)
        page.on("request", note_request)
        page.on("console", lambda said: said.type == "error" and faults.append(f"a console error: {said.text}"))
        page.on("pageerror", lambda error: faults.append(f"an error: {error}"))
        page.on("response", lambda got: got.status >= 400 and faults.append(f"{got.status} for {got.url}"))
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert faults == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page of the desktop's size."""
    return new_page()

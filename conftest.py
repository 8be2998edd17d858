"""Loads the tolerance plugin for every test run, of `tests/` and of `chapters/` alike."""

pytest_plugins = ["pytester", "tests.tolerance"]

"""What was explored is told at the end of the run: a bound that nobody sees is a bound that nobody questions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_KEY = "explored"


@pytest.fixture
def explored(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what was explored. It travels with the test's report, from whichever process ran it."""

    def say(line: str) -> None:
        record_property(_KEY, line)

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == _KEY
    ]
    if lines:
        terminalreporter.section("explored schedules")
        for line in lines:
            terminalreporter.write_line(str(line))

"""Which tests have failed, for whoever has started the session: ``--failures-to FILE``.

The file has one JSON object: the name of each test that failed, and in which of its phases (``collect``, ``setup``,
``call``, ``teardown``).
"""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failures-to", type=Path, metavar="FILE", help="write there which tests have failed, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--failures-to"):
        config.pluginmanager.register(_Failures(path))


class _Failures:
    """Those of one session.

    Args:
        path: Where they are written when it ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._phases: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._phases[report.nodeid] = "collect"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._phases[report.nodeid] = report.when

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._phases))

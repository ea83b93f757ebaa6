"""The plugin in the guest: writes every report down as it comes, a line of JSON each, for ``plugin`` to read."""

import json
import os

import pytest

OPTION = "--reports"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, required=True, help="the file to write to")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Writer(config))


class Writer:
    """Writes at once, so that nothing is lost when the guest is killed.

    Args:
        config: Of this run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._fd = os.open(str(config.getoption(OPTION)), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _write(self, document: dict[str, object]) -> None:
        os.write(self._fd, json.dumps(document).encode() + b"\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write({"started": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._write({"report": data})

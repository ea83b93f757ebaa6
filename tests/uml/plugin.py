"""The plugin on the host: runs the tests that want other control groups than this machine's in a guest.

All that are selected and want the same are run in one guest, when the first of any has its turn, one guest beside the
other; then each is reported as if it had been run here. A guest that hangs is killed, and the first of the tests
without a result shows its console.
"""

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import require
from tests.uml import boot

HIERARCHIES = {"cgroup_v2": "unified", "cgroup_hybrid": "hybrid"}
"""The marker of a test, and the control groups of the guest that it is run in."""
GUEST_SECONDS = 400
TEST_SECONDS = 120
CONSOLE_LINES = 60


class Outcome:
    """What came back from a guest.

    Args:
        lines: What ``guest`` has written.
        end: How the guest ended, and the last it had said.
    """

    def __init__(self, lines: list[str], end: str) -> None:
        self.reports: dict[str, list[dict[str, object]]] = {}
        self.end = end
        for line in lines:
            document = json.loads(line)
            if "started" in document:
                self.reports[document["started"]] = []
            else:
                self.reports[document["report"]["nodeid"]].append(document["report"])

    def complete(self, nodeid: str) -> bool:
        """Say whether a test has got as far as its teardown."""
        return any(report["when"] == "teardown" for report in self.reports.get(nodeid, ()))


_OUTCOMES = pytest.StashKey[dict[str, Outcome]]()


def _marker(item: pytest.Item) -> str:
    return next((name for name in HIERARCHIES if item.get_closest_marker(name)), "")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    marker = _marker(item)
    if not marker or require.cgroup_driver() == marker.removeprefix("cgroup_") or boot.missing():
        return None
    if _OUTCOMES not in item.session.stash:
        item.session.stash[_OUTCOMES] = _run_all(item.session.items)
    outcome = item.session.stash[_OUTCOMES][marker]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item, outcome):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What an earlier test, run here, has set up for its module stays until the next test is in another one.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def _reports(item: pytest.Item, outcome: Outcome) -> list[pytest.TestReport]:
    hook = item.config.hook
    reports = [
        hook.pytest_report_from_serializable(config=item.config, data=data)
        for data in outcome.reports.get(item.nodeid, ())
    ]
    if not outcome.complete(item.nodeid):
        how = "did not end" if item.nodeid in outcome.reports else "was not run"
        text, outcome.end = f"the test {how} in the guest: {outcome.end}", "see above"
        reports.append(pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call"))
    return reports


def _run_all(items: list[pytest.Item]) -> dict[str, Outcome]:
    wanted = {marker: [item.nodeid for item in items if _marker(item) == marker] for marker in HIERARCHIES}
    with ThreadPoolExecutor(len(wanted)) as threads:
        running = {marker: threads.submit(_run, marker, nodeids) for marker, nodeids in wanted.items() if nodeids}
        return {marker: outcome.result() for marker, outcome in running.items()}


def _run(marker: str, nodeids: list[str]) -> Outcome:
    results = Path(tempfile.mkdtemp(prefix="nbc-uml-"))
    try:
        reports, arguments = results / "reports", results / "arguments"
        reports.touch()
        options = [f"--reports={reports}", f"--timeout={TEST_SECONDS}", f"--require=root,busybox,{marker}"]
        arguments.write_text("\n".join([*options, *nodeids]))
        end = boot.run(arguments, results, hierarchy=HIERARCHIES[marker], seconds=GUEST_SECONDS)
        console = (results / boot.CONSOLE_NAME).read_text(errors="replace").splitlines()[-CONSOLE_LINES:]
        return Outcome(reports.read_text().splitlines(), "\n".join([end, *console]))
    finally:
        shutil.rmtree(results)

"""Run all tests as two sessions beside each other: ``python -m tests.halves``, with pytest's options.

Most tests wait most of the time: for a kernel, an engine, a browser. Sessions keep out of each other's way (see
``leaks``). One half is what speaks to an engine from outside or kills it, and all that runs in guests, which are booted
once per session. The other is the rest, with the databases, for the notebooks have them as well.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TESTS = Path("tests")
OUTSIDE = [TESTS / "conformance", TESTS / "crash"]
IN_GUESTS = [TESTS / "networks" / "test_shaping.py", TESTS / "volumes" / "test_quotas.py"]
DATABASES = OUTSIDE[0] / "test_databases.py"
MOST_AGAIN = 3
_PHASES_AGAIN = {"setup", "call"}
_ENDED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


def halves() -> tuple[list[str], list[str]]:
    """Return what each session is told to run; together it is everything."""
    outside = [path for part in OUTSIDE for path in sorted(part.glob("test_*.py")) if path != DATABASES]
    rest = [path for path in sorted(TESTS.iterdir()) if path not in OUTSIDE and _has_tests(path)]
    without = [f"--ignore={path}" for path in IN_GUESTS]
    return [*map(str, outside), *map(str, IN_GUESTS)], [*map(str, rest), str(DATABASES), *without]


def _has_tests(path: Path) -> bool:
    return path.match("test_*.py") or any(path.rglob("test_*.py"))


def beside_each_other(command: list[str], first: list[str], second: list[str]) -> tuple[set[int], dict[str, str]]:
    """Run both; the first is shown as it runs, the second when the first has ended.

    Returns:
        Their exit codes, and which tests have failed in which phase.
    """
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as said:
        told = [Path(directory, "first"), Path(directory, "second")]
        beside = subprocess.Popen([*command, *second, f"--failures-to={told[1]}"], stdout=said, stderr=said)
        try:
            shown = subprocess.run([*command, *first, f"--failures-to={told[0]}"], check=False)
            codes = {shown.returncode, beside.wait()}
        finally:
            beside.terminate()
            beside.wait()
            said.seek(0)
            sys.stdout.write(said.read().decode(errors="replace"))
        failed = [json.loads(path.read_text()) for path in told if path.exists()]
    return codes, {name: phase for of_session in failed for name, phase in of_session.items()}


def again(command: list[str], failed: list[str]) -> int:
    """Run tests that have failed once more, with nothing beside them; they must pass, and are named all the same."""
    print(f"\n{len(failed)} failed beside others; once more, alone:", flush=True)
    code = subprocess.run([*command, *failed], check=False).returncode
    if code == pytest.ExitCode.OK:
        print("\nUNSTABLE: passed alone, and must be looked into:\n  " + "\n  ".join(failed), flush=True)
    return code


def run(command: list[str], first: list[str], second: list[str]) -> int:
    """Run all, and a few that failed once more: a machine under load must not say that the project is broken.

    What fails twice is broken, and so is what leaks (the teardown of a session), or where more fails than a few.
    """
    codes, failures = beside_each_other(command, first, second)
    if codes <= _ENDED and 0 < len(failures) <= MOST_AGAIN and set(failures.values()) <= _PHASES_AGAIN:
        return again(command, list(failures))
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(run([sys.executable, "-m", "pytest", *sys.argv[1:]], *halves()))

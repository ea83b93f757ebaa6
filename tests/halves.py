"""Run all tests as two sessions beside each other: ``python -m tests.halves``, with pytest's options.

Most tests wait most of the time: for a kernel, an engine, a browser. Sessions keep out of each other's way (see
``leaks``). One half is what speaks to an engine from outside, and all that runs in guests, which are booted once per
session. The other is the rest, with the databases, for the notebooks have them as well.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path("tests")
OUTSIDE = TESTS / "conformance"
IN_GUESTS = [TESTS / "networks" / "test_shaping.py", TESTS / "volumes" / "test_quotas.py"]
DATABASES = OUTSIDE / "test_databases.py"


def halves() -> tuple[list[str], list[str]]:
    """Return what each session is told to run; together it is everything."""
    outside = [path for path in sorted(OUTSIDE.glob("test_*.py")) if path != DATABASES]
    rest = [path for path in sorted(TESTS.iterdir()) if path != OUTSIDE and _has_tests(path)]
    without = [f"--ignore={path}" for path in IN_GUESTS]
    return [*map(str, outside), *map(str, IN_GUESTS)], [*map(str, rest), str(DATABASES), *without]


def _has_tests(path: Path) -> bool:
    return path.match("test_*.py") or any(path.rglob("test_*.py"))


def main() -> int:
    """Run both; the first is shown as it runs, the second when the first has ended."""
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    first, second = halves()
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen([*command, *second], stdout=said, stderr=subprocess.STDOUT)
        try:
            codes = [subprocess.run([*command, *first], check=False).returncode, beside.wait()]
        finally:
            beside.terminate()
            beside.wait()
            said.seek(0)
            sys.stdout.write(said.read().decode(errors="replace"))
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main())

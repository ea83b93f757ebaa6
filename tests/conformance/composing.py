"""docker-compose as Debian has it, imported once: it takes longer than most of its commands do."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_PYTHON = "/usr/bin/python3"
_PROGRAM = """
import json, os, sys
from compose.cli.main import main

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv, output = json.loads(line)
        for path, flags, fd in ((os.devnull, os.O_RDONLY, 0), (output, os.O_WRONLY, 1)):
            os.dup2(os.open(path, flags), fd)
        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
Run = Callable[..., tuple[int, str]]


@contextlib.contextmanager
def running_compose(environment: Mapping[str, str], directory: Path | None = None) -> Iterator[Run]:
    """Have docker-compose ready; every command runs in a process of its own.

    Args:
        environment: That of its commands.
        directory: In which they run; None for the test's own.

    Yields:
        What runs one, with the arguments given, and returns its status and what it has printed.
    """
    with (
        tempfile.NamedTemporaryFile() as output,
        subprocess.Popen(
            [_PYTHON, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=directory,
            env={**environment},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        orders, statuses = process.stdin, process.stdout

        def run(*arguments: str) -> tuple[int, str]:
            output.truncate(0)
            orders.write(json.dumps([["docker-compose", *arguments], output.name]) + "\n")
            orders.flush()
            return int(statuses.readline()), Path(output.name).read_text()

        try:
            yield run
        finally:
            process.kill()

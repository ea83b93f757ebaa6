"""Printing for people at a terminal: tables, JSON, and exit codes as docker's CLI has them."""

import json
import os
import shutil
import signal
import sys
from typing import Any

import click
import docker.errors
import pandas as pd

from nbcontainers.cli import printing
from nbcontainers.cli.face import Face
from nbcontainers.cli.running import INTERRUPTED
from nbcontainers.cli.tree import ExitCode, tree
from nbcontainers.client.connect import LOST
from nbcontainers.errors import Error

_REFUSED = 125
_REASONS = (
    ("executable file not found", 127),
    ("no such file or directory", 127),
    ("permission denied", 126),
    ("is a directory", 126),
)


@tree.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run an engine in the foreground: [--root DIR] [--run DIR] [--host unix://PATH]."""
    if sys.platform != "linux":
        raise click.ClickException(f"an engine needs Linux, and this is {sys.platform}: name a Docker's socket instead")
    os.execv(sys.executable, [sys.executable, "-m", "nbcontainers.api", "serve", *arguments])


def main() -> None:
    """Run the command that the process's arguments name, and end with its exit code.

    Who reads the output may stop reading it: then the process ends as docker's does, by the signal and without a word.
    """
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        if not hasattr(signal, "SIGPIPE"):
            sys.exit(1)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    sys.exit(code)


def _run() -> int:
    face = Face(own_stdin=True, takes_signals=True)
    is_run = sys.argv[1:2] == ["run"] or sys.argv[1:3] == ["container", "run"]
    try:
        with tree.make_context("nbcontainers", sys.argv[1:], obj=face) as context:
            value = tree.invoke(context)
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return _REFUSED if is_run else error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (docker.errors.DockerException, Error) as error:
        sys.stderr.write(f"nbcontainers: {explain(error)}\n")
        return _code_of_start(error) if is_run else 1
    except LOST as error:
        sys.stderr.write(f"nbcontainers: {face.lost(error)}\n")
        return _REFUSED if is_run else 1
    show(value)
    return int(value) if isinstance(value, ExitCode) else 0


def _code_of_start(error: Exception) -> int:
    """Return docker's exit code for a container that could not be started: as a shell's, where the program is at fault.

    Source: Docker documentation, "docker container run" § Exit status.
    """
    text = explain(error)
    for reason, code in _REASONS:
        if reason in text:
            return code
    return _REFUSED


def explain(error: Exception) -> str:
    """Return an error's sentence, without the HTTP around it."""
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return str(error.explanation)
    return str(error)


def show(value: Any) -> None:
    """Print a command's value."""
    if value is None or isinstance(value, ExitCode):
        return
    if isinstance(value, pd.DataFrame):
        _show_table(value)
    elif isinstance(value, (dict, list)):
        sys.stdout.write(json.dumps(value, indent=4) + "\n")
    else:
        sys.stdout.write(f"{value}\n")


def _show_table(frame: pd.DataFrame) -> None:
    """Print a table in as much room as there is; a log is printed as it was written."""
    if {"stream", "line"} <= set(frame.columns):
        lines = frame["details"] + " " + frame["line"] if "details" in frame else frame["line"]
        for stream, line in zip(frame["stream"], lines, strict=True):
            print(line, file=sys.stderr if stream == "stderr" else sys.stdout)
        return
    size = shutil.get_terminal_size() if sys.stdout.isatty() else None
    found = printing.lines(frame, size and size.columns)
    if size and frame.index.name == "time":
        # A history is long, and its end is what people look for.
        found[1:] = found[max(1, len(found) - size.lines + 3) :]
    print("\n".join(found))
    if "remedy" in frame.columns:
        for row in frame[~frame["available"]].itertuples():
            print(f"\n{row.feature}: {row.detail}\n  remedy: {row.remedy}")

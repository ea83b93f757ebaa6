"""Printing for people at a terminal: tables, JSON, and exit codes as docker's CLI has them."""

import json
import os
import shutil
import sys
from typing import Any

import click
import docker.errors
import pandas as pd

from nbcontainers.cli import printing
from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import ExitCode, tree
from nbcontainers.errors import Error

_REFUSED, _INTERRUPTED = 125, 130


@tree.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run an engine in the foreground: [--root DIR] [--run DIR] [--host unix://PATH]."""
    os.execv(sys.executable, [sys.executable, "-m", "nbcontainers.api", "serve", *arguments])


def main() -> None:
    """Run the command that the process's arguments name, and end with its exit code."""
    face = Face(own_stdin=True)
    if not sys.stdin.isatty() and {"-i", "--interactive"} & set(sys.argv) and "exec" not in sys.argv[1:3]:
        face.stdin = sys.stdin.buffer.read()
    try:
        value = tree.main(prog_name="nbcontainers", standalone_mode=False, obj=face)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(_REFUSED if "run" in sys.argv[1:2] else error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_INTERRUPTED)
    except (docker.errors.DockerException, Error) as error:
        sys.stderr.write(f"nbcontainers: {explain(error)}\n")
        sys.exit(_REFUSED if "run" in sys.argv[1:2] else 1)
    show(value)
    sys.exit(int(value) if isinstance(value, ExitCode) else 0)


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
        for stream, line in zip(frame["stream"], frame["line"], strict=True):
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

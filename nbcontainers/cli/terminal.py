"""Printing for people at a terminal: tables, JSON, and exit codes as docker's CLI has them."""

import json
import os
import sys
from typing import Any

import click
import docker.errors
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import ExitCode, tree
from nbcontainers.client.tables import human_bytes
from nbcontainers.errors import Error

_REFUSED, _INTERRUPTED = 125, 130


@tree.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run an engine in the foreground: [--root DIR] [--run DIR] [--host unix://PATH]."""
    os.execv(sys.executable, [sys.executable, "-m", "nbcontainers.api", "serve", *arguments])


def main() -> None:
    """Run the command that the process's arguments name, and end with its exit code."""
    face = Face()
    if not sys.stdin.isatty() and {"-i", "--interactive"} & set(sys.argv):
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
    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    if frame.index.name:
        frame = frame.reset_index()
    for name in frame.columns:
        table.add_column(str(name).upper().replace("_BYTES", ""), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*[_cell(str(name), value) for name, value in zip(frame.columns, row, strict=True)])
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


def _cell(name: str, value: Any) -> str:
    if name == "id":
        return str(value).removeprefix("sha256:")[:12]
    if name.endswith("_bytes") or name == "size":
        return human_bytes(value)
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:.1f}" if isinstance(value, float) else str(value)

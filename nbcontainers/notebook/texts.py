"""Tables in a terminal's IPython: as the command line prints them, in docker's columns and as wide as the terminal.

A notebook has HTML for that, and its text stays pandas' own.
"""

import shutil
from typing import Any

from nbcontainers.cli import printing
from nbcontainers.client.tables import Table


def register(shell: Any) -> None:
    """Have an IPython show tables so."""
    shell.display_formatter.formatters["text/plain"].for_type(Table, _print)


def _print(table: Table, printer: Any, cycle: bool) -> None:
    shown = table if len(table) <= Table.rows_shown else Table(table.tail(Table.rows_shown))
    lines = printing.lines(shown, shutil.get_terminal_size().columns)
    if len(shown) < len(table):
        lines.append(f"the last {len(shown)} of {len(table)} rows")
    printer.text("\n".join(["", *lines]))

"""A table in a terminal that is looked up again and again, in place, until its user interrupts."""

import shutil
import time
from collections.abc import Callable
from typing import NoReturn

from nbcontainers.cli import printing
from nbcontainers.cli.face import Face
from nbcontainers.client.tables import Table

_REFRESH_SECONDS = 1.0  # as often as the engine takes samples
_CLEAR, _HOME, _CLEAR_TO_END_OF_LINE, _CLEAR_BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def watch(face: Face, look_up: Callable[[], Table]) -> NoReturn:
    """Show a table, and the same as it is by then every second.

    Raises:
        KeyboardInterrupt: The user has seen enough.
    """
    face.out(_CLEAR.encode())
    while True:
        table, size = look_up(), shutil.get_terminal_size()
        lines = printing.lines(table, size.columns)[: size.lines - 1]
        text = "".join(f"{line}{_CLEAR_TO_END_OF_LINE}\n" for line in lines)
        face.out(f"{_HOME}{text}{_CLEAR_BELOW}".encode())
        time.sleep(_REFRESH_SECONDS)

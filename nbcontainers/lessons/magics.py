"""The tutorials' two magics."""

import ast
import inspect
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class

from nbcontainers.lessons.guest import Guest


@magics_class
class LessonMagics(Magics):
    """``%%inside`` and ``%%solution``."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell=shell)
        self._shell = shell

    @cell_magic
    def inside(self, line: str, cell: str) -> Any:
        """Execute the cell in a guest: ``%%inside guest``. Its value and what it prints are shown as ever."""
        guest = self._shell.user_ns.get(line.strip())
        if not isinstance(guest, Guest):
            raise UsageError(f"'{line.strip()}' is no guest: guest = Guest() makes one")
        return guest.run(cell)

    @cell_magic
    def solution(self, line: str, cell: str) -> None:
        """Execute the cell as long as the exercise is open: ``%%solution name``. An answer of one's own stays."""
        name = line.strip()
        if not is_open(self._shell.user_ns.get(name)):
            print(f"{name}: your own answer counts")
            return
        print(f"{name}: no answer yet, so the solution is used")
        self._shell.run_cell(cell, store_history=False).raise_error()


def is_open(function: Any) -> bool:
    """Say whether a function still has the gap, ``...``, that an exercise leaves to fill in; no function is one."""
    if not inspect.isfunction(function):
        return True
    tree = ast.parse(inspect.getsource(function))
    return any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree))

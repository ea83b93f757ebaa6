"""What the tutorials need besides the code they teach: a process to experiment with, exercises, an image of Debian.

A tutorial explains ``nbcontainers.linux`` by calling it. Its calls change the process that makes them, and that must
not be the notebook's kernel: so a ``Guest`` makes them, a small Python of its own, and the notebook looks on from
outside. Nothing else in the project imports this package.

Reading order: ``guest`` (the notebook's side), ``inside`` (the guest's), ``magics`` (``%%inside``, ``%%solution``);
``debian`` (an image to build on, made without a registry).

Example:
    >>> %load_ext nbcontainers.lessons
    >>> guest = Guest()
    >>> guest.run("import os; os.getpid()") == guest.pid
    True
"""

from typing import TYPE_CHECKING

from nbcontainers.lessons.guest import Guest, GuestError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Guest", "GuestError", "load_ipython_extension"]


def load_ipython_extension(ipython: "InteractiveShell") -> None:
    """Register the magics; called by ``%load_ext nbcontainers.lessons``. No engine is started."""
    from nbcontainers.lessons.magics import LessonMagics

    ipython.register_magics(LessonMagics(shell=ipython))

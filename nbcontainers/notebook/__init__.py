"""The notebook face: ``%container``, ``%%container`` and ``%%dockerfile``.

``%load_ext nbcontainers`` registers the magics and finds or starts the engine. The magics parse and show; the work is
done by the command tree (``nbcontainers.cli``), so a cell and a terminal know the same commands.

Reading order: ``magics``, ``failures`` (errors without traceback), ``progress`` and ``cards`` (what a build shows),
``transfers`` (a pull or a push), ``texts`` (tables in a terminal), ``completion``.

Example:
    >>> %load_ext nbcontainers
    >>> %container run --rm host echo hello
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension"]


def load_ipython_extension(ipython: "InteractiveShell") -> None:
    """Register the magics and start the engine when none runs; called by ``%load_ext nbcontainers``."""
    from nbcontainers.notebook import completion, failures
    from nbcontainers.notebook.magics import ContainerMagics

    magics = ContainerMagics(shell=ipython)
    ipython.register_magics(magics)
    completion.register(ipython, magics)
    with failures.explained(magics.face):
        magics.face.client.ping()

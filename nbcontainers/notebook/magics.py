"""The magics. They parse and show; the command tree works."""

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class, no_var_expand
from IPython.display import display
from traitlets import Bool, Int, Unicode

from nbcontainers.cli import Face, building, invoke
from nbcontainers.cli.building import Wish, build_image
from nbcontainers.cli.tree import CELL_COLUMNS, ExitCode
from nbcontainers.client.tables import Table
from nbcontainers.notebook import failures, texts
from nbcontainers.notebook.cards import ImageCard
from nbcontainers.notebook.progress import BuildProgress
from nbcontainers.notebook.transfers import TransferProgress

_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_VARIABLE = re.compile(r"(?<!\$)\$(?P<name>[A-Za-z_]\w*)[\w.]*(?=(?:[^']*'[^']*')*[^']*$)")
_FRAMES_TO_THE_USER = 3
_OWN_NAMES = ("container", "nbcontainers", "docker")


class Text(str):
    """A text that a notebook shows without quotes, such as the id of a container."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


class Nothing(Text):
    """A text without a character, of which a notebook need not show the number."""

    def _ipython_display_(self) -> None:
        """Show nothing."""


class Said(int):
    """An exit code that was told of already, so that a notebook need not show it."""

    def _ipython_display_(self) -> None:
        """Show nothing."""


@magics_class
class ContainerMagics(Magics):
    """``%container``, ``%%container`` and ``%%dockerfile``; configured by ``%config ContainerMagics``.

    The same settings stand in ``ipython_config.py`` as ``c.ContainerMagics.rows = 20``.
    """

    host = Unicode(
        "", help="The engine to speak to: unix:///path, tcp://host:port, or docker; empty for this user's own."
    ).tag(config=True)
    start_engine = Bool(True, help="Start this user's engine in the background when none runs.").tag(config=True)
    rows = Int(60, min=1, help="Rows of a table that are shown; all of them are in the DataFrame.").tag(config=True)
    show_exit_code = Bool(True, help="Say how a foreground container ended when it did not end well.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell=shell)
        self.face = Face(url=self.host or None, may_start=self.start_engine, own_stdin=_is_at_terminal(shell))
        if shell is not None:
            self.face.keep = shell.user_ns.__setitem__
        self.face.layer_progress = TransferProgress
        if self.face.own_stdin:
            texts.register(shell)
        Table.rows_shown = self.rows
        self.observe(self._take_settings, ("host", "start_engine", "rows"))

    def _take_settings(self, change: dict[str, Any]) -> None:
        """Follow ``%config ContainerMagics.NAME = value``."""
        Table.rows_shown = self.rows
        self.face.may_start = self.start_engine
        if change["name"] == "host":
            with failures.explained(self.face):
                self.face.use(self.host or None)

    @no_var_expand
    @line_cell_magic
    def container(self, line: str, cell: str | None = None) -> Any:
        """Give a command in docker's grammar: ``%container run --rm host echo hello``.

        As a cell magic the cell is the container's standard input; of ``%%container capture NAME`` it is Python, run
        while packets are captured. ``$name`` and ``{expression}`` are Python's,
        ``{{.Field}}`` is a template's, ``$(ps -aq)`` is what another command says.
        """
        self.face.stdin = None if cell is None else cell.encode()
        with failures.explained(self.face):
            words = _words(self._substituted(self._expanded(line)))
            if cell is not None and _is_capture(words):
                return self._captured(words, cell)
        is_build = words[:1] == ["build"] or words[:2] == ["image", "build"]
        with failures.explained(self.face):
            try:
                with self._progress(shown=is_build):
                    value = invoke(words, self.face)
            except KeyboardInterrupt as interrupt:
                sys.stderr.write(": ".join(("interrupted", *map(str, interrupt.args))) + "\n")
                return None
            return self._shown(value, built=is_build)

    @contextlib.contextmanager
    def _progress(self, *, shown: bool) -> Iterator[None]:
        """Show a build as it goes."""
        self.face.build_events = None
        if not shown:
            yield
            return
        with BuildProgress() as self.face.build_events:
            yield

    def _captured(self, words: list[str], cell: str) -> Any:
        """Run a cell as Python, and return the packets that came and went in a container meanwhile."""
        failed: list[BaseException] = []

        def run() -> None:
            if self.shell is not None:
                result = self.shell.run_cell(cell)
                failed.extend(error for error in (result.error_before_exec, result.error_in_exec) if error)

        self.face.stdin = None
        self.face.meanwhile = run
        try:
            table = invoke(words, self.face)
        finally:
            self.face.meanwhile = None
        if failed:
            display(table)
            raise UsageError("the cell failed while packets were captured, see above")
        return table

    def _expanded(self, line: str) -> str:
        """Put Python's values in; unlike in other magics, two braces are not one, for templates have two.

        A ``$NAME`` that Python does not know is left to the container's shell, and keeps nothing else from its value.
        """
        if self.shell is None:
            return line
        doubled = line.replace("{{", "{{{{").replace("}}", "}}}}")
        for name in {found["name"] for found in _VARIABLE.finditer(doubled)}:
            if self.shell.var_expand(f"${name}", depth=_FRAMES_TO_THE_USER) == f"${name}":
                doubled = re.sub(rf"(?<!\$)\$(?={name}\b)(?=(?:[^']*'[^']*')*[^']*$)", "$$", doubled)
        expanded = str(self.shell.var_expand(doubled, depth=_FRAMES_TO_THE_USER))
        return line if expanded == doubled else expanded

    def _substituted(self, line: str) -> str:
        """Put in place of each ``$(COMMAND)`` what the command says: ``%container rm $(ps -aq)``."""

        def said(found: re.Match[str]) -> str:
            words = _words(found[1])
            value = invoke(words[1:] if words[:1] and words[0].lstrip("%") in _OWN_NAMES else words, self.face)
            if not isinstance(value, str):
                raise UsageError(f"'{found[0]}' says no text: give it -q or --format")
            return shlex.join(value.split())

        return _SUBSTITUTION.sub(said, line)

    def _shown(self, value: Any, *, built: bool) -> Any:
        if isinstance(value, ExitCode):
            if value and self.show_exit_code:
                sys.stderr.write(f"exit code {int(value)}{_meaning(value)}\n")
            return None if value == 0 else Said(value) if self.show_exit_code else int(value)
        if built:
            return ImageCard(self.face.client, value)
        if isinstance(value, str):
            return Text(value) if value else Nothing()
        return value

    @cell_magic
    def dockerfile(self, line: str, cell: str) -> Any:
        """Build an image from the cell: ``%%dockerfile -t hello:1``.

        ``%%dockerfile --help`` lists the options; the context's folder is by default the notebook's. A build argument
        without a value takes that of the notebook's variable.
        """
        with failures.explained(self.face):
            wish, variable, progress = _wish(line, cell, self.shell.user_ns if self.shell is not None else {})
            try:
                with self._progress(shown=progress in ("auto", "tree")):
                    image = build_image(self.face, wish, progress)
            except KeyboardInterrupt:
                raise UsageError("interrupted: there is no image, and steps that were finished are kept") from None
            card = ImageCard(self.face.client, image)
            if variable and self.shell is not None:
                self.shell.user_ns[variable] = card
            return card


def _is_capture(words: list[str]) -> bool:
    return words[:1] == ["capture"] or words[:2] == ["container", "capture"]


def _is_at_terminal(shell: Any) -> bool:
    """Say whether this IPython runs in a terminal, which it can give to a container meanwhile."""
    return type(shell).__name__ == "TerminalInteractiveShell" and sys.stdin.isatty() and sys.stdout.isatty()


def _words(line: str) -> list[str]:
    try:
        return list(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"cannot read '{line}': {str(error).lower()}") from None


@click.command(options_metavar="[OPTIONS]")
@building.with_options
@click.option("-f", "--file", "file", type=click.Path(dir_okay=False), help="Keep the cell in a file, too.")
@click.option("-o", "--output", default=None, metavar="VARIABLE", help="Where to put the image's card.")
@click.option(
    "--context",
    "folder",
    type=click.Path(exists=True, file_okay=False),
    default=None,
    help="Another way to say CONTEXT.",
)
@click.argument("context", type=click.Path(exists=True, file_okay=False), default=".")
def dockerfile_command(**options: Any) -> None:
    """Build an image from the cell, with files from the folder CONTEXT, by default the notebook's."""


def _wish(line: str, cell: str, variables: dict[str, object]) -> tuple[Wish, str | None, str]:
    """Read the magic's line; returns what is to be built, the variable for the card, and how to show it."""
    options: dict[str, Any] = dockerfile_command.make_context(
        "%%dockerfile", _words(line), terminal_width=CELL_COLUMNS
    ).params
    context = options.pop("folder") or options["context"]
    options["context"] = context
    file, variable, progress = options.pop("file"), options.pop("output"), options.pop("progress")
    if variable and not variable.isidentifier():
        raise UsageError(f"'{variable}' cannot be the name of a variable")
    if file:
        try:
            Path(file).write_text(cell, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the cell cannot be kept in '{file}': {(error.strerror or '').lower()}") from None
    ignore = building.ignore_file(context, file or "")
    wish = Wish(dockerfile=cell, called=file or "the cell", ignore=ignore, variables=variables, **options)
    return wish, variable, progress


def _meaning(code: int) -> str:
    """Return what an exit code says, where it says something by itself."""
    meanings = {
        125: "the container could not be started",
        126: "the program cannot be executed",
        127: "no such program",
    }
    if code in meanings:
        return f": {meanings[code]}"
    if code == 137:
        return ": killed (SIGKILL), perhaps because memory ran out"
    return f": ended by signal {code - 128}" if 128 < code < 160 else ""

"""What ``run``, ``create`` and ``attach`` do: make a container, and join its streams to whoever asked."""

import contextlib
import os
from collections.abc import Iterator
from typing import TextIO

import click
import docker.errors

from nbcontainers.cli import interactive
from nbcontainers.cli.aside import passed_on
from nbcontainers.cli.face import Face
from nbcontainers.cli.interactive import Stream
from nbcontainers.cli.pulling import Wish, provide
from nbcontainers.cli.values import Json
from nbcontainers.client.ending import Ending

INTERRUPTED = 130
_STOP_SECONDS = 2


def create(face: Face, config: Json, options: Json) -> str:
    """Create a container and return its id; the engine's warnings go to standard error.

    An image that is not here is pulled, unless the options say otherwise.

    Raises:
        click.ClickException: The file for its id is there already, or cannot be written.
    """
    with contextlib.ExitStack() as undo:
        id_file = undo.enter_context(_new_file(options["cidfile"])) if options["cidfile"] else None
        container = _create(face, config, options)
        if id_file is not None:
            id_file.write(container)
    return container


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[TextIO]:
    """Make a file that is not there yet; when there is nothing to write to it, it goes again."""
    try:
        file = open(path, "x", encoding="ascii")  # noqa: SIM115
    except FileExistsError:
        raise click.ClickException(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        raise click.ClickException(f"failed to create the container ID file: {path}: {error.strerror}") from None
    with file:
        try:
            yield file
        except BaseException:
            os.unlink(path)
            raise


def _create(face: Face, config: Json, options: Json) -> str:
    image, name, platform = config["Image"], options["name"] or None, options["platform"] or None
    wish = Wish(image=image, policy=options["pull_policy"], platform=options["platform"], quiet=options["quiet"])
    if wish.policy == "always":
        provide(face, wish)
    try:
        answer: Json = face.client.api.create_container_from_config(config, name, platform)
    except docker.errors.APIError as error:
        if not wish.is_missing(error):
            raise
        face.err(f"Unable to find image '{wish.tagged}' locally\n".encode())
        provide(face, wish)
        answer = face.client.api.create_container_from_config(config, name, platform)
    for warning in answer.get("Warnings") or ():
        face.err(f"WARNING: {warning}\n".encode())
    return str(answer["Id"])


def run_attached(face: Face, container: str, *, detach_keys: str = "", sig_proxy: bool = True) -> int:
    """Start a container, pass its output on as it comes, and return its exit code.

    It gets the input that it was made for. A notebook's interrupt stops it, and is passed on when it has stopped.
    """
    try:
        inspected = face.client.api.inspect_container(container)
        stdin = inspected["Config"]["AttachStdin"]
        return Session(face, inspected, stdin=stdin, detach_keys=detach_keys, sig_proxy=sig_proxy).serve(start=True)
    except KeyboardInterrupt:
        _give_up(face, container)
        raise KeyboardInterrupt("the container was stopped") from None


def _give_up(face: Face, container: str) -> None:
    """Stop a container; one that was to remove itself goes also when it was never started."""
    api = face.client.api
    api.stop(container, timeout=_STOP_SECONDS)
    with contextlib.suppress(docker.errors.NotFound):
        inspected = api.inspect_container(container)
        if inspected["HostConfig"]["AutoRemove"] and inspected["State"]["Status"] == "created":
            api.remove_container(container, v=True)


class Session:
    """A face at one container.

    Args:
        face: Where.
        inspected: What the engine knows of the container.
        stdin: Whether the face's input is the container's.
        detach_keys: Keys with which to leave it; empty for docker's own.
        sig_proxy: Whether signals that a command's process gets are the container's.
    """

    def __init__(
        self, face: Face, inspected: Json, *, stdin: bool, detach_keys: str = "", sig_proxy: bool = True
    ) -> None:
        self._face = face
        self._api = face.client.api
        self._id: str = inspected["Id"]
        self._config: Json = inspected["Config"]
        # Who asked for removal finds the container gone when the command returns, as with docker.
        self._condition = "removed" if inspected["HostConfig"]["AutoRemove"] else "next-exit"
        self._stdin, self._detach_keys = stdin, detach_keys
        self._sig_proxy = sig_proxy and face.takes_signals
        self._interrupts = int(sig_proxy)
        self._at_terminal = interactive.is_at_terminal(face, stdin=stdin, tty=self._config["Tty"])

    def visit(self, *, start: bool = False) -> int:
        """Do as ``serve`` does for a container that is not this command's own: an interrupt is the container's.

        Who interrupts once more leaves it to itself.
        """
        try:
            return self.serve(start=start, interrupts=self._interrupts)
        except KeyboardInterrupt:
            self._face.err(b"interrupted: the container goes on\n")
            return INTERRUPTED

    def serve(self, *, start: bool = False, interrupts: int = 0) -> int:
        """Pass all on until the container ends or is left, and return its exit code; 0 where it was left.

        Args:
            start: Start it when all that it writes will be seen.
            interrupts: How many of a notebook's interrupts are the container's; the next one is raised.
        """
        with contextlib.closing(Ending(self._face.client, self._id, self._condition)) as ended, self._attached() as own:
            if start:
                self._api.start(self._id)
            if self._at_terminal:
                if interactive.at_terminal(self._face, own, self._resize, self._detach_keys):
                    self._face.err(b"read escape sequence\n")
                    return 0
                return ended.code()
            with contextlib.ExitStack() as stack:
                if self._config["Tty"]:
                    stack.enter_context(interactive.size_told(self._face, self._resize))
                elif self._sig_proxy:
                    stack.enter_context(passed_on(lambda name: self._api.kill(self._id, name)))
                if self._stdin:
                    # An input that outlives its clients has no end, and to send one would end the output, too.
                    own.feed(self._face, end=self._config["StdinOnce"])
                return self._shown(own, ended, interrupts)

    def _shown(self, own: Stream, ended: Ending, interrupts: int) -> int:
        while True:
            try:
                own.show(self._face)
                return ended.code()
            except KeyboardInterrupt:
                if not interrupts:
                    raise
                interrupts -= 1
                self._api.kill(self._id, "SIGINT")

    def _attached(self) -> Stream:
        return Stream.attached(
            self._face.client,
            self._id,
            tty=self._config["Tty"],
            stdin=self._stdin,
            detach_keys=self._detach_keys,
        )

    def _resize(self, rows: int, columns: int) -> None:
        self._api.resize(self._id, rows, columns)

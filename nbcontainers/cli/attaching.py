"""``attach``: the streams of a container that runs already, in docker's grammar."""

import click
import docker
import requests

from nbcontainers.cli import interactive
from nbcontainers.cli.face import Face
from nbcontainers.cli.interactive import Stream
from nbcontainers.cli.tree import ExitCode, container_group, pass_face, tree
from nbcontainers.cli.values import Json
from nbcontainers.client.ending import Ending

_INTERRUPTED = 130
_LEFT_SECONDS = 1.0  # a stream that ends so long before its container was left with the detach keys


@tree.command()
@click.option("--detach-keys", default="", help="Keys with which to leave it, such as ctrl-p,ctrl-q.")
@click.option("--no-stdin", is_flag=True, help="Do not give it a standard input.")
@click.option("--sig-proxy", type=bool, default=True, help="Pass an interrupt on; false: leave the container instead.")
@click.argument("container")
@pass_face
def attach(face: Face, container: str, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> ExitCode:
    """Show what a running container writes, give it input, and return its exit code.

    Of a cell it takes its standard input from the cell. A second interrupt always leaves the container.
    """
    inspected = face.client.api.inspect_container(container)
    _refuse_unattachable(inspected["State"])
    config = inspected["Config"]
    stdin = config["OpenStdin"] and not no_stdin
    if face.stdin is not None and not stdin:
        raise click.UsageError(f"container '{container}' takes no input: it was made without --interactive")
    at_terminal = stdin and config["Tty"] and face.stdin is None and face.own_stdin
    if at_terminal and not interactive.has_terminal():
        raise click.ClickException("the input device is not a TTY")
    identifier = inspected["Id"]
    ended = Ending(face.client, identifier, "removed" if inspected["HostConfig"]["AutoRemove"] else "next-exit")
    attached = face.client.another()
    try:
        asked: dict[str, str | int] = {"stream": 1, "stdin": int(stdin), "stdout": 1, "stderr": 1}
        asked |= {"detachKeys": detach_keys} if detach_keys else {}
        stream = Stream(attached.api.attach_socket(identifier, params=asked), tty=config["Tty"])
        try:
            if at_terminal:
                interactive.at_terminal(stream, lambda rows, columns: face.client.api.resize(identifier, rows, columns))
                return ExitCode(_code_unless_left(face, ended, identifier))
            _give_input(face, stream, stdin=stdin, once=config["StdinOnce"])
            return ExitCode(_shown(face, stream, ended, identifier, pass_on=sig_proxy))
        finally:
            stream.close()
    finally:
        attached.close()
        ended.close()


container_group.add_command(attach)


def _refuse_unattachable(state: Json) -> None:
    """Refuse in docker's words.

    Raises:
        click.ClickException: The container is not up.
    """
    if not state["Running"]:
        raise click.ClickException("You cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise click.ClickException("You cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise click.ClickException("You cannot attach to a restarting container, wait until it is running")


def _give_input(face: Face, stream: Stream, *, stdin: bool, once: bool) -> None:
    """Send what there is; an input that outlives its clients has no end, and to send one would end the output, too."""
    if face.stdin is not None:
        stream.feed(iter([face.stdin]), end=once)
    elif stdin and face.own_stdin:
        stream.feed(interactive.standard_input(), end=once)


def _shown(face: Face, stream: Stream, ended: Ending, container: str, *, pass_on: bool) -> int:
    """Show all that comes until the container ends or is left; the first interrupt may be the container's."""
    try:
        try:
            stream.show(face)
            return ended.code()
        except KeyboardInterrupt:
            if not pass_on:
                raise
            face.client.api.kill(container, "SIGINT")
            stream.show(face)
            return ended.code()
    except KeyboardInterrupt:
        face.err(b"interrupted: the container goes on\n")
        return _INTERRUPTED


def _code_unless_left(face: Face, ended: Ending, container: str) -> int:
    """Return the exit code of a container whose stream has ended, or 0 where only the stream has."""
    try:
        face.client.api.wait(container, timeout=_LEFT_SECONDS)
    except docker.errors.NotFound:
        pass  # it has removed itself
    except (requests.Timeout, requests.ConnectionError):
        face.err(b"read escape sequence\n")
        return 0
    return ended.code()

"""``exec``: one more command in a container that runs, in docker's grammar."""

from typing import Any

import click

from nbcontainers.cli import interactive, values
from nbcontainers.cli.face import Face
from nbcontainers.cli.interactive import Stream
from nbcontainers.cli.tree import ExitCode, container_group, pass_face, tree

_INTERRUPTED = 130


@tree.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@click.option("--detach-keys", default="", help="Keys with which to leave it, such as ctrl-p,ctrl-q.")
@click.option("-e", "--env", multiple=True, help="NAME=value, or NAME to take this process's.")
@click.option(
    "--env-file", multiple=True, type=click.Path(exists=True, dir_okay=False), help="File of NAME=value lines."
)
@click.option("-i", "--interactive", "with_stdin", is_flag=True, help="Give it a standard input.")
@click.option("--privileged", is_flag=True, help="Give it all privileges.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-u", "--user", default="", help="name or uid, with :group.")
@click.option("-w", "--workdir", default="", help="Working directory.")
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_face
def execute(face: Face, /, container: str, command: tuple[str, ...], detach: bool, **options: Any) -> Any:
    """Run a command in a running container."""
    stdin = (options["with_stdin"] or face.stdin is not None) and not detach
    at_terminal = stdin and options["tty"] and face.stdin is None and face.own_stdin
    if at_terminal and not interactive.has_terminal():
        raise click.ClickException("the input device is not a TTY")
    made = face.client.api.exec_create(
        container,
        list(command),
        stdin=stdin,
        tty=options["tty"],
        privileged=options["privileged"],
        user=options["user"],
        environment=values.environment(options["env"], options["env_file"]),
        workdir=options["workdir"] or None,
        detach_keys=options["detach_keys"] or None,
        stdout=not detach,
        stderr=not detach,
    )["Id"]
    if detach:
        face.client.api.exec_start(made, detach=True)
        return None
    return ExitCode(_attached(face, made, tty=options["tty"], stdin=stdin, at_terminal=at_terminal))


container_group.add_command(execute)


def _attached(face: Face, made: str, *, tty: bool, stdin: bool, at_terminal: bool) -> int:
    """Start an exec, pass everything on until it ends or is left, and return its exit code."""
    api = face.client.api
    attached = face.client.another()
    try:
        stream = Stream(attached.api.exec_start(made, tty=tty, socket=True), tty=tty)
        try:
            if at_terminal:
                interactive.at_terminal(stream, lambda rows, columns: api.exec_resize(made, rows, columns))
            else:
                if face.stdin is not None:
                    stream.feed(iter([face.stdin]))
                elif stdin and face.own_stdin:
                    stream.feed(interactive.standard_input())
                stream.show(face)
        finally:
            stream.close()
    except KeyboardInterrupt:
        face.err(b"interrupted: the command goes on in the container\n")
        return _INTERRUPTED
    finally:
        attached.close()
    return int(api.exec_inspect(made)["ExitCode"] or 0)

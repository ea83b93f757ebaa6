"""``exec``: one more command in a container that runs, in docker's grammar."""

from typing import Any

import click

from nbcontainers.cli import interactive, values
from nbcontainers.cli.face import Face
from nbcontainers.cli.interactive import Stream
from nbcontainers.cli.running import INTERRUPTED
from nbcontainers.cli.tree import ExitCode, container_group, detach_keys_option, pass_face, tree


@tree.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@detach_keys_option
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
    interactive.refuse_in_cell(face, wants_input=stdin, tty=options["tty"])
    at_terminal = interactive.is_at_terminal(face, stdin=stdin, tty=options["tty"])
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
    return ExitCode(_attached(face, made, options, stdin=stdin, at_terminal=at_terminal))


container_group.add_command(execute)


def _attached(face: Face, made: str, options: dict[str, Any], *, stdin: bool, at_terminal: bool) -> int:
    """Start an exec, pass everything on until it ends or is left, and return its exit code."""
    api = face.client.api

    def resize(rows: int, columns: int) -> None:
        api.exec_resize(made, rows, columns)

    try:
        with Stream.executing(face.client, made, tty=options["tty"]) as stream:
            if at_terminal:
                interactive.at_terminal(face, stream, resize, options["detach_keys"])
            else:
                if stdin:
                    stream.feed(face)
                stream.show(face)
    except KeyboardInterrupt:
        face.err(b"interrupted: the command goes on in the container\n")
        return INTERRUPTED
    return int(api.exec_inspect(made)["ExitCode"] or 0)

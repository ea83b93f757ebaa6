"""``attach``: the streams of a container that runs already, in docker's grammar."""

import click

from nbcontainers.cli.face import Face
from nbcontainers.cli.running import Session
from nbcontainers.cli.tree import ExitCode, container_group, detach_keys_option, pass_face, sig_proxy_option, tree
from nbcontainers.cli.values import Json


@tree.command()
@detach_keys_option
@click.option("--no-stdin", is_flag=True, help="Do not give it a standard input.")
@sig_proxy_option
@click.argument("container")
@pass_face
def attach(face: Face, container: str, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> ExitCode:
    """Show what a running container writes, give it input, and return its exit code.

    Of a cell it takes its standard input from the cell. A second interrupt always leaves the container.
    """
    inspected = face.client.api.inspect_container(container)
    _refuse_unattachable(inspected["State"])
    stdin = inspected["Config"]["OpenStdin"] and not no_stdin
    if face.stdin is not None and not stdin:
        raise click.UsageError(f"container '{container}' takes no input: it was made without --interactive")
    session = Session(face, inspected, stdin=stdin, detach_keys=detach_keys, sig_proxy=sig_proxy)
    return ExitCode(session.visit())


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

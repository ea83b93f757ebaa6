"""The commands. Each returns its value; how it is shown is the face's business."""

import sys
from collections.abc import Callable
from typing import Any

import click
import docker.errors

from nbcontainers.cli import interactive, running
from nbcontainers.cli.configuration import configuration
from nbcontainers.cli.face import Face
from nbcontainers.cli.helping import HelpfulGroup, help_of
from nbcontainers.cli.options import with_options

pass_face = click.pass_obj
CELL_COLUMNS = 110
_ALL = {"ignore_unknown_options": False, "allow_interspersed_args": False}

detach_keys_option = click.option(
    "--detach-keys", default="", help="Keys with which to leave it, such as ctrl-p,ctrl-q."
)
sig_proxy_option = click.option("--sig-proxy", type=bool, default=True, help="Pass this process's signals on.")


_patience_option = click.option(
    "-t", "--timeout", "--time", "seconds", type=int, default=None, help="Seconds until they are killed."
)
_asking_option = click.option("-s", "--signal", default="", help="Signal that asks them to end.")


class ExitCode(int):
    """A container's exit code, as ``run`` returns it."""


@click.group(cls=HelpfulGroup, context_settings={"help_option_names": ["-h", "--help"]})
def tree() -> None:
    """Containers for notebooks: build, run, limit and plot them."""


def invoke(arguments: list[str], face: Face) -> Any:
    """Run one command of a notebook and return its value; of one that asks for help, or says nothing, help is printed.

    Raises:
        click.ClickException: The command's words are wrong.
        docker.errors.DockerException: The engine refuses.
        nbcontainers.errors.Error: There is no engine.
    """
    try:
        with tree.make_context("%container", list(arguments), obj=face, terminal_width=CELL_COLUMNS) as context:
            return tree.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.exceptions.Exit:
        pass  # the help was printed
    return None


@tree.command(context_settings=_ALL)
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it ends.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background, and return the id.")
@detach_keys_option
@sig_proxy_option
@with_options
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_face
def run(face: Face, /, image: str, command: tuple[str, ...], remove: bool, detach: bool, **options: Any) -> Any:
    """Run a command in a new container."""
    stdin = not detach and (face.stdin is not None or (options["interactive"] and face.own_stdin))
    interactive.refuse_in_cell(face, wants_input=options["interactive"] and not detach, tty=options["tty"])
    interactive.is_at_terminal(face, stdin=stdin, tty=options["tty"])
    config = configuration(image, command, options, remove=remove, attach=not detach, stdin=stdin)
    if options["tty"] and face.own_stdin and sys.stdout.isatty():
        config["HostConfig"]["ConsoleSize"] = interactive.size()
    container = running.create(face, config, options)
    if detach:
        face.client.api.start(container)
        return container
    keys, sig_proxy = options["detach_keys"], options["sig_proxy"]
    return ExitCode(running.run_attached(face, container, detach_keys=keys, sig_proxy=sig_proxy))


@tree.command(context_settings=_ALL)
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it ends.")
@with_options
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_face
def create(face: Face, /, image: str, command: tuple[str, ...], remove: bool, **options: Any) -> str:
    """Create a container without starting it, and return its id."""
    config = configuration(image, command, options, remove=remove, attach=True, stdin=False)
    return running.create(face, config, options)


@tree.command()
@click.option("-a", "--attach", is_flag=True, help="Show what it writes, and return its exit code.")
@click.option("-i", "--interactive", "with_stdin", is_flag=True, help="Give it input, too.")
@detach_keys_option
@sig_proxy_option
@click.argument("containers", nargs=-1, required=True)
@pass_face
def start(
    face: Face, *, containers: tuple[str, ...], attach: bool, with_stdin: bool, detach_keys: str, sig_proxy: bool
) -> Any:
    """Start containers.

    With --attach, an interrupt is the container's, as of what is passed on; the second leaves it to itself.
    """
    if not (attach or with_stdin):
        return each(containers, face.client.api.start)
    if len(containers) > 1:
        raise click.UsageError("you cannot start and attach multiple containers at once")
    inspected = face.client.api.inspect_container(containers[0])
    stdin = with_stdin and inspected["Config"]["OpenStdin"]
    session = running.Session(face, inspected, stdin=stdin, detach_keys=detach_keys, sig_proxy=sig_proxy)
    return ExitCode(session.visit(start=True))


@tree.command()
@_patience_option
@_asking_option
@click.argument("containers", nargs=-1, required=True)
@pass_face
def stop(face: Face, containers: tuple[str, ...], seconds: int | None, signal: str) -> str:
    """Stop containers."""
    return each(containers, lambda name: _end(face, name, "stop", seconds, signal))


@tree.command()
@_patience_option
@_asking_option
@click.argument("containers", nargs=-1, required=True)
@pass_face
def restart(face: Face, containers: tuple[str, ...], seconds: int | None, signal: str) -> str:
    """Restart containers."""
    return each(containers, lambda name: _end(face, name, "restart", seconds, signal))


def _end(face: Face, container: str, how: str, seconds: int | None, signal: str) -> None:
    """Stop or restart a container; docker-py has no word for the signal."""
    api = face.client.api
    asked = {"t": seconds, "signal": signal or None}
    # However long it takes: it is the engine that kills.
    response = api.post(api._url("/containers/{0}/" + how, container), params=asked, timeout=None)
    api._raise_for_status(response)


@tree.command()
@click.option("-s", "--signal", default="KILL", help="Signal to send.")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def kill(face: Face, containers: tuple[str, ...], signal: str) -> str:
    """Send a signal to containers."""
    return each(containers, lambda name: face.client.api.kill(name, signal))


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def pause(face: Face, containers: tuple[str, ...]) -> str:
    """Freeze containers."""
    return each(containers, face.client.api.pause)


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def unpause(face: Face, containers: tuple[str, ...]) -> str:
    """Let paused containers go on."""
    return each(containers, face.client.api.unpause)


@tree.command()
@click.option("-f", "--force", is_flag=True, help="Kill those that run.")
@click.option("-l", "--link", is_flag=True, help="Remove not a container but a link: CONTAINER/ALIAS.")
@click.option("-v", "--volumes", is_flag=True, help="Remove their anonymous volumes.")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def rm(face: Face, containers: tuple[str, ...], force: bool, link: bool, volumes: bool) -> str:
    """Remove containers."""
    api = face.client.api
    return each(containers, lambda name: api.remove_container(name, force=force, link=link, v=volumes))


def each(names: tuple[str, ...], act: Callable[[str], object]) -> str:
    """Do something to each, and return the names; who is refused keeps nobody else from it.

    Raises:
        click.ClickException: Some were refused.
    """
    refusals = []
    for name in names:
        try:
            act(name)
        except docker.errors.APIError as error:
            if len(names) == 1:
                raise
            refusals.append(str(error.explanation or error))
    if refusals:
        raise click.ClickException("\n".join(refusals))
    return "\n".join(names)


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def wait(face: Face, containers: tuple[str, ...]) -> Any:
    """Wait until containers have ended, and return their exit codes."""
    codes = [int(face.client.api.wait(name)["StatusCode"]) for name in containers]
    return codes[0] if len(codes) == 1 else codes


def pairs(entries: tuple[str, ...], option: str) -> dict[str, str]:
    """Return entries given as ``name=value``; a name alone has an empty value.

    Raises:
        click.UsageError: One has no name.
    """
    for entry in entries:
        if not entry.partition("=")[0]:
            raise click.UsageError(f"invalid value '{entry}' for {option}: NAME=value is wanted")
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def filters_of(entries: tuple[str, ...]) -> dict[str, list[str]]:
    """Return filters given as ``name=value``, those of one name together."""
    filters: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise click.UsageError(f"invalid value '{entry}' for --filter: name=value is wanted")
        filters.setdefault(name, []).append(value)
    return filters


@tree.command()
@click.argument("source")
@click.argument("target")
@pass_face
def tag(face: Face, source: str, target: str) -> str:
    """Give an image another name."""
    repository, colon, name = target.rpartition(":")
    if not colon or "/" in name:
        repository, name = target, "latest"
    face.client.api.tag(source, repository, name)
    return f"{repository}:{name}"


@tree.command()
@click.option("-f", "--force", is_flag=True, help="Even when a stopped container uses it.")
@click.option("--no-prune", is_flag=True, help="Leave images without a name that it stands on.")
@click.argument("names", nargs=-1, required=True)
@pass_face
def rmi(face: Face, names: tuple[str, ...], force: bool, no_prune: bool) -> str:
    """Remove images."""
    return each(names, lambda name: face.client.api.remove_image(name, force=force, noprune=no_prune))


@tree.command()
@click.argument("container")
@click.argument("name")
@pass_face
def rename(face: Face, container: str, name: str) -> str:
    """Give a container another name."""
    face.client.api.rename(container, name)
    return name


@tree.command("help")
@click.argument("command", nargs=-1)
@click.pass_context
def help_command(context: click.Context, command: tuple[str, ...]) -> None:
    """Say how a command is used, with examples; without one, which there are."""
    click.echo(help_of(command, context.find_root()))


container_group = HelpfulGroup("container", help="Commands of containers.")
image_group = HelpfulGroup("image", help="Commands of images.")
tree.add_command(container_group)
tree.add_command(image_group)
for _command in (run, create, start, stop, restart, kill, rm, wait, pause, unpause, rename):
    container_group.add_command(_command)
for _name, _command in (("rm", rmi), ("tag", tag)):
    image_group.add_command(_command, _name)

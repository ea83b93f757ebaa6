"""The commands. Each returns its value; how it is shown is the face's business."""

import io
import os
import tarfile
from typing import Any

import click
import docker.errors
from docker.utils.build import exclude_paths

from nbcontainers.cli import running
from nbcontainers.cli.face import Face
from nbcontainers.client import doctor as examine
from nbcontainers.client import history as usage
from nbcontainers.client import tables
from nbcontainers.errors import NotFound

pass_face = click.pass_obj
_ALL = {"ignore_unknown_options": False, "allow_interspersed_args": False}


class ExitCode(int):
    """A container's exit code, as ``run`` returns it."""


@click.group(context_settings={"help_option_names": ["--help"]})
def tree() -> None:
    """Containers for notebooks: build, run, limit and plot them."""


def invoke(arguments: list[str], face: Face) -> Any:
    """Run one command and return its value.

    Raises:
        click.ClickException: The command's words are wrong.
        docker.errors.DockerException: The engine refuses.
        nbcontainers.errors.Error: There is no engine.
    """
    return tree.main(args=arguments, prog_name="container", standalone_mode=False, obj=face)


@tree.command(context_settings=_ALL)
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it ends.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background, and return the id.")
@running.with_options
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_face
def run(face: Face, /, image: str, command: tuple[str, ...], remove: bool, detach: bool, **options: Any) -> Any:
    """Run a command in a new container."""
    stdin = face.stdin is not None and not detach
    config = running.configuration(image, command, options, remove=remove, attach=not detach, stdin=stdin)
    container = running.create(face, config, options["name"])
    if detach:
        face.client.api.start(container)
        return container
    return ExitCode(running.run_attached(face, container))


@tree.command(context_settings=_ALL)
@running.with_options
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_face
def create(face: Face, /, image: str, command: tuple[str, ...], **options: Any) -> str:
    """Create a container without starting it, and return its id."""
    config = running.configuration(image, command, options, remove=False, attach=True, stdin=False)
    return running.create(face, config, options["name"])


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def start(face: Face, containers: tuple[str, ...]) -> str:
    """Start containers."""
    return _each(containers, face.client.api.start)


@tree.command()
@click.option("-t", "--time", "seconds", type=int, default=None, help="Seconds until they are killed.")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def stop(face: Face, containers: tuple[str, ...], seconds: int | None) -> str:
    """Stop containers."""
    return _each(containers, lambda name: face.client.api.stop(name, timeout=seconds))


@tree.command()
@click.option("-t", "--time", "seconds", type=int, default=10, help="Seconds until they are killed.")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def restart(face: Face, containers: tuple[str, ...], seconds: int) -> str:
    """Restart containers."""
    return _each(containers, lambda name: face.client.api.restart(name, timeout=seconds))


@tree.command()
@click.option("-s", "--signal", default="KILL", help="Signal to send.")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def kill(face: Face, containers: tuple[str, ...], signal: str) -> str:
    """Send a signal to containers."""
    return _each(containers, lambda name: face.client.api.kill(name, signal))


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def pause(face: Face, containers: tuple[str, ...]) -> str:
    """Freeze containers."""
    return _each(containers, face.client.api.pause)


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def unpause(face: Face, containers: tuple[str, ...]) -> str:
    """Let paused containers go on."""
    return _each(containers, face.client.api.unpause)


@tree.command()
@click.option("-f", "--force", is_flag=True, help="Kill those that run.")
@click.option("-v", "--volumes", is_flag=True, help="Remove their anonymous volumes.")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def rm(face: Face, containers: tuple[str, ...], force: bool, volumes: bool) -> str:
    """Remove containers."""
    return _each(containers, lambda name: face.client.api.remove_container(name, force=force, v=volumes))


def _each(names: tuple[str, ...], act: Any) -> str:
    """Do something to each, and return the names; the first refusal ends it."""
    for name in names:
        act(name)
    return "\n".join(names)


@tree.command()
@click.argument("containers", nargs=-1, required=True)
@pass_face
def wait(face: Face, containers: tuple[str, ...]) -> Any:
    """Wait until containers have ended, and return their exit codes."""
    codes = [int(face.client.api.wait(name)["StatusCode"]) for name in containers]
    return codes[0] if len(codes) == 1 else codes


def _filters(entries: tuple[str, ...]) -> dict[str, list[str]]:
    filters: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            raise click.UsageError(f"invalid value '{entry}' for --filter: name=value is wanted")
        filters.setdefault(name, []).append(value)
    return filters


@tree.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Those that do not run, too.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("-f", "--filter", "filters", multiple=True, help="name=value.")
@click.option("-n", "--last", type=int, default=-1, help="The newest so many.")
@pass_face
def ps(face: Face, everything: bool, quiet: bool, filters: tuple[str, ...], last: int) -> Any:
    """List containers."""
    table = tables.containers(face.client, all=everything or last > 0, filters=_filters(filters), limit=last)
    return "\n".join(table["id"]) if quiet else table


@tree.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Images that others were built on, too.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.argument("name", required=False)
@pass_face
def images(face: Face, name: str | None, everything: bool, quiet: bool) -> Any:
    """List images."""
    table = tables.images(face.client, all=everything, name=name)
    return "\n".join(dict.fromkeys(table["id"])) if quiet else table


@tree.command()
@click.argument("image")
@pass_face
def history(face: Face, image: str) -> Any:
    """Show how an image came about."""
    return tables.image_history(face.client, image)


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
@click.argument("names", nargs=-1, required=True)
@pass_face
def rmi(face: Face, names: tuple[str, ...], force: bool) -> str:
    """Remove images."""
    return _each(names, lambda name: face.client.api.remove_image(name, force=force))


@tree.command()
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("-n", "--tail", type=int, default=None, help="The last so many lines.")
@click.option("--since", default=None, help="RFC 3339 time or seconds.")
@click.option("--until", default=None, help="RFC 3339 time or seconds.")
@click.argument("container")
@pass_face
def logs(face: Face, container: str, follow: bool, tail: int | None, since: str | None, until: str | None) -> Any:
    """Return a container's output, one row per line."""
    if not follow:
        return tables.logs(face.client, container, tail=tail, since=since, until=until)
    for piece in face.client.api.logs(container, stream=True, follow=True, tail="all" if tail is None else tail):
        face.out(piece)
    return None


@tree.command()
@click.argument("container", required=False)
@pass_face
def stats(face: Face, container: str | None) -> Any:
    """Return what a container has used over time, or what all running ones use now."""
    return usage.stats(face.client, container) if container else usage.running(face.client)


@tree.command()
@click.argument("names", nargs=-1, required=True)
@pass_face
def inspect(face: Face, names: tuple[str, ...]) -> Any:
    """Return all that is known of containers or images."""
    found = []
    for name in names:
        try:
            found.append(face.client.api.inspect_container(name))
        except docker.errors.NotFound:
            try:
                found.append(face.client.api.inspect_image(name))
            except docker.errors.NotFound:
                raise NotFound(f"no such container or image: {name}") from None
    return found[0] if len(found) == 1 else found


@tree.command()
@click.argument("container")
@click.argument("name")
@pass_face
def rename(face: Face, container: str, name: str) -> str:
    """Give a container another name."""
    face.client.api.rename(container, name)
    return name


@tree.command()
@click.option("-t", "--tag", "tags", multiple=True, help="Name of the image.")
@click.option("-f", "--file", "dockerfile", default=None, help="Path of the Dockerfile.")
@click.option("--build-arg", "buildargs", multiple=True, help="NAME=value, or NAME to take this process's.")
@click.option("--target", default=None, help="Stage to stop at.")
@click.option("--no-cache", is_flag=True, help="Run every step anew.")
@click.option("--pull", is_flag=True, help="Look for newer base images.")
@click.option("--label", "labels", multiple=True, help="NAME=value.")
@click.option("--network", default=None, help="Network of RUN.")
@click.argument("context", type=click.Path(exists=True, file_okay=False), default=".")
@pass_face
def build(face: Face, /, context: str, dockerfile: str | None, **options: Any) -> str:
    """Build an image from a Dockerfile, and return its id."""
    path = dockerfile or os.path.join(context, "Dockerfile")
    try:
        with open(path) as file:
            text = file.read()
    except OSError as error:
        raise click.UsageError(f"cannot read '{path}': {(error.strerror or '').lower()}") from error
    return build_image(face, text, context, **options)


def build_image(  # noqa: PLR0913
    face: Face,
    dockerfile: str,
    context: str,
    *,
    tags: tuple[str, ...] = (),
    buildargs: tuple[str, ...] = (),
    target: str | None = None,
    no_cache: bool = False,
    pull: bool = False,
    labels: tuple[str, ...] = (),
    network: str | None = None,
) -> str:
    """Build an image from a Dockerfile's text and a folder, telling the face what happens.

    Returns:
        The image's id.

    Raises:
        docker.errors.BuildError: A step has failed.
        docker.errors.APIError: The engine refuses.
    """
    name = ".nbcontainers-dockerfile"
    arguments = {}
    for entry in buildargs:
        key, equals, value = entry.partition("=")
        arguments[key] = value if equals else os.environ.get(key)
    api = face.client.api
    stream = api.build(
        fileobj=_archive(context, name, dockerfile),
        custom_context=True,
        dockerfile=name,
        tag=tags[0] if tags else None,
        buildargs=arguments,
        target=target,
        nocache=no_cache,
        pull=pull,
        labels=dict(label.split("=", 1) for label in labels),
        network_mode=network,
        rm=True,
        decode=True,
    )
    image = ""
    for message in stream:
        (face.build_events or (lambda event: _print_event(face, event)))(message)
        image = (message.get("aux") or {}).get("ID", image)
        if "error" in message:
            raise docker.errors.BuildError(message["error"], [])
    for extra in tags[1:]:
        repository, _, extra_tag = extra.partition(":")
        api.tag(image, repository, extra_tag or "latest")
    return image


def _print_event(face: Face, message: dict[str, Any]) -> None:
    if "stream" in message:
        face.out(str(message["stream"]).encode())


def _archive(context: str, name: str, dockerfile: str) -> io.BytesIO:
    """Return the context as a tar archive, without what .dockerignore names, with the Dockerfile as ``name``."""
    patterns = []
    ignore = os.path.join(context, ".dockerignore")
    if os.path.exists(ignore):
        with open(ignore) as file:
            patterns = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        # Most Dockerfiles copy nothing, and a notebook's folder may be large: then nothing of it is sent.
        if any(line.strip().upper().startswith(("COPY", "ADD", "ONBUILD")) for line in dockerfile.splitlines()):
            for path in sorted(exclude_paths(context, patterns)):
                tar.add(os.path.join(context, path), arcname=path, recursive=False)
        data = dockerfile.encode()
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    archive.seek(0)
    return archive


@tree.command()
@pass_face
def info(face: Face) -> Any:
    """Return facts about the engine."""
    return face.client.info()


@tree.command()
@pass_face
def version(face: Face) -> Any:
    """Return the engine's versions."""
    return face.client.version()


@tree.command()
def doctor() -> Any:
    """Examine what this machine offers for containers."""
    return examine()


@tree.group()
def context() -> None:
    """Choose the engine to speak to."""


@context.command()
@click.argument("name")
@pass_face
def use(face: Face, name: str) -> str:
    """Speak to another engine: docker, default, or a url such as unix:///path."""
    face.use(None if name == "default" else name)
    return str(face.client.api.base_url)


def _group(name: str, help_text: str, commands: dict[str, click.Command]) -> None:
    group = click.Group(name, help=help_text)
    for alias, command in commands.items():
        group.add_command(command, alias)
    tree.add_command(group)


_group(
    "container",
    "Commands of containers.",
    {
        **{one.name or "": one for one in (run, create, start, stop, restart, kill, rm, wait, logs, stats, inspect)},
        **{"ls": ps, "pause": pause, "unpause": unpause, "rename": rename},
    },
)
_group(
    "image",
    "Commands of images.",
    {"ls": images, "rm": rmi, "inspect": inspect, "history": history, "tag": tag, "build": build},
)

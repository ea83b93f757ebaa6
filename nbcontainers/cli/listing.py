"""The commands that only look: they return tables, or texts where ``--quiet`` or ``--format`` ask for them."""

import sys
from typing import Any

import click
import docker.errors

from nbcontainers.cli import formats
from nbcontainers.cli.face import Face
from nbcontainers.cli.following import follow as follow_log
from nbcontainers.cli.printing import short
from nbcontainers.cli.tree import container_group, filters_of, image_group, pass_face, tree
from nbcontainers.cli.watching import watch
from nbcontainers.client import history as usage
from nbcontainers.client import log_tables, tables
from nbcontainers.errors import NotFound
from nbcontainers.moments import in_seconds

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Only ids.")
filter_option = click.option("-f", "--filter", "filters", multiple=True, help="name=value.")
format_option = click.option(
    "--format",
    "wanted",
    default="",
    callback=lambda _context, _option, given: "" if given == "table" else given,
    help="A Go template, 'table TEMPLATE' or json.",
)
whole_option = click.option("--no-trunc", "whole", is_flag=True, help="Whole ids and commands.")


@tree.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Those that do not run, too.")
@click.option("-n", "--last", type=int, default=-1, help="The newest so many.")
@click.option("-l", "--latest", is_flag=True, help="The newest one.")
@click.option("-s", "--size", is_flag=True, help="How much they have written.")
@quiet_option
@whole_option
@filter_option
@format_option
@pass_face
def ps(  # noqa: PLR0913  docker's options
    face: Face,
    *,
    everything: bool,
    last: int,
    latest: bool,
    size: bool,
    quiet: bool,
    whole: bool,
    filters: tuple[str, ...],
    wanted: str,
) -> Any:
    """List containers."""
    limit = 1 if latest else last
    asked: dict[str, Any] = {"all": everything or limit > 0, "filters": filters_of(filters), "limit": limit}
    if quiet or wanted:
        rows = [formats.container(raw, whole=whole) for raw in face.client.api.containers(size=size, **asked)]
        return "\n".join(row["ID"] for row in rows) if quiet else formats.formatted(rows, wanted, "CONTAINER ID")
    return _cut(tables.containers(face.client, size=size, **asked), whole)


@tree.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Images that others were built on, too.")
@click.option("--digests", is_flag=True, help="The digests they have in registries.")
@quiet_option
@whole_option
@filter_option
@format_option
@click.argument("name", required=False)
@pass_face
def images(  # noqa: PLR0913  docker's options
    face: Face,
    *,
    name: str | None,
    everything: bool,
    digests: bool,
    quiet: bool,
    whole: bool,
    filters: tuple[str, ...],
    wanted: str,
) -> Any:
    """List images."""
    asked: dict[str, Any] = {"all": everything, "name": name, "filters": filters_of(filters)}
    if quiet or wanted:
        rows = [row for raw in face.client.api.images(**asked) for row in formats.image(raw, whole=whole)]
        if quiet:
            return "\n".join(dict.fromkeys(row["ID"] for row in rows))
        return formats.formatted(rows, wanted, "IMAGE ID")
    return _cut(tables.images(face.client, digests=digests, **asked), whole)


@tree.command()
@quiet_option
@whole_option
@format_option
@click.argument("image")
@pass_face
def history(face: Face, image: str, quiet: bool, whole: bool, wanted: str) -> Any:
    """Show how an image came about."""
    if quiet or wanted:
        rows = [formats.history(raw, whole=whole) for raw in face.client.api.history(image)]
        return "\n".join(row["ID"] for row in rows) if quiet else formats.formatted(rows, wanted, "IMAGE")
    return _cut(tables.image_history(face.client, image), whole)


def _cut(table: tables.Table, whole: bool) -> tables.Table:
    """Tell whoever prints the table whether identifiers are wanted whole."""
    table.attrs["whole"] = whole
    return table


@tree.command()
@click.option("--details", is_flag=True, help="With what the log's options have it tell: labels, variables, the tag.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("-n", "--tail", default="all", help="The last so many lines.")
@click.option("--since", default=None, help="RFC 3339 time, seconds, or how long ago, such as 10m.")
@click.option("--until", default=None, help="RFC 3339 time, seconds, or how long ago.")
@click.option("-t", "--timestamps", is_flag=True, help="Write each line's time, when following.")
@click.argument("container")
@pass_face
def logs(face: Face, /, container: str, follow: bool, timestamps: bool, **asked: Any) -> Any:
    """Return a container's output, one row per line."""
    tail = asked.pop("tail")
    if tail != "all" and not tail.isdigit():
        raise click.UsageError(f"invalid value '{tail}' for --tail: a number, or all")
    asked |= {name: in_seconds(asked[name]) for name in ("since", "until") if asked[name]}
    if not follow:
        return log_tables.logs(face.client, container, tail=None if tail == "all" else int(tail), **asked)
    details = int(asked.pop("details"))
    follow_log(face, container, {"tail": tail, "details": details, "timestamps": int(timestamps), **asked})
    return None


@tree.command()
@click.option("--no-stream", is_flag=True, help="One answer; else a terminal shows it anew until interrupted.")
@click.option("-a", "--all", "everything", is_flag=True, help="Those that do not run, too.")
@whole_option
@format_option
@click.argument("containers", nargs=-1)
@pass_face
def stats(
    face: Face, *, containers: tuple[str, ...], no_stream: bool, everything: bool, whole: bool, wanted: str
) -> Any:
    """Return what a container has used over time, or what several use now; without a name all that run."""

    def now() -> tables.Table:
        return usage.running(face.client, names=containers, everything=everything)

    if wanted:
        ids = {names["Names"][0].lstrip("/"): names["Id"] for names in face.client.api.containers(all=True)}
        rows = now().to_dict("index").items()
        return formats.formatted(
            [formats.use(str(name), ids.get(name, ""), row, whole=whole) for name, row in rows], wanted, "CONTAINER ID"
        )
    if not no_stream and face.takes_signals and sys.stdout.isatty():
        watch(face, now)
    if len(containers) == 1 and not no_stream:
        return usage.stats(face.client, containers[0])
    return now()


@tree.command(context_settings={"allow_interspersed_args": False})
@click.argument("container")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_face
def top(face: Face, container: str, arguments: tuple[str, ...]) -> Any:
    """List a container's processes; arguments are those of ps."""
    answer = face.client.api.top(container, " ".join(arguments) or None)
    return tables.table_of(answer["Titles"], answer["Processes"])


@tree.command()
@click.argument("container")
@click.argument("private", required=False)
@pass_face
def port(face: Face, container: str, private: str | None) -> str:
    """Say where a container's ports are published, such as 80/tcp -> 0.0.0.0:8080, or one of them alone."""
    published = face.client.api.inspect_container(container)["NetworkSettings"]["Ports"] or {}
    places = {
        inside: [f"{bracketed(binding['HostIp'])}:{binding['HostPort']}" for binding in bindings or ()]
        for inside, bindings in sorted(published.items())
    }
    if private is None:
        return "\n".join(f"{inside} -> {place}" for inside, outside in places.items() for place in outside)
    inside = private if "/" in private else f"{private}/tcp"
    if not places.get(inside):
        raise NotFound(f"no public port '{inside}' published for {container}")
    return "\n".join(places[inside])


def bracketed(address: str) -> str:
    """Return an address as it stands before a colon and a port."""
    return f"[{address}]" if ":" in address else address


_INSPECTORS = ("container", "image", "network", "volume")


@tree.command()
@click.option("-f", "--format", "wanted", default="", help="A Go template, or json.")
@click.option("-s", "--size", is_flag=True, help="How much containers have written.")
@click.option("--type", "kind", type=click.Choice(_INSPECTORS), default=None, help="Only what is of this kind.")
@click.argument("names", nargs=-1, required=True)
@pass_face
def inspect(face: Face, names: tuple[str, ...], wanted: str, size: bool, kind: str | None) -> Any:
    """Return all that is known of containers, images, networks or volumes."""
    kinds = (kind,) if kind else _INSPECTORS
    return inspected([_find(face, name, kinds, size) for name in names], wanted)


def inspected(found: list[Any], wanted: str) -> Any:
    """Return what was found, by itself when it is one thing, as text where a template is given."""
    if wanted:
        return "\n".join(formats.shown(one, wanted) for one in found)
    return found[0] if len(found) == 1 else found


def _find(face: Face, name: str, kinds: tuple[str, ...], size: bool) -> Any:
    for kind in kinds:
        try:
            if kind == "container" and size:
                return face.client.api.inspect_container(name, size=True)
            return getattr(face.client.api, f"inspect_{kind}")(name)
        except docker.errors.NotFound:
            continue
    raise NotFound(f"no such {kinds[0] if len(kinds) == 1 else 'object'}: {name}")


def inspector(kind: str) -> click.Command:
    """Return the command ``inspect`` of a group, such as ``container inspect``."""

    @click.command("inspect", help=f"Return all that is known of {kind}s.")
    @click.option("-f", "--format", "wanted", default="", help="A Go template, or json.")
    @click.option("-s", "--size", is_flag=True, hidden=kind != "container", help="How much they have written.")
    @click.argument("names", nargs=-1, required=True)
    @pass_face
    def command(face: Face, names: tuple[str, ...], wanted: str, size: bool) -> Any:
        return inspected([_find(face, name, (kind,), size) for name in names], wanted)

    return command


def ids(values: list[str], whole: bool) -> str:
    """Return identifiers, a line each."""
    return "\n".join(values if whole else map(short, values))


for _name, _command in (("ls", ps), ("logs", logs), ("stats", stats), ("top", top), ("port", port)):
    container_group.add_command(_command, _name)
container_group.add_command(inspector("container"))
image_group.add_command(images, "ls")
image_group.add_command(history)
image_group.add_command(inspector("image"))

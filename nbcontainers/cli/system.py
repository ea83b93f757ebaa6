"""The engine as a whole: what it is, what has happened, what takes room, and what can go."""

import time
from typing import Any

import click

from nbcontainers.cli import formats
from nbcontainers.cli.building import build
from nbcontainers.cli.face import Face
from nbcontainers.cli.listing import filter_option, format_option
from nbcontainers.cli.tree import container_group, filters_of, image_group, pass_face, tree
from nbcontainers.cli.values import Size
from nbcontainers.client import doctor as examine
from nbcontainers.client import tables
from nbcontainers.moments import in_seconds
from nbcontainers.templates import to_json

Json = dict[str, Any]

prune_filter_option = click.option("--filter", "filters", multiple=True, help="name=value.")
force_option = click.option("-f", "--force", is_flag=True, help="Docker's word: nothing is asked here anyway.")
_KINDS = {
    "containers": "ContainersDeleted",
    "images": "ImagesDeleted",
    "networks": "NetworksDeleted",
    "volumes": "VolumesDeleted",
    "build cache": "CachesDeleted",
}


_document_option = click.option("-f", "--format", "wanted", default="", help="A Go template, or json.")


@tree.command()
@_document_option
@pass_face
def info(face: Face, wanted: str) -> Any:
    """Return facts about the engine."""
    found = face.client.info()
    return formats.shown(found, wanted) if wanted else found


@tree.command()
@_document_option
@pass_face
def version(face: Face, wanted: str) -> Any:
    """Return the engine's versions."""
    found = face.client.version()
    return formats.shown({**found, "Server": found}, wanted) if wanted else found


@tree.command()
def doctor() -> Any:
    """Examine what this machine offers for containers."""
    return examine()


@tree.command()
@click.option("--since", default="0", help="From when on: seconds, RFC 3339, or how long ago, such as 10m.")
@click.option("--until", default=None, help="Up to when; by default up to now.")
@click.option("--follow", is_flag=True, help="Write each as it happens, until interrupted.")
@filter_option
@format_option
@pass_face
def events(face: Face, *, since: str, until: str | None, follow: bool, filters: tuple[str, ...], wanted: str) -> Any:
    """Return what has happened, one row per event."""
    since, until = in_seconds(since), until and in_seconds(until)
    if not follow:
        found = {"since": since, "until": until or f"{time.time():.9f}", "filters": filters_of(filters)}
        if not wanted:
            return tables.events(face.client, **found)  # type: ignore[arg-type]
        rows = list(face.client.api.events(decode=True, **found))
        return "\n".join(formats.shown(row, wanted) for row in rows)
    with face.client.another() as following:
        asked = {"since": None if since == "0" else since, "until": until, "filters": filters_of(filters)}
        for event in following.api.events(decode=True, **asked):
            face.out(f"{formats.shown(event, wanted) if wanted else _line(event)}\n".encode())
    return None


def _line(event: Json) -> str:
    """Return an event as docker writes it."""
    facts = ", ".join(f"{name}={value}" for name, value in sorted(event["Actor"]["Attributes"].items()))
    seconds, fraction = divmod(event["timeNano"], 10**9)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{fraction:09d}Z {event['Type']} {event['Action']} {event['Actor']['ID']} ({facts})"


@tree.group()
def system() -> None:
    """Commands of the engine as a whole."""


@system.command()
@click.option("-v", "--verbose", is_flag=True, help="All that there is, as the engine tells it.")
@format_option
@pass_face
def df(face: Face, verbose: bool, wanted: str) -> Any:
    """Return what takes room on the engine's disk."""
    if verbose:
        found = face.client.api.df()
        return to_json(found) if wanted == "json" else found
    table = tables.disk_usage(face.client)
    if not wanted:
        return table
    return formats.formatted([formats.disk_usage(row) for row in table.to_dict("records")], wanted, "TYPE")


@system.command()
@click.option("-a", "--all", "everything", is_flag=True, help="All images without a container, not only those unnamed.")
@click.option("--volumes", is_flag=True, help="Volumes without a name, too.")
@prune_filter_option
@force_option
@pass_face
def prune(face: Face, everything: bool, volumes: bool, filters: tuple[str, ...], force: bool) -> Any:
    """Remove what nobody uses: stopped containers, networks, images, the build cache."""
    api, asked = face.client.api, filters_of(filters)
    done = {"containers": api.prune_containers(filters=asked), "networks": api.prune_networks(filters=asked)}
    if volumes:
        done["volumes"] = api.prune_volumes(filters=asked)
    done["images"] = api.prune_images(filters={**asked, "dangling": [str(not everything).lower()]})
    done["build cache"] = api.prune_builds(all=everything)
    return pruned(done)


def pruned(answers: dict[str, Json]) -> tables.Table:
    """Return what was removed, one row each.

    Returns:
        Columns kind, id (text); the attribute ``reclaimed_bytes`` says how much room it was.
    """
    rows = []
    for kind, answer in answers.items():
        for one in answer.get(_KINDS[kind]) or ():
            removed = one if isinstance(one, str) else one.get("Deleted") or one.get("Untagged")
            rows.append([kind, str(removed)])
    table = tables.table_of(["kind", "id"], rows)
    table.attrs["reclaimed_bytes"] = sum(answer.get("SpaceReclaimed") or 0 for answer in answers.values())
    table.attrs["whole"] = True
    return table


@container_group.command("prune")
@prune_filter_option
@force_option
@pass_face
def prune_containers(face: Face, filters: tuple[str, ...], force: bool) -> Any:
    """Remove all containers that do not run."""
    return pruned({"containers": face.client.api.prune_containers(filters=filters_of(filters))})


@image_group.command("prune")
@click.option("-a", "--all", "everything", is_flag=True, help="All without a container, not only those without a name.")
@prune_filter_option
@force_option
@pass_face
def prune_images(face: Face, everything: bool, filters: tuple[str, ...], force: bool) -> Any:
    """Remove images that nobody uses."""
    asked = {"dangling": [str(not everything).lower()], **filters_of(filters)}
    return pruned({"images": face.client.api.prune_images(filters=asked)})


@tree.group()
def builder() -> None:
    """Commands of builds, and of what they keep."""


@builder.command("prune")
@click.option("-a", "--all", "everything", is_flag=True, help="Steps that images have, too.")
@click.option("--keep-storage", type=Size(), default=0, help="Bytes of it that may stay, the last used, such as 1g.")
@prune_filter_option
@force_option
@pass_face
def prune_builds(
    face: Face, *, everything: bool, keep_storage: int, filters: tuple[str, ...], force: bool
) -> tables.Table:
    """Remove what builds have kept so as not to do it again."""
    api = face.client.api
    asked = {"filters": filters_of(filters), "keep_storage": keep_storage, "all": everything}
    return pruned({"build cache": api.prune_builds(**asked)})


builder.add_command(build)
system.add_command(info)
system.add_command(events)

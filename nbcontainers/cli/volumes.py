"""``volume …``: volumes made, listed, removed, saved to archives and restored from them."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import click

from nbcontainers.cli import formats
from nbcontainers.cli.archives import opened, output_option, write_out
from nbcontainers.cli.face import Face
from nbcontainers.cli.listing import filter_option, format_option, inspector, quiet_option
from nbcontainers.cli.system import force_option, prune_filter_option, pruned
from nbcontainers.cli.tree import each, filters_of, pairs, pass_face, tree
from nbcontainers.client import tables
from nbcontainers.client.volumes import Volume, restore

_LEVEL, _GZIP = 3, 31


@tree.group()
def volume() -> None:
    """Commands of volumes."""


@volume.command()
@click.option("-d", "--driver", default="local", help="What keeps it.")
@click.option("-o", "--opt", "options", multiple=True, help="NAME=value for the driver.")
@click.option("--label", "labels", multiple=True, help="NAME=value.")
@click.argument("name", required=False)
@pass_face
def create(face: Face, name: str | None, driver: str, options: tuple[str, ...], labels: tuple[str, ...]) -> str:
    """Make a volume, and return its name."""
    made = face.client.api.create_volume(
        name=name, driver=driver, driver_opts=pairs(options, "--opt"), labels=pairs(labels, "--label")
    )
    return str(made["Name"])


@volume.command("ls")
@quiet_option
@filter_option
@format_option
@pass_face
def list_volumes(face: Face, quiet: bool, filters: tuple[str, ...], wanted: str) -> Any:
    """List volumes."""
    if not wanted:
        table = tables.volumes(face.client, filters=filters_of(filters))
        return "\n".join(table["name"]) if quiet else table
    rows = [formats.volume(raw) for raw in face.client.api.volumes(filters=filters_of(filters))["Volumes"] or ()]
    return formats.formatted(rows, wanted, "VOLUME NAME")


@volume.command()
@click.option("-f", "--force", is_flag=True, help="One that is not there is no error.")
@click.argument("names", nargs=-1, required=True)
@pass_face
def rm(face: Face, names: tuple[str, ...], force: bool) -> str:
    """Remove volumes."""
    return each(names, lambda name: face.client.api.remove_volume(name, force=force))


@volume.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Those with a name, too.")
@prune_filter_option
@force_option
@pass_face
def prune(face: Face, everything: bool, filters: tuple[str, ...], force: bool) -> Any:
    """Remove the volumes that no container uses."""
    asked = filters_of(filters) | ({"all": ["true"]} if everything else {})
    return pruned({"volumes": face.client.api.prune_volumes(filters=asked)})


@volume.command("export")
@output_option
@click.option(
    "-z", "--compress", "kind", default="", metavar="KIND", help="gzip or none; by default as FILE is called."
)
@click.argument("name")
@pass_face
def export_volume(face: Face, name: str, output: str, kind: str) -> None:
    """Write all files of a volume as an archive, with owners, modes, attributes and hard links."""
    if kind not in ("", "gzip", "none"):
        raise click.UsageError(f"invalid value '{kind}' for --compress: gzip or none")
    chunks = Volume(face.client, name).backup()
    is_gzip = kind == "gzip" or (not kind and output.endswith((".gz", ".tgz")))
    write_out(face, _gzipped(chunks) if is_gzip else chunks, output)


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


@volume.command("import")
@click.option("--replace", is_flag=True, help="What the volume has, and the archive has not, goes.")
@click.argument("name")
@click.argument("source", default="-")
@pass_face
def import_volume(face: Face, name: str, source: str, replace: bool) -> str:
    """Unpack an archive of files into a volume, all of it or nothing: a file, or - for standard input."""
    with opened(face, "" if source == "-" else source) as data:
        restore(face.client, name, data, replace=replace)
    return name


volume.add_command(inspector("volume"))

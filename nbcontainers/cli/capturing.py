"""``capture``: what comes and goes in a container, while a cell runs or until somebody has seen enough."""

import contextlib
import threading
from typing import Any

import click

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import container_group, pass_face, tree
from nbcontainers.cli.values import Size, duration_ns
from nbcontainers.client.capturing import LIMIT_BYTES, SNAP_BYTES, Capture


@tree.command()
@click.option("-w", "--write", "path", type=click.Path(dir_okay=False), default=None, help="A file for Wireshark.")
@click.option("-o", "--output", "variable", default=None, metavar="VARIABLE", help="Where a cell puts the table.")
@click.option("--time", "seconds", default=None, help="How long, such as 10s; by default until it is interrupted.")
@click.option("--snap", type=Size(), default=SNAP_BYTES, help="How much of each packet is kept.")
@click.option("--limit", type=Size(), default=LIMIT_BYTES, help="How much is kept in all.")
@click.argument("container")
@pass_face
def capture(  # noqa: PLR0913  one for each option
    face: Face, *, container: str, path: str | None, variable: str | None, seconds: str | None, snap: int, limit: int
) -> Any:
    """Return the packets that come and go in a container; of a cell, while it runs."""
    if variable and face.keep is None:
        raise click.UsageError(f"--output '{variable}' is for cells: give --write a file")
    packets = Capture(container, face.client, snap_bytes=snap, limit_bytes=limit)
    with packets:
        if face.meanwhile is not None:
            face.meanwhile()
        else:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait(duration_ns(seconds, "--time") / 10**9 if seconds else None)
    if path:
        packets.save(path)
    table = packets.df
    if dropped := table.attrs["dropped"]:
        face.err(f"{dropped} packets are missing: they came too fast, or after --limit\n".encode())
    if variable and face.keep is not None:
        face.keep(variable, table)
    return table


container_group.add_command(capture)

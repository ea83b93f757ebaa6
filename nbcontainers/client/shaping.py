"""How fast, how late and how surely a container's packets go: what is so, and what is to be."""

from typing import Any

from docker import DockerClient

from nbcontainers.client import extension
from nbcontainers.client.tables import Table, table
from nbcontainers.errors import Unsupported

_TYPES = {
    **dict.fromkeys(("network", "interface"), "object"),
    **dict.fromkeys(("rate_bits_per_second", "delay_usec"), "int64"),
    "loss_percent": "float64",
}
NOTHING: dict[str, float] = {"rate_bits_per_second": 0, "delay_usec": 0, "loss_percent": 0.0}
"""What holds where packets go as they can."""


def shown(client: DockerClient, container: str) -> Table:
    """Return how a container's packets go, one row for each of its networks; 0: as they can.

    Returns:
        Columns network, interface (text; empty while the container does not run), rate_bits_per_second, delay_usec
        (whole numbers), loss_percent (float); each holds both ways.

    Raises:
        Unsupported: The engine is Docker.
    """
    return table(rows(client, container), _TYPES)


def rows(client: DockerClient, container: str) -> list[dict[str, Any]]:
    """Return the same as the engine tells it."""
    found: list[dict[str, Any]] = extension.get_json(client, _path(client, container))
    return found


def change(client: DockerClient, container: str, *, network: str, **changes: float) -> Table:
    """Change how a container's packets go in a network.

    Args:
        client: The engine.
        container: The container's name or id.
        network: One of its networks; empty for the only one.
        changes: What is to be so from now on, by the names of the columns of ``shown``; the rest stays.

    Returns:
        As ``shown``.

    Raises:
        docker.errors.APIError: The engine refuses.
        Unsupported: The engine is Docker.
    """
    path = _path(client, container)
    now = [row for row in rows(client, container) if network in ("", row["network"])]
    before = {name: now[0][name] for name in NOTHING} if len(now) == 1 else NOTHING
    return table(extension.post_json(client, path, {"network": network, **before, **changes}), _TYPES)


def _path(client: DockerClient, container: str) -> str:
    if not extension.is_ours(client):
        raise Unsupported("Docker cannot limit the links of containers: use an engine of nbcontainers")
    return f"/containers/{client.api.inspect_container(container)['Id']}/shaping"

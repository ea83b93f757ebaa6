"""The engine's list of containers as plain values, for the faces that show it without a DataFrame."""

from dataclasses import dataclass
from typing import Any

from docker import DockerClient


@dataclass(frozen=True, slots=True)
class ListedContainer:
    """One line of the list.

    Args:
        id: All 64 digits.
        name: Without the leading slash.
        image: The reference it was made from.
        command: As one line of text.
        state: ``created``, ``running``, ``paused``, ``restarting``, ``removing``, ``exited`` or ``dead``.
        status: The same for people: ``Up 3 minutes``.
        created: Seconds since 1970.
        ports: ``0.0.0.0:8080→80/tcp``, separated by commas.
    """

    id: str
    name: str
    image: str
    command: str
    state: str
    status: str
    created: int
    ports: str


def containers(client: DockerClient, *, all: bool = False) -> list[ListedContainer]:
    """Return containers, the newest first.

    Args:
        client: The engine.
        all: Those that do not run, too.

    Raises:
        docker.errors.APIError: The engine refuses.
    """
    return [listed(row) for row in client.api.containers(all=all)]


def listed(row: dict[str, Any]) -> ListedContainer:
    """Return one container of the answer to ``GET /containers/json``."""
    return ListedContainer(
        id=row["Id"],
        name=(row["Names"] or ["/"])[0].lstrip("/"),
        image=row["Image"],
        command=row["Command"],
        state=row["State"],
        status=row["Status"],
        created=row["Created"],
        ports=", ".join(_port(port) for port in row.get("Ports") or []),
    )


def _port(port: dict[str, Any]) -> str:
    inside = f"{port['PrivatePort']}/{port['Type']}"
    return f"{port.get('IP', '')}:{port['PublicPort']}→{inside}" if "PublicPort" in port else inside

"""What only this engine has: the endpoints under ``/nbcontainers/v1``."""

from typing import Any

from docker import DockerClient

PREFIX = "/nbcontainers/v1"


def is_ours(client: DockerClient) -> bool:
    """Say whether the other side is an nbcontainers engine."""
    response = client.api.get(f"{client.api.base_url}/_ping")
    return str(response.headers.get("Server", "")).lower().startswith("nbcontainers")


def get_json(client: DockerClient, path: str, /, **query: object) -> Any:
    """Return what an endpoint answers.

    Raises:
        docker.errors.APIError: The engine refuses.
    """
    response = client.api.get(f"{client.api.base_url}{PREFIX}{path}", params=query)
    client.api._raise_for_status(response)
    return response.json()


def post_json(client: DockerClient, path: str, body: object) -> Any:
    """Send something, and return what an endpoint answers.

    Raises:
        docker.errors.APIError: The engine refuses.
    """
    response = client.api.post(f"{client.api.base_url}{PREFIX}{path}", json=body)
    client.api._raise_for_status(response)
    return response.json()


def get_bytes(client: DockerClient, path: str, /, **query: object) -> bytes:
    """Return the bytes that an endpoint answers with.

    Raises:
        docker.errors.APIError: The engine refuses.
    """
    response = client.api.get(f"{client.api.base_url}{PREFIX}{path}", params=query)
    client.api._raise_for_status(response)
    return bytes(response.content)

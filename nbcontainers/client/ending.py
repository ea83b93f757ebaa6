"""Waiting for a container's end, from before it is started, so that the end is not missed."""

from docker import DockerClient


class Ending:
    """A wait that is in force when this returns: the engine has sent the head of its answer.

    A container that removes itself may be gone before a wait that is only asked for afterwards arrives.

    Args:
        client: To the engine.
        container: Its id.
        condition: ``next-exit``, or ``removed``: until it is gone as well.

    Raises:
        docker.errors.APIError: There is no such container.

    Source: Docker Engine API, ``POST /containers/{id}/wait``.
    """

    def __init__(self, client: DockerClient, container: str, condition: str) -> None:
        api = client.api
        url = f"{api.base_url}/v{api._version}/containers/{container}/wait"
        self._response = api.post(url, params={"condition": condition}, stream=True)
        api._raise_for_status(self._response)

    def code(self) -> int:
        """Wait, and return the exit code."""
        return int(self._response.json()["StatusCode"])

    def close(self) -> None:
        """Give the wait up."""
        self._response.close()

"""What ``run`` and ``create`` do: make a container, and pass its output to whoever asked."""

import threading

from nbcontainers.cli.face import Face
from nbcontainers.cli.values import Json
from nbcontainers.client.attached import STDERR, Attached
from nbcontainers.client.ending import Ending


def create(face: Face, config: Json, name: str) -> str:
    """Create a container and return its id; the engine's warnings go to standard error."""
    answer: Json = face.client.api.create_container_from_config(config, name or None)
    for warning in answer.get("Warnings") or ():
        face.err(f"WARNING: {warning}\n".encode())
    return str(answer["Id"])


def run_attached(face: Face, container: str) -> int:
    """Start a created container, pass its output on as it comes, and return its exit code.

    An interrupt stops the container, and is passed on when it has stopped.
    """
    api = face.client.api
    inspected = api.inspect_container(container)
    tty = inspected["Config"]["Tty"]
    attached = Attached(face.client, container, stdout=1, stderr=1)
    # Who asked for removal finds the container gone when the command returns, as with docker.
    ended = Ending(face.client, container, "removed" if inspected["HostConfig"]["AutoRemove"] else "next-exit")
    feeder = _Feeder(face, container) if face.stdin is not None else None
    try:
        api.start(container)
        for stream, piece in attached.output(tty=tty):
            (face.err if stream == STDERR else face.out)(piece)
        return ended.code()
    except KeyboardInterrupt:
        api.stop(container, timeout=2)
        raise
    finally:
        if feeder is not None:
            feeder.close()
        ended.close()
        attached.close()


class _Feeder:
    """Sends the face's input to a container from a thread, and closes it there."""

    def __init__(self, face: Face, container: str) -> None:
        self._data = face.stdin or b""
        self._attached = Attached(face.client, container, stdin=1)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        try:
            self._attached.send(self._data)
        except OSError:
            return  # the container has ended before it read everything

    def close(self) -> None:
        """Let go of the container's input."""
        self._thread.join(timeout=1)
        self._attached.close()

"""What a container's log tells of the container: the labels and variables that its options choose, and its tag.

Docker writes them into every entry; ``docker logs --details`` shows them. Here they stand once beside the log, with the
time from which on they hold: a container that was renamed has another tag from its next start on.

Source: Docker documentation, "Customize log driver output", "JSON File logging driver" § Options; moby,
daemon/logger/loginfo.go.
"""

import bisect
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from nbcontainers import errors
from nbcontainers.engine.model import Container
from nbcontainers.runtime import log
from nbcontainers.templates import parse

OPTIONS = frozenset(("labels", "labels-regex", "env", "env-regex", "tag"))
_FILE = "attributes"
_ID_DIGITS = 12


def of(container: Container) -> dict[str, str]:
    """Return what the log of a container that starts now has in its entries.

    Raises:
        errors.InvalidArgument: A regular expression or a template cannot be read.
    """
    options = container.host_config.log_options
    if not OPTIONS & options.keys():
        return {}
    variables = (entry.partition("=") for entry in container.config.env)
    env = {name: value for name, equals, value in variables if equals}
    found = dict(_chosen(container.config.labels, "labels", options))
    found.update(_chosen(env, "env", options))
    if tag := options.get("tag"):
        found["tag"] = parse(tag).render(_facts(container))
    return found


def _chosen(values: Mapping[str, str], option: str, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield those of some values that an option names, or that its regular expression finds."""
    for name in options.get(option, "").split(","):
        if name in values:
            yield name, values[name]
    if expression := options.get(f"{option}-regex"):
        try:
            pattern = re.compile(expression)
        except re.error as error:
            raise errors.InvalidArgument(f"invalid value '{expression}' for {option}-regex: {error}") from None
        yield from ((name, value) for name, value in values.items() if pattern.search(name))


def _facts(container: Container) -> dict[str, Any]:
    """Return what the template of a tag can ask for."""
    image = container.config.image
    return {
        "ID": container.id[:_ID_DIGITS],
        "FullID": container.id,
        "Name": container.name,
        "ImageID": container.image_id[:_ID_DIGITS],
        "ImageFullID": container.image_id,
        "ImageName": image,
        "DaemonName": "docker",
        "Hostname": socket.gethostname(),
        "Command": " ".join((container.path, *container.args)),
        "ContainerID": container.id,
        "ContainerName": f"/{container.name}",
        "ContainerEntrypoint": container.path,
        "ContainerArgs": list(container.args),
        "ContainerImageID": container.image_id,
        "ContainerImageName": image,
        "ContainerEnv": list(container.config.env),
        "ContainerLabels": dict(sorted(container.config.labels.items())),
        "Config": dict(sorted(container.host_config.log_options.items())),
    }


def record(directory: str, container: Container) -> None:
    """Note what holds for all that a container writes from its start on; nothing where its options ask for nothing.

    Args:
        directory: The container's.
        container: It runs.

    Raises:
        OSError: ENOSPC, the disk is full.
    """
    if not OPTIONS & container.host_config.log_options.keys():
        return
    began_ns = container.state.started_at_ns
    if any(time_ns >= began_ns for time_ns, _ in _recorded(directory)):
        return  # an engine before this one has noted it
    with open(f"{directory}/{log.DIRECTORY}/{_FILE}", "a", opener=_private) as file:
        file.write(json.dumps([began_ns, of(container)]) + "\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _recorded(directory: str) -> list[tuple[int, dict[str, str]]]:
    try:
        with open(f"{directory}/{log.DIRECTORY}/{_FILE}") as file:
            # A line that a crash or a full disk cut short is the last one, or is followed by the next start's.
            return [(time_ns, found) for time_ns, found in map(_read, file) if time_ns]
    except FileNotFoundError:
        return []


def _read(line: str) -> tuple[int, dict[str, str]]:
    try:
        time_ns, found = json.loads(line)
    except ValueError:
        return 0, {}
    return time_ns, found


class Details:
    """What stood in a log's entries at any time, as ``docker logs --details`` writes it: ``a=b,c=d``, escaped for URLs.

    Args:
        directory: The container's.
    """

    def __init__(self, directory: str) -> None:
        found = sorted((time_ns, _text(one)) for time_ns, one in _recorded(directory))
        self._times = [time_ns for time_ns, _ in found]
        self._texts = [text for _, text in found]

    def at(self, time_ns: int) -> bytes:
        """Return it for a line of this time, nanoseconds since the epoch."""
        index = bisect.bisect_right(self._times, time_ns) - 1
        return self._texts[index] if index >= 0 else b""


def _text(found: dict[str, str]) -> bytes:
    return ",".join(f"{quote_plus(name)}={quote_plus(found[name])}" for name in sorted(found)).encode()

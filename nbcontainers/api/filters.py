"""Filters of lists: ``GET /containers/json`` and the label filter that all lists share.

Source: Docker Engine API v1.47, ``GET /containers/json`` § filters.
"""

import re

from nbcontainers import errors
from nbcontainers.api.calls import Call
from nbcontainers.engine.model import RUNNING, Container

CONTAINER_FILTERS = frozenset(
    (
        "ancestor",
        "before",
        "exited",
        "expose",
        "health",
        "id",
        "is-task",
        "isolation",
        "label",
        "name",
        "network",
        "publish",
        "since",
        "status",
        "volume",
    )
)
HEALTHS = frozenset(("none", "starting", "healthy", "unhealthy"))
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
STATUSES = frozenset(("created", "restarting", "running", "removing", "paused", "exited", "dead"))


class Containers:
    """The filters of one listing, checked.

    Values of one filter are alternatives, except for labels; different filters must all hold.

    Raises:
        errors.InvalidArgument: A filter or one of its values makes no sense.
    """

    def __init__(self, call: Call) -> None:
        self._filters = given = call.filters(CONTAINER_FILTERS)
        self._everything = call.flag("all") or "status" in given or call.integer("limit", -1) > 0
        for status in given.get("status", ()):
            if status not in STATUSES:
                raise errors.InvalidArgument(f"invalid filter 'status={status}'")
        for health in given.get("health", ()):
            if health not in HEALTHS:
                raise errors.InvalidArgument(f"unrecognised filter value for health: {health}")
        for value in given.get("is-task", ()):
            if value.lower() not in ("1", "true", "0", "false"):
                raise errors.InvalidArgument(f"invalid filter 'is-task=[{value}]'")
        self._exposed = {port for value in given.get("expose", ()) for port in _ports("expose", value)}
        self._published = {port for value in given.get("publish", ()) for port in _ports("publish", value)}
        self._exit_codes = {_number(value) for value in given.get("exited", ())}
        self._names = [_expression(value) for value in given.get("name", ())]
        engine = call.engine
        self._health_of = engine.healths.status
        self._before = [engine.container(name).created_ns for name in given.get("before", ())]
        self._since = [engine.container(name).created_ns for name in given.get("since", ())]
        self._ancestors = set(given.get("ancestor", ()))
        for ancestor in given.get("ancestor", ()):
            try:
                self._ancestors.add(engine.images.get(ancestor).id)
            except errors.NotFound:
                continue

    def match(self, container: Container) -> bool:
        """Say whether a container belongs to the list."""
        if not self._everything and container.state.status not in RUNNING:
            return False
        return not self._filters or (self._match_identity(container) and self._match_state(container))

    def _match_identity(self, container: Container) -> bool:
        asked = self._filters
        if self._names and not any(
            name.search(container.name) or name.search(f"/{container.name}") for name in self._names
        ):
            return False
        if "id" in asked and not any(container.id.startswith(value) for value in asked["id"]):
            return False
        if "ancestor" in asked and not self._ancestors & {container.image_id, container.config.image}:
            return False
        return labels_match(container.config.labels, asked.get("label", []))

    def _match_state(self, container: Container) -> bool:
        asked, state = self._filters, container.state
        if any(value.lower() in ("1", "true") for value in asked.get("is-task", ())):
            return False  # there is no swarm whose task it could be
        if "health" in asked and self._health_of(container) not in asked["health"]:
            return False
        bindings = {f"{binding.port}/{binding.protocol}" for binding in container.host_config.port_bindings}
        if "publish" in asked and not self._published & bindings:
            return False
        if "expose" in asked and not self._exposed & set(container.config.exposed_ports):
            return False
        if "status" in asked and state.status not in asked["status"]:
            return False
        if "exited" in asked and (state.status in RUNNING or state.exit_code not in self._exit_codes):
            return False
        if "network" in asked and not set(asked["network"]) & {
            value for name, attachment in container.networks.items() for value in (name, attachment.network_id)
        }:
            return False
        if "volume" in asked and not set(asked["volume"]) & {
            place for mount in container.mounts for place in (mount.name, mount.source, mount.destination)
        }:
            return False
        return all(container.created_ns < time for time in self._before) and all(
            container.created_ns > time for time in self._since
        )


def labels_match(labels: dict[str, str] | None, asked: list[str]) -> bool:
    """Say whether all labels asked for are there: ``name``, or ``name=value``."""
    have = labels or {}
    for entry in asked:
        name, separator, value = entry.partition("=")
        if name not in have or (separator and have[name] != value):
            return False
    return True


def _ports(name: str, text: str) -> list[str]:
    """Return the ports of a filter such as ``80``, ``80/udp`` or ``8000-8010/tcp``, as ``80/tcp``.

    Raises:
        errors.InvalidArgument: It is none.
    """
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if found is None or not 0 <= first <= last < 1 << 16:
        raise errors.InvalidArgument(f"invalid filter '{name}={text}': a port such as 80/tcp or 8000-8010 is wanted")
    return [f"{port}/{found[3] or 'tcp'}" for port in range(first, last + 1)]


def _number(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,10}", text):
        raise errors.InvalidArgument(f"invalid filter 'exited={text}': a whole number is wanted")
    return int(text)


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise errors.InvalidArgument(f"invalid filter 'name={text}': {error}") from error

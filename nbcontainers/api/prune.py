"""``POST /containers/prune``, ``/images/prune`` and ``/volumes/prune``: away with what nobody uses.

Source: Docker Engine API v1.47, § filters of these.
"""

from datetime import UTC, datetime

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses
from nbcontainers.api.calls import Call, Filters
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.moments import parse_ns

CONTAINER_FILTERS = frozenset(("label", "label!", "until"))
IMAGE_FILTERS = CONTAINER_FILTERS | {"dangling"}
VOLUME_FILTERS = frozenset(("all", "label", "label!"))
_TRUE, _FALSE = ("1", "true"), ("0", "false")


class _Chosen:
    """The filters that all of them share: how old, and with which labels."""

    def __init__(self, asked: Filters) -> None:
        if len(asked.get("until", ())) > 1:
            raise errors.InvalidArgument("more than one until filter specified")
        self._until_ns = [parse_ns(text, datetime.now(UTC)) for text in asked.get("until", ())]
        self._with = asked.get("label", [])
        self._without = asked.get("label!", [])

    def has(self, labels: dict[str, str] | None, created_ns: int) -> bool:
        if any(created_ns > until_ns for until_ns in self._until_ns) or not labels_match(labels, self._with):
            return False
        return not (self._without and labels_match(labels, self._without))


def _flag(asked: Filters, name: str, otherwise: bool) -> bool:
    """Return a filter that is true or false.

    Raises:
        errors.InvalidArgument: It is neither, or both.
    """
    values = [value.lower() for value in asked.get(name, ())]
    if not values:
        return otherwise
    if len(values) > 1 or values[0] not in (*_TRUE, *_FALSE):
        raise errors.InvalidArgument(f"invalid filter '{name}=[{' '.join(asked[name])}]'")
    return values[0] in _TRUE


async def containers(call: Call) -> web.Response:
    """``POST /containers/prune``."""
    chosen = _Chosen(call.filters(CONTAINER_FILTERS))
    gone, freed = await call.engine.pruning.containers(
        lambda container: chosen.has(container.config.labels, container.created_ns)
    )
    return responses.json({"ContainersDeleted": gone or None, "SpaceReclaimed": freed})


async def images(call: Call) -> web.Response:
    """``POST /images/prune``: those without a name, unless ``dangling=false``."""
    asked = call.filters(IMAGE_FILTERS)
    chosen = _Chosen(asked)
    done, freed = await call.engine.pruning.images(
        lambda image: chosen.has(image.config.config.labels, image.created_ns),
        dangling=_flag(asked, "dangling", True),
    )
    deleted = [{action: what} for action, what in done]
    return responses.json({"ImagesDeleted": deleted or None, "SpaceReclaimed": freed})


async def volumes(call: Call) -> web.Response:
    """``POST /volumes/prune``: anonymous ones, unless ``all=true``; before API 1.42 there was no difference."""
    asked = call.filters(VOLUME_FILTERS)
    chosen = _Chosen(asked)
    gone, freed = await call.engine.pruning.volumes(
        lambda volume: chosen.has(volume.labels, volume.created_ns),
        anonymous=not _flag(asked, "all", call.version < (1, 42)),
    )
    return responses.json({"VolumesDeleted": gone, "SpaceReclaimed": freed})


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("POST", "/containers/prune", containers),
        Route("POST", "/images/prune", images),
        Route("POST", "/volumes/prune", volumes),
    ]

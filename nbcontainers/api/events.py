"""``GET /events``: what happened, and what happens, as a stream of JSON.

Source: Docker Engine API v1.47, ``GET /events``; moby, daemon/events/filter.go, for what each filter fits.
"""

import asyncio
import time

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses
from nbcontainers.api.calls import Call, Filters
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.engine.model import Event

KINDS = ("config", "container", "daemon", "image", "network", "node", "plugin", "secret", "service", "volume")
EVENT_FILTERS = frozenset((*KINDS, "event", "label", "scope", "type"))
_WITH_DETAILS = ("exec_create", "exec_start", "health_status")  # "exec_create: sh -c true" is one, too


async def events(call: Call) -> web.StreamResponse:
    """Answer with those kept since ``since``, then new ones until ``until`` or until the client goes."""
    asked = call.filters(EVENT_FILTERS)
    since_ns, until_ns = call.time_ns("since"), call.time_ns("until")
    if since_ns is not None and until_ns is not None and until_ns < since_ns:
        raise errors.InvalidArgument("`since` time cannot be after `until` time")
    if since_ns is None and until_ns is not None:
        since_ns = 0
    with call.engine.events.subscribe(since_ns) as subscription:
        response = await responses.stream(call, "application/json")
        try:
            async with asyncio.timeout(None if until_ns is None else max(0.0, (until_ns - time.time_ns()) / 10**9)):
                async for event in subscription:
                    if until_ns is not None and event.time_ns >= until_ns:
                        break
                    if matches(event, asked):
                        await responses.write_json_line(response, _wire(event))
        except TimeoutError:
            return response
        return response


def _wire(event: Event) -> dict[str, object]:
    wire: dict[str, object] = {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time_ns // 10**9,
        "timeNano": event.time_ns,
    }
    if event.type == "container":
        of = {"id": event.actor_id, "from": event.attributes["image"]} if event.actor_id else {}
        wire = {"status": event.action, **of, **wire}
    elif event.type == "image":
        wire = {"status": event.action, **({"id": event.actor_id} if event.actor_id else {}), **wire}
    return wire


def matches(event: Event, asked: Filters) -> bool:
    """Say whether an event is wanted: values of one filter are alternatives, but for labels; all filters must hold."""
    if "type" in asked and event.type not in asked["type"]:
        return False
    if "event" in asked and not _is_action(event.action, asked["event"]):
        return False
    if "scope" in asked and "local" not in asked["scope"]:
        return False
    if any(kind in asked and not _is_about(event, kind, asked[kind]) for kind in KINDS):
        return False
    return labels_match(event.attributes, asked.get("label", []))


def _is_action(action: str, names: list[str]) -> bool:
    return action in names or any(name in _WITH_DETAILS and action.startswith(f"{name}:") for name in names)


def _is_about(event: Event, kind: str, names: list[str]) -> bool:
    """Say whether an event is about one of these; a container's events are also about its image."""
    name = event.attributes.get("name", "")
    if kind == "image":
        if event.type == "container":
            name = event.attributes.get("image", "")
        elif event.type != "image":
            return False
        return bool({event.actor_id, name, _without_tag(name)} & set(names))
    # As in Docker, the beginning of a name is enough.
    return event.type == kind and any(event.actor_id.startswith(one) or name.startswith(one) for one in names)


def _without_tag(reference: str) -> str:
    name, colon, tag = reference.partition("@")[0].rpartition(":")
    return name if colon and "/" not in tag else reference


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("GET", "/events", events, interruptible=True)]

"""The endpoints of networks: the three that are always there."""

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.engine.model import Container

NETWORK_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
Json = dict[str, object]


def _networks(call: Call) -> list[Json]:
    return [dict(network) for network in call.engine.networks.inspect()]


async def list_networks(call: Call) -> web.Response:
    """``GET /networks``; all three are built in, so ``type=custom`` and ``dangling=1`` find nothing."""
    asked = call.filters(NETWORK_FILTERS)
    found = [network for network in _networks(call) if _matches(network, asked)]
    return responses.json(found)


def _matches(network: Json, asked: dict[str, list[str]]) -> bool:
    if "custom" in asked.get("type", ()) or asked.get("dangling", ["false"])[0].lower() in ("1", "true"):
        return False
    if "name" in asked and not any(name in str(network["Name"]) for name in asked["name"]):
        return False
    if "id" in asked and not any(str(network["Id"]).startswith(value) for value in asked["id"]):
        return False
    if "driver" in asked and network["Driver"] not in asked["driver"]:
        return False
    if "scope" in asked and "local" not in asked["scope"]:
        return False
    return labels_match({}, asked.get("label", []))


async def inspect(call: Call) -> web.Response:
    """``GET /networks/{id}``: by name, id or the beginning of an id; with the containers that are in it."""
    name = call.parameters["id"]
    for network in _networks(call):
        if name == network["Name"] or (name and str(network["Id"]).startswith(name)):
            network["Containers"] = _members(call, str(network["Name"]))
            return responses.json(network)
    raise errors.NoSuchNetwork(name)


def _members(call: Call, network: str) -> dict[str, Json]:
    return {
        container.id: _member(container)
        for container in call.engine.containers()
        if container.host_config.network_mode == network and call.engine.is_live(container)
    }


def _member(container: Container) -> Json:
    endpoint = container.endpoint
    return {
        "Name": container.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac_address,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix_length}" if endpoint.address else "",
        "IPv6Address": "",
    }


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/networks", list_networks, interruptible=True),
        Route("GET", "/networks/{id}", inspect, interruptible=True),
    ]

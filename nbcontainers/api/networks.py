"""The endpoints of networks.

Source: Docker Engine API v1.47, ``/networks``.
"""

import re
from datetime import UTC, datetime

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import networking, responses, times
from nbcontainers.api.calls import Call
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.api.wire import networks as wire
from nbcontainers.engine.model import Container, NetworkEndpoint
from nbcontainers.moments import parse_ns
from nbcontainers.networks import Network, Subnet
from nbcontainers.networks.model import OPTION_BRIDGE_NAME, OPTION_DEFAULT_BRIDGE

IPVLAN = "ipvlan"
NETWORK_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
PRUNE_FILTERS = frozenset(("label", "label!", "until"))
Json = dict[str, object]


async def list_networks(call: Call) -> web.Response:
    """``GET /networks``."""
    asked = call.filters(NETWORK_FILTERS)
    _check_filters(asked)
    return responses.json([_describe(call, one) for one in call.engine.networks.all() if _matches(call, one, asked)])


def _check_filters(asked: dict[str, list[str]]) -> None:
    for kind in asked.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise errors.InvalidArgument(f"invalid filter: 'type'='{kind}': builtin or custom")
    for value in asked.get("dangling", ()):
        if value.lower() not in ("0", "1", "true", "false"):
            raise errors.InvalidArgument(f"invalid filter 'dangling={value}': true or false")


def _matches(call: Call, network: Network, asked: dict[str, list[str]]) -> bool:
    if "type" in asked and ("builtin" if network.is_predefined else "custom") not in asked["type"]:
        return False
    if "dangling" in asked and call.engine.user_networks.is_dangling(network) != (
        asked["dangling"][0].lower() in ("1", "true")
    ):
        return False
    if "name" in asked and not any(_name_fits(value, network.name) for value in asked["name"]):
        return False
    if "id" in asked and not any(network.id.startswith(value) for value in asked["id"]):
        return False
    if "driver" in asked and network.driver not in asked["driver"]:
        return False
    if "scope" in asked and "local" not in asked["scope"]:
        return False
    return labels_match(network.labels, asked.get("label", []))


def _name_fits(value: str, name: str) -> bool:
    """Say whether a name contains, or matches, what was asked for, as in Docker."""
    try:
        return bool(re.search(value, name))
    except re.error:
        return value in name


async def inspect(call: Call) -> web.Response:
    """``GET /networks/{id}``: by name, id or the beginning of an id; with the containers that are in it."""
    network = call.engine.networks.get(call.parameters["id"])
    if call.text("scope") not in ("", "local"):
        raise errors.NoSuchNetwork(call.parameters["id"])
    members = call.engine.user_networks.members(network)
    shown = _describe(call, network)
    shown["Containers"] = {container.id: _member(container, endpoint) for container, endpoint in members}
    return responses.json(shown)


def _describe(call: Call, network: Network) -> Json:
    options = dict(network.options)
    if network.name == "bridge":
        options = {OPTION_BRIDGE_NAME: call.engine.networks.bridge_of(network), OPTION_DEFAULT_BRIDGE: "true"}
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": times.rfc3339(network.created_ns),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": network.ipam_options or None,
            "Config": [_pool(subnet) for subnet in network.subnets],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": options,
        "Labels": network.labels,
    }


def _pool(subnet: Subnet) -> Json:
    shown: Json = {"Subnet": subnet.subnet}
    if subnet.ip_range:
        shown["IPRange"] = subnet.ip_range
    if subnet.gateway:
        shown["Gateway"] = subnet.gateway
    if subnet.auxiliary:
        shown["AuxiliaryAddresses"] = subnet.auxiliary
    return shown


def _member(container: Container, endpoint: NetworkEndpoint) -> Json:
    return {
        "Name": container.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac_address,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix_length}" if endpoint.address else "",
        "IPv6Address": f"{endpoint.ipv6_address}/{endpoint.ipv6_prefix_length}" if endpoint.ipv6_address else "",
    }


async def create(call: Call) -> web.Response:
    """``POST /networks/create``."""
    asked = await call.body(wire.NetworkCreateRequest)
    if asked.driver == IPVLAN:
        raise networking.no_ipvlan(await call.engine.networks.why_no_ipvlan())
    network = networking.new_network(asked)
    made = await call.engine.user_networks.create(network)
    return responses.json({"Id": made.id, "Warning": ""}, 201)


async def remove(call: Call) -> web.Response:
    """``DELETE /networks/{id}``."""
    await call.engine.user_networks.remove(call.engine.networks.get(call.parameters["id"]))
    return responses.empty()


async def connect(call: Call) -> web.Response:
    """``POST /networks/{id}/connect``."""
    asked = await call.body(wire.NetworkConnectRequest)
    network = call.engine.networks.get(call.parameters["id"])
    await call.engine.connect(network.id, asked.container, networking.endpoint(asked.endpoint_config))
    return responses.empty(200)


async def disconnect(call: Call) -> web.Response:
    """``POST /networks/{id}/disconnect``; ``Force`` changes nothing: there is no other host to be asked."""
    asked = await call.body(wire.NetworkDisconnectRequest)
    await call.engine.disconnect(call.parameters["id"], asked.container)
    return responses.empty(200)


async def prune(call: Call) -> web.Response:
    """``POST /networks/prune``: all that no running container is in."""
    asked = call.filters(PRUNE_FILTERS)
    until_ns = min((_until_ns(text) for text in asked.get("until", ())), default=None)
    deleted = []
    for network in call.engine.networks.all():
        if (
            call.engine.user_networks.is_dangling(network)
            and labels_match(network.labels, asked.get("label", []))
            and not any(labels_match(network.labels, [label]) for label in asked.get("label!", ()))
            and (until_ns is None or network.created_ns < until_ns)
        ):
            await call.engine.user_networks.remove(network)
            deleted.append(network.name)
    call.engine.events.emit("network", "prune", "", {"reclaimed": "0"})
    return responses.json({"NetworksDeleted": deleted or None})


def _until_ns(text: str) -> int:
    return parse_ns(text, datetime.now(UTC))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/networks", list_networks, interruptible=True),
        Route("POST", "/networks/create", create),
        Route("POST", "/networks/prune", prune),
        Route("GET", "/networks/{id}", inspect, interruptible=True),
        Route("DELETE", "/networks/{id}", remove),
        Route("POST", "/networks/{id}/connect", connect),
        Route("POST", "/networks/{id}/disconnect", disconnect),
    ]

"""``/nbcontainers/v1/networks/{id}/topology``: what a network is made of here, which Docker does not tell."""

import contextlib

from aiohttp import web

from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.engine.model import Attachment, Container
from nbcontainers.linux import namespaces
from nbcontainers.networks import Network
from nbcontainers.networks.model import OPTION_ICC, OPTION_MASQUERADE, OPTION_PARENT

Json = dict[str, object]


async def topology(call: Call) -> web.Response:
    """``GET``: the bridge, or the interface that stands for it, and of each running container its end of the cable."""
    network = call.engine.networks.get(call.parameters["id"])
    return responses.json(
        {
            "bridge": call.engine.networks.bridge_of(network) or network.options.get(OPTION_PARENT, ""),
            "masquerade": network.driver == "bridge" and not network.internal and network.flag(OPTION_MASQUERADE, True),
            "icc": network.flag(OPTION_ICC, True),
            "members": {
                container.id: _member(container, attachment)
                for container in call.engine.containers()
                for attachment in container.networks.values()
                if _is_in(network, attachment)
            },
        }
    )


def _is_in(network: Network, attachment: Attachment) -> bool:
    return attachment.network_id == network.id and bool(attachment.endpoint.endpoint_id)


def _member(container: Container, attachment: Attachment) -> Json:
    endpoint, shaping = attachment.endpoint, attachment.shaping
    namespace = 0
    with contextlib.suppress(OSError):  # it has ended just now
        namespace = namespaces.namespace_id("net", container.state.pid)
    return {
        "interface": endpoint.interface,
        "host_interface": endpoint.host_interface,
        "namespace": namespace,
        "ports": [
            {"host_ip": one.host_ip, "host_port": one.host_port, "port": one.port, "protocol": one.protocol}
            for one in container.ports
            if one.address in (endpoint.address, endpoint.ipv6_address)
        ],
        "rate_bits_per_second": shaping.rate_bits_per_second,
        "delay_usec": shaping.delay_usec,
        "loss_percent": shaping.loss_percent,
    }


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("GET", "/nbcontainers/v1/networks/{id}/topology", topology, interruptible=True)]

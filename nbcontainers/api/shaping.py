"""``/nbcontainers/v1/containers/{id}/shaping``: how fast, how late and how surely a container's packets go."""

import msgspec
from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.networks import Shaping

_PATH = "/nbcontainers/v1/containers/{id}/shaping"
_RATES = range(8_000, 32_000_000_001)
_DELAYS = range(60_000_001)


class ShapingRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be so from now on; ``network`` empty: the only one that the container is in."""

    network: str = ""
    rate_bits_per_second: int = 0
    delay_usec: int = 0
    loss_percent: float = 0.0


async def show(call: Call) -> web.Response:
    """``GET``: one row for each network that the container is in; 0: no limit."""
    container = call.engine.container(call.parameters["id"])
    return responses.json(
        [
            {
                "network": name,
                "interface": attachment.endpoint.interface,
                "host_interface": attachment.endpoint.host_interface,
                "rate_bits_per_second": attachment.shaping.rate_bits_per_second,
                "delay_usec": attachment.shaping.delay_usec,
                "loss_percent": attachment.shaping.loss_percent,
            }
            for name, attachment in container.networks.items()
        ]
    )


async def change(call: Call) -> web.Response:
    """``POST``: set it for one network, at once where the container runs; answers as ``GET``."""
    asked = await call.body(ShapingRequest)
    await call.engine.shape(call.parameters["id"], asked.network, _shaping(asked))
    return await show(call)


def _shaping(asked: ShapingRequest) -> Shaping:
    if asked.rate_bits_per_second and asked.rate_bits_per_second not in _RATES:
        raise errors.InvalidArgument(
            f"invalid rate '{asked.rate_bits_per_second}' bits per second: {_RATES[0]} to {_RATES[-1]} are possible"
        )
    if asked.delay_usec not in _DELAYS:
        raise errors.InvalidArgument(
            f"invalid delay '{asked.delay_usec}' microseconds: 0 to {_DELAYS[-1]} are possible"
        )
    if not 0 <= asked.loss_percent <= 100:
        raise errors.InvalidArgument(f"invalid loss '{asked.loss_percent}' percent: 0 to 100 are possible")
    return Shaping(
        rate_bits_per_second=asked.rate_bits_per_second,
        delay_usec=asked.delay_usec,
        loss_percent=asked.loss_percent,
    )


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("GET", _PATH, show, interruptible=True), Route("POST", _PATH, change)]

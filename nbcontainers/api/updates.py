"""``POST /containers/{id}/update``: other limits, another restart policy.

Docker's client sends every field there is; one that this engine cannot change is refused as soon as it asks for
something.
"""

import msgspec
from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import creation, responses
from nbcontainers.api.calls import Call, decode
from nbcontainers.api.routing import Route
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.update import Update

_KNOWN = frozenset(wire.UpdateRequest.__struct_encode_fields__)
# Docker's clients send the policy "" and no list where nothing is to be changed.
_NOTHING = ("MemorySwappiness", -1), ("KernelMemory", -1)


async def update(call: Call) -> web.Response:
    """Change a container; the answer has warnings, or null."""
    container = call.engine.container(call.parameters["id"])
    text = await call.raw_body()
    asked = decode(text, wire.UpdateRequest, "the request's body")
    _refuse_unknown(decode(text, dict[str, object], "the request's body"))
    policy = asked.restart_policy
    changes = Update(
        memory_bytes=asked.memory or 0,
        memory_swap_bytes=asked.memory_swap or 0,
        memory_reservation_bytes=asked.memory_reservation or 0,
        nano_cpus=asked.nano_cpus or 0,
        cpu_shares=asked.cpu_shares or 0,
        cpu_quota_usec=asked.cpu_quota or 0,
        cpu_period_usec=asked.cpu_period or 0,
        cpuset_cpus=asked.cpuset_cpus or "",
        cpuset_mems=asked.cpuset_mems or "",
        pids_limit=asked.pids_limit and max(asked.pids_limit, 0),  # Docker takes any negative number for no limit
        blkio_weight=asked.blkio_weight or 0,
        restart_policy=creation.restart_policy(policy) if policy is not None and policy.name else None,
    )
    return responses.json({"Warnings": await call.engine.update(container.id, changes) or None})


def _refuse_unknown(given: dict[str, object]) -> None:
    for name, value in given.items():
        if name not in _KNOWN and value and (name, value) not in _NOTHING:
            shown = msgspec.json.encode(value).decode()
            raise errors.Unsupported(f"{name} cannot be updated by this engine: '{shown}'")


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/containers/{id}/update", update)]

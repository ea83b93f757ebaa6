"""What the Docker API lacks, under ``/nbcontainers/v1``: doctor, metrics, trace (and log columns, in ``logs``)."""

import asyncio
from dataclasses import asdict

from aiohttp import web

from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.engine.doctor import examine

_PREFIX = "/nbcontainers/v1"


async def doctor(call: Call) -> web.Response:
    """``GET /doctor``: what this machine offers."""
    rows = await asyncio.to_thread(examine, str(call.engine.root))
    return responses.json([asdict(row) for row in rows])


async def metrics(call: Call) -> web.Response:
    """``GET /containers/{id}/metrics``: the history of what a container used, one array per column."""
    container = call.engine.container(call.parameters["id"])
    return responses.json(call.engine.metrics.columns(container.id))


async def trace(call: Call) -> web.Response:
    """``GET /containers/{id}/trace``: the steps of a container's last start, by the monotonic clock."""
    container = call.engine.container(call.parameters["id"])
    steps = call.engine.trace(container.id)
    return responses.json(
        {"steps": [{"name": name, "start_ns": start_ns, "end_ns": end_ns} for name, start_ns, end_ns in steps]}
    )


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", f"{_PREFIX}/doctor", doctor, interruptible=True),
        Route("GET", f"{_PREFIX}/containers/{{id}}/metrics", metrics, interruptible=True),
        Route("GET", f"{_PREFIX}/containers/{{id}}/trace", trace, interruptible=True),
    ]

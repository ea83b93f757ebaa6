"""``GET /containers/{id}/stats``: what a container uses, once or once a second, in Docker's JSON.

Source: Docker Engine API v1.47, ``GET /containers/{id}/stats``; the fields of cgroup version 1 and 2 differ in
``memory_stats.stats`` only, which the docker CLI reads for its column MEM USAGE.
"""

import asyncio
import os
import time

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses, times
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.engine.model import Container
from nbcontainers.linux import cgroups

INTERVAL_SECONDS = 1.0
_MEMORY_TOTAL_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
_PROCESSORS = os.cpu_count() or 1
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_NETWORK_FIELDS = ("bytes", "packets", "errors", "dropped")

_IO_FIELDS = (
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)

Json = dict[str, object]


async def stats(call: Call) -> web.StreamResponse:
    """Answer once (``stream=0``; ``one-shot`` without a first sample to compare with), or every second."""
    container = call.engine.container(call.parameters["id"])
    before = sample(call, container)
    if not call.flag("stream", True):
        if call.flag("one-shot"):
            return responses.json(_compared(before, None))
        await asyncio.sleep(INTERVAL_SECONDS if call.engine.is_live(container) else 0)
        return responses.json(_compared(sample(call, container), before))
    response = await responses.stream(call, "application/json")
    await responses.write_json_line(response, _compared(before, None))
    while container.id in call.engine.register.by_id:
        await asyncio.sleep(INTERVAL_SECONDS)
        now = sample(call, container)
        await responses.write_json_line(response, _compared(now, before))
        before = now
    return response


def sample(call: Call, container: Container) -> Json:
    """Read one sample; all zero and without limits where the container does not run, as in Docker."""
    head: Json = {"id": container.id, "name": f"/{container.name}", "os_type": "linux"}
    try:
        cgroup = call.engine.lifecycle.live.get(container).cgroup
        usage, details = cgroup.usage(), cgroup.details()
    except (errors.Conflict, OSError):
        io = dict.fromkeys(("io_service_bytes_recursive", *_IO_FIELDS))
        nothing: Json = {"memory_stats": {}, "pids_stats": {}, "blkio_stats": io, "num_procs": 0, "storage_stats": {}}
        return {**head, "read": times.NEVER, "cpu_stats": _cpu(None), **nothing}
    result: Json = {
        **head,
        "read": times.rfc3339(time.time_ns()),
        "cpu_stats": _cpu(usage, details.get("cpu", {})),
        "memory_stats": _memory(usage, details),
        "pids_stats": {"current": usage.pids, **({"limit": usage.pids_limit} if usage.pids_limit else {})},
        "blkio_stats": _block_io(usage),
        "num_procs": 0,
        "storage_stats": {},
    }
    if container.host_config.network_mode != "host" and (networks := _networks(container.state.pid)):
        result["networks"] = networks
    return result


def _compared(now: Json, before: Json | None) -> Json:
    return {
        **now,
        "preread": before["read"] if before else times.NEVER,
        "precpu_stats": before["cpu_stats"] if before else _cpu(None),
    }


def _cpu(usage: cgroups.Usage | None, by_processor: dict[str, int] | None = None) -> Json:
    nothing = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    if usage is None:
        return {
            "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
            "throttling_data": nothing,
        }
    spent = list((by_processor or {}).values())[:_PROCESSORS]
    return {
        "cpu_usage": {
            **({"percpu_usage": spent} if spent else {}),
            "total_usage": usage.cpu_total_ns,
            "usage_in_kernelmode": usage.cpu_system_ns,
            "usage_in_usermode": usage.cpu_user_ns,
        },
        "system_cpu_usage": system_cpu_ns(),
        "online_cpus": _PROCESSORS,
        "throttling_data": {
            "periods": usage.cpu_periods,
            "throttled_periods": usage.cpu_throttled_periods,
            "throttled_time": usage.cpu_throttled_ns,
        },
    }


def system_cpu_ns() -> int:
    """Return the time that all processors have spent, busy or idle, since boot: what ``cpu_usage`` is a part of.

    Source: proc_stat(5): the first seven columns of the line ``cpu``.
    """
    with open("/proc/stat", "rb") as file:
        words = file.readline().split()
    return sum(int(word) for word in words[1:8]) * _TICK_NS


def _memory(usage: cgroups.Usage, details: dict[str, dict[str, int]]) -> Json:
    """Return the use of memory; ``max_usage`` and ``failcnt`` are of version 1 alone, as in Docker."""
    limit = usage.memory_limit_bytes or _MEMORY_TOTAL_BYTES
    result: Json = {"usage": usage.memory_bytes, "stats": details.get("memory", {}), "limit": limit}
    if peak := details.get("memory_peak"):
        result["max_usage"] = peak["bytes"]
        if peak["failures"]:
            result["failcnt"] = peak["failures"]
    return result


def _block_io(usage: cgroups.Usage) -> Json:
    """Return the sums over all devices; the CLI adds the rows up by ``op``."""
    rows = [
        {"major": 0, "minor": 0, "op": operation, "value": value}
        for operation, value in (("read", usage.io_read_bytes), ("write", usage.io_write_bytes))
    ]
    return {"io_service_bytes_recursive": rows, **dict.fromkeys(_IO_FIELDS)}


def _networks(pid: int) -> dict[str, dict[str, int]]:
    """Return the counters of a container's interfaces but lo.

    Source: proc_pid_net(5), ``dev``: eight columns received, eight sent.
    """
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        counters = [int(number) for number in numbers.split()]
        if name.strip() != "lo":
            received = {f"rx_{field}": value for field, value in zip(_NETWORK_FIELDS, counters[:4], strict=True)}
            sent = {f"tx_{field}": value for field, value in zip(_NETWORK_FIELDS, counters[8:12], strict=True)}
            found[name.strip()] = {**received, **sent}
    return found


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("GET", "/containers/{id}/stats", stats, interruptible=True)]

"""The endpoints about the engine itself: ping, version, info and events."""

import asyncio
import functools
import os
import platform
import time
from pathlib import Path

from aiohttp import web

from nbcontainers import __version__, errors
from nbcontainers.api import responses, times
from nbcontainers.api.calls import Call, Filters
from nbcontainers.api.filters import labels_match
from nbcontainers.api.routing import Route
from nbcontainers.engine.doctor import swap_limit
from nbcontainers.engine.model import Event
from nbcontainers.linux import cgroups

EVENT_FILTERS = frozenset(("container", "event", "image", "label", "network", "type", "volume", "daemon", "scope"))
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
_PLUGINS = {
    "Volume": ["local"],
    "Network": ["bridge", "host", "null"],
    "Authorization": None,
    "Log": ["json-file", "none"],
}
_NO_SWARM = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}
_PING_HEADERS = {
    **responses.HEADERS,
    "Content-Type": "text/plain; charset=utf-8",
    "Builder-Version": "1",  # the classic builder: the CLI asks BuildKit of nobody who says so
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Swarm": "inactive",
}


async def ping(call: Call) -> web.Response:
    """``GET /_ping`` and ``HEAD /_ping``."""
    return web.Response(body=b"OK", headers=_PING_HEADERS)


async def version(call: Call) -> web.Response:
    """``GET /version``."""
    machine = os.uname()
    details = {
        "ApiVersion": responses.API_VERSION,
        "MinAPIVersion": responses.MINIMUM_API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": _ARCHITECTURES.get(machine.machine, machine.machine),
        "KernelVersion": machine.release,
    }
    component = {"Name": "Engine", "Version": __version__, "Details": {**details, "Experimental": "false"}}
    return responses.json(
        {
            "Platform": {"Name": f"nbcontainers {__version__} (Python {platform.python_version()})"},
            "Version": __version__,
            **details,
            "Components": [component],
        }
    )


async def info(call: Call) -> web.Response:
    """``GET /info``."""
    engine = call.engine
    states = [container.state.status for container in engine.containers()]
    return responses.json(
        {
            "ID": engine.identity,
            "Containers": len(states),
            "ContainersRunning": states.count("running"),
            "ContainersPaused": states.count("paused"),
            "ContainersStopped": sum(status not in ("running", "paused") for status in states),
            "Images": len(engine.images.list()),
            "DockerRootDir": str(engine.root),
            "SystemTime": times.rfc3339(time.time_ns()),
            **_machine(),
        }
    )


@functools.cache
def _machine() -> dict[str, object]:
    """Return what does not change while the engine runs."""
    machine = os.uname()
    driver = cgroups.detect()
    return {
        "Driver": "overlay2",
        "DriverStatus": [],
        "Plugins": _PLUGINS,
        "MemoryLimit": "memory" in driver.controllers,
        "SwapLimit": swap_limit(),
        "CpuCfsPeriod": "cpu" in driver.controllers,
        "CpuCfsQuota": "cpu" in driver.controllers,
        "CPUShares": "cpu" in driver.controllers,
        "CPUSet": "cpuset" in driver.controllers,
        "PidsLimit": "pids" in driver.controllers,
        "OomKillDisable": driver.version == 1,
        "IPv4Forwarding": _read("/proc/sys/net/ipv4/ip_forward") == "1",
        "Debug": False,
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(driver.version),
        "KernelVersion": machine.release,
        "OperatingSystem": _operating_system(),
        "OSVersion": platform.freedesktop_os_release().get("VERSION_ID", "") if _has_os_release() else "",
        "OSType": "linux",
        "Architecture": machine.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "IndexServerAddress": "",
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
        "Name": machine.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {"nbcontainers": {"path": "nbcontainers"}},
        "DefaultRuntime": "nbcontainers",
        "Swarm": _NO_SWARM,
        "LiveRestoreEnabled": True,
        "InitBinary": "",
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Warnings": None if swap_limit() else ["WARNING: No swap limit support"],
    }


def _has_os_release() -> bool:
    return any(os.path.exists(path) for path in ("/etc/os-release", "/usr/lib/os-release"))


def _operating_system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if _has_os_release() else "Linux"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


async def events(call: Call) -> web.StreamResponse:
    """``GET /events``: those kept since ``since``, then new ones until ``until`` or until the client goes."""
    asked = call.filters(EVENT_FILTERS)
    if asked.get("daemon") or "swarm" in asked.get("scope", ()):
        raise errors.Unsupported("the event filters 'daemon' and 'scope=swarm' are not supported")
    since_ns, until_ns = call.time_ns("since"), call.time_ns("until")
    if since_ns is not None and until_ns is not None and until_ns < since_ns:
        raise errors.InvalidArgument("`since` time cannot be after `until` time")
    with call.engine.events.subscribe(since_ns) as subscription:
        response = await responses.stream(call, "application/json")
        try:
            async with asyncio.timeout(None if until_ns is None else max(0.0, (until_ns - time.time_ns()) / 10**9)):
                async for event in subscription:
                    if until_ns is not None and event.time_ns >= until_ns:
                        break
                    if _matches(event, asked):
                        await responses.write_json_line(response, _event(event))
        except TimeoutError:
            return response
        return response


def _event(event: Event) -> dict[str, object]:
    wire: dict[str, object] = {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time_ns // 10**9,
        "timeNano": event.time_ns,
    }
    if event.type == "container":
        wire = {"status": event.action, "id": event.actor_id, "from": event.attributes.get("image", ""), **wire}
    elif event.type == "image":
        wire = {"status": event.action, "id": event.actor_id, **wire}
    return wire


def _matches(event: Event, asked: Filters) -> bool:
    if "type" in asked and event.type not in asked["type"]:
        return False
    if "event" in asked and event.action not in asked["event"]:
        return False
    for kind in ("container", "image", "network", "volume"):
        if kind in asked and not _names(event, kind, asked[kind]):
            return False
    return labels_match(event.attributes, asked.get("label", []))


def _names(event: Event, kind: str, names: list[str]) -> bool:
    """Say whether an event is about one of these; containers' events are also about their image."""
    if event.type == "container" and kind == "image":
        return event.attributes.get("image", "") in names
    known = (event.actor_id, event.attributes.get("name", ""))
    return event.type == kind and any(name in known or event.actor_id.startswith(name) for name in names)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/_ping", ping, interruptible=True),
        Route("HEAD", "/_ping", ping, interruptible=True),
        Route("GET", "/version", version, interruptible=True),
        Route("GET", "/info", info, interruptible=True),
        Route("GET", "/events", events, interruptible=True),
    ]

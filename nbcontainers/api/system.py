"""The endpoints about the engine itself: ping, version and info."""

import asyncio
import functools
import os
import platform
import time
from pathlib import Path

from aiohttp import web

from nbcontainers import __version__
from nbcontainers.api import responses, times
from nbcontainers.api.calls import Call
from nbcontainers.api.creation import RUNTIMES
from nbcontainers.api.routing import Route
from nbcontainers.engine.doctor import swap_limit
from nbcontainers.images.registry import Settings, proxies
from nbcontainers.images.registry.hosts import DOCKER_HUB
from nbcontainers.linux import cgroups

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
_PLUGINS = {
    "Volume": ["local"],
    "Network": ["bridge", "host", "macvlan", "null"],
    "Authorization": None,
    "Log": ["json-file", "local", "none"],
}
_NO_COMMIT = {"ID": "", "Expected": ""}
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
        "BuildTime": "",
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
            "NEventsListener": engine.events.listeners,
            "NFd": len(os.listdir("/proc/self/fd")),
            "NGoroutines": len(asyncio.all_tasks()),
            "Warnings": _warnings(call) or None,
            **_machine(),
            "RegistryConfig": _registries(call.engine.registries.settings),
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
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Name": machine.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {name: {"path": "nbcontainers"} for name in RUNTIMES},
        "DefaultRuntime": RUNTIMES[0],
        "Swarm": _NO_SWARM,
        "GenericResources": None,
        "HttpProxy": proxies.shown(proxies.variable(os.environ, "HTTP_PROXY")),
        "HttpsProxy": proxies.shown(proxies.variable(os.environ, "HTTPS_PROXY")),
        "NoProxy": proxies.variable(os.environ, "NO_PROXY"),
        "Isolation": "",
        # This engine is one program: it has none of these three.
        "ContainerdCommit": _NO_COMMIT,
        "RuncCommit": _NO_COMMIT,
        "InitCommit": _NO_COMMIT,
        "LiveRestoreEnabled": True,
        "InitBinary": "",
        "SecurityOptions": ["name=seccomp,profile=builtin"],
    }


def _registries(settings: Settings) -> dict[str, object]:
    """Say which registries are trusted how; Docker Hub is always among them, and its mirrors count as all mirrors."""
    mirrors = [f"{mirror}/" for mirror in settings.mirrors]
    hub = {"Name": DOCKER_HUB, "Mirrors": mirrors, "Secure": True, "Official": True}
    insecure = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False} for name in settings.insecure_hosts
    }
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "InsecureRegistryCIDRs": list(settings.insecure_networks),
        "IndexConfigs": {DOCKER_HUB: hub, **insecure},
        "Mirrors": mirrors or None,
    }


def _warnings(call: Call) -> list[str]:
    """Say what this machine does not do, as the CLI prints it."""
    swap = [] if swap_limit() else ["WARNING: No swap limit support"]
    return [*swap, *(f"WARNING: {problem}" for problem in call.engine.networks.problems)]


def _has_os_release() -> bool:
    return any(os.path.exists(path) for path in ("/etc/os-release", "/usr/lib/os-release"))


def _operating_system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if _has_os_release() else "Linux"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/_ping", ping, interruptible=True),
        Route("HEAD", "/_ping", ping, interruptible=True),
        Route("GET", "/version", version, interruptible=True),
        Route("GET", "/info", info, interruptible=True),
    ]

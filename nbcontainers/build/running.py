"""RUN: a command in a container of its own, whose changes become a layer."""

import asyncio
import contextlib
import ipaddress
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from nbcontainers.build.events import BuildError, Output
from nbcontainers.linux import cgroups
from nbcontainers.networks import Networks
from nbcontainers.networks.model import BRIDGE, Wish
from nbcontainers.networks.names import Seat
from nbcontainers.networks.nameserver import NAME_SERVER
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.client import ShimConnection
from nbcontainers.runtime.defaults import default_spec
from nbcontainers.runtime.follow import Follower
from nbcontainers.runtime.launching import Launcher
from nbcontainers.runtime.log import STDERR, Reader
from nbcontainers.runtime.spec import LinuxResources, Mount, Request, Rootfs, Spec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_BYTES = 64 << 20
_HOSTNAME = "build"  # always the same, so that a step which looks at it makes the same layer
_LOCAL_NAMES = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{_HOSTNAME}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run.

    Args:
        args: Its words.
        env: Its environment.
        cwd: Its working directory.
        user: Who runs it.
        network: ``default``, ``none``, ``host``, or a network's name or id.
        resources: Limits.
        shm_bytes: The size of /dev/shm, 0 for the usual one.
        extra_hosts: More lines for /etc/hosts: ``name:address``.
        mounts: What else it sees.
    """

    args: list[str]
    env: dict[str, str]
    cwd: str
    user: str
    network: str
    resources: LinuxResources
    shm_bytes: int = 0
    extra_hosts: tuple[str, ...] = ()
    mounts: list[Mount] = field(default_factory=list)


class Runner:
    """Runs commands for the builder.

    Args:
        root: The directory for what running needs; swept at the start.
        launcher: Starts containers.
        networks: Gives them a network.
        cleanup: Removes what they leave.
        cgroup_parent: The control group of this engine's containers.
    """

    def __init__(
        self, root: Path, launcher: Launcher, networks: Networks, cleanup: Cleanup, cgroup_parent: str
    ) -> None:
        root = root / "running"
        self._root = root
        self._driver = cgroups.detect()
        self._cleanup = cleanup
        self._launcher = launcher
        self._networks = networks
        self._cgroup_parent = cgroup_parent
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700, parents=True)

    async def run(self, key: str, rootfs: Rootfs, command: Command) -> AsyncIterator[Output]:
        """Run a command to its end.

        Args:
            key: A name for the container.
            rootfs: Its root file system.
            command: What to run.

        Yields:
            What it writes.

        Raises:
            BuildError: It has failed.
        """
        directory = self._root / key
        directory.mkdir(mode=0o700)
        try:
            async for output in self._run(key, directory, rootfs, command):
                yield output
        finally:
            self._cleanup.discard(directory)
            self._cleanup.remove_group(self._driver.open(f"{self._cgroup_parent}/{key}"))

    async def _run(self, key: str, directory: Path, rootfs: Rootfs, command: Command) -> AsyncIterator[Output]:
        request, namespace_fd = await self._request(key, directory, rootfs, command)
        try:
            connection = await self._launcher.launch(request, network_namespace_fd=namespace_fd)
            async for output in self._watch(connection, directory, command):
                yield output
        finally:
            self._networks.release(key)

    async def _watch(self, connection: ShimConnection, directory: Path, command: Command) -> AsyncIterator[Output]:
        ended = asyncio.ensure_future(connection.wait())
        try:
            with Follower(str(directory), Reader(str(directory))) as follower:
                ended.add_done_callback(lambda _: follower.end())
                async for frame in follower.frames():
                    yield Output(stream="stderr" if frame.stream == STDERR else "stdout", data=frame.data)
            status = await ended
        finally:
            if not ended.done():
                connection.signal(signal.SIGKILL)
                await ended
            connection.close()
        if status is None:
            raise BuildError("the command's shim was killed", 137)
        if status.code:
            words = " ".join(command.args)
            raise BuildError(f"The command '{words}' returned a non-zero code: {status.code}", status.code)

    async def _request(self, key: str, directory: Path, rootfs: Rootfs, command: Command) -> tuple[Request, int | None]:
        namespace_fd = None
        if command.network not in ("none", "host"):
            network = self._networks.get(BRIDGE if command.network == "default" else command.network)
            endpoints = await self._networks.join(key, [Wish(network_id=network.id)])
            namespace_fd = endpoints[0].namespace_fd
            if network.name != BRIDGE:  # there, names are answered
                seats = [Seat(network_id=network.id, network_name=network.name)]
                try:
                    await self._networks.open_name_server(key, namespace_fd, seats, _host_name_servers)
                except BaseException:
                    os.close(namespace_fd)
                    raise
        request = Request(
            id=key,
            directory=str(directory),
            spec=self._spec(key, directory, command),
            rootfs=rootfs,
            tty=False,
            openStdin=False,
            logMaxBytes=_LOG_BYTES,
            logMaxFiles=2,
            network="namespace" if namespace_fd is not None else "host" if command.network == "host" else "none",
        )
        return request, namespace_fd

    def _spec(self, key: str, directory: Path, command: Command) -> Spec:
        spec = default_spec(
            args=command.args,
            env=[f"{name}={value}" for name, value in {"PATH": DEFAULT_PATH, **command.env}.items()],
            cwd=command.cwd or "/",
            user=command.user,
            hostname=_HOSTNAME,
        )
        spec["linux"]["cgroupsPath"] = f"{self._cgroup_parent}/{key}"
        spec["linux"]["resources"].update(command.resources)
        if command.shm_bytes:
            for mount in spec["mounts"]:
                if mount["destination"] == "/dev/shm":
                    options = [option for option in mount["options"] if not option.startswith("size=")]
                    mount["options"] = [*options, f"size={command.shm_bytes}"]
        hosts = directory / "hosts"
        hosts.write_text(_hosts(command))
        hosts.chmod(0o644)
        resolver = directory / "resolv.conf"
        named = self._networks.has_name_server(key)
        resolver.write_text(_resolv_conf([NAME_SERVER] if named else None, is_host=command.network == "host"))
        resolver.chmod(0o644)
        spec["mounts"] += [_bind(str(hosts), "/etc/hosts"), _bind(str(resolver), "/etc/resolv.conf")]
        spec["mounts"] += command.mounts
        return spec


def _bind(source: str, destination: str) -> Mount:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "ro"]}


def _resolv_conf(servers: list[str] | None, *, is_host: bool) -> str:
    """Return the text of /etc/resolv.conf: these servers, or the host's that a step can reach; ``resolv.conf(5)``."""
    if servers is not None:
        return "".join(f"nameserver {server}\n" for server in servers) + "options ndots:0\n"
    lines = _host_resolver()
    if not is_host:
        lines = [line for line in lines if not _is_loopback(line)]
    return "".join(f"{line}\n" for line in lines)


def _host_resolver() -> list[str]:
    try:
        return Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
    except OSError:
        return []


def _host_name_servers() -> list[str]:
    """Return whom the host asks about the world."""
    words = [line.split() for line in _host_resolver()]
    return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def _is_loopback(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return ipaddress.ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return False


def _hosts(command: Command) -> str:
    """Return the text of /etc/hosts: the host's own where its network is used; ``hosts(5)``."""
    lines = [_LOCAL_NAMES]
    if command.network == "host":
        with contextlib.suppress(OSError):
            lines = [Path("/etc/hosts").read_text()]
    for entry in command.extra_hosts:
        name, _, address = entry.replace("=", ":", 1).partition(":")
        lines.append(f"{address}\t{name}\n")
    return "".join(lines)

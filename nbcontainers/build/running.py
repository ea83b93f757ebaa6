"""RUN: a command in a container of its own, whose changes become a layer."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from nbcontainers.build.events import BuildError, Output
from nbcontainers.build.places import Place, Places
from nbcontainers.linux import cgroups
from nbcontainers.networks import Networks
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.client import ShimConnection
from nbcontainers.runtime.defaults import default_spec
from nbcontainers.runtime.follow import Follower
from nbcontainers.runtime.launching import Launcher
from nbcontainers.runtime.log import STDERR, Reader
from nbcontainers.runtime.spec import LinuxResources, Mount, Request, Rootfs, Spec
from nbcontainers.runtime.stock import Stock

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
        stock: Directories of containers, made ahead.
        cgroup_parent: The control group of this engine's containers.
    """

    def __init__(
        self, root: Path, launcher: Launcher, networks: Networks, cleanup: Cleanup, stock: Stock, cgroup_parent: str
    ) -> None:
        root = root / "running"
        self._root = root
        self._driver = cgroups.detect()
        self._cleanup = cleanup
        self._stock = stock
        self._launcher = launcher
        self._networks = networks
        self._cgroup_parent = cgroup_parent
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700, parents=True)

    def places(self) -> Places:
        """Return places in networks for the commands of one stage."""
        return Places(self._networks)

    async def run(self, key: str, rootfs: Rootfs, command: Command, places: Places) -> AsyncIterator[Output]:
        """Run a command to its end.

        Args:
            key: A name for the container.
            rootfs: Its root file system.
            command: What to run.
            places: Where it may be in the network.

        Yields:
            What it writes.

        Raises:
            BuildError: It has failed.
        """
        place = await places.enter(command.network)
        directory = self._root / key
        self._stock.take(directory)
        try:
            request = self._request(key, directory, rootfs, command, place)
            connection = await self._launcher.launch(request, network_namespace_fd=place.namespace_fd())
            async for output in self._watch(connection, directory, command):
                yield output
        finally:
            self._cleanup.discard(directory)
            self._cleanup.remove_group(self._driver.open(f"{self._cgroup_parent}/{key}"))

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

    def _request(self, key: str, directory: Path, rootfs: Rootfs, command: Command, place: Place) -> Request:
        return Request(
            id=key,
            directory=str(directory),
            spec=self._spec(key, directory, command, place),
            rootfs=rootfs,
            tty=False,
            openStdin=False,
            logMaxBytes=_LOG_BYTES,
            logMaxFiles=2,
            network="namespace" if place.has_namespace else "host" if place.is_host else "none",
        )

    def _spec(self, key: str, directory: Path, command: Command, place: Place) -> Spec:
        spec = default_spec(
            args=command.args,
            env=[f"{name}={value}" for name, value in command.env.items()],
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
        hosts.write_text(_hosts(command, place))
        hosts.chmod(0o644)
        resolver = directory / "resolv.conf"
        resolver.write_text(place.resolv_conf())
        resolver.chmod(0o644)
        spec["mounts"] += [_bind(str(hosts), "/etc/hosts"), _bind(str(resolver), "/etc/resolv.conf")]
        spec["mounts"] += command.mounts
        return spec


def _bind(source: str, destination: str) -> Mount:
    return {"destination": destination, "type": "bind", "source": source, "options": ["rbind", "ro"]}


def _hosts(command: Command, place: Place) -> str:
    """Return the text of /etc/hosts: the host's own where its network is used; ``hosts(5)``."""
    lines = [_LOCAL_NAMES]
    if place.is_host:
        with contextlib.suppress(OSError):
            lines = [Path("/etc/hosts").read_text()]
    for entry in command.extra_hosts:
        name, _, address = entry.replace("=", ":", 1).partition(":")
        lines.append(f"{address}\t{name}\n")
    return "".join(lines)

"""RUN: a command in a container of its own, whose changes become a layer."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from nbcontainers.build.events import BuildError, Output
from nbcontainers.errors import Unsupported
from nbcontainers.linux import cgroups
from nbcontainers.networks import Networks
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.client import ShimConnection
from nbcontainers.runtime.defaults import default_spec
from nbcontainers.runtime.follow import Follower
from nbcontainers.runtime.launching import Launcher
from nbcontainers.runtime.log import STDERR, Reader
from nbcontainers.runtime.spec import Request, Rootfs

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run: its words, environment, working directory, user, network and memory limit (0 for none)."""

    args: list[str]
    env: dict[str, str]
    cwd: str
    user: str
    network: str
    memory_bytes: int


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
        spec = default_spec(
            args=command.args,
            env=[f"{name}={value}" for name, value in {"PATH": DEFAULT_PATH, **command.env}.items()],
            cwd=command.cwd or "/",
            user=command.user,
            hostname=key[:12],
        )
        spec["linux"]["cgroupsPath"] = f"{self._cgroup_parent}/{key}"
        if command.memory_bytes:
            spec["linux"]["resources"]["memory"] = {"limit": command.memory_bytes}
        files = [("/etc/resolv.conf", "/etc/resolv.conf"), ("/etc/hosts", "/etc/hosts")]
        for source, destination in files:
            if os.path.exists(source):
                options = ["rbind", "ro"]
                spec["mounts"].append(
                    {"destination": destination, "type": "bind", "source": source, "options": options}
                )
        namespace_fd = None
        if command.network in ("default", "bridge"):
            namespace_fd = (await self._networks.attach(key)).namespace_fd
        elif command.network not in ("none", "host"):
            raise Unsupported(f"the network '{command.network}' is not known to builds: default, none or host")
        request = Request(
            id=key,
            directory=str(directory),
            spec=spec,
            rootfs=rootfs,
            tty=False,
            openStdin=False,
            logMaxBytes=_LOG_BYTES,
            logMaxFiles=2,
            network="namespace" if namespace_fd is not None else "host" if command.network == "host" else "none",
        )
        return request, namespace_fd

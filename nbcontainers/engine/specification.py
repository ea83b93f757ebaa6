"""From a container, as the engine knows it, to what the launcher is told: the last step before anything runs."""

import os
import re
import shutil
import signal as signals
from collections.abc import Iterator
from pathlib import Path

from nbcontainers import errors
from nbcontainers.engine import files, limits
from nbcontainers.engine.model import Container, MountPoint
from nbcontainers.images import Snapshots
from nbcontainers.linux import capabilities
from nbcontainers.runtime.client import LaunchRequest
from nbcontainers.runtime.defaults import default_spec
from nbcontainers.runtime.spec import Mount, Spec
from nbcontainers.volumes import Volumes

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_LOG_BYTES = 256 << 20
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def signal_number(name: str) -> int:
    """Return the number of a signal given as ``TERM``, ``SIGTERM``, ``15`` or ``RTMIN+3``.

    Raises:
        errors.InvalidArgument: No such signal.

    Source: signal(7).
    """
    text = name.strip().upper().removeprefix("SIG")
    if text.isdigit() and 0 < int(text) <= signals.SIGRTMAX:
        return int(text)
    base, _, offset = text.partition("+")
    if base == "RTMIN" and offset.isdigit() and signals.SIGRTMIN + int(offset) <= signals.SIGRTMAX:
        return signals.SIGRTMIN + int(offset)
    try:
        return signals.Signals[f"SIG{text}"].value
    except KeyError:
        raise errors.InvalidArgument(f"invalid signal: '{name}'") from None


def environment(container: Container) -> list[str]:
    """Return the environment of the container's process: Docker's four variables under the user's own."""
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": container.config.hostname}
    if container.config.tty:
        variables["TERM"] = "xterm"
    for entry in container.config.env:
        name, separator, value = entry.partition("=")
        if separator:
            variables[name] = value
        else:
            variables.pop(name, None)
    return [f"{name}={value}" for name, value in variables.items()]


class Specification:
    """Knows where a container's things lie, and describes it to the launcher.

    Args:
        root: The engine's root directory.
        identity: Eight hexadecimal digits that tell this engine from others on the machine.
        snapshots: The root file systems.
        volumes: The volumes.
        swap_limit: Whether this machine can limit swap.
    """

    def __init__(
        self, root: Path, identity: str, snapshots: Snapshots, volumes: Volumes, *, swap_limit: bool
    ) -> None:
        self.containers = root / "containers"
        self.cgroup_parent = f"/nbcontainers/{identity}"
        self._snapshots = snapshots
        self._volumes = volumes
        self._swap_limit = swap_limit

    def directory(self, container_id: str) -> Path:
        """Return the directory that holds a container's logs, files and exit status."""
        return self.containers / container_id

    def cgroup_path(self, container: Container) -> str:
        """Return the container's control group, as ``linux.cgroupsPath`` has it."""
        return f"{self.cgroup_parent}/{container.id}"

    def is_anonymous(self, volume: str) -> bool:
        """Say whether a volume was made for one container, without a name of its own."""
        return bool(_ANONYMOUS.fullmatch(volume))

    def discard(self, container: Container) -> None:
        """Remove the container's file system and directory."""
        self._snapshots.remove(container.id)
        shutil.rmtree(self.directory(container.id), ignore_errors=True)

    def launch_request(self, container: Container) -> LaunchRequest:
        """Describe the container, as it stands now, to the launcher."""
        config, host_config = container.config, container.host_config
        directory = self.directory(container.id)
        return LaunchRequest(
            container_id=container.id,
            directory=str(directory),
            spec=self._spec(container),
            rootfs=self._snapshots.mounts(container.id),
            tty=config.tty,
            open_stdin=config.open_stdin,
            stdin_once=config.stdin_once,
            log_max_bytes=host_config.log_max_bytes or DEFAULT_LOG_BYTES,
            log_max_files=host_config.log_max_files if host_config.log_max_bytes else 2,
            files=files.write(directory, container),
            network="namespace" if host_config.network_mode == "bridge" else host_config.network_mode,
        )

    def _spec(self, container: Container) -> Spec:
        config, host_config = container.config, container.host_config
        spec = default_spec(
            args=[container.path, *container.args],
            env=environment(container),
            cwd=config.working_dir or "/",
            user=config.user,
            hostname=config.hostname,
        )
        process, linux = spec["process"], spec["linux"]
        process["terminal"] = config.tty
        process["oomScoreAdj"] = host_config.oom_score_adj
        process["noNewPrivileges"] = host_config.no_new_privileges
        for kind in process["capabilities"]:
            process["capabilities"][kind] = self._capabilities(container)  # type: ignore[literal-required]
        return spec

    def _capabilities(self, container: Container) -> list[str]:
        return capability_set(container.host_config.cap_add, container.host_config.cap_drop)

    def _mounts(self, container: Container) -> Iterator[Mount]:
        for mount in container.mounts:
            yield self._mount(mount)

    def _mount(self, mount: MountPoint) -> Mount:
        raise NotImplementedError

"""From a container, as the engine knows it, to what the launcher is told: the last step before anything runs."""

import os
import re
import signal as signals
from pathlib import Path
from typing import Literal

from nbcontainers import errors
from nbcontainers.engine import devices, files, limits, mounting, sharing
from nbcontainers.engine.configuration import ExecConfig, HostConfig
from nbcontainers.engine.model import Container
from nbcontainers.images import Snapshots
from nbcontainers.linux import capabilities, seccomp_profile
from nbcontainers.runtime import log
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.defaults import DEFAULT_PATH, default_spec
from nbcontainers.runtime.spec import Request, Spec
from nbcontainers.runtime.stock import Stock
from nbcontainers.runtime.supervising import EXIT_TEMPORARY

DEFAULT_LOG_BYTES = 128 << 20
DEFAULT_LOG_FILES = 4
HOST_NAME_BYTES = 64
PARENTS = "parents"
"""Below the engine's group, the one in which parents that users name are made."""
UNCONFINED = "unconfined"
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


def environment(container: Container, more: tuple[str, ...] = (), *, tty: bool | None = None) -> list[str]:
    """Return the environment of a process in the container: Docker's four variables under the user's own.

    Args:
        container: The container.
        more: Entries that count more than the container's.
        tty: Whether the process has a terminal; None: as the container's own.
    """
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": container.config.hostname}
    variables |= dict(entry.split("=", 1) for link in container.links for entry in link.environment)
    if container.config.tty if tty is None else tty:
        variables["TERM"] = "xterm"
    for entry in (*container.config.env, *more):
        name, separator, value = entry.partition("=")
        if separator:
            variables[name] = value
        else:
            variables.pop(name, None)
    return [f"{name}={value}" for name, value in variables.items()]


class Specification:
    """Knows where a container's things lie, and describes it to the launcher.

    Attributes:
        stock: Directories of containers that nobody has asked for yet.

    Args:
        root: The engine's root directory.
        identity: Eight hexadecimal digits that tell this engine from others on the machine.
        snapshots: The root file systems.
        cleanup: Removes what containers leave.
        swap_limit: Whether this machine can limit swap.
    """

    def __init__(self, root: Path, identity: str, snapshots: Snapshots, cleanup: Cleanup, *, swap_limit: bool) -> None:
        self._cleanup = cleanup
        self.containers = root / "containers"
        self.stock = Stock(root / "blank", _fill_blank)
        self.cgroup_parent = f"/nbcontainers/{identity}"
        self._snapshots = snapshots
        self._swap_limit = swap_limit

    def directory(self, container_id: str) -> Path:
        """Return the directory that holds a container's logs, files and exit status."""
        return self.containers / container_id

    def make_directory(self, container_id: str) -> None:
        """Make a new container's directory.

        Raises:
            OSError: ENOSPC, the disk is full.
        """
        self.stock.take(self.directory(container_id))

    def cgroup_path(self, container: Container) -> str:
        """Return the container's control group, as ``linux.cgroupsPath`` has it.

        Where the user names a parent, absolute or not, that is meant below this engine's own group: limits of the
        engine hold for all its containers, and nothing that is elsewhere on the machine is touched.
        """
        parent = container.host_config.cgroup_parent.strip("/")
        return f"{self.cgroup_parent}/{PARENTS}/{parent}/{container.id}" if parent else self._own_cgroup(container)

    def _own_cgroup(self, container: Container) -> str:
        return f"{self.cgroup_parent}/{container.id}"

    def is_anonymous(self, volume: str) -> bool:
        """Say whether a volume was made for one container, without a name of its own."""
        return bool(_ANONYMOUS.fullmatch(volume))

    def discard(self, container: Container) -> None:
        """Remove the container's file system and directory."""
        self._snapshots.remove(container.id)
        self._cleanup.discard(self.directory(container.id))

    def request(self, container: Container) -> tuple[Request, int | None]:
        """Describe the container, as it stands now, to the launcher.

        Returns:
            The request, and the root file system, which is the caller's, where it was mounted ahead.
        """
        config, host_config = container.config, container.host_config
        directory = self.directory(container.id)
        spec = self._spec(container, self._own_files(container))
        rootfs, rootfs_fd = self._snapshots.mounted(container.id, volatile=host_config.auto_remove)
        request = Request(
            id=container.id,
            directory=str(directory),
            spec=spec,
            rootfs=rootfs,
            tty=config.tty,
            openStdin=config.open_stdin,
            logMaxBytes=host_config.log_max_bytes or DEFAULT_LOG_BYTES,
            logMaxFiles=host_config.log_max_files if host_config.log_max_bytes else DEFAULT_LOG_FILES,
            shared=list(sharing.wanted(container)),
            init=bool(host_config.init) and host_config.namespaces.pid == "",
            network=_network(container),
        )
        if host_config.log_compress:
            request["logCompress"] = True
        return request, rootfs_fd

    def _own_files(self, container: Container) -> dict[str, str]:
        """Return the files for which the engine answers, by their paths in the container.

        Who shares a network shares what is written about it.
        """
        if donor := sharing.donor_of(container.host_config.network_mode):
            return files.paths(self.directory(donor))
        return files.write(self.directory(container.id), container)

    def process(self, container: Container, asked: ExecConfig) -> Spec:
        """Describe one more process for a running container: the specification is its own, but for ``process``."""
        spec = self._spec(container, {})
        process = spec["process"]
        process["args"] = list(asked.cmd)
        process["env"] = environment(container, asked.env, tty=asked.tty)
        process["terminal"] = asked.tty
        process["user"]["username"] = asked.user or container.config.user
        process["cwd"] = asked.working_dir or container.config.working_dir or "/"
        process.pop("consoleSize", None)
        if asked.rows and asked.columns:
            process["consoleSize"] = {"height": asked.rows, "width": asked.columns}
        if asked.privileged:
            process["capabilities"] = capabilities.permitted()
        return spec

    def _spec(self, container: Container, own_files: dict[str, str]) -> Spec:
        config, host_config = container.config, container.host_config
        spec = default_spec(
            args=[container.path, *container.args],
            env=environment(container),
            cwd=config.working_dir or "/",
            user=config.user,
            hostname=config.hostname[:HOST_NAME_BYTES],
        )
        spec["domainname"] = config.domainname
        spec["root"]["readonly"] = host_config.readonly_rootfs
        process, linux = spec["process"], spec["linux"]
        process["terminal"] = config.tty
        if config.tty and any(host_config.console_size):
            process["consoleSize"] = {"height": host_config.console_size[0], "width": host_config.console_size[1]}
        process["user"]["additionalGids"] = list(host_config.group_add)
        process["oomScoreAdj"] = host_config.oom_score_adj
        process["rlimits"] = [
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard}
            for limit in host_config.ulimits
        ]
        linux["cgroupsPath"] = self.cgroup_path(container)
        linux["resources"] = limits.resources(host_config, swap_limit=self._swap_limit)
        linux["sysctl"] = dict(host_config.sysctls)
        self._secure(spec, host_config)
        spec["mounts"] = mounting.of(container, own_files)
        return spec

    def _secure(self, spec: Spec, host_config: HostConfig) -> None:
        """Say what the container may do, and with which devices.

        Source: Docker documentation, "Docker security"; "docker container run" § Privileged.
        """
        process, linux = spec["process"], spec["linux"]
        process["capabilities"] = effective_capabilities(host_config)
        process["noNewPrivileges"] = host_config.no_new_privileges
        if host_config.privileged or host_config.masked_paths is not None:
            linux["maskedPaths"] = [] if host_config.privileged else list(host_config.masked_paths or ())
        if host_config.privileged or host_config.readonly_paths is not None:
            linux["readonlyPaths"] = [] if host_config.privileged else list(host_config.readonly_paths or ())
        linux["devices"], rules = devices.of(host_config)
        if rules:
            linux["resources"]["devices"] = rules
        linux["seccomp"] = not host_config.privileged and host_config.seccomp_profile != UNCONFINED
        if host_config.seccomp_profile not in ("", UNCONFINED):
            program = seccomp_profile.compile_text(host_config.seccomp_profile, frozenset(process["capabilities"]))
            linux["seccompProgram"] = program.hex()


def _fill_blank(directory: str) -> None:
    """Make the files that every container's directory has sooner or later."""
    os.mkdir(f"{directory}/{log.DIRECTORY}", 0o700)
    for name, mode in (*((name, 0o644) for name in files.NAMES), (EXIT_TEMPORARY, 0o600), (log.FIRST_SEGMENT, 0o600)):
        os.close(os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode))


def _network(container: Container) -> Literal["none", "host", "namespace"]:
    """Return which network namespace the container has: one that is handed over, an empty one, or the host's."""
    mode = container.host_config.network_mode
    if mode == "host":
        return "host"
    cabled = any(attachment.endpoint.interface for attachment in container.networks.values())
    return "namespace" if cabled or mode.startswith("container:") else "none"


def effective_capabilities(host_config: HostConfig) -> list[str]:
    """Return the capabilities that a container has; all there are, when it is privileged."""
    if host_config.privileged:
        return capability_set(("ALL",), ())
    return capability_set(host_config.cap_add, host_config.cap_drop)


def capability_set(add: tuple[str, ...], drop: tuple[str, ...]) -> list[str]:
    """Return the capabilities of a container: the default ones, with some added and some dropped.

    Args:
        add: Names with or without ``CAP_``, in any case, or ``ALL``: all that the engine has itself.
        drop: The same.

    Raises:
        errors.InvalidArgument: No such capability, or the engine has not got it.

    Source: Docker documentation, "Running containers" § Runtime privilege and Linux capabilities.
    """
    if not add and not drop:
        return list(capabilities.DEFAULT)
    available = capabilities.permitted()
    added = _capability_names(add, "invalid CapAdd", available)
    dropped = _capability_names(drop, "invalid CapDrop", available)
    if "ALL" in added:
        return [name for name in available if name not in dropped]
    kept = set() if "ALL" in dropped else set(capabilities.DEFAULT) - dropped
    return sorted(kept | added, key=capabilities.NUMBERS.__getitem__)


def _capability_names(given: tuple[str, ...], field: str, available: list[str]) -> set[str]:
    names = set()
    for name in given:
        full = name.upper() if name.upper() == "ALL" else f"CAP_{name.upper().removeprefix('CAP_')}"
        if full != "ALL" and full not in capabilities.NUMBERS:
            raise errors.InvalidArgument(f'{field}: unknown capability: "{full}"')
        if full != "ALL" and full not in available:
            raise errors.InvalidArgument(
                f"{field}: capability not supported by your kernel or not available in the current environment: "
                f'"{full}"'
            )
        names.add(full)
    return names

"""From a container, as the engine knows it, to what the launcher is told: the last step before anything runs."""

import os
import re
import signal as signals
from pathlib import Path
from typing import Literal

from nbcontainers import errors
from nbcontainers.engine import files, limits
from nbcontainers.engine.model import Container, ExecConfig, MountPoint
from nbcontainers.images import Snapshots
from nbcontainers.linux import capabilities
from nbcontainers.runtime import log
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.defaults import default_mounts, default_spec
from nbcontainers.runtime.shim import EXIT_TEMPORARY
from nbcontainers.runtime.spec import Mount, Request, Spec
from nbcontainers.runtime.stock import Stock

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_LOG_BYTES = 128 << 20
DEFAULT_LOG_FILES = 4
HOST_NAME_BYTES = 64
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
        """Return the container's control group, as ``linux.cgroupsPath`` has it."""
        return f"{self.cgroup_parent}/{container.id}"

    def is_anonymous(self, volume: str) -> bool:
        """Say whether a volume was made for one container, without a name of its own."""
        return bool(_ANONYMOUS.fullmatch(volume))

    def discard(self, container: Container) -> None:
        """Remove the container's file system and directory."""
        self._snapshots.remove(container.id)
        self._cleanup.discard(self.directory(container.id))

    def request(self, container: Container) -> Request:
        """Describe the container, as it stands now, to the launcher."""
        config, host_config = container.config, container.host_config
        directory = self.directory(container.id)
        return Request(
            id=container.id,
            directory=str(directory),
            spec=self._spec(container, files.write(directory, container)),
            rootfs=self._snapshots.mounts(container.id, volatile=host_config.auto_remove),
            tty=config.tty,
            openStdin=config.open_stdin,
            logMaxBytes=host_config.log_max_bytes or DEFAULT_LOG_BYTES,
            logMaxFiles=host_config.log_max_files if host_config.log_max_bytes else DEFAULT_LOG_FILES,
            network=_network(container),
        )

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
        process["user"]["additionalGids"] = list(host_config.group_add)
        process["oomScoreAdj"] = host_config.oom_score_adj
        process["noNewPrivileges"] = host_config.no_new_privileges
        process["capabilities"] = capability_set(host_config.cap_add, host_config.cap_drop)
        process["rlimits"] = [
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard}
            for limit in host_config.ulimits
        ]
        linux["cgroupsPath"] = self.cgroup_path(container)
        linux["resources"] = limits.resources(host_config, swap_limit=self._swap_limit)
        linux["sysctl"] = dict(host_config.sysctls)
        linux["seccomp"] = not host_config.seccomp_unconfined
        own = [_bind(source, path, read_only=False) for path, source in own_files.items()]
        of_user = [mount_of(mount) for mount in container.mounts]
        replaced = {mount["destination"] for mount in of_user}
        defaults = [
            mount for mount in default_mounts(host_config.shm_size_bytes) if mount["destination"] not in replaced
        ]
        # What lies deeper is mounted later, whoever asked for it.
        spec["mounts"] = defaults + sorted([*own, *of_user], key=lambda mount: mount["destination"].count("/"))
        return spec


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


def _bind(source: str, destination: str, *, read_only: bool) -> Mount:
    options = ["rbind", "ro"] if read_only else ["rbind"]
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def mount_of(mount: MountPoint) -> Mount:
    """Turn a resolved mount of a container into one of its specification."""
    if mount.kind != "tmpfs":
        return _bind(mount.source, mount.destination, read_only=mount.read_only)
    given = [option for option in mount.options.split(",") if option]
    options = [
        "nosuid",
        "nodev",
        "noexec",
        *([] if any(o.startswith("mode=") for o in given) else ["mode=1777"]),
        *given,
    ]
    # The last word counts: ``exec`` takes ``noexec`` back.
    for word in ("suid", "dev", "exec"):
        if word in given:
            options = [option for option in options if option != f"no{word}"]
    if mount.read_only:
        options.append("ro")
    return {"destination": mount.destination, "type": "tmpfs", "source": "tmpfs", "options": options}


def capability_set(add: tuple[str, ...], drop: tuple[str, ...]) -> list[str]:
    """Return the capabilities of a container: the default ones, with some added and some dropped.

    Args:
        add: Names with or without ``CAP_``, in any case, or ``ALL``.
        drop: The same.

    Raises:
        errors.InvalidArgument: No such capability.

    Source: Docker documentation, "Running containers" § Runtime privilege and Linux capabilities.
    """
    added, dropped = _capability_names(add), _capability_names(drop)
    names = set(capabilities.NAMES if "ALL" in added else () if "ALL" in dropped else capabilities.DEFAULT)
    names |= added - {"ALL"}
    names -= dropped if "ALL" not in dropped or "ALL" in added else dropped - {"ALL"} - added
    last = capabilities.last_capability()
    known = {name for name in names if capabilities.NUMBERS[name] <= last}
    return sorted(known, key=capabilities.NUMBERS.__getitem__)


def _capability_names(given: tuple[str, ...]) -> set[str]:
    names = set()
    for name in given:
        full = name.upper() if name.upper() == "ALL" else f"CAP_{name.upper().removeprefix('CAP_')}"
        if full != "ALL" and full not in capabilities.NUMBERS:
            raise errors.InvalidArgument(f"invalid capability: '{name}'")
        names.add(full)
    return names

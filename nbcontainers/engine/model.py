"""The engine's vocabulary: what a container is asked to be, and what it is.

``ContainerConfig`` and ``HostConfig`` are what the user asked for, validated at the door (``nbcontainers.api``)
and merged with the image's defaults; they never change afterwards. ``ContainerState`` is what is true now.
Names follow the Docker Engine API's, in snake case, with units where a number has one; they are stored in the
engine's database as JSON, field by field.

Theory of operation of the states (``Status``), as a table; nothing else may change a state:

    from        by               to
    ─────────   ──────────────   ─────────
    created     start            running
    exited      start            running
    dead        start            running
    restarting  start            running
    running     pause            paused
    paused      unpause          running
    restarting  stop             exited
    removing    remove           removing
    running or paused, the process ends                       exited
    running or paused, the shim dies                          dead
    running or paused, either, and the policy says so         restarting
    created, exited or dead      remove                       removing
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from nbcontainers.networks.model import Shaping

Status = Literal["created", "running", "paused", "restarting", "exited", "dead", "removing"]
RestartName = Literal["no", "always", "unless-stopped", "on-failure"]

RUNNING: tuple[Status, ...] = ("running", "paused", "restarting")
"""The states in which Docker says that a container runs: one that waits to be started again is among them."""

TRANSITIONS: dict[tuple[Status, str], Status] = {
    ("created", "start"): "running",
    ("exited", "start"): "running",
    ("dead", "start"): "running",
    ("restarting", "start"): "running",
    ("running", "exit"): "exited",
    ("running", "pause"): "paused",
    ("paused", "unpause"): "running",
    ("paused", "exit"): "exited",
    ("running", "lost"): "dead",
    ("paused", "lost"): "dead",
    ("running", "restart"): "restarting",
    ("paused", "restart"): "restarting",
    ("restarting", "stop"): "exited",
    ("created", "remove"): "removing",
    ("exited", "remove"): "removing",
    ("dead", "remove"): "removing",
    ("removing", "remove"): "removing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How the container is asked whether it is well; 0 stands for Docker's default.

    ``test`` begins with ``NONE``, ``CMD`` or ``CMD-SHELL``; empty, it is the image's.
    """

    test: tuple[str, ...] = ()
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """What runs in the container: the portable half of the configuration (Docker's ``Config``).

    ``cmd`` and ``entrypoint`` are None where the user said nothing, so that the image's apply; after the merge
    with the image (see ``Engine.create``) they are what will run.
    """

    image: str
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = True
    attach_stderr: bool = True
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    working_dir: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    stop_timeout_seconds: int | None = None
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """One resource limit, ``setrlimit(2)``: name without ``RLIMIT_`` in lower case; -1 stands for unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleDevice:
    """A limit on one block device: its path on the host, and bytes or operations per second."""

    path: str
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDevice:
    """A share of one block device's time: its path on the host, and a weight from 10 to 1000."""

    path: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the host, or a directory of them, in the container; ``permissions`` are of ``r``, ``w``, ``m``."""

    path_on_host: str
    path_in_container: str
    permissions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespaces:
    """Which namespaces the container does not have for itself: ``host``, ``container:ID``, or empty and ``private``.

    ``ipc`` can also be ``shareable``, so that others may share it, and ``none``, without a ``/dev/shm``.
    """

    pid: str = ""
    ipc: str = "private"
    uts: str = ""
    cgroup: str = "private"
    user: str = ""


MountKind = Literal["bind", "volume", "tmpfs", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """One entry of Binds or Mounts: a host path, a volume or an image, at an absolute path in the container.

    Args:
        kind: What is mounted.
        source: An absolute host path for ``bind``, a volume's name for ``volume`` (empty: anonymous), an image's for
            ``image``; unused for ``tmpfs``.
        destination: Where.
        text: The entry as it was given, where it comes from Binds.
        mode: The last part of that.
        read_only: Nothing can be written there.
        propagation: Of mounts that are made below it later; empty for the default, ``rprivate``.
        recursive: What is mounted below a host path comes with it.
        read_only_below: ``read_only`` holds for what is mounted below, too.
        force_read_only_below: The client insists on that.
        copy_up: An empty volume is filled with what the image has there.
        make_source: A host path that is missing is made, as a directory.
        labels: Of a volume that is made for it.
        driver: The driver of such a volume.
        driver_opts: Its options.
        subpath: A path in the volume or image, to be mounted instead of the whole.
        size_bytes: Of a tmpfs; 0 for the kernel's own limit.
        file_mode: Of a tmpfs's root; 0 for 1777.
        options: Other options of a tmpfs, separated by commas.
    """

    kind: MountKind
    source: str
    destination: str
    text: str = ""
    mode: str = ""
    read_only: bool = False
    propagation: str = ""
    recursive: bool = True
    read_only_below: bool = True
    force_read_only_below: bool = False
    copy_up: bool = True
    make_source: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    driver: str = ""
    driver_opts: dict[str, str] = field(default_factory=dict)
    subpath: str = ""
    size_bytes: int = 0
    file_mode: int = 0
    options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a container that has ended is started again; ``maximum_retries`` is for ``on-failure``, 0: no limit."""

    name: RestartName = "no"
    maximum_retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """One published port as it was asked for.

    Args:
        port: The container's, such as ``80``.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_ip: An address of the host; empty for the network's default.
        host_port: ``8080``, a range such as ``8000-8010`` of which a free one is taken, or empty for any.
    """

    port: int
    protocol: str
    host_ip: str = ""
    host_port: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """One port of the host that leads to a port of a running container, at one of the container's addresses."""

    port: int
    protocol: str
    host_ip: str
    host_port: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """What the container may use of this machine (Docker's ``HostConfig``). 0 or None: no limit, or the default.

    ``security_opt`` and ``log_options`` are as they were given; what they mean stands beside them.
    """

    mounts: tuple[BindMount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    volume_driver: str = ""
    network_mode: str = "bridge"
    links: tuple[str, ...] = ()
    port_bindings: tuple[PortBinding, ...] = ()
    publish_all_ports: bool = False
    namespaces: Namespaces = field(default_factory=Namespaces)
    cgroup_parent: str = ""
    auto_remove: bool = False
    restart_policy: RestartPolicy = RestartPolicy()
    privileged: bool = False
    init: bool | None = None
    runtime: str = "runc"
    isolation: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    console_size: tuple[int, int] = (0, 0)
    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_quota_usec: int = 0
    cpu_period_usec: int = 0
    cpu_realtime_period_usec: int = 0
    cpu_realtime_runtime_usec: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    blkio_weight_devices: tuple[WeightDevice, ...] = ()
    blkio_read_bps: tuple[ThrottleDevice, ...] = ()
    blkio_write_bps: tuple[ThrottleDevice, ...] = ()
    blkio_read_iops: tuple[ThrottleDevice, ...] = ()
    blkio_write_iops: tuple[ThrottleDevice, ...] = ()
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp_profile: str = ""
    apparmor_profile: str = ""
    writable_cgroups: bool = False
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    tmpfs: dict[str, str] = field(default_factory=dict)
    shm_size_bytes: int = 64 << 20
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    log_driver: Literal["json-file", "local", "none"] = "json-file"
    log_options: dict[str, str] = field(default_factory=dict)
    log_max_bytes: int = 0
    log_max_files: int = 1
    log_compress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """A mount of a container as it was resolved at create.

    ``name`` is the volume's or the image's, or empty; ``source`` an absolute path of the host, for an image empty;
    ``mode`` is what the user gave for Docker to show it again. A volume with a file system of its own has that mounted
    only as long as a running container has the volume. For the rest see ``BindMount``.
    """

    kind: MountKind
    name: str
    source: str
    destination: str
    read_only: bool
    mode: str = ""
    propagation: str = ""
    recursive: bool = True
    read_only_below: bool = True
    copy_up: bool = False
    subpath: str = ""
    options: str = ""
    own_file_system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What is true of a container now. Times are nanoseconds since the epoch, UTC; 0 stands for never."""

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started_at_ns: int = 0
    finished_at_ns: int = 0


HealthStatus = Literal["starting", "healthy", "unhealthy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How one probe ended: when, with which exit code (-1: it could not be run, or took too long), saying what."""

    started_at_ns: int
    ended_at_ns: int
    exit_code: int
    output: str


@dataclass(slots=True, kw_only=True)
class Health:
    """What is known of a container's health.

    ``log`` has the last results, the newest last; ``run_ns`` is when the run began that the status is of.
    """

    status: HealthStatus = "starting"
    failing_streak: int = 0
    log: list[ProbeResult] = field(default_factory=list)
    run_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """What the user wants of a container's place in one network (Docker's ``EndpointSettings``).

    ``links`` are ``name:alias``; ``driver_opts`` are kept and shown.
    """

    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    mac_address: str = ""
    driver_opts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEndpoint:
    """Where a running container stands in a network; all empty while it does not run."""

    network_id: str = ""
    endpoint_id: str = ""
    interface: str = ""
    address: str = ""
    prefix_length: int = 0
    gateway: str = ""
    mac_address: str = ""
    host_interface: str = ""
    ipv6_address: str = ""
    ipv6_prefix_length: int = 0
    ipv6_gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container's place in a network: what the user wants of it, and what is so while the container runs."""

    network_id: str
    shaping: Shaping = field(default_factory=Shaping)
    config: EndpointConfig = field(default_factory=EndpointConfig)
    endpoint: NetworkEndpoint = field(default_factory=NetworkEndpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Another container that a container knows by a name of its own choice.

    Args:
        container_id: The other one.
        alias: Its name.
        hosts: Its line in /etc/hosts, since the container was started.
        environment: What the environment tells of it.
    """

    container_id: str
    alias: str
    hosts: str = ""
    environment: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Container:
    """One container: what was asked, and what is true now. The engine alone changes it.

    Args:
        id: 64 hexadecimal digits.
        name: Without a leading slash.
        image_id: ``sha256:…`` of the image, or ``host``'s.
        path: The executable, the first word of what runs.
        args: The words after it.
        created_ns: When it was created, nanoseconds since the epoch.
        networks: Its places in networks, by the networks' names.
        links: The containers of the default bridge that it knows by other names.
        ports: What of it is published now.
        restart_count: How often it was started again by its restart policy, since it was started by the user.
        stopped_by_user: Whether the user has ended it since.
        health: What is known of its health; None where nobody asks.
    """

    id: str
    name: str
    image_id: str
    created_ns: int
    config: ContainerConfig
    host_config: HostConfig
    path: str = ""
    args: tuple[str, ...] = ()
    mounts: tuple[MountPoint, ...] = ()
    state: ContainerState = field(default_factory=ContainerState)
    networks: dict[str, Attachment] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    restart_count: int = 0
    stopped_by_user: bool = False
    health: Health | None = None

    @property
    def endpoint(self) -> NetworkEndpoint:
        """Its place in the network that its mode names, or else in the first one that it is in."""
        attachments = self.networks
        first = attachments.get(self.host_config.network_mode) or next(iter(attachments.values()), None)
        return first.endpoint if first else NetworkEndpoint()

    def change(self, by: str, **facts: object) -> None:
        """Move to the state that ``by`` leads to, with other facts of the state set at the same time.

        Raises:
            ValueError: The table has no such transition: a fault of ours.
        """
        status = TRANSITIONS.get((self.state.status, by))
        if status is None:
            raise ValueError(f"a container that is {self.state.status} cannot {by}")
        self.state = replace(self.state, status=status, **facts)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecConfig:
    """What one more process in a running container is asked to be; what is empty is as in the container."""

    cmd: tuple[str, ...]
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    tty: bool = False
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    privileged: bool = False
    detach_keys: bytes = b""
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as ``GET /events`` tells it (``type`` is container, image, network or volume)."""

    type: str
    action: str
    actor_id: str
    attributes: dict[str, str]
    time_ns: int

"""What a container is asked to be, in the engine's words.

``ContainerConfig`` and ``HostConfig`` are what the user asked for, validated at the door (``nbcontainers.api``)
and merged with the image's defaults; only an update changes them afterwards. Names follow the Docker Engine API's, in
snake case, with units where a number has one; they are stored in the engine's database as JSON, field by field.
"""

from dataclasses import dataclass, field
from typing import Literal

RestartName = Literal["no", "always", "unless-stopped", "on-failure"]


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
    on_build: tuple[str, ...] = ()


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

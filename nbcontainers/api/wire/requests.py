"""What clients send: the bodies of ``POST /containers/create``, ``POST /volumes/create`` and those of exec."""

import msgspec

from nbcontainers.api.wire.networks import EndpointSettings, PortBinding

Strings = list[str] | None


class RestartPolicy(msgspec.Struct, rename="pascal"):
    """When a container is started again."""

    name: str | None = None
    maximum_retry_count: int | None = None


class LogConfig(msgspec.Struct, rename="pascal"):
    """Where a container's output goes."""

    type: str = ""
    config: dict[str, str] | None = None


class Ulimit(msgspec.Struct, rename="pascal"):
    """One resource limit."""

    name: str
    soft: int
    hard: int


class ThrottleDevice(msgspec.Struct, rename="pascal"):
    """A rate for one block device."""

    path: str
    rate: int


class WeightDevice(msgspec.Struct, rename="pascal"):
    """A weight for one block device."""

    path: str
    weight: int


class DeviceMapping(msgspec.Struct, rename="pascal"):
    """A device of the host in the container."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class BindOptions(msgspec.Struct, rename="pascal"):
    """Options of a mount of type bind."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(msgspec.Struct, rename="pascal"):
    """Who keeps a volume, and how."""

    name: str = ""
    options: dict[str, str] | None = None


class ImageOptions(msgspec.Struct, rename="pascal"):
    """Options of a mount of type image."""

    subpath: str = ""


class VolumeOptions(msgspec.Struct, rename="pascal"):
    """Options of a mount of type volume."""

    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str = ""


class TmpfsOptions(msgspec.Struct, rename="pascal"):
    """Options of a mount of type tmpfs; the mode is a number as ``chmod(2)`` has it."""

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class Mount(msgspec.Struct, rename="pascal"):
    """One mount."""

    target: str = ""
    type: str = ""
    source: str | None = None  # docker-py says null for a tmpfs, Compose for what is not read-only
    read_only: bool | None = None
    consistency: str | None = None
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None
    image_options: ImageOptions | None = None
    cluster_options: dict[str, object] | None = None


class HostConfig(msgspec.Struct, rename="pascal"):
    """The half of the configuration about this machine; what is not here is refused (see ``creation``)."""

    binds: Strings = None
    mounts: list[Mount] | None = None
    volumes_from: Strings = None
    volume_driver: str | None = None
    container_id_file: str | None = msgspec.field(default=None, name="ContainerIDFile")
    console_size: tuple[int, int] | None = None
    annotations: dict[str, str] | None = None
    pid_mode: str | None = None
    ipc_mode: str | None = None
    uts_mode: str | None = msgspec.field(default=None, name="UTSMode")
    userns_mode: str | None = None
    cgroupns_mode: str | None = None
    cgroup_parent: str | None = None
    privileged: bool | None = None
    init: bool | None = None
    runtime: str | None = None
    isolation: str | None = None
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: Strings = None
    device_requests: list[dict[str, object]] | None = None
    storage_opt: dict[str, str] | None = None
    masked_paths: Strings = None
    readonly_paths: Strings = None
    memory_swappiness: int | None = None
    cpu_realtime_period: int | None = None
    cpu_realtime_runtime: int | None = None
    cpu_count: int | None = None
    cpu_percent: int | None = None
    blkio_weight_device: list[WeightDevice] | None = None
    log_config: LogConfig | None = None
    network_mode: str | None = None
    links: Strings = None
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    publish_all_ports: bool | None = None
    auto_remove: bool | None = None
    restart_policy: RestartPolicy | None = None
    cap_add: Strings = None
    cap_drop: Strings = None
    dns: Strings = None
    dns_options: Strings = None
    dns_search: Strings = None
    extra_hosts: Strings = None
    group_add: Strings = None
    oom_score_adj: int | None = None
    readonly_rootfs: bool | None = None
    security_opt: Strings = None
    shm_size: int | None = None
    tmpfs: dict[str, str] | None = None
    sysctls: dict[str, str] | None = None
    cpu_shares: int | None = None
    memory: int | None = None
    nano_cpus: int | None = None
    blkio_weight: int | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = msgspec.field(default=None, name="BlkioDeviceReadIOps")
    blkio_device_write_iops: list[ThrottleDevice] | None = msgspec.field(default=None, name="BlkioDeviceWriteIOps")
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None


class Healthcheck(msgspec.Struct, rename="pascal"):
    """How a container's health is asked after; times are nanoseconds."""

    test: Strings = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class NetworkingConfig(msgspec.Struct, rename="pascal"):
    """The networks a container joins, by name."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class CreateRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /containers/create``."""

    image: str = ""
    hostname: str | None = None
    domainname: str | None = None
    user: str | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    exposed_ports: dict[str, object] | None = None
    tty: bool | None = None
    open_stdin: bool | None = None
    stdin_once: bool | None = None
    env: Strings = None
    cmd: list[str] | str | None = None
    entrypoint: list[str] | str | None = None
    healthcheck: Healthcheck | None = None
    volumes: dict[str, object] | None = None
    working_dir: str | None = None
    network_disabled: bool | None = None
    mac_address: str | None = None
    on_build: Strings = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    shell: Strings = None
    host_config: msgspec.Raw = msgspec.Raw(b"{}")
    networking_config: NetworkingConfig | None = None


class VolumeCreateRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /volumes/create``."""

    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, object] | None = None


class UpdateRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /containers/{id}/update``; what is not here is refused (see ``updates``)."""

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    nano_cpus: int | None = None
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    restart_policy: RestartPolicy | None = None


class ExecCreateRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /containers/{id}/exec``; docker-py writes one of its names in its own way."""

    user: str | None = None
    privileged: bool | None = None
    tty: bool | None = None
    console_size: tuple[int, int] | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    detach_keys: str | None = None
    detach_keys_of_docker_py: str | None = msgspec.field(default=None, name="detachKeys")
    env: Strings = None
    working_dir: str | None = None
    cmd: list[str] | str | None = None


class ExecStartRequest(msgspec.Struct, rename="pascal"):
    """The body of ``POST /exec/{id}/start``."""

    detach: bool | None = None
    tty: bool | None = None
    console_size: tuple[int, int] | None = None

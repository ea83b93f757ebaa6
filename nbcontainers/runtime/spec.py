"""The OCI runtime specification as types: what one isolated process is, in the standard's own words.

These are typed dictionaries, so a specification *is* its JSON document: the engine builds one, the launcher is sent
it, nothing is translated. Only type checkers import this module; at run time the start path never does.

Source: OCI runtime-spec, config.md and config-linux.md.
"""

from typing import Literal, NotRequired, TypedDict


class User(TypedDict):
    """Who runs the process: a name or number, as Dockerfile's USER has it, looked up inside the container."""

    username: str
    additionalGids: list[str]


class Rlimit(TypedDict):
    """One resource limit; ``setrlimit(2)``. -1 stands for unlimited."""

    type: str
    soft: int
    hard: int


class Process(TypedDict):
    """OCI runtime-spec, config.md § Process."""

    args: list[str]
    env: list[str]
    cwd: str
    user: User
    terminal: bool
    capabilities: list[str]
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int


class Mount(TypedDict):
    """OCI runtime-spec, config.md § Mounts. ``type`` is ``bind`` for bind mounts."""

    destination: str
    type: str
    source: str
    options: list[str]


class LinuxDevice(TypedDict):
    """OCI runtime-spec, config-linux.md § Devices."""

    path: str
    type: Literal["c", "b"]
    major: int
    minor: int
    fileMode: int


class LinuxMemory(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § Memory; bytes."""

    limit: int
    swap: int
    reservation: int
    disableOOMKiller: bool


class LinuxCPU(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § CPU; microseconds."""

    shares: int
    quota: int
    period: int
    cpus: str
    mems: str


class LinuxPids(TypedDict):
    """OCI runtime-spec, config-linux.md § PIDs."""

    limit: int


class LinuxThrottleDevice(TypedDict):
    """A rate, in bytes or operations per second, for one block device."""

    major: int
    minor: int
    rate: int


class LinuxBlockIO(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § Block IO."""

    weight: int
    throttleReadBpsDevice: list[LinuxThrottleDevice]
    throttleWriteBpsDevice: list[LinuxThrottleDevice]
    throttleReadIOPSDevice: list[LinuxThrottleDevice]
    throttleWriteIOPSDevice: list[LinuxThrottleDevice]


class LinuxDeviceCgroup(TypedDict):
    """OCI runtime-spec, config-linux.md § Allowed Device list."""

    allow: bool
    type: NotRequired[str]
    major: NotRequired[int]
    minor: NotRequired[int]
    access: NotRequired[str]


class LinuxResources(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § Control groups."""

    memory: LinuxMemory
    cpu: LinuxCPU
    pids: LinuxPids
    blockIO: LinuxBlockIO
    devices: list[LinuxDeviceCgroup]


class Linux(TypedDict):
    """OCI runtime-spec, config-linux.md."""

    cgroupsPath: str
    resources: LinuxResources
    devices: list[LinuxDevice]
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    seccomp: bool


class Root(TypedDict):
    """OCI runtime-spec, config.md § Root."""

    readonly: bool


class Spec(TypedDict):
    """OCI runtime-spec, config.md; ``linux.seccomp`` only says whether the default filter applies."""

    hostname: str
    domainname: str
    root: Root
    process: Process
    mounts: list[Mount]
    linux: Linux


class Rootfs(TypedDict):
    """A root file system that nobody has mounted yet: plain data, handed out by the snapshots.

    Attributes:
        lower: Layer directories, the topmost first.
        upper: Where changes go; None for a read-only view.
        work: The overlay's work directory.
        host: Not None: this machine's own file system lies below all layers, without these absolute paths.
        volatile: Changes need not survive a crash of the machine.
    """

    lower: list[str]
    upper: str | None
    work: str | None
    host: list[str] | None
    volatile: bool


class Request(TypedDict):
    """What the engine passes to a shim: one container."""

    id: str
    directory: str
    spec: Spec
    rootfs: Rootfs
    tty: bool
    openStdin: bool
    logMaxBytes: int
    logMaxFiles: int
    network: Literal["none", "host", "namespace"]

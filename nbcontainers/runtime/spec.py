"""The OCI runtime specification as types: what one isolated process is, in the standard's own words.

These are typed dictionaries, so a specification *is* its JSON document: the engine builds one, a shim is sent it,
nothing is translated. Only type checkers import this module; at run time the start path never does.

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


class ConsoleSize(TypedDict):
    """The size of a terminal, in characters."""

    height: int
    width: int


class Process(TypedDict):
    """OCI runtime-spec, config.md § Process."""

    args: list[str]
    env: list[str]
    cwd: str
    user: User
    terminal: bool
    consoleSize: NotRequired[ConsoleSize]
    capabilities: list[str]
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    oomScoreAdj: int


class Mount(TypedDict):
    """OCI runtime-spec, config.md § Mounts.

    ``type`` is ``bind`` for bind mounts, and ``shared`` for a mount of the container whose ipc namespace is shared. Two
    keys are our own, for bind mounts: ``rootfs`` is a tree to take instead of ``source``, and ``subpath`` what of it is
    shown, found inside the container as if the tree were the root, so that no link leads out of it.
    """

    destination: str
    type: str
    source: str
    options: list[str]
    rootfs: "NotRequired[Rootfs]"
    subpath: NotRequired[str]


class LinuxDevice(TypedDict):
    """OCI runtime-spec, config-linux.md § Devices."""

    path: str
    type: Literal["c", "b"]
    major: int
    minor: int
    fileMode: int
    uid: NotRequired[int]
    gid: NotRequired[int]


class LinuxMemory(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § Memory; bytes."""

    limit: int
    swap: int
    reservation: int
    swappiness: int
    disableOOMKiller: bool


class LinuxCPU(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § CPU; microseconds."""

    shares: int
    quota: int
    period: int
    cpus: str
    mems: str
    realtimePeriod: int
    realtimeRuntime: int


class LinuxPids(TypedDict):
    """OCI runtime-spec, config-linux.md § PIDs."""

    limit: int


class LinuxThrottleDevice(TypedDict):
    """A rate, in bytes or operations per second, for one block device."""

    major: int
    minor: int
    rate: int


class LinuxWeightDevice(TypedDict):
    """A weight for one block device."""

    major: int
    minor: int
    weight: int


class LinuxBlockIO(TypedDict, total=False):
    """OCI runtime-spec, config-linux.md § Block IO."""

    weight: int
    weightDevice: list[LinuxWeightDevice]
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
    """OCI runtime-spec, config-linux.md.

    ``seccomp`` says whether the default filter applies, unless ``seccompProgram`` holds another one, compiled to the
    kernel's instructions, in hexadecimal digits.
    """

    cgroupsPath: str
    resources: LinuxResources
    devices: list[LinuxDevice]
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    seccomp: bool
    seccompProgram: NotRequired[str]


class Root(TypedDict):
    """OCI runtime-spec, config.md § Root."""

    readonly: bool


class Spec(TypedDict):
    """OCI runtime-spec, config.md."""

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


Shared = Literal["pid", "ipc", "uts", "cgroup", "mnt"]


class Request(TypedDict):
    """What the engine passes to a shim: one container.

    Attributes:
        id: The container's id.
        directory: Where its log, its socket and its exit status go.
        spec: What it is.
        rootfs: Its root file system.
        tty: It gets a terminal.
        openStdin: It gets a standard input.
        logMaxBytes: The size of a file of its log.
        logMaxFiles: How many there may be.
        logCompress: Those that are full are compressed.
        mounted: The root file system is mounted already: its descriptor is sent along, before all others.
        network: ``namespace``: the descriptor of one is sent along.
        shared: The namespaces that are not the container's own, of each a descriptor is sent along, in this order.
            ``mnt`` is that of the container whose mounts of type ``shared`` are wanted.
        init: An init process of ours runs the program (see ``reaping``).
    """

    id: str
    directory: str
    spec: Spec
    rootfs: Rootfs
    tty: bool
    openStdin: bool
    logMaxBytes: int
    logMaxFiles: int
    network: Literal["none", "host", "namespace"]
    logCompress: NotRequired[bool]
    mounted: NotRequired[bool]
    shared: NotRequired[list[Shared]]
    init: NotRequired[bool]

"""The engine's vocabulary: what a container is, beside what it was asked to be (``configuration``).

All of it is stored in the engine's database as JSON, field by field.

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

from nbcontainers.engine.configuration import ContainerConfig, EndpointConfig, HostConfig, MountKind
from nbcontainers.networks.model import Shaping

Status = Literal["created", "running", "paused", "restarting", "exited", "dead", "removing"]

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
class PublishedPort:
    """One port of the host that leads to a port of a running container, at one of the container's addresses."""

    port: int
    protocol: str
    host_ip: str
    host_port: int
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """A mount of a container as it was resolved at create.

    ``name`` is the volume's or the image's, or empty; ``source`` an absolute path of the host, for an image empty;
    ``mode`` is what the user gave for Docker to show it again. A volume with a file system of its own has that mounted
    only as long as a running container has the volume. ``named`` tells a volume that the user named, were it by a name
    that the engine had given it: that one outlives the container. For the rest see ``BindMount``.
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
    named: bool = False


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
class Event:
    """Something that happened, as ``GET /events`` tells it (``type`` is container, image, network or volume)."""

    type: str
    action: str
    actor_id: str
    attributes: dict[str, str]
    time_ns: int

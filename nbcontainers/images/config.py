"""The OCI image configuration, as it is stored: its bytes' digest is the image's id.

Source: OCI image-spec, config.md; Docker's own fields (Healthcheck, OnBuild, Shell) as its image format has them.
"""

import hashlib
import platform
import time
from datetime import UTC, datetime

import msgspec

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64"}


def architecture() -> str:
    """Return this machine's architecture as images name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


class Healthcheck(msgspec.Struct, rename="pascal", omit_defaults=True):
    """How a container says that it is well; times are nanoseconds."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerDefaults(msgspec.Struct, rename="pascal", omit_defaults=True):
    """What a container gets that does not say otherwise; OCI image-spec, config.md § config."""

    user: str = ""
    exposed_ports: dict[str, dict[str, str]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, dict[str, str]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    on_build: list[str] | None = None
    shell: list[str] | None = None


class RootFS(msgspec.Struct):
    """The layers, by the digests of their archives, the lowest first; OCI image-spec, config.md § rootfs."""

    type: str = "layers"
    diff_ids: list[str] = []


class HistoryEntry(msgspec.Struct, omit_defaults=True):
    """How one layer, or an empty one, came about; OCI image-spec, config.md § history.

    ``step`` is ours: the key by which the build cache knows it, so that another engine's builds find it again.
    """

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False
    step: str = msgspec.field(default="", name="nbcontainers.step")


class ImageConfig(msgspec.Struct, omit_defaults=True):
    """OCI image-spec, config.md."""

    created: str = ""
    author: str = ""
    architecture: str = ""
    variant: str = ""
    os: str = "linux"
    config: ContainerDefaults = msgspec.field(default_factory=ContainerDefaults)
    rootfs: RootFS = msgspec.field(default_factory=RootFS)
    history: list[HistoryEntry] = []


def encode(config: ImageConfig) -> bytes:
    """Return a configuration as the bytes that are stored: what it must have is written whatever it is."""
    document = msgspec.to_builtins(config)
    required = {"architecture": config.architecture, "os": config.os, "rootfs": config.rootfs, "config": config.config}
    return msgspec.json.encode({**required, **document})


def decode(data: bytes) -> ImageConfig:
    """Read a stored configuration.

    Raises:
        msgspec.DecodeError: It is none.
    """
    document = msgspec.json.decode(data, type=dict[str, object])
    return msgspec.convert(_without_nothing(document), ImageConfig)


def _without_nothing(value: object) -> object:
    """Leave out what is null: Go writes that for an empty list, and for a text that nobody has set."""
    if isinstance(value, dict):
        return {key: _without_nothing(inner) for key, inner in value.items() if inner is not None}
    return [_without_nothing(inner) for inner in value] if isinstance(value, list) else value


def digest(data: bytes) -> str:
    """Return the digest of some bytes, as references have it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def chain_ids(diff_ids: list[str]) -> list[str]:
    """Return for each layer the digest of it and all below it.

    Source: OCI image-spec, config.md § Layer ChainID.
    """
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def timestamp(when_ns: int | None = None) -> str:
    """Return a time, by default now, as image configurations have it (RFC 3339)."""
    seconds = (time.time_ns() if when_ns is None else when_ns) / 10**9
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def parse_timestamp(text: str) -> int:
    """Return an image configuration's time in nanoseconds since the epoch; 0 for none."""
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**9)
    except ValueError:
        return 0

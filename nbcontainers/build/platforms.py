"""Platforms, such as ``linux/arm64/v8``, and the arguments that tell a Dockerfile which it is built on and for.

Source: Dockerfile reference § Automatic platform ARGs in the global scope; OCI image-spec, image-index.md § platform.
"""

from dataclasses import dataclass

from nbcontainers.errors import InvalidArgument
from nbcontainers.images.config import architecture

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}
_KNOWN_ARCHITECTURES = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", *_ARCHITECTURES)
)
_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """An operating system, an architecture, and a variant of it or nothing."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def this() -> Platform:
    """Return this machine's platform."""
    return Platform(os="linux", architecture=architecture())


def parse(text: str) -> Platform:
    """Read a platform; what is left out is this machine's.

    Raises:
        InvalidArgument: It is none.
    """
    parts = text.lower().split("/")
    if len(parts) == 1 and parts[0] in _KNOWN_ARCHITECTURES:
        parts.insert(0, "linux")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgument(f"invalid platform '{text}': such as linux/amd64 is wanted")
    if parts[0] not in _SYSTEMS:
        raise InvalidArgument(f'invalid platform: unknown operating system or architecture "{text}"')
    machine = _ARCHITECTURES.get(parts[1], parts[1]) if len(parts) > 1 else this().architecture
    variant = parts[2] if len(parts) > 2 else ""
    if machine == "arm64" and variant == "v8":
        variant = ""
    return Platform(os=parts[0], architecture=machine, variant=variant)


def arguments(target: Platform, stage: str) -> dict[str, str]:
    """Return the platform arguments of a build."""
    build = this()
    return {
        "BUILDPLATFORM": str(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": "",
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": str(target),
        "TARGETOS": target.os,
        "TARGETOSVERSION": "",
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }

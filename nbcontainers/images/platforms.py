"""Platforms, such as ``linux/arm64/v8``: what an image is for, and what runs on which machine.

Source: OCI image-spec, image-index.md § platform; containerd, platforms/compare.go and normalize, for what fits what.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from nbcontainers.errors import InvalidArgument
from nbcontainers.images.config import architecture

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}
_KNOWN_ARCHITECTURES = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", *_ARCHITECTURES)
)
_PLAIN = frozenset((("amd64", "v1"), ("arm64", "v8")))
_LOWEST = {"arm": "v7"}
_OLDEST_ARM = 5
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
        raise InvalidArgument(
            f'"{text}": cannot parse platform specifier: invalid argument: such as linux/amd64 is wanted'
        )
    if parts[0] not in _SYSTEMS:
        raise InvalidArgument(f'"{text}": unknown operating system or architecture: invalid argument')
    machine = _ARCHITECTURES.get(parts[1], parts[1]) if len(parts) > 1 else this().architecture
    variant = parts[2] if len(parts) > 2 else ""
    if machine == "arm64" and variant == "v8":
        variant = ""
    return Platform(os=parts[0], architecture=machine, variant=variant)


def normal(system: str, machine: str, variant: str = "") -> Platform:
    """Return a platform with the names that are usual: a machine's plain form has no variant, or its lowest."""
    system, machine, variant = system.lower() or "linux", machine.lower(), variant.lower()
    machine = _ARCHITECTURES.get(machine, machine)
    if variant.isdecimal():
        variant = f"v{variant}"
    if (machine, variant) in _PLAIN:
        variant = ""
    return Platform(os=system, architecture=machine, variant=variant or _LOWEST.get(machine, ""))


def runnable(wanted: Platform) -> Iterator[Platform]:
    """Yield a platform, and those whose programs run there as well, the most fitting first."""
    wanted = normal(wanted.os, wanted.architecture, wanted.variant)
    machine, number = wanted.architecture, wanted.variant.removeprefix("v")
    yield wanted
    if machine == "amd64":
        for lower in range(int(number) - 1 if number.isdecimal() else 0, 0, -1):
            yield normal(wanted.os, machine, f"v{lower}")
        yield Platform(os=wanted.os, architecture="386")
    elif machine == "arm64":
        yield from runnable(Platform(os=wanted.os, architecture="arm", variant="v8"))
    elif machine == "arm":
        for lower in range(int(number) - 1 if number.isdecimal() else 0, _OLDEST_ARM - 1, -1):
            yield Platform(os=wanted.os, architecture=machine, variant=f"v{lower}")

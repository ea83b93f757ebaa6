"""What the administrator says of registries: on the command line, and in a file with the keys of Docker's daemon.json.

Source: dockerd(8) § Insecure registries, § Daemon configuration file (``insecure-registries``, ``registry-mirrors``).
"""

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from nbcontainers import errors

SETTINGS_FILE = Path("/etc/nbcontainers/engine.json")
_CERTIFICATES = "certs.d"
LOOPBACK = ("127.0.0.0/8", "::1/128")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
Names = tuple[str, ...]


def usual_certificates() -> tuple[Path, ...]:
    """Return where certificates are looked for: where Docker does, and beside our own settings."""
    places = [Path("/etc/docker"), Path("/etc/nbcontainers")]
    if os.geteuid() != 0:
        own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        places += [own / "docker", own / "nbcontainers"]
    return tuple(place / _CERTIFICATES for place in places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How registries are reached.

    Args:
        insecure: Hosts (``reg:5000``) and networks (``10.0.0.0/8``) whose certificates are not looked at, and that may
            speak plain HTTP. This machine itself always may.
        mirrors: Where images of Docker Hub are looked for first, as ``https://mirror.example``.
        certificates: Directories of further certificates, one directory in them for each registry. The last of them is
            named where one is missing.
    """

    insecure: Names = ()
    mirrors: Names = ()
    certificates: tuple[Path, ...] = field(default_factory=usual_certificates)

    def __post_init__(self) -> None:
        for entry in self.insecure:
            _check_insecure(entry)
        for entry in self.mirrors:
            _check_mirror(entry)

    @property
    def insecure_hosts(self) -> Names:
        """The hosts among the insecure."""
        return tuple(entry for entry in self.insecure if "/" not in entry)

    @property
    def insecure_networks(self) -> Names:
        """The networks among the insecure, this machine's own first."""
        return (*LOOPBACK, *(entry for entry in self.insecure if "/" in entry))


class _File(msgspec.Struct, rename="kebab", forbid_unknown_fields=True):
    insecure_registries: list[str] = []
    registry_mirrors: list[str] = []
    registry_certificates: list[str] = []


def load(file: Path | None, insecure: list[str], mirrors: list[str], certificates: list[Path]) -> Settings:
    """Return the settings that a file and the command line together make.

    Args:
        file: As JSON; None for the usual one, which need not be there.
        insecure: More insecure registries.
        mirrors: More mirrors; those of the command line are tried first.
        certificates: Where certificates are looked for, in place of what the file says, or of the usual directories.

    Raises:
        errors.InvalidArgument: The file, or an entry, makes no sense.
    """
    try:
        found = msgspec.json.decode((file or SETTINGS_FILE).read_bytes(), type=_File)
    except FileNotFoundError:
        if file is not None:
            raise errors.InvalidArgument(f"the settings file '{file}' does not exist") from None
        found = _File()
    except (OSError, msgspec.DecodeError) as error:
        raise errors.InvalidArgument(f"the settings file '{file or SETTINGS_FILE}' cannot be read: {error}") from error
    directories = certificates or [Path(one) for one in found.registry_certificates]
    for directory in directories:
        if not directory.is_dir():
            raise errors.InvalidArgument(f"the directory of registries' certificates '{directory}' does not exist")
    return Settings(
        insecure=tuple(dict.fromkeys([*insecure, *found.insecure_registries])),
        mirrors=tuple(dict.fromkeys(entry.rstrip("/") for entry in [*mirrors, *found.registry_mirrors])),
        certificates=tuple(directories) or usual_certificates(),
    )


def _check_insecure(entry: str) -> None:
    if "/" in entry and "://" not in entry:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise errors.InvalidArgument(f"invalid insecure registry '{entry}': {error}") from error
    elif not _HOST.fullmatch(entry):
        raise errors.InvalidArgument(
            f"invalid insecure registry '{entry}': HOST, HOST:PORT or a network such as 10.0.0.0/8 is wanted"
        )


def _check_mirror(entry: str) -> None:
    """Refuse a mirror that no URL can be made of.

    Raises:
        errors.InvalidArgument: It has a path, a query, credentials or another scheme.
    """
    parts = urlsplit(entry)
    extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not parts.netloc or extra:
        raise errors.InvalidArgument(
            f"invalid mirror '{entry}': http://HOST or https://HOST, without a path, is wanted"
        )

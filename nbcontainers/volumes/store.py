"""The volumes of one engine, kept on its own file system (Docker's driver ``local``, without options)."""

import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nbcontainers import errors

_VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume: its name, its directory on the host, its labels, when it was made (nanoseconds since the epoch)."""

    name: str
    mountpoint: Path
    labels: dict[str, str]
    driver_opts: dict[str, str]
    created_ns: int


class _Record(msgspec.Struct):
    labels: dict[str, str]
    created_ns: int


class Volumes:
    """All volumes of one engine.

    Args:
        root: Their directory; made when missing, and cleared of what a crash left half made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        for entry in os.scandir(root):
            if entry.name.startswith("."):
                shutil.rmtree(entry.path, ignore_errors=True)

    def create(self, name: str | None, labels: dict[str, str], driver_opts: dict[str, str]) -> Volume:
        """Make a volume, or return the one that has the name already.

        Args:
            name: Its name; None for an anonymous one.
            labels: Its labels.
            driver_opts: Options of the driver; none is supported.

        Raises:
            errors.InvalidArgument: The name has other characters than Docker allows.
            errors.Unsupported: There are options.
        """
        if driver_opts:
            raise errors.Unsupported(
                f"options of the volume driver local are not supported: '{next(iter(driver_opts))}'"
            )
        name = name or secrets.token_hex(32)
        if not _VALID.fullmatch(name):
            raise errors.InvalidArgument(
                f"'{name}' includes invalid characters for a local volume name, "
                f"only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed; a host directory needs an absolute path"
            )
        if not (self._root / name).exists():
            making = self._root / f".{secrets.token_hex(8)}"
            (making / "_data").mkdir(parents=True, mode=0o755)
            record = _Record(labels=labels, created_ns=time.time_ns())
            (making / "volume.json").write_bytes(msgspec.json.encode(record))
            making.rename(self._root / name)
        return self.get(name)

    def get(self, name: str) -> Volume:
        """Return a volume by its name.

        Raises:
            errors.NoSuchVolume: There is none.
        """
        directory = self._root / name
        try:
            if not _VALID.fullmatch(name):
                raise errors.NoSuchVolume(name)
            record = msgspec.json.decode((directory / "volume.json").read_bytes(), type=_Record)
        except (FileNotFoundError, NotADirectoryError):
            raise errors.NoSuchVolume(name) from None
        return Volume(
            name=name,
            mountpoint=directory / "_data",
            labels=record.labels,
            driver_opts={},
            created_ns=record.created_ns,
        )

    def list(self) -> list[Volume]:
        """Return all volumes, by name."""
        names = sorted(entry.name for entry in os.scandir(self._root) if not entry.name.startswith("."))
        return [self.get(name) for name in names]

    def remove(self, name: str) -> None:
        """Remove a volume and its files.

        Raises:
            errors.NoSuchVolume: There is none.
        """
        volume = self.get(name)
        going = self._root / f".{secrets.token_hex(8)}"
        volume.mountpoint.parent.rename(going)
        shutil.rmtree(going, ignore_errors=True)

    def copy_up(self, name: str, source_fd: int) -> None:
        """Fill an empty volume with what an image has in a directory: files, owners, modes, times, attributes.

        Args:
            name: The volume.
            source_fd: The directory.

        Raises:
            OSError: The disk is full, for example.
        """
        target = self.get(name).mountpoint
        source = f"/proc/self/fd/{source_fd}"
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=_copy)
        _copy_owners(source, target)


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target, follow_symlinks=False)


def _copy_owners(source: str, target: Path) -> None:
    """Set every owner below ``target`` to what it is below ``source``, and the modes that changing it clears."""
    for path, directories, names in os.walk(source):
        relative = os.path.relpath(path, source)
        for name in [".", *directories, *names]:
            of_source = os.lstat(os.path.join(path, name))
            copy = os.path.join(target, relative, name)
            os.chown(copy, of_source.st_uid, of_source.st_gid, follow_symlinks=False)
            if not os.path.islink(copy):
                os.chmod(copy, of_source.st_mode & 0o7777)

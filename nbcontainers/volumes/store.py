"""The volumes of one engine, kept on its own file system (Docker's driver ``local``)."""

import contextlib
import errno
import os
import secrets
import threading
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nbcontainers import errors
from nbcontainers.linux import files
from nbcontainers.volumes import mounting, options, quotas


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume.

    Args:
        name: Its name.
        mountpoint: Its directory on the host.
        labels: Its labels.
        driver_opts: The options of the driver that it was made with.
        created_ns: When it was made, nanoseconds since the epoch.
    """

    name: str
    mountpoint: Path
    labels: dict[str, str]
    driver_opts: dict[str, str]
    created_ns: int

    @property
    def has_own_file_system(self) -> bool:
        """Whether its files are on a file system of its own, mounted as long as a running container has it."""
        return mounting.is_wanted(self.driver_opts)

    @property
    def is_in_memory(self) -> bool:
        """Whether its files end with the last container that has it and runs."""
        return self.driver_opts.get("type") in mounting.IN_MEMORY

    @property
    def size_bytes(self) -> int:
        """How much it may have, 0 for no limit of its own."""
        return options.size_bytes(self.driver_opts)


@dataclass(frozen=True, slots=True)
class Draft:
    """Files that are to become a volume's: their directory, open, and where it is."""

    fd: int
    path: Path


class _Record(msgspec.Struct):
    labels: dict[str, str]
    created_ns: int
    driver_opts: dict[str, str] = {}


class Volumes:
    """All volumes of one engine; its methods may be called from any thread.

    Args:
        root: Their directory; made when missing, and cleared of what a crash left half made.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._filling = threading.Lock()
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        for entry in os.scandir(root):
            if entry.name.startswith("."):
                with contextlib.suppress(OSError):
                    files.remove_tree(entry.path)

    def create(self, name: str | None, labels: dict[str, str], driver_opts: dict[str, str]) -> Volume:
        """Make a volume, or return the one that has the name already.

        Args:
            name: Its name; None for an anonymous one.
            labels: Its labels.
            driver_opts: Options of the driver; see ``options``.

        Raises:
            errors.InvalidArgument: The name has other characters than Docker allows, or the options make no sense.
        """
        name = name or secrets.token_hex(32)
        options.check_name(name)
        options.check(name, driver_opts)
        if options.size_bytes(driver_opts) and not quotas.are_enforced(self._root):
            raise errors.InvalidArgument(f"create {name}: quota size requested but no quota support")
        while True:
            with contextlib.suppress(errors.NoSuchVolume):
                return self.get(name)
            self._make(name, _Record(labels, time.time_ns(), driver_opts))

    def _make(self, name: str, record: _Record) -> None:
        """Make a volume whole; when somebody else makes it at the same moment, theirs is it."""
        with self._staging() as making:
            (making / "_data").mkdir(mode=0o755)
            (making / "_data").chmod(0o755)  # whatever the umask
            if size := options.size_bytes(record.driver_opts):
                quotas.limit(making / "_data", size)
            files.replace(str(making / "volume.json"), msgspec.json.encode(record))
            try:
                making.rename(self._root / name)
            except OSError as error:
                with quotas.released(making / "_data"):
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        """Yield a directory that no volume has; what is left of it is removed."""
        directory = self._root / f".{secrets.token_hex(8)}"
        directory.mkdir(mode=0o711)
        try:
            yield directory
        finally:
            with contextlib.suppress(OSError):  # the next engine tries again
                files.remove_tree(str(directory))

    def get(self, name: str) -> Volume:
        """Return a volume by its name.

        Raises:
            errors.NoSuchVolume: There is none.
        """
        directory = self._root / name
        try:
            if not options.NAME.fullmatch(name):
                raise errors.NoSuchVolume(name)
            record = msgspec.json.decode((directory / "volume.json").read_bytes(), type=_Record)
        except (FileNotFoundError, NotADirectoryError):
            raise errors.NoSuchVolume(name) from None
        except msgspec.DecodeError as error:
            raise errors.Unavailable(
                f"the volume '{name}'", f"'{directory / 'volume.json'}' is damaged: {error}", "restore it"
            ) from error
        return Volume(
            name=name,
            mountpoint=directory / "_data",
            labels=record.labels,
            driver_opts=record.driver_opts,
            created_ns=record.created_ns,
        )

    def list(self) -> list[Volume]:
        """Return all volumes, by name."""
        found = []
        for name in sorted(entry.name for entry in os.scandir(self._root) if not entry.name.startswith(".")):
            with contextlib.suppress(errors.NoSuchVolume):  # removed since
                found.append(self.get(name))
        return found

    def remove(self, name: str) -> None:
        """Remove a volume and its files; those of a file system of its own stay what they are.

        Raises:
            errors.NoSuchVolume: There is none.
        """
        volume = self.get(name)
        mounting.unmount(volume.mountpoint)
        released = quotas.released(volume.mountpoint) if volume.size_bytes else contextlib.nullcontext()
        with released, self._staging() as going:
            try:
                volume.mountpoint.parent.rename(going / "removed")
            except FileNotFoundError:
                raise errors.NoSuchVolume(name) from None

    def mount(self, name: str) -> None:
        """Mount a volume's own file system where its files are looked for, unless it is there already.

        Raises:
            errors.NoSuchVolume: There is no such volume.
            errors.Internal: It cannot be mounted.
        """
        volume = self.get(name)
        if not mounting.is_mounted(volume.mountpoint):
            mounting.mount(volume.driver_opts, volume.mountpoint)

    def is_mounted(self, name: str) -> bool:
        """Say whether a volume's own file system is there now.

        Raises:
            errors.NoSuchVolume: There is no such volume.
        """
        return mounting.is_mounted(self.get(name).mountpoint)

    def unmount(self, name: str) -> None:
        """Take a volume's own file system away, if it is there; whoever has it open keeps it.

        Raises:
            errors.NoSuchVolume: There is no such volume.
        """
        mounting.unmount(self.get(name).mountpoint)

    def unmount_others(self, used: Container[str]) -> None:
        """Take away the file systems that an engine which was killed has left mounted.

        Args:
            used: The names of volumes that containers have still.
        """
        for volume in self.list():
            if volume.has_own_file_system and volume.name not in used:
                with contextlib.suppress(OSError):  # removing the volume says why
                    mounting.unmount(volume.mountpoint)

    def opened(self, name: str) -> int:
        """Return a descriptor of a volume's own file system; for a thread that ends afterwards.

        Raises:
            errors.NoSuchVolume: There is no such volume.
            errors.Internal: It cannot be mounted.
        """
        volume = self.get(name)
        return mounting.opened(volume.driver_opts, volume.mountpoint)

    @contextlib.contextmanager
    def drafted(self) -> Iterator["Draft"]:
        """Yield a directory beside the volumes that may become the files of one; else it is removed."""
        with self._staging() as directory:
            (directory / "_data").mkdir(mode=0o755)
            (directory / "_data").chmod(0o755)
            with files.opened_directory(directory / "_data") as fd:
                yield Draft(fd, directory / "_data")

    def take_over(self, name: str, draft: "Draft") -> None:
        """Let a draft be a volume's files from now on, in one step; what the volume had goes with the draft.

        Raises:
            errors.NoSuchVolume: There is no such volume.
        """
        try:
            files.exchange(str(draft.path), str(self.get(name).mountpoint))
        except FileNotFoundError:
            raise errors.NoSuchVolume(name) from None

    def copy_up(self, name: str, source_fd: int) -> None:
        """Fill a volume with what an image has in a directory, unless the volume has something already.

        The copy is made beside the volume and then moved in, name by name: a container that has the volume already
        keeps it, and an engine that is killed, or finds the disk full, leaves no half a copy that would pass for
        the volume's content ever after.

        Args:
            name: The volume.
            source_fd: The directory.

        Raises:
            errors.NoSuchVolume: There is none.
            OSError: The disk is full, for example; the volume is as it was.
        """
        with self._filling, self._staging() as copy:
            volume = self.get(name)
            target = volume.mountpoint
            if os.listdir(target):
                return
            with files.opened_directory(copy) as copy_fd, files.opened_directory(target) as target_fd:
                if volume.size_bytes:
                    quotas.share(target_fd, copy_fd)
                files.copy_tree(source_fd, copy_fd)
                for entry in os.listdir(copy_fd):
                    os.rename(entry, entry, src_dir_fd=copy_fd, dst_dir_fd=target_fd)
                files.copy_attributes(source_fd, target_fd)

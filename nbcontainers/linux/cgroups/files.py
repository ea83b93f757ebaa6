"""The kernel's small files: what it tells in them, what can be written, and what its refusals mean."""

from __future__ import annotations

import errno
import os

from nbcontainers.errors import Error, InvalidArgument, SyscallError, Unavailable

UNLIMITED = 0
"""How a limit that is not set shows in ``Usage``."""
_ABSENT = -1
_CHUNK_BYTES = 1 << 16
_RIGHT = {
    "memory": "a number of bytes, or -1 for no limit",
    "cpu.cfs": "a quota of at least 1000 microseconds, or -1 for none, in a period from 1000 to 1000000",
    "cpu.max": "a quota of at least 1000 microseconds, or -1 for none, in a period from 1000 to 1000000",
    "cpu.shares": "a number from 2 to 262144",
    "cpu.weight": "a number from 1 to 10000",
    "cpuset": "a list such as 0-2,7",
    "pids": "a number up to 4194304, or -1 for no limit",
    "io": "a block device, and a rate of at least 1",
    "blkio": "a block device, and a rate of at least 1",
    "devices": "a device such as c 1:3 rwm",
}
"""What would be right, by how the name of the file begins."""


class Files:
    """The files of one directory in a hierarchy, kept open once they were read.

    A file in which the kernel tells something can be read again and again from the start: one ``pread(2)`` instead
    of open, read and close, and it works until the group is gone.
    """

    __slots__ = ("_fds", "directory")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._fds: dict[str, int] = {}

    def read(self, name: str) -> bytes:
        """Return the content of a file that is one record, up to 64 KiB; empty where the kernel has no such file.

        Raises:
            SyscallError: ENOENT or ENODEV, the group is gone.
        """
        fd = self._fds.get(name)
        if fd is None:
            fd = self._fds[name] = self._open(name)
        if fd == _ABSENT:
            return b""
        try:
            return os.pread(fd, _CHUNK_BYTES, 0)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # the file is there, what it tells about is switched off
                return b""
            raise _failure("pread", error, self._path(name)) from None

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def _open(self, name: str) -> int:
        try:
            return os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENOENT and os.path.isdir(self.directory):
                return _ABSENT
            raise _failure("open", error, self._path(name)) from None

    def number(self, name: str) -> int:
        """Return a file's number; 0 where there is none, or where it says ``max``."""
        text = self.read(name).strip()
        return int(text) if text.lstrip(b"-").isdigit() else UNLIMITED

    def table(self, name: str) -> dict[bytes, int]:
        """Return a file of ``key number`` lines; a number that says ``max`` is left out."""
        words = self.read(name).split()
        return {words[i]: int(words[i + 1]) for i in range(0, len(words) - 1, 2) if words[i + 1] != b"max"}

    def write(self, name: str, value: str) -> None:
        """Write a value into a file.

        Raises:
            InvalidArgument: The kernel finds that the value makes no sense.
            Unavailable: The kernel has no such file.
            SyscallError: It refuses for another reason: EBUSY, EACCES, ENODEV when the group is gone.
        """
        try:
            fd = os.open(self._path(name), os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise self._refusal(error, name, value) from None

    def _refusal(self, error: OSError, name: str, value: str) -> Error | SyscallError:
        there = os.path.isdir(self.directory)
        no_device = error.errno in (errno.ENODEV, errno.ENXIO) and name.startswith(("io.", "blkio."))
        if error.errno in (errno.EINVAL, errno.ERANGE) or (there and no_device):
            right = next((text for start, text in _RIGHT.items() if name.startswith(start)), "")
            return InvalidArgument(f"invalid value '{value}' for {name}: {right or os.strerror(error.errno or 0)}")
        if error.errno == errno.ENOENT and there and not os.path.exists(self._path(name)):
            return Unavailable(f"the limit {name}", "this kernel was built or started without it", "leave it out")
        return _failure("write", error, self._path(name))

    def close(self) -> None:
        """Close what was opened."""
        for fd in self._fds.values():
            if fd != _ABSENT:
                os.close(fd)
        self._fds.clear()


def _failure(syscall: str, error: OSError, path: str) -> SyscallError:
    number = error.errno or 0
    return SyscallError(number, os.strerror(number), syscall, path)


def read_whole(path: str) -> bytes:
    """Return all of a file that is a list, such as ``cgroup.procs``; empty where it, or its group, is not there.

    The kernel gives out such a file page by page, and version 1 keeps the list it has made for as long as somebody
    goes on reading: so it is opened anew, and read to its end.

    Source: kernel/cgroup/cgroup-v1.c, cgroup_pidlist_start().
    """
    content = b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        while chunk := os.read(fd, _CHUNK_BYTES):
            content += chunk
    except OSError as error:
        # ENODEV: the group went meanwhile; EOPNOTSUPP: a threaded group of version 2, listed in the one above it.
        if error.errno not in (errno.ENODEV, errno.EOPNOTSUPP):
            raise _failure("read", error, path) from None
    finally:
        os.close(fd)
    return content


def subdirectories(directory: str) -> set[str]:
    """Return the names of the groups in a group's directory; none where it is gone.

    Source: cgroups(7).
    """
    try:
        return {entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)}
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return set()
        raise _failure("scandir", error, directory) from None


def read_text(path: str) -> str:
    """Return what a file of one line says.

    Raises:
        OSError: ENOENT, it or its group is not there.

    Source: cgroups(7).
    """
    with open(path) as file:
        return file.read().strip()

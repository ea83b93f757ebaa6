"""File systems of volumes' own: what the options of the driver ``local`` ask for, mounted on the volume's directory.

``type``, ``device`` and ``o`` are given to mount(2) as Docker gives them, and at the same place, ``_data``: in the
engine's mount table, where whoever starts containers finds it under the same path as any other volume. It is there only
as long as a container that runs has it. Who but looks at a volume's files mounts them in a mount namespace of its own
(``opened``): that is seen by nobody, and goes with its thread.

Whether something is mounted is asked of the kernel, never remembered: so it does not matter who was killed when.

Source: mount(8) § FILESYSTEM-INDEPENDENT MOUNT OPTIONS; Docker documentation, "docker volume create" § Driver-specific
options.
"""

import errno
import ipaddress
import os
import re
import socket
from pathlib import Path

from nbcontainers import errors
from nbcontainers.linux import mounts
from nbcontainers.linux.libc import AT_RECURSIVE

_SET = {
    **mounts.OPTIONS,
    "remount": mounts.MS_REMOUNT,
    "bind": mounts.MS_BIND,
    "rbind": mounts.MS_BIND | mounts.MS_REC,
    "unbindable": mounts.MS_UNBINDABLE,
    "private": mounts.MS_PRIVATE,
    "slave": mounts.MS_SLAVE,
    "shared": mounts.MS_SHARED,
    "runbindable": mounts.MS_UNBINDABLE | mounts.MS_REC,
    "rprivate": mounts.MS_PRIVATE | mounts.MS_REC,
    "rslave": mounts.MS_SLAVE | mounts.MS_REC,
    "rshared": mounts.MS_SHARED | mounts.MS_REC,
}
_CLEARED = {
    "rw": mounts.MS_RDONLY,
    "suid": mounts.MS_NOSUID,
    "dev": mounts.MS_NODEV,
    "exec": mounts.MS_NOEXEC,
    "async": mounts.MS_SYNCHRONOUS,
    "nomand": mounts.MS_MANDLOCK,
    "atime": mounts.MS_NOATIME,
    "diratime": mounts.MS_NODIRATIME,
    "norelatime": mounts.MS_RELATIME,
    "nostrictatime": mounts.MS_STRICTATIME,
}
_PROPAGATION = mounts.MS_UNBINDABLE | mounts.MS_PRIVATE | mounts.MS_SLAVE | mounts.MS_SHARED
_KEPT = mounts.MS_RDONLY | mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
"""What a copy has of the mount it was made of, and keeps; in statvfs(3) these have the same numbers."""
_REMOTE = ("nfs", "cifs")
IN_MEMORY = ("tmpfs", "ramfs")
_ADDRESS = re.compile(r"(?<![^,])addr=([^,]*)")
_PASSWORD = re.compile(r"(?<![^,])(pass(?:word)?2?)=[^,]*")


def parse(options: str) -> tuple[int, str]:
    """Return what ``o`` says as ``MS_…`` flags, and the rest of it, which is for the file system.

    Source: mount(2); mount(8).
    """
    flags, data = 0, []
    for word in filter(None, options.split(",")):
        if word in _SET:
            flags |= _SET[word]
        elif word in _CLEARED:
            flags &= ~_CLEARED[word]
        elif word != "defaults":
            data.append(word)
    return flags, ",".join(data)


def is_wanted(driver_opts: dict[str, str]) -> bool:
    """Say whether a volume has a file system of its own."""
    return bool(driver_opts.get("type") or driver_opts.get("device"))


def is_mounted(directory: Path) -> bool:
    """Say whether something is mounted on the last directory of a path; on one that is not there nothing is.

    Source: openat2(2) § RESOLVE_NO_XDEV.
    """
    try:
        parent_fd = os.open(directory.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.close(mounts.openat2(parent_fd, directory.name, os.O_PATH, resolve=mounts.RESOLVE_NO_XDEV))
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.ENOENT):
            raise
        return error.errno == errno.EXDEV
    finally:
        os.close(parent_fd)
    return False


def mount(driver_opts: dict[str, str], directory: Path) -> None:
    """Mount what the options ask for on a directory, in the caller's mount namespace.

    Raises:
        errors.Internal: It cannot be mounted: with Docker's words, and the kernel's reason.

    Source: mount(2) § Creating a bind mount, Changing the propagation type.
    """
    kind, device = driver_opts.get("type", ""), driver_opts.get("device", "")
    if not device:
        raise errors.Internal("failed to mount local volume: missing device in volume options")
    options = driver_opts.get("o", "")
    flags, data = parse(_resolved(options) if kind in _REMOTE else options)
    propagation = flags & (_PROPAGATION | (mounts.MS_REC if flags & _PROPAGATION else 0))
    flags &= ~_PROPAGATION
    try:
        mounts.mount(device, str(directory), kind, flags, data or None)
    except OSError as error:
        raise errors.Internal(_explained(error, kind, f"{device}:{directory}", flags, data)) from error
    try:
        if flags & mounts.MS_BIND:
            _finish_bind(str(directory), flags)
        if propagation:
            mounts.mount(None, str(directory), None, propagation)
    except OSError as error:
        unmount(directory)
        raise errors.Internal(_explained(error, kind, f"{device}:{directory}", flags, data)) from error


def _finish_bind(directory: str, flags: int) -> None:
    """Do what a bind mount does not do by itself: be read-only, and leave alone what it was made of.

    A copy of shared mounts is their peer: what is unmounted in it one day would be unmounted there as well.
    """
    mounts.mount(None, directory, None, mounts.MS_SLAVE | mounts.MS_REC)
    attributes = flags & ~(mounts.MS_BIND | mounts.MS_REC)
    if attributes:
        attributes |= os.statvfs(directory).f_flag & _KEPT
        mounts.mount(None, directory, None, attributes | mounts.MS_BIND | mounts.MS_REMOUNT)


def unmount(directory: Path) -> None:
    """Take away what is mounted on a directory; who has it open, or mounted elsewhere, keeps it.

    Raises:
        SyscallError: EINVAL, it came with the mount namespace, and must not be taken out of it.
    """
    while is_mounted(directory):
        try:
            mounts.umount2(str(directory), mounts.MNT_DETACH)
        except OSError:
            if is_mounted(directory):  # else somebody was quicker
                raise


def opened(driver_opts: dict[str, str], directory: Path) -> int:
    """Return a descriptor of a volume's files, as a detached mount; for a thread that ends afterwards.

    What is mounted already is that; else it is mounted where nobody sees it.

    Raises:
        errors.Internal: It cannot be mounted.

    Source: unshare(2); open_tree(2).
    """
    mounts.unshare_mounts()
    if not is_mounted(directory):
        mount(driver_opts, directory)
    return mounts.open_tree(str(directory), mounts.OPEN_TREE_CLONE | AT_RECURSIVE)


def _resolved(options: str) -> str:
    """Return the options of a remote file system with an address for ``addr=NAME``: the kernel knows no names.

    Raises:
        errors.Internal: The name has no address.
    """
    found = _ADDRESS.search(options)
    if found is None or not found[1]:
        return options
    try:
        ipaddress.ip_address(found[1])
        return options
    except ValueError:
        pass
    try:
        address = socket.getaddrinfo(found[1], None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        raise errors.Internal(
            f"error resolving passed in network volume address: lookup {found[1]}: {error.strerror}"
        ) from error
    return f"{options[: found.start(1)]}{address}{options[found.end(1) :]}"


def _explained(error: OSError, kind: str, what: str, flags: int, data: str) -> str:
    """Say in Docker's words why something cannot be mounted."""
    details = [f", flags: {flags:#x}"] if flags else []
    details += [", data: " + _PASSWORD.sub(r"\1=********", data)] if data else []
    hint = f" (this kernel has no file system '{kind}')" if error.errno == errno.ENODEV else ""
    reason = os.strerror(error.errno or 0).lower()
    return f"failed to mount local volume: mount {what}{''.join(details)}: {reason}{hint}"

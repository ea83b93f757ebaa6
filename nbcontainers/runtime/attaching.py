"""Mounting what a container is to see, by its init, alone in its mount namespace.

What is the host's comes as descriptors of detached mounts, which are attached; the kernel's own file systems are
mounted here. Destinations are resolved with ``openat2(RESOLVE_IN_ROOT)``: a link in an image cannot make us mount over
something outside of it.

Source: OCI runtime-spec, config.md § Mounts; move_mount(2), openat2(2).
"""

from __future__ import annotations

import errno
import os
import stat

from nbcontainers.errors import InvalidArgument, SyscallError
from nbcontainers.linux import mounts
from nbcontainers.linux.libc import AT_EMPTY_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import Mount


def attach(root_fd: int, mount: Mount, source_fd: int | None = None) -> None:
    """Mount one thing that the specification asks for.

    Args:
        root_fd: The root file system, attached.
        mount: What and where.
        source_fd: The detached source, for a bind mount; it is closed.

    Raises:
        SyscallError: The mount failed.
        InvalidArgument: An option or type is unknown, or a directory was to be over a file, or a file over a directory.

    Source: OCI runtime-spec, config.md § Mounts.
    """
    if source_fd is not None:
        if "subpath" in mount:
            source_fd = _below(root_fd, source_fd, mount["subpath"], mount["destination"])
        _attach_bind(root_fd, mount, source_fd)
    else:
        _mount_kernel(root_fd, mount)


def refuse_link(destination: str) -> None:
    """Refuse an image in which /proc, /sys or /dev is a link, below the working directory.

    The mount would follow the link, while the paths to mask and to make read-only would not be found behind it: the
    container could write to ``/proc/sys/kernel/core_pattern``, and so run programs on the host.

    Raises:
        InvalidArgument: It is a link.
    """
    try:
        status = os.lstat(destination.lstrip("/"))
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise InvalidArgument(f"'{destination}' is a link in the image: it must be a directory")


def _below(root_fd: int, source_fd: int, path: str, destination: str) -> int:
    """Return a part of a detached mount, detached as well; the whole is closed.

    Only what is attached in one's own namespace can be taken apart: so it is, over the root, for a moment.

    Raises:
        InvalidArgument: There is no such part.

    Source: open_tree(2) § EINVAL.
    """
    try:
        mounts.move_mount(source_fd, "", dir_fd=root_fd)
        try:
            try:
                part_fd = mounts.openat2(source_fd, path, os.O_PATH)
            except OSError as error:
                reason = os.strerror(error.errno or 0).lower()
                raise InvalidArgument(f"cannot mount the subpath '{path}' at '{destination}': {reason}") from error
            try:
                return mounts.open_tree("", mounts.OPEN_TREE_CLONE | AT_EMPTY_PATH, dir_fd=part_fd)
            finally:
                os.close(part_fd)
        finally:
            mounts.umount2(f"/proc/self/fd/{source_fd}", mounts.MNT_DETACH)
    finally:
        os.close(source_fd)


def _attach_bind(root_fd: int, mount: Mount, source_fd: int) -> None:
    is_directory = stat.S_ISDIR(os.fstat(source_fd).st_mode)
    target_fd = open_target(root_fd, mount["destination"], directory=is_directory)
    try:
        if stat.S_ISDIR(os.fstat(target_fd).st_mode) != is_directory:
            raise InvalidArgument(
                f'error mounting "{mount["source"]}" to rootfs at "{mount["destination"]}": not a directory: Are you '
                f"trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and "
                f"is the expected type"
            ) from NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        mounts.move_mount(source_fd, "", dir_fd=target_fd)
    finally:
        os.close(target_fd)
        os.close(source_fd)


def _mount_kernel(root_fd: int, mount: Mount) -> None:
    """Mount one of the kernel's own file systems, or a tmpfs."""
    kind, flags, data = mount["type"], 0, []
    for option in mount["options"]:
        if option in mounts.OPTIONS:
            flags |= mounts.OPTIONS[option]
        elif option in ("rw", "suid", "dev", "exec"):
            continue
        else:
            data.append(option)
    if kind == "tmpfs" and not any(option.startswith("mode=") for option in data):
        data.append(f"mode={_mode_below(root_fd, mount['destination']):o}")
    target_fd = open_target(root_fd, mount["destination"], directory=True)
    target = f"/proc/self/fd/{target_fd}"
    try:
        if kind == "cgroup":
            _mount_cgroup(target, flags)
        elif kind in ("proc", "sysfs", "tmpfs", "devpts", "mqueue"):
            _mount_at(mount, target, flags, ",".join(data))
        else:
            raise InvalidArgument(f"unknown mount type '{kind}' for '{mount['destination']}'")
    finally:
        os.close(target_fd)


def _mount_at(mount: Mount, target: str, flags: int, data: str) -> None:
    try:
        mounts.mount(mount["source"], target, mount["type"], flags, data or None)
    except SyscallError as error:
        hint = f"options: {data}" if data else ""
        message = os.strerror(error.errno or 0)
        raise SyscallError(error.errno or 0, message, "mount", mount["destination"], hint) from error


def _mode_below(root_fd: int, path: str) -> int:
    """Return the mode that a tmpfs takes over from the directory it covers; one that is made for it is everybody's.

    Source: runc, libcontainer/rootfs_linux.go § tmpfs.
    """
    try:
        fd = mounts.openat2(root_fd, path, os.O_PATH)
    except OSError:
        fd = open_target(root_fd, path, directory=True)
        os.chmod(f"/proc/self/fd/{fd}", 0o1777)
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _mount_cgroup(target: str, flags: int) -> None:
    """Show the container its own groups: those of version 2, where the kernel has no controllers in version 1."""
    try:
        mounts.mount("cgroup", target, "cgroup2", flags)
    except OSError:
        mounts.mount("tmpfs", target, "tmpfs", flags, "mode=755")


def open_target(root_fd: int, path: str, *, directory: bool) -> int:
    """Return a descriptor of a mount's destination inside the container, made when it is missing.

    Raises:
        SyscallError: ELOOP, ENOTDIR, EROFS as the file system has it.

    Source: openat2(2) § RESOLVE_IN_ROOT.
    """
    try:
        return mounts.openat2(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != 2:
            raise
    parent, _, name = path.strip("/").rpartition("/")
    parent_fd = open_target(root_fd, parent or ".", directory=True)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent_fd))
    except FileExistsError:
        # A dangling link: make what it points at, inside the root.
        target = os.readlink(name, dir_fd=parent_fd)
        os.close(parent_fd)
        return open_target(root_fd, os.path.join("/", parent, target), directory=directory)
    try:
        return mounts.openat2(parent_fd, name, os.O_PATH)
    finally:
        os.close(parent_fd)

"""The root file system of a container: from plain data to a tree of mounts.

It comes about in two places. The shim opens what belongs to the host — the overlay, the sources of bind mounts — as
detached mounts, which are in no mount table and leave no trace (``open_rootfs``, ``open_bind``). The container's
init, alone in its mount namespace, attaches them and mounts the rest (``attach``).

Destinations inside the container are resolved with ``openat2(RESOLVE_IN_ROOT)``: a link in an image cannot make us
mount over something outside of it.
"""

from __future__ import annotations

import errno
import os
import stat

from nbcontainers.errors import InvalidArgument, SyscallError
from nbcontainers.linux import mounts, namespaces, overlay
from nbcontainers.linux.libc import AT_EMPTY_PATH, AT_RECURSIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxDevice, Mount, Rootfs

OPENED_BY_SHIM = ("bind", "shared")
"""The types of mounts that come to the container's init as descriptors, in the order of the specification."""
HOST_HIDDEN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/run", "/var/tmp")

_ATTRIBUTES = {
    "ro": mounts.MOUNT_ATTR_RDONLY,
    "nosuid": mounts.MOUNT_ATTR_NOSUID,
    "nodev": mounts.MOUNT_ATTR_NODEV,
    "noexec": mounts.MOUNT_ATTR_NOEXEC,
}
_BIND_OPTIONS = ("bind", "rbind", "rw", "suid", "dev", "exec")
_PROPAGATIONS = {"private": mounts.MS_PRIVATE, "slave": mounts.MS_SLAVE, "shared": 0}
"""A copy of a shared mount is its peer from the start, so that ``shared`` has nothing to change."""
_DEVICE_LINKS = (
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("/proc/kcore", "dev/core"),
    ("pts/ptmx", "dev/ptmx"),
)


def open_rootfs(rootfs: Rootfs) -> int:
    """Return a descriptor of a root file system, as a detached overlay mount.

    Raises:
        SyscallError: The kernel refuses the overlay.

    Source: Documentation/filesystems/overlayfs.rst.
    """
    lower, upper, work = list(rootfs["lower"]), rootfs["upper"], rootfs["work"]
    if work is not None:
        overlay.clear_volatile(work)
    if rootfs["host"] is None:
        return overlay.open_overlay(lower, upper, work, volatile=rootfs["volatile"])
    host_fd = open_host(rootfs["host"])
    try:
        return overlay.open_overlay([*lower, f"/proc/self/fd/{host_fd}"], upper, work, volatile=rootfs["volatile"])
    finally:
        os.close(host_fd)


def open_host(hidden: list[str]) -> int:
    """Return a descriptor of a read-only view of this machine's file system, without what is not to be seen.

    A mask of empty, opaque directories lies over ``/``. The mask is a tmpfs: were it on the same file system, the
    kernel would find one layer inside the other and refuse (ELOOP). Other file systems mounted below ``/`` are not
    in the view, for a layer is one mount.

    Args:
        hidden: Absolute paths to hide, besides ``HOST_HIDDEN``.

    Raises:
        SyscallError: The kernel refuses the overlay.

    Source: Documentation/filesystems/overlayfs.rst § Sharing and copying layers.
    """
    fs_fd = mounts.fsopen("tmpfs")
    try:
        mounts.fsconfig_string(fs_fd, "mode", "755")
        mounts.fsconfig_create(fs_fd)
        mask_fd = mounts.fsmount(fs_fd)
    finally:
        os.close(fs_fd)
    try:
        covered = tuple(f"{path}/" for path in HOST_HIDDEN)
        for path in (*HOST_HIDDEN, *(path for path in hidden if not path.startswith(covered))):
            _mask(mask_fd, path)
        return overlay.open_overlay([f"/proc/self/fd/{mask_fd}", "/"])
    finally:
        os.close(mask_fd)


def _mask(mask_fd: int, path: str) -> None:
    """Make an opaque directory at ``path`` in the mask, with the owners and modes that the host has on the way."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        name = "/".join(parts[:depth])
        try:
            status = os.lstat(f"/{name}")
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            return
        try:
            os.mkdir(name, dir_fd=mask_fd)
        except FileExistsError:
            continue
        os.chown(name, status.st_uid, status.st_gid, dir_fd=mask_fd)
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=mask_fd)
    overlay.set_opaque(f"/proc/self/fd/{mask_fd}/{'/'.join(parts)}")


def open_bind(mount: Mount) -> int:
    """Return a descriptor of a bind mount's source, detached, with its options set.

    What is mounted on the host later does not show in the container, unless an option says so: ``rslave`` passes
    mounts on to the container, ``rshared`` in both directions.

    Raises:
        SyscallError: ENOENT when there is no such source.
        InvalidArgument: An option is unknown.

    Source: open_tree(2), mount_setattr(2), mount_namespaces(7) § Shared subtrees.
    """
    top = everywhere = 0
    propagation = "rprivate"
    for option in mount["options"]:
        if option.removeprefix("r") in _PROPAGATIONS:
            propagation = option
        elif option == "rro":
            everywhere = mounts.MOUNT_ATTR_RDONLY
        elif option in _ATTRIBUTES or option in _BIND_OPTIONS:
            top |= _ATTRIBUTES.get(option, 0)
        else:
            raise InvalidArgument(f"unknown option '{option}' of the bind mount at '{mount['destination']}'")
    kind, deep = _PROPAGATIONS[propagation.removeprefix("r")], propagation.startswith("r")
    recursive = AT_RECURSIVE if "rbind" in mount["options"] else 0
    if "rootfs" in mount:
        fd = open_rootfs(mount["rootfs"])
    else:
        fd = mounts.open_tree(mount["source"], mounts.OPEN_TREE_CLONE | recursive)
    try:
        # What is mounted below one that is to be private or a slave alone follows the host, but never leads it.
        below = kind if deep or not kind else mounts.MS_SLAVE
        if everywhere or below:
            mounts.mount_setattr("", set_attributes=everywhere, propagation=below, recursive=True, dir_fd=fd)
        if top or kind != below:
            mounts.mount_setattr("", set_attributes=top, propagation=kind if kind != below else 0, dir_fd=fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_shared(mount: Mount, namespace_fd: int) -> int:
    """Return a descriptor of a mount of another container's, detached: both see the same files from then on.

    A mount can be copied only by who is in its namespace, so the caller is there for a moment.

    Args:
        mount: Its source is a path in that container.
        namespace_fd: The mount namespace of that container.

    Raises:
        SyscallError: ENOENT when nothing is there.

    Source: setns(2) § Mount namespaces, open_tree(2).
    """
    here_fd = namespaces.open_namespace("mnt")
    root_fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        namespaces.setns(namespace_fd, namespaces.CLONE_NEWNS)
        try:
            return mounts.open_tree(mount["source"])
        finally:
            namespaces.setns(here_fd, namespaces.CLONE_NEWNS)
            os.fchdir(root_fd)
            os.chroot(".")  # setns has made the caller's root that of the namespace, which may be another
    finally:
        os.close(here_fd)
        os.close(root_fd)


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
            source_fd = _below(root_fd, source_fd, mount["subpath"])
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


def _below(root_fd: int, source_fd: int, path: str) -> int:
    """Return a part of a detached mount, detached as well; the whole is closed.

    Only what is attached in one's own namespace can be taken apart: so it is, over the root, for a moment.

    Source: open_tree(2) § EINVAL.
    """
    try:
        mounts.move_mount(source_fd, "", dir_fd=root_fd)
        try:
            part_fd = mounts.openat2(source_fd, path, os.O_PATH)
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


def make_devices(devices: list[LinuxDevice]) -> None:
    """Make the default device nodes and the usual links below ``dev`` in the working directory.

    Raises:
        OSError: EPERM without CAP_MKNOD.

    Source: OCI runtime-spec, config-linux.md § Default Devices.
    """
    for device in devices:
        _make_node(device, device["path"].lstrip("/"), None)
    for target, link in _DEVICE_LINKS:
        os.symlink(target, link)


def make_device(root_fd: int, device: LinuxDevice) -> None:
    """Make a device node anywhere in a container; what its image has at that place stays.

    Args:
        root_fd: The root file system, attached.
        device: What and where.

    Raises:
        OSError: EPERM without CAP_MKNOD; see ``open_target`` for the directories on the way.

    Source: OCI runtime-spec, config-linux.md § Devices.
    """
    directory, _, name = device["path"].rpartition("/")
    directory_fd = open_target(root_fd, directory or "/", directory=True)
    try:
        _make_node(device, name, directory_fd)
    except FileExistsError:
        return
    finally:
        os.close(directory_fd)


def _make_node(device: LinuxDevice, path: str, dir_fd: int | None) -> None:
    kind = stat.S_IFCHR if device["type"] == "c" else stat.S_IFBLK
    previous = os.umask(0)
    try:
        os.mknod(path, kind | device["fileMode"], os.makedev(device["major"], device["minor"]), dir_fd=dir_fd)
    finally:
        os.umask(previous)
    if device.get("uid") or device.get("gid"):
        os.chown(path, device.get("uid", 0), device.get("gid", 0), dir_fd=dir_fd, follow_symlinks=False)


def mask_path(path: str) -> None:
    """Hide a file or directory of /proc or /sys below the working directory; one that is not there needs no hiding.

    Raises:
        SyscallError: The mount failed.

    Source: OCI runtime-spec, config-linux.md § Masked Paths.
    """
    target = path.lstrip("/")
    try:
        is_directory = stat.S_ISDIR(os.lstat(target).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    if is_directory:
        mounts.mount("tmpfs", target, "tmpfs", mounts.MS_RDONLY, "size=0k")
    else:
        mounts.mount("dev/null", target, None, mounts.MS_BIND)


def make_readonly(path: str) -> None:
    """Make a path of /proc or /sys below the working directory read-only; one that is not there is no matter.

    Raises:
        SyscallError: The mount failed.

    Source: OCI runtime-spec, config-linux.md § Readonly Paths.
    """
    target = path.lstrip("/")
    try:
        fd = mounts.open_tree(target, mounts.OPEN_TREE_CLONE | AT_RECURSIVE)
    except OSError as error:
        if error.errno == 2:
            return
        raise
    try:
        mounts.mount_setattr("", set_attributes=mounts.MOUNT_ATTR_RDONLY, recursive=True, dir_fd=fd)
        mounts.move_mount(fd, target)
    finally:
        os.close(fd)

"""A tree with everything that a layer can hold, and what can be compared of trees."""

import hashlib
import os
import stat
import struct
from pathlib import Path

from nbcontainers.linux import overlay

Facts = dict[str, tuple[object, ...]]

# vfs_cap_data of version 2: cap_net_bind_service, permitted and effective; capabilities(7) § File capabilities.
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)


def make_lower(root: Path) -> None:
    """Make the files of a first layer."""
    (root / "d/sub").mkdir(parents=True)
    for name in ("d/one", "d/two", "gone", "changed", "d/sub/deep"):
        (root / name).write_text(name)
    (root / "replaced").mkdir()
    (root / "replaced/before").write_text("before")
    (root / ("n" * 120)).mkdir()
    (root / ("n" * 120) / ("m" * 120)).write_text("a long name")
    (root / "näme").write_text("not ASCII")
    (root / "own").write_text("x" * 5000)
    os.chown(root / "own", 70000, 3_000_000)
    os.chmod(root / "own", 0o6755)
    os.setxattr(root / "own", "user.note", b"a \x00\xff note")
    os.setxattr(root / "own", "security.capability", CAPABILITY)
    os.chmod(root / "own", 0o755)
    os.link(root / "own", root / "d/hard")
    os.symlink("../own", root / "d/soft")
    os.symlink("/etc/passwd", root / "absolute")
    os.mkfifo(root / "pipe")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(root / "d", 0o1770)
    with open(root / "sparse", "wb") as file:
        file.truncate(4 << 20)
        file.seek(1 << 20)
        file.write(b"data")
    os.utime(root / "d/one", (1_000_000_000, 1_000_000_000))


def change(upper: Path) -> None:
    """Make the upper directory of a second layer over the first."""
    (upper / "changed").write_text("another")
    overlay.whiteout(str(upper / "gone"))
    (upper / "d").mkdir()
    os.chmod(upper / "d", 0o1770)
    overlay.whiteout(str(upper / "d/two"))
    (upper / "replaced").mkdir()
    overlay.set_opaque(str(upper / "replaced"))
    (upper / "replaced/after").write_text("after")
    os.link(upper / "changed", upper / "d/linked")


def facts(root: Path) -> Facts:
    """Return what is to be the same of every file below a directory; times in whole seconds, as archives have them."""
    found: Facts = {}
    names: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        status = path.lstat()
        content = ""
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        first = names.setdefault(status.st_ino, name)
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            int(status.st_mtime),
            content,
            first if stat.S_ISREG(status.st_mode) else "",
            tuple((key, os.getxattr(path, key, follow_symlinks=False)) for key in _attributes(path)),
        )
    return found


def _attributes(path: Path) -> list[str]:
    names = os.listxattr(path, follow_symlinks=False)
    return sorted(name for name in names if not name.startswith("trusted.overlay."))

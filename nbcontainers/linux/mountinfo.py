"""Which mount a path is on, and how that is tied to others.

Source: proc_pid_mountinfo(5); mount_namespaces(7) § Shared subtrees.
"""

import os
import re
from typing import NamedTuple

_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountInfo(NamedTuple):
    """One mount: where it is, and whether it is in a peer group, or follows one."""

    point: str
    is_shared: bool
    is_slave: bool


def of(path: str) -> MountInfo:
    """Return the mount that a path is on; of several on top of each other the uppermost one.

    Raises:
        OSError: ENOENT when there is no such path.

    Source: proc_pid_mountinfo(5), fields 1, 5 and 7; proc_pid_fdinfo(5), ``mnt_id``.
    """
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/thread-self/fdinfo/{fd}", "rb") as file:
            mount_id = next(line.split()[1] for line in file if line.startswith(b"mnt_id:"))
    finally:
        os.close(fd)
    with open("/proc/thread-self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split(b" ")
            if fields[0] == mount_id:
                tags = fields[6 : fields.index(b"-")]
                return MountInfo(
                    point=os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), fields[4])),
                    is_shared=any(tag.startswith(b"shared:") for tag in tags),
                    is_slave=any(tag.startswith(b"master:") for tag in tags),
                )
    raise FileNotFoundError(2, "it is on a mount of another namespace", path)

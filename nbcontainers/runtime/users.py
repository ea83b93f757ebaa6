"""Users of a container: names and numbers looked up in its own /etc/passwd and /etc/group.

The host's name service plays no part: the same number may have another name, or none, outside.

Source: Dockerfile reference § USER; passwd(5), group(5).
"""

from __future__ import annotations

from nbcontainers.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Identity:
    """Who a process runs as: numbers, and the home directory that goes with them."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def look_up(user: str, additional: list[str], read: Callable[[str], str] | None = None) -> Identity:
    """Find out who ``user`` is.

    Args:
        user: ``name``, ``uid``, ``name:group``, ``uid:gid`` in any mixture; empty for root.
        additional: More groups, by name or number.
        read: Reads a file of the container; by default the caller is in its root already.

    Raises:
        InvalidArgument: A name that is in neither database.
    """
    name, colon, group_name = (user or "0").partition(":")
    read = read or _read
    entry = _find(_rows(read("/etc/passwd")), name or "0", key_column=2)
    groups = _rows(read("/etc/group"))
    if entry is not None:
        uid, gid, home, login = int(entry[2]), int(entry[3]), entry[5], entry[0]
    elif name.isdigit():
        uid, gid, home, login = int(name), 0, "/", ""
    else:
        raise InvalidArgument(f"unable to find user {name}: no matching entries in passwd file")
    if colon and group_name:
        gid = _gid(groups, group_name)
        supplementary = []
    else:
        supplementary = [int(row[2]) for row in groups if login and login in row[3].split(",")]
    supplementary += [_gid(groups, more) for more in additional]
    return Identity(uid, gid, list(dict.fromkeys([gid, *supplementary])), home or "/")


def _gid(groups: list[list[str]], name: str) -> int:
    entry = _find(groups, name, key_column=2)
    if entry is not None:
        return int(entry[2])
    if name.isdigit():
        return int(name)
    raise InvalidArgument(f"unable to find group {name}: no matching entries in group file")


def _find(rows: list[list[str]], wanted: str, key_column: int) -> list[str] | None:
    """Return the row with this name, else the one with this number."""
    for row in rows:
        if row[0] == wanted:
            return row
    for row in rows:
        if row[key_column] == wanted:
            return row
    return None


def _read(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _rows(text: str) -> list[list[str]]:
    rows = [line.split(":") for line in text.splitlines()]
    return [[*row, *[""] * (7 - len(row))] for row in rows if len(row) >= 4 and row[2].isdigit()]

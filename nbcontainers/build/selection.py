"""What COPY and ADD take: the files that patterns name, below a root that no link leads out of.

A source is opened by the kernel with the context, or the other stage, as the root (``openat2(RESOLVE_IN_ROOT)``); a
link is followed where it is the source itself, and copied as a link where it lies deeper.

Source: Dockerfile reference § COPY, § ADD; Go, package path/filepath § Match.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from nbcontainers.build import ignore
from nbcontainers.build.events import BuildError
from nbcontainers.build.ignore import Matcher
from nbcontainers.linux.mounts import openat2

_BLOCK_BYTES = 1 << 20
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: a path to open it by, its path below the destination (empty for that itself), and what it is."""

    path: str
    target: str
    status: os.stat_result


@dataclass(slots=True, kw_only=True)
class Picked:
    """The files of one source, each directory before what is in it.

    Args:
        name: The source's own name, which a single file keeps in a directory.
        is_directory: The entries are what a directory holds, the first one the directory itself.
        is_private: The files belong to this build alone: they may become part of the layer as they are.
        digests: The SHA-256 of contents, by inode, of those files that have been read already.
        entries: The files.
    """

    name: str
    is_directory: bool
    is_private: bool = False
    digests: Mapping[int, bytes] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)


class Root:
    """A tree to take files from.

    Args:
        root_fd: Its directory; the root's own from now on, until ``close``.
        ignored: What of it is not to be seen.
        is_private: See ``Picked``.
        digests: See ``Picked``.
    """

    def __init__(
        self,
        root_fd: int,
        ignored: Matcher | None = None,
        *,
        is_private: bool = False,
        digests: Mapping[int, bytes] | None = None,
    ) -> None:
        self._root_fd = root_fd
        self._digests = digests or {}
        self._ignored = ignored
        self._is_private = is_private
        self._fds: list[int] = []

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the root, and what was picked from it."""
        while self._fds:
            os.close(self._fds.pop())
        if self._root_fd >= 0:
            os.close(self._root_fd)
            self._root_fd = -1

    def pick(self, source: str, excluded: Matcher | None) -> list[Picked]:
        """Return what one source names: one thing, or all that a pattern fits.

        Raises:
            BuildError: It is not there.
        """
        parts = _parts(source)
        if not _WILDCARDS & set(source):
            path = "/".join(parts).replace("\\", "")
            if not self._exists(path):
                raise _missing(source)
            picked = self._picked(path, excluded)
            if self._ignored is not None and path and self._ignored.matches(path) and len(picked.entries) < 2:
                raise _missing(source)  # nothing in it was let back in
            return [picked]
        ignore.check_syntax(source)
        return [self._picked(path, excluded) for path in self._fitting(parts)]

    def pick_with_parents(self, source: str, excluded: Matcher | None) -> list[Picked]:
        """Return what one source names, each file with the directories above it, those behind ``/./`` only.

        Raises:
            BuildError: It is not there, and is no pattern.
        """
        above, pivot, below = source.partition("/./")
        if not pivot:
            above, below = "", source
        pattern = "/".join(_parts(below))
        bases = self._fitting(_parts(above)) if _WILDCARDS & set(above) else ["/".join(_parts(above))]
        included = Matcher([pattern]) if pattern else None
        found = [self._below(base, included, excluded) for base in bases if self._exists(base)]
        if not _WILDCARDS & set(source) and not any(len(picked.entries) > 1 for picked in found):
            raise _missing(source)
        return found

    def _exists(self, path: str) -> bool:
        if self._ignored is not None and path and self._ignored.matches(path) and not self._ignored.has_exceptions:
            return False
        try:
            os.close(openat2(self._root_fd, path or ".", os.O_PATH))
        except OSError:
            return False
        return True

    def _fitting(self, parts: list[str]) -> list[str]:
        """Return the paths that a pattern fits, component by component; a path that fits may be a link."""
        paths = [""]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if not _WILDCARDS & set(part):
                name = part.replace("\\", "")
                paths = [joined for path in paths if self._exists(joined := _joined(path, name))]
                continue
            regex = ignore.translate(part.replace("**", "*"))
            paths = [
                _joined(path, name)
                for path in paths
                for name in sorted(self._names(path))
                if regex.match(name) and (last or self._is_directory(_joined(path, name)))
            ]
        return [path for path in paths if not self._is_hidden(path)]

    def _is_hidden(self, path: str) -> bool:
        """Say whether a path is ignored, with all that may be in it."""
        if self._ignored is None or not self._ignored.matches(path):
            return False
        return not (self._ignored.has_exceptions and self._is_directory(path))

    def _names(self, path: str) -> list[str]:
        fd = openat2(self._root_fd, path or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(openat2(self._root_fd, path, os.O_PATH | os.O_DIRECTORY))
        except OSError:
            return False
        return True

    def _picked(self, path: str, excluded: Matcher | None) -> Picked:
        """Take one thing: a file, or what is in a directory."""
        name = path.rpartition("/")[2]
        fd = self._open(path)
        status = os.fstat(fd)
        picked = self._new(name, is_directory=stat.S_ISDIR(status.st_mode))
        if picked.is_directory:
            picked.entries.append(Entry(f"/proc/self/fd/{fd}", "", status))
            picked.entries += self._walk(f"/proc/self/fd/{fd}", path, None, excluded)
        elif excluded is None or not excluded.matches(name):
            picked.entries.append(Entry(f"/proc/self/fd/{fd}", "", status))
        return picked

    def _new(self, name: str, *, is_directory: bool) -> Picked:
        return Picked(name=name, is_directory=is_directory, is_private=self._is_private, digests=self._digests)

    def _below(self, base: str, included: Matcher | None, excluded: Matcher | None) -> Picked:
        fd = self._open(base)
        picked = self._new("", is_directory=True)
        picked.entries.append(Entry(f"/proc/self/fd/{fd}", "", os.fstat(fd)))
        picked.entries += self._walk(f"/proc/self/fd/{fd}", base, included, excluded)
        return picked

    def _open(self, path: str) -> int:
        try:
            fd = openat2(self._root_fd, path or ".", os.O_PATH)
        except OSError as error:
            raise _missing(path) from error
        self._fds.append(fd)
        return fd

    def _walk(self, top: str, base: str, included: Matcher | None, excluded: Matcher | None) -> list[Entry]:
        """Return what is below a directory, each directory before what is in it.

        A directory that is left out itself is there all the same where something in it is not.
        """
        found: list[tuple[Entry, bool]] = []
        pending = [("", top)]
        while pending:
            relative, directory = pending.pop()
            deeper = []
            for child in sorted(os.scandir(directory), key=lambda entry: entry.name):
                target = _joined(relative, child.name)
                wanted = self._wants(_joined(base, target), target, included, excluded)
                is_directory = child.is_dir(follow_symlinks=False)
                if wanted or (is_directory and self._may_have(included, excluded)):
                    found.append((Entry(child.path, target, child.stat(follow_symlinks=False)), wanted))
                    deeper += [(target, child.path)] if is_directory else []
            pending += reversed(deeper)
        if all(wanted for _, wanted in found):
            return [entry for entry, _ in found]
        needed = {above for entry, wanted in found if wanted for above in _above(entry.target)}
        return [entry for entry, wanted in found if wanted or entry.target in needed]

    def _wants(self, path: str, target: str, included: Matcher | None, excluded: Matcher | None) -> bool:
        if self._ignored is not None and self._ignored.matches(path):
            return False
        if excluded is not None and excluded.matches(target):
            return False
        return included is None or included.matches(target)

    def _may_have(self, included: Matcher | None, excluded: Matcher | None) -> bool:
        """Say whether in a directory that is not wanted something may be that is."""
        return included is not None or any(
            matcher is not None and matcher.has_exceptions for matcher in (self._ignored, excluded)
        )


def _above(path: str) -> list[str]:
    """Return the directories on the way to a path."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _parts(path: str) -> list[str]:
    """Return a path's components; ``..`` stops at the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _joined(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _missing(path: str) -> BuildError:
    return BuildError(f"file not found in build context or excluded by .dockerignore: stat {path}: file does not exist")


def digest(picked: list[Picked], *, with_owners: bool) -> str:
    """Return a digest of everything that was picked: names, modes, owners, contents, link targets; no times."""
    sha256 = hashlib.sha256()
    for one in picked:
        sha256.update(f"{one.is_directory}:{'' if one.is_directory else one.name}\0".encode("utf-8", "surrogateescape"))
        for entry in one.entries:
            owner = f"{entry.status.st_uid}:{entry.status.st_gid}" if with_owners else ""
            head = f"{entry.target}\0{entry.status.st_mode:o}:{owner}:{entry.status.st_size}\0"
            if stat.S_ISDIR(entry.status.st_mode):
                head = f"{entry.target}\0{entry.status.st_mode:o}:{owner}\0"
            sha256.update(head.encode("utf-8", "surrogateescape"))
            if stat.S_ISLNK(entry.status.st_mode):
                sha256.update(os.fsencode(os.readlink(entry.path)))
            elif stat.S_ISREG(entry.status.st_mode):
                sha256.update(one.digests.get(entry.status.st_ino) or _content_digest(entry.path))
    return sha256.hexdigest()


def _content_digest(path: str) -> bytes:
    sha256 = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while block := os.read(fd, _BLOCK_BYTES):
            sha256.update(block)
    finally:
        os.close(fd)
    return sha256.digest()

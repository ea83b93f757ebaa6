"""The steps that make layers: what each needs to know beforehand, and how it is carried out.

A step has a key, made of everything that its result depends on. What was made under the same key before is taken from
the cache; else the step fills a new snapshot, which becomes a layer by a rename.
"""

import asyncio
import contextlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from nbcontainers.build import archives, cache, downloads, modes, selection, stubs
from nbcontainers.build.draft import Draft
from nbcontainers.build.events import BuildError, Workspace
from nbcontainers.build.expansion import Style
from nbcontainers.build.ignore import Matcher
from nbcontainers.build.instructions import Copy, Text
from nbcontainers.build.layerwriter import LayerWriter, Wish
from nbcontainers.build.rules import Checks
from nbcontainers.build.selection import Picked, Root
from nbcontainers.errors import InvalidArgument
from nbcontainers.images import Snapshots
from nbcontainers.linux import files, overlay
from nbcontainers.linux.mounts import openat2
from nbcontainers.runtime import users
from nbcontainers.runtime.rootfs import open_rootfs
from nbcontainers.runtime.spec import Rootfs

_TEXT = Style(ignore_quotes=True)


@contextlib.contextmanager
def opened(rootfs: Rootfs) -> Iterator[int]:
    """Mount a tree nowhere, for as long as the context lasts."""
    fd = open_rootfs(rootfs)
    try:
        yield fd
    finally:
        os.close(fd)


class Scratch:
    """A directory for what steps need on their way, made when something is first put there.

    Args:
        above: The directory that it is made in.
        discard: Takes a directory away.
    """

    def __init__(self, above: Path, discard: Callable[[Path], None]) -> None:
        self._above = above
        self._path: Path | None = None
        self._discard = discard

    def directory(self, name: str) -> Path:
        """Make a directory of this name in it.

        Raises:
            FileExistsError: There is one.
        """
        path = self.file(name)
        path.mkdir(mode=0o755)
        return path

    def file(self, name: str) -> Path:
        """Return the path of a file that may be made in it."""
        if self._path is None:
            self._path = self._above / os.urandom(8).hex()
            self._path.mkdir(mode=0o700)
        return self._path / name

    def close(self) -> None:
        """Take everything away."""
        if self._path is not None:
            self._discard(self._path)
            self._path = None


class Context:
    """The folder that a build sees: its directory, and what of it is not to be seen.

    Args:
        place: Where it is.
        ignored: From .dockerignore.
    """

    def __init__(self, place: Workspace, ignored: Matcher) -> None:
        self.directory = place.path
        self._digests = place.digests
        self.ignored = ignored if ignored.patterns else None

    def purge(self) -> None:
        """Remove what is not to be seen, for who sees the directory itself."""
        if self.ignored is None:
            return
        with self.root() as root:
            seen = {entry.target for entry in root.pick("/", None)[0].entries}
        top = str(self.directory)
        for path in reversed(list(files.walk(top))):
            if path[len(top) + 1 :] not in seen:
                with contextlib.suppress(OSError):  # a directory with something to be seen
                    (os.rmdir if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink)(path)
        self.ignored = None

    def root(self) -> Root:
        """Return it as something to copy from."""
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return Root(fd, self.ignored, is_private=True, digests=self._digests)


class CopyStep:
    """COPY or ADD.

    Args:
        draft: The stage's image so far.
        one: The instruction.
        snapshots: The layers.
        scratch: A directory for what is fetched or unpacked on the way.
        checks: Takes warnings.

    Raises:
        DockerfileError: A value makes no sense, now that its variables are known.
    """

    def __init__(self, draft: Draft, one: Copy, snapshots: Snapshots, scratch: Scratch, checks: Checks) -> None:
        self._draft = draft
        self._one = one
        self._base_key = draft.root_key if one.link else draft.key
        self._snapshots = snapshots
        self._scratch = scratch
        self._checks = checks
        self._sources = [draft.expand(one.node, source) for source in one.sources]
        self._destination = self._absolute(draft.expand(one.node, one.destination))
        self._owner = draft.expand(one.node, one.chown)
        self._checksum = draft.expand(one.node, one.checksum)
        self._chmod = draft.expand(one.node, one.chmod)
        self._excludes = [draft.expand(one.node, pattern) for pattern in one.excludes]
        self._excluded = Matcher(self._excludes) if self._excludes else None
        self._mode = self._parsed_mode()
        self._picked: list[Picked] = []
        self._check()

    def _absolute(self, path: str) -> str:
        """Return the destination as an absolute path; with a slash at its end it is a directory."""
        is_directory = path in ("", ".") or path.endswith(("/", "/."))
        joined = posixpath.normpath(posixpath.join("/", self._draft.defaults.working_dir, path or "."))
        return joined if joined == "/" or not is_directory else f"{joined}/"

    def _parsed_mode(self) -> modes.Change | None:
        try:
            return modes.parse(self._chmod) if self._chmod else None
        except ValueError as error:
            raise self._one.node.error(str(error), "--chmod") from error

    def _check(self) -> None:
        one, urls = self._one, [source for source in self._sources if downloads.is_url(source)]
        for source in self._sources:
            if one.name == "ADD" and downloads.is_git(source):
                raise one.node.error(f"git repositories are not fetched: '{source}'", source)
        if urls and one.name == "COPY":
            raise one.node.error("source can't be a URL for COPY", urls[0])
        if self._checksum:
            if one.name == "COPY":
                raise one.node.error("checksum can't be specified for COPY", "--checksum")
            if len(self._sources) != 1:
                raise one.node.error("checksum can't be specified for multiple sources", "--checksum")
            if not urls:
                raise one.node.error("checksum requires HTTP(S) sources", "--checksum")
            try:
                downloads.check_checksum(self._checksum)
            except ValueError as error:
                raise one.node.error(str(error), "--checksum") from error
        if len(self._sources) + len(one.contents) > 1 and not self._destination.endswith("/"):
            raise one.node.error(
                f"When using {one.name} with more than one source file, the destination must be a directory "
                "and end with a /",
                one.destination,
            )

    @property
    def early_key(self) -> str:
        """The step's key where it is known before anything was looked at: one file, fetched, of a known checksum."""
        if not self._checksum:
            return ""
        return cache.key(self._base_key, "ADD", *self._sources, self._checksum, *self._target())

    def key_of_content(self, content: str) -> str:
        """Return what stands for the step's key as long as it copies from files that are exactly these.

        Args:
            content: What stands for all files that it could copy, empty where that is not known.
        """
        if not content:
            return ""
        wanted = (repr(self._sources), repr(self._excludes), str(self._one.parents))
        return cache.key(self._base_key, self._one.name, "from", content, *wanted, *self._target())

    def _target(self) -> tuple[str, ...]:
        return (self._destination, self._owner, self._chmod, str(self._one.link), str(self._one.unpack))

    async def prepare(self, root: Root, *, keep_owners: bool) -> str:
        """Find and look at all files.

        Args:
            root: Where they come from.
            keep_owners: They are another image's.

        Returns:
            The step's key.
        """
        await self._fetch()
        await asyncio.to_thread(self._pick, root)
        digest = await asyncio.to_thread(selection.digest, self._picked, with_owners=keep_owners)
        self._keep_owners = keep_owners
        if self.early_key:
            return self.early_key
        return cache.key(self._base_key, self._one.name, digest, str(self._one.parents), *self._target())

    async def _fetch(self) -> None:
        """Fetch what is a URL, and write what stands in the Dockerfile itself."""
        self._own_files: list[tuple[str, str]] = []
        for number, source in enumerate(self._sources):
            if downloads.is_url(source):
                path = str(self._scratch.file(f"fetched-{number}"))
                await downloads.fetch(source, path, self._checksum)
                self._own_files.append((downloads.file_name(source), path))
        for number, heredoc in enumerate(self._one.contents):
            text = self._draft.expand(self._one.node, heredoc.text, _TEXT) if heredoc.expands else heredoc.text
            path = str(self._scratch.file(f"inline-{number}"))
            with open(path, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
            os.chmod(path, 0o644)
            os.utime(path, (0, 0))
            self._own_files.append((posixpath.basename(heredoc.name), path))

    def _pick(self, root: Root) -> None:
        for source in self._sources:
            if downloads.is_url(source):
                continue
            try:
                pick = root.pick_with_parents if self._one.parents else root.pick
                self._picked += pick(source, self._excluded)
            except InvalidArgument as error:
                raise self._one.node.error(str(error), source) from error
            except BuildError as error:
                raise BuildError(f"{self._one.name} failed: {error}") from error
        for name, path in self._own_files:
            status = os.lstat(path)
            entry = selection.Entry(path, "", status)
            self._picked.append(Picked(name=name, is_directory=False, is_private=True, entries=[entry]))
        if not self._picked:
            raise BuildError(f"{self._one.name} failed: no source files were specified")

    def warn_of_ignored(self, ignored: Matcher | None) -> None:
        """Warn of sources that .dockerignore hides."""
        if ignored is None or ignored.has_exceptions:
            return
        for source in self._sources:
            path = posixpath.normpath(source).lstrip("/") or "."
            hidden = ignored.hides_all if path == "." else ignored.matches(path)
            if not downloads.is_url(source) and hidden:
                verb = "Copy" if self._one.name == "COPY" else "Add"
                self._checks.warn("CopyIgnoredFile", self._one.node, verb, source)

    def write(self, upper: Path) -> None:
        """Put the files into a new layer's directory.

        Raises:
            BuildError: Something is in the way.
        """
        parent = None if self._one.link else self._draft.snapshot
        with opened(self._snapshots.view(parent)) as view_fd:
            uid, gid = self._identity()
            wish = Wish(uid=uid, gid=gid, mode=self._mode)
            # What an archive holds keeps its owners, unless one is asked for.
            of_archives = wish if self._owner else Wish(uid=None, gid=None, mode=self._mode)
            with LayerWriter(view_fd, str(upper), wish) as writer:
                destination = writer.resolve(self._destination)
                into_directory = self._destination.endswith("/") or writer.is_directory(destination)
                if self._destination.endswith("/"):
                    writer.make_directory(destination)
                for picked in self._picked:
                    is_archive = self._is_archive(picked)
                    writer.wish = of_archives if is_archive else wish
                    if is_archive:
                        writer.write(self._unpacked(picked), destination, into_directory=True)
                    else:
                        writer.write(picked, destination, into_directory=into_directory)

    def _identity(self) -> tuple[int | None, int | None]:
        if self._owner:
            return owner(self._snapshots, self._draft.snapshot, self._owner)
        return (None, None) if self._keep_owners else (0, 0)

    def _is_archive(self, picked: Picked) -> bool:
        unpack = self._one.name == "ADD" if self._one.unpack is None else self._one.unpack
        if not unpack or picked.is_directory or not picked.entries:
            return False
        fetched = any(picked.entries[0].path == path for _, path in self._own_files)
        if fetched and self._one.unpack is None:
            return False
        return archives.is_archive(picked.entries[0].path)

    def _unpacked(self, picked: Picked) -> Picked:
        directory = str(self._scratch.directory(f"unpacked-{os.urandom(8).hex()}"))
        with open(picked.entries[0].path, "rb") as archive:
            archives.unpack(archive, directory, keep_owners=True)
        with Root(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), is_private=True) as root:
            unpacked = root.pick("/", None)[0]
            # The root's descriptors go with it: name the files by their paths instead.
            entries = [
                selection.Entry(f"{directory}/{entry.target}", entry.target, entry.status) for entry in unpacked.entries
            ]
        return Picked(name="", is_directory=True, is_private=True, entries=entries)


class WorkdirStep:
    """WORKDIR: a directory, made where it is missing.

    Args:
        draft: The stage's image so far.
        one: The instruction.
        snapshots: The layers.
    """

    def __init__(self, draft: Draft, one: Text, snapshots: Snapshots) -> None:
        self._draft = draft
        self._snapshots = snapshots
        draft.enter(one)
        self.path = draft.defaults.working_dir
        self.key = cache.key(draft.key, "WORKDIR", self.path, draft.defaults.user)

    def write(self, upper: Path) -> bool:
        """Make the directory in a new layer; returns whether it was missing."""
        with opened(self._snapshots.view(self._draft.snapshot)) as view_fd:
            uid, gid = owner(self._snapshots, self._draft.snapshot, self._draft.defaults.user or "0")
            with LayerWriter(view_fd, str(upper), Wish(uid=uid, gid=gid)) as writer:
                path = writer.resolve(self.path)
                if writer.is_directory(path) or not path:
                    return False
                return writer.make_directory(path)


def owner(snapshots: Snapshots, snapshot: str | None, name: str) -> tuple[int, int]:
    """Look an owner up in an image's own user database; a number alone stands for both.

    Raises:
        BuildError: There is no such user or group.
    """
    user, colon, group = name.partition(":")
    if user.isdecimal() and (not colon or group.isdecimal()):
        return int(user), int(group or user)
    with opened(snapshots.view(snapshot)) as root_fd:
        try:
            identity = users.look_up(name, [], read=lambda path: _read_inside(root_fd, path))
        except InvalidArgument as error:
            raise BuildError(str(error)) from error
    return identity.uid, identity.gid


def _read_inside(root_fd: int, path: str) -> str:
    """Read a file below a root, wherever its links lead inside of it; an absent one is empty."""
    try:
        with open(openat2(root_fd, path, os.O_RDONLY), errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def status_below(snapshots: Snapshots, snapshot: str | None, path: str) -> os.stat_result | None:
    """Return what the layers have at a path without links, None for nothing.

    Source: Documentation/filesystems/overlayfs.rst § Whiteouts and opaque directories.
    """
    for layer in snapshots.chain(snapshot):
        root = str(snapshots.files(layer)) if layer != "host" else ""
        try:
            status = os.lstat(f"{root}{path}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        return None if overlay.is_whiteout(status) else status
    return None


def clear_stubs(
    snapshots: Snapshots, upper: Path, snapshot: str | None, destinations: list[str], scratch: Scratch
) -> None:
    """Remove from a layer what was only made for something to be mounted on."""
    stubs.remove(
        str(upper),
        destinations,
        lambda path: status_below(snapshots, snapshot, path),
        lambda: scratch.file(os.urandom(8).hex()),
    )


def clamp_times(upper: Path, epoch_seconds: int) -> None:
    """Let no file of a layer be younger than a time: then two builds, one after the other, make the same layer.

    Source: reproducible-builds.org, SOURCE_DATE_EPOCH specification § Last-modified times.
    """
    for path in (str(upper), *files.walk(str(upper))):
        if os.lstat(path).st_mtime > epoch_seconds:
            os.utime(path, (epoch_seconds, epoch_seconds), follow_symlinks=False)

"""``cp``: files between a container and this machine, in docker's grammar.

Where the destination is a directory that is there, the source goes into it by its name, or, when its path ends with
``/.``, what it has. Where nothing is there, the source gets the destination's name. Nothing is stored on the way: an
archive is unpacked as it comes, and packed as it is sent.

Source: Docker CLI reference, "docker container cp" § Corner cases.
"""

import os
import posixpath
import sys
import tarfile
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

import click
import docker.errors

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import container_group, pass_face, tree
from nbcontainers.client.units import human_bytes

CHUNK_BYTES = 1 << 20
_LINK_BIT, _DIRECTORY_BIT = 1 << 27, 1 << 31


@tree.command()
@click.option("-a", "--archive", "keep_owners", is_flag=True, help="Keep owners and groups.")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Copy what a link in the source leads to.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was copied.")
@click.argument("source")
@click.argument("destination")
@pass_face
def cp(face: Face, source: str, destination: str, keep_owners: bool, follow: bool, quiet: bool) -> str | None:
    """Copy files out of a container or into it: CONTAINER:PATH on one side, PATH or - (an archive) on the other."""
    from_container, to_container = _split(source), _split(destination)
    if from_container and to_container:
        raise click.UsageError("copying between containers is not supported")
    if from_container:
        return _copy_out(face, *from_container, destination, follow=follow, quiet=quiet, keep_owners=keep_owners)
    if to_container:
        return _copy_in(face, source, *to_container, follow=follow, quiet=quiet, keep_owners=keep_owners)
    raise click.UsageError("must specify at least one container source: one side is CONTAINER:PATH")


def _split(argument: str) -> tuple[str, str] | None:
    """Return container and path, or None for a path of this machine."""
    name, colon, path = argument.partition(":")
    if not colon or os.path.isabs(argument) or name.startswith("."):
        return None
    return name, path


def _copy_out(  # noqa: PLR0913
    face: Face, container: str, path: str, destination: str, *, follow: bool, quiet: bool, keep_owners: bool
) -> str | None:
    api = face.client.api
    if follow:
        path = _followed(face, container, path)
    chunks, stat = api.get_archive(container, path, chunk_size=CHUNK_BYTES)
    if destination == "-":
        write = face.binary()
        for chunk in chunks:
            write(chunk)
        return None
    is_directory = bool(stat["mode"] & _DIRECTORY_BIT)
    base = posixpath.basename(path.rstrip("/")) or "/"
    parent, name = _target(destination, base, is_directory=is_directory, contents=path.endswith("/."))
    copied = _unpack(chunks, parent, name, keep_owners=keep_owners)
    return None if quiet else f"Successfully copied {human_bytes(copied)} to {os.path.abspath(destination)}"


def _target(destination: str, base: str, *, is_directory: bool, contents: bool) -> tuple[str, str]:
    """Return the directory that something goes into, and its name there; an empty name for its contents alone.

    Raises:
        click.UsageError: It cannot go there.
    """
    if os.path.isdir(destination):
        return destination, "" if contents or base == "/" else base
    if os.path.lexists(destination):
        if is_directory:
            raise click.UsageError(f"cannot copy a directory to the file '{destination}'")
    elif destination.endswith("/") and not is_directory:
        raise click.UsageError(f"the directory '{destination}' does not exist")
    parent, name = os.path.split(os.path.abspath(destination))
    if not os.path.isdir(parent):
        raise click.UsageError(f"the directory '{parent}' does not exist")
    return parent, name


def _unpack(chunks: Iterable[bytes], parent: str, name: str, *, keep_owners: bool) -> int:
    """Unpack an archive whose members all begin with one name, under another name; return how many bytes it has."""
    copied = 0

    def renamed(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        nonlocal copied
        copied += member.size
        target = posixpath.join(name, _below(member.name))
        if not target:
            return None  # the directory that is there already stays as it is
        if member.islnk():
            member.linkname = posixpath.join(name, _below(member.linkname))
        checked = tarfile.tar_filter(member.replace(name=target), path)
        uid, gid = (member.uid, member.gid) if keep_owners else (os.getuid(), os.getgid())
        return checked.replace(mode=member.mode & 0o7777, uid=uid, gid=gid, uname="", gname="")

    with tarfile.open(fileobj=_Chunks(chunks), mode="r|") as archive:  # type: ignore[call-overload]
        archive.extractall(parent, filter=renamed, numeric_owner=True)
    return copied


def _below(name: str) -> str:
    """Return a member's name without the first part, which is what was copied itself."""
    return name.lstrip("/") if name.startswith("/") else name.partition("/")[2]


class _Chunks:
    """Pieces of bytes as a file to read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0 and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            missing -= len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def _copy_in(  # noqa: PLR0913
    face: Face, source: str, container: str, path: str, *, follow: bool, quiet: bool, keep_owners: bool
) -> str | None:
    if source == "-":
        data = face.stdin if face.stdin is not None else chunks_of(sys.stdin.buffer)
        _put(face, container, path, data, keep_owners=keep_owners)
        return None
    if not os.path.lexists(source):
        raise click.UsageError(f"'{source}' does not exist")
    if follow or source.endswith("/"):
        source = os.path.realpath(source) + ("/." if source.endswith("/.") else "")
    is_directory = os.path.isdir(source) and not os.path.islink(source)
    base = os.path.basename(os.path.abspath(source))
    parent, name = _target_inside(
        face, container, path, base, is_directory=is_directory, contents=is_directory and source.endswith("/.")
    )
    packed = _Packed(source, name)
    _put(face, container, parent, packed.chunks(), keep_owners=keep_owners)
    return None if quiet else f"Successfully copied {human_bytes(packed.size_bytes)} to {container}:{path}"


def _target_inside(
    face: Face, container: str, path: str, base: str, *, is_directory: bool, contents: bool
) -> tuple[str, str]:
    """The same as ``_target`` for a place in a container."""
    stat = _stat(face, container, path)
    if stat is not None and stat["mode"] & _LINK_BIT:
        path = str(stat["linkTarget"]) + ("/" if path.endswith("/") else "")
        stat = _stat(face, container, path)
    if stat is not None and stat["mode"] & _DIRECTORY_BIT:
        return path, "." if contents else base
    if stat is not None:
        if is_directory:
            raise click.UsageError(f"cannot copy a directory to the file '{container}:{path}'")
    elif path.endswith("/") and not is_directory:
        raise click.UsageError(f"the directory '{container}:{path}' does not exist")
    parent, name = posixpath.split(posixpath.normpath(f"/{path}"))
    return parent, name


def _stat(face: Face, container: str, path: str) -> dict[str, Any] | None:
    """Return what is at a path of a container, or None for nothing."""
    api = face.client.api
    answer = api.head(api._url("/containers/{0}/archive", container), params={"path": path}, timeout=api.timeout)
    if answer.status_code == 404:
        api.inspect_container(container)  # unless it is the container itself that is not there
        return None
    api._raise_for_status(answer)
    encoded = answer.headers["X-Docker-Container-Path-Stat"]
    return cast(dict[str, Any], docker.utils.decode_json_header(encoded))


def _followed(face: Face, container: str, path: str) -> str:
    stat = _stat(face, container, path)
    return str(stat["linkTarget"]) if stat is not None and stat["linkTarget"] else path


def _put(face: Face, container: str, path: str, data: bytes | Iterable[bytes], *, keep_owners: bool) -> None:
    api = face.client.api
    params = {"path": path, "noOverwriteDirNonDir": "true", **({"copyUIDGID": "true"} if keep_owners else {})}
    api._raise_for_status(api._put(api._url("/containers/{0}/archive", container), params=params, data=data))


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what a file has, piece by piece."""
    while data := file.read(CHUNK_BYTES):
        yield data


class _Packed:
    """A file or a directory as an archive, packed by a thread while somebody takes it away."""

    def __init__(self, source: str, name: str) -> None:
        self._source = source
        self._name = name
        self._failure: Exception | None = None
        self.size_bytes = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the archive.

        Raises:
            OSError: A file cannot be read.
        """
        read_fd, write_fd = os.pipe()
        thread = threading.Thread(target=self._pack, args=(write_fd,), daemon=True)
        thread.start()
        with open(read_fd, "rb", buffering=0) as file:
            yield from chunks_of(file)
        thread.join()
        if self._failure is not None:
            raise self._failure

    def _pack(self, fd: int) -> None:
        try:
            with open(fd, "wb") as file, tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                archive.add(self._source, self._name, filter=self._count)
        except Exception as error:
            self._failure = error

    def _count(self, member: tarfile.TarInfo) -> tarfile.TarInfo:
        self.size_bytes += member.size
        return member


container_group.add_command(cp)

"""One volume's files, as Python has files: listed, opened, read by pandas, written, without starting a container."""

import contextlib
import io
import os
import posixpath
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import IO, Any, NamedTuple, TypeVar, cast

import pandas as pd
from docker import DockerClient
from docker.utils import decode_json_header

from nbcontainers.client import extension, tables
from nbcontainers.client.connect import connect
from nbcontainers.client.tables import Table
from nbcontainers.client.volume_access import Access, accessible
from nbcontainers.errors import Unsupported

CHUNK_BYTES = 1 << 20
_IN_MEMORY_BYTES = 64 << 20
_STAT = "X-Docker-Container-Path-Stat"
_LINK_BIT, _DIRECTORY_BIT = 1 << 27, 1 << 31
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zip": "zip", ".xz": "xz", ".zst": "zstd"}
_TYPES = {
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
}

T = TypeVar("T")


class _Found(NamedTuple):
    """A file of a volume: its path where it can be got at, and what it is, with Go's bits."""

    path: str
    mode: int


class Volume:
    """A volume, and the files in it.

    Paths begin at the volume's root, with or without a slash. Links are followed, but never out of the volume. The same
    works against Docker, but for ``remove``; there an archive of all that is below a directory is read to list it.

    Args:
        client: The engine.
        name: The volume's name.

    Raises:
        docker.errors.NotFound: There is no such volume.

    Example:
        >>> data = volume("data")
        >>> data.read_csv("measurements/2026.csv.gz", parse_dates=["time"])
    """

    def __init__(self, client: DockerClient, name: str) -> None:
        self.client = client
        self.attributes: dict[str, Any] = client.api.inspect_volume(name)
        self.name: str = self.attributes["Name"]

    def __repr__(self) -> str:
        return f"<Volume: {self.name}>"

    @cached_property
    def _ours(self) -> bool:
        return extension.is_ours(self.client)

    def _accessible(self) -> contextlib.AbstractContextManager[Access]:
        return accessible(self.client, self.name, ours=self._ours)

    # Looking.

    def ls(self, path: str = "/", *, recursive: bool = False) -> Table:
        """List a directory; of anything else, that one alone.

        Args:
            path: The directory.
            recursive: All that is below it; names are then paths from the directory on.

        Returns:
            What ``tables.files`` does.

        Raises:
            docker.errors.NotFound: There is nothing at this path.
        """
        if not self._ours:
            with self._accessible() as access, self._archive(access, self._found(access, path)) as archive:
                return tables.files(_rows(archive, recursive=recursive))
        query = {"path": path, **({"deep": "true"} if recursive else {})}
        columns = extension.get_json(self.client, f"/volumes/{self.name}/files", **query)
        renamed = {"kind": "type", "size_bytes": "size"}
        rows = pd.DataFrame(columns).rename(columns=renamed)
        rows["mode"] = [f"{mode:04o}" for mode in columns["mode"]]
        rows["modified"] = pd.to_datetime(columns["modified_ns"], unit="ns", utc=True)
        return tables.files(list(rows.to_dict("records")))

    def exists(self, path: str) -> bool:
        """Say whether there is something at a path; a link that leads nowhere is nothing."""
        with self._accessible() as access:
            found = self._stat(access, f"{access.root}/{path.lstrip('/')}")
            if found is not None and found["mode"] & _LINK_BIT:
                found = self._stat(access, found["linkTarget"])
        return found is not None

    # Reading.

    def open(self, path: str) -> IO[bytes]:
        """Open a file to read bytes; it is brought here first, into memory or, when it is big, a temporary file.

        Raises:
            docker.errors.NotFound: There is no such file.
            IsADirectoryError: It is a directory.
        """
        with self._accessible() as access:
            found = self._found(access, path)
            if found.mode & _DIRECTORY_BIT:
                raise IsADirectoryError(f"'{path}' of the volume '{self.name}' is a directory")
            with self._archive(access, found) as archive:
                member = archive.next()
                content = archive.extractfile(member) if member is not None and member.isfile() else None
                if content is None:
                    raise OSError(f"'{path}' of the volume '{self.name}' is no file that has a content")
                file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  the caller's to close
                while data := content.read(CHUNK_BYTES):
                    file.write(data)
        file.seek(0)
        return cast(IO[bytes], file)

    def read_bytes(self, path: str) -> bytes:
        """Return a file's content."""
        with self.open(path) as file:
            return file.read()

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Return a file's content as text."""
        return self.read_bytes(path).decode(encoding)

    def read(self, function: Callable[..., T], path: str, **options: Any) -> T:
        """Return what a function makes of a file: ``volume.read(pandas.read_parquet, "table.parquet")``.

        Args:
            function: Takes an open file first.
            path: The file.
            options: What else the function takes.
        """
        with self.open(path) as file:
            return function(file, **options)

    def read_csv(self, path: str, **options: Any) -> pd.DataFrame:
        """Return a table of comma-separated values; what ``pandas.read_csv`` takes can be given; ``.gz`` is seen."""
        frame = self.read(pd.read_csv, path, **_with_compression(path, options))
        return cast(pd.DataFrame, frame)

    def read_json(self, path: str, **options: Any) -> pd.DataFrame:
        """Return a table of JSON; what ``pandas.read_json`` takes can be given; ``.gz`` is seen."""
        frame = self.read(pd.read_json, path, **_with_compression(path, options))
        return cast(pd.DataFrame, frame)

    def read_parquet(self, path: str, **options: Any) -> pd.DataFrame:
        """Return a table in Parquet's format; pandas needs pyarrow or fastparquet for it."""
        return self.read(pd.read_parquet, path, **options)

    # Writing.

    def write_bytes(self, path: str, data: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> int:
        """Write a file, in place of what is there; directories on the way are made. Returns how many bytes it has."""
        member = tarfile.TarInfo(_clean(path))
        member.size, member.mode, member.uid, member.gid = len(data), mode, uid, gid
        member.mtime = pd.Timestamp.now("UTC").timestamp()
        with _packed(lambda archive: archive.addfile(member, io.BytesIO(data))) as packed:
            self._unpack(packed)
        return len(data)

    def write_text(self, path: str, text: str, *, encoding: str = "utf-8", mode: int = 0o644) -> int:
        """Write a file of text, in place of what is there. Returns how many bytes it has."""
        return self.write_bytes(path, text.encode(encoding), mode=mode)

    def put(self, source: str | os.PathLike[str], path: str = "/") -> None:
        """Copy a file or a directory of this machine into the volume; it will be root's.

        Args:
            source: What is copied; links in it stay links.
            path: What it will be called; with a slash at its end, the directory that it goes into by its own name.
        """
        source = os.fspath(source)
        name = f"{path}{os.path.basename(os.path.abspath(source))}" if path.endswith("/") else path
        with _packed(lambda archive: archive.add(source, _clean(name), filter=_of_root)) as packed:
            self._unpack(packed)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, or an empty directory; a link, not what it leads to.

        Args:
            path: What to remove.
            recursive: A directory with all that it has.

        Raises:
            docker.errors.NotFound: There is nothing.
            docker.errors.APIError: It is the volume's root, or a directory that is not empty.
            Unsupported: The engine is Docker, which can remove files only by running something.
        """
        if not self._ours:
            raise Unsupported(f"removing '{path}' of the volume '{self.name}': Docker can do that only in a container")
        query = {"path": path, **({"deep": "true"} if recursive else {})}
        url = f"{self.client.api.base_url}{extension.PREFIX}/volumes/{self.name}/files"
        self.client.api._raise_for_status(self.client.api.delete(url, params=query))

    # All of it.

    def backup(self) -> Iterator[bytes]:
        """Yield an archive of the whole volume, piece by piece, with owners, modes, extended attributes and hard links.

        What is written meanwhile may be in it half: stop a database before.
        """
        with self._accessible() as access:
            answer = self._asked(access, f"{access.root}/.")
            try:
                yield from answer.iter_content(CHUNK_BYTES)
            finally:
                answer.close()

    def restore(self, archive: bytes | Iterable[bytes], *, replace: bool = False) -> None:
        """Unpack an archive of a whole volume, compressed or not: all of it, or nothing.

        Args:
            archive: What ``backup`` has yielded.
            replace: What the volume has now, and the archive has not, goes.

        Raises:
            docker.errors.APIError: The archive is damaged, or a container that runs has the volume.
            Unsupported: The engine is Docker, which replaces nothing. It unpacks in place, leaves the owner and mode of
                the volume's root as they are, and refuses links that lead out of the volume.
        """
        restore(self.client, self.name, archive, replace=replace)

    # The way there.

    def _stat(self, access: Access, path: str) -> dict[str, Any] | None:
        answer = self.client.api.head(f"{access.address}/archive", params={"path": path})
        if 400 <= answer.status_code < 500:
            return None  # why, only an answer with a body can say
        self.client.api._raise_for_status(answer)
        return cast(dict[str, Any], decode_json_header(answer.headers[_STAT]))

    def _found(self, access: Access, path: str) -> _Found:
        """Find a file, wherever links lead."""
        whole = f"{access.root}/{path.lstrip('/')}"
        facts = self._stat(access, whole)
        if facts is not None and facts["mode"] & _LINK_BIT:
            whole = str(facts["linkTarget"])
            if access.root and not f"{whole}/".startswith(f"{access.root}/"):
                raise Unsupported(f"'{path}' of the volume '{self.name}' is a link to '{whole}', out of the volume")
            facts = self._stat(access, whole)
        # Of nothing, the engine says so itself when it is asked for the archive.
        return _Found(whole, facts["mode"] if facts is not None else 0)

    @contextlib.contextmanager
    def _archive(self, access: Access, found: _Found) -> Iterator[tarfile.TarFile]:
        """Open the archive of what was found, of a directory with all below it, as a stream."""
        path = f"{found.path.rstrip('/')}/." if found.mode & _DIRECTORY_BIT else found.path
        answer = self._asked(access, path)
        try:
            with tarfile.open(fileobj=answer.raw, mode="r|") as archive:
                yield archive
        finally:
            answer.close()

    def _asked(self, access: Access, path: str) -> Any:
        """Return the answer to the question for an archive, which comes as it is read."""
        headers = {"Accept-Encoding": "identity"}  # Docker would compress it, which is for nothing on a socket
        answer = self.client.api.get(f"{access.address}/archive", params={"path": path}, headers=headers, stream=True)
        try:
            self.client.api._raise_for_status(answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def _unpack(self, packed: IO[bytes]) -> None:
        with self._accessible() as access:
            query = {"path": access.root or "/"}
            answer = self.client.api.put(f"{access.address}/archive", params=query, data=packed)
            self.client.api._raise_for_status(answer)


def volume(name: str, client: DockerClient | None = None) -> Volume:
    """Return a volume, to get at its files.

    Args:
        name: Its name.
        client: The engine that has it; by default the one that ``connect`` finds.

    Raises:
        docker.errors.NotFound: There is no such volume.
    """
    return Volume(client or connect(), name)


def restore(client: DockerClient, name: str, archive: bytes | Iterable[bytes], *, replace: bool = False) -> None:
    """Unpack an archive into a volume, which is made when it is not there; see ``Volume.restore``."""
    api = client.api
    if extension.is_ours(client):
        query = {"replace": "true"} if replace else {}
        answer = api.post(f"{api.base_url}{extension.PREFIX}/volumes/{name}/import", params=query, data=archive)
        api._raise_for_status(answer)
        return
    if replace:
        raise Unsupported(f"replacing the files of the volume '{name}': Docker can only add: remove the volume before")
    api.create_volume(name)
    with accessible(client, name, ours=False) as access:
        api._raise_for_status(api.put(f"{access.address}/archive", params={"path": access.root}, data=archive))


def _clean(path: str) -> str:
    """Return a path as archives have it.

    Raises:
        ValueError: It names nothing.
    """
    clean = posixpath.normpath(f"/{path}").lstrip("/")
    if not clean:
        raise ValueError(f"'{path}' names no file")
    return clean


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    return member.replace(uid=0, gid=0, uname="", gname="", deep=False)  # deep, it would copy the archive as well


@contextlib.contextmanager
def _packed(pack: Callable[[tarfile.TarFile], object]) -> Iterator[IO[bytes]]:
    """Pack an archive, in memory or, when it is big, in a temporary file."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            pack(archive)
        file.seek(0)
        yield cast(IO[bytes], file)


def _with_compression(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Add what pandas would see itself in the name of a file, which it does not get here."""
    compression = _COMPRESSIONS.get(posixpath.splitext(path)[1].lower())
    return {"compression": compression, **options}


def _rows(archive: tarfile.TarFile, *, recursive: bool) -> list[dict[str, object]]:
    """Make of an archive what this engine's own endpoint tells: its first member is what was asked for."""
    top = archive.next()
    if top is None or not top.isdir():
        return [_row(top, posixpath.basename(top.name))] if top is not None else []
    found = []
    while (member := archive.next()) is not None:
        name = posixpath.relpath(member.name, top.name)
        if recursive or "/" not in name:
            found.append(_row(member, name))
        archive.members = []  # type: ignore[attr-defined]  # it would keep them all
    return found


def _row(member: tarfile.TarInfo, name: str) -> dict[str, object]:
    return {
        "name": name,
        "type": _TYPES.get(member.type, "file"),
        "size": member.size,
        "mode": f"{stat.S_IMODE(member.mode):04o}",
        "uid": member.uid,
        "gid": member.gid,
        "modified": pd.Timestamp(member.mtime, unit="s", tz="UTC"),
        "target": member.linkname if member.issym() else "",
    }

"""The engine's memory: one SQLite database, opened by one engine at a time.

What must outlive an engine's death stands here: every container with its configuration and state, and
every network. Images,
volumes and layers keep themselves on the file system (see ``nbcontainers.images``). The database is in
write-ahead mode: a committed change survives ``kill -9`` of the engine at once, and the start path waits for no
``fsync(2)`` (SQLite, "Write-Ahead Logging").

An exclusive ``flock(2)`` on ``engine.lock`` keeps a second engine away; the kernel lets it go when the engine ends,
however it ends.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from nbcontainers import errors
from nbcontainers.engine.model import Container
from nbcontainers.networks import Network

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS containers (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    data BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS networks (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    data BLOB NOT NULL
) WITHOUT ROWID;
"""

_SAVE = (
    "INSERT INTO containers (id, name, data) VALUES (?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET name = excluded.name, data = excluded.data"
)

_SAVE_NETWORK = "INSERT INTO networks (id, name, data) VALUES (?, ?, ?)"


class State:
    """The database of one engine.

    Args:
        root: The engine's root directory; it exists.

    Raises:
        errors.Conflict: Another engine works on ``root``.
        errors.Unavailable: The database is broken, written by a newer version, or cannot be opened.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "state.db"
        self._lock_fd = _lock(root / "engine.lock")
        try:
            with self._explain():
                self._connection = self._open()
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Container)
        self._network_decoder = msgspec.json.Decoder(Network)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=True)
        os.chmod(self.path, 0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            connection.close()
            raise errors.Unavailable(
                "the engine's database",
                f"'{self.path}' has schema {version}, this version knows {SCHEMA_VERSION}",
                "install the newer nbcontainers that wrote it, or give another --root",
            )
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            connection.close()
            raise sqlite3.DatabaseError("the quick check found damage")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return connection

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        """Turn SQLite's errors into one sentence that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            full = "full" in str(error)
            raise errors.Unavailable(
                "the engine's database",
                f"'{self.path}': {error}",
                "free some space on that file system" if full else "restore that file, or move it away to start anew",
            ) from error

    def save(self, container: Container) -> None:
        """Write one container, new or known.

        Raises:
            errors.Conflict: Another container has its name.
            errors.Unavailable: The database cannot be written (a full disk, for example).
        """
        try:
            with self._explain():
                self._connection.execute(_SAVE, (container.id, container.name, self._encoder.encode(container)))
        except errors.Unavailable as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                raise errors.Conflict(f"the container name '{container.name}' is already in use") from error
            raise

    def forget(self, container_id: str) -> None:
        """Remove one container; one that is not there is no error."""
        with self._explain():
            self._connection.execute("DELETE FROM containers WHERE id = ?", (container_id,))

    def containers(self) -> list[Container]:
        """Read all containers, in the order of their creation.

        Raises:
            errors.Unavailable: A row cannot be read.
        """
        with self._explain():
            rows = self._connection.execute("SELECT id, data FROM containers").fetchall()
        try:
            containers = [self._decoder.decode(data) for _, data in rows]
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise errors.Unavailable(
                "the engine's database", f"'{self.path}' holds a damaged container: {error}", "restore that file"
            ) from error
        return sorted(containers, key=lambda container: container.created_ns)

    def save_network(self, network: Network) -> None:
        """Write one new network.

        Raises:
            errors.Unavailable: The database cannot be written.
        """
        with self._explain():
            self._connection.execute(_SAVE_NETWORK, (network.id, network.name, self._encoder.encode(network)))

    def forget_network(self, network_id: str) -> None:
        """Remove one network; one that is not there is no error."""
        with self._explain():
            self._connection.execute("DELETE FROM networks WHERE id = ?", (network_id,))

    def networks(self) -> list[Network]:
        """Read all networks, in the order of their creation.

        Raises:
            errors.Unavailable: A row cannot be read.
        """
        with self._explain():
            rows = self._connection.execute("SELECT data FROM networks").fetchall()
        try:
            networks = [self._network_decoder.decode(data) for (data,) in rows]
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise errors.Unavailable(
                "the engine's database", f"'{self.path}' holds a damaged network: {error}", "restore that file"
            ) from error
        return sorted(networks, key=lambda network: network.created_ns)

    def close(self) -> None:
        """Close the database and let another engine have it."""
        self._connection.close()
        os.close(self._lock_fd)


def _lock(path: Path) -> int:
    lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock_fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock_fd)
        raise errors.Conflict(
            f"another engine (pid {holder}) works on '{path.parent}': stop it, or give another --root"
        ) from error
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
    return lock_fd

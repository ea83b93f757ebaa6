"""A spool: what arrives, kept until it has been read, so that neither side waits for the slower one.

The file has no name: whatever is killed, nothing of it is left.

Source: open(2) § O_TMPFILE.
"""

import hashlib
import os
import tempfile
import threading
from pathlib import Path

from nbcontainers import errors
from nbcontainers.linux.descriptors import write_all


class Spool:
    """Bytes that one thread writes and another one reads, with their digest.

    Args:
        directory: On the file system that has room for them.
        digest: What the digest of all bytes has to be.
    """

    def __init__(self, directory: Path, digest: str) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  closed by close
        self._expected = digest
        self._hash = hashlib.sha256()
        self._changed = threading.Condition()
        self._written = 0
        self._read = 0
        self._complete = False
        self._failure: BaseException | None = None

    @property
    def read_bytes(self) -> int:
        """How much has been read."""
        return self._read

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            OSError: ENOSPC, the disk is full.
        """
        self._hash.update(data)
        write_all(self._file.fileno(), data)
        with self._changed:
            self._written += len(data)
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that this was all.

        Raises:
            errors.RegistryError: The digest is another one.
        """
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._expected:
            raise errors.RegistryError(
                f"filesystem layer verification failed for digest {self._expected}: what came has the digest {found}"
            )
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let the reader fail: no more will come, or what came is wrong."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def read(self, size: int = -1, /) -> bytes:
        """Return at most so many bytes, none at the end; waits until there are some.

        Raises:
            errors.Conflict: The writer has failed.
        """
        with self._changed:
            while self._read == self._written and not self._complete and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise errors.Conflict(f"the download has failed: {self._failure}") from self._failure
            there = self._written - self._read
        data = os.pread(self._file.fileno(), there if size < 0 else min(size, there), self._read)
        self._read += len(data)
        return data

    def close(self) -> None:
        """Give the disk its space back; nobody may read or write any more."""
        self._file.close()

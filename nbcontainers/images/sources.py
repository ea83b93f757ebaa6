"""An archive's stream as it is read: forward only, counted, and recorded on the way where it is to be given away again.

Source: pax(1) § pax Interchange Format.
"""

import tarfile

from nbcontainers.images.compression import Readable
from nbcontainers.images.skeletons import Recorder

COPY_BYTES = 1 << 20
_LARGEST_FILE = (1 << 63) - 1  # off_t


class Source:
    """A stream as ``tarfile`` reads it: forward only, and nothing ahead of what it asks for.

    Args:
        stream: The archive, not compressed.
        recorder: Keeps what is read, but for the contents of files.
    """

    def __init__(self, stream: Readable, recorder: Recorder | None = None) -> None:
        self._stream = stream
        self._recorder = recorder
        self._position = 0
        self._last = b""
        self._again = b""
        self._bound: int | None = None

    def tell(self) -> int:
        """Return how much has been read."""
        return self._position

    def seek(self, position: int) -> int:
        """Skip forward."""
        if position < self._position:
            raise tarfile.StreamError("seeking backwards is not allowed")
        while self._position < position and self.read(min(position - self._position, COPY_BYTES)):
            continue
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, less only at the end."""
        if self._again:
            return self._read_again(size)
        if self._bound is not None:
            self._bound -= size
            if self._bound < 0:
                raise tarfile.ReadError("a member's header is too long")
        parts = []
        while size and (data := self._stream.read(min(size, COPY_BYTES) if size > 0 else COPY_BYTES)):
            parts.append(data)
            size = max(size - len(data), 0) if size > 0 else size
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._position += len(data)
        self._last = data
        if self._recorder is not None and data:
            self._recorder.keep(data)
        return data

    def unread(self, data: bytes) -> None:
        """Have the last bytes that were read come again."""
        self._again = data
        self._position -= len(data)

    def bound(self, size: int | None) -> None:
        """Have ``read`` fail after so many more bytes; None for no such limit."""
        self._bound = size

    def _read_again(self, size: int) -> bytes:
        size = len(self._again) if size < 0 else size
        data, self._again = self._again[:size], self._again[size:]
        self._position += len(data)
        self._last = data
        return data if len(data) == size or self._again else data + self.read(size - len(data))

    def read_content(self, size: int) -> bytes:
        """Return at most so many bytes of a file that ``content`` was said of.

        Raises:
            EOFError: The stream ends.
        """
        data = self._stream.read(min(size, COPY_BYTES))
        if not data:
            raise EOFError("unexpected end of data")
        self._position += len(data)
        return data

    def content(self, size: int, path: str) -> None:
        """Say that a file's content comes next.

        Raises:
            tarfile.ReadError: No file can have that many bytes, or that few, as an extended header may say.
        """
        if not 0 <= size <= _LARGEST_FILE:
            raise tarfile.ReadError(f"'{path}' has {size} bytes")
        if self._recorder is not None:
            self._recorder.content(size, path)

    def finish(self) -> None:
        """Read to the end of the stream, past what ends the archive.

        Raises:
            tarfile.ReadError: The archive did not end: a header is damaged.
        """
        if self._last.strip(b"\0"):
            raise tarfile.ReadError("bad checksum in a member's header")
        while self.read(COPY_BYTES):
            continue

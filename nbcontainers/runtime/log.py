"""A container's output on disk: what the shim writes, and what the engine reads back.

The shim reads in big chunks; each chunk becomes one *frame*, stamped once with the time it was read:

    | ns: u64 | length: u32 | stream: u8 | begins: u8 | reserved: 2 | bytes … | length: u32 |

``begins`` is 1 when the first byte begins a line, 0 when it goes on with one of an earlier frame of its stream. The
length stands at both ends, so that a reader can walk forwards and backwards (see ``rewind``). Frames go to *segments*,
``log/00000001`` and on; a full segment is closed and the oldest are removed; where it is wanted, a closed one is
compressed (see ``packed``). A frame of stream ``END`` says that the output is complete. A frame that a crash cut short
fails the check of its two lengths and is left out.

Nothing here looks at single lines until somebody asks for them: a line begins in the frame that has its first byte,
and that frame's time is the line's.
"""

from __future__ import annotations

import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbcontainers.runtime.packed import Packed

STDIN, STDOUT, STDERR, END = 0, 1, 2, 255
DIRECTORY = "log"
PACKED = ".gz"
HEADER = struct.Struct("<QIBBxx")
FIRST_SEGMENT = f"{DIRECTORY}/00000001"
TRAILER = struct.Struct("<I")
OVERHEAD = HEADER.size + TRAILER.size
_READ_BYTES = 1 << 20


class Writer:
    """Appends frames to the segments of one container; the shim's half.

    Args:
        directory: The container's directory.
        max_bytes: How large all segments together may become.
        max_files: In how many segments; at least two are kept, so that a rotation never loses the newest output.
        compress: Whether full segments are compressed.
    """

    __slots__ = ("_compressor", "_directory", "_fd", "_keep", "_number", "_segment_bytes", "_size", "_unfinished")

    def __init__(self, directory: str, max_bytes: int, max_files: int, *, compress: bool = False) -> None:
        self._directory = f"{directory}/{DIRECTORY}"
        self._keep = max(max_files, 2)
        self._segment_bytes = max(max_bytes if max_files > 1 else max_bytes // self._keep, 1 << 12)
        self._unfinished: dict[int, bool] = {}
        try:
            os.mkdir(self._directory, 0o700)  # not its parents: the container may have been removed meanwhile
        except FileExistsError:
            pass
        self._compressor = None
        if compress:
            from nbcontainers.runtime.packed import Compressor

            self._compressor = Compressor(self._directory)
        present = segments(directory)
        self._open(max(present, default=1))
        if os.fstat(self._fd).st_size:  # an empty one was made ahead, or by a run that could not be started
            os.close(self._fd)
            self._open(self._number + 1)
        if len(present) >= self._keep:
            self._drop_surplus()

    def _open(self, number: int) -> None:
        path = f"{self._directory}/{number:08d}"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._number = number
        self._size = 0

    def write(self, stream: int, data: bytes, now_ns: int) -> None:
        """Append one frame.

        Raises:
            OSError: ENOSPC when the disk is full.
        """
        size = len(data)
        begins = not self._unfinished.get(stream)
        written = os.writev(self._fd, (HEADER.pack(now_ns, size, stream, begins), data, TRAILER.pack(size)))
        if written != size + OVERHEAD:
            # Half a frame would hide all that is written after it, once there is room again.
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._unfinished[stream] = not data.endswith(b"\n")
        if self._size >= self._segment_bytes:
            self._rotate()

    def _rotate(self) -> None:
        # The new one first: should there be no room for it, the old one is still there to write to.
        full_fd = self._fd
        self._open(self._number + 1)
        os.close(full_fd)
        self._drop_surplus()
        if self._compressor is not None:
            self._compressor.begin(self._number)

    def _drop_surplus(self) -> None:
        """Remove the oldest segments as far as all of them together are larger than they may be.

        Every start of a container begins a segment, so there may be many small ones.
        """
        present = _numbers(os.listdir(self._directory))
        sizes = [_size(self._directory, number) for number in present]
        while len(present) > self._keep and sum(sizes) >= self._keep * self._segment_bytes:
            number = present.pop(0)
            for suffix in ("", PACKED) if self._compressor is not None else ("",):
                try:
                    os.unlink(f"{self._directory}/{number:08d}{suffix}")
                except FileNotFoundError:
                    continue
            sizes.pop(0)

    def close(self, now_ns: int) -> None:
        """Write the end mark."""
        if self._compressor is not None:
            self._compressor.stop()
        self.write(END, b"", now_ns)
        os.close(self._fd)


class Frame:
    """One chunk of output: when it was read, of which stream, whether it begins a line, its bytes."""

    __slots__ = ("begins", "data", "ns", "stream")

    def __init__(self, ns: int, stream: int, data: bytes, begins: int = 1) -> None:
        self.ns = ns
        self.stream = stream
        self.begins = begins
        self.data = data


def segments(directory: str) -> list[int]:
    """Return the numbers of a container's segments, oldest first."""
    try:
        return _numbers(os.listdir(f"{directory}/{DIRECTORY}"))
    except FileNotFoundError:
        return []


def _numbers(names: list[str]) -> list[int]:
    return sorted({int(stem) for name in names if (stem := name.removesuffix(PACKED)).isdigit()})


def _size(log_directory: str, number: int) -> int:
    """Return the size of a segment, as it is or was before it was compressed; 0 where it has gone."""
    path = f"{log_directory}/{number:08d}"
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        from nbcontainers.runtime import packed

    try:
        return packed.unpacked_size(f"{path}{PACKED}")
    except FileNotFoundError:
        return 0


def open_segment(directory: str, number: int) -> tuple[int, Packed | None]:
    """Return a descriptor of a segment, and where it is compressed what reads it.

    Raises:
        FileNotFoundError: A rotation has removed it.
    """
    path = f"{directory}/{DIRECTORY}/{number:08d}"
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags), None
    except FileNotFoundError:
        from nbcontainers.runtime.packed import Packed

    fd = os.open(f"{path}{PACKED}", flags)
    return fd, Packed(fd)


class Reader:
    """Reads frames forward from a place in the log, as far as they are written; the engine's half.

    Args:
        directory: The container's directory.
        segment: Where to start; 0 for the oldest segment.
        offset: Where in the segment.
    """

    def __init__(self, directory: str, segment: int = 0, offset: int = 0) -> None:
        self._directory = directory
        self._number = segment
        self._offset = offset
        self._fd = -1
        self._packed: Packed | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield what is there now; call again when more was written. ``END`` frames are among it."""
        while self._fd >= 0 or self._open_segment():
            # Asked before reading: what is written between the two is then still read, and not skipped.
            closed = any(number > self._number for number in segments(self._directory))
            yield from self._frames_of_segment()
            if not closed:
                return
            self._next_segment()

    def _open_segment(self) -> bool:
        present = [number for number in segments(self._directory) if number >= self._number]
        if not present:
            return False
        if present[0] != self._number:
            self._offset = 0
        self._number = present[0]
        try:
            self._fd, self._packed = open_segment(self._directory, self._number)
        except FileNotFoundError:
            return False
        return True

    @property
    def position(self) -> tuple[int, int]:
        """The segment, and the offset behind the frame that was read last."""
        return self._number, self._offset

    def prepare(self) -> None:
        """Open the segment; of a compressed one all before the place is read here, which takes a while."""
        if self._open_segment() and self._packed is not None:
            self._packed.pread(1, self._offset)

    def _read(self) -> bytes:
        if self._packed is not None:
            return self._packed.pread(_READ_BYTES, self._offset)
        return os.pread(self._fd, _READ_BYTES, self._offset)

    def _frames_of_segment(self) -> Iterator[Frame]:
        while True:
            block = self._read()
            position = 0
            while position + HEADER.size <= len(block):
                ns, size, stream, begins = HEADER.unpack_from(block, position)
                end = position + OVERHEAD + size
                if end > len(block):
                    break
                if TRAILER.unpack_from(block, end - TRAILER.size)[0] != size:
                    return
                start = position + HEADER.size
                position = end
                self._offset += OVERHEAD + size
                yield Frame(ns, stream, block[start : start + size], begins)
            # Frames are shorter than a block, so what is left is one that is not written whole yet.
            if position == 0:
                return

    def _next_segment(self) -> None:
        """Leave a segment that will not grow any more."""
        self.close()
        self._number += 1
        self._offset = 0

    def close(self) -> None:
        """Close the segment that is open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def extent(directory: str) -> tuple[int, bool]:
    """Return how many bytes of a container's log are kept, and whether a part of them is compressed."""
    log_directory = f"{directory}/{DIRECTORY}"
    try:
        names = os.listdir(log_directory)
    except FileNotFoundError:
        return 0, False
    size = sum(_size(log_directory, number) for number in _numbers(names))
    return size, any(name.endswith(PACKED) for name in names)

"""Holes: parts of a file that are all zeros, and take no room on the disk.

Source: lseek(2) § Seeking file data and holes.
"""

import os

from nbcontainers.linux.descriptors import write_all

_HOLE_BYTES = 1 << 16
_ZEROS = bytes(_HOLE_BYTES)


def write(fd: int, data: bytes) -> bool:
    """Write a part of a new file; what is all zeros for long enough becomes a hole. Say whether it ends with one."""
    view = memoryview(data)
    begin = end = 0
    while begin < len(data):
        end = begin
        while end < len(data) and not _is_hole(data, end):
            end += _HOLE_BYTES
        write_all(fd, view[begin:end])
        begin = end
        while begin < len(data) and _is_hole(data, begin):
            begin += _HOLE_BYTES
        if begin > end:
            os.lseek(fd, min(begin, len(data)) - end, os.SEEK_CUR)
    return begin > end


def _is_hole(data: bytes, begin: int) -> bool:
    return data.startswith(_ZEROS, begin) or (begin + _HOLE_BYTES > len(data) and not data[begin:].strip(b"\0"))

"""What options take: sizes, numbers of processors, pairs, devices, limits; each read as docker reads it."""

import os
import re
from typing import Any

import click

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
Json = dict[str, Any]


class Size(click.ParamType[int]):
    """A number of bytes such as ``64m``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes, or fail with a sentence."""
        if isinstance(value, int):
            return value
        if value == "-1":
            return -1
        number = size(value)
        if number is None:
            self.fail(f"invalid size '{value}': a number with b, k, m or g is wanted, such as 64m", param, ctx)
        return number


class Cpus(click.ParamType[int]):
    """A number of processors such as ``0.5``, kept in billionths."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return billionths, or fail with a sentence."""
        try:
            return value if isinstance(value, int) else round(float(value) * 10**9)
        except ValueError:
            self.fail(f"invalid number of processors '{value}': such as 0.5 is wanted", param, ctx)


def size(text: str) -> int | None:
    """Return the bytes that ``64m`` and the like stand for, or None."""
    match = _SIZE.fullmatch(text)
    return None if match is None else int(float(match[1]) * _FACTORS[match[2].lower()])


def duration_ns(text: str, option: str) -> int:
    """Return a length of time such as ``1m30s`` or ``200ms``.

    Raises:
        click.UsageError: It is none.

    Source: Go, time.ParseDuration.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise click.UsageError(f"invalid value '{text}' for {option}: a time with a unit is wanted, such as 30s")
    return round(sum(float(number) * _UNITS_NS[unit] for number, unit in parts))


def pairs(entries: tuple[str, ...], option: str) -> dict[str, str]:
    """Read entries such as ``NAME=value``."""
    for entry in entries:
        if "=" not in entry:
            raise click.UsageError(f"invalid value '{entry}' for {option}: NAME=value is wanted")
    return dict(entry.split("=", 1) for entry in entries)


def labels(entries: tuple[str, ...]) -> dict[str, str]:
    """Read labels, of which one without a value has an empty one."""
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def lines(files: tuple[str, ...]) -> list[str]:
    """Return the lines of files of ``NAME=value``, but for empty ones and comments."""
    found = []
    for path in files:
        with open(path) as file:
            found += [line.strip() for line in file if line.strip() and not line.lstrip().startswith("#")]
    return found


def environment(env: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    """Return the variables of files, and above them those given, with this process's values where they have none."""
    result = []
    for entry in [*lines(files), *env]:
        if "=" in entry:
            result.append(entry)
        elif entry in os.environ:
            result.append(f"{entry}={os.environ[entry]}")
    return result


def ulimits(entries: tuple[str, ...]) -> list[Json]:
    """Read limits such as ``nofile=1024:2048``."""
    result = []
    for entry in entries:
        match = re.fullmatch(r"([a-z]+)=(-?\d+)(?::(-?\d+))?", entry)
        if match is None:
            raise click.UsageError(f"invalid value '{entry}' for --ulimit: name=soft[:hard] is wanted")
        result.append({"Name": match[1], "Soft": int(match[2]), "Hard": int(match[3] or match[2])})
    return result


def devices(entries: tuple[str, ...]) -> list[Json]:
    """Read devices: ``/dev/HOST[:/dev/CONTAINER][:rwm]``."""
    result = []
    for entry in entries:
        source, *rest = entry.split(":")
        permissions = rest.pop() if rest and _are_permissions(rest[-1]) else "rwm"
        if not source or len(rest) > 1 or not all(rest):
            raise click.UsageError(
                f"invalid value '{entry}' for --device: PATH_ON_HOST[:PATH_IN_CONTAINER][:rwm] is wanted"
            )
        target = rest[0] if rest else source
        result.append({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": permissions})
    return result


def _are_permissions(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def rates(entries: tuple[str, ...], option: str) -> list[Json]:
    """Read rates of devices: ``PATH:RATE``, in bytes or operations per second."""
    result = []
    for path, rate in _of_devices(entries, option):
        number = size(rate)
        if number is None:
            raise click.UsageError(
                f"invalid value '{path}:{rate}' for {option}: PATH:RATE is wanted, such as /dev/sda:1mb"
            )
        result.append({"Path": path, "Rate": number})
    return result


def weights(entries: tuple[str, ...], option: str) -> list[Json]:
    """Read weights of devices: ``PATH:WEIGHT``."""
    result = []
    for path, weight in _of_devices(entries, option):
        if not weight.isdigit():
            raise click.UsageError(f"invalid value '{path}:{weight}' for {option}: PATH:WEIGHT is wanted")
        result.append({"Path": path, "Weight": int(weight)})
    return result


def _of_devices(entries: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    for entry in entries:
        if not entry.startswith("/dev/") or ":" not in entry:
            raise click.UsageError(f"invalid value '{entry}' for {option}: a path below /dev, a colon, a number")
    return [(path, number) for path, _, number in (entry.rpartition(":") for entry in entries)]

"""Where a container's output goes: Docker's log drivers and their options, as far as this engine has them.

Every log lies in files of the engine's own format; ``json-file`` and ``local`` are names for that, with the sizes that
Docker gives them. What ``labels``, ``env`` and ``tag`` have the log tell of the container is in
``engine.log_attributes``.

Source: Docker documentation, "JSON File logging driver" and "Local file logging driver" § Options.
"""

from dataclasses import dataclass
from typing import Literal

from nbcontainers import errors
from nbcontainers.engine import log_attributes

LogDriver = Literal["json-file", "local", "none"]

_FILE_OPTIONS = frozenset(("max-size", "max-file", "compress", "mode", "max-buffer-size"))
_OPTIONS: dict[str, frozenset[str]] = {
    "json-file": _FILE_OPTIONS | log_attributes.OPTIONS,
    "local": _FILE_OPTIONS,
    "none": frozenset(),
}
_DRIVERS: dict[str, LogDriver] = {"": "json-file", "json-file": "json-file", "local": "local", "none": "none"}
_LOCAL_BYTES, _LOCAL_FILES = 20 << 20, 5
_ELSEWHERE = frozenset(("awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog"))
_SIZE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFiles:
    """How a log is kept: how large a file is (0: the engine's own size), how many, whether full ones are packed."""

    driver: LogDriver
    max_bytes: int
    max_files: int
    compress: bool


def read(name: str, options: dict[str, str]) -> LogFiles:
    """Return how a container's log is to be kept.

    Raises:
        errors.InvalidArgument: There is no such driver or option, or a value makes no sense.
        errors.Unsupported: This engine has not got it.
    """
    driver = _driver(name)
    for option in options:
        if option not in _OPTIONS[driver]:
            raise errors.InvalidArgument(f"unknown log opt '{option}' for {driver} log driver")
    _check_mode(options)
    size, files = (_LOCAL_BYTES, _LOCAL_FILES) if driver == "local" else (0, 1)
    if "max-size" in options and options["max-size"] != "-1":
        size = _size(options["max-size"])
    if "max-file" in options:
        files = _count(options["max-file"])
    compress = _flag(options.get("compress", "false"))
    if compress and driver == "json-file" and (files < 2 or not size):
        raise errors.InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    return LogFiles(driver=driver, max_bytes=size, max_files=files, compress=compress)


def _driver(name: str) -> LogDriver:
    if name in _DRIVERS:
        return _DRIVERS[name]
    if name in _ELSEWHERE:
        raise errors.Unsupported(f"the log driver is not supported by this engine: '{name}', use json-file or none")
    raise errors.InvalidArgument(f"logger: no log driver named '{name}' is registered")


def _check_mode(options: dict[str, str]) -> None:
    """Refuse a mode that is none; the words are Docker's.

    Either mode is what it is here: a log is a file, no reader of it holds the container up, and no line is dropped.
    """
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise errors.InvalidArgument(f"logger: logging mode not supported: {mode}")
    if size := options.get("max-buffer-size"):
        if mode != "non-blocking":
            raise errors.InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        _size(size, "max-buffer-size")


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise errors.InvalidArgument(f"invalid value '{value}' for compress: true or false is wanted")
    return value == "true"


def _count(text: str) -> int:
    if not text.isdigit():
        raise errors.InvalidArgument(f"invalid value '{text}' for max-file: a whole number from 1 is wanted")
    if int(text) < 1:
        raise errors.InvalidArgument("max-file cannot be less than 1")
    return int(text)


def _size(text: str, option: str = "max-size") -> int:
    """Read a size such as ``10m``: a number and one of b, k, m, g, 1024 apart."""
    lowered = text.strip().lower()
    digits = lowered.rstrip("bkmg")
    unit = lowered[len(digits) :].removesuffix("b") if len(lowered) - len(digits) > 1 else lowered[len(digits) :]
    if not digits.isdigit() or unit not in _SIZE_UNITS or not int(digits):
        raise errors.InvalidArgument(f"invalid value '{text}' for {option}: a size such as 10m is wanted")
    return int(digits) * _SIZE_UNITS[unit]

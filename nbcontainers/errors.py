"""The errors of nbcontainers: one small tree, classed by what the caller can do about them.

    Error
    ├── InvalidArgument          400  correct the value and call again
    │   ├── DockerfileError           … it stands at ``line`` and ``column``
    │   └── InvalidReference          … it is not an image reference
    ├── Unauthorized             401  log in
    ├── Forbidden                403  not permitted, logged in or not
    ├── NotFound                 404  create it first
    │   ├── NoSuchContainer
    │   ├── NoSuchImage
    │   ├── NoSuchNetwork
    │   └── NoSuchVolume
    ├── Conflict                 409  something else holds the name or is in the way
    ├── NotModified              304  nothing to do: it is so already
    ├── Unsupported              501  this engine does not do that
    ├── RegistryError            500  a registry cannot be reached, or answers with nonsense: try again later
    ├── NoSpace                  500  free some space on the engine's disk
    ├── Unavailable              503  this machine cannot do that: ``feature``, ``reason``, ``remedy``
    └── Internal                 500  a fault of ours

    OSError
    └── SyscallError                  raised by ``nbcontainers.linux``: ``syscall``, ``path``, ``hint``

Messages are in lower case, without a full stop, with the offending value quoted. The status codes are
given once, in ``nbcontainers.api``; nothing here knows HTTP. This module imports nothing, because the
launcher loads it.
"""


class Error(Exception):
    """Any error that nbcontainers raises on purpose."""


class InvalidArgument(Error):
    """A value is wrong; the message names it and says what would be right."""


class DockerfileError(InvalidArgument):
    """A Dockerfile is wrong at a known place.

    Args:
        message: What is wrong, without the place.
        line: Line number, counted from 1.
        column: Column number, counted from 1.
        source: The offending line as it stands in the file.

    Attributes:
        file: The Dockerfile's name, set by who knows it.
    """

    def __init__(self, message: str, line: int, column: int = 1, source: str = "") -> None:
        self.message = message
        self.line = line
        self.column = column
        self.source = source
        self.file = "Dockerfile"
        super().__init__(message)

    def __str__(self) -> str:
        place = f"dockerfile parse error on line {self.line}, column {self.column}: {self.message}"
        return f"{place}\n{self.excerpt()}" if self.source.strip() else place

    def excerpt(self) -> str:
        """Return the place, and the line with a mark under the column."""
        # Tabs stay tabs in the line below, so that the mark stands under what it means.
        before = "".join("\t" if character == "\t" else " " for character in self.source[: self.column - 1])
        number = str(self.line)
        return (
            f"{self.file}:{self.line}:{self.column}\n"
            f"  {number} | {self.source.rstrip()}\n  {' ' * len(number)} | {before}^"
        )


class InvalidReference(InvalidArgument):
    """A string is not an image reference."""


class Unauthorized(Error):
    """The other side wants credentials, or refuses those given."""


class Forbidden(Error):
    """The operation is not permitted."""


class NotFound(Error):
    """The object named does not exist."""


class NoSuchContainer(NotFound):
    """No container has this name or id."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such container: {name}")


class NoSuchImage(NotFound):
    """No image has this name or id."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such image: {name}: pull it, or build it with %%dockerfile -t {name}")


class NoSuchNetwork(NotFound):
    """No network has this name or id."""

    def __init__(self, name: str) -> None:
        super().__init__(f"network {name} not found")


class NoSuchVolume(NotFound):
    """No volume has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class Conflict(Error):
    """The state of things is in the way: a name is taken, an image is in use."""


class NotModified(Error):
    """The object is already in the state asked for."""


class Unsupported(Error):
    """This engine does not do what was asked for."""


class RegistryError(Error):
    """A registry cannot be reached, has failed, or has given what it should not have."""


class Unavailable(Error):
    """This machine cannot do what was asked for.

    Args:
        feature: What was wanted, such as ``overlay file system``.
        reason: Why it cannot be had, as the kernel or the file system says.
        remedy: What the user can do about it.
    """

    def __init__(self, feature: str, reason: str, remedy: str) -> None:
        self.feature = feature
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{feature} is not available: {reason}; {remedy}")


class NoSpace(Error):
    """The file system that the engine keeps its state on is full; nothing has changed by what was asked for.

    Args:
        directory: The engine's root.
    """

    def __init__(self, directory: object) -> None:
        super().__init__(f"no space left on device: the file system of '{directory}' is full; free some space there")


class Internal(Error):
    """A fault of this program's own."""


class SyscallError(OSError):
    """A system call failed.

    Args:
        errno: The error number, as in ``errno(3)``; the subclass of OSError that it stands for is not used.
        message: The error's text, as ``strerror(3)`` gives it.
        syscall: The system call's name.
        path: The file it was about, or an empty string.
        hint: What usually helps, or an empty string.
    """

    def __init__(self, errno: int, message: str, syscall: str, path: str = "", hint: str = "") -> None:
        self.syscall = syscall
        self.path = path
        self.hint = hint
        super().__init__(errno, message)

    def __str__(self) -> str:
        about = f" '{self.path}'" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.syscall}{about}: {self.strerror}{hint}"

"""What a build is asked to do, and what it tells while it does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nbcontainers.build.cachespecs import CacheSpec
from nbcontainers.errors import Error
from nbcontainers.images.pulling import PullEvent
from nbcontainers.images.registry import Credentials

if TYPE_CHECKING:
    from nbcontainers.runtime.spec import LinuxResources


def _no_limits() -> "LinuxResources":
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A place for one build's context.

    Args:
        path: An absolute path; the files in it belong to this build alone.
        digests: The SHA-256 of files' contents, by their inodes' numbers, as far as they are known.
    """

    path: Path
    digests: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build.

    Args:
        dockerfile: The Dockerfile's path in the context.
        tags: References for the image.
        buildargs: Values for ARG; None takes a name's default.
        labels: Labels for the image.
        nocache: Run every step anew.
        cache_from: What steps may be taken from beside the cache; when images that are here are among it, only
            steps that are in it are taken from the cache.
        cache_to: Where the steps are exported to.
        target: The stage to stop at, by name or number; empty for the last.
        platform: What the image is for, such as ``linux/amd64``; empty for this machine.
        network_mode: Network of RUN: ``default`` (or ``bridge``), ``none`` or ``host``.
        resources: Limits of RUN.
        shm_bytes: The size of /dev/shm in RUN.
        extra_hosts: ``name:address`` for RUN.
        pull: Get the images anew that stages begin with or copy from, though they are here.
        logins: Who asks a registry for an image, by the registry's name.
        secrets: What ``RUN --mount=type=secret`` may ask for, by its name.
    """

    dockerfile: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    buildargs: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    nocache: bool = False
    cache_from: tuple[CacheSpec, ...] = ()
    cache_to: tuple[CacheSpec, ...] = ()
    target: str = ""
    platform: str = ""
    network_mode: str = "default"
    resources: "LinuxResources" = field(default_factory=_no_limits)
    shm_bytes: int = 0
    extra_hosts: tuple[str, ...] = ()
    pull: bool = False
    logins: Mapping[str, Credentials] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step begins: its number, from 1, of so many; its instruction; the stage it belongs to."""

    n: int
    total: int
    text: str
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """So many ONBUILD instructions of the base image are run now, as part of the step FROM."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulling:
    """An image that a stage needs is on its way."""

    event: PullEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit:
    """The step's result was found in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The step's command runs, in this container."""

    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A command of the step has written something."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """The step is done.

    Args:
        n: Its number.
        result: Digits that stand for what there is now: an image's id, or the step's key in the cache.
        container: The container that has gone again, if there was one.
        cached: Nothing had to be done.
        began_ms: When it began, milliseconds after the build did.
        ms: How long it took.
    """

    n: int
    result: str
    container: str = ""
    cached: bool = False
    began_ms: float
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:
    """Something is probably not what was meant; ``line`` is 0 where no line is to blame."""

    text: str
    rule: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something is to be known that belongs to no step."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The image is there."""

    image_id: str
    tags: tuple[str, ...]


BuildEvent = Pulling | Step | Triggers | CacheHit | Running | Output | StepDone | Warning | Note | Built


class BuildError(Error):
    """A step failed.

    Args:
        message: What it said.
        exit_code: Of the command, where one failed.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)

"""What a build is asked to do, and what it tells while it does it."""

from dataclasses import dataclass, field
from typing import Literal

from nbcontainers.errors import Error


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build.

    Args:
        dockerfile: The Dockerfile's path in the context.
        tags: References for the image.
        buildargs: Values for ARG.
        labels: Labels for the image.
        nocache: Run every step anew.
        target: The stage to stop at, by name or number; empty for the last.
        network_mode: Network of RUN: ``default`` (or ``bridge``), ``none`` or ``host``.
        memory_bytes: Memory limit of RUN, 0 for none.
        pull: Ask a registry for newer base images; there is none yet, so the local ones are used.
        rm: Remove the containers of RUN steps; they always are.
    """

    dockerfile: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    buildargs: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    nocache: bool = False
    target: str = ""
    network_mode: str = "default"
    memory_bytes: int = 0
    pull: bool = False
    rm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step begins: its number, from 1, of so many, and its instruction."""

    n: int
    total: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheHit:
    """The step's result was found in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A command of the step has written something."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """The step is done, after so many milliseconds."""

    image_id: str = ""
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:
    """Something is probably not what was meant."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The image is there."""

    image_id: str
    tags: tuple[str, ...]


BuildEvent = Step | CacheHit | Output | StepDone | Warning | Built


class BuildError(Error):
    """A step failed.

    Args:
        message: What it said.
        exit_code: Of the command, where one failed.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)

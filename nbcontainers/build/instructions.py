"""From nodes to typed instructions: what each says, checked as far as that can be done without running anything.

Variables are still in the texts: their values depend on what comes before.

Source: Dockerfile reference, each instruction's section.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from nbcontainers.build import flags, runmounts
from nbcontainers.build.durations import duration_ns
from nbcontainers.build.expansion import ExpansionError
from nbcontainers.build.heredocs import Heredoc, mark
from nbcontainers.build.parser import Node
from nbcontainers.build.runmounts import MountError
from nbcontainers.build.suggestion import did_you_mean
from nbcontainers.images.config import Healthcheck

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_SHORTEST_CHECK_NS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Any instruction; ``node`` is what was written."""

    node: Node

    @property
    def name(self) -> str:
        """Its name, in upper case."""
        return self.node.name

    def __str__(self) -> str:
        return str(self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """FROM: the base's name, the stage's own name in lower case (or empty), and the platform."""

    base: str
    stage: str
    platform: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """ARG: names, each with its default or None."""

    values: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign(Instruction):
    """ENV or LABEL: names and values; ``is_legacy`` for the form without an equals sign."""

    values: tuple[tuple[str, str], ...]
    is_legacy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Instruction):
    """CMD or ENTRYPOINT: words, to be given to the shell unless ``is_exec``."""

    words: tuple[str, ...]
    is_exec: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Command):
    """RUN: a command, the mounts as they are written, its network, and the here-documents that belong to it."""

    mounts: tuple[str, ...]
    network: str

    @property
    def heredocs(self) -> tuple[Heredoc, ...]:
        """What follows the command."""
        return self.node.heredocs


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """COPY or ADD.

    Args:
        sources: Paths, patterns or (ADD) URLs.
        contents: Files written here, by their names.
        destination: Where to.
        from_: A stage, its number, or an image; empty for the context.
        chown: The owner, or empty.
        chmod: The permissions, or empty.
        link: The files stand on nothing that is there before.
        parents: Sources keep their directories.
        excludes: What is left out.
        checksum: What an URL's content must have.
        unpack: Unpack archives: None for those of the context only.
    """

    sources: tuple[str, ...]
    contents: tuple[Heredoc, ...]
    destination: str
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(Instruction):
    """EXPOSE, SHELL or VOLUME: a list."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Instruction):
    """MAINTAINER, STOPSIGNAL, USER or WORKDIR: one text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Instruction):
    """HEALTHCHECK."""

    check: Healthcheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """ONBUILD: an instruction for images that are built on this one, with its here-documents."""

    trigger: str


def parse(node: Node) -> Instruction:
    """Read one node.

    Raises:
        DockerfileError: The instruction is not known, or its flags or arguments make no sense.
    """
    reader = _READERS.get(node.name)
    if reader is None:
        hint = did_you_mean(node.keyword, _READERS)
        raise node.error(f"unknown instruction: {node.keyword}{hint}", node.keyword)
    return reader(node, flags.read(node))


def _at_least_one(node: Node) -> None:
    if not node.arguments:
        raise node.error(f"{node.name} requires at least one argument")


def _from(node: Node, given: flags.Flags) -> From:
    words = node.arguments
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise node.error("FROM requires either one or three arguments: FROM image [AS name]")
    stage = words[2].lower() if len(words) == 3 else ""
    if stage and not _STAGE_NAME.fullmatch(stage):
        reason = "name can't start with a number or contain symbols"
        raise node.error(f'invalid name for build stage: "{words[2]}", {reason}', words[2])
    return From(node=node, base=words[0], stage=stage, platform=given.text("platform"))


def _arg(node: Node, given: flags.Flags) -> Arg:
    _at_least_one(node)
    values: list[tuple[str, str | None]] = []
    for word in node.arguments:
        name, equals, default = word.partition("=")
        if not name:
            raise node.error("ARG names can not be blank", word)
        values.append((name, default if equals else None))
    return Arg(node=node, values=tuple(values))


def _assign(node: Node, given: flags.Flags) -> Assign:
    _at_least_one(node)
    triples = [node.arguments[at : at + 3] for at in range(0, len(node.arguments), 3)]
    for name, value, separator in triples:
        if not name:
            raise node.error(f"{node.name} names can not be blank", f"{separator}{value}")
    return Assign(node=node, values=tuple((name, value) for name, value, _ in triples), is_legacy=not node.arguments[2])


def _command(node: Node, given: flags.Flags) -> Command:
    return Command(node=node, words=node.arguments, is_exec=node.is_json)


def _run(node: Node, given: flags.Flags) -> Run:
    _at_least_one(node)
    if security := given.text("security"):
        if security not in ("sandbox", "insecure"):
            raise node.error(f"security mode '{security}' is not known: sandbox is", "--security")
        if security == "insecure":
            raise node.error("--security=insecure is not supported: a build step is never privileged", "--security")
    if given.list("device"):
        raise node.error("--device is not supported: build steps have no devices of the host", "--device")
    network = given.text("network")
    if network not in ("", "default", "none", "host"):
        raise node.error(f"unsupported network mode '{network}': default, none or host", "--network")
    for text in given.list("mount"):
        _check_mount(node, text)
    return Run(node=node, words=node.arguments, is_exec=node.is_json, mounts=given.list("mount"), network=network)


def _check_mount(node: Node, text: str) -> None:
    """Check a mount as far as no variables stand in it."""
    try:
        runmounts.from_of(text)
        if "$" not in text and runmounts.parse(text, str).type == "ssh":
            raise node.error("--mount=type=ssh is not supported: use a secret for the key", "--mount")
    except MountError as error:
        raise node.error(str(error), text) from error


def _copy(node: Node, given: flags.Flags) -> Copy:
    words = node.arguments
    if len(words) < 2:
        raise node.error(
            f"{node.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    if given.switch("keep-git-dir"):
        raise node.error("--keep-git-dir is not supported: git repositories are not fetched", "--keep-git-dir")
    by_name = {heredoc.name: heredoc for heredoc in node.heredocs}
    marks = {} if node.is_json else {word: found for word in words if (found := _mark(word)) is not None}
    if words[-1] in marks:
        raise node.error(f"{node.name} cannot accept a heredoc as a destination", words[-1])
    if "$" in given.text("from"):
        raise node.error("--from doesn't support variable expansion, define alias stage instead", "--from")
    return Copy(
        node=node,
        sources=tuple(word for word in words[:-1] if word not in marks),
        contents=tuple(by_name[marks[word].name] for word in words[:-1] if word in marks),
        destination=words[-1],
        from_=given.text("from"),
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=given.switch("link"),
        parents=given.switch("parents"),
        excludes=given.list("exclude"),
        checksum=given.text("checksum"),
        unpack=given.switches.get("unpack"),
    )


def _mark(word: str) -> Heredoc | None:
    try:
        return mark(word)
    except ExpansionError:
        return None  # a file may have such a name


def _words(node: Node, given: flags.Flags) -> Words:
    _at_least_one(node)
    if node.name == "VOLUME" and not all(word.strip() for word in node.arguments):
        raise node.error("VOLUME specified can not be an empty string")
    if node.name == "SHELL" and not node.is_json:
        raise node.error('SHELL requires the arguments to be in JSON form, such as ["/bin/sh", "-c"]')
    return Words(node=node, words=node.arguments)


def _text(node: Node, given: flags.Flags) -> Text:
    if len(node.arguments) != 1:
        raise node.error(f"{node.name} requires exactly one argument")
    return Text(node=node, text=node.arguments[0])


def _health(node: Node, given: flags.Flags) -> Health:
    _at_least_one(node)
    kind, words = node.arguments[0].upper(), node.arguments[1:]
    if kind == "NONE":
        if words:
            raise node.error("HEALTHCHECK NONE takes no arguments", words[0])
        return Health(node=node, check=Healthcheck(test=["NONE"]))
    if kind != "CMD":
        raise node.error(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)', node.arguments[0])
    if not words:
        raise node.error("Missing command after HEALTHCHECK CMD")
    retries = given.text("retries") or "0"
    if not re.fullmatch(r"[+-]?\d{1,9}", retries):
        raise node.error(f"--retries must be a whole number, not '{retries}'", "--retries")
    if int(retries) < 0:
        raise node.error(f"--retries cannot be negative ({retries})", "--retries")
    check = Healthcheck(
        test=["CMD" if node.is_json else "CMD-SHELL", *words],
        interval=_interval(node, given, "interval"),
        timeout=_interval(node, given, "timeout"),
        start_period=_interval(node, given, "start-period"),
        start_interval=_interval(node, given, "start-interval"),
        retries=int(retries),
    )
    return Health(node=node, check=check)


def _interval(node: Node, given: flags.Flags, flag: str) -> int:
    try:
        nanoseconds = duration_ns(given.text(flag) or "0")
    except ValueError as error:
        raise node.error(str(error), f"--{flag}") from error
    if nanoseconds != 0 and nanoseconds < _SHORTEST_CHECK_NS:
        raise node.error(f'Interval "{flag}" cannot be less than 1ms', f"--{flag}")
    return nanoseconds


def _onbuild(node: Node, given: flags.Flags) -> Onbuild:
    _at_least_one(node)
    if node.trigger is None:
        raise node.error("ONBUILD requires at least one argument")
    if node.trigger.name == "ONBUILD":
        raise node.error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if node.trigger.name in ("FROM", "MAINTAINER"):
        raise node.error(f"{node.trigger.name} isn't allowed as an ONBUILD trigger", node.trigger.keyword)
    parse(node.trigger)
    documents = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in node.heredocs)
    return Onbuild(node=node, trigger=f"{node.arguments[0]}{documents}")


_READERS: dict[str, Callable[[Node, flags.Flags], Instruction]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": _command,
    "COPY": _copy,
    "ENTRYPOINT": _command,
    "ENV": _assign,
    "EXPOSE": _words,
    "FROM": _from,
    "HEALTHCHECK": _health,
    "LABEL": _assign,
    "MAINTAINER": _text,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _words,
    "STOPSIGNAL": _text,
    "USER": _text,
    "VOLUME": _words,
    "WORKDIR": _text,
}

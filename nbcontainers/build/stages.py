"""What each instruction makes of an image: the state of one stage, and the instructions that only set defaults.

Those that make layers (RUN, COPY, ADD) are the builder's. Source: Dockerfile reference, each instruction's section.
"""

import copy
import posixpath
import re
from collections.abc import Callable

from nbcontainers.build.expansion import ExpansionError, expand, split
from nbcontainers.build.lexer import LogicalLine
from nbcontainers.build.parser import Instruction, parse_line
from nbcontainers.images.config import ContainerDefaults, Healthcheck, HistoryEntry, ImageConfig
from nbcontainers.images.store import timestamp

DEFAULT_SHELL = ["/bin/sh", "-c"]
PREDEFINED_ARGS = {
    name
    for pair in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (pair, pair.lower())
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_UNIT_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class Stage:
    """One stage while it is built.

    Args:
        name: From ``AS``, or empty.
        config: The base image's configuration, copied.
        snapshot: Its top layer.
        key: The cache key of what was made so far.
        buildargs: What the user gave for ARG.
        escape: The Dockerfile's escape character.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        name: str,
        base_id: str,
        config: ImageConfig,
        snapshot: str | None,
        key: str,
        buildargs: dict[str, str],
        escape: str,
    ) -> None:
        self.name = name
        self.base_id = base_id
        self.config = copy.deepcopy(config)
        self.snapshot = snapshot
        self.key = key
        self.args: dict[str, str] = {}
        self.layers: list[str] = []
        self._buildargs = buildargs
        self._escape = escape

    @property
    def defaults(self) -> ContainerDefaults:
        """The defaults that the image will have."""
        return self.config.config

    @property
    def env(self) -> dict[str, str]:
        """ENV so far."""
        return dict(entry.partition("=")[::2] for entry in self.defaults.env or [])

    @property
    def variables(self) -> dict[str, str]:
        """What instructions may refer to: ARG so far, and ENV, which goes before."""
        return {**self.args, **self.env}

    def expand(self, instruction: Instruction, text: str) -> str:
        """Replace the variables in a text.

        Raises:
            DockerfileError: A variable is not written right.
        """
        try:
            return expand(text, self.variables, self._escape)
        except ExpansionError as error:
            raise instruction.error(str(error), "$") from error

    def split(self, instruction: Instruction, text: str) -> list[str]:
        """Split a text at blanks outside of quotes, with the variables replaced.

        Raises:
            DockerfileError: A variable or quote is not written right.
        """
        try:
            return split(text, self.variables, self._escape)
        except ExpansionError as error:
            raise instruction.error(str(error), "$") from error

    def words(self, instruction: Instruction) -> list[str]:
        """Return the instruction's words: its JSON list, or its text split; variables replaced in both."""
        if instruction.words is not None:
            return [self.expand(instruction, word) for word in instruction.words]
        return self.split(instruction, instruction.text)

    def command(self, instruction: Instruction) -> list[str]:
        """Return the command of RUN, CMD or ENTRYPOINT: as it is in exec form, by the shell otherwise."""
        if instruction.words is not None:
            return instruction.words
        return [*(self.defaults.shell or DEFAULT_SHELL), instruction.text]

    def assignments(self, instruction: Instruction) -> dict[str, str]:
        """Return ``A=1 B="two words"``, or the old form ``A value``.

        Raises:
            DockerfileError: It is neither.
        """
        first = instruction.text.split(None, 1)
        if "=" not in first[0]:
            if len(first) < 2:
                raise instruction.error(f"{instruction.keyword} must have two arguments", first[0])
            return {first[0]: self.expand(instruction, first[1])}
        result: dict[str, str] = {}
        for word in self.split(instruction, instruction.text):
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise instruction.error(
                    f'syntax error - can\'t find = in "{word}": must be of the form: name=value', word
                )
            result[name] = value
        return result

    def declare_arg(self, name: str, default: str | None) -> None:
        """Bring an ARG into scope, with the user's value or its default."""
        value = self._buildargs.get(name, default)
        if value is not None:
            self.args[name] = value

    def record(self, text: str, *, empty_layer: bool) -> None:
        """Append a step to the image's history."""
        self.config.history.append(HistoryEntry(created=timestamp(), created_by=text, empty_layer=empty_layer))


def duration_ns(text: str) -> int:
    """Return a duration such as ``1m30s`` in nanoseconds.

    Raises:
        ValueError: It is none.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"invalid duration '{text}': such as 30s or 1m30s is wanted")
    return round(sum(float(number) * _UNIT_NS[unit] for number, unit in parts))


def _env(stage: Stage, instruction: Instruction) -> None:
    values = {**stage.env, **stage.assignments(instruction)}
    stage.defaults.env = [f"{name}={value}" for name, value in values.items()]


def _label(stage: Stage, instruction: Instruction) -> None:
    stage.defaults.labels = {**(stage.defaults.labels or {}), **stage.assignments(instruction)}


def _arg(stage: Stage, instruction: Instruction) -> None:
    for word in stage.split(instruction, instruction.text):
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise instruction.error(f"ARG names must be letters, digits and underscores, not '{name}'", name)
        stage.declare_arg(name, value if equals else None)


def _workdir(stage: Stage, instruction: Instruction) -> None:
    path = stage.expand(instruction, instruction.text.strip("\"'"))
    stage.defaults.working_dir = posixpath.normpath(posixpath.join(stage.defaults.working_dir or "/", path))


def _user(stage: Stage, instruction: Instruction) -> None:
    stage.defaults.user = stage.expand(instruction, instruction.text)


def _expose(stage: Stage, instruction: Instruction) -> None:
    ports = dict(stage.defaults.exposed_ports or {})
    for word in stage.split(instruction, instruction.text):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", word.lower())
        if match is None or not 0 < int(match[1]) <= int(match[2] or match[1]) <= 65535:
            raise instruction.error(f"invalid containerPort: {word}", word)
        for port in range(int(match[1]), int(match[2] or match[1]) + 1):
            ports[f"{port}/{match[3] or 'tcp'}"] = {}
    stage.defaults.exposed_ports = ports


def _cmd(stage: Stage, instruction: Instruction) -> None:
    stage.defaults.cmd = stage.command(instruction)


def _entrypoint(stage: Stage, instruction: Instruction) -> None:
    stage.defaults.entrypoint = stage.command(instruction)
    # An ENTRYPOINT of one's own makes the base image's CMD meaningless.
    stage.defaults.cmd = None


def _volume(stage: Stage, instruction: Instruction) -> None:
    paths = stage.words(instruction)
    if not all(paths):
        raise instruction.error("VOLUME specified can not be an empty string")
    stage.defaults.volumes = {**(stage.defaults.volumes or {}), **{path: {} for path in paths}}


def _stopsignal(stage: Stage, instruction: Instruction) -> None:
    value = stage.expand(instruction, instruction.text)
    if not re.fullmatch(r"\d{1,2}|(SIG)?[A-Z0-9+]+", value.upper()):
        raise instruction.error(f"invalid signal: '{value}'", instruction.text)
    stage.defaults.stop_signal = value


def _shell(stage: Stage, instruction: Instruction) -> None:
    if not instruction.words:
        raise instruction.error('SHELL requires the arguments to be in JSON form, such as ["/bin/sh", "-c"]')
    stage.defaults.shell = instruction.words


def _onbuild(stage: Stage, instruction: Instruction) -> None:
    stage.defaults.on_build = [*(stage.defaults.on_build or []), instruction.text]


def _maintainer(stage: Stage, instruction: Instruction) -> None:
    stage.config.author = instruction.text


def _healthcheck(stage: Stage, instruction: Instruction) -> None:
    keyword, _, rest = instruction.text.partition(" ")
    if keyword.upper() == "NONE" and not rest.strip():
        stage.defaults.healthcheck = Healthcheck(test=["NONE"])
        return
    if keyword.upper() != "CMD" or not rest.strip():
        raise instruction.error(f'unknown type "{keyword}" in HEALTHCHECK (try CMD or NONE)', keyword)
    inner = rest.strip()
    words = ["CMD-SHELL", inner]
    if inner.startswith("["):
        line = LogicalLine(text=f"CMD {inner}", line=instruction.place.line, source=instruction.place.source)
        parsed = parse_line(line).words
        words = ["CMD", *parsed] if parsed is not None else words
    check = Healthcheck(test=words)
    try:
        check.interval = duration_ns(instruction.flags.get("interval", "0s"))
        check.timeout = duration_ns(instruction.flags.get("timeout", "0s"))
        check.start_period = duration_ns(instruction.flags.get("start-period", "0s"))
        check.start_interval = duration_ns(instruction.flags.get("start-interval", "0s"))
        check.retries = int(instruction.flags.get("retries", "0"))
    except ValueError as error:
        raise instruction.error(str(error)) from error
    stage.defaults.healthcheck = check


SETTERS: dict[str, Callable[[Stage, Instruction], None]] = {
    "ARG": _arg,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
"""The instructions that change what the image says, and no file in it."""

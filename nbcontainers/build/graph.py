"""From instructions to a graph of stages: who builds on whom, who copies from whom, and which are wanted at all.

Everything that names a stage or an image is settled here, before anything runs: FROM with its arguments, ``COPY
--from``, ``RUN --mount=from=``, and the triggers that a base image has left (ONBUILD).

Source: Dockerfile reference § FROM, § ARG (Scope), § ONBUILD; Docker documentation, Multi-stage builds.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from nbcontainers.build import instructions as typed
from nbcontainers.build import platforms, runmounts
from nbcontainers.build.expansion import Expansion, ExpansionError, process
from nbcontainers.build.instructions import Arg, Copy, From, Instruction, Onbuild, Run
from nbcontainers.build.lexer import lex
from nbcontainers.build.parser import Node, Tree, parse_line
from nbcontainers.build.platforms import Platform
from nbcontainers.build.rules import Checks
from nbcontainers.build.suggestion import did_you_mean
from nbcontainers.errors import DockerfileError, InvalidArgument
from nbcontainers.images.references import normalize

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where COPY or a mount takes files from: a stage by its number, or an image by its name."""

    stage: int | None
    image: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """One stage.

    Args:
        number: Its position in the Dockerfile, from 0.
        start: Its FROM.
        base: The base with its variables replaced: a stage's name or an image's.
        parent: The stage that it builds on, None for an image or nothing.
        platform: What it is for; the machine that runs its commands may be another one.
        triggers: What its base wants to have run first.
        body: Its own instructions.
        sources: For each name that its instructions copy or mount from, what is meant.
    """

    number: int
    start: From
    base: str
    parent: int | None
    platform: Platform
    triggers: list[Instruction] = field(default_factory=list)
    body: list[Instruction] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.start.stage or f"stage-{self.number}"

    def naming(self, image: str) -> Iterator[Node]:
        """Yield its instructions that name an image."""
        if self.parent is None and self.base == image:
            yield self.start.node
        names = [name for name, source in self.sources.items() if source.image == image]
        for one in self.body:
            if any(f"from={name}" in flag for name in names for flag in one.node.flags):
                yield one.node

    def needs(self) -> set[int]:
        """Return the stages that must be built for this one."""
        copied = {source.stage for source in self.sources.values() if source.stage is not None}
        return copied | ({self.parent} if self.parent is not None else set())


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What is to be built.

    Args:
        preamble: The ARG instructions before the first FROM.
        all_stages: All stages, in the order of the Dockerfile.
        stages: Those of them that are wanted.
        target: The number of the stage whose image is the result.
        arguments: The values of the global scope: the platform's, and those of the preamble.
        declared: Every name that some ARG declares.
        platform: What is built for.
    """

    preamble: list[Arg]
    all_stages: list[Stage]
    stages: list[Stage]
    target: int
    arguments: dict[str, str]
    declared: frozenset[str]
    platform: Platform

    def naming(self, image: str) -> Node:
        """Return the first instruction of the wanted stages that names an image."""
        nodes = [node for stage in self.stages for node in stage.naming(image)]
        return nodes[0] if nodes else self.stages[0].start.node


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What of the build's options matters here, and how to find an image's triggers."""

    buildargs: dict[str, str]
    target: str
    platform: str
    triggers_of: Callable[[str, Platform], list[str]]


def plan(tree: Tree, wish: Wish, checks: Checks) -> Graph:
    """Sort a Dockerfile's stages.

    Raises:
        DockerfileError: An instruction makes no sense, or names what is not there.
        InvalidArgument: There is no such target or platform.
    """
    return _Planner(tree, wish, checks).graph()


class _Planner:
    """Reads the instructions once, from top to bottom."""

    def __init__(self, tree: Tree, wish: Wish, checks: Checks) -> None:
        self._escape = tree.escape
        self._wish = wish
        self._checks = checks
        self._instructions = [typed.parse(node) for node in tree.nodes]
        self._platform = platforms.parse(wish.platform) if wish.platform else platforms.this()
        if self._platform.os != "linux":
            raise InvalidArgument(f"cannot build for the platform '{self._platform}': images for linux are built")
        self._stages: list[Stage] = []

    def graph(self) -> Graph:
        """Return the graph."""
        first = next((n for n, one in enumerate(self._instructions) if not isinstance(one, Arg)), None)
        if first is None or not isinstance(self._instructions[first], From):
            at = self._instructions[first or 0]
            raise at.node.error("no build stage in current context: the first instruction must be FROM")
        preamble = [one for one in self._instructions[:first] if isinstance(one, Arg)]
        self._arguments = platforms.arguments(self._platform, self._target_name(self._instructions))
        # A platform argument may be given like any other.
        self._arguments |= {name: self._wish.buildargs.get(name, value) for name, value in self._arguments.items()}
        self._named = {name for one in preamble for name, _ in one.values}
        self._check_defaults(preamble)
        self._arguments = self._with_preamble(preamble, self._wish.buildargs)
        for one in self._instructions[first:]:
            if isinstance(one, From):
                self._begin(one)
            else:
                self._take(self._stages[-1], one)
                self._stages[-1].body.append(one)
        target = self._target()
        return Graph(
            preamble=preamble,
            all_stages=self._stages,
            stages=[self._stages[number] for number in sorted(self._wanted(target))],
            target=target,
            arguments=self._arguments,
            declared=frozenset(
                name for one in self._all_instructions(preamble) if isinstance(one, Arg) for name, _ in one.values
            ),
            platform=self._platform,
        )

    def _target_name(self, instructions: Iterable[Instruction]) -> str:
        names = [one.stage for one in instructions if isinstance(one, From)]
        return self._wish.target or (names[-1] if names else "")

    def _all_instructions(self, preamble: list[Arg]) -> Iterable[Instruction]:
        yield from preamble
        for stage in self._stages:
            yield from stage.triggers
            yield from stage.body

    def _with_preamble(self, preamble: list[Arg], buildargs: dict[str, str]) -> dict[str, str]:
        arguments = dict(self._arguments)
        for one in preamble:
            for name, default in one.values:
                if name in buildargs:
                    arguments[name] = buildargs[name]
                elif default is not None:
                    arguments[name] = self._expanded(one.node, default, arguments).text
        return arguments

    def _check_defaults(self, preamble: list[Arg]) -> None:
        """Warn of a FROM that names an image only with the help of the user's arguments."""
        try:
            arguments = self._with_preamble(preamble, {})
            for one in self._instructions:
                if isinstance(one, From) and "$" in one.base:
                    base = self._expanded(one.node, one.base, arguments).text
                    try:
                        normalize(base)
                    except InvalidArgument:
                        self._checks.warn("InvalidDefaultArgInFrom", one.node, one.base)
        except DockerfileError:
            return  # it will be said when the true arguments are there

    def _expanded(self, node: Node, text: str, arguments: dict[str, str]) -> Expansion:
        try:
            return process(text, arguments, self._escape)
        except ExpansionError as error:
            raise node.error(str(error), "$") from error

    def _begin(self, start: From) -> None:
        base, hint = self._in_from(start, start.base)
        if not base:
            raise start.node.error(f"base name ({start.base}) should not be blank{hint}", start.base)
        parent = self._stage_named(base)
        platform = self._platform_of(start) if start.platform else self._platform
        if parent is not None:
            platform = self._stages[parent].platform
        stage = Stage(number=len(self._stages), start=start, base=base, parent=parent, platform=platform)
        if parent is not None:
            texts = [one.trigger for one in self._stages[parent].body if isinstance(one, Onbuild)]
        else:
            texts = [] if base == SCRATCH else self._wish.triggers_of(base, platform)
        stage.triggers = [self._trigger(start, text) for text in texts]
        for trigger in stage.triggers:
            self._take(stage, trigger)
        self._stages.append(stage)

    def _in_from(self, start: From, text: str) -> tuple[str, str]:
        """Replace the arguments in a part of FROM, and warn of those that are not declared.

        Returns:
            The text, and what to say of those.
        """
        expansion = self._expanded(start.node, text, self._arguments)
        hint = ""
        for name in expansion.unset:
            if name not in self._named:
                hint = did_you_mean(name, self._arguments)
                self._checks.warn("UndefinedArgInFrom", start.node, name, hint)
        return expansion.text, hint

    def _platform_of(self, start: From) -> Platform:
        text, hint = self._in_from(start, start.platform)
        if not text:
            raise start.node.error(f"empty platform value from expression {start.platform}{hint}", start.platform)
        try:
            platform = platforms.parse(text)
        except InvalidArgument as error:
            message = f"failed to parse platform {start.platform}: {error}{hint}"
            raise start.node.error(message, start.platform) from error
        if start.platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
            self._checks.warn("RedundantTargetPlatform", start.node, start.platform)
        if "$" not in start.platform and not any(
            part in start.stage for part in (platform.os, platform.architecture) if start.stage
        ):
            self._checks.warn("FromPlatformFlagConstDisallowed", start.node, text)
        if platform.os != "linux":
            raise start.node.error(
                f"cannot build a stage for the platform '{platform}': images for linux are built", "--platform"
            )
        return platform

    def _trigger(self, start: From, text: str) -> Instruction:
        """Read an ONBUILD instruction of the base; what is wrong with it is said at FROM."""
        try:
            lexed = lex(text)
            if len(lexed.lines) != 1:
                raise start.node.error("onbuild trigger should be a single expression")
            return typed.parse(parse_line(lexed.lines[0], self._escape))
        except DockerfileError as error:
            raise start.node.error(f"ONBUILD of the base: {error.message}") from error

    def _stage_named(self, name: str) -> int | None:
        """Return the last stage so far that has this name."""
        for stage in reversed(self._stages):
            if stage.start.stage and stage.start.stage == name.lower():
                return stage.number
        return None

    def _take(self, stage: Stage, one: Instruction) -> None:
        """Settle what an instruction takes files from."""
        if isinstance(one, Copy) and one.from_:
            stage.sources[one.from_] = self._source(stage, one, one.from_, numbers=True)
        if isinstance(one, Run):
            for text in one.mounts:
                if name := runmounts.from_of(text):
                    stage.sources[name] = self._source(stage, one, name, numbers=False)

    def _source(self, stage: Stage, one: Instruction, name: str, *, numbers: bool) -> Source:
        if numbers and name.isdecimal():
            if int(name) >= stage.number:
                raise one.node.error(f"invalid from flag value {name}: there is no earlier stage {name}", name)
            return Source(stage=int(name), image="")
        earlier = [other for other in self._stages if other.number < stage.number]
        for other in reversed(earlier):
            if other.start.stage == name.lower():
                return Source(stage=other.number, image="")
        later = [other.stage for other in self._instructions if isinstance(other, From)][stage.number :]
        if name.lower() in later:
            raise one.node.error(
                f'cannot copy from stage "{name}", it needs to be defined before current stage "{stage.name}"', name
            )
        return Source(stage=None, image=name)

    def _target(self) -> int:
        wanted = self._wish.target
        if not wanted:
            return len(self._stages) - 1
        found = self._stage_named(wanted)
        if found is None and wanted.isdecimal() and int(wanted) < len(self._stages):
            found = int(wanted)
        if found is None:
            names = [stage.start.stage for stage in self._stages if stage.start.stage]
            raise InvalidArgument(f"target stage '{wanted}' could not be found{did_you_mean(wanted, names)}")
        return found

    def _wanted(self, target: int) -> set[int]:
        wanted, pending = set[int](), [target]
        while pending:
            number = pending.pop()
            if number not in wanted:
                wanted.add(number)
                pending += self._stages[number].needs()
        return wanted

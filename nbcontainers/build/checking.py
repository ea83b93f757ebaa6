"""The build checks that can be made before anything runs.

Those about variables and ignored files are made where these are known: in ``graph``, ``draft`` and ``steps``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nbcontainers.build.graph import Graph
from nbcontainers.build.instructions import Arg, Assign, Command, From, Instruction, Run, Text
from nbcontainers.build.parser import Node
from nbcontainers.build.rules import Checks

_SECRETS = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRETS = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_RESERVED = ("context", "scratch")
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


def check(plan: Graph, checks: Checks) -> None:
    """Look at a whole Dockerfile; at what only concerns running it, in the stages that are run."""
    stages = [(stage.start, *stage.body) for stage in plan.all_stages]
    listed = [*plan.preamble, *(one for stage in stages for one in stage)]
    _casing([one.node for one in listed], checks)
    names: set[str] = set()
    for one in listed:
        if one.node.place.gap_ends:
            checks.warn("NoEmptyContinuation", one.node, line=one.node.place.gap_ends)
        if isinstance(one, From):
            _stage_name(one, names, checks)
        elif isinstance(one, Arg):
            _description(one.node, "ARG", [name for name, _ in one.values], checks)
        elif one.name == "MAINTAINER":
            checks.warn("MaintainerDeprecated", one.node)
    for one in plan.preamble:
        _secrets(one, checks)
    known: dict[int, _Known] = {}
    for stage in plan.stages:
        parent = known.get(-1 if stage.parent is None else stage.parent, _Known())
        known[stage.number] = _stage(stage.body, replace(parent), checks)


@dataclass(slots=True)
class _Known:
    """What a stage hands on: whether it has a shell of its own, and an absolute working directory."""

    shell: bool = False
    absolute: bool = False


def _stage(body: Iterable[Instruction], known: _Known, checks: Checks) -> _Known:
    last: dict[str, Instruction] = {}
    for one in body:
        if isinstance(one, Text) and one.name == "WORKDIR":
            if not known.absolute and not one.text.strip("\"'").startswith(("/", "$")):
                checks.warn("WorkdirRelativePath", one.node, one.text)
            known.absolute = True
        elif one.name == "SHELL":
            known.shell = True
        elif isinstance(one, Command) and not isinstance(one, Run) and not one.is_exec and not known.shell:
            checks.warn("JSONArgsRecommended", one.node, one.name)
        elif isinstance(one, Assign) and one.is_legacy:
            checks.warn("LegacyKeyValueFormat", one.node, one.name)
        _secrets(one, checks)
        if one.name in _ONCE:
            if before := last.get(one.name):
                checks.warn("MultipleInstructionsDisallowed", before.node, one.name)
            last[one.name] = one
    return known


def _casing(nodes: list[Node], checks: Checks) -> None:
    lower = sum(node.keyword.islower() for node in nodes)
    upper = sum(node.keyword.isupper() for node in nodes)
    for node in nodes:
        wanted = node.keyword.lower() if lower > upper else node.keyword.upper()
        if node.keyword != wanted:
            checks.warn(
                "ConsistentInstructionCasing", node, node.keyword, "lowercase" if lower > upper else "uppercase"
            )


def _stage_name(one: From, names: set[str], checks: Checks) -> None:
    words = one.node.arguments
    if not one.stage:
        return
    if words[2] != words[2].lower():
        checks.warn("StageNameCasing", one.node, words[2])
    keyword = one.node.keyword
    if (keyword.islower() and not words[1].islower()) or (keyword.isupper() and not words[1].isupper()):
        checks.warn("FromAsCasing", one.node, keyword, words[1])
    if one.stage in _RESERVED:
        checks.warn("ReservedStageName", one.node, one.stage)
    if one.stage in names:
        checks.warn("DuplicateStageName", one.node, one.stage)
    names.add(one.stage)
    _description(one.node, "FROM", [one.stage], checks)


def _secrets(one: Instruction, checks: Checks) -> None:
    """Look at the names that ARG and ENV give."""
    if isinstance(one, Arg) or (isinstance(one, Assign) and one.name == "ENV"):
        for name, _ in one.values:
            if _SECRETS.search(name) and not _NO_SECRETS.search(name):
                checks.warn("SecretsUsedInArgOrEnv", one.node, one.name, name)


def _description(node: Node, instruction: str, names: list[str], checks: Checks) -> None:
    comments = node.place.comments
    if comments and comments[-1].partition(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        checks.warn("InvalidDefinitionDescription", node, instruction, example)

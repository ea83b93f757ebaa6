"""The build checks that can be made before anything runs.

Those about variables and ignored files are made where these are known: in ``graph``, ``draft`` and ``steps``.
"""

import re
from collections.abc import Iterable

from nbcontainers.build.instructions import Arg, Assign, Command, From, Instruction, Run, Text, Words
from nbcontainers.build.parser import Node
from nbcontainers.build.rules import Checks

_SECRETS = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRETS = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_RESERVED = ("context", "scratch")
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


def check(instructions: Iterable[Instruction], checks: Checks) -> None:
    """Look at a whole Dockerfile."""
    listed = list(instructions)
    _casing([one.node for one in listed], checks)
    names: set[str] = set()
    last: dict[str, Instruction] = {}
    shell = absolute = False
    for one in listed:
        if one.node.place.has_gap:
            checks.warn("NoEmptyContinuation", one.node)
        if isinstance(one, From):
            _stage(one, names, checks)
            last, shell, absolute = {}, False, False
        elif isinstance(one, Text):
            absolute = _text(one, checks, absolute=absolute)
        elif isinstance(one, Words):
            shell = shell or one.name == "SHELL"
        elif isinstance(one, Command) and not isinstance(one, Run) and not one.is_exec and not shell:
            checks.warn("JSONArgsRecommended", one.node, one.name)
        else:
            _names(one, checks)
        if one.name in _ONCE:
            if before := last.get(one.name):
                checks.warn("MultipleInstructionsDisallowed", before.node, one.name)
            last[one.name] = one


def _casing(nodes: list[Node], checks: Checks) -> None:
    lower = sum(node.keyword.islower() for node in nodes)
    upper = sum(node.keyword.isupper() for node in nodes)
    for node in nodes:
        wanted = node.keyword.lower() if lower > upper else node.keyword.upper()
        if node.keyword != wanted:
            checks.warn(
                "ConsistentInstructionCasing", node, node.keyword, "lowercase" if lower > upper else "uppercase"
            )


def _stage(one: From, names: set[str], checks: Checks) -> None:
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


def _text(one: Text, checks: Checks, *, absolute: bool) -> bool:
    """Look at MAINTAINER and WORKDIR; returns whether the working directory is known to be absolute from here on."""
    if one.name == "MAINTAINER":
        checks.warn("MaintainerDeprecated", one.node)
    if one.name != "WORKDIR":
        return absolute
    if not absolute and not one.text.strip("\"'").startswith(("/", "$")):
        checks.warn("WorkdirRelativePath", one.node, one.text)
    return True


def _names(one: Instruction, checks: Checks) -> None:
    """Look at the names that ARG, ENV and LABEL give."""
    if isinstance(one, Assign) and one.is_legacy:
        checks.warn("LegacyKeyValueFormat", one.node, one.name)
    if isinstance(one, Arg):
        _description(one.node, "ARG", [name for name, _ in one.values], checks)
    if isinstance(one, Arg) or (isinstance(one, Assign) and one.name == "ENV"):
        for name, _ in one.values:
            if _SECRETS.search(name) and not _NO_SECRETS.search(name):
                checks.warn("SecretsUsedInArgOrEnv", one.node, one.name, name)


def _description(node: Node, instruction: str, names: list[str], checks: Checks) -> None:
    comments = node.place.comments
    if comments and comments[-1].partition(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        checks.warn("InvalidDefinitionDescription", node, instruction, example)

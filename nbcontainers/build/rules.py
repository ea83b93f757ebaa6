"""The build checks: what in a Dockerfile works, and is still not what one wants. A table, and who reads it.

``# check=skip=Rule,Other;error=true;experimental=all`` at the top of a Dockerfile, or above one instruction, says
which rules apply, and whether a warning is an error.

Source: Dockerfile reference § check; Build checks reference, whose names and descriptions these are.
"""

import re
from dataclasses import dataclass, field, replace

from nbcontainers.build.events import Warning
from nbcontainers.build.parser import Node
from nbcontainers.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Rule:
    """One check: its name, what it asks for, the text of its warning, and whether it must be asked for itself."""

    name: str
    description: str
    text: str
    is_experimental: bool = False


RULES = {
    rule.name: rule
    for rule in (
        Rule("StageNameCasing", "Stage names should be lowercase", "Stage name '{0}' should be lowercase"),
        Rule(
            "FromAsCasing",
            "The 'as' keyword should match the case of the 'from' keyword",
            "'{1}' and '{0}' keywords' casing do not match",
        ),
        Rule(
            "NoEmptyContinuation",
            "Empty continuation lines will become errors in a future release",
            "Empty continuation line",
        ),
        Rule(
            "ConsistentInstructionCasing",
            "All commands within the Dockerfile should use the same casing (either upper or lower)",
            "Command '{0}' should match the case of the command majority ({1})",
        ),
        Rule(
            "DuplicateStageName",
            "Stage names should be unique",
            'Duplicate stage name "{0}", stage names should be unique',
        ),
        Rule(
            "ReservedStageName",
            "Reserved words should not be used as stage names",
            'Stage name should not use the same name as reserved stage "{0}"',
        ),
        Rule(
            "JSONArgsRecommended",
            "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
            "JSON arguments recommended for {0} to prevent unintended behavior related to OS signals",
        ),
        Rule(
            "MaintainerDeprecated",
            "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
            "Maintainer instruction is deprecated in favor of using label",
        ),
        Rule(
            "UndefinedArgInFrom",
            "FROM command must use declared ARGs",
            "FROM argument '{0}' is not declared{1}",
        ),
        Rule(
            "WorkdirRelativePath",
            "Relative workdir without an absolute workdir declared within the build can have unexpected results "
            "if the base image changes",
            'Relative workdir "{0}" can have unexpected results if the base image changes',
        ),
        Rule(
            "UndefinedVar",
            "Variables should be defined before their use",
            "Usage of undefined variable '${0}'{1}",
        ),
        Rule(
            "MultipleInstructionsDisallowed",
            "Multiple instructions of the same type should not be used in the same stage",
            "Multiple {0} instructions should not be used in the same stage because only the last one will be used",
        ),
        Rule(
            "LegacyKeyValueFormat",
            "Legacy key/value format with whitespace separator should not be used",
            '"{0} key=value" should be used instead of legacy "{0} key value" format',
        ),
        Rule(
            "InvalidBaseImagePlatform",
            "Base image platform does not match expected target platform",
            'Base image {0} was pulled with platform "{1}", expected "{2}" for current build',
        ),
        Rule(
            "RedundantTargetPlatform",
            "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            "Setting platform to predefined {0} in FROM is redundant as this is the default behavior",
        ),
        Rule(
            "SecretsUsedInArgOrEnv",
            "Sensitive data should not be used in the ARG or ENV commands",
            'Do not use ARG or ENV instructions for sensitive data ({0} "{1}")',
        ),
        Rule(
            "InvalidDefaultArgInFrom",
            "Default value for global ARG results in an empty or invalid base image name",
            "Default value for ARG {0} results in empty or invalid base image name",
        ),
        Rule(
            "FromPlatformFlagConstDisallowed",
            "FROM --platform flag should not use a constant value",
            'FROM --platform flag should not use constant value "{0}"',
        ),
        Rule(
            "CopyIgnoredFile",
            "Attempting to Copy file that is excluded by .dockerignore",
            'Attempting to {0} file "{1}" that is excluded by .dockerignore',
        ),
        Rule(
            "InvalidDefinitionDescription",
            "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
            "If this is not intended to be a description comment, add an empty line or comment between the instruction "
            "and the comment.",
            "Comment for {0} should follow the format: `# {1} <description>`",
            is_experimental=True,
        ),
        Rule(
            "ExposeProtoCasing",
            "Protocol in EXPOSE instruction should be lowercase",
            "Defined protocol '{0}' in EXPOSE instruction should be lowercase",
        ),
        Rule(
            "ExposeInvalidFormat",
            "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a "
            "future release",
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{0}'",
        ),
    )
}

_COMMENT = re.compile(r"check\s*=\s*(\S+)(?:\s.*)?", re.IGNORECASE)
_ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which rules apply: those to leave out, those to take though experimental (``all`` for every one)."""

    skipped: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    def apply(self, rule: Rule) -> bool:
        """Say whether a rule is to be looked at."""
        if rule.is_experimental:
            return bool(self.experimental & {_ALL, rule.name})
        return not self.skipped & {_ALL, rule.name}


def settings(text: str) -> Settings:
    """Read what stands behind ``check=``.

    Raises:
        InvalidArgument: An option is not known.
    """
    found = Settings()
    for part in text.strip().split(";") if text.strip() else []:
        name, equals, value = (word.strip() for word in part.partition("="))
        names = frozenset(word.strip() for word in value.split(","))
        if not equals or name not in ("skip", "experimental", "error"):
            raise InvalidArgument(f"invalid check option '{part}': skip, experimental or error is wanted")
        if name == "error" and value.lower() not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid check option '{part}': true or false is wanted")
        if name == "skip":
            found = replace(found, skipped=names)
        elif name == "experimental":
            found = replace(found, experimental=names)
        else:
            found = replace(found, is_error=value.lower() in ("true", "1"))
    return found


@dataclass(slots=True, kw_only=True)
class Checks:
    """Takes note of what rules find; ``found`` are the warnings that nobody has taken yet."""

    settings: Settings = field(default_factory=Settings)
    found: list[Warning] = field(default_factory=list)
    violated: set[str] = field(default_factory=set)

    def warn(self, rule: str, node: Node, *values: str, line: int = 0) -> None:
        """Note a warning about an instruction, or a line of it, unless the rule does not apply to it."""
        applies = self.settings
        for comment in node.place.comments:
            if match := _COMMENT.fullmatch(comment):
                here = settings(match[1])
                applies = replace(
                    applies,
                    skipped=applies.skipped | here.skipped,
                    experimental=applies.experimental | here.experimental,
                )
        if not applies.apply(RULES[rule]):
            return
        warning = Warning(text=RULES[rule].text.format(*values), rule=rule, line=line or node.place.line)
        if warning not in self.found:
            self.found.append(warning)
            self.violated.add(rule)

    def take(self) -> list[Warning]:
        """Return the warnings since the last time."""
        taken, self.found = self.found, []
        return taken

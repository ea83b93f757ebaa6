"""Filters that the user writes: profiles in Docker's JSON, compiled as the default filter is.

A profile has a default action, and rules that give other actions to system calls, each perhaps only with certain
arguments. A rule can be for certain machines: it ``includes`` or ``excludes`` architectures, kernels from a version
on, and containers that have a capability; what is left of a profile is what holds for this container, here.

Source: Docker documentation, "Seccomp security profiles for Docker"; OCI runtime-spec, config-linux.md § Seccomp.
"""

from __future__ import annotations

import errno
import json
import os
import platform

from nbcontainers.errors import InvalidArgument
from nbcontainers.linux import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    class Argument(TypedDict):
        """A condition on one argument of a call."""

        index: int
        value: int
        valueTwo: NotRequired[int]
        op: str

    class Condition(TypedDict, total=False):
        """Where a rule holds, or does not."""

        arches: list[str]
        caps: list[str]
        minKernel: str

    class Rule(TypedDict, total=False):
        """What happens to some calls."""

        name: str
        names: list[str]
        action: str
        errnoRet: int
        args: list[Argument]
        includes: Condition
        excludes: Condition

    class Architecture(TypedDict, total=False):
        """A machine's architecture, and others whose programs it runs as well."""

        architecture: str
        subArchitectures: list[str]

    class Profile(TypedDict, total=False):
        """A profile."""

        defaultAction: str
        defaultErrnoRet: int
        architectures: list[str]
        archMap: list[Architecture]
        syscalls: list[Rule]


ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": seccomp.ERRNO,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": seccomp.ALLOW,
}
"""``SECCOMP_RET_…`` by libseccomp's names; those with an error take it in the lower half."""
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_OPERATORS = {
    "SCMP_CMP_NE": seccomp.NOT_EQUAL,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": seccomp.EQUAL,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQUAL,
}
_MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}
"""This machine's architecture in conditions, and in libseccomp's names."""
_LAST_ARGUMENT = 5


def compile_text(text: str, capabilities: frozenset[str]) -> bytes:
    """Compile a profile for a container with these capabilities to the kernel's instructions, 8 bytes each.

    Raises:
        InvalidArgument: It is no profile; the message says what is wrong.
        Unavailable: libseccomp is not installed, or has no such rule.

    Source: seccomp_rule_add(3).
    """
    try:
        profile: Profile = json.loads(text)
        return _compile(profile, capabilities)
    except (json.JSONDecodeError, TypeError, AttributeError, KeyError) as error:
        raise InvalidArgument(f"decoding seccomp profile failed: {error}") from error


def _compile(profile: Profile, capabilities: frozenset[str]) -> bytes:
    if profile.get("architectures") and profile.get("archMap"):
        raise InvalidArgument(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or "
            "'archMap'"
        )
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    with seccomp.Filter(default, _architectures(profile)) as rules:
        for rule in profile.get("syscalls") or ():
            if _holds(rule, capabilities):
                _add(rules, rule)
        program = rules.export()
    return program if default == seccomp.ALLOW else seccomp.refuse_younger_ones() + program


def _action(name: str, error: int | None) -> int:
    if name not in ACTIONS:
        raise InvalidArgument(f"invalid seccomp action '{name}': one of {', '.join(ACTIONS)} is wanted")
    return ACTIONS[name] | ((errno.EPERM if error is None else error) if name in _WITH_ERRNO else 0)


def _architectures(profile: Profile) -> list[int]:
    """Return libseccomp's numbers of the architectures besides the machine's own."""
    own = _MACHINES.get(platform.machine(), ("", ""))[1]
    names = list(profile.get("architectures") or ())
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == own:
            names += entry.get("subArchitectures") or ()
    library, numbers = seccomp.library(), []
    for name in names:
        number = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
        if not number:
            raise InvalidArgument(f"invalid seccomp architecture '{name}': such as SCMP_ARCH_X86_64 is wanted")
        numbers.append(number)
    return numbers


def _holds(rule: Rule, capabilities: frozenset[str]) -> bool:
    """Say whether a rule is meant for this machine and this container."""
    included, excluded = rule.get("includes") or {}, rule.get("excludes") or {}
    here = _MACHINES.get(platform.machine(), ("", ""))[0]
    if here in (excluded.get("arches") or ()) or capabilities & set(excluded.get("caps") or ()):
        return False
    if excluded.get("minKernel") and _kernel_is_from(excluded["minKernel"]):
        return False
    if included.get("arches") and here not in included["arches"]:
        return False
    if included.get("minKernel") and not _kernel_is_from(included["minKernel"]):
        return False
    return set(included.get("caps") or ()) <= capabilities


def _kernel_is_from(version: str) -> bool:
    try:
        wanted = [int(part) for part in version.split(".")]
    except ValueError:
        raise InvalidArgument(f"invalid minKernel '{version}' in the seccomp profile: such as 4.8 is wanted") from None
    running = [int("".join(filter(str.isdigit, part)) or 0) for part in os.uname().release.split("-")[0].split(".")]
    return running[: len(wanted)] >= wanted


def _add(rules: seccomp.Filter, rule: Rule) -> None:
    """Add a rule; conditions on one and the same argument are alternatives, others must hold together."""
    if rule.get("name") and rule.get("names"):
        raise InvalidArgument(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
        )
    action = _action(rule["action"], rule.get("errnoRet"))
    arguments = rule.get("args") or []
    comparisons = [_comparison(argument) for argument in arguments]
    indexes = [argument["index"] for argument in arguments]
    alternatives = [[one] for one in comparisons] if len(set(indexes)) < len(indexes) else [comparisons]
    for name in rule.get("names") or [rule["name"]]:
        for together in alternatives:
            rules.add(action, name, together)


def _comparison(argument: Argument) -> seccomp.Comparison:
    if argument["op"] not in _OPERATORS:
        raise InvalidArgument(f"invalid seccomp operator '{argument['op']}': one of {', '.join(_OPERATORS)} is wanted")
    if not 0 <= argument["index"] <= _LAST_ARGUMENT:
        raise InvalidArgument(f"invalid index '{argument['index']}' of a seccomp argument: from 0 to {_LAST_ARGUMENT}")
    operator = _OPERATORS[argument["op"]]
    return seccomp.Comparison(argument["index"], operator, argument["value"], argument.get("valueTwo", 0))

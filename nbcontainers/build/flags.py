"""Flags of instructions: which each knows, and what they were given.

Source: Dockerfile reference, each instruction's section.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nbcontainers.build.parser import Node
from nbcontainers.build.suggestion import did_you_mean

Kind = Literal["text", "texts", "switch"]

KNOWN: Mapping[str, Mapping[str, Kind]] = {
    "ADD": {
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "keep-git-dir": "switch",
        "checksum": "text",
        "unpack": "switch",
        "exclude": "texts",
    },
    "COPY": {
        "from": "text",
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "parents": "switch",
        "exclude": "texts",
    },
    "FROM": {"platform": "text"},
    "HEALTHCHECK": {
        "interval": "text",
        "timeout": "text",
        "start-period": "text",
        "start-interval": "text",
        "retries": "text",
    },
    "RUN": {"mount": "texts", "network": "text", "security": "text", "device": "texts"},
}
"""What follows a flag: one text, one text at each of several uses, or nothing but true or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags that one instruction was given."""

    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a flag's text, empty when it was not given."""
        return self.texts.get(name, "")

    def list(self, name: str) -> tuple[str, ...]:
        """Return the texts of a flag that may be repeated."""
        return self.lists.get(name, ())

    def switch(self, name: str) -> bool:
        """Say whether a switch is on."""
        return self.switches.get(name, False)


def read(node: Node) -> Flags:
    """Return a node's flags.

    Raises:
        DockerfileError: One is not known, is given twice, or has a value that it cannot have.
    """
    known = KNOWN.get(node.name, {})
    flags = Flags()
    for word in node.flags:
        name, equals, value = word[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise node.error(f"unknown flag: --{name}{did_you_mean(name, known, '--')}", f"--{name}")
        if name in flags.texts or name in flags.switches:
            raise node.error(f"duplicate flag specified: --{name}", word)
        if kind == "switch":
            flags.switches[name] = _switch(node, word, equals, value)
            continue
        if not equals:
            raise node.error(f"missing a value on flag: --{name}", word)
        if kind == "text":
            flags.texts[name] = value
        else:
            flags.lists[name] = (*flags.list(name), value)
    return flags


def _switch(node: Node, word: str, equals: str, value: str) -> bool:
    name = word.partition("=")[0]
    if equals and not value:
        raise node.error(f"missing a value on flag: {name}", word)
    if value.lower() not in ("", "true", "false"):
        raise node.error(f"expecting boolean value for flag {name}, not: {value}", word)
    return value.lower() != "false"

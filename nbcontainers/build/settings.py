"""The instructions that change what the image says, and no file in it.

Source: Dockerfile reference, each instruction's section.
"""

import ipaddress
import re
import signal
from collections.abc import Callable

from nbcontainers.build.draft import Draft
from nbcontainers.build.instructions import Arg, Assign, Command, Health, Instruction, Onbuild, Text, Words
from nbcontainers.build.parser import Node
from nbcontainers.build.rules import Checks

_PROTOCOLS = ("tcp", "udp", "sctp")
_HIGHEST_PORT = 65535
_REAL_TIME_SIGNAL = re.compile(r"RTM(?:IN(?:\+\d{1,2})?|AX(?:-\d{1,2})?)")


def apply(draft: Draft, instruction: Instruction, checks: Checks) -> None:
    """Apply one instruction to a stage's image.

    Raises:
        DockerfileError: A value makes no sense, now that its variables are known.
    """
    if isinstance(instruction, Arg):
        draft.declare(instruction)
    elif isinstance(instruction, Assign):
        _assign(draft, instruction)
    elif isinstance(instruction, Command):
        _command(draft, instruction)
    elif isinstance(instruction, Health):
        draft.defaults.healthcheck = instruction.check
    elif isinstance(instruction, Onbuild):
        draft.defaults.on_build = [*(draft.defaults.on_build or []), instruction.trigger]
    elif isinstance(instruction, Text):
        _TEXTS[instruction.name](draft, instruction)
    elif isinstance(instruction, Words) and instruction.name == "EXPOSE":
        _expose(draft, instruction, checks)
    elif isinstance(instruction, Words):
        _WORDS[instruction.name](draft, instruction)


def _assign(draft: Draft, one: Assign) -> None:
    values = {draft.expand(one.node, name): draft.expand(one.node, value) for name, value in one.values}
    if one.name == "LABEL":
        draft.defaults.labels = {**(draft.defaults.labels or {}), **values}
    else:
        draft.defaults.env = [f"{name}={value}" for name, value in {**draft.env, **values}.items()]


def _command(draft: Draft, one: Command) -> None:
    words = draft.command(one)
    if one.name == "CMD":
        draft.defaults.cmd = words
        draft.sets_cmd = True
        return
    draft.defaults.entrypoint = words or None
    if not draft.sets_cmd:
        # An ENTRYPOINT of one's own makes the base image's CMD meaningless.
        draft.defaults.cmd = None


def _user(draft: Draft, one: Text) -> None:
    draft.defaults.user = draft.expand(one.node, one.text)


def _maintainer(draft: Draft, one: Text) -> None:
    draft.config.author = draft.expand(one.node, one.text)


def _stopsignal(draft: Draft, one: Text) -> None:
    value = draft.expand(one.node, one.text)
    name = value.upper().removeprefix("SIG")
    known = f"SIG{name}" in signal.Signals.__members__ or _REAL_TIME_SIGNAL.fullmatch(name)
    if not known and not (name.isdecimal() and 0 < int(name) < signal.NSIG):
        raise one.node.error(f"invalid signal: '{value}'", one.text)
    draft.defaults.stop_signal = value


_TEXTS: dict[str, Callable[[Draft, Text], None]] = {
    "MAINTAINER": _maintainer,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
}


def _shell(draft: Draft, one: Words) -> None:
    draft.defaults.shell = list(one.words)


def _volume(draft: Draft, one: Words) -> None:
    paths = [draft.expand(one.node, word) for word in one.words]
    if not all(paths):
        raise one.node.error("VOLUME specified can not be an empty string")
    draft.defaults.volumes = {**(draft.defaults.volumes or {}), **{path: {} for path in paths}}


_WORDS: dict[str, Callable[[Draft, Words], None]] = {"SHELL": _shell, "VOLUME": _volume}


def _expose(draft: Draft, one: Words, checks: Checks) -> None:
    ports = dict(draft.defaults.exposed_ports or {})
    for written in one.words:
        for word in draft.split(one.node, written):
            ports |= {port: {} for port in _ports(one.node, word, checks)}
    draft.defaults.exposed_ports = ports


def _ports(node: Node, word: str, checks: Checks) -> list[str]:
    """Return the ports in ``[[address:]host port:]port[-port][/protocol]``; all before the last colon means nothing."""
    rest, _, text = word.rpartition(":")
    address, _, host_port = rest.rpartition(":")
    port, _, protocol = text.partition("/")
    if protocol and protocol.lower() not in _PROTOCOLS:
        raise node.error(f'invalid port: "{word}": invalid proto: {protocol}', word)
    if protocol != protocol.lower():
        checks.warn("ExposeProtoCasing", node, word)
    if rest:
        checks.warn("ExposeInvalidFormat", node, word)
    if address:
        try:
            ipaddress.ip_address(address.strip("[]"))
        except ValueError:
            raise node.error(f"invalid IP address: {address}", word) from None
    span = _range(node, word, port, "containerPort")
    if host_port:
        host_span = _range(node, word, host_port, "hostPort")
        if len(span) > 1 and len(host_span) != len(span):
            raise node.error(f"invalid ranges specified for container and host Ports: {port} and {host_port}", word)
    return [f"{number}/{protocol.lower() or 'tcp'}" for number in span]


def _range(node: Node, word: str, text: str, what: str) -> range:
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    if match is None or not int(match[1]) <= int(match[2] or match[1]) <= _HIGHEST_PORT:
        raise node.error(f"invalid {what}: {text}", word)
    return range(int(match[1]), int(match[2] or match[1]) + 1)

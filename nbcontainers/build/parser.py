"""From logical lines to instructions: keyword, flags, and the rest as text or as a JSON list.

Source: Dockerfile reference § Overview, § Shell and exec form.
"""

import difflib
import re
from dataclasses import dataclass

import msgspec

from nbcontainers.build.lexer import LogicalLine, lex
from nbcontainers.errors import DockerfileError

FLAGS: dict[str, tuple[str, ...]] = {
    "ADD": ("chown", "chmod"),
    "ARG": (),
    "CMD": (),
    "COPY": ("from", "chown", "chmod"),
    "ENTRYPOINT": (),
    "ENV": (),
    "EXPOSE": (),
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
    "LABEL": (),
    "MAINTAINER": (),
    "ONBUILD": (),
    "RUN": ("network",),
    "SHELL": (),
    "STOPSIGNAL": (),
    "USER": (),
    "VOLUME": (),
    "WORKDIR": (),
}
"""The instructions and the flags that each knows here."""

_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"<<-?\s*[\"']?[A-Za-z_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction.

    Args:
        keyword: In upper case.
        flags: ``--name=value`` as a table, without the dashes.
        text: What follows keyword and flags.
        words: The text as a list, where it is one in JSON (the exec form), else None.
        place: Where it stands.
    """

    keyword: str
    flags: dict[str, str]
    text: str
    words: list[str] | None
    place: LogicalLine

    def error(self, message: str, at: str = "") -> DockerfileError:
        """Return an error at this instruction, or at the first place of ``at`` in its first line."""
        found = self.place.source.find(at) if at else -1
        column = found + 1 if found >= 0 else len(self.place.source) - len(self.place.source.lstrip()) + 1
        return DockerfileError(message, self.place.line, column, self.place.source)

    def __str__(self) -> str:
        flags = "".join(f"--{name}={value} " for name, value in self.flags.items())
        return f"{self.keyword} {flags}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A parsed Dockerfile: its instructions and its escape character."""

    instructions: list[Instruction]
    escape: str


def parse(text: str) -> Dockerfile:
    """Parse a Dockerfile.

    Raises:
        DockerfileError: With line and column of what is wrong.
    """
    lexed = lex(text)
    instructions = [parse_line(line) for line in lexed.lines]
    first = next((one for one in instructions if one.keyword != "ARG"), None)
    if first is None or first.keyword != "FROM":
        at = first or instructions[-1]
        raise at.error("no build stage in current context: the first instruction must be FROM")
    return Dockerfile(instructions=instructions, escape=lexed.escape)


def parse_line(line: LogicalLine) -> Instruction:
    """Parse one logical line.

    Raises:
        DockerfileError: The instruction, a flag or its form is unknown.
    """
    given, _, rest = line.text.partition(" ") if " " in line.text else line.text.partition("\t")
    keyword = given.upper()
    bare = Instruction(keyword=keyword, flags={}, text=rest.strip(), words=None, place=line)
    if keyword not in FLAGS:
        near = difflib.get_close_matches(keyword, FLAGS, n=1, cutoff=0.6)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise bare.error(f"unknown instruction: {given}{hint}", given)
    flags, text = _flags(bare)
    if not text:
        raise bare.error(f"{keyword} requires at least one argument")
    if _HEREDOC.search(text) and keyword in ("RUN", "COPY", "ADD"):
        raise bare.error("here-documents are not supported yet", "<<")
    instruction = Instruction(keyword=keyword, flags=flags, text=text, words=_exec_form(text), place=line)
    if keyword == "ONBUILD":
        _check_trigger(instruction)
    return instruction


def _flags(bare: Instruction) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    text = bare.text
    while match := _FLAG.match(text):
        name = match[1]
        if name not in FLAGS[bare.keyword]:
            known = FLAGS[bare.keyword]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean --{near[0]}?)" if near else ""
            raise bare.error(f"unknown flag: --{name}{hint}", f"--{name}")
        if name in flags:
            raise bare.error(f"duplicate flag specified: --{name}", f"--{name}")
        if match[2] is None:
            raise bare.error(f"missing a value on flag: --{name}", f"--{name}")
        flags[name] = match[2]
        text = text[match.end() :]
    return flags, text.strip()


def _exec_form(text: str) -> list[str] | None:
    """Return a JSON list of texts; anything else is shell form, as in Docker."""
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text.encode(), type=list[str])
    except msgspec.DecodeError:
        return None


def _check_trigger(instruction: Instruction) -> None:
    keyword = instruction.text.split()[0].upper()
    if keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise instruction.error(f"{keyword} isn't allowed as an ONBUILD trigger", instruction.text.split()[0])
    parse_line(LogicalLine(text=instruction.text, line=instruction.place.line, source=instruction.place.source))

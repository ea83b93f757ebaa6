"""What a server wants from who has not logged in: the header ``WWW-Authenticate``.

Source: RFC 9110 § 11.6.1; RFC 6750 § 3; distribution spec, auth/token.md.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|$)")
_SEPARATORS = re.compile(r"[\s,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in.

    Args:
        scheme: ``basic`` or ``bearer``, in lower case; others are not known here.
        parameters: Such as ``realm``, by their names in lower case.
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a token must allow, such as ``repository:team/app:pull``."""
        return tuple(self.parameters.get("scope", "").split())


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges of a response's headers, in their order; what cannot be read ends a header."""
    return [challenge for header in headers for challenge in _parse_header(header)]


def choose(headers: Iterable[str]) -> Challenge | None:
    """Return the challenge to answer: Bearer before Basic, None where neither is offered."""
    found = {challenge.scheme: challenge for challenge in reversed(parse(headers))}
    return found.get("bearer") or found.get("basic")


def _parse_header(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    place = 0
    while place < len(header):
        if (gap := _SEPARATORS.match(header, place)) is not None:
            place = gap.end()
        if found and (parameter := _PARAMETER.match(header, place)) is not None:
            name, quoted, bare = parameter.groups()
            found[-1].parameters[name.lower()] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            place = parameter.end()
        elif (scheme := _SCHEME.match(header, place)) is not None:
            found.append(Challenge(scheme[1].lower()))
            place = scheme.end()
        else:
            break
    return found

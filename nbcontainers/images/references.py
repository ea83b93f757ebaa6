"""References: the names of images, such as ``localhost:5000/team/app:1.2``.

Source: distribution/reference grammar (OCI distribution-spec § Pulling manifests).
"""

import re

from nbcontainers import errors

HOST = "host"
DEFAULT_TAG = "latest"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LONGEST_NAME = 255


def normalize(reference: str) -> str:
    """Return a reference in its familiar form, with a tag: ``docker.io/library/x`` is ``x:latest``.

    Raises:
        errors.InvalidReference: It is none; the message says why.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        hint = ": repository names are in lower case" if reference.lower() != reference else ""
        raise errors.InvalidReference(f"invalid reference format: '{reference}'{hint}")
    name = match["name"].removeprefix("docker.io/").removeprefix("index.docker.io/").removeprefix("library/")
    if len(name) > _LONGEST_NAME:
        raise errors.InvalidReference(
            f"invalid reference '{reference[:40]}…': repository names have 255 characters at most"
        )
    if re.fullmatch(r"[0-9a-f]{64}", name):
        raise errors.InvalidReference(f"invalid repository name '{name}', cannot specify 64-byte hexadecimal strings")
    if match["digest"] and not match["tag"]:
        return f"{name}@{match['digest']}"
    return f"{name}:{match['tag'] or DEFAULT_TAG}"


def check_new(reference: str) -> str:
    """Return in full a reference that an image may be given.

    Raises:
        errors.InvalidReference: It is none.
        errors.Conflict: It is ``host``'s.
    """
    full = normalize(reference)
    if full.partition(":")[0] == HOST:
        raise errors.Conflict("the name 'host' stands for this machine's own file system: choose another")
    if "@" in full:
        raise errors.InvalidReference(f"cannot tag by digest: '{reference}'")
    return full


def canonical(reference: str) -> str:
    """Return a reference in full, with the registry that is meant: ``x:latest`` is ``docker.io/library/x:latest``."""
    first, slash, _ = reference.partition("/")
    if not slash:
        return f"docker.io/library/{reference}"
    is_registry = "." in first or ":" in first or first == "localhost"
    return reference if is_registry else f"docker.io/{reference}"

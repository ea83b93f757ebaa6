"""References: the names of images, such as ``localhost:5000/team/app:1.2``.

Source: distribution/reference grammar (OCI distribution-spec § Pulling manifests).
"""

import re
from dataclasses import dataclass

from nbcontainers import errors

HOST = "host"
DEFAULT_TAG = "latest"
DOCKER_HUB = "docker.io"
_LIBRARY = "library"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_SHA256 = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    rf"(?::(?P<tag>[\w][\w.-]{{0,127}}))?(?:@(?P<digest>{_SHA256}))?",
    re.ASCII,
)
_LONGEST_NAME = 255
_DIGEST = re.compile(_SHA256)


def normalize(reference: str) -> str:
    """Return a reference in its familiar form, with a tag or a digest: ``docker.io/library/x`` is ``x:latest``.

    Where a reference has both, the digest counts: it says more, and tags move.

    Raises:
        errors.InvalidReference: It is none; the message says why.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        hint = ": repository names are in lower case" if reference.lower() != reference else ""
        raise errors.InvalidReference(f"invalid reference format: '{reference}'{hint}")
    name = familiar(match["name"])
    if len(name) > _LONGEST_NAME:
        raise errors.InvalidReference(
            f"invalid reference '{reference[:40]}…': repository names have 255 characters at most"
        )
    if re.fullmatch(r"[0-9a-f]{64}", name):
        raise errors.InvalidReference(f"invalid repository name '{name}', cannot specify 64-byte hexadecimal strings")
    return f"{name}@{match['digest']}" if match["digest"] else f"{name}:{match['tag'] or DEFAULT_TAG}"


def familiar(name: str) -> str:
    """Return a repository's name as people write it: without Docker Hub, and without its ``library``."""
    for registry in (DOCKER_HUB, "index.docker.io"):
        name = name.removeprefix(f"{registry}/")
    library, _, inner = name.partition("/")
    return inner if library == _LIBRARY and inner and "/" not in inner else name


def check_new(reference: str) -> str:
    """Return in full a reference that an image may be given.

    Raises:
        errors.InvalidReference: It is none.
        errors.Conflict: It is ``host``'s.
    """
    full = normalize(reference)
    if repository(full) == HOST:
        raise errors.Conflict("the name 'host' stands for this machine's own file system: choose another")
    if "@" in full:
        raise errors.InvalidReference(f"cannot tag by digest: '{reference}'")
    return full


def repository(full: str) -> str:
    """Return the name of a reference in full, without tag or digest."""
    name, digest, _ = full.partition("@")
    return name if digest else name.rpartition(":")[0]


def is_sha256(text: str) -> bool:
    """Say whether a text is a digest, of the one kind that is known here, and nothing else.

    Source: OCI image-spec, descriptor.md § Digests.
    """
    return _DIGEST.fullmatch(text) is not None


def is_digest(full: str) -> bool:
    """Say whether a reference in full names a digest, not a tag."""
    return "@" in full


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where an image is to be found.

    Args:
        registry: The registry's host, with its port if it has one: ``docker.io``, ``localhost:5000``.
        repository: The name there: ``library/busybox``.
        tag: A tag; empty when there is a digest.
        digest: The digest of a manifest, or empty.
    """

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """What people call the repository."""
        return familiar(f"{self.registry}/{self.repository}")

    @property
    def reference(self) -> str:
        """What registries call the manifest: a tag or a digest."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def locate(reference: str) -> Location:
    """Return where an image of this name is to be found.

    Raises:
        errors.InvalidReference: The name is no reference.
    """
    full = canonical(normalize(reference))
    registry, _, name = repository(full).partition("/")
    mark = full[len(repository(full)) + 1 :]
    by_digest = is_digest(full)
    return Location(registry=registry, repository=name, tag="" if by_digest else mark, digest=mark if by_digest else "")


def canonical(reference: str) -> str:
    """Return a reference in full, with the registry that is meant: ``x:latest`` is ``docker.io/library/x:latest``."""
    first, slash, _ = reference.partition("/")
    if not slash:
        return f"{DOCKER_HUB}/{_LIBRARY}/{reference}"
    return reference if is_registry(first) else f"{DOCKER_HUB}/{reference}"


def is_registry(first: str) -> bool:
    """Say whether the first part of a name is a registry's, not a part of a repository's name."""
    return "." in first or ":" in first or first == "localhost"

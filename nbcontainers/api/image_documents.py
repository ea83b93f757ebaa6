"""What an image is, in Docker's JSON, and which images a list is to have.

Source: Docker Engine API v1.47, ``ImageInspect``, ``ImageSummary``, ``GET /images/json`` § filters; Go standard
library, path.Match, for the patterns of the filter ``reference``.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from nbcontainers import errors
from nbcontainers.api import times
from nbcontainers.api.calls import Call
from nbcontainers.api.filters import labels_match
from nbcontainers.images import HOST_SNAPSHOT, ContainerDefaults, Image, Snapshots
from nbcontainers.images.references import repository
from nbcontainers.moments import parse_ns

FILTERS = frozenset(("before", "dangling", "label", "reference", "since", "until"))
_WITH_VIRTUAL_SIZE = (1, 43)
_TRUE, _FALSE = ("1", "true"), ("0", "false")
Json = dict[str, object]


def selected(call: Call) -> list[Image]:
    """Return the images that a request asks for, the newest first, each with the references that fit.

    Raises:
        errors.InvalidArgument: A filter makes no sense.
        errors.NoSuchImage: A filter names an image that is not there.
    """
    asked, images = call.filters(FILTERS), call.engine.images
    dangling = _flag(asked.get("dangling", []))
    patterns = [_pattern(text) for text in asked.get("reference", [])]
    before = [images.get(name).created_ns for name in asked.get("before", ())]
    before += [parse_ns(text, datetime.now(UTC)) for text in asked.get("until", ())]
    since = [images.get(name).created_ns for name in asked.get("since", ())]
    found = []
    for image in images.list(everything=call.flag("all") and dangling is None):
        if (dangling and image.repo_tags) or (dangling is False and not _names(image)):
            continue
        if any(image.created_ns >= time for time in before) or any(image.created_ns <= time for time in since):
            continue
        if not labels_match(image.config.config.labels, asked.get("label", [])):
            continue
        if patterns:
            tags = [tag for tag in image.repo_tags if _fits(tag, patterns)]
            digests = [digest for digest in image.repo_digests if _fits(digest, patterns)]
            image = replace(image, repo_tags=tags, repo_digests=digests)  # noqa: PLW2901
            if not _names(image):
                continue
        found.append(image)
    return sorted(found, key=lambda image: image.created_ns, reverse=True)


def _flag(values: list[str]) -> bool | None:
    if not values:
        return None
    if values[0].lower() not in (*_TRUE, *_FALSE):
        raise errors.InvalidArgument(f"invalid filter 'dangling=[{values[0]}]': true or false is wanted")
    return values[0].lower() in _TRUE


def _names(image: Image) -> list[str]:
    return [*image.repo_tags, *image.repo_digests]


def _fits(name: str, patterns: list[re.Pattern[str]]) -> bool:
    """Say whether a reference fits a pattern: whole, or by its repository's name alone."""
    return any(pattern.fullmatch(name) or pattern.fullmatch(repository(name)) for pattern in patterns)


def _pattern(text: str) -> re.Pattern[str]:
    """Return what matches as Go's ``path.Match`` does: ``*`` and ``?`` do not stand for a slash.

    Raises:
        errors.InvalidArgument: It is no pattern.
    """
    parts, rest = [], text
    while rest:
        if found := re.match(r"\[(\^?)((?:\\.|[^\]\\])+)\]", rest):
            parts.append(f"[{found[1]}{found[2]}]")
            rest = rest[found.end() :]
            continue
        first, rest = rest[0], rest[1:]
        if first in "[\\" and not (first == "\\" and rest):
            raise errors.InvalidArgument(f"invalid filter 'reference={text}': syntax error in pattern")
        if first == "\\":
            first, rest = rest[0], rest[1:]
            parts.append(re.escape(first))
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(first) or re.escape(first))
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise errors.InvalidArgument(f"invalid filter 'reference={text}': syntax error in pattern") from error


def summary(call: Call, image: Image) -> Json:
    """Return one row of ``docker images``."""
    return {
        "Id": image.id,
        "ParentId": image.parent or "",
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Created": image.created_ns // 10**9,
        "Size": image.size_bytes,
        **({"VirtualSize": image.size_bytes} if call.version <= _WITH_VIRTUAL_SIZE else {}),
        "SharedSize": -1,
        "Labels": image.config.config.labels or {},
        "Containers": sum(container.image_id == image.id for container in call.engine.containers()),
    }


def inspect(call: Call, image: Image) -> Json:
    """Return everything about an image."""
    document = image.config
    return {
        "Id": image.id,
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Parent": image.parent or "",
        "Comment": (document.history[-1].comment or "") if document.history else "",
        "Created": document.created or times.rfc3339(image.created_ns),
        "Container": "",
        # Docker's until API 1.45; docker-compose 1.29 cannot make a container anew without it, whatever it speaks.
        "ContainerConfig": config(document.config),
        "DockerVersion": "",
        "Author": document.author or "",
        "Config": config(document.config),
        "Architecture": document.architecture,
        **({"Variant": document.variant} if document.variant else {}),
        "Os": document.os,
        "Size": image.size_bytes,
        **({"VirtualSize": image.size_bytes} if call.version <= _WITH_VIRTUAL_SIZE else {}),
        "GraphDriver": {"Name": "overlay2", "Data": _directories(call.engine.images.snapshots, image)},
        "RootFS": {"Type": "layers", "Layers": document.rootfs.diff_ids},
        "Metadata": {"LastTagTime": times.rfc3339(image.tagged_ns)},
    }


def config(defaults: ContainerDefaults) -> Json:
    """Return what containers of an image get, with all the keys that Docker has there."""
    own = msgspec.to_builtins(defaults)
    return {
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": None,
        "Cmd": None,
        "Image": "",
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": None,
        **own,
    }


def _directories(snapshots: Snapshots, image: Image) -> dict[str, str] | None:
    """Return where an image's layers lie, the topmost apart; None for one that has none of its own."""
    own = [str(snapshots.files(name)) for name in snapshots.chain(image.snapshot) if name != HOST_SNAPSHOT]
    if not own:
        return None
    top = own[0].removesuffix("/fs")
    places = {"MergedDir": f"{top}/merged", "UpperDir": own[0], "WorkDir": f"{top}/work"}
    return {"LowerDir": ":".join(own[1:]), **places} if own[1:] else places

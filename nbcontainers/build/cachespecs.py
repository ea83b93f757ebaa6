"""Where a build's cache may come from and go to, as ``--cache-from`` and ``--cache-to`` say it.

    type=local,src=FOLDER[,tag=TAG|,digest=DIGEST]        from a folder
    type=registry,ref=NAME                                from a registry: a cache, or an image built with it
    NAME                                                  from an image that is here
    type=local,dest=FOLDER[,tag=TAG][,mode=min|max]       to a folder
    type=registry,ref=NAME[,mode=min|max]                 to a registry
    type=inline                                           into the image: its history always has it

``min`` is for the stage that is wanted alone, ``max`` for all that were built. What buildx knows beside these is taken
where it asks for what is done anyway, and refused otherwise.

Source: docker buildx build § --cache-from, § --cache-to; BuildKit, README § Cache.
"""

import csv
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nbcontainers.errors import InvalidArgument, Unsupported
from nbcontainers.images.references import is_sha256, locate

_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_ELSEWHERE = ("gha", "s3", "azblob", "docker")
_FROM = {"local": ("src", "tag", "digest"), "registry": ("ref",)}
_TO = {"local": ("dest", "tag"), "registry": ("ref",), "inline": ()}
_OF_EXPORTS = ("mode", "ignore-error")
_SETTLED = {
    "compression": "gzip",
    "force-compression": "false",
    "image-manifest": "true",
    "oci-mediatypes": "true",
}
"""What buildx lets one choose and is always the same here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """One place.

    Args:
        kind: What it is; ``image`` is one that is here.
        where: The folder, an absolute path; or a reference.
        tag: What the cache is called in a folder.
        digest: Of the cache's manifest in a folder, in place of the tag.
        everything: All stages are exported.
        may_fail: A build does not fail because its cache cannot be exported.
    """

    kind: Literal["local", "registry", "inline", "image"]
    where: str = ""
    tag: str = "latest"
    digest: str = ""
    everything: bool = False
    may_fail: bool = False

    def __str__(self) -> str:
        return f"'{self.where}'"


def sources(texts: list[str]) -> tuple[CacheSpec, ...]:
    """Read what ``--cache-from`` says.

    Raises:
        InvalidArgument: It makes no sense.
        Unsupported: It is another kind of place.
    """
    return tuple(_source(text) for text in _joined(texts) if text)


def targets(texts: list[str]) -> tuple[CacheSpec, ...]:
    """Read what ``--cache-to`` says.

    Raises:
        InvalidArgument: It makes no sense.
        Unsupported: It is another kind of place, or asks for what is not done.
    """
    return tuple(_target(text) for text in _joined(texts) if text)


def _joined(texts: list[str]) -> list[str]:
    """Put together what a client has split at its commas, as docker's own does: no image has ``=`` in its name."""
    joined: list[str] = []
    for text in texts:
        if joined and "=" in joined[-1] and "=" in text and not text.startswith("type="):
            joined[-1] += f",{text}"
        else:
            joined.append(text)
    return joined


def _source(text: str) -> CacheSpec:
    if "=" not in text:
        return CacheSpec(kind="image", where=text)
    option = "cache-from"
    kind, fields = _fields(option, text, _FROM)
    if kind == "registry":
        return CacheSpec(kind="registry", where=_reference(option, text, fields))
    digest = fields.get("digest", "")
    if digest and not is_sha256(digest):
        raise InvalidArgument(f"invalid {option} '{text}': '{digest}' is no digest of the kind sha256")
    folder = _folder(option, text, fields, "src")
    return CacheSpec(kind="local", where=folder, tag=_tag(option, text, fields), digest=digest)


def _target(text: str) -> CacheSpec:
    option = "cache-to"
    if "=" not in text:
        text = f"type=registry,ref={text}"
    kind, fields = _fields(option, text, _TO, _OF_EXPORTS)
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidArgument(f"invalid {option} '{text}': mode is min or max, not '{mode}'")
    everything, may_fail = mode == "max", fields.get("ignore-error", "false").lower() in ("true", "1")
    if kind == "inline":
        if everything:
            raise InvalidArgument(
                f"invalid {option} '{text}': an image has the steps of its own stage alone (mode=min)"
            )
        return CacheSpec(kind="inline")
    if kind == "registry":
        reference = _reference(option, text, fields)
        if "@" in reference:
            raise InvalidArgument(f"invalid {option} '{text}': a cache goes to a tag, not to a digest")
        return CacheSpec(kind="registry", where=reference, everything=everything, may_fail=may_fail)
    return CacheSpec(
        kind="local",
        where=_folder(option, text, fields, "dest"),
        tag=_tag(option, text, fields),
        everything=everything,
        may_fail=may_fail,
    )


def _fields(
    option: str, text: str, kinds: Mapping[str, tuple[str, ...]], more: tuple[str, ...] = ()
) -> tuple[str, dict[str, str]]:
    """Return the kind, and the fields that are left when those are gone that change nothing."""
    fields: dict[str, str] = {}
    for part in next(csv.reader([text]), []):
        name, equals, value = part.partition("=")
        if not equals or name.lower() in fields:
            raise InvalidArgument(f"invalid {option} '{text}': '{part}': NAME=VALUE is wanted, once for each name")
        fields[name.strip().lower()] = value
    kind = fields.pop("type", "registry" if "ref" in fields else "")
    if kind in _ELSEWHERE or (kind == "inline" and kind not in kinds):
        raise Unsupported(f"the {option} type '{kind}' is not supported: {' or '.join(kinds)} is")
    if kind not in kinds:
        raise InvalidArgument(f"invalid {option} '{text}': the type is to be {' or '.join(kinds)}, not '{kind}'")
    for name in list(fields):
        if name in _SETTLED and more:
            if fields[name].lower() != _SETTLED[name]:
                raise Unsupported(f"{option} with {name}={fields[name]} is not supported: {name}={_SETTLED[name]} is")
            del fields[name]
        elif name not in (*kinds[kind], *more):
            known = ", ".join((*kinds[kind], *more)) or "nothing more"
            raise InvalidArgument(f"invalid {option} '{text}': '{name}' is not known, {known} is")
    return kind, fields


def _folder(option: str, text: str, fields: Mapping[str, str], name: str) -> str:
    folder = fields.get(name, "")
    if not folder:
        raise InvalidArgument(f"invalid {option} '{text}': {name}=FOLDER is wanted")
    if not os.path.isabs(folder) or "\0" in folder:
        raise InvalidArgument(f"invalid {option} '{text}': the folder '{folder}' is no absolute path")
    return os.path.normpath(folder)


def _tag(option: str, text: str, fields: Mapping[str, str]) -> str:
    tag = fields.get("tag", "latest")
    if not _TAG.fullmatch(tag):
        raise InvalidArgument(f"invalid {option} '{text}': '{tag}' is no tag")
    return tag


def _reference(option: str, text: str, fields: Mapping[str, str]) -> str:
    reference = fields.get("ref", "")
    if not reference:
        raise InvalidArgument(f"invalid {option} '{text}': ref=NAME is wanted")
    return str(locate(reference))

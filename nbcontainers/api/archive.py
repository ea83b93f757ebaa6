"""The endpoints about a container's files: copied in and out, compared, exported, committed.

Source: Docker Engine API v1.47, ``/containers/{id}/archive``, ``/changes``, ``/export``, ``/commit``.
"""

import asyncio
import base64
import functools

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses, transfer
from nbcontainers.api.calls import Call, decode
from nbcontainers.api.routing import Route
from nbcontainers.api.times import rfc3339
from nbcontainers.engine import archive
from nbcontainers.engine.commits import Asked
from nbcontainers.images import ContainerDefaults
from nbcontainers.images.packing import Descriptor

STAT_HEADER = "X-Docker-Container-Path-Stat"
TAR = "application/x-tar"


def path_of(call: Call) -> str:
    """Return the path that the query names.

    Raises:
        errors.InvalidArgument: It names none.
    """
    if not call.text("path"):
        raise errors.InvalidArgument("bad parameter: path cannot be empty")
    return call.text("path")


def stat_headers(found: archive.Found) -> dict[str, str]:
    """Return the header that says what was found, as Docker has it."""
    facts = {
        "name": found.name,
        "size": found.status.st_size,
        "mode": found.go_mode,
        "mtime": rfc3339(found.status.st_mtime_ns),
        "linkTarget": found.link_target,
    }
    return {STAT_HEADER: base64.b64encode(responses.encode(facts)).decode()}


async def head(call: Call) -> web.Response:
    """``HEAD /containers/{id}/archive``: what is at a path."""
    name, path = call.parameters["id"], path_of(call)
    container = call.engine.container(name)
    async with call.engine.filesystems.opened(container, with_mounts=True) as root_fd:
        found = await asyncio.to_thread(archive.find, root_fd, path, f"container {name}")
        found.close()
    return web.Response(headers={**responses.HEADERS, **stat_headers(found)})


async def get(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/archive``: a file or a directory as an archive."""
    name, path = call.parameters["id"], path_of(call)
    container = call.engine.container(name)
    async with call.engine.filesystems.opened(container, with_mounts=True) as root_fd:
        found = await asyncio.to_thread(archive.find, root_fd, path, f"container {name}")
        try:
            call.engine.tell(container, "archive-path")
            return await transfer.download(
                call, lambda fd: archive.pack(root_fd, found, Descriptor(fd)), TAR, stat_headers(found)
            )
        finally:
            found.close()


async def put(call: Call) -> web.Response:
    """``PUT /containers/{id}/archive``: unpack the body into a directory."""
    name = call.parameters["id"]
    asked = archive.Extraction(
        path=path_of(call), keep_kinds=call.flag("noOverwriteDirNonDir"), owned_by_user=call.flag("copyUIDGID")
    )
    container = call.engine.container(name)
    async with call.engine.filesystems.opened(container, with_mounts=True) as root_fd:
        extract = functools.partial(archive.extract, root_fd, container, asked, name=name)
        await transfer.upload(call, extract)
    call.engine.sizes.forget(container)
    call.engine.tell(container, "extract-to-dir")
    return responses.empty(200)


async def changes(call: Call) -> web.Response:
    """``GET /containers/{id}/changes``."""
    found = await call.engine.commits.changes(call.engine.container(call.parameters["id"]))
    return responses.json([{"Path": change.path, "Kind": change.kind} for change in found] or None)


async def export(call: Call) -> web.StreamResponse:
    """``GET /containers/{id}/export``: the root file system without what is mounted in it."""
    container = call.engine.container(call.parameters["id"])
    async with call.engine.filesystems.opened(container, with_mounts=False) as root_fd:
        call.engine.tell(container, "export")
        return await transfer.download(
            call, lambda fd: archive.export(root_fd, Descriptor(fd)), "application/octet-stream"
        )


async def commit(call: Call) -> web.Response:
    """``POST /commit``."""
    if not call.text("container"):
        raise errors.InvalidArgument("bad parameter: container cannot be empty")
    body = (await call.raw_body()).strip()
    repository, tag = call.text("repo"), call.text("tag")
    asked = Asked(
        reference=f"{repository}:{tag}" if repository and tag else repository,
        comment=call.text("comment"),
        author=call.text("author"),
        pause=call.flag("pause", True),
        changes=tuple(call.texts("changes")),
        defaults=decode(body, ContainerDefaults | None, "the request's body") if body else None,  # type: ignore[arg-type]
    )
    image = await call.engine.commit(call.text("container"), asked)
    return responses.json({"Id": image.id}, 201)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("HEAD", "/containers/{id}/archive", head, interruptible=True),
        Route("GET", "/containers/{id}/archive", get, interruptible=True),
        Route("PUT", "/containers/{id}/archive", put),
        Route("GET", "/containers/{id}/changes", changes, interruptible=True),
        Route("GET", "/containers/{id}/export", export, interruptible=True),
        Route("POST", "/commit", commit),
    ]

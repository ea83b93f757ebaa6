"""The endpoints of files in volumes, which Docker's API lacks: no container is needed for them.

``archive`` is what ``/containers/{id}/archive`` is, with the volume's root in place of the container's; ``import``
takes an archive that it gave of the whole.
"""

import asyncio
import functools
from dataclasses import astuple, fields

from aiohttp import web

from nbcontainers.api import responses, transfer
from nbcontainers.api.archive import TAR, path_of, stat_headers
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.engine import archive, volume_files, volume_imports
from nbcontainers.images.packing import Descriptor

_PREFIX = "/nbcontainers/v1/volumes/{name}"


def _named(call: Call) -> tuple[str, str]:
    name = call.parameters["name"]
    return name, f"volume {name}"


async def listing(call: Call) -> web.Response:
    """``GET /volumes/{name}/files``: what a directory has, one array per column."""
    name, where = _named(call)
    work = functools.partial(volume_files.entries, path=call.text("path") or "/", where=where, deep=call.flag("deep"))
    async with call.engine.volume_files.opened(name) as root_fd:
        rows = [astuple(entry) for entry in await asyncio.to_thread(work, root_fd)]
    names = [field.name for field in fields(volume_files.Entry)]
    return responses.json({column: [row[place] for row in rows] for place, column in enumerate(names)})


async def remove(call: Call) -> web.Response:
    """``DELETE /volumes/{name}/files``: a file; with ``deep``, a directory with all that it has."""
    name, where = _named(call)
    work = functools.partial(volume_files.remove, path=path_of(call), where=where, deep=call.flag("deep"))
    async with call.engine.volume_files.opened(name, to_write=True) as root_fd:
        await asyncio.to_thread(work, root_fd)
    return responses.empty()


async def head(call: Call) -> web.Response:
    """``HEAD /volumes/{name}/archive``: what is at a path."""
    name, where = _named(call)
    async with call.engine.volume_files.opened(name) as root_fd:
        found = await asyncio.to_thread(archive.find, root_fd, path_of(call), where)
        found.close()
    return web.Response(headers={**responses.HEADERS, **stat_headers(found)})


async def get(call: Call) -> web.StreamResponse:
    """``GET /volumes/{name}/archive``: a file or a directory as an archive."""
    name, where = _named(call)
    async with call.engine.volume_files.opened(name) as root_fd:
        found = await asyncio.to_thread(archive.find, root_fd, path_of(call), where)
        try:
            return await transfer.download(
                call, lambda fd: archive.pack(root_fd, found, Descriptor(fd)), TAR, stat_headers(found)
            )
        finally:
            found.close()


async def put(call: Call) -> web.Response:
    """``PUT /volumes/{name}/archive``: unpack the body into a directory."""
    name, where = _named(call)
    async with call.engine.volume_files.opened(name, to_write=True) as root_fd:
        path = path_of(call)
        await transfer.upload(call, lambda stream: volume_files.extract(root_fd, path, stream, where))
    return responses.empty(200)


async def put_whole(call: Call) -> web.Response:
    """``POST /volumes/{name}/import``: an archive of a whole volume, over what it has, or with ``replace`` instead.

    The volume has all of it or is as it was; one that is not there is made.
    """
    name, _ = _named(call)
    imports = call.engine.volume_files.imports
    async with imports.drafted() as draft:
        implied = await transfer.upload(call, lambda stream: volume_imports.unpack(draft, stream))
        created = await imports.take_over(name, draft, implied, replace=call.flag("replace"))
    if created:
        call.engine.telling.tell_volume(name, "create")
    return responses.empty(200)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", f"{_PREFIX}/files", listing, interruptible=True),
        Route("DELETE", f"{_PREFIX}/files", remove),
        Route("HEAD", f"{_PREFIX}/archive", head, interruptible=True),
        Route("GET", f"{_PREFIX}/archive", get, interruptible=True),
        Route("PUT", f"{_PREFIX}/archive", put),
        Route("POST", f"{_PREFIX}/import", put_whole),
    ]

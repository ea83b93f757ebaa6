"""The endpoints that save images to an archive, load them from one, and make one of an archive of files.

Source: Docker Engine API v1.47, ``/images/get``, ``/images/{name}/get``, ``/images/load``, ``/images/create``.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

import aiohttp
from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import failures, progress, responses, transfer
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.build.changes import apply_changes
from nbcontainers.images import ContainerDefaults, Image
from nbcontainers.images.archives import LayerProgress, Loaded, load
from nbcontainers.images.exporting import Export
from nbcontainers.images.packing import Descriptor

_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=30, sock_read=60)


async def get(call: Call) -> web.StreamResponse:
    """``GET /images/{name}/get`` and ``GET /images/get``: one archive of all images that are named."""
    names = [call.parameters["name"]] if "name" in call.parameters else call.texts("names")
    if not names or not all(names):
        raise errors.InvalidArgument("no image was named: give names")
    _check_platform(call)
    with await asyncio.to_thread(Export, call.engine.images, names) as export:
        for entry in export.saved:
            call.engine.telling.tell_image(entry.image, "save")
        return await transfer.download(call, lambda fd: export.write(Descriptor(fd)), "application/x-tar")


def _check_platform(call: Call) -> None:
    if call.text("platform"):
        raise errors.Unsupported(f"choosing a platform comes later: '{call.text('platform')}'")


async def put(call: Call) -> web.StreamResponse:
    """``POST /images/load``: the images of an archive, with a line for each layer and each image."""
    _check_platform(call)
    quiet = call.flag("quiet")
    reports: asyncio.Queue[LayerProgress | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def work(stream: BinaryIO) -> list[Loaded]:
        def report(layer: LayerProgress) -> None:
            loop.call_soon_threadsafe(reports.put_nowait, layer)

        return load(call.engine.images, stream, report)

    uploading = asyncio.ensure_future(transfer.upload(call, work))
    uploading.add_done_callback(lambda _: reports.put_nowait(None))
    response = await responses.stream(call, "application/json")  # what goes wrong is told in it, as Docker does
    with contextlib.suppress(ConnectionError):  # the archive is loaded, whether or not anybody reads of it
        async for layer in _until_none(reports):
            if not quiet:
                line = progress.line("Loading layer", layer.name, layer.current, layer.total)
                await responses.write_json_line(response, line)
    try:
        loaded = await asyncio.shield(uploading)
    except ConnectionError:
        raise  # the client went away
    except Exception as raw:
        await responses.write_json_line(response, failures.in_stream(raw, call.engine.root, coded=True))
        return response
    for one in loaded:
        call.engine.telling.tell_image(one.image, "load")
    for text in (text for one in loaded for text in _texts(one)):
        await responses.write_json_line(response, {"stream": text})
    return response


async def _until_none(queue: "asyncio.Queue[LayerProgress | None]") -> AsyncIterator[LayerProgress]:
    while (item := await queue.get()) is not None:
        yield item


def _texts(loaded: Loaded) -> list[str]:
    if not loaded.reference:
        return [f"Loaded image ID: {loaded.image.id}\n"]
    texts = []
    if loaded.replaced:
        texts.append(
            f"The image {loaded.reference} already exists, renaming the old one with ID {loaded.replaced} "
            f"to empty string\n"
        )
    return [*texts, f"Loaded image: {loaded.reference}\n"]


def reference(call: Call) -> str:
    """Return repository and tag from the query as one reference."""
    repository, tag_name = call.text("repo"), call.text("tag")
    if not repository:
        raise errors.InvalidArgument("repository name must have at least one component: give repo")
    return f"{repository}:{tag_name}" if tag_name else repository


async def import_image(call: Call) -> web.StreamResponse:
    """``POST /images/create?fromSrc=``: an image of a root file system, unpacked as it comes: ``-`` or a URL."""
    source, name = call.text("fromSrc"), reference(call) if call.text("repo") else ""
    if call.text("platform").partition("/")[0] not in ("", "linux"):
        raise errors.Unsupported(f"choosing a platform comes later: '{call.text('platform')}'")
    make = functools.partial(
        call.engine.images.import_tar,
        defaults=apply_changes(ContainerDefaults(), call.texts("changes")),
        message=call.text("message") or f"Imported from {source}",
        reference=name,
    )
    if source == "-":
        image = await transfer.upload(call, make)
    else:
        image = await _from_url(source if "://" in source else f"http://{source}", make)
    call.engine.telling.tell_image(image, "import")
    if name:
        call.engine.telling.tell_image(image, "tag", name=name)
    return responses.raw_json(responses.encode({"status": image.id}) + b"\r\n")


async def _from_url(url: str, make: Callable[[BinaryIO], Image]) -> Image:
    """Make an image of what a server sends.

    Raises:
        errors.InvalidArgument: It sends nothing.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True, auto_decompress=False) as session,
            session.get(url) as response,
        ):
            if response.status >= 400:
                raise errors.InvalidArgument(f"cannot get '{url}': {response.status} {response.reason}")
            return await transfer.feed(response.content.iter_any(), make)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise errors.InvalidArgument(f"cannot get '{url}': {error or type(error).__name__}") from error


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/images/get", get, interruptible=True),
        Route("GET", "/images/{name:.+}/get", get, interruptible=True),
        Route("POST", "/images/load", put),
    ]

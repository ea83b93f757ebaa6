"""``POST /containers/{id}/attach``: a client's terminal or pipes, joined to a container's.

Output is the log, followed from the moment of the request; input goes straight to the container's standard input,
whose descriptor the shim hands out. Both directions end by themselves: the client may close its half (``docker run -i``
at the end of its input), and the container's output ends when its run does.
"""

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import frames, hijack, output, transfer
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.detach import DEFAULT_KEYS, DetachKeys, parse_keys
from nbcontainers.engine.model import Container
from nbcontainers.runtime import log, rewind
from nbcontainers.runtime.log import Frame, Reader
from nbcontainers.runtime.rewind import Place

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine


class Readable(Protocol):
    """What a client sends, whichever way it comes: an ``Inbound``, or a web socket's messages."""

    async def read(self) -> bytes:
        """Return the next bytes, or nothing at the end."""


class Asked:
    """What one request to attach asks for.

    Raises:
        errors.Conflict: The container is paused, or waits to be started again.
        errors.InvalidArgument: The keys are none.
    """

    def __init__(self, call: Call) -> None:
        self.container = container = call.engine.container(call.parameters["id"])
        if container.state.status == "paused":
            raise errors.Conflict(f"container {container.id} is paused, unpause the container before attach")
        if container.state.status == "restarting":
            raise errors.Conflict(f"container {container.id} is restarting, wait until the container is running")
        self.keys = parse_keys(call.text("detachKeys") or DEFAULT_KEYS)
        names = (("stdout", log.STDOUT), ("stderr", log.STDERR))
        self.streams = frozenset(stream for name, stream in names if call.flag(name))
        self.replay, self.stream = call.flag("logs"), call.flag("stream")
        self.with_input = call.flag("stdin") and self.stream and container.config.open_stdin
        directory = call.engine.output_directory(container)
        place = Place() if self.replay else rewind.end(directory)
        self.reader = Reader(directory, place.segment, place.offset)


async def attach(call: Call) -> web.StreamResponse:
    """Take the connection over and serve it until the container ends or the client goes."""
    asked = Asked(call)
    container = asked.container
    if not asked.stream:
        return await _replay(call, asked)
    with output.Follower(call.engine, container, asked.reader) as follower:
        connection = hijack.take_over(call, frames.content_type(container.config.tty, call.version))
        call.engine.tell(container, "attach")
        tty = container.config.tty

        async def send_output() -> bool:
            async for frame in follower.frames():
                if frame.stream in asked.streams:
                    await connection.write(_piece(frame, tty=tty))
            return True  # the container has ended

        tasks = [asyncio.ensure_future(send_output())]
        if asked.with_input:
            tasks.append(asyncio.ensure_future(send_input(call.engine, container, connection.inbound, asked.keys)))
        await until_over(tasks)
    return await connection.end()


def _piece(frame: Frame, *, tty: bool) -> bytes:
    """Return what was read at once as it is sent: a terminal has one stream, without headers."""
    return frame.data if tty else frames.multiplex(frame.stream, frame.data)


async def until_over(tasks: list["asyncio.Task[bool]"]) -> None:
    """Serve both directions until the end, and leave no task behind."""
    try:
        await _first_end(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_end(tasks: list["asyncio.Task[bool]"]) -> None:
    """Wait until one direction says that all is over (True), or both have ended."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.result() for task in done):
            return


async def _replay(call: Call, asked: Asked) -> web.StreamResponse:
    """Send what there is, and no more (``stream=0``)."""
    tty = asked.container.config.tty
    try:
        connection = hijack.take_over(call, frames.content_type(tty, call.version))
        for frame in output.selected(asked.reader, output.Selection(streams=asked.streams)) if asked.replay else ():
            await connection.write(_piece(frame, tty=tty))
    finally:
        asked.reader.close()
    return await connection.end()


async def send_input(engine: "Engine", container: Container, inbound: Readable, keys: bytes) -> bool:
    """Pass the input on; True when the client is to be let go: its user typed the keys, or its input has ended.

    Where the container was made so (``StdinOnce``), the end of the input is the end of the container's input instead,
    and the client stays for the output.

    Source: moby, container/stream/attach.go.
    """
    await _until_live(engine, container)
    tty = container.config.tty
    try:
        connection = engine.connection(container.id)
        stdin_fd = await connection.stdin_fd()
        if stdin_fd < 0:
            return False
        try:
            left = await pump(stdin_fd if tty else _reopened(stdin_fd), inbound, DetachKeys(keys) if tty else None)
        finally:
            if container.config.stdin_once and not tty:
                connection.close_stdin()  # also when the client was lost
    except (errors.Conflict, errors.NotFound, BrokenPipeError):
        return False  # the container has ended, or closed its standard input and may go on without
    if left:
        engine.tell(container, "detach")
    return left or tty or not container.config.stdin_once


async def pump(stdin_fd: int, inbound: Readable, detach: DetachKeys | None) -> bool:
    """Write what comes in until its end; True when the user has typed the keys to leave."""
    try:
        while data := await inbound.read():
            left = False
            if detach is not None:
                data, left = detach.feed(data)
            await transfer.write(stdin_fd, data)
            if left:
                return True
        return False
    finally:
        os.close(stdin_fd)


async def _until_live(engine: "Engine", container: Container) -> None:
    """Wait until the container runs, by its events."""
    with engine.events.subscribe() as events:
        if engine.is_live(container):
            return
        async for event in events:
            if event.actor_id == container.id and event.action == "start":
                return


def _reopened(pipe_fd: int) -> int:
    """Return a non-blocking descriptor of the same pipe, and close the given one.

    Whether a descriptor blocks belongs to the open file description, which the shim shares; this one is our own.

    Source: open(2) § Open file descriptions; proc_pid_fd(5).
    """
    try:
        return os.open(f"/proc/self/fd/{pipe_fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads any more
            raise BrokenPipeError(error.errno, "the container has closed its standard input") from error
        raise
    finally:
        os.close(pipe_fd)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/containers/{id}/attach", attach, interruptible=True)]

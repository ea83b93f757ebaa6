"""The endpoints of ``docker exec``.

An attached exec has its client's connection to itself: what the program writes goes from its pipes straight into the
connection, waiting while the client is slow, and what the client sends goes to the program. When the client goes, by
the detach keys or without a word, the program stays; what it writes from then on is read and forgotten.

Source: Docker Engine API, § Exec; moby, api/server/router/container/exec.go.
"""

import asyncio
import base64
import contextlib
import os

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import attach, frames, hijack, responses
from nbcontainers.api.calls import Call, decode
from nbcontainers.api.hijack import Hijack
from nbcontainers.api.routing import Route
from nbcontainers.api.wire import requests as wire
from nbcontainers.detach import DEFAULT_KEYS, DetachKeys, parse_keys
from nbcontainers.engine.configuration import ExecConfig
from nbcontainers.engine.execs import Exec, Execs
from nbcontainers.runtime import log
from nbcontainers.runtime.entering import NONE, Entered


async def create(call: Call) -> web.Response:
    """``POST /containers/{id}/exec``."""
    container = call.engine.container(call.parameters["id"])
    asked = await call.body(wire.ExecCreateRequest)
    made = call.engine.execs.create(container, _config(asked))
    return responses.json({"Id": made.id}, 201)


def _config(asked: wire.ExecCreateRequest) -> ExecConfig:
    text = asked.detach_keys or asked.detach_keys_of_docker_py
    try:
        keys = parse_keys(text) if text else b""
    except errors.InvalidArgument:
        raise errors.InvalidArgument(f"Invalid escape keys ({text}) provided") from None
    rows, columns = asked.console_size or (0, 0)
    return ExecConfig(
        cmd=(asked.cmd,) if isinstance(asked.cmd, str) else tuple(asked.cmd or ()),
        attach_stdin=bool(asked.attach_stdin),
        attach_stdout=bool(asked.attach_stdout),
        attach_stderr=bool(asked.attach_stderr),
        tty=bool(asked.tty),
        env=tuple(asked.env or ()),
        user=asked.user or "",
        working_dir=asked.working_dir or "",
        privileged=bool(asked.privileged),
        detach_keys=keys,
        rows=rows,
        columns=columns,
    )


async def inspect(call: Call) -> web.Response:
    """``GET /exec/{id}/json``."""
    one = call.engine.execs.get(call.parameters["id"])
    config = one.config
    process: dict[str, object] = {
        "tty": config.tty,
        "entrypoint": config.cmd[0],
        "arguments": config.cmd[1:],
        "privileged": config.privileged,
    }
    if config.user:
        process["user"] = config.user
    return responses.json(
        {
            "ID": one.id,
            "Running": one.status == "running",
            "ExitCode": one.exit_code,
            "ProcessConfig": process,
            "OpenStdin": config.attach_stdin,
            "OpenStderr": config.attach_stderr,
            "OpenStdout": config.attach_stdout,
            "CanRemove": False,
            "ContainerID": one.container.id,
            "DetachKeys": base64.b64encode(config.detach_keys).decode(),
            "Pid": one.pid,
        }
    )


async def resize(call: Call) -> web.Response:
    """``POST /exec/{id}/resize``."""
    one = call.engine.execs.get(call.parameters["id"])
    await call.engine.execs.resize(one, call.integer("h"), call.integer("w"))
    return responses.empty(200)


async def start(call: Call) -> web.StreamResponse:
    """``POST /exec/{id}/start``: attached on this connection, or detached.

    Once the connection is taken over, an error can only be told as output; Docker does so too.
    """
    execs = call.engine.execs
    one = execs.get(call.parameters["id"])
    execs.check_live(one.container)
    body = await call.raw_body()
    asked = decode(body, wire.ExecStartRequest, "the request's body") if body else wire.ExecStartRequest()
    if asked.detach:
        await execs.start_detached(one)
        return responses.empty(200)
    tty = bool(asked.tty)
    upgraded = bool(call.request.headers.get("Upgrade"))
    connection = hijack.take_over(call, frames.content_type(tty or not upgraded, call.version))
    session = _Session(connection, tty=tty)
    try:
        entered = await execs.start(one, stdin=True, output=True, size=asked.console_size)
    except errors.Error as error:
        await session.write(log.STDOUT, f"{error}\r\n".encode())
        return await connection.end()
    try:
        await session.serve(execs, one, entered)
    finally:
        entered.streams.close()
    return await connection.end()


class _Session:
    """One client at one exec.

    Args:
        connection: The client's.
        tty: Whether it takes output as it is, without frames; then it gets no standard error.
    """

    def __init__(self, connection: Hijack, *, tty: bool) -> None:
        self._connection = connection
        self._tty = tty
        self._gone = False

    async def write(self, stream: int, data: bytes) -> None:
        """Send output, waiting while the client is slow; nothing happens when it has gone."""
        if self._gone or (self._tty and stream == log.STDERR):
            return
        try:
            await self._connection.write(data if self._tty else frames.multiplex(stream, data))
        except ConnectionError:
            self._gone = True

    async def serve(self, execs: Execs, one: Exec, entered: Entered) -> None:
        """Pass everything on, both ways, until the program has ended."""
        streams, config = entered.streams, one.config
        feeding = asyncio.ensure_future(self._feed(execs, one, entered)) if config.attach_stdin else None
        try:
            outputs = [self._pass_on(entered, streams.stdout_fd, log.STDOUT, wanted=config.attach_stdout)]
            if streams.stderr_fd != NONE:
                outputs.append(self._pass_on(entered, streams.stderr_fd, log.STDERR, wanted=config.attach_stderr))
            await asyncio.gather(*outputs)
            await one.ended.wait()  # whoever sees the end of the output may ask for the exit code at once
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def _pass_on(self, entered: Entered, fd: int, stream: int, *, wanted: bool) -> None:
        async for data in entered.output(fd):
            if wanted:
                await self.write(stream, data)

    async def _feed(self, execs: Execs, one: Exec, entered: Entered) -> None:
        """Pass the client's input on; at its end the program's ends too, unless it is a terminal."""
        streams, config = entered.streams, one.config
        detach = DetachKeys(config.detach_keys or parse_keys(DEFAULT_KEYS)) if config.tty else None
        if config.tty:
            fd = os.dup(streams.stdin_fd)
        else:
            fd, streams.stdin_fd = streams.stdin_fd, NONE
        with contextlib.suppress(OSError):  # the program has ended, or reads no more
            if await attach.pump(fd, self._connection.inbound, detach):
                self._gone = True
                execs.left(one)
                self._connection.close()


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("POST", "/containers/{id}/exec", create),
        Route("POST", "/exec/{id}/start", start),
        Route("POST", "/exec/{id}/resize", resize),
        Route("GET", "/exec/{id}/json", inspect, interruptible=True),
    ]

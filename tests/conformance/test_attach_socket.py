"""Attaching by a web socket, with aiohttp's client."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import docker
import pytest

from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root]
Talk = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]]


def _attach(engine: EngineProcess, container: Any, talk: Talk, **query: int) -> Any:
    """Attach to a container, start it, and talk."""

    async def attach() -> Any:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(engine.socket))) as session:
            url = f"http://localhost/v1.47/containers/{container.id}/attach/ws"
            async with session.ws_connect(url, params=query) as socket:
                await asyncio.to_thread(container.start)
                return await asyncio.wait_for(talk(socket), 20)

    return asyncio.run(attach())


async def _all(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    """Read until the engine closes."""
    return b"".join([message.data async for message in socket])


def test_output_of_both_streams(engine: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["sh", "-c", "echo out; echo err >&2"], network_mode="none")
    assert sorted(_attach(engine, container, _all, stream=1, stdout=1, stderr=1).split()) == [b"err", b"out"]


def test_input(engine: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["head", "-n", "2"], stdin_open=True, network_mode="none")

    async def talk(socket: aiohttp.ClientWebSocketResponse) -> bytes:
        await socket.send_bytes(b"one\n")
        await socket.send_str("two\n")
        return await _all(socket)

    assert _attach(engine, container, talk, stream=1, stdin=1, stdout=1) == b"one\ntwo\n"


def test_leaving_by_keys_and_the_past(engine: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", ["sh"], stdin_open=True, tty=True, network_mode="none")

    async def leave(socket: aiohttp.ClientWebSocketResponse) -> bytes:
        await socket.send_str("echo sa''id\r")
        seen = b""
        while b"said" not in seen:
            seen += (await socket.receive()).data
        await socket.send_bytes(b"\x10\x11")
        return await _all(socket)

    _attach(engine, container, leave, stream=1, stdin=1, stdout=1)
    container.reload()
    assert container.status == "running"
    assert b"said" in _attach(engine, container, _all, logs=1, stdout=1)


def test_one_that_is_no_web_socket(engine: EngineProcess, client: docker.DockerClient) -> None:
    container = client.containers.create("busybox", "true")
    api: Any = client.api
    answer = api._get(api._url(f"/containers/{container.id}/attach/ws"))
    assert answer.status_code == 400
    assert "web socket" in answer.json()["message"]

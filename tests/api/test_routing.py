"""The frame: versions, paths, errors, the socket."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses, unsupported
from nbcontainers.api.calls import Call
from nbcontainers.api.failures import STATUSES, status_of
from nbcontainers.api.routing import Route, split_version
from nbcontainers.api.server import listen, socket_path
from nbcontainers.runtime.client import StartError
from tests.api.harness import ask, message, serving


async def _echo(call: Call) -> web.Response:
    return responses.json({"parameters": call.parameters, "version": call.version})


async def _broken(call: Call) -> web.Response:
    raise ZeroDivisionError("a fault of ours")


ROUTES = [
    Route("GET", "/things/json", _echo),
    Route("GET", "/things/{id}/json", _echo, interruptible=True),
    Route("GET", "/images/{name:.+}/json", _echo),
    Route("GET", "/broken", _broken),
    *unsupported.routes(),
]


@pytest.mark.parametrize("path", ["/things/json", "/v1.24/things/json", "/v1.47/things/json"])
async def test_a_path_works_with_every_version_and_without(path: str) -> None:
    async with serving(ROUTES) as server:
        status, headers, _ = await ask(server, f"GET {path}")
    assert status == 200
    assert headers["api-version"] == "1.47"
    assert headers["ostype"] == "linux"
    assert headers["server"].startswith("nbcontainers/")


@pytest.mark.parametrize(("path", "words"), [("/v1.12/x", "too old"), ("/v1.99/x", "too new"), ("/v2.0/x", "too new")])
async def test_an_unknown_version_is_refused_in_dockers_words(path: str, words: str) -> None:
    async with serving(ROUTES) as server:
        status, _, body = await ask(server, f"GET {path}")
    assert status == 400
    assert words in message(body)


async def test_image_names_may_hold_slashes() -> None:
    async with serving(ROUTES) as server:
        _, _, body = await ask(server, "GET /v1.40/images/a.example/b/c:1/json")
    assert b'"name":"a.example/b/c:1"' in body
    assert b'"version":[1,40]' in body


async def test_unknown_paths_and_methods() -> None:
    async with serving(ROUTES) as server:
        assert (await ask(server, "GET /nowhere"))[0] == 404
        status, _, body = await ask(server, "DELETE /things/json")
    assert status == 404
    assert body == b'{"message":"page not found"}'


async def test_what_is_not_built_says_so() -> None:
    async with serving(ROUTES) as server:
        for method, pattern, sentence in unsupported.ENDPOINTS:
            path = (
                pattern.replace("{id}", "x")
                .replace("{name:.+}", "a/b")
                .replace("{name}", "x")
                .replace("{rest:.+}", "x")
            )
            status, _, body = await ask(server, f"{method} {path}")
            assert status == 501, path
            assert method == "HEAD" or message(body) == sentence


async def test_a_fault_of_ours_is_a_500_with_a_message(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ROUTES) as server:
        status, _, body = await ask(server, "GET /broken")
    assert status == 500
    assert message(body) == "a fault of ours"
    assert "ZeroDivisionError" in caplog.text


async def test_nonsense_on_the_wire_is_refused() -> None:
    async with serving(ROUTES) as server:
        reader, writer = await asyncio.open_unix_connection(server)
        writer.write(b"\x00\x01 no http\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


def test_every_class_of_error_has_its_status() -> None:
    assert status_of(errors.NoSuchImage("x")) == 404
    assert status_of(errors.NotModified("x")) == 304
    assert status_of(StartError("x", 127)) == 400
    assert status_of(StartError("x", 125)) == 500
    assert status_of(OSError("x")) == 500
    direct = {kind for kind in vars(errors).values() if isinstance(kind, type) and errors.Error in kind.__bases__}
    assert direct == {kind for kind, _ in STATUSES}


def test_split_version() -> None:
    assert split_version("/v1.41/info") == ((1, 41), "/info")
    assert split_version("/info") == ((1, 47), "/info")


def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "s")
    listening = listen(path)
    try:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with pytest.raises(errors.Conflict, match="another engine answers"):
            listen(path)
    finally:
        listening.close()
    listen(path).close()  # what a killed engine left is replaced


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(errors.Conflict, match="not a socket"):
        listen(str(tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "mine"


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "/run/x", "unix://relative", "unix:///" + "x" * 108])
def test_addresses_that_are_refused(host: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        socket_path(host)


def test_address() -> None:
    assert socket_path("unix:///run/x.sock") == "/run/x.sock"

"""What goes back: JSON at once, or a stream in chunks."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from nbcontainers import __version__
from nbcontainers.api.calls import Call

API_VERSION = "1.47"
MINIMUM_API_VERSION = "1.24"
HEADERS = {
    "Api-Version": API_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"nbcontainers/{__version__} (linux)",
}
STREAMING = web.RequestKey(
    "nbcontainers.streaming", bool
)  # set once an answer has begun: no error can be told any more
_JSON_HEADERS = {**HEADERS, "Content-Type": "application/json"}

encode = msgspec.json.Encoder().encode


def json(value: Any, status: int = 200) -> web.Response:
    """Return a value as JSON; wire types, lists and dictionaries are all well."""
    return web.Response(body=encode(value), status=status, headers=_JSON_HEADERS)


def raw_json(body: bytes, status: int = 200) -> web.Response:
    """Return text that is JSON already."""
    return web.Response(body=body, status=status, headers=_JSON_HEADERS)


def empty(status: int = 204) -> web.Response:
    """Return a status and nothing else."""
    return web.Response(status=status, headers=HEADERS)


def message(status: int, text: str) -> web.Response:
    """Return an error in Docker's form; a 304 has no body (RFC 9110 § 15.4.5)."""
    return empty(304) if status == 304 else json({"message": text}, status)


async def stream(
    call: Call, content_type: str, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Begin a chunked response; its headers are sent before this returns."""
    response = web.StreamResponse(status=status, headers={**HEADERS, "Content-Type": content_type, **(headers or {})})
    response.enable_chunked_encoding()
    call.request[STREAMING] = True
    await response.prepare(call.request)
    return response


async def write_json_line(response: web.StreamResponse, value: Any) -> None:
    """Write one value of a stream of JSON values, each on a line of its own."""
    await response.write(encode(value) + b"\r\n")

"""Credentials for registries as clients send them, and ``POST /auth``, which has a registry check them.

Source: Docker Engine API v1.47, § Authentication, ``POST /auth``; RFC 4648 § 5.
"""

import base64
import binascii

import msgspec
from aiohttp import web

from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.images.registry import Credentials
from nbcontainers.images.registry.hosts import registry_name

HEADER = "X-Registry-Auth"
Fields = dict[str, object]


def credentials(call: Call) -> Credentials:
    """Return the credentials that come with a request; one that cannot be read means anybody, as it does for Docker.

    Clients without credentials have sent much else in that header, for it had to be there once.
    """
    text = call.request.headers.get(HEADER, "").strip().rstrip("=")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if {"-", "_"} & set(text) else None)
        fields = msgspec.json.decode(data, type=Fields | None)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return Credentials()
    return of_fields(fields or {})


def of_fields(fields: Fields) -> Credentials:
    """Return the credentials that are in Docker's ``AuthConfig``, however its names are written."""
    # Clients written in Python write some of the names with capitals, and programs in Go do not mind.
    given = {name.lower(): str(value) for name, value in fields.items() if value}
    return Credentials(
        username=given.get("username", ""),
        password=given.get("password", ""),
        identity_token=given.get("identitytoken", ""),
        registry_token=given.get("registrytoken", ""),
    )


async def check(call: Call) -> web.Response:
    """``POST /auth``: say whether a registry takes somebody's credentials."""
    fields = await call.body(Fields)
    server = next((str(value) for name, value in fields.items() if name.lower() == "serveraddress" and value), "")
    login = await call.engine.registries.log_in(registry_name(server), of_fields(fields))
    return responses.json({"Status": "Login Succeeded", "IdentityToken": login.identity_token})


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [Route("POST", "/auth", check, interruptible=True)]

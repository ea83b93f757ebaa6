"""Credentials for several registries at once, as they come with a build.

Source: Docker Engine API v1.47, ``POST /build``, header ``X-Registry-Config``.
"""

import base64
import binascii

import msgspec

from nbcontainers.api.calls import Call
from nbcontainers.api.registry_auth import Fields, of_fields
from nbcontainers.images.registry import Credentials
from nbcontainers.images.registry.hosts import registry_name

HEADER = "X-Registry-Config"


def logins(call: Call) -> dict[str, Credentials]:
    """Return the credentials that come with a request, by the registry's name; none where they cannot be read."""
    text = call.request.headers.get(HEADER, "").strip().rstrip("=")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if {"-", "_"} & set(text) else None)
        found = msgspec.json.decode(data, type=dict[str, Fields | None] | None)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return {}
    return {registry_name(server): of_fields(fields or {}) for server, fields in (found or {}).items()}

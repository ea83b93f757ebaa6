"""What registries are asked without pulling anything: what is there under a name, and which names there are.

Source: Docker Engine API v1.47, ``GET /distribution/{name}/json``, ``GET /images/search``.
"""

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import registry_auth, responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Route
from nbcontainers.images.platforms import Platform
from nbcontainers.images.references import DOCKER_HUB, is_registry
from nbcontainers.images.registry.search import Hit

FILTERS = frozenset(("is-automated", "is-official", "stars"))
_FEWEST, _USUAL, _MOST = 1, 25, 100
_TRUE, _FALSE = ("1", "true"), ("0", "false")
Json = dict[str, object]


async def inspect(call: Call) -> web.Response:
    """``GET /distribution/{name}/json``."""
    found = await call.engine.pulls.describe(call.parameters["name"], registry_auth.credentials(call))
    manifest = found.manifest
    return responses.json(
        {
            "Descriptor": {"mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.size},
            "Platforms": [_platform(platform) for platform in found.platforms],
        }
    )


def _platform(platform: Platform) -> Json:
    variant = {"variant": platform.variant} if platform.variant else {}
    return {"architecture": platform.architecture, "os": platform.os, **variant}


async def search(call: Call) -> web.Response:
    """``GET /images/search``: by a word, which a registry's name may stand before."""
    term, limit = call.text("term"), call.integer("limit") or _USUAL
    if not term or "://" in term:
        raise errors.InvalidArgument(f"invalid term '{term}': a word is wanted, or localhost:5000/word")
    if not _FEWEST <= limit <= _MOST:
        raise errors.InvalidArgument(f"limit {limit} is outside the range of [{_FEWEST}, {_MOST}]")
    asked = call.filters(FILTERS)
    wanted: dict[str, bool] = {
        name: _flag(name, asked[name]) for name in ("is-automated", "is-official") if name in asked
    }
    stars = max((_number(value) for value in asked.get("stars", ())), default=0)
    first, slash, rest = term.partition("/")
    registry, word = (first, rest) if slash and is_registry(first) else (DOCKER_HUB, term)
    hits = await call.engine.registries.search(registry, word, limit, registry_auth.credentials(call))
    return responses.json([hit for hit in hits if _fits(hit, wanted, stars)])


def _fits(hit: Hit, wanted: dict[str, bool], stars: int) -> bool:
    if wanted.get("is-automated", hit.is_automated) != hit.is_automated:
        return False
    return wanted.get("is-official", hit.is_official) == hit.is_official and hit.star_count >= stars


def _flag(name: str, values: list[str]) -> bool:
    if values[0].lower() not in (*_TRUE, *_FALSE):
        raise errors.InvalidArgument(f"invalid filter '{name}=[{values[0]}]'")
    return values[0].lower() in _TRUE


def _number(text: str) -> int:
    if not text.isdecimal():
        raise errors.InvalidArgument(f"invalid filter 'stars=[{text}]'")
    return int(text)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("GET", "/distribution/{name:.+}/json", inspect, interruptible=True),
        Route("GET", "/images/search", search, interruptible=True),
    ]

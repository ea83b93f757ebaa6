"""What Docker has and this engine has not yet: known paths, each answered with a sentence rather than with silence.

Source: Docker Engine API v1.47, ``paths``.
"""

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Handler, Route

_SWARM = "swarm mode is not supported"
_SWARM_KINDS = ("swarm", "nodes", "services", "tasks", "secrets", "configs")
_PLUGINS = "plugins are not supported"

# method, path, what is not supported
ENDPOINTS: tuple[tuple[str, str, str], ...] = (
    ("POST", "/session", "BuildKit is not supported, set DOCKER_BUILDKIT=0"),
    ("PUT", "/volumes/{name}", "cluster volumes are not supported"),
    ("GET", "/plugins", _PLUGINS),
    ("GET", "/plugins/{name:.+}", _PLUGINS),
    ("POST", "/plugins/{name:.+}", _PLUGINS),
    ("DELETE", "/plugins/{name:.+}", _PLUGINS),
    *(("GET", f"/{kind}", _SWARM) for kind in _SWARM_KINDS),
    *((method, f"/{kind}/{{rest:.+}}", _SWARM) for kind in _SWARM_KINDS for method in ("GET", "POST", "DELETE")),
)


def routes() -> list[Route]:
    """Return a route for each of them."""
    return [
        Route("POST", "/swarm/leave", _leave_swarm),
        *(Route(method, path, _refuse(sentence)) for method, path, sentence in ENDPOINTS),
    ]


async def _leave_swarm(call: Call) -> web.StreamResponse:
    """``POST /swarm/leave``: clients that leave to be sure know Docker's status for who is in none."""
    raise errors.Unavailable("a swarm", "this node is not part of a swarm", "there is nothing to leave")


def _refuse(sentence: str) -> Handler:
    async def refuse(call: Call) -> web.StreamResponse:
        raise errors.Unsupported(sentence)

    return refuse

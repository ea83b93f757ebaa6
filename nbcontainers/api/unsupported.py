"""What Docker has and this engine has not yet: known paths, each answered with a sentence rather than with silence.

Source: Docker Engine API v1.47, ``paths``.
"""

from aiohttp import web

from nbcontainers import errors
from nbcontainers.api import responses
from nbcontainers.api.calls import Call
from nbcontainers.api.routing import Handler, Route

_SWARM = "swarm mode is not supported"
_SWARM_KINDS = ("swarm", "nodes", "services", "tasks", "secrets", "configs")
_PLUGINS = "plugins are not supported"
_PLUGIN_FILTERS = frozenset(("capability", "enabled"))

# method, path, what is not supported
ENDPOINTS: tuple[tuple[str, str, str], ...] = (
    ("PUT", "/volumes/{name}", "cluster volumes are not supported"),
    ("POST", "/swarm/init", _SWARM),
    ("POST", "/swarm/join", _SWARM),
    ("GET", "/plugins/privileges", _PLUGINS),
    ("POST", "/plugins/pull", _PLUGINS),
    ("POST", "/plugins/create", _PLUGINS),
)
_ACTIONS = ("enable", "disable", "push", "set", "upgrade")  # on one plugin


def routes() -> list[Route]:
    """Return a route for each of them, and for what an engine without plugins and outside of a swarm answers."""
    return [
        Route("POST", "/swarm/leave", _leave_swarm),
        *(Route(method, path, _refuse(sentence)) for method, path, sentence in ENDPOINTS),
        *(Route("GET", f"/{kind}", _ask_swarm) for kind in _SWARM_KINDS),
        *(
            Route(method, f"/{kind}/{{rest:.+}}", _ask_swarm)
            for kind in _SWARM_KINDS
            for method in ("GET", "POST", "DELETE")
        ),
        Route("GET", "/plugins", _plugins),
        Route("GET", "/plugins/{name:.+}/json", _no_plugin),
        *(Route("POST", f"/plugins/{{name:.+}}/{action}", _no_plugin) for action in _ACTIONS),
        Route("DELETE", "/plugins/{name:.+}", _no_plugin),
    ]


async def _leave_swarm(call: Call) -> web.StreamResponse:
    """``POST /swarm/leave``: clients that leave to be sure know Docker's status for who is in none."""
    raise errors.Unavailable("a swarm", "This node is not part of a swarm", "there is nothing to leave")


async def _ask_swarm(call: Call) -> web.StreamResponse:
    """Answer with the status and the words by which clients know a node that is in no swarm, or does not manage it."""
    raise errors.Unavailable(
        "a swarm", "This node is not a swarm manager", f"{_SWARM}: containers and docker-compose do without"
    )


async def _plugins(call: Call) -> web.StreamResponse:
    """``GET /plugins``: there are none."""
    call.filters(_PLUGIN_FILTERS)
    return responses.json([])


async def _no_plugin(call: Call) -> web.StreamResponse:
    raise errors.NotFound(f'plugin "{call.parameters["name"]}" not found')


def _refuse(sentence: str) -> Handler:
    async def refuse(call: Call) -> web.StreamResponse:
        raise errors.Unsupported(sentence)

    return refuse

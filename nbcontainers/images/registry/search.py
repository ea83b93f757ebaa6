"""Looking for images by words: what the protocol before this one had, and Docker Hub still has.

Source: Docker Registry HTTP API v1 § Search.
"""

import msgspec
from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry.hosts import DOCKER_HUB, Endpoint
from nbcontainers.images.registry.model import Credentials
from nbcontainers.images.registry.tokens import Access, read_at_most
from nbcontainers.images.registry.transport import Transport

DOCKER_HUB_SEARCH = URL("https://index.docker.io")
_LONGEST_ANSWER = 4 << 20


class Hit(msgspec.Struct):
    """A repository that fits; the names are those of Docker's API as well."""

    name: str
    description: str | None = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Answer(msgspec.Struct):
    results: list[Hit] | None = None


def address(registry: str, endpoint: Endpoint) -> Endpoint:
    """Return where a registry is searched: Docker Hub has a host of its own for that."""
    return Endpoint(url=DOCKER_HUB_SEARCH, context=endpoint.context) if registry == DOCKER_HUB else endpoint


async def search(transport: Transport, endpoint: Endpoint, term: str, count: int, who: Credentials) -> list[Hit]:
    """Return repositories that fit a word.

    Raises:
        errors.RegistryError: The registry cannot be reached, or offers no search.
    """
    url = endpoint.url / "v1" / "search" % {"q": term, "n": str(count)}
    try:
        async with transport.request("GET", url, Access(endpoint, who)) as response:
            body = await read_at_most(response, _LONGEST_ANSWER)
        return msgspec.json.decode(body, type=_Answer).results or []
    except (errors.NotFound, msgspec.DecodeError, UnicodeDecodeError) as error:
        host = endpoint.url.host_port_subcomponent
        raise errors.RegistryError(f"the registry '{host}' offers no search: GET {url.path} is not there") from error

"""All registries, for one engine: connections and tokens are shared between all that is pulled and pushed."""

from nbcontainers import errors
from nbcontainers.images.registry import challenges
from nbcontainers.images.registry.hosts import Hosts
from nbcontainers.images.registry.model import Credentials, Login
from nbcontainers.images.registry.repository import Repository
from nbcontainers.images.registry.search import Hit, address, search
from nbcontainers.images.registry.settings import Settings
from nbcontainers.images.registry.tokens import Access
from nbcontainers.images.registry.transport import Patience, Transport, refusal
from nbcontainers.images.registry.unreachable import BROKEN, broken


class Registries:
    """The door of this room; ``close`` when no registry is asked any more.

    Args:
        settings: What the administrator says.
        patience: How often things are tried.
    """

    def __init__(self, settings: Settings, patience: Patience | None = None) -> None:
        self.settings = settings
        self._transport = Transport(patience or Patience())
        self._hosts = Hosts(settings)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    def repository(
        self, registry: str, name: str, credentials: Credentials | None = None, *, push: bool = False
    ) -> Repository:
        """Return a repository; nothing is asked yet.

        Args:
            registry: As references have it, such as ``docker.io`` or ``localhost:5000``.
            name: In full, such as ``library/busybox``.
            credentials: Whose; nobody's by default.
            push: Whether something will be written.
        """
        return Repository(self._transport, self._hosts, registry, name, credentials or Credentials(), push=push)

    async def search(self, registry: str, term: str, count: int, credentials: Credentials) -> list[Hit]:
        """Return repositories of a registry that fit a word; few registries but Docker Hub have that.

        Raises:
            errors.RegistryError: The registry cannot be reached, or offers no search.
        """
        found = (await self._hosts.endpoints(registry, self._transport.answers, mirrors=False))[-1]
        return await search(self._transport, address(registry, found), term, count, credentials)

    async def log_in(self, registry: str, credentials: Credentials) -> Login:
        """Have a registry check credentials.

        Raises:
            errors.Unauthorized: They are not good.
            errors.RegistryError: It cannot be reached, or is none.
        """
        endpoint = (await self._hosts.endpoints(registry, self._transport.answers, mirrors=False))[-1]
        url, access = endpoint.url / "v2" / "", Access(endpoint, credentials)
        try:
            response = await self._transport.send("GET", url, endpoint)
            challenge = challenges.choose(response.headers.getall("WWW-Authenticate", []))
            login = Login()
            if response.status == 401 and challenge is not None:
                response.release()
                header, identity_token = await self._transport.tokens.log_in(access, challenge)
                login = Login(identity_token)
                response = await self._transport.send("GET", url, endpoint, headers={"Authorization": header})
            if response.status < 300:
                response.release()
                return login
        except BROKEN as error:
            raise broken(endpoint, error) from error
        refused = await refusal(response)
        text = f"login attempt to {url} failed with status: {response.status} {response.reason}"
        raise errors.Unauthorized(text) if response.status == 401 else refused

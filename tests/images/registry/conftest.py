"""What stands beside and in front of a registry, and the client's door to it."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from nbcontainers.images.registry import Patience, Registries, Settings
from tests.images.registry.servers import FaultyProxy, RegistryServer, TokenServer, running_registry


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxies the world is reached through from here, tests ask their own servers."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.fixture
def token_registry(need: Callable[..., None], tokens: TokenServer) -> Iterator[RegistryServer]:
    """One that wants a token."""
    need("registry")
    with running_registry(tokens=tokens) as server:
        yield server


@pytest.fixture
def proxy(registry: RegistryServer) -> Iterator[FaultyProxy]:
    with FaultyProxy(registry.address) as server:
        yield server


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    door = Registries(Settings(), Patience(first_seconds=0.01))
    yield door
    await door.close()

"""Fixtures for tests that need a registry: the real ``docker-registry``, one for each module."""

from collections.abc import Callable, Iterator

import pytest

from tests.images.registry.servers import RegistryServer, running_registry


@pytest.fixture(scope="module")
def registry(need: Callable[..., None]) -> Iterator[RegistryServer]:
    """One for everybody."""
    need("registry")
    with running_registry() as server:
        yield server


@pytest.fixture(scope="module")
def private_registry(need: Callable[..., None]) -> Iterator[RegistryServer]:
    """One that wants a password."""
    need("registry")
    with running_registry(htpasswd=True) as server:
        yield server

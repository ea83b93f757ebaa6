"""Who is started before whom, and who waits for whose start."""

import asyncio

from nbcontainers.engine.configuration import ContainerConfig, HostConfig, Namespaces
from nbcontainers.engine.model import Container, Link
from nbcontainers.engine.order import Attempts, ordered


def _container(name: str, *, network: str = "none", pid: str = "", link: str = "") -> Container:
    host_config = HostConfig(network_mode=network, namespaces=Namespaces(pid=pid))
    container = Container(
        id=name * 64, name=name, image_id="", created_ns=1, config=ContainerConfig(image="x"), host_config=host_config
    )
    container.links = (Link(container_id=link * 64, alias=link),) if link else ()
    return container


def _all(*containers: Container) -> dict[str, Container]:
    return {container.id: container for container in containers}


def test_each_comes_after_those_that_it_needs() -> None:
    given = [
        _container("a", network="container:b"),
        _container("b", pid=f"container:{'d' * 64}"),
        _container("c", link="a"),
        _container("d", network="container:missing"),
        _container("e", network="container:e"),
    ]
    assert [one.name for one in ordered(given)] == ["d", "b", "a", "c", "e"]


async def _order_of(containers: dict[str, Container], *, tried: list[str]) -> list[str]:
    """Return the names of those that are to be tried, in the order in which they could go on."""
    attempts, went = Attempts(containers), []
    expected = [container for container in containers.values() if container.name in tried]

    async def attempt(container: Container) -> None:
        await attempts.come_before(container)
        went.append(container.name)
        await asyncio.sleep(0)
        attempts.over(container)

    for container in expected:
        attempts.expect(container)
    await asyncio.gather(*map(attempt, expected))
    return went


async def test_an_attempt_waits_for_others() -> None:
    containers = _all(_container("a", network="container:b"), _container("b", link="c"), _container("c"))
    assert await _order_of(containers, tried=["a", "b", "c"]) == ["c", "b", "a"]
    assert await _order_of(containers, tried=["a", "b"]) == ["b", "a"]
    assert await _order_of(containers, tried=["a", "c"]) == ["a", "c"]


async def test_a_circle_waits_for_nobody() -> None:
    circle = _all(_container("a", network="container:b"), _container("b", pid="container:c"), _container("c", link="a"))
    assert sorted(await _order_of(circle, tried=["a", "b", "c"])) == ["a", "b", "c"]
    assert len(ordered(circle.values())) == 3

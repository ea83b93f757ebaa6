"""aiodocker, an asynchronous client of its own making: containers, exec, logs, events, images."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.engine_process import EngineProcess

pytest.importorskip("aiodocker", reason="aiodocker is not installed")
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer

pytestmark = [pytest.mark.root, pytest.mark.peer]
ANSWER_SECONDS = 30


@pytest.fixture
async def aio(engine: EngineProcess, need: Callable[..., None]) -> AsyncIterator[Docker]:
    """The client; containers left by the test are removed after it."""
    need("peer")
    async with Docker(url=engine.url) as docker:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield docker
    engine.remove_everything()


async def created(docker: Docker, command: list[str], **config: bool) -> DockerContainer:
    return await docker.containers.create(
        {"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": "none"}, **config}
    )


async def test_a_life(aio: Docker) -> None:
    container = await aio.containers.create_or_replace(
        "aio", {"Image": "busybox", "Cmd": ["sh", "-c", "exit 3"], "HostConfig": {"NetworkMode": "none"}}
    )
    await container.start()
    assert (await container.wait())["StatusCode"] == 3
    shown = await container.show()
    assert (shown["Name"], shown["State"]["Status"], shown["State"]["ExitCode"]) == ("/aio", "exited", 3)
    assert [one.id for one in await aio.containers.list(all=True, filters='{"name": ["aio"]}')] == [container.id]
    await container.rename("other")
    assert (await aio.containers.get("other")).id == container.id
    await container.delete()
    with pytest.raises(DockerError) as refused:
        await aio.containers.get("other")
    assert refused.value.status == 404


async def test_pause_kill_restart_and_stats(aio: Docker) -> None:
    container = await created(aio, ["sleep", "600"])
    await container.start()
    await container.pause()
    assert (await container.show())["State"]["Paused"]
    await container.unpause()
    (sample,) = await container.stats(stream=False)
    assert sample["pids_stats"]["current"] == 1
    assert sample["memory_stats"]["usage"] > 0
    await container.restart(t=0)
    assert (await container.show())["State"]["Running"]
    await container.kill(signal="KILL")
    assert (await container.wait())["StatusCode"] == 137


async def test_logs(aio: Docker) -> None:
    container = await created(aio, ["sh", "-c", "echo out; echo err >&2; echo more"])
    await container.start()
    await container.wait()
    assert "".join(await container.log(stdout=True)) == "out\nmore\n"
    assert await container.log(stderr=True) == ["err\n"]
    followed = [line async for line in container.log(stdout=True, stderr=True, follow=True)]
    assert sorted(followed) == ["err\n", "more\n", "out\n"]


async def test_exec(aio: Docker) -> None:
    container = await created(aio, ["sleep", "600"])
    await container.start()
    command = await container.exec(
        ["sh", "-c", "read line; echo got $line $NAME; echo err >&2; exit 4"], stdin=True, environment={"NAME": "value"}
    )
    got = {1: b"", 2: b""}
    async with command.start() as stream:
        await stream.write_in(b"hello\n")
        while (message := await stream.read_out()) is not None:
            got[message.stream] += message.data
    assert got == {1: b"got hello value\n", 2: b"err\n"}
    assert (await command.inspect())["ExitCode"] == 4


async def test_attach(aio: Docker) -> None:
    container = await created(
        aio, ["sh", "-c", "read line; echo got $line"], OpenStdin=True, StdinOnce=True, AttachStdin=True
    )
    async with container.attach(stdin=True, stdout=True, stderr=True) as stream:
        await container.start()
        await stream.write_in(b"hello\n")
        message = await stream.read_out()
        assert message is not None
        assert (message.stream, message.data) == (1, b"got hello\n")
        assert await stream.read_out() is None


async def test_attach_by_a_web_socket(aio: Docker) -> None:
    container = await created(aio, ["sh", "-c", "read line; echo got $line"], OpenStdin=True, StdinOnce=True)
    await container.start()
    socket = await container.websocket(stdin=True, stdout=True, stderr=True, stream=True)
    await socket.send_bytes(b"hello\n")
    got = b"".join([message.data async for message in socket])
    assert b"got hello\n" in got
    await socket.close()


async def test_volumes_and_networks(aio: Docker) -> None:
    volume = await aio.volumes.create({"Name": "aio", "Labels": {"a": "b"}})  # type: ignore[no-untyped-call]
    network = await aio.networks.create({"Name": "aio", "Driver": "bridge", "Labels": {"a": "b"}})
    try:
        assert (await volume.show())["Labels"] == (await network.show())["Labels"] == {"a": "b"}
        listed = await aio.volumes.list()  # type: ignore[no-untyped-call]
        assert "aio" in [one["Name"] for one in listed["Volumes"]]
        container = await aio.containers.run(
            {
                "Image": "busybox",
                "Cmd": ["sleep", "600"],
                "HostConfig": {"Binds": ["aio:/data"], "NetworkMode": "bridge"},
            }
        )
        await network.connect({"Container": container.id, "EndpointConfig": {"Aliases": ["other"]}})
        assert list((await network.show())["Containers"]) == [container.id]
        await network.disconnect({"Container": container.id, "Force": True})
        assert (await network.show())["Containers"] == {}
        with pytest.raises(DockerError) as refused:
            await volume.delete()
        assert refused.value.status == 409
        await container.delete(force=True)
    finally:
        await network.delete()
        await volume.delete()


async def test_events(aio: Docker) -> None:
    subscriber = aio.events.subscribe(since=f"{time.time():.9f}")  # type: ignore[no-untyped-call]
    container = await created(aio, ["sh", "-c", "exit 5"])
    await container.start()
    seen: list[str] = []
    while "die" not in seen:
        event = await subscriber.get()
        assert event is not None
        if event["Type"] == "container" and event["Actor"]["ID"] == container.id:
            seen.append(event["Action"])
    assert seen == ["create", "start", "die"]
    assert event["Actor"]["Attributes"]["exitCode"] == "5"
    assert event["time"].year > 2000


async def test_images_and_archives(aio: Docker) -> None:
    container = await created(aio, ["touch", "/made"])
    await container.start()
    await container.wait()
    made = await container.commit(repository="aio-made", tag="1")
    try:
        image = await aio.images.inspect("aio-made:1")
        assert image["Id"] == made["Id"]
        assert "aio-made:1" in [tag for one in await aio.images.list() for tag in one["RepoTags"] or ()]
        with await container.get_archive("/made") as archive:
            assert archive.getnames() == ["made"]
    finally:
        removed = await aio.images.delete("aio-made:1")
    assert {"Untagged": "aio-made:1"} in removed


async def test_the_system(aio: Docker) -> None:
    assert (await aio.version())["ApiVersion"] >= "1.41"
    info = await aio.system.info()
    assert info["OSType"] == "linux"
    assert info["Images"] >= 1

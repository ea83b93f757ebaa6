"""Commands that the engine itself runs in a container, as its health checks do."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.engine.configuration import ContainerConfig, HostConfig
from nbcontainers.engine.engine import Engine
from nbcontainers.engine.model import Container
from tests.busybox import root_file_system

pytestmark = [pytest.mark.root]


@pytest.fixture
async def engine(tmp_path: Path, need: Callable[..., None]) -> AsyncIterator[Engine]:
    """An engine in this process, with the image busybox."""
    need("root", "busybox")
    engine = Engine(tmp_path / "root", tmp_path / "run")
    await engine.start()
    try:
        archive = io.BytesIO(root_file_system())
        await asyncio.to_thread(engine.images.import_tar, archive, message="", reference="busybox:latest")
        yield engine
        for container in engine.containers():
            await engine.remove(container.id, force=True)
    finally:
        await engine.close()


async def _container(engine: Engine) -> Container:
    config = ContainerConfig(image="busybox", cmd=("sleep", "600"))
    container, _ = await engine.create("", config, HostConfig(network_mode="none"))
    await engine.start_container(container.id)
    return container


async def test_exit_code_and_output(engine: Engine) -> None:
    container = await _container(engine)
    outcome = await engine.execs.run(container, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (outcome.exit_code, sorted(outcome.output.split())) == (3, [b"err", b"out"])
    outcome = await engine.execs.run(container, ["nope"])
    assert outcome.exit_code == 127
    assert b"executable file not found in $PATH" in outcome.output


async def test_a_command_that_takes_too_long_is_killed(engine: Engine) -> None:
    container = await _container(engine)
    outcome = await engine.execs.run(container, ["sh", "-c", "echo begun; exec sleep 600"], timeout_seconds=0.5)
    assert (outcome.exit_code, outcome.timed_out, outcome.output) == (137, True, b"begun\n")
    async with asyncio.timeout(20):
        while engine.execs.ids(container):
            await asyncio.sleep(0.01)
    assert len(engine.processes(container.id)) == 1


async def test_output_beyond_what_is_kept(engine: Engine) -> None:
    container = await _container(engine)
    outcome = await engine.execs.run(container, ["head", "-c", "3000000", "/dev/zero"], most_output_bytes=1000)
    assert (outcome.exit_code, outcome.output, outcome.truncated) == (0, bytes(1000), True)


async def test_a_container_that_does_not_run(engine: Engine) -> None:
    container = await _container(engine)
    await engine.kill(container.id)
    with pytest.raises(errors.Conflict, match="is not running"):
        await engine.execs.run(container, ["true"])

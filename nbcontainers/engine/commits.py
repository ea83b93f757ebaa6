"""Making an image of a container.

Source: Docker Engine API v1.47, ``POST /commit``; Docker CLI reference, "docker container commit".
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from nbcontainers import errors
from nbcontainers.build.changes import apply_changes
from nbcontainers.engine.changes import Change, changes, own_places
from nbcontainers.engine.configuration import ContainerConfig, Healthcheck
from nbcontainers.engine.control import Control
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container
from nbcontainers.images import ContainerDefaults, Image, Images
from nbcontainers.images.config import Healthcheck as ImageHealthcheck
from nbcontainers.images.writing import Writing, write
from nbcontainers.runtime.rootfs import open_rootfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an image of a container is to be.

    Args:
        reference: Its name, or empty.
        comment: A remark.
        author: Who has made it.
        pause: Freeze the container while its files are copied.
        changes: Dockerfile instructions that set defaults.
        defaults: Defaults that go before the container's own.
    """

    reference: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()
    defaults: ContainerDefaults | None = None


class Commits:
    """Compares containers with their images, and makes images of them."""

    def __init__(self, lifecycle: Lifecycle, control: Control, images: Images) -> None:
        self._lifecycle = lifecycle
        self._control = control
        self._images = images

    async def changes(self, container: Container) -> list[Change]:
        """Return what a container has changed in its root file system, by path."""
        return await asyncio.to_thread(self._changes, container)

    def _changes(self, container: Container) -> list[Change]:
        with self._layers(container) as (upper_fd, below_fd):
            return changes(upper_fd, below_fd)

    @contextlib.contextmanager
    def _layers(self, container: Container) -> Iterator[tuple[int, int]]:
        """Open a container's upper directory, and all that lies below it."""
        snapshots = self._images.snapshots
        below_fd = open_rootfs(snapshots.view(snapshots.parent(container.id)))
        try:
            upper_fd = os.open(snapshots.upper(container.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                yield upper_fd, below_fd
            finally:
                os.close(upper_fd)
        finally:
            os.close(below_fd)

    async def commit(self, container: Container, asked: Asked) -> Image:
        """Make an image of a container.

        Raises:
            errors.InvalidArgument: A change makes no sense.
            errors.Conflict: The image that the container was made from is no more.
        """
        defaults = _merge(asked.defaults or ContainerDefaults(), _defaults(container.config))
        defaults = apply_changes(defaults, asked.changes)
        with self._paused(container) if asked.pause else contextlib.nullcontext():
            return await asyncio.to_thread(self._write, container, asked, defaults)

    def _write(self, container: Container, asked: Asked, defaults: ContainerDefaults) -> Image:
        base = None
        with contextlib.suppress(errors.NotFound):
            base = self._images.get(container.image_id)
        with self._layers(container) as (upper_fd, below_fd):
            own = own_places(upper_fd, below_fd)
        writing = Writing(
            key=container.id,
            base=base,
            leave_out=own,
            defaults=defaults,
            command=" ".join(container.config.cmd or ()),
            author=asked.author,
            comment=asked.comment,
        )
        return write(self._images, writing)

    @contextlib.contextmanager
    def _paused(self, container: Container) -> Iterator[None]:
        """Freeze a container that runs; it goes on afterwards."""
        if container not in self._lifecycle.live or container.state.status != "running":
            yield
            return
        self._control.pause(container)
        try:
            yield
        finally:
            with contextlib.suppress(errors.Conflict):  # it was killed, or somebody else has let it go on
                self._control.unpause(container)


def _defaults(config: ContainerConfig) -> ContainerDefaults:
    """Return a container's own configuration as an image's defaults."""
    return ContainerDefaults(
        user=config.user,
        exposed_ports={port: {} for port in config.exposed_ports} or None,
        env=list(config.env) or None,
        entrypoint=list(config.entrypoint) if config.entrypoint else None,
        cmd=list(config.cmd) if config.cmd else None,
        volumes={path: {} for path in config.volumes} or None,
        working_dir=config.working_dir,
        labels=config.labels or None,
        stop_signal=config.stop_signal,
        healthcheck=_healthcheck(config.healthcheck) if config.healthcheck else None,
        on_build=list(config.on_build) or None,
        shell=list(config.shell) or None,
    )


def _healthcheck(asked: Healthcheck) -> ImageHealthcheck:
    return ImageHealthcheck(
        test=list(asked.test),
        interval=asked.interval_ns,
        timeout=asked.timeout_ns,
        start_period=asked.start_period_ns,
        start_interval=asked.start_interval_ns,
        retries=asked.retries,
    )


def _merge(given: ContainerDefaults, own: ContainerDefaults) -> ContainerDefaults:
    """Fill what was not given with the container's own; variables, labels and ports are put together.

    Source: Docker Engine API, ``POST /commit``: the body's configuration is merged with the container's.
    """
    named = {entry.partition("=")[0] for entry in given.env or []}
    env = [*(given.env or []), *(entry for entry in own.env or [] if entry.partition("=")[0] not in named)]
    cmd = given.cmd
    if not given.entrypoint and not given.cmd:
        cmd = own.cmd
    return ContainerDefaults(
        user=given.user or own.user,
        exposed_ports={**(own.exposed_ports or {}), **(given.exposed_ports or {})} or None,
        env=env or None,
        entrypoint=given.entrypoint if given.entrypoint is not None else own.entrypoint,
        cmd=cmd,
        volumes={**(own.volumes or {}), **(given.volumes or {})} or None,
        working_dir=given.working_dir or own.working_dir,
        labels={**(own.labels or {}), **(given.labels or {})} or None,
        stop_signal=given.stop_signal or own.stop_signal,
        healthcheck=given.healthcheck or own.healthcheck,
        on_build=given.on_build or own.on_build,
        shell=given.shell or own.shell,
    )

"""The life of containers: started, signalled, ended, removed; each change saved, told and undone when it fails.

The order of things matters in two places:

- start: everything that can be refused is refused before the launcher is asked, and what was taken (an address, a
  volume's mark) is given back when the launch fails;
- exit: the new state is saved and told first, and cleaned up after, so that a waiting client goes on at once. What
  an engine killed in between leaves behind is swept by the next one (see ``recovery``).
"""

import asyncio
import contextlib
import os
import signal as signals
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from nbcontainers import errors
from nbcontainers.engine import sharing
from nbcontainers.engine.anticipation import Anticipation
from nbcontainers.engine.live import LiveContainers
from nbcontainers.engine.metrics import Metrics
from nbcontainers.engine.model import Container, ContainerState
from nbcontainers.engine.networking import Networking
from nbcontainers.engine.order import Attempts
from nbcontainers.engine.register import Register
from nbcontainers.engine.removal import Removal
from nbcontainers.engine.restarts import Restarts, due
from nbcontainers.engine.specification import Specification
from nbcontainers.engine.state import State
from nbcontainers.engine.telling import Telling
from nbcontainers.engine.turns import Held, Turns
from nbcontainers.engine.volume_mounts import VolumeMounts
from nbcontainers.linux import cgroups
from nbcontainers.runtime.cleanup import Cleanup
from nbcontainers.runtime.client import ExitStatus, ShimConnection, StartError
from nbcontainers.runtime.launching import Launcher, Prepared
from nbcontainers.volumes import Volumes

LOST_EXIT_CODE = 137
NOT_EXECUTED = (126, 127)  # what shells say of a program; Docker has 128 for what fails before
LOST_ERROR = "the container's shim was killed, and the container with it"


class Lifecycle:
    """Starts, watches and ends containers.

    Args:
        state: Where every change is saved.
        telling: Tells of every change.
        launcher: Starts processes.
        networking: Gives addresses.
        register: Has all containers.
        volumes: Gives volumes.
        metrics: Watches what containers use.
        cleanup: Removes what containers leave.
        specification: Turns a container into what the launcher wants.

    Attributes:
        register: All containers.
        live: Those of them that have a process.
        turns: Who may change a container, and who waits for what becomes of it.
        anticipation: Prepares starts that nobody has asked for yet.
        volume_mounts: Mounts the volumes that are file systems of their own.
        when_started: What to call when a container runs: it was started, or found by a new engine.
        when_ended: What to call when a container's process has ended, before that is told.
        when_removed: What to call when a container is removed, before it is.
    """

    def __init__(  # noqa: PLR0913  the engine's rooms, each by its name
        self,
        *,
        state: State,
        telling: Telling,
        launcher: Launcher,
        networking: Networking,
        register: Register,
        volumes: Volumes,
        metrics: Metrics,
        cleanup: Cleanup,
        specification: Specification,
    ) -> None:
        self._cleanup = cleanup
        self._state = state
        self._launcher = launcher
        self._networking = networking
        self._metrics = metrics
        self._specification = specification
        self._driver = cgroups.detect()
        self.register = register
        self.traces: dict[str, list[tuple[str, int, int]]] = {}
        self._attempts = Attempts(register.by_id)
        self.restarts = Restarts(self._restart_due, self._attempts)
        self.kept: set[str] = set()  # about to be started again by the user: not removed when they end
        self.turns = Turns()
        self.live = LiveContainers(metrics, cleanup)
        self.anticipation = Anticipation(
            register.by_id,
            launcher=launcher,
            networking=networking,
            specification=specification,
            remove_group=self._remove_cgroup,
        )
        self.volume_mounts = VolumeMounts(volumes)
        self.telling = telling
        self._removal = Removal(
            register=register,
            state=state,
            specification=specification,
            volumes=volumes,
            cleanup=cleanup,
            telling=telling,
            turns=self.turns,
            forget=self._forget,
        )
        self.when_removed = self._removal.when_removed
        self._tasks: set[asyncio.Task[None]] = set()
        self.when_started: list[Callable[[Container], None]] = []
        self.when_ended: list[Callable[[Container], None]] = []

    def add(self, container: Container) -> None:
        """Take in a container that is new, or that was read from the database."""
        self.register.add(container)
        self.turns.add(container)
        self._networking.know(container)

    async def start(self, container: Container) -> None:
        """Start the container's process.

        Raises:
            errors.NotModified: It runs already.
            errors.Conflict: It is paused or being removed.
            StartError: Its process could not be started; ``exit_code`` is as Docker's.
        """
        async with self.turns.lock(container):
            self._check_startable(container)
            container.stopped_by_user = False
            container.restart_count = 0
            self.restarts.begin_anew(container)
            await self._start(container)

    def start_soon(self, container: Container) -> None:
        """Start a container that an engine before this one left to be started."""

        async def start() -> None:
            try:
                await self._attempts.come_before(container)
                with contextlib.suppress(errors.Error):  # its state tells
                    await self.start(container)
            finally:
                self._attempts.over(container)

        self._attempts.expect(container)
        self._spawn(start())

    def _restart_due(self, container: Container) -> None:
        self._spawn(self._restart(container))

    async def _restart(self, container: Container) -> None:
        """Start a container whose back-off is over, unless it was ended or removed meanwhile."""
        try:
            await self._attempts.come_before(container)
            with contextlib.suppress(errors.Error):  # its state tells
                async with self.turns.lock(container):
                    if container.state.status == "restarting":
                        await self._start(container)
        finally:
            self._attempts.over(container)

    async def end_restarting(self, container: Container) -> bool:
        """End the wait of a container that is to be started again; False when it does not wait any more."""
        async with self.turns.lock(container):
            if container.state.status != "restarting":
                return False
            self.restarts.cancel(container)
            container.change("stop")
            self.save_quietly(container)
            self.turns.settle(container, "next-exit")
        return True

    def _check_startable(self, container: Container) -> None:
        status = container.state.status
        if status in ("running", "restarting"):
            raise errors.NotModified(f"container '{container.name}' is already running")
        if status == "paused":
            raise errors.Conflict("cannot start a paused container, try unpause instead")
        if status == "removing":
            raise errors.Conflict(f"container '{container.name}' is marked for removal and cannot be started")

    async def _start(self, container: Container) -> None:
        self._cleanup.postpone()
        self.live.let_go(container.id)
        if self._cleanup.is_pending(self._specification.cgroup_path(container)):
            await asyncio.to_thread(self._cleanup.settle)  # it has only just ended
        connected = False
        try:
            prepared = self.anticipation.take(container) or await self._prepare(container)
            try:
                await self._networking.publish(container)
            except BaseException:
                prepared.close()
                raise
            self._networking.tell(container, "connect", container.networks)
            connected = True
            connection = await self._execute(container, prepared)
            await self._started(container, connection)
        except BaseException as error:
            await self._start_failed(container, error, connected=connected)
            raise
        self.watch(container, connection)
        self.telling.tell(container, "start")

    async def _execute(self, container: Container, prepared: Prepared) -> ShimConnection:
        """Have a prepared program executed, and tell what has mounts by then: in Docker, whose user is found."""
        try:
            connection = await prepared.start()
        except StartError as error:
            if error.exit_code in NOT_EXECUTED:
                self.telling.tell_volumes(container, "mount")
            raise
        self.telling.tell_volumes(container, "mount")
        return connection

    async def _prepare(self, container: Container) -> Prepared:
        """Give the container its network, and a shim that does all but execute its program."""
        await self.volume_mounts.take(container)
        namespace_fd = await self._networking.attach(container)
        try:
            return await self._prepare_inside(container, namespace_fd)
        except BaseException:
            # Docker has it in its networks when it finds that out.
            self._networking.tell(container, "connect", container.networks)
            self._networking.tell(container, "disconnect", container.networks)
            raise

    async def _prepare_inside(self, container: Container, namespace_fd: int | None) -> Prepared:
        """Give the container a shim, in a network namespace that is then the shim's."""
        with contextlib.ExitStack() as undo:
            if namespace_fd is not None:
                undo.callback(os.close, namespace_fd)
            request, rootfs_fd = self._specification.request(container)
            if rootfs_fd is not None:
                undo.callback(os.close, rootfs_fd)
            shared = sharing.open_all(container, self.register.by_id, self.live.process_fd)
            undo.pop_all()
        return await self._launcher.prepare(
            request, rootfs_fd=rootfs_fd, network_namespace_fd=namespace_fd, shared_fds=shared.values()
        )

    @contextlib.asynccontextmanager
    async def held(self, container: Container) -> AsyncIterator[Held]:
        """Keep a container from being started, ended or removed, until it is released or to the end.

        Nothing has its file system mounted meanwhile, unless it runs.

        Raises:
            errors.NoSuchContainer: It is no more.
        """
        lock = self.turns.lock(container)
        await lock.acquire()
        held = Held(lock)
        try:
            await self.anticipation.give_up_wholly(container)
            yield held
        finally:
            held.release()

    async def _start_failed(self, container: Container, error: BaseException, *, connected: bool) -> None:
        """Give back what the start had taken; the container is as before but for the error it now shows."""
        left = self._networking.leave(container)
        self.volume_mounts.leave(container)
        self._remove_cgroup(container)
        self._networking.tell(container, "disconnect", left if connected else {})
        self.telling.tell_volumes(container, "unmount")  # as Docker has it, whether or not they were mounted
        code = error.exit_code if isinstance(error, StartError) and error.exit_code in NOT_EXECUTED else 128
        container.state = replace(container.state, exit_code=code, error=str(error))
        if container.state.status == "restarting":
            container.change("stop")
            self.turns.settle(container, "next-exit")
        self.save_quietly(container)
        if isinstance(error, Exception) and container.host_config.auto_remove:
            self.turns.settle(container, "next-exit")
            await self._removal.remove(container)

    async def _started(self, container: Container, connection: ShimConnection) -> None:
        """Record that the container runs; one of which that cannot be written would be lost with this engine: it ends.

        Raises:
            errors.Unavailable: The disk is full, for example.
        """
        before = container.state
        container.change(
            "start",
            pid=connection.pid,
            exit_code=0,
            oom_killed=False,
            error="",
            started_at_ns=connection.started_at_ns,
        )
        try:
            self._state.save(container)
        except errors.Error:
            container.state = before
            connection.signal(signals.SIGKILL)
            await connection.wait()
            connection.close()
            raise

    def watch(self, container: Container, connection: ShimConnection) -> None:
        """Follow a running container: its metrics from now on, and its exit when it comes."""
        self.traces[container.id] = connection.trace
        cgroup = self._driver.open(self._specification.cgroup_path(container))
        self.live.add(container, connection, cgroup)
        self.volume_mounts.know(container)
        for tell in self.when_started:
            tell(container)
        self._spawn(self._watch_exit(container, connection))

    async def _watch_exit(self, container: Container, connection: ShimConnection) -> None:
        status = await connection.wait()
        async with self.turns.lock(container):
            await self.ended(container, status)

    async def ended(self, container: Container, status: ExitStatus | None) -> None:
        """Record that the container's process has ended; None: its shim was lost, and with it the status."""
        if status is None:
            await self._kill_cgroup(container)
            status = ExitStatus(code=LOST_EXIT_CODE, finished_at_ns=time.time_ns(), oom_killed=False)
            by, error = "lost", LOST_ERROR
        else:
            by, error = "exit", ""
        again = due(container, status.code)
        container.restart_count += again
        container.change(
            "restart" if again else by,
            pid=0,
            exit_code=status.code,
            oom_killed=status.oom_killed,
            error=error,
            finished_at_ns=status.finished_at_ns,
        )
        for tell in self.when_ended:
            tell(container)
        left = self._networking.leave(container)
        self.volume_mounts.leave(container)
        self.save_quietly(container)
        if container.state.oom_killed:
            self.telling.tell(container, "oom")
        lasted = (container.state.finished_at_ns - container.state.started_at_ns) // 10**9
        self.telling.tell(container, "die", exitCode=str(container.state.exit_code), execDuration=str(max(lasted, 0)))
        self._networking.tell(container, "disconnect", left)
        self.telling.tell_volumes(container, "unmount")
        self.turns.settle(container, "next-exit")
        if not self.live.end(container):
            self._remove_cgroup(container)
        if again:
            self.restarts.plan(container)
        elif container.host_config.auto_remove and container.id not in self.kept:
            container.change("remove")
            await self._removal.remove(container)

    def save(self, container: Container) -> None:
        """Save a container that was changed."""
        self._state.save(container)

    def save_quietly(self, container: Container) -> None:
        """Save, or leave it to the next engine: the exit status stands in the container's directory too."""
        with contextlib.suppress(errors.Unavailable):
            self._state.save(container)

    async def remove(self, container: Container, *, force: bool = False, volumes: bool = False) -> None:
        """Remove the container and all that was its own.

        Raises:
            errors.Conflict: It runs, and ``force`` is not given; or it is being removed already.
        """
        status = container.state.status
        if status in ("running", "paused", "restarting") and not force:
            raise errors.Conflict(
                f'cannot remove container "/{container.name}": container is {status}: '
                f"stop the container before removing or force remove"
            )
        await self._end_at_once(container)
        if container.id not in self.register.by_id:
            return  # it was to remove itself at its end
        async with self.turns.lock(container):
            if container.id not in self.register.by_id:
                return
            self.anticipation.give_up(container)
            container.change("remove")
            await self._removal.remove(container, volumes=volumes)

    async def _end_at_once(self, container: Container) -> None:
        """Kill a container that is to be removed."""
        container.stopped_by_user = True
        if container.state.status == "restarting" and await self.end_restarting(container):
            return
        if live := self.live.find(container):
            ended = self.turns.future(container, "next-exit")
            live.connection.signal(signals.SIGKILL)
            live.cgroup.thaw()
            self.telling.tell(container, "kill", signal=str(int(signals.SIGKILL)))
            await asyncio.shield(ended)

    def _forget(self, container: Container) -> None:
        """Forget a container that is no more."""
        self._networking.forget(container)
        self._metrics.forget(container.id)
        self.restarts.forget(container)
        self.traces.pop(container.id, None)

    async def wait(self, container: Container, condition: str = "not-running") -> ContainerState:
        """Wait until the container does not run, exits next, or is removed.

        Raises:
            errors.InvalidArgument: No such condition.
        """
        if condition not in ("not-running", "next-exit", "removed"):
            raise errors.InvalidArgument(f"invalid condition: '{condition}': not-running, next-exit or removed")
        if condition == "not-running":
            if container not in self.live and container.state.status != "restarting":
                return container.state
            condition = "next-exit"
        return await asyncio.shield(self.turns.future(container, condition))

    def rename(self, container: Container, name: str) -> None:
        """Give the container another name.

        Raises:
            errors.Conflict: The name is taken.
            errors.InvalidArgument: It is the container's own.
        """
        if name == container.name:
            raise errors.InvalidArgument("renaming a container with the same name as its current name")
        if holder := self.register.names.get(name):
            raise errors.Conflict(
                f'conflict. The container name "/{name}" is already in use by container "{holder}". '
                f"You have to remove (or rename) that container to be able to reuse that name"
            )
        old, container.name = container.name, name
        try:
            self._state.save(container)
        except errors.Error:
            container.name = old
            raise
        self.register.renamed(container, old)
        self._networking.know(container)
        self.telling.tell(container, "rename", oldName=f"/{old}")

    def _remove_cgroup(self, container: Container) -> None:
        self._cleanup.remove_group(self._driver.open(self._specification.cgroup_path(container)))

    async def _kill_cgroup(self, container: Container) -> None:
        cgroup = self._driver.open(self._specification.cgroup_path(container))
        with contextlib.suppress(OSError):
            await asyncio.to_thread(cgroup.kill)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop watching; containers go on without the engine."""
        self.restarts.close()
        self.anticipation.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.volume_mounts.close()
        self.live.close()

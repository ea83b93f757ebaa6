"""What a user does to a container that runs: signals, stopping, restarting, pausing.

``Lifecycle`` starts containers and sees them end; this module is what makes them end. A container that waits to be
started again by its restart policy has no process: to end it is to end the wait.

Source: moby, daemon/{kill,stop,restart,pause,unpause}.go, for the order of things and their words.
"""

import asyncio
import contextlib
import signal as signals

from nbcontainers import errors
from nbcontainers.engine.health import Healths
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.live import Live
from nbcontainers.engine.model import Container
from nbcontainers.engine.specification import signal_number

DEFAULT_STOP_TIMEOUT_SECONDS = 10
KILL_SECONDS = 10
DEFAULT_STOP_SIGNAL = "SIGTERM"


class Control:
    """Signals, stops, restarts and pauses the containers of a lifecycle.

    Args:
        lifecycle: Knows them.
        healths: Asks none that is paused.
    """

    def __init__(self, lifecycle: Lifecycle, healths: Healths) -> None:
        self._lifecycle = lifecycle
        self._healths = healths

    async def kill(self, container: Container, signal: str) -> None:
        """Send a signal to the container's first process; SIGKILL returns when the container has ended.

        Raises:
            errors.InvalidArgument: No such signal.
            errors.Conflict: The container does not run.
        """
        number = signal_number(signal)
        ends = self._ends(container, number)
        if container.state.status == "restarting" and (not ends or await self._end_restarting(container)):
            return
        try:
            live = self._lifecycle.live.get(container)
        except errors.Conflict as error:
            raise errors.Conflict(f"cannot kill container: {container.name}: {error}") from error
        ended = self._lifecycle.turns.future(container, "next-exit")
        self._signal(container, live, number, ends=ends)
        if number == signals.SIGKILL:
            with contextlib.suppress(TimeoutError):  # a process in the kernel's hands may take its time
                await asyncio.wait_for(asyncio.shield(ended), KILL_SECONDS)

    def _ends(self, container: Container, number: int) -> bool:
        """Say whether a signal means the container's end: any, where it has not named the one to stop it by."""
        named = container.config.stop_signal
        return number == signals.SIGKILL or not named or signal_number(named) == number

    def _signal(self, container: Container, live: Live, number: int, *, ends: bool) -> None:
        """Send a signal; when the container is to end by it, that is noted, and a paused one goes on."""
        if ends and not container.stopped_by_user:
            container.stopped_by_user = True
            self._lifecycle.save_quietly(container)  # on a full disk, too, containers can be ended
        live.connection.signal(number)
        if ends and container.state.status == "paused":
            self.unpause(container)
        self._lifecycle.telling.tell(container, "kill", signal=str(number))

    async def _end_restarting(self, container: Container) -> bool:
        container.stopped_by_user = True
        return await self._lifecycle.end_restarting(container)

    async def stop(self, container: Container, signal: str = "", timeout_seconds: int | None = None) -> None:
        """End the container: its stop signal first, SIGKILL after the timeout (negative: never).

        Raises:
            errors.NotModified: It does not run.
            errors.InvalidArgument: No such signal.
        """
        number = signal_number(signal or container.config.stop_signal or DEFAULT_STOP_SIGNAL)
        if timeout_seconds is None:
            timeout_seconds = container.config.stop_timeout_seconds
        if timeout_seconds is None:
            timeout_seconds = DEFAULT_STOP_TIMEOUT_SECONDS
        if container.state.status == "restarting" and await self._end_restarting(container):
            self._lifecycle.telling.tell(container, "stop")
            return
        if container not in self._lifecycle.live:
            raise errors.NotModified(f"container '{container.name}' is not running")
        live = self._lifecycle.live.get(container)
        ended = self._lifecycle.turns.future(container, "next-exit")
        self._signal(container, live, number, ends=True)
        try:
            await asyncio.wait_for(asyncio.shield(ended), None if timeout_seconds < 0 else timeout_seconds)
        except TimeoutError:
            self._signal(container, live, signals.SIGKILL, ends=True)
            await asyncio.shield(ended)
        self._lifecycle.telling.tell(container, "stop")

    async def restart(self, container: Container, signal: str = "", timeout_seconds: int | None = None) -> None:
        """Stop the container if it runs, and start it; one that is removed when it ends stays this time."""
        self._lifecycle.kept.add(container.id)
        try:
            with contextlib.suppress(errors.NotModified):
                await self.stop(container, signal, timeout_seconds)
        finally:
            self._lifecycle.kept.discard(container.id)
        await self._lifecycle.start(container)
        self._lifecycle.telling.tell(container, "restart")

    def pause(self, container: Container) -> None:
        """Freeze all of the container's processes.

        Raises:
            errors.Conflict: It does not run, or is paused already.
        """
        live = self._lifecycle.live.get(container)
        if container.state.status == "paused":
            raise errors.Conflict(f"container {container.id} is already paused")
        live.cgroup.freeze()
        container.change("pause")
        self._healths.pause(container)
        self._lifecycle.save(container)
        self._lifecycle.telling.tell(container, "pause")

    def unpause(self, container: Container) -> None:
        """Let the container's processes go on.

        Raises:
            errors.Conflict: It is not paused.
        """
        if container.state.status != "paused":
            raise errors.Conflict(f"container {container.id} is not paused")
        self._lifecycle.live.get(container).cgroup.thaw()
        container.change("unpause")
        self._healths.resume(container)
        self._lifecycle.save(container)
        self._lifecycle.telling.tell(container, "unpause")

"""``exec``: further programs in containers that run, from their creation until nobody asks for them any more.

An exec is created, started once, and ends; then its exit code can be asked for, for a while. None of that is in the
database: an exec that the engine's end finds running goes on, but nobody knows of it any more, as with Docker.

``Execs.run`` is the way for the engine itself, for health checks above all: one call that runs a command in a container
and returns its exit code and what it has written.

Source: Docker Engine API, § Exec; moby, daemon/exec.go.
"""

import asyncio
import secrets
import signal as signals
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nbcontainers import errors
from nbcontainers.engine.configuration import ExecConfig
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container
from nbcontainers.engine.specification import Specification
from nbcontainers.runtime import entering
from nbcontainers.runtime.client import StartError
from nbcontainers.runtime.entering import Entered
from nbcontainers.runtime.launching import Launcher

FORGET_SECONDS = 300.0
RESIZE_SECONDS = 10.0
MOST_OUTPUT_BYTES = 64 << 10
_NOT_INVOCABLE = 126
_KILLED = 128 + signals.SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended that the engine has run.

    Attributes:
        exit_code: As shells have it, 128 + n for signal n; 126 or 127 when it could not be executed.
        output: What it has written to standard output and error, as it came; or why it could not be executed.
        timed_out: It was killed because it took too long.
        truncated: It has written more than was to be kept.
    """

    exit_code: int
    output: bytes
    timed_out: bool = False
    truncated: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Exec:
    """One exec: what was asked, and what is true now. ``Execs`` alone changes it.

    Attributes:
        pid: The program's process id, as the host sees it; 0 before the start.
        exit_code: None until it has ended.
        entered: The program while it runs.
        started: Set when the program runs, or cannot.
        ended: Set when the exit code is known.
    """

    id: str
    container: Container
    config: ExecConfig
    status: Literal["created", "running", "ended"] = "created"
    pid: int = 0
    exit_code: int | None = None
    entered: Entered | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def command(self) -> str:
        """The command in one line, as events have it."""
        return f"{self.config.cmd[0]} {' '.join(self.config.cmd[1:])}"


class Execs:
    """All execs of one engine.

    Args:
        lifecycle: Knows which containers run, and says when they end.
        launcher: Has keepers.
        specification: Describes processes.
    """

    def __init__(self, lifecycle: Lifecycle, launcher: Launcher, specification: Specification) -> None:
        self._lifecycle = lifecycle
        self._launcher = launcher
        self._specification = specification
        self._execs: dict[str, Exec] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        lifecycle.when_ended.append(self._container_ended)
        lifecycle.when_removed.append(self._container_removed)

    def get(self, exec_id: str) -> Exec:
        """Return an exec by its whole id.

        Raises:
            errors.NotFound: There is none, or none any more.
        """
        found = self._execs.get(exec_id)
        if found is None:
            raise errors.NotFound(f"No such exec instance: {exec_id}")
        return found

    def of(self, container: Container) -> list[Exec]:
        """Return all execs of a container."""
        return [one for one in self._execs.values() if one.container is container]

    def ids(self, container: Container) -> list[str]:
        """Return the ids of a container's execs that have not ended."""
        return [one.id for one in self.of(container) if one.status != "ended"]

    def check_live(self, container: Container) -> None:
        """Check that a program can be brought into a container now.

        Raises:
            errors.Conflict: The container does not run, or is paused.
        """
        if container.state.status == "restarting":
            raise errors.Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if container not in self._lifecycle.live:
            raise errors.Conflict(f"Container {container.id} is not running")
        if container.state.status == "paused":
            raise errors.Conflict(f"Container {container.id} is paused, unpause the container before exec")

    def create(self, container: Container, config: ExecConfig) -> Exec:
        """Make an exec, to be started later.

        Raises:
            errors.Conflict: The container does not run, or is paused.
            errors.InvalidArgument: There is no command.
        """
        if not config.cmd:
            raise errors.InvalidArgument("No exec command specified")
        self.check_live(container)
        made = Exec(id=secrets.token_hex(32), container=container, config=config)
        self._execs[made.id] = made
        self._tell(made, f"exec_create: {made.command}")
        return made

    async def start(self, one: Exec, *, stdin: bool, output: bool, size: tuple[int, int] | None = None) -> Entered:
        """Execute an exec's program.

        Args:
            one: The exec.
            stdin: Whether somebody will write to its standard input, if that was asked for when it was created.
            output: Whether somebody will read its output; a terminal's is to be read in any case.
            size: Of its terminal, rows and columns; None: as asked for when it was created.

        Returns:
            The running program; its streams are the caller's to close.

        Raises:
            errors.Conflict: It was started before, or its container does not run.
            StartError: The program could not be executed.
        """
        if one.status == "running":
            raise errors.Conflict(f"Error: Exec command {one.id} is already running")
        if one.status == "ended":
            raise errors.Conflict(f"Error: Exec command {one.id} has already run")
        self.check_live(one.container)
        config = one.config if size is None else replace(one.config, rows=size[0], columns=size[1])
        one.status = "running"
        self._tell(one, f"exec_start: {one.command}")
        try:
            entered = await entering.enter(
                self._launcher,
                self._lifecycle.live.get(one.container).connection.pidfd,
                self._specification.process(one.container, config),
                stdin=stdin and config.attach_stdin,
                output=output,
            )
        except BaseException as error:
            self._set_ended(one, error.exit_code if isinstance(error, StartError) else _NOT_INVOCABLE)
            raise
        one.entered, one.pid = entered, entered.pid
        one.started.set()
        self._spawn(self._see_through(one, entered))
        return entered

    async def _see_through(self, one: Exec, entered: Entered) -> None:
        try:
            code = await entered.wait()
            self._set_ended(one, code)
            self._tell(one, "exec_die", exitCode=str(code))
        finally:
            entered.close()

    def _set_ended(self, one: Exec, code: int) -> None:
        one.status, one.exit_code, one.entered = "ended", code, None
        one.started.set()
        one.ended.set()
        asyncio.get_running_loop().call_later(FORGET_SECONDS, self._execs.pop, one.id, None)

    async def start_detached(self, one: Exec) -> None:
        """Execute an exec's program, whose output nobody wants; see ``start``."""
        entered = await self.start(one, stdin=False, output=False)
        self._spawn(discard(one, entered))

    async def resize(self, one: Exec, rows: int, columns: int) -> None:
        """Tell an exec's terminal its size, once it has started.

        Raises:
            errors.Conflict: The container does not run, or is paused.
            errors.InvalidArgument: The size is not one.
            errors.Internal: It does not start.
        """
        if not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
            raise errors.InvalidArgument(f"invalid terminal size '{columns}x{rows}'")
        self.check_live(one.container)
        try:
            await asyncio.wait_for(one.started.wait(), RESIZE_SECONDS)
        except TimeoutError:
            raise errors.Internal("timeout waiting for exec session ready") from None
        if one.entered is None:
            raise errors.Conflict(f"Exec command {one.id} has ended, it has no terminal to resize")
        one.entered.resize(rows, columns)

    def left(self, one: Exec) -> None:
        """Note that the user of an exec has left it with the detach keys."""
        self._tell(one, "exec_detach")

    async def run(
        self,
        container: Container,
        cmd: list[str],
        *,
        user: str = "",
        timeout_seconds: float | None = None,
        most_output_bytes: int = MOST_OUTPUT_BYTES,
    ) -> Outcome:
        """Run a command in a container to its end, in the container's own environment and working directory.

        It is an exec like any other: with its events, and its id in the container's ``ExecIDs`` while it runs. When it
        takes too long, or the caller is cancelled, it is killed.

        Args:
            container: A container that runs.
            cmd: The program and its arguments; a shell has to be named, as in ``["/bin/sh", "-c", "…"]``.
            user: Who runs it; empty for the container's own user.
            timeout_seconds: When to kill it; None for never.
            most_output_bytes: How much of its output is kept, from the beginning; the rest is read and forgotten.

        Raises:
            errors.Conflict: The container does not run, or is paused.
        """
        config = ExecConfig(cmd=tuple(cmd), attach_stdout=True, attach_stderr=True, user=user)
        one = self.create(container, config)
        kept = bytearray()
        written = 0

        async def read(entered: Entered, fd: int) -> None:
            nonlocal written
            async for data in entered.output(fd):
                written += len(data)
                kept.extend(data[: most_output_bytes - len(kept)])

        timed_out = False
        try:
            async with asyncio.timeout(timeout_seconds):
                entered = await self.start(one, stdin=False, output=True)
                streams = entered.streams
                try:
                    await asyncio.gather(read(entered, streams.stdout_fd), read(entered, streams.stderr_fd))
                    await one.ended.wait()
                finally:
                    streams.close()
        except StartError as error:
            return Outcome(exit_code=error.exit_code, output=str(error).encode())
        except TimeoutError:
            timed_out = True
        finally:
            if one.entered is not None:
                one.entered.signal(signals.SIGKILL)
        code = _KILLED if timed_out or one.exit_code is None else one.exit_code
        return Outcome(exit_code=code, output=bytes(kept), timed_out=timed_out, truncated=written > len(kept))

    def _container_ended(self, container: Container) -> None:
        """Kill what the kernel has not killed, and forget what was never started."""
        for one in self.of(container):
            if one.status == "created":
                del self._execs[one.id]
            elif one.entered is not None:
                one.entered.signal(signals.SIGKILL)

    def _container_removed(self, container: Container) -> None:
        for one in self.of(container):
            del self._execs[one.id]

    def _tell(self, one: Exec, action: str, **attributes: str) -> None:
        self._lifecycle.telling.tell(one.container, action, execID=one.id, **attributes)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop watching; programs go on without the engine."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def discard(one: Exec, entered: Entered) -> None:
    """Read what a program writes that nobody wants, so that it does not wait, and close its streams in the end."""
    streams = entered.streams
    try:
        for fd in {streams.stdout_fd, streams.stderr_fd} - {entering.NONE}:
            async for _ in entered.output(fd):
                pass
        await one.ended.wait()
    finally:
        streams.close()

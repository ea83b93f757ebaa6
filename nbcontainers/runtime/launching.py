"""The engine's half of starting: has the launcher make shims, and gives them containers.

Nothing here forks: the launcher is a program of its own, started once, and started again when it was killed.

A start has two halves. ``prepare`` gives a shim its container: the shim mounts, connects and limits, all but executes
the program. ``Prepared.start`` has it executed. Between the two the engine may wait for its client, as long as the
container stays as it is; a prepared container that is never started is closed, and nothing has happened.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from nbcontainers.linux import mounts
from nbcontainers.runtime import protocol
from nbcontainers.runtime.cleanup import sweep_prepared
from nbcontainers.runtime.client import ShimConnection, StartError, receive
from nbcontainers.runtime.pool import Pool
from nbcontainers.runtime.spec import Request
from nbcontainers.runtime.supervising import SOCKET_NAME

PREPARED_SHIMS, PREPARED_KEEPERS = 3, 2
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_PROGRAM = "import sys; sys.path.insert(0, {parent!r}); from nbcontainers.runtime.launcher import main; main()"
_CLOSE_SECONDS = 10.0
_GOING_SECONDS = 5
_REFILL_DELAY_SECONDS = 0.02
_ATTEMPTS = 2 * PREPARED_SHIMS
_GO = protocol.encode({"op": "go"})


class _UnheardError(Exception):
    """Nobody has read the request."""


class Launcher:
    """Starts containers, through shims that the launcher process has prepared.

    Args:
        cgroup_parent: The control group of all this engine's containers, such as ``/nbcontainers/1a2b3c4d``.
    """

    def __init__(self, cgroup_parent: str) -> None:
        self._cgroup_parent = cgroup_parent
        self._control: socket.socket | None = None
        self._refilling: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.Future[None] | None = None
        self._shims = Pool(protocol.SHIM, PREPARED_SHIMS)
        self._keepers = Pool(protocol.KEEPER, 0)  # until the first one is wanted
        self._pools = {pool.kind: pool for pool in (self._shims, self._keepers)}

    def start(self) -> None:
        """Start the launcher process."""
        ours, launchers = protocol.pair()
        program = _PROGRAM.format(parent=str(_PACKAGE_PARENT))
        arguments = [sys.executable, "-I", "-S", "-c", program, str(launchers.fileno()), self._cgroup_parent]
        null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        executable_fd = _read_only(sys.executable)
        try:
            os.set_inheritable(launchers.fileno(), True)
            # posix_spawn does not copy the engine's memory as fork would.
            self.pid = os.posix_spawn(
                f"/proc/self/fd/{executable_fd}",
                arguments,
                _launcher_environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, null_fd, fd) for fd in (0, 1)],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD],
            )
        finally:
            os.close(executable_fd)
            os.close(null_fd)
            launchers.close()
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._take_offer)
        self.refill()

    async def close(self) -> None:
        """End the launcher process and the shims that it has prepared; containers that run are not touched."""
        self._stop_refilling()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._dismiss(), _CLOSE_SECONDS)
        if self._control is not None:
            self._lose_launcher()
            with contextlib.suppress(ChildProcessError):
                await asyncio.to_thread(os.waitpid, self.pid, 0)
        if self._sweeping is not None:
            await self._sweeping
        await asyncio.to_thread(sweep_prepared, self._cgroup_parent)

    def sweep(self) -> None:
        """Remove, in a thread, what prepared shims have left that were killed."""
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.ensure_future(asyncio.to_thread(sweep_prepared, self._cgroup_parent))

    async def _dismiss(self) -> None:
        """Send all that is prepared away, also what is still in the making; returns when it is gone."""
        for pool in self._pools.values():
            while pool or (pool.asked and self._control is not None):
                channel = pool.take() if pool else await pool.next()
                if channel is None:
                    return
                channel.shutdown(socket.SHUT_WR)
                with contextlib.suppress(EOFError, OSError):
                    await receive(channel)
                channel.close()

    def _lose_launcher(self) -> None:
        """Let go of a launcher that has ended, or is to end; who waits for something of it is told so."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        for pool in self._pools.values():
            pool.lose()

    def _take_offer(self) -> None:
        """Take one prepared process from the launcher."""
        if self._control is None:
            return
        try:
            payload, fds = protocol.receive(self._control)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._lose_launcher()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            return
        channel = socket.socket(fileno=fds[0])
        channel.setblocking(False)
        self._pools[json.loads(payload)["made"]].offer(channel)

    def _ask(self, pool: Pool, *, urgent: bool) -> bool:
        """Ask the launcher for one more, which it offers when it is ready; False when it has ended."""
        if self._control is None:
            return False
        try:
            protocol.send(self._control, protocol.encode({"make": pool.kind, "urgent": urgent}))
        except OSError:
            return False  # its end will be heard
        pool.asked += 1
        return True

    def refill(self) -> None:
        """Have as much made as is missing."""
        self._stop_refilling()
        for pool in self._pools.values():
            while pool.missing() and self._ask(pool, urgent=False):
                pass

    def _stop_refilling(self) -> None:
        if self._refilling is not None:
            self._refilling.cancel()
            self._refilling = None

    def refill_soon(self) -> None:
        """Refill, but not while a container starts and its client waits, unless none is left for the next one."""
        if not self._shims:
            self.refill()
        elif self._refilling is None:
            self._refilling = asyncio.get_running_loop().call_later(_REFILL_DELAY_SECONDS, self.refill)

    async def take_shim(self) -> socket.socket:
        """Return the socket of a prepared shim; when there is none, of one that is made now."""
        return await self._take(self._shims)

    async def take_keeper(self) -> socket.socket:
        """Return the socket of a prepared keeper, as ``take_shim`` does; from now on some lie ready."""
        self._keepers.keep = PREPARED_KEEPERS
        return await self._take(self._keepers)

    async def _take(self, pool: Pool) -> socket.socket:
        for _ in range(_ATTEMPTS):
            if pool:
                return pool.take()
            if self._control is None:
                self.start()
            if pool.lacks_for_waiting():
                self._ask(pool, urgent=True)
            if channel := await pool.next():
                return channel
        raise StartError("the launcher was killed again and again", 125)

    async def prepare(
        self,
        request: Request,
        *,
        rootfs_fd: int | None = None,
        network_namespace_fd: int | None = None,
        shared_fds: Iterable[int] = (),
    ) -> "Prepared":
        """Give a shim a container: all but its program's execution.

        Args:
            request: The container.
            rootfs_fd: Its root file system, where it is mounted already; it is taken over.
            network_namespace_fd: Its network namespace, where the request says ``namespace``; it is taken over.
            shared_fds: The namespaces that the request names as ``shared``, in its order; they are taken over.
        """
        prepared = Prepared(self, request, rootfs_fd, network_namespace_fd, shared_fds)
        try:
            prepared.hand_over(await self.take_shim())
        except BaseException:
            prepared.close()
            raise
        return prepared

    def prepare_at_once(
        self, request: Request, *, rootfs_fd: int | None = None, network_namespace_fd: int | None = None
    ) -> "Prepared":
        """Do as ``prepare`` does, where ``has_prepared``."""
        prepared = Prepared(self, request, rootfs_fd, network_namespace_fd)
        prepared.hand_over(self._shims.take())
        return prepared

    def has_prepared(self) -> bool:
        """Say whether a shim waits for a container."""
        return bool(self._shims)

    async def launch(
        self, request: Request, *, network_namespace_fd: int | None = None, shared_fds: Iterable[int] = ()
    ) -> ShimConnection:
        """Start a container.

        Args:
            request: The container.
            network_namespace_fd: Its network namespace, where the request says ``namespace``; it is taken over.
            shared_fds: The namespaces that it shares; see ``prepare``.

        Returns:
            The running container.

        Raises:
            StartError: It could not be started; nothing of it is left.
        """
        prepared = await self.prepare(request, network_namespace_fd=network_namespace_fd, shared_fds=shared_fds)
        return await prepared.start()


class Prepared:
    """A container of which everything is done but the execution of its program; start it or close it.

    Args:
        launcher: Has other shims, should this one be killed.
        request: The container.
        rootfs_fd: Its root file system, where it is mounted already.
        network_namespace_fd: Its network namespace, where it has one that was made already.
        shared_fds: The namespaces that it shares. All descriptors are taken over.
    """

    def __init__(
        self,
        launcher: Launcher,
        request: Request,
        rootfs_fd: int | None,
        network_namespace_fd: int | None,
        shared_fds: Iterable[int] = (),
    ) -> None:
        self._launcher = launcher
        self._request = request
        if network_namespace_fd is not None:
            request["network"] = "namespace"
        self._rootfs_fds = [] if rootfs_fd is None else [rootfs_fd]
        self._fds = [*([] if network_namespace_fd is None else [network_namespace_fd]), *shared_fds]
        self._directory = request["directory"]
        self._socket_path = f"{self._directory}/{SOCKET_NAME}"
        self._channel: socket.socket | None = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._socket_path)  # of an earlier run whose shim was killed

    def hand_over(self, channel: socket.socket) -> None:
        """Send the request to a shim."""
        self._channel = channel
        self._request["mounted"] = bool(self._rootfs_fds)
        _send(channel, protocol.encode(dict(self._request)), [*self._rootfs_fds, *self._fds])
        # Another shim, should this one be killed, mounts it anew: what this one has attached cannot be moved again.
        _close_all(self._rootfs_fds)

    async def start(self) -> ShimConnection:
        """Have the program executed.

        Returns:
            The running container.

        Raises:
            StartError: It could not be started; nothing of it is left.
        """
        try:
            for _ in range(_ATTEMPTS):
                try:
                    return await self._start()
                except _UnheardError:  # the shim was killed while it waited: nothing has begun
                    self._launcher.sweep()
                    self.hand_over(await self._launcher.take_shim())
            raise StartError("prepared shims were killed again and again", 125)
        finally:
            self.close()
            self._launcher.refill_soon()

    async def _start(self) -> ShimConnection:
        """Say the word, and hear that the program runs.

        When the shim is killed on the way, its socket says how far it has come: it is made before the program runs.
        """
        channel = self._channel
        if channel is None:
            raise StartError("the container was given up before it was started", 125)
        _send(channel, _GO, [])
        try:
            answer, received = await receive(channel)
        except EOFError:
            self._close_channel()
            if not os.path.exists(self._socket_path):
                raise _UnheardError from None
            raise StartError("the container's shim was killed while it started", 125) from None
        message = json.loads(answer)
        if "error" in message:
            raise StartError(message["error"], message["code"])
        self._channel = None  # the connection's from now on
        return ShimConnection(channel, message["started"], received[0], self._directory)

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def give_up(self) -> None:
        """Give the container up, and wait until its shim has gone and its mounts with it."""
        if (channel := self._channel) is not None:
            channel.shutdown(socket.SHUT_WR)
            with contextlib.suppress(EOFError, OSError, TimeoutError):
                await asyncio.wait_for(receive(channel), _GOING_SECONDS)
        self.close()

    def close(self) -> None:
        """Give the container up, unless it was started: its shim undoes what was done, and goes."""
        self._close_channel()
        _close_all(self._rootfs_fds)
        _close_all(self._fds)


def _close_all(fds: list[int]) -> None:
    while fds:
        os.close(fds.pop())


def _send(channel: socket.socket, payload: bytes, fds: list[int]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and may have said why
        protocol.send(channel, payload, fds)


def _read_only(executable: str) -> int:
    """Return a descriptor of an executable on a mount of its own, which nobody can write to.

    Every process that the launcher forks is known by this file, ``/proc/PID/exe``, among them the init of a container:
    whoever finds a way to open it there is not on the host's file system.

    Source: open_tree(2), proc_pid_exe(5).
    """
    fd = mounts.open_tree(executable)
    mounts.mount_setattr("", set_attributes=mounts.MOUNT_ATTR_RDONLY, dir_fd=fd)
    return fd


def _launcher_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}

"""Work done in a child process, for what would change the test's own process or be killed half-way."""

import os
import pickle
import signal
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_child(work: Callable[[], T]) -> T:
    """Run ``work`` in a forked child and return what it returns, or raise what it raises."""
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read_fd)
            try:
                answer = pickle.dumps((True, work()))
            except BaseException as error:
                answer = pickle.dumps((False, _portable(error)))
            with os.fdopen(write_fd, "wb") as pipe:
                pipe.write(answer)
            status = 0
        finally:
            os._exit(status)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        answer = pipe.read()
    _, waited = os.waitpid(child, 0)
    if not answer:
        raise ChildProcessError(f"the child ended with {waited:#x} and no answer")
    succeeded, result = pickle.loads(answer)
    if not succeeded:
        raise result
    return result  # type: ignore[no-any-return]


def _portable(error: BaseException) -> BaseException:
    """Return an error that can be sent: a SyscallError's own facts are lost in a pickle of an OSError."""
    from nbcontainers.errors import SyscallError

    if isinstance(error, SyscallError):
        return Refused(error.errno or 0, error.syscall, error.path, str(error))
    return error


class Refused(Exception):
    """A SyscallError of a child, with its facts."""

    def __init__(self, errno: int, syscall: str, path: str, text: str) -> None:
        self.errno = errno
        self.syscall = syscall
        self.path = path
        self.text = text
        super().__init__(errno, syscall, path, text)


class Fuse:
    """Counts steps down and kills its own process at the last: every place where a kill -9 could strike."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, owner: object, name: str) -> None:
        """Have every call of ``owner.name`` be a step, before it does anything."""
        function = getattr(owner, name)

        def step(*arguments: object, **options: object) -> object:
            self.burn()
            return function(*arguments, **options)

        setattr(owner, name, step)


def killed_at(steps: int, work: Callable[[Fuse], None]) -> bool:
    """Run ``work`` in a child that is killed at its step number ``steps``; say whether it got that far."""
    child = os.fork()
    if child == 0:
        try:
            work(Fuse(steps))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0

"""What a signal asks for, done in a thread: a handler must not use the connections of whom it interrupts.

Signals that this process gets are meant for the container that it shows (``passed_on``): who ends the command with
Ctrl-C or kill means what runs in there.

Source: Python library reference, signal § Execution of Python signal handlers; ``docker run --sig-proxy``.
"""

import contextlib
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import click
import docker.errors
import requests

_PASSED_ON = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")
_PATIENCE = 3


class Aside:
    """Does one thing after the other in a thread; what the engine refuses, because a container has ended, is no harm.

    Use it in a ``with`` statement, at whose end all has been done.
    """

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()  # a handler may put in it
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Aside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted.put(None)
        self._thread.join()

    def do(self, act: Callable[[], object]) -> None:
        """Have something done soon."""
        self._wanted.put(act)

    def _work(self) -> None:
        while act := self._wanted.get():
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                act()


@contextlib.contextmanager
def passed_on(send: Callable[[str], object]) -> Iterator[None]:
    """Pass the signals that this process gets on; the third that asks it to end ends it, as docker has it.

    Args:
        send: Gives a container a signal by its name.

    Raises:
        click.exceptions.Exit: That third signal came.
    """
    asked = 0

    def handle(number: int, _: object) -> None:
        nonlocal asked
        asked += number in (signal.SIGINT, signal.SIGTERM)
        if asked == _PATIENCE:
            sys.stderr.write(f"got {_PATIENCE} SIGTERM/SIGINTs, forcefully exiting\n")
            raise click.exceptions.Exit(1)
        aside.do(lambda: send(signal.Signals(number).name))

    with Aside() as aside:
        handlers = {number: signal.signal(number, handle) for number in _available()}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _available() -> list[signal.Signals]:
    """Return those of them that this system has."""
    return [signal.Signals[name] for name in _PASSED_ON if hasattr(signal, name)]

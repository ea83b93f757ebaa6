"""Network namespaces with nothing in them but their loopback, for containers without a network.

A new network namespace takes the kernel more than a millisecond. Once somebody has wanted such a one, a few lie ready.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from nbcontainers.linux.netlink import Netlink

_MOST = 3


class IsolatedPool:
    """The namespaces that lie ready.

    Args:
        thread: The one that may change its namespace.
        make: Makes a namespace, in that thread; returns a socket in it and a descriptor of it.
        delay_seconds: For so long a container that starts has the processor for itself.
    """

    def __init__(self, thread: Executor, make: Callable[[], tuple[Netlink, int]], delay_seconds: float) -> None:
        self._thread = thread
        self._make = make
        self._delay_seconds = delay_seconds
        self._ready: deque[int] = deque()
        self._refilling: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> int | None:
        """Return a descriptor of a namespace, the caller's; None when the caller has to make one."""
        if self._refilling is None and not self._closed:
            self._refilling = asyncio.get_running_loop().call_later(self._delay_seconds, self._refill_soon)
        return self._ready.popleft() if self._ready else None

    def _refill_soon(self) -> None:
        self._refilling = None
        self._thread.submit(self._refill)

    def _refill(self) -> None:
        """Make what is missing; what cannot be made here is left to the start, which says why."""
        try:
            while len(self._ready) < _MOST and not self._closed:
                netlink, namespace_fd = self._make()
                netlink.close()
                self._ready.append(namespace_fd)
        except OSError:
            return

    def close(self) -> None:
        """Let go of all, once the thread has done what it was asked before."""
        self._closed = True
        if self._refilling is not None:
            self._refilling.cancel()
        self._thread.submit(self._let_go)

    def _let_go(self) -> None:
        while self._ready:
            os.close(self._ready.popleft())

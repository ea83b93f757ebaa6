"""Threads of one's own, for work that would spoil a shared one: it changes namespaces, or waits for clients.

Source: unshare(2) § CLONE_FS; setns(2) § Mount namespaces: both act on the calling thread alone.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_apart(work: Callable[[], T], name: str) -> T:
    """Do work in a new thread that ends with it; it goes on to its end when nobody waits any more."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:  # the engine has ended meanwhile
            return

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done

"""Restart policies: which container is started again when it has ended, and after how long.

A container that ends is started again after 100 ms, then 200 ms, doubling up to a minute; one that ran for ten
seconds begins with 100 ms anew. Meanwhile it is ``restarting``, which a stop, a kill or a removal ends. What the user
has told to end is not started again, until the user starts it.

Source: Docker documentation, "Start containers automatically"; moby, restartmanager/restartmanager.go.
"""

import asyncio
from collections.abc import Callable

from nbcontainers import errors
from nbcontainers.engine.configuration import RestartPolicy
from nbcontainers.engine.model import Container
from nbcontainers.engine.order import Attempts

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 60.0
STEADY_NS = 10 * 10**9  # who ran for so long has not failed at once


def check(policy: RestartPolicy, *, auto_remove: bool) -> None:
    """Refuse a policy that makes no sense; the words are Docker's.

    Raises:
        errors.InvalidArgument: A number of retries where it means nothing, or together with ``--rm``.
    """
    if policy.name != "on-failure" and policy.maximum_retries:
        raise errors.InvalidArgument(f"maximum retry count cannot be used with restart policy '{policy.name}'")
    if policy.maximum_retries < 0:
        raise errors.InvalidArgument(f"maximum retry count cannot be negative: '{policy.maximum_retries}'")
    if auto_remove and policy.name != "no":
        raise errors.InvalidArgument("can't create 'AutoRemove' container with restart policy")


def due(container: Container, exit_code: int) -> bool:
    """Say whether a container that ends now is to be started again."""
    policy = container.host_config.restart_policy
    if policy.name == "no" or container.stopped_by_user:
        return False
    if policy.name == "on-failure":
        left = not policy.maximum_retries or container.restart_count < policy.maximum_retries
        return exit_code != 0 and left
    return True


def due_at_start(container: Container) -> bool:
    """Say whether a new engine is to start a container that does not run: as after the machine was rebooted.

    Docker starts one with ``always`` even when the user had stopped it.
    """
    if not container.state.started_at_ns or container.state.status not in ("exited", "dead"):
        return False
    name = container.host_config.restart_policy.name
    return name == "always" or (name == "unless-stopped" and not container.stopped_by_user)


class Restarts:
    """The containers that wait to be started again, one timer each.

    Args:
        start: Is called with a container when its time has come.
        attempts: Where those who wait for its start wait.
    """

    def __init__(self, start: Callable[[Container], None], attempts: Attempts) -> None:
        self._start = start
        self._attempts = attempts
        self._delays: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def plan(self, container: Container) -> None:
        """Start a container that has ended when its time comes; the state says how long it ran."""
        ran_ns = container.state.finished_at_ns - container.state.started_at_ns
        delay = self._delays.get(container.id, 0.0) if ran_ns < STEADY_NS else 0.0
        delay = min(delay * 2 or FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
        self._delays[container.id] = delay
        self._attempts.expect(container)
        self._timers[container.id] = asyncio.get_running_loop().call_later(delay, self._due, container)

    def _due(self, container: Container) -> None:
        del self._timers[container.id]
        self._start(container)

    def begin_anew(self, container: Container) -> None:
        """Note that the user has started a container: the next delay is the shortest."""
        self._delays.pop(container.id, None)

    def cancel(self, container: Container) -> None:
        """Do not start a container that waits."""
        if timer := self._timers.pop(container.id, None):
            timer.cancel()
            self._attempts.over(container)

    def forget(self, container: Container) -> None:
        """Drop what is known of a container that was removed."""
        self.cancel(container)
        self._delays.pop(container.id, None)

    def close(self) -> None:
        """Start nobody any more; the next engine goes on."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

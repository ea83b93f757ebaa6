"""Health checks: a command that is run in a container every so often, and what its exit codes say of it.

A container is ``starting`` until a probe succeeds (``healthy``) or several in a row fail (``unhealthy``); a failure in
its start period does not count as long as none has succeeded. Each container has one timer, which is set anew when a
probe has ended, so that probes never overlap; a paused container is not asked.

What is known stands in the container's row, which every probe writes, so that a new engine goes on with it.

Source: Docker Engine API, ``HealthConfig``, ``Health``; Dockerfile reference § HEALTHCHECK; moby, daemon/health.go.
"""

import asyncio
import time

from nbcontainers import errors
from nbcontainers.engine.configuration import Healthcheck
from nbcontainers.engine.execs import Execs
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container, Health, ProbeResult
from nbcontainers.images.config import Healthcheck as ImageHealthcheck

DEFAULT_INTERVAL_NS = 30 * 10**9
DEFAULT_TIMEOUT_NS = 30 * 10**9
DEFAULT_START_INTERVAL_NS = 5 * 10**9
DEFAULT_RETRIES = 3
SHORTEST_NS = 10**6
KEPT_RESULTS = 5
OUTPUT_BYTES = 4096
DEFAULT_SHELL = ("/bin/sh", "-c")
FAILED_EXIT_CODE = -1


def check(healthcheck: Healthcheck) -> None:
    """Refuse a health check that makes no sense; the words are Docker's.

    Raises:
        errors.InvalidArgument: A time is shorter than a millisecond, or the retries are negative.
    """
    for name, value in (
        ("Interval", healthcheck.interval_ns),
        ("Timeout", healthcheck.timeout_ns),
        ("StartPeriod", healthcheck.start_period_ns),
        ("StartInterval", healthcheck.start_interval_ns),
    ):
        if value and value < SHORTEST_NS:
            raise errors.InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms, not '{value}' ns")
    if healthcheck.retries < 0:
        raise errors.InvalidArgument(f"Retries in Healthcheck cannot be negative: '{healthcheck.retries}'")
    if healthcheck.test and healthcheck.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        kind = healthcheck.test[0]
        raise errors.InvalidArgument(f"invalid health check '{kind}': NONE, CMD or CMD-SHELL comes first")


def merged(asked: Healthcheck | None, of_image: ImageHealthcheck | None) -> Healthcheck | None:
    """Return a user's health check, with what it leaves out taken from the image's."""
    if of_image is None:
        return asked
    default = Healthcheck(
        test=tuple(of_image.test or ()),
        interval_ns=of_image.interval,
        timeout_ns=of_image.timeout,
        start_period_ns=of_image.start_period,
        start_interval_ns=of_image.start_interval,
        retries=of_image.retries,
    )
    if asked is None:
        return default
    return Healthcheck(
        test=asked.test or default.test,
        interval_ns=asked.interval_ns or default.interval_ns,
        timeout_ns=asked.timeout_ns or default.timeout_ns,
        start_period_ns=asked.start_period_ns or default.start_period_ns,
        start_interval_ns=asked.start_interval_ns or default.start_interval_ns,
        retries=asked.retries or default.retries,
    )


def command(container: Container) -> tuple[str, ...]:
    """Return the words of a container's probe; none where its health is not asked after."""
    healthcheck = container.config.healthcheck
    if healthcheck is None or len(healthcheck.test) < 2 or healthcheck.test[0] == "NONE":
        return ()
    kind, *words = healthcheck.test
    return (*(container.config.shell or DEFAULT_SHELL), *words) if kind == "CMD-SHELL" else tuple(words)


class Healths:
    """The health of all containers that are asked after it.

    Args:
        lifecycle: Says when a container is started, has ended, and is removed.
        execs: Runs commands in containers.
    """

    def __init__(self, lifecycle: Lifecycle, execs: Execs) -> None:
        self._lifecycle = lifecycle
        self._execs = execs
        lifecycle.when_started.append(self.begin)
        lifecycle.when_ended.append(self.pause)
        lifecycle.when_removed.append(self.forget)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def status(self, container: Container) -> str:
        """Return a container's health in one word, ``none`` where nobody asks."""
        return container.health.status if container.health else "none"

    def begin(self, container: Container) -> None:
        """Ask after a container that has been started, from now on; the results of earlier runs stay in the log.

        One that a new engine finds running is as well as the last engine knew it.
        """
        if not command(container):
            return
        health = container.health = container.health or Health()
        if health.run_ns != container.state.started_at_ns:
            health.status, health.failing_streak, health.run_ns = "starting", 0, container.state.started_at_ns
        if container.state.status != "paused":  # as a new engine may find it
            self.resume(container)

    def resume(self, container: Container) -> None:
        """Ask after a container, as of now in the state in which it was."""
        if container.health and container.id not in self._tasks:
            self._tasks[container.id] = asyncio.get_running_loop().create_task(self._ask(container, container.health))

    def pause(self, container: Container) -> None:
        """Do not ask while a container is paused or does not run; as in Docker, it is not well meanwhile."""
        if task := self._tasks.pop(container.id, None):
            task.cancel()
        if container.health:
            container.health.status = "unhealthy"

    def forget(self, container: Container) -> None:
        """Do not ask after a container that was removed."""
        self.pause(container)

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, container: Container, health: Health) -> None:
        healthcheck = container.config.healthcheck or Healthcheck()
        words = command(container)
        while True:
            await asyncio.sleep(_pause_ns(container, healthcheck, health) / 10**9)
            result = await self._run(container, words, healthcheck.timeout_ns or DEFAULT_TIMEOUT_NS)
            self._take(container, health, healthcheck, result)

    async def _run(self, container: Container, words: tuple[str, ...], timeout_ns: int) -> ProbeResult:
        """Run one probe."""
        started_ns = time.time_ns()
        try:
            outcome = await self._execs.run(
                container, list(words), timeout_seconds=timeout_ns / 10**9, most_output_bytes=OUTPUT_BYTES
            )
        except (errors.Error, OSError) as error:
            code, text = FAILED_EXIT_CODE, str(error)
        else:
            code, text = outcome.exit_code, outcome.output.decode(errors="replace")
            if outcome.timed_out:
                exceeded = f"Health check exceeded timeout ({_duration(timeout_ns)})"
                code, text = FAILED_EXIT_CODE, f"{exceeded}: {text}" if text else exceeded
        return ProbeResult(started_at_ns=started_ns, ended_at_ns=time.time_ns(), exit_code=code, output=text)

    def _take(self, container: Container, health: Health, healthcheck: Healthcheck, result: ProbeResult) -> None:
        """Learn from a probe's result, and tell when that changes the container's health."""
        before = health.status
        health.log = [*health.log, result][-KEPT_RESULTS:]
        if result.exit_code == 0:
            health.failing_streak, health.status = 0, "healthy"
        elif not (
            health.status == "starting"
            and result.started_at_ns - container.state.started_at_ns < healthcheck.start_period_ns
        ):
            health.failing_streak += 1
            if health.failing_streak >= (healthcheck.retries or DEFAULT_RETRIES):
                health.status = "unhealthy"
        self._lifecycle.save_quietly(container)
        if health.status != before:
            self._lifecycle.telling.tell(container, f"health_status: {health.status}")


def _pause_ns(container: Container, healthcheck: Healthcheck, health: Health) -> int:
    """Return how long to wait before the next probe."""
    young = time.time_ns() - container.state.started_at_ns < healthcheck.start_period_ns
    if young and health.status == "starting":
        return healthcheck.start_interval_ns or DEFAULT_START_INTERVAL_NS
    return healthcheck.interval_ns or DEFAULT_INTERVAL_NS


def _duration(ns: int) -> str:
    """Return a time as Go prints it, in seconds where it has whole ones: ``1m30s``, ``1.5s``, ``250ms``."""
    if ns < 10**9:
        return f"{ns / 10**6:g}ms"
    minutes, rest = divmod(ns, 60 * 10**9)
    seconds = f"{rest / 10**9:g}s"
    return f"{minutes}m{seconds}" if minutes else seconds

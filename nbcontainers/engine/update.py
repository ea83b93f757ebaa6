"""Changing the limits and the restart policy of a container that exists, at once where it runs.

What is changed is checked as at create, together with what stays; then the control group is told, and only when the
kernel has taken it all is it saved.

Source: Docker Engine API, ``POST /containers/{id}/update``; moby, container/container_unix.go, UpdateContainer.
"""

import asyncio
import dataclasses
from dataclasses import dataclass, replace

from nbcontainers import errors
from nbcontainers.engine import limits, restarts
from nbcontainers.engine.configuration import HostConfig, RestartPolicy
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container

NO_WEIGHT = "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is to be changed; 0, an empty text or None: it stays as it is. ``pids_limit`` 0 or -1: no limit."""

    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    memory_reservation_bytes: int = 0
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_quota_usec: int = 0
    cpu_period_usec: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    blkio_weight: int = 0
    restart_policy: RestartPolicy | None = None

    def limits(self) -> dict[str, int | str]:
        """Return the limits that are to be changed, by the names of ``HostConfig``."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        pids_limit = given.pop("pids_limit")
        given.pop("restart_policy")
        asked = {name: value for name, value in given.items() if value}
        return asked if pids_limit is None else {**asked, "pids_limit": pids_limit}


async def apply(lifecycle: Lifecycle, container: Container, update: Update, *, swap_limit: bool) -> list[str]:
    """Change a container.

    Returns:
        Warnings: what this machine cannot do, and has left out.

    Raises:
        errors.InvalidArgument: A limit makes no sense.
        errors.Conflict: It does not go together with what the container has, or with what it uses.
    """
    warnings: list[str] = []
    async with lifecycle.turns.lock(container):
        lifecycle.anticipation.give_up(container)  # what is prepared has the limits of before
        try:
            changed = _changed(container.host_config, update)
            if container in lifecycle.live:
                await _tell_kernel(lifecycle, container, changed, update, swap_limit=swap_limit)
        except errors.Conflict as error:
            raise errors.Conflict(f"cannot update container {container.id}: {error}") from error
        except errors.Unavailable:
            if not update.blkio_weight:
                raise
            # Docker leaves a weight out where no disk is scheduled by weights, and says so.
            warnings.append(NO_WEIGHT)
            update = replace(update, blkio_weight=0)
            changed = _changed(container.host_config, update)
            await _tell_kernel(lifecycle, container, changed, update, swap_limit=swap_limit)
        before, container.host_config = container.host_config, changed
        try:
            lifecycle.save(container)
        except errors.Error:
            container.host_config = before
            raise
        lifecycle.telling.tell(container, "update")
    return warnings


def _changed(now: HostConfig, update: Update) -> HostConfig:
    """Return what the container may use afterwards.

    Raises:
        errors.InvalidArgument: It makes no sense.
        errors.Conflict: What is to be changed does not go together with what is there.
    """
    if update.nano_cpus:
        for name, there in (("Period", now.cpu_period_usec), ("Quota", now.cpu_quota_usec)):
            if there:
                raise errors.Conflict(
                    f"conflicting options: Nano CPUs cannot be updated as CPU {name} has already been set"
                )
    if now.nano_cpus:
        for name, asked in (("Period", update.cpu_period_usec), ("Quota", update.cpu_quota_usec)):
            if asked:
                raise errors.Conflict(
                    f"conflicting options: CPU {name} cannot be updated as NanoCPUs has already been set"
                )
    if update.memory_bytes and not update.memory_swap_bytes and 0 <= now.memory_swap_bytes < update.memory_bytes:
        raise errors.Conflict(
            "memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    changed = replace(now, **update.limits())  # type: ignore[arg-type]
    limits.check(changed)
    if update.restart_policy is None:
        return changed
    restarts.check(update.restart_policy, auto_remove=False)
    if now.auto_remove and update.restart_policy.name != "no":
        raise errors.Conflict("restart policy cannot be updated because AutoRemove is enabled for the container")
    return replace(changed, restart_policy=update.restart_policy)


async def _tell_kernel(
    lifecycle: Lifecycle, container: Container, changed: HostConfig, update: Update, *, swap_limit: bool
) -> None:
    """Set what is to be changed on the container's control group; in a thread, for memory may have to be freed."""
    asked = update.limits()
    if "memory_bytes" in asked or "memory_swap_bytes" in asked:  # neither may ever be said without the other
        asked["memory_bytes"] = changed.memory_bytes
        asked["memory_swap_bytes"] = changed.memory_swap_bytes
    resources = limits.resources(replace(HostConfig(), **asked), swap_limit=swap_limit)  # type: ignore[arg-type]
    if update.pids_limit is not None:
        resources["pids"] = {"limit": update.pids_limit}
    try:
        await asyncio.to_thread(lifecycle.live.get(container).cgroup.apply, resources)
    except OSError as error:
        raise errors.Conflict(str(error)) from error

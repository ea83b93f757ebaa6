"""What a new engine finds: containers that went on without one, and what a killed engine left half done.

Three questions for every container in the database, in this order: does its shim answer (then it runs, and is
watched again), did the shim leave an exit status (then it ended while nobody looked), or neither (then the machine was
rebooted, or the shim was killed, and whatever is left of the container is killed with it). Then everything on this
machine that bears this engine's mark but belongs to no container is removed.
"""

import contextlib
import os
import shutil
import time
from dataclasses import replace

from nbcontainers.engine import order, publishing, volume_mounts
from nbcontainers.engine.lifecycle import Lifecycle
from nbcontainers.engine.model import Container
from nbcontainers.engine.restarts import due_at_start
from nbcontainers.engine.specification import Specification
from nbcontainers.images import Snapshots
from nbcontainers.linux import cgroups
from nbcontainers.networks import Forwarding, Lease
from nbcontainers.runtime.client import ExitStatus, ShimConnection, reconnect

REBOOTED_EXIT_CODE = 255
Found = ShimConnection | ExitStatus | None


async def find(containers: list[Container], specification: Specification, *, rebooted: bool) -> dict[str, Found]:
    """Ask after every container that ran when the last engine ended.

    Args:
        containers: All there are.
        specification: Knows where their shims' sockets are.
        rebooted: Whether the machine has been down since: then who is gone has ended with it, as in Docker.
    """
    found = {
        container.id: await reconnect(str(specification.directory(container.id)))
        for container in containers
        if container.state.status in ("running", "paused")
    }
    ended = ExitStatus(code=REBOOTED_EXIT_CODE, finished_at_ns=time.time_ns(), oom_killed=False)
    return {container_id: ended if rebooted and state is None else state for container_id, state in found.items()}


def leases(containers: list[Container], found: dict[str, Found]) -> list[Lease]:
    """Return the addresses that containers still use, so that nobody else is given them."""
    return [
        Lease(
            container_id=container.id,
            network_id=attachment.network_id,
            address=attachment.endpoint.address,
            ipv6_address=attachment.endpoint.ipv6_address,
        )
        for container in containers
        if isinstance(found.get(container.id), ShimConnection)
        for attachment in container.networks.values()
        if attachment.endpoint.interface
    ]


def published(containers: list[Container], found: dict[str, Found]) -> dict[str, list[Forwarding]]:
    """Return the ports that containers still have published."""
    return {
        container.id: publishing.forwardings(container)
        for container in containers
        if isinstance(found.get(container.id), ShimConnection) and container.ports
    }


def volumes(containers: list[Container], found: dict[str, Found]) -> set[str]:
    """Return the volumes with file systems of their own that containers still have."""
    return volume_mounts.used(one for one in containers if isinstance(found.get(one.id), ShimConnection))


async def resume(lifecycle: Lifecycle, containers: list[Container], found: dict[str, Found]) -> None:
    """Take every container in, as it is now: watched again, ended, or on with the removal that was begun.

    What does not run is started where its restart policy says so, after what it needs.
    """
    for container in containers:
        lifecycle.add(container)
        if not isinstance(found.get(container.id), ShimConnection):
            # Whoever has that number now is somebody else.
            container.state = replace(container.state, pid=0)
    for container in order.ordered(containers):
        if container.id in found:
            state = found[container.id]
            if isinstance(state, ShimConnection):
                lifecycle.watch(container, state)
            else:
                await lifecycle.ended(container, state)
        elif container.state.status == "removing" or (
            container.host_config.auto_remove and container.state.status in ("exited", "dead")
        ):
            await lifecycle.remove(container)
        elif container.state.status == "restarting":
            lifecycle.restarts.plan(container)
        elif due_at_start(container):
            lifecycle.start_soon(container)


def sweep(kept: set[str], found: dict[str, Found], specification: Specification, snapshots: Snapshots) -> None:
    """Remove what bears this engine's mark but belongs to no container: groups, directories, snapshots.

    A container that does not run has no group: one that has just ended when the last engine was killed may still.
    """
    running = {container_id for container_id, state in found.items() if isinstance(state, ShimConnection)}
    sweep_cgroups(running, specification.cgroup_parent)
    snapshots.sweep(kept)
    for entry in os.scandir(specification.containers):
        if entry.name not in kept:
            shutil.rmtree(entry.path, ignore_errors=True)


def sweep_cgroups(kept: set[str], parent: str) -> None:
    """Remove the groups below ``parent`` but those of containers that are kept, and the ones that these are in."""
    driver = cgroups.detect()
    for name in driver.children(parent):
        path = f"{parent}/{name}"
        if name in kept:
            continue
        if driver.children(path):
            sweep_cgroups(kept, path)
        with contextlib.suppress(OSError):
            cgroup = driver.open(path)
            if not driver.children(path):
                cgroup.kill()
                cgroup.remove()


def remove_cgroups(parent: str) -> None:
    """Remove this engine's control group, and the one above it when no other engine has a group there."""
    driver = cgroups.detect()
    sweep_cgroups(set(), parent)
    driver.open(parent).remove()
    above = parent.rpartition("/")[0]
    if not driver.children(above):
        driver.open(above).remove()

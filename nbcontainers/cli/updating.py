"""``update``: a container's limits and restart policy, changed while it runs."""

from typing import Any

import click

from nbcontainers.cli.face import Face
from nbcontainers.cli.tree import container_group, each, pass_face, tree
from nbcontainers.cli.values import Cpus, Size

_LIMITS: dict[str, tuple[str, Any, str]] = {
    "--memory": ("Memory", Size(), "Memory limit, such as 64m."),
    "--memory-swap": ("MemorySwap", Size(), "Limit of memory and swap; -1 for none."),
    "--memory-reservation": ("MemoryReservation", Size(), "Soft memory limit."),
    "--cpus": ("NanoCpus", Cpus(), "Number of processors, such as 0.5."),
    "--cpu-shares": ("CpuShares", int, "Relative weight."),
    "--cpu-period": ("CpuPeriod", int, "Microseconds."),
    "--cpu-quota": ("CpuQuota", int, "Microseconds in each period."),
    "--cpuset-cpus": ("CpusetCpus", str, "Processors to run on, such as 0-1."),
    "--cpuset-mems": ("CpusetMems", str, "Memory nodes to use, such as 0."),
    "--pids-limit": ("PidsLimit", int, "Most processes; -1 for no limit."),
    "--blkio-weight": ("BlkioWeight", int, "Share of disks' time, 10 to 1000."),
}
"""Option → its name in Docker's API, its type, its help."""
_SHORT = {"--memory": "-m", "--cpu-shares": "-c"}


def _with_limits(command: Any) -> Any:
    for option, (field, kind, help_text) in reversed(_LIMITS.items()):
        names = [option, *([_SHORT[option]] if option in _SHORT else []), field]
        command = click.option(*names, type=kind, default=None, help=help_text)(command)
    return command


@tree.command()
@_with_limits
@click.option("--restart", default=None, help="Restart policy: no, always, unless-stopped, on-failure[:N].")
@click.argument("containers", nargs=-1, required=True)
@pass_face
def update(face: Face, /, containers: tuple[str, ...], restart: str | None, **limits: Any) -> str:
    """Change the limits of containers, also of those that run."""
    wanted: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    if restart is not None:
        policy, _, count = restart.partition(":")
        if count and not count.isdigit():
            raise click.UsageError(f"invalid value '{restart}' for --restart: on-failure:N wants a number")
        wanted["RestartPolicy"] = {"Name": policy, "MaximumRetryCount": int(count or 0)}
    if not wanted:
        raise click.UsageError("nothing to change: give at least one option, such as --memory 64m")
    api = face.client.api

    def change(name: str) -> None:
        response = api.post(f"{api.base_url}/v{api._version}/containers/{name}/update", json=wanted)
        api._raise_for_status(response)
        for warning in response.json().get("Warnings") or ():
            face.err(f"WARNING: {warning}\n".encode())

    return each(containers, change)


container_group.add_command(update)

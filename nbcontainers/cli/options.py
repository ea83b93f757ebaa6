"""The options of ``run`` and ``create``, by their subjects; ``configuration`` says what each asks of the engine.

Source: Docker documentation, "docker container run" § Options.
"""

from typing import Any

import click

from nbcontainers.cli import networking
from nbcontainers.cli.pulling import pull_option
from nbcontainers.cli.values import Cpus, Size


def _many(*names: str, help: str) -> Any:
    return click.option(*names, multiple=True, help=help)


def _text(*names: str, help: str) -> Any:
    return click.option(*names, default="", help=help)


PROCESS = [
    _text("--name", help="Name of the container."),
    click.option("--cidfile", default="", type=click.Path(dir_okay=False), help="New file for the container's id."),
    click.option("-q", "--quiet", is_flag=True, help="Show nothing of a pull."),
    pull_option,
    _text("--platform", help="Which of several images, such as linux/arm64."),
    _many("-e", "--env", help="NAME=value, or NAME to take this process's."),
    click.option(
        "--env-file", multiple=True, type=click.Path(exists=True, dir_okay=False), help="File of NAME=value lines."
    ),
    _text("-w", "--workdir", help="Working directory."),
    _text("-u", "--user", help="name or uid, with :group."),
    _many("--group-add", help="More groups of the user, by name or number."),
    click.option("--entrypoint", default=None, help="Program in place of the image's."),
    _many("-l", "--label", "labels", help="NAME=value."),
    click.option(
        "--label-file",
        "label_files",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False),
        help="File of labels, one a line.",
    ),
    _many("--annotation", "annotations", help="NAME=value, for the runtime."),
    _text("--stop-signal", help="Signal that asks the container to end."),
    click.option("--stop-timeout", type=int, default=None, help="Seconds until it is killed."),
    click.option("--init", is_flag=True, help="Run an init inside, which reaps orphans and passes signals on."),
    _text("--health-cmd", help="Command that says whether the container is well: 0 if so."),
    _text("--health-interval", help="Time between two checks, such as 30s."),
    _text("--health-timeout", help="Time that a check may take."),
    _text("--health-start-period", help="Time in which failures do not count."),
    _text("--health-start-interval", help="Time between two checks in that period."),
    click.option("--health-retries", type=int, default=0, help="Failures in a row that make it unhealthy."),
    click.option("--no-healthcheck", is_flag=True, help="Without the image's check."),
    click.option("--restart", default="no", help="Restart policy."),
    click.option("-i", "--interactive", is_flag=True, help="Keep standard input open."),
    click.option("-t", "--tty", is_flag=True, help="Give it a terminal."),
    _text("--log-driver", help="json-file, local or none."),
    _many("--log-opt", "log_options", help="Option of the log, such as max-size=10m."),
]
NAMESPACES = [
    _text("--pid", help="host or container:NAME."),
    _text("--ipc", help="private, shareable, host, none or container:NAME."),
    _text("--uts", help="host."),
    _text("--cgroupns", help="private or host."),
    _text("--userns", help="host."),
    _text("-h", "--hostname", help="Host name."),
    _text("--domainname", help="NIS domain name."),
]
LIMITS = [
    click.option("-m", "--memory", type=Size(), default=0, help="Memory limit, such as 64m."),
    click.option("--memory-swap", type=Size(), default=0, help="Limit of memory and swap; -1 for none."),
    click.option("--memory-reservation", type=Size(), default=0, help="Soft memory limit."),
    click.option("--memory-swappiness", type=int, default=-1, help="How readily memory is swapped, 0 to 100."),
    click.option("--oom-kill-disable", is_flag=True, help="Do not kill when memory runs out."),
    click.option("--oom-score-adj", type=int, default=0, help="Preference to be killed, -1000 to 1000."),
    click.option("--cpus", type=Cpus(), default=0, help="Number of processors, such as 0.5."),
    click.option("-c", "--cpu-shares", type=int, default=0, help="Relative weight."),
    click.option("--cpu-period", type=int, default=0, help="Microseconds."),
    click.option("--cpu-quota", type=int, default=0, help="Microseconds in each period."),
    click.option("--cpu-rt-period", type=int, default=0, help="Microseconds, of realtime processes."),
    click.option("--cpu-rt-runtime", type=int, default=0, help="Microseconds in each such period."),
    _text("--cpuset-cpus", help="Processors to run on, such as 0-1."),
    _text("--cpuset-mems", help="Memory nodes to use, such as 0."),
    click.option("--pids-limit", type=int, default=0, help="Most processes."),
    click.option("--blkio-weight", type=int, default=0, help="Share of disks' time, 10 to 1000."),
    _many("--blkio-weight-device", help="DEVICE:WEIGHT."),
    _many("--device-read-bps", help="DEVICE:RATE, bytes per second."),
    _many("--device-write-bps", help="DEVICE:RATE, bytes per second."),
    _many("--device-read-iops", help="DEVICE:RATE, operations per second."),
    _many("--device-write-iops", help="DEVICE:RATE, operations per second."),
    _many("--ulimit", "ulimits", help="name=soft[:hard]."),
    _text("--cgroup-parent", help="Control group to be below."),
]
SECURITY = [
    click.option("--privileged", is_flag=True, help="Give all privileges."),
    _many("--cap-add", help="Capability to add."),
    _many("--cap-drop", help="Capability to drop."),
    _many("--security-opt", help="seccomp=FILE, no-new-privileges, and others."),
    _many("--device", "devices", help="PATH_ON_HOST[:PATH_IN_CONTAINER][:rwm]."),
    _many("--device-cgroup-rule", "device_rules", help="Devices it may open, such as 'c 1:3 rwm'."),
    _many("--sysctl", "sysctls", help="NAME=value."),
    _text("--runtime", help="Name of the runtime."),
    _text("--isolation", help="default."),
]
FILES = [
    _many("-v", "--volume", "volumes", help="[SOURCE:]DESTINATION[:ro]."),
    _many("--mount", "mounts", help="type=…,source=…,target=…[,readonly]."),
    _many("--tmpfs", help="DESTINATION[:options]."),
    _many("--volumes-from", help="CONTAINER[:ro]."),
    _text("--volume-driver", help="Driver of volumes: local."),
    click.option("--read-only", is_flag=True, help="Read-only root file system."),
    click.option("--shm-size", type=Size(), default=0, help="Size of /dev/shm."),
]


def with_options(command: Any) -> Any:
    """Give a command the options of run and create."""
    for option in reversed((*PROCESS, *NAMESPACES, *networking.OPTIONS, *LIMITS, *SECURITY, *FILES)):
        command = option(command)
    return command

"""``run`` and ``create``: from docker's options to a container, and its output to whoever asked."""

import os
import re
import threading
from typing import Any

import click

from nbcontainers.cli.face import Face
from nbcontainers.client.attached import STDERR, Attached
from nbcontainers.client.ending import Ending

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
Json = dict[str, Any]


class Size(click.ParamType[int]):
    """A number of bytes such as ``64m``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes, or fail with a sentence."""
        if isinstance(value, int):
            return value
        if value == "-1":
            return -1
        match = _SIZE.fullmatch(value)
        if match is None:
            self.fail(f"invalid size '{value}': a number with b, k, m or g is wanted, such as 64m", param, ctx)
        return int(float(match[1]) * _FACTORS[match[2].lower()])


class Cpus(click.ParamType[int]):
    """A number of processors such as ``0.5``, kept in billionths."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return billionths, or fail with a sentence."""
        try:
            return value if isinstance(value, int) else round(float(value) * 10**9)
        except ValueError:
            self.fail(f"invalid number of processors '{value}': such as 0.5 is wanted", param, ctx)


OPTIONS = [
    click.option("--name", default="", help="Name of the container."),
    click.option("-e", "--env", multiple=True, help="NAME=value, or NAME to take this process's."),
    click.option(
        "--env-file", multiple=True, type=click.Path(exists=True, dir_okay=False), help="File of NAME=value lines."
    ),
    click.option("-v", "--volume", "volumes", multiple=True, help="SOURCE:DESTINATION[:ro]."),
    click.option("--tmpfs", multiple=True, help="DESTINATION[:options]."),
    click.option("-w", "--workdir", default="", help="Working directory."),
    click.option("-u", "--user", default="", help="name or uid, with :group."),
    click.option("-h", "--hostname", default="", help="Host name."),
    click.option("--entrypoint", default=None, help="Program in place of the image's."),
    click.option("-l", "--label", "labels", multiple=True, help="NAME=value."),
    click.option("-m", "--memory", type=Size(), default=0, help="Memory limit, such as 64m."),
    click.option("--memory-swap", type=Size(), default=0, help="Limit of memory and swap; -1 for none."),
    click.option("--memory-reservation", type=Size(), default=0, help="Soft memory limit."),
    click.option("--cpus", type=Cpus(), default=0, help="Number of processors, such as 0.5."),
    click.option("-c", "--cpu-shares", type=int, default=0, help="Relative weight."),
    click.option("--cpu-period", type=int, default=0, help="Microseconds."),
    click.option("--cpu-quota", type=int, default=0, help="Microseconds in each period."),
    click.option("--cpuset-cpus", default="", help="Processors to run on, such as 0-1."),
    click.option("--pids-limit", type=int, default=0, help="Most processes."),
    click.option("--oom-kill-disable", is_flag=True, help="Do not kill when memory runs out."),
    click.option("--network", "--net", default="", help="bridge, none or host."),
    click.option("--cap-add", multiple=True, help="Capability to add."),
    click.option("--cap-drop", multiple=True, help="Capability to drop."),
    click.option("--security-opt", multiple=True, help="Security options."),
    click.option("--read-only", is_flag=True, help="Read-only root file system."),
    click.option("--ulimit", "ulimits", multiple=True, help="name=soft[:hard]."),
    click.option("--shm-size", type=Size(), default=0, help="Size of /dev/shm."),
    click.option("--sysctl", "sysctls", multiple=True, help="NAME=value."),
    click.option("--add-host", "extra_hosts", multiple=True, help="name:address."),
    click.option("--dns", multiple=True, help="Name server."),
    click.option("--stop-signal", default="", help="Signal that asks the container to end."),
    click.option("--stop-timeout", type=int, default=None, help="Seconds until it is killed."),
    click.option("--init", is_flag=True, help="Run an init inside."),
    click.option("--privileged", is_flag=True, help="Give all privileges."),
    click.option("-p", "--publish", multiple=True, help="HOST:CONTAINER port."),
    click.option("--restart", default="no", help="Restart policy."),
    click.option("-i", "--interactive", is_flag=True, help="Keep standard input open."),
    click.option("-t", "--tty", is_flag=True, help="Give it a terminal."),
]


def with_options(command: Any) -> Any:
    """Give a command the options of run and create."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def _pairs(entries: tuple[str, ...], option: str) -> dict[str, str]:
    for entry in entries:
        if "=" not in entry:
            raise click.UsageError(f"invalid value '{entry}' for {option}: NAME=value is wanted")
    return dict(entry.split("=", 1) for entry in entries)


def _environment(env: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    lines = []
    for path in files:
        with open(path) as file:
            lines += [line.strip() for line in file if line.strip() and not line.lstrip().startswith("#")]
    result = []
    for entry in [*lines, *env]:
        if "=" in entry:
            result.append(entry)
        elif entry in os.environ:
            result.append(f"{entry}={os.environ[entry]}")
    return result


def _ulimits(entries: tuple[str, ...]) -> list[Json]:
    result = []
    for entry in entries:
        match = re.fullmatch(r"([a-z]+)=(-?\d+)(?::(-?\d+))?", entry)
        if match is None:
            raise click.UsageError(f"invalid value '{entry}' for --ulimit: name=soft[:hard] is wanted")
        result.append({"Name": match[1], "Soft": int(match[2]), "Hard": int(match[3] or match[2])})
    return result


def _binds(volumes: tuple[str, ...]) -> list[str]:
    """Return the binds with host paths made absolute; a relative one begins with a dot."""
    result = []
    for volume in volumes:
        source, colon, rest = volume.partition(":")
        if not colon:
            raise click.UsageError(f"invalid value '{volume}' for --volume: SOURCE:DESTINATION[:ro] is wanted")
        result.append(f"{os.path.abspath(source) if source.startswith('.') else source}:{rest}")
    return result


def _ports(publish: tuple[str, ...]) -> dict[str, list[Json]]:
    result: dict[str, list[Json]] = {}
    for entry in publish:
        outside, _, inside = entry.rpartition(":")
        address, _, port = outside.rpartition(":")
        key = inside if "/" in inside else f"{inside}/tcp"
        result.setdefault(key, []).append({"HostIp": address, "HostPort": port})
    return result


def configuration(image: str, command: tuple[str, ...], o: Json, *, remove: bool, attach: bool, stdin: bool) -> Json:
    """Return the body of ``POST /containers/create`` for docker's options.

    Args:
        image: The image.
        command: The program and its arguments; empty for the image's.
        o: The options by their names.
        remove: Remove the container when it ends.
        attach: Its output is wanted.
        stdin: It gets a standard input.
    """
    policy, _, count = o["restart"].partition(":")
    return {
        "Image": image,
        "Cmd": list(command) or None,
        "Entrypoint": None if o["entrypoint"] is None else [o["entrypoint"]],
        "Env": _environment(o["env"], o["env_file"]),
        "WorkingDir": o["workdir"],
        "User": o["user"],
        "Hostname": o["hostname"],
        "Labels": _pairs(o["labels"], "--label"),
        "Tty": o["tty"],
        "OpenStdin": stdin or o["interactive"],
        "StdinOnce": stdin,
        "AttachStdin": stdin,
        "AttachStdout": attach,
        "AttachStderr": attach,
        "StopSignal": o["stop_signal"] or None,
        "StopTimeout": o["stop_timeout"],
        "HostConfig": {
            "AutoRemove": remove,
            "Binds": _binds(o["volumes"]) or None,
            "Tmpfs": {entry.partition(":")[0]: entry.partition(":")[2] for entry in o["tmpfs"]} or None,
            "Memory": o["memory"],
            "MemorySwap": o["memory_swap"],
            "MemoryReservation": o["memory_reservation"],
            "NanoCpus": o["cpus"],
            "CpuShares": o["cpu_shares"],
            "CpuPeriod": o["cpu_period"],
            "CpuQuota": o["cpu_quota"],
            "CpusetCpus": o["cpuset_cpus"],
            "PidsLimit": o["pids_limit"] or None,
            "OomKillDisable": o["oom_kill_disable"] or None,
            "NetworkMode": o["network"] or "default",
            "CapAdd": list(o["cap_add"]) or None,
            "CapDrop": list(o["cap_drop"]) or None,
            "SecurityOpt": list(o["security_opt"]) or None,
            "ReadonlyRootfs": o["read_only"],
            "Ulimits": _ulimits(o["ulimits"]) or None,
            "ShmSize": o["shm_size"],
            "Sysctls": _pairs(o["sysctls"], "--sysctl") or None,
            "ExtraHosts": list(o["extra_hosts"]) or None,
            "Dns": list(o["dns"]) or None,
            "Init": o["init"] or None,
            "Privileged": o["privileged"],
            "PortBindings": _ports(o["publish"]) or None,
            "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(count) if count.isdigit() else 0},
        },
    }


def create(face: Face, config: Json, name: str) -> str:
    """Create a container and return its id; the engine's warnings go to standard error."""
    answer: Json = face.client.api.create_container_from_config(config, name or None)
    for warning in answer.get("Warnings") or ():
        face.err(f"WARNING: {warning}\n".encode())
    return str(answer["Id"])


def run_attached(face: Face, container: str) -> int:
    """Start a created container, pass its output on as it comes, and return its exit code.

    An interrupt stops the container, and is passed on when it has stopped.
    """
    api = face.client.api
    inspected = api.inspect_container(container)
    tty = inspected["Config"]["Tty"]
    attached = Attached(face.client, container, stdout=1, stderr=1)
    # Who asked for removal finds the container gone when the command returns, as with docker.
    ended = Ending(face.client, container, "removed" if inspected["HostConfig"]["AutoRemove"] else "next-exit")
    feeder = _Feeder(face, container) if face.stdin is not None else None
    try:
        api.start(container)
        for stream, piece in attached.output(tty=tty):
            (face.err if stream == STDERR else face.out)(piece)
        return ended.code()
    except KeyboardInterrupt:
        api.stop(container, timeout=2)
        raise
    finally:
        if feeder is not None:
            feeder.close()
        ended.close()
        attached.close()


class _Feeder:
    """Sends the face's input to a container from a thread, and closes it there."""

    def __init__(self, face: Face, container: str) -> None:
        self._data = face.stdin or b""
        self._attached = Attached(face.client, container, stdin=1)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        try:
            self._attached.send(self._data)
        except OSError:
            return  # the container has ended before it read everything

    def close(self) -> None:
        """Let go of the container's input."""
        self._thread.join(timeout=1)
        self._attached.close()

"""What a container is, in Docker's JSON: the answers of ``GET /containers/{id}/json`` and ``GET /containers/json``.

Source: Docker Engine API v1.47, ``ContainerInspectResponse``, ``ContainerSummary``, ``HostConfig``.
"""

import time
from typing import TYPE_CHECKING

from nbcontainers.api import placement
from nbcontainers.api.times import age, rfc3339
from nbcontainers.engine.model import RUNNING, Container, HostConfig, MountPoint, ThrottleDevice
from nbcontainers.engine.sizes import Sizes

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine

Json = dict[str, object]

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def inspect(engine: "Engine", container: Container, sizes: Sizes | None = None) -> Json:
    """Return everything about a container; its sizes where they were measured."""
    directory = engine.output_directory(container)
    return {
        "Id": container.id,
        "Created": rfc3339(container.created_ns),
        "Path": container.path,
        "Args": container.args,
        "State": state(container),
        "Image": container.image_id,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": "" if container.host_config.log_driver == "none" else f"{directory}/log",
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": engine.execs.ids(container) or None,
        "HostConfig": host_config(container),
        "GraphDriver": {"Name": "overlay2", "Data": None},
        **_sizes(sizes),
        "Mounts": [mount_point(mount) for mount in container.mounts],
        "Config": config(container),
        "NetworkSettings": placement.network_settings(container),
    }


def state(container: Container) -> Json:
    """Return what is true of a container now."""
    now = container.state
    return {
        "Status": now.status,
        "Running": now.status in RUNNING,
        "Paused": now.status == "paused",
        "Restarting": now.status == "restarting",
        "OOMKilled": now.oom_killed,
        "Dead": now.status == "dead",
        "Pid": now.pid,
        "ExitCode": now.exit_code,
        "Error": now.error,
        "StartedAt": rfc3339(now.started_at_ns),
        "FinishedAt": rfc3339(now.finished_at_ns),
    }


def config(container: Container) -> Json:
    """Return the portable half of a container's configuration."""
    asked = container.config
    result: Json = {
        "Hostname": asked.hostname,
        "Domainname": asked.domainname,
        "User": asked.user,
        "AttachStdin": asked.attach_stdin,
        "AttachStdout": asked.attach_stdout,
        "AttachStderr": asked.attach_stderr,
        "Tty": asked.tty,
        "OpenStdin": asked.open_stdin,
        "StdinOnce": asked.stdin_once,
        "Env": asked.env,
        "Cmd": asked.cmd,
        "Image": asked.image,
        "Volumes": {path: {} for path in asked.volumes} or None,
        "WorkingDir": asked.working_dir,
        "Entrypoint": asked.entrypoint or None,
        "OnBuild": None,
        "Labels": asked.labels,
    }
    if asked.exposed_ports:
        result["ExposedPorts"] = {port: {} for port in asked.exposed_ports}
    if asked.stop_signal:
        result["StopSignal"] = asked.stop_signal
    if asked.stop_timeout_seconds is not None:
        result["StopTimeout"] = asked.stop_timeout_seconds
    return result


def host_config(container: Container) -> Json:
    """Return what a container may use of this machine."""
    asked = container.host_config
    log_options = {"max-size": str(asked.log_max_bytes), "max-file": str(asked.log_max_files)}
    return {
        "Binds": [_bind(mount) for mount in container.mounts if mount.kind != "tmpfs"] or None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": asked.log_driver, "Config": log_options if asked.log_max_bytes else {}},
        "NetworkMode": asked.network_mode,
        "PortBindings": placement.port_bindings(asked),
        "RestartPolicy": {
            "Name": asked.restart_policy.name,
            "MaximumRetryCount": asked.restart_policy.maximum_retries,
        },
        "AutoRemove": asked.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": [0, 0],
        "CapAdd": asked.cap_add or None,
        "CapDrop": asked.cap_drop or None,
        "CgroupnsMode": "private",
        "Dns": asked.dns,
        "DnsOptions": asked.dns_options,
        "DnsSearch": asked.dns_search,
        "ExtraHosts": asked.extra_hosts or None,
        "GroupAdd": asked.group_add or None,
        "IpcMode": "private",
        "Cgroup": "",
        "Links": placement.links(container),
        "OomScoreAdj": asked.oom_score_adj,
        "PidMode": "",
        "Privileged": False,
        "PublishAllPorts": asked.publish_all_ports,
        "ReadonlyRootfs": asked.readonly_rootfs,
        "SecurityOpt": _security_options(asked),
        "Tmpfs": asked.tmpfs or None,
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": asked.shm_size_bytes,
        "Sysctls": asked.sysctls or None,
        "Runtime": "nbcontainers",
        "Isolation": "",
        **_limits(asked),
        "MaskedPaths": MASKED_PATHS,
        "ReadonlyPaths": READONLY_PATHS,
    }


def _limits(asked: HostConfig) -> Json:
    return {
        "CpuShares": asked.cpu_shares,
        "Memory": asked.memory_bytes,
        "NanoCpus": asked.nano_cpus,
        "CgroupParent": "",
        "BlkioWeight": asked.blkio_weight,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": _throttles(asked.blkio_read_bps),
        "BlkioDeviceWriteBps": _throttles(asked.blkio_write_bps),
        "BlkioDeviceReadIOps": _throttles(asked.blkio_read_iops),
        "BlkioDeviceWriteIOps": _throttles(asked.blkio_write_iops),
        "CpuPeriod": asked.cpu_period_usec,
        "CpuQuota": asked.cpu_quota_usec,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": asked.cpuset_cpus,
        "CpusetMems": asked.cpuset_mems,
        "Devices": [],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": asked.memory_reservation_bytes,
        "MemorySwap": asked.memory_swap_bytes,
        "MemorySwappiness": None,
        "OomKillDisable": asked.oom_kill_disable,
        "PidsLimit": asked.pids_limit or None,
        "Ulimits": [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in asked.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _throttles(devices: tuple[ThrottleDevice, ...]) -> list[Json]:
    return [{"Path": device.path, "Rate": device.rate} for device in devices]


def _security_options(asked: HostConfig) -> list[str] | None:
    options = ["no-new-privileges"] if asked.no_new_privileges else []
    return [*options, "seccomp=unconfined"] if asked.seccomp_unconfined else options or None


def _bind(mount: MountPoint) -> str:
    return f"{mount.name or mount.source}:{mount.destination}" + (":ro" if mount.read_only else "")


def mount_point(mount: MountPoint) -> Json:
    """Return one mount as it was resolved."""
    result: Json = {
        "Type": mount.kind,
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
        "Propagation": mount.propagation,
    }
    return {"Type": mount.kind, "Name": mount.name, **result, "Driver": "local"} if mount.kind == "volume" else result


def _sizes(sizes: Sizes | None) -> Json:
    return {} if sizes is None else {"SizeRw": sizes.rw_bytes, "SizeRootFs": sizes.root_fs_bytes}


def summary(container: Container, sizes: Sizes | None = None) -> Json:
    """Return one row of ``docker ps``; with sizes, of ``docker ps --size``."""
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.config.image,
        "ImageID": container.image_id,
        "Command": " ".join(f"'{word}'" if " " in word else word for word in (container.path, *container.args)),
        "Created": container.created_ns // 10**9,
        "Ports": placement.port_summary(container),
        **_sizes(sizes),
        "Labels": container.config.labels,
        "State": container.state.status,
        "Status": status_text(container, time.time_ns()),
        "HostConfig": {"NetworkMode": container.host_config.network_mode},
        "NetworkSettings": {"Networks": placement.networks(container)},
        "Mounts": [mount_point(mount) for mount in container.mounts],
    }


def status_text(container: Container, now_ns: int) -> str:
    """Return the sentence in the column STATUS of ``docker ps``."""
    now = container.state
    if now.status in ("running", "paused"):
        up = f"Up {age((now_ns - now.started_at_ns) / 10**9)}"
        return f"{up} (Paused)" if now.status == "paused" else up
    if now.status == "restarting":
        return f"Restarting ({now.exit_code}) {age((now_ns - now.finished_at_ns) / 10**9)} ago"
    if now.status == "exited":
        return f"Exited ({now.exit_code}) {age((now_ns - now.finished_at_ns) / 10**9)} ago"
    return {"created": "Created", "dead": "Dead", "removing": "Removal In Progress"}[now.status]

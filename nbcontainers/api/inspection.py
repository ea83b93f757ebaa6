"""What a container is, in Docker's JSON: the answers of ``GET /containers/{id}/json`` and ``GET /containers/json``.

Source: Docker Engine API v1.47, ``ContainerInspectResponse``, ``ContainerSummary``, ``HostConfig``.
"""

import posixpath
import time
from typing import TYPE_CHECKING

from nbcontainers.api import mounts, placement
from nbcontainers.api.times import age, rfc3339
from nbcontainers.engine.configuration import Healthcheck, HostConfig, ThrottleDevice
from nbcontainers.engine.model import RUNNING, Container, Health, MountPoint, ProbeResult
from nbcontainers.engine.sizes import Sizes
from nbcontainers.runtime.defaults import MASKED_PATHS, READONLY_PATHS

if TYPE_CHECKING:
    from nbcontainers.engine.engine import Engine

Json = dict[str, object]


def inspect(engine: "Engine", container: Container, version: tuple[int, int], sizes: Sizes | None = None) -> Json:
    """Return everything about a container, as a version of the API has it; its sizes where they were measured."""
    directory = engine.output_directory(container)
    return {
        "Id": container.id,
        "Created": rfc3339(container.created_ns),
        "Path": container.path,
        "Args": container.args,
        "State": state(container, container.health),
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
        "AppArmorProfile": container.host_config.apparmor_profile,
        "ExecIDs": engine.execs.ids(container) or None,
        "HostConfig": {**host_config(container), "Links": placement.links(container, engine.register.by_id)},
        "GraphDriver": {"Name": "overlay2", "Data": None},
        **_sizes(sizes),
        "Mounts": mount_points(container),
        "Config": {**config(container), **(_mac_address(container) if version < (1, 44) else {})},
        "NetworkSettings": placement.network_settings(container, own_names=version < (1, 45)),
    }


def _mac_address(container: Container) -> Json:
    """Return the address that the user wants for the first network, where there is one."""
    attachment = container.networks.get(container.host_config.network_mode)
    return {"MacAddress": attachment.config.mac_address} if attachment and attachment.config.mac_address else {}


def state(container: Container, health: Health | None) -> Json:
    """Return what is true of a container now."""
    now = container.state
    shown: Json = {
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
    if health is not None:
        shown["Health"] = {
            "Status": health.status,
            "FailingStreak": health.failing_streak,
            "Log": [_probe(result) for result in health.log],
        }
    return shown


def _probe(result: ProbeResult) -> Json:
    return {
        "Start": rfc3339(result.started_at_ns),
        "End": rfc3339(result.ended_at_ns),
        "ExitCode": result.exit_code,
        "Output": result.output,
    }


def _healthcheck(healthcheck: Healthcheck) -> Json:
    """Return a health check; what is left to its default is left out, as in Docker."""
    shown: Json = {
        "Test": healthcheck.test,
        "Interval": healthcheck.interval_ns,
        "Timeout": healthcheck.timeout_ns,
        "StartPeriod": healthcheck.start_period_ns,
        "StartInterval": healthcheck.start_interval_ns,
        "Retries": healthcheck.retries,
    }
    return {name: value for name, value in shown.items() if value}


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
        "OnBuild": asked.on_build or None,
        "Labels": asked.labels,
    }
    if asked.exposed_ports:
        result["ExposedPorts"] = {port: {} for port in asked.exposed_ports}
    if asked.healthcheck is not None:
        result["Healthcheck"] = _healthcheck(asked.healthcheck)
    if asked.shell:
        result["Shell"] = asked.shell
    if asked.stop_signal:
        result["StopSignal"] = asked.stop_signal
    if asked.stop_timeout_seconds is not None:
        result["StopTimeout"] = asked.stop_timeout_seconds
    return result


def host_config(container: Container) -> Json:
    """Return what a container may use of this machine."""
    asked = container.host_config
    namespaces = asked.namespaces
    result: Json = {
        "Binds": [mount.text for mount in asked.mounts if mount.text] or None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": asked.log_driver, "Config": asked.log_options},
        "NetworkMode": asked.network_mode,
        "PortBindings": placement.port_bindings(asked),
        "RestartPolicy": {
            "Name": asked.restart_policy.name,
            "MaximumRetryCount": asked.restart_policy.maximum_retries,
        },
        "AutoRemove": asked.auto_remove,
        "VolumeDriver": asked.volume_driver,
        "VolumesFrom": asked.volumes_from or None,
        "ConsoleSize": asked.console_size,
        "CapAdd": asked.cap_add or None,
        "CapDrop": asked.cap_drop or None,
        "CgroupnsMode": namespaces.cgroup,
        "Dns": asked.dns,
        "DnsOptions": asked.dns_options,
        "DnsSearch": asked.dns_search,
        "ExtraHosts": asked.extra_hosts or None,
        "GroupAdd": asked.group_add or None,
        "IpcMode": namespaces.ipc,
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": asked.oom_score_adj,
        "PidMode": namespaces.pid,
        "Privileged": asked.privileged,
        "PublishAllPorts": asked.publish_all_ports,
        "ReadonlyRootfs": asked.readonly_rootfs,
        "SecurityOpt": asked.security_opt or None,
        "UTSMode": namespaces.uts,
        "UsernsMode": namespaces.user,
        "ShmSize": asked.shm_size_bytes,
        "Runtime": asked.runtime,
        "Isolation": asked.isolation,
        **_limits(asked),
        "MaskedPaths": _paths(asked, asked.masked_paths, MASKED_PATHS),
        "ReadonlyPaths": _paths(asked, asked.readonly_paths, READONLY_PATHS),
    }
    # What was not asked for does not stand here at all.
    optional: Json = {
        "Mounts": [mounts.shown(mount) for mount in asked.mounts if not mount.text],
        "Tmpfs": asked.tmpfs,
        "Sysctls": asked.sysctls,
        "Annotations": asked.annotations,
    }
    result |= {name: value for name, value in optional.items() if value}
    return result if asked.init is None else {**result, "Init": asked.init}


def _paths(asked: HostConfig, given: tuple[str, ...] | None, default: tuple[str, ...]) -> tuple[str, ...] | None:
    if asked.privileged:
        return None
    return default if given is None else given


def _limits(asked: HostConfig) -> Json:
    return {
        "CpuShares": asked.cpu_shares,
        "Memory": asked.memory_bytes,
        "NanoCpus": asked.nano_cpus,
        "CgroupParent": asked.cgroup_parent,
        "BlkioWeight": asked.blkio_weight,
        "BlkioWeightDevice": [{"Path": one.path, "Weight": one.weight} for one in asked.blkio_weight_devices],
        "BlkioDeviceReadBps": _throttles(asked.blkio_read_bps),
        "BlkioDeviceWriteBps": _throttles(asked.blkio_write_bps),
        "BlkioDeviceReadIOps": _throttles(asked.blkio_read_iops),
        "BlkioDeviceWriteIOps": _throttles(asked.blkio_write_iops),
        "CpuPeriod": asked.cpu_period_usec,
        "CpuQuota": asked.cpu_quota_usec,
        "CpuRealtimePeriod": asked.cpu_realtime_period_usec,
        "CpuRealtimeRuntime": asked.cpu_realtime_runtime_usec,
        "CpusetCpus": asked.cpuset_cpus,
        "CpusetMems": asked.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device.path_on_host,
                "PathInContainer": device.path_in_container,
                "CgroupPermissions": device.permissions,
            }
            for device in asked.devices
        ],
        "DeviceCgroupRules": asked.device_cgroup_rules or None,
        "DeviceRequests": None,
        "MemoryReservation": asked.memory_reservation_bytes,
        "MemorySwap": asked.memory_swap_bytes,
        "MemorySwappiness": asked.memory_swappiness,
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


def mount_points(container: Container) -> list[Json]:
    """Return a container's mounts; those of ``Tmpfs`` are not among them."""
    tmpfs = {posixpath.normpath(path) for path in container.host_config.tmpfs}
    return [mount_point(mount) for mount in container.mounts if mount.destination not in tmpfs]


def mount_point(mount: MountPoint) -> Json:
    """Return one mount as it was resolved."""
    result: Json = {
        "Type": mount.kind,
        "Source": mount.source,
        "Destination": mount.destination,
        "Mode": mount.mode,
        "RW": not mount.read_only,
        "Propagation": mount.propagation,
    }
    return {"Type": mount.kind, "Name": mount.name, **result, "Driver": "local"} if mount.kind == "volume" else result


def _sizes(sizes: Sizes | None) -> Json:
    return {} if sizes is None else {"SizeRw": sizes.rw_bytes, "SizeRootFs": sizes.root_fs_bytes}


def summary(engine: "Engine", container: Container, sizes: Sizes | None = None) -> Json:
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
        "Status": status_text(container, engine.healths.status(container), time.time_ns()),
        "HostConfig": {"NetworkMode": container.host_config.network_mode},
        "NetworkSettings": {"Networks": placement.networks(container)},
        "Mounts": mount_points(container),
    }


def status_text(container: Container, health: str, now_ns: int) -> str:
    """Return the sentence in the column STATUS of ``docker ps``."""
    now = container.state
    if now.status in ("running", "paused"):
        up = f"Up {age((now_ns - now.started_at_ns) / 10**9)}"
        if now.status == "paused":
            return f"{up} (Paused)"
        return up if health == "none" else f"{up} ({'health: starting' if health == 'starting' else health})"
    if now.status == "restarting":
        return f"Restarting ({now.exit_code}) {age((now_ns - now.finished_at_ns) / 10**9)} ago"
    if now.status == "exited":
        return f"Exited ({now.exit_code}) {age((now_ns - now.finished_at_ns) / 10**9)} ago"
    return {"created": "Created", "dead": "Dead", "removing": "Removal In Progress"}[now.status]

"""From docker's options to the body of ``POST /containers/create``."""

import json
from pathlib import Path

import click

from nbcontainers.cli import mounting, networking, values
from nbcontainers.cli.values import Json


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
    _, anonymous = mounting.binds(o["volumes"])
    return {
        "Image": image,
        "Cmd": list(command) or None,
        "Entrypoint": None if o["entrypoint"] is None else [o["entrypoint"]],
        "Env": values.environment(o["env"], o["env_file"]),
        "WorkingDir": o["workdir"],
        "User": o["user"],
        "Hostname": o["hostname"],
        "Domainname": o["domainname"],
        "MacAddress": o["mac_address"] or None,
        "Labels": values.labels((*values.lines(o["label_files"]), *o["labels"])),
        "Volumes": anonymous or None,
        "Tty": o["tty"],
        "OpenStdin": stdin or o["interactive"],
        "StdinOnce": stdin,
        "AttachStdin": stdin,
        "AttachStdout": attach,
        "AttachStderr": attach,
        "StopSignal": o["stop_signal"] or None,
        "StopTimeout": o["stop_timeout"],
        "Healthcheck": _health_check(o),
        **networking.container(o),
        "HostConfig": {
            "AutoRemove": remove,
            **networking.host_config(o),
            **_of_process(o),
            **_of_namespaces(o),
            **_of_limits(o),
            **_of_security(o),
            **_of_files(o),
        },
    }


def _health_check(o: Json) -> Json | None:
    """Return the check that was asked for; None for the image's.

    Raises:
        click.UsageError: A check was both asked for and refused.
    """
    names = ("interval", "timeout", "start_period", "start_interval")
    times = {name: o[f"health_{name}"] for name in names if o[f"health_{name}"]}
    if o["no_healthcheck"]:
        if o["health_cmd"] or times or o["health_retries"]:
            raise click.UsageError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    check: Json = {"Test": ["CMD-SHELL", o["health_cmd"]]} if o["health_cmd"] else {}
    for name, text in times.items():
        option = f"--health-{name.replace('_', '-')}"
        check[name.title().replace("_", "")] = values.duration_ns(text, option)
    if o["health_retries"]:
        check["Retries"] = o["health_retries"]
    return check or None


def _of_process(o: Json) -> Json:
    policy, _, count = o["restart"].partition(":")
    return {
        "GroupAdd": list(o["group_add"]) or None,
        "Annotations": values.pairs(o["annotations"], "--annotation") or None,
        "Init": o["init"] or None,
        "LogConfig": {"Type": o["log_driver"], "Config": values.pairs(o["log_options"], "--log-opt")},
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(count) if count.isdigit() else 0},
    }


def _of_namespaces(o: Json) -> Json:
    return {
        "PidMode": o["pid"],
        "IpcMode": o["ipc"],
        "UTSMode": o["uts"],
        "CgroupnsMode": o["cgroupns"],
        "UsernsMode": o["userns"],
    }


def _of_limits(o: Json) -> Json:
    return {
        "Memory": o["memory"],
        "MemorySwap": o["memory_swap"],
        "MemoryReservation": o["memory_reservation"],
        "MemorySwappiness": o["memory_swappiness"],
        "OomKillDisable": o["oom_kill_disable"] or None,
        "OomScoreAdj": o["oom_score_adj"],
        "NanoCpus": o["cpus"],
        "CpuShares": o["cpu_shares"],
        "CpuPeriod": o["cpu_period"],
        "CpuQuota": o["cpu_quota"],
        "CpuRealtimePeriod": o["cpu_rt_period"],
        "CpuRealtimeRuntime": o["cpu_rt_runtime"],
        "CpusetCpus": o["cpuset_cpus"],
        "CpusetMems": o["cpuset_mems"],
        "PidsLimit": o["pids_limit"] or None,
        "BlkioWeight": o["blkio_weight"],
        "BlkioWeightDevice": values.weights(o["blkio_weight_device"], "--blkio-weight-device"),
        "BlkioDeviceReadBps": values.rates(o["device_read_bps"], "--device-read-bps"),
        "BlkioDeviceWriteBps": values.rates(o["device_write_bps"], "--device-write-bps"),
        "BlkioDeviceReadIOps": values.rates(o["device_read_iops"], "--device-read-iops"),
        "BlkioDeviceWriteIOps": values.rates(o["device_write_iops"], "--device-write-iops"),
        "Ulimits": values.ulimits(o["ulimits"]) or None,
        "CgroupParent": o["cgroup_parent"],
    }


def _of_security(o: Json) -> Json:
    result: Json = {
        "Privileged": o["privileged"],
        "CapAdd": list(o["cap_add"]) or None,
        "CapDrop": list(o["cap_drop"]) or None,
        "Devices": values.devices(o["devices"]),
        "DeviceCgroupRules": list(o["device_rules"]) or None,
        "Sysctls": values.pairs(o["sysctls"], "--sysctl") or None,
        "Runtime": o["runtime"],
        "Isolation": o["isolation"],
    }
    options = list(o["security_opt"])
    if "systempaths=unconfined" in options:
        options.remove("systempaths=unconfined")
        result |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return {**result, "SecurityOpt": [_with_profile(option) for option in options] or None}


def _with_profile(option: str) -> str:
    """Put a seccomp profile's text in the place of its file's name: the engine need not be on this machine."""
    name, _, value = option.partition("=")
    if name != "seccomp" or value in ("unconfined", "builtin"):
        return option
    try:
        return f"seccomp={json.dumps(json.loads(Path(value).read_text()))}"
    except (OSError, ValueError) as error:
        raise click.UsageError(f"opening seccomp profile ({value}) failed: {error}") from error


def _of_files(o: Json) -> Json:
    binds, _ = mounting.binds(o["volumes"])
    return {
        "Binds": binds or None,
        "Mounts": [mounting.mount(text) for text in o["mounts"]] or None,
        "Tmpfs": mounting.tmpfs(o["tmpfs"]) or None,
        "VolumesFrom": list(o["volumes_from"]) or None,
        "VolumeDriver": o["volume_driver"],
        "ReadonlyRootfs": o["read_only"],
        "ShmSize": o["shm_size"],
    }

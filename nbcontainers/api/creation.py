"""From the body of ``POST /containers/create`` to what the engine is asked for.

Nothing is silently ignored: every field of Docker's that this engine does not carry out is refused as soon as it asks
for something, that is when it holds neither Docker's default nor nothing.
"""

from dataclasses import replace
from typing import Literal

import msgspec

from nbcontainers import errors
from nbcontainers.api import mounts, networking
from nbcontainers.api.calls import decode
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.model import (
    ContainerConfig,
    EndpointConfig,
    Healthcheck,
    HostConfig,
    RestartName,
    RestartPolicy,
    ThrottleDevice,
    Ulimit,
)
from nbcontainers.networks.model import BRIDGE

LogDriver = Literal["json-file", "none"]

_SUPPORTED = frozenset(wire.HostConfig.__struct_encode_fields__)

# Values that ask for what is so anyway, beside null, false, 0 and everything empty.
_DEFAULTS: dict[str, tuple[object, ...]] = {
    "CgroupnsMode": ("private",),
    "ConsoleSize": ([0, 0],),
    "IpcMode": ("private",),
    "Isolation": ("default",),
    "MemorySwappiness": (-1,),
    "Runtime": ("nbcontainers",),
    "VolumeDriver": ("local",),
}
# Docker's own fields that ask for nothing of the engine: the CLI's business.
_NOTES = frozenset(("ConsoleSize", "ContainerIDFile", "Annotations"))

_RESTART_NAMES: dict[str, RestartName] = {name: name for name in ("no", "always", "unless-stopped", "on-failure")}
_SIZE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def configuration(body: wire.CreateRequest) -> tuple[ContainerConfig, HostConfig]:
    """Return what the engine is asked for.

    Raises:
        errors.InvalidArgument: A value makes no sense.
        errors.Unsupported: A field asks for something this engine does not do.
    """
    host_config = _host_config(body.host_config)
    return _container_config(body), host_config


def _container_config(body: wire.CreateRequest) -> ContainerConfig:
    if not body.image:
        raise errors.InvalidArgument("no image specified: give the field Image")
    if body.healthcheck is not None and body.healthcheck.test and body.healthcheck.test != ["NONE"]:
        raise errors.Unsupported("health checks come later: leave Healthcheck out")
    if body.network_disabled:
        raise errors.Unsupported("NetworkDisabled is not supported: use the network mode 'none'")
    if body.on_build or body.shell:
        raise errors.Unsupported("OnBuild and Shell belong to images, not to containers")
    return ContainerConfig(
        image=body.image,
        hostname=body.hostname or "",
        domainname=body.domainname or "",
        user=body.user or "",
        attach_stdin=bool(body.attach_stdin),
        attach_stdout=bool(body.attach_stdout),
        attach_stderr=bool(body.attach_stderr),
        tty=bool(body.tty),
        open_stdin=bool(body.open_stdin),
        stdin_once=bool(body.stdin_once),
        env=tuple(body.env or ()),
        cmd=_words(body.cmd),
        entrypoint=_words(body.entrypoint),
        working_dir=body.working_dir or "",
        labels=body.labels or {},
        exposed_ports=networking.exposed_ports(body.exposed_ports or ()),
        volumes=tuple(body.volumes or ()),
        stop_signal=body.stop_signal or "",
        stop_timeout_seconds=body.stop_timeout,
        healthcheck=_healthcheck(body.healthcheck),
    )


def _healthcheck(asked: wire.Healthcheck | None) -> Healthcheck | None:
    if asked is None:
        return None
    return Healthcheck(
        test=tuple(asked.test or ()),
        interval_ns=asked.interval,
        timeout_ns=asked.timeout,
        start_period_ns=asked.start_period,
        start_interval_ns=asked.start_interval,
        retries=asked.retries,
    )


def restart_policy(asked: wire.RestartPolicy | None) -> RestartPolicy:
    """Return a restart policy as the engine has it.

    Raises:
        errors.InvalidArgument: There is none of this name.
    """
    if asked is None or not asked.name:
        return RestartPolicy()
    name = _RESTART_NAMES.get(asked.name)
    if name is None:
        raise errors.InvalidArgument(f"invalid restart policy '{asked.name}': {', '.join(_RESTART_NAMES)} are known")
    return RestartPolicy(name=name, maximum_retries=asked.maximum_retry_count)


def _words(given: list[str] | str | None) -> tuple[str, ...] | None:
    """Return a command as words; Docker takes a single text for a single word."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


def _host_config(raw: msgspec.Raw) -> HostConfig:
    text = bytes(raw)
    if text == b"null":
        text = b"{}"
    asked = decode(text, wire.HostConfig, "HostConfig")
    if asked.links:
        raise errors.Unsupported("links come later")
    _refuse_unsupported(decode(text, dict[str, object], "HostConfig"))
    no_new_privileges, seccomp_unconfined = _security(asked.security_opt or [])
    log_driver, log_max_bytes, log_max_files = _log_config(asked.log_config or wire.LogConfig())
    return HostConfig(
        mounts=mounts.of_request(asked.binds or [], asked.mounts or []),
        network_mode=network_mode(asked.network_mode or ""),
        port_bindings=networking.port_bindings(asked.port_bindings or {}),
        publish_all_ports=bool(asked.publish_all_ports),
        links=tuple(asked.links or ()),
        auto_remove=bool(asked.auto_remove),
        restart_policy=restart_policy(asked.restart_policy),
        memory_bytes=asked.memory or 0,
        memory_swap_bytes=asked.memory_swap or 0,
        memory_reservation_bytes=asked.memory_reservation or 0,
        oom_kill_disable=bool(asked.oom_kill_disable),
        oom_score_adj=asked.oom_score_adj or 0,
        nano_cpus=asked.nano_cpus or 0,
        cpu_shares=asked.cpu_shares or 0,
        cpu_quota_usec=asked.cpu_quota or 0,
        cpu_period_usec=asked.cpu_period or 0,
        cpuset_cpus=asked.cpuset_cpus or "",
        cpuset_mems=asked.cpuset_mems or "",
        pids_limit=asked.pids_limit or 0,
        blkio_weight=asked.blkio_weight or 0,
        blkio_read_bps=_throttles(asked.blkio_device_read_bps),
        blkio_write_bps=_throttles(asked.blkio_device_write_bps),
        blkio_read_iops=_throttles(asked.blkio_device_read_iops),
        blkio_write_iops=_throttles(asked.blkio_device_write_iops),
        cap_add=tuple(asked.cap_add or ()),
        cap_drop=tuple(asked.cap_drop or ()),
        readonly_rootfs=bool(asked.readonly_rootfs),
        no_new_privileges=no_new_privileges,
        seccomp_unconfined=seccomp_unconfined,
        tmpfs=asked.tmpfs or {},
        shm_size_bytes=asked.shm_size or 64 << 20,
        ulimits=tuple(Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in asked.ulimits or ()),
        sysctls=asked.sysctls or {},
        extra_hosts=tuple(asked.extra_hosts or ()),
        dns=tuple(asked.dns or ()),
        dns_search=tuple(asked.dns_search or ()),
        dns_options=tuple(asked.dns_options or ()),
        group_add=tuple(asked.group_add or ()),
        log_driver=log_driver,
        log_max_bytes=log_max_bytes,
        log_max_files=log_max_files,
    )


def _refuse_unsupported(given: dict[str, object]) -> None:
    """Refuse every field that asks for something and that nothing here reads."""
    for name, value in given.items():
        if name in _SUPPORTED or name in _NOTES or not value or value in _DEFAULTS.get(name, ()):
            continue
        text = msgspec.json.encode(value).decode()
        raise errors.Unsupported(f"HostConfig.{name} is not supported by this engine: '{text}'")


def network_mode(name: str) -> str:
    """Return the name of the network for a mode as clients give it: one of Docker's words, or a network's."""
    return BRIDGE if name in ("", "default") else name


def endpoints(body: wire.CreateRequest, mode: str) -> dict[str, EndpointConfig]:
    """Return what the container wants in networks, by their names.

    A hardware address may stand outside of them: it is for the network of the mode.

    Raises:
        errors.InvalidArgument: A value makes no sense, or there are two hardware addresses.
    """
    given = (body.networking_config and body.networking_config.endpoints_config) or {}
    found = {network_mode(name): networking.endpoint(asked) for name, asked in given.items()}
    if mac := networking.mac_address(body.mac_address or ""):
        own = found.get(mode, EndpointConfig())
        if own.mac_address not in ("", mac):
            raise errors.InvalidArgument(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
                "or be left empty"
            )
        found[mode] = replace(own, mac_address=mac)
    return found


def _security(options: list[str]) -> tuple[bool, bool]:
    """Return whether new privileges are forbidden, and whether seccomp is off."""
    no_new_privileges = seccomp_unconfined = False
    for option in options:
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            no_new_privileges = value != "false"
        elif (name, value) == ("seccomp", "unconfined"):
            seccomp_unconfined = True
        elif (name, value) not in (("seccomp", "builtin"), ("apparmor", "unconfined"), ("label", "disable")):
            raise errors.Unsupported(f"the security option is not supported by this engine: '{option}'")
    return no_new_privileges, seccomp_unconfined


def _log_config(asked: wire.LogConfig) -> tuple[LogDriver, int, int]:
    """Return the driver, the size of a log file (0: the engine's own) and how many there may be."""
    options = dict(asked.config or {})
    if asked.type not in ("", "json-file", "none"):
        raise errors.Unsupported(f"the log driver is not supported by this engine: '{asked.type}'")
    size = _size(options.pop("max-size", "0"), "max-size")
    files = options.pop("max-file", "1")
    if options:
        raise errors.Unsupported(f"the log option is not supported by this engine: '{next(iter(options))}'")
    if not files.isdigit() or int(files) < 1:
        raise errors.InvalidArgument(f"invalid value '{files}' for max-file: a whole number from 1 is wanted")
    if int(files) > 1 and not size:
        raise errors.InvalidArgument("max-file needs max-size")
    return "none" if asked.type == "none" else "json-file", size, int(files)


def _size(text: str, what: str) -> int:
    """Read a size such as ``10m``: a number and one of b, k, m, g, 1024 apart."""
    lowered = text.strip().lower()
    digits = lowered.rstrip("bkmg")
    unit = lowered[len(digits) :].removesuffix("b") if len(lowered) - len(digits) > 1 else lowered[len(digits) :]
    if not digits.isdigit() or unit not in _SIZE_UNITS:
        raise errors.InvalidArgument(f"invalid value '{text}' for {what}: a size such as 10m is wanted")
    return int(digits) * _SIZE_UNITS[unit]


def _throttles(devices: list[wire.ThrottleDevice] | None) -> tuple[ThrottleDevice, ...]:
    return tuple(ThrottleDevice(path=device.path, rate=device.rate) for device in devices or ())

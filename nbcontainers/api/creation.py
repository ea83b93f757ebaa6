"""From the body of ``POST /containers/create`` to what the engine is asked for.

Nothing is silently ignored: every field of Docker's that this engine does not carry out is refused as soon as it asks
for something, that is when it holds neither Docker's default nor nothing.
"""

import ipaddress
from dataclasses import replace

import msgspec

from nbcontainers import errors
from nbcontainers.api import log_options, mounts, namespaces, networking, security
from nbcontainers.api.calls import decode
from nbcontainers.api.wire import requests as wire
from nbcontainers.engine.configuration import (
    ContainerConfig,
    Device,
    EndpointConfig,
    Healthcheck,
    HostConfig,
    RestartName,
    RestartPolicy,
    ThrottleDevice,
    Ulimit,
    WeightDevice,
)
from nbcontainers.engine.files import HOST_GATEWAY
from nbcontainers.linux import cgroups
from nbcontainers.networks.model import BRIDGE

RUNTIMES = ("runc", "io.containerd.runc.v2", "nbcontainers")
"""The names of the one runtime there is: those that clients of Docker know, the default one first, and its own."""

_SUPPORTED = frozenset(wire.HostConfig.__struct_encode_fields__)

_RESTART_NAMES: dict[str, RestartName] = {name: name for name in ("no", "always", "unless-stopped", "on-failure")}


def configuration(body: wire.CreateRequest, version: tuple[int, int]) -> tuple[ContainerConfig, HostConfig]:
    """Return what the engine is asked for, in a version of the API.

    Raises:
        errors.InvalidArgument: A value makes no sense.
        errors.Unsupported: A field asks for something this engine does not do.
    """
    _check_environment(body.env or [])
    host_config = _host_config(body, version)
    return _container_config(body), host_config


def _container_config(body: wire.CreateRequest) -> ContainerConfig:
    if not body.image:
        raise errors.InvalidArgument("no image specified: give the field Image")
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
        shell=tuple(body.shell or ()),
        on_build=tuple(body.on_build or ()),
        stop_timeout_seconds=body.stop_timeout,
        healthcheck=_healthcheck(body.healthcheck),
    )


def _healthcheck(asked: wire.Healthcheck | None) -> Healthcheck | None:
    if asked is None:
        return None
    return Healthcheck(
        test=tuple(asked.test or ()),
        interval_ns=asked.interval or 0,
        timeout_ns=asked.timeout or 0,
        start_period_ns=asked.start_period or 0,
        start_interval_ns=asked.start_interval or 0,
        retries=asked.retries or 0,
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
    return RestartPolicy(name=name, maximum_retries=asked.maximum_retry_count or 0)


def _words(given: list[str] | str | None) -> tuple[str, ...] | None:
    """Return a command as words; Docker takes a single text for a single word."""
    if given is None:
        return None
    return (given,) if isinstance(given, str) else tuple(given)


def _host_config(body: wire.CreateRequest, version: tuple[int, int]) -> HostConfig:
    text = bytes(body.host_config)
    if text == b"null":
        text = b"{}"
    asked = decode(text, wire.HostConfig, "HostConfig")
    _refuse_unsupported(decode(text, dict[str, object], "HostConfig"))
    _refuse_impossible(asked)
    namespaces.check_together(body, asked)
    options = security.read(asked.security_opt or [])
    log = asked.log_config or wire.LogConfig()
    log_files = log_options.read(log.type, log.config or {})
    return HostConfig(
        mounts=mounts.of_request(asked.binds or [], asked.mounts or []),
        volumes_from=tuple(asked.volumes_from or ()),
        volume_driver=asked.volume_driver or "",
        network_mode="none" if body.network_disabled else network_mode(asked.network_mode or ""),
        namespaces=namespaces.of_request(asked, version, host_cgroups=cgroups.detect().version == 1),
        cgroup_parent=asked.cgroup_parent or "",
        port_bindings=networking.port_bindings(asked.port_bindings or {}),
        publish_all_ports=bool(asked.publish_all_ports),
        links=tuple(asked.links or ()),
        auto_remove=bool(asked.auto_remove),
        restart_policy=restart_policy(asked.restart_policy),
        privileged=bool(asked.privileged),
        init=asked.init,
        runtime=asked.runtime or RUNTIMES[0],
        isolation=asked.isolation or "",
        annotations=asked.annotations or {},
        console_size=asked.console_size or (0, 0),
        memory_bytes=asked.memory or 0,
        memory_swap_bytes=asked.memory_swap or 0,
        memory_reservation_bytes=asked.memory_reservation or 0,
        memory_swappiness=None if asked.memory_swappiness == -1 else asked.memory_swappiness,
        oom_kill_disable=bool(asked.oom_kill_disable),
        oom_score_adj=asked.oom_score_adj or 0,
        nano_cpus=asked.nano_cpus or 0,
        cpu_shares=asked.cpu_shares or 0,
        cpu_quota_usec=asked.cpu_quota or 0,
        cpu_period_usec=asked.cpu_period or 0,
        cpu_realtime_period_usec=asked.cpu_realtime_period or 0,
        cpu_realtime_runtime_usec=asked.cpu_realtime_runtime or 0,
        cpuset_cpus=asked.cpuset_cpus or "",
        cpuset_mems=asked.cpuset_mems or "",
        pids_limit=asked.pids_limit or 0,
        blkio_weight=asked.blkio_weight or 0,
        blkio_weight_devices=tuple(
            WeightDevice(path=device.path, weight=device.weight) for device in asked.blkio_weight_device or ()
        ),
        blkio_read_bps=_throttles(asked.blkio_device_read_bps),
        blkio_write_bps=_throttles(asked.blkio_device_write_bps),
        blkio_read_iops=_throttles(asked.blkio_device_read_iops),
        blkio_write_iops=_throttles(asked.blkio_device_write_iops),
        devices=tuple(_device(device) for device in asked.devices or ()),
        device_cgroup_rules=tuple(asked.device_cgroup_rules or ()),
        cap_add=tuple(asked.cap_add or ()),
        cap_drop=tuple(asked.cap_drop or ()),
        readonly_rootfs=bool(asked.readonly_rootfs),
        security_opt=(*(asked.security_opt or ()), *security.implied(asked)),
        no_new_privileges=options.no_new_privileges,
        seccomp_profile=options.seccomp_profile,
        apparmor_profile=options.apparmor_profile,
        writable_cgroups=bool(asked.privileged) if options.writable_cgroups is None else options.writable_cgroups,
        masked_paths=() if options.unmasked else _optional(asked.masked_paths),
        readonly_paths=() if options.unmasked else _optional(asked.readonly_paths),
        tmpfs=asked.tmpfs or {},
        shm_size_bytes=asked.shm_size or 64 << 20,
        ulimits=tuple(Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in asked.ulimits or ()),
        sysctls=asked.sysctls or {},
        extra_hosts=tuple(_extra_host(entry) for entry in asked.extra_hosts or ()),
        dns=tuple(_name_server(address) for address in asked.dns or ()),
        dns_search=tuple(asked.dns_search or ()),
        dns_options=tuple(asked.dns_options or ()),
        group_add=tuple(asked.group_add or ()),
        log_driver=log_files.driver,
        log_options=log.config or {},
        log_max_bytes=log_files.max_bytes,
        log_max_files=log_files.max_files,
        log_compress=log_files.compress,
    )


def _check_environment(env: list[str]) -> None:
    for entry in env:
        if not entry.partition("=")[0]:
            raise errors.InvalidArgument(f"invalid environment variable: {entry}")


def _optional(paths: list[str] | None) -> tuple[str, ...] | None:
    return None if paths is None else tuple(paths)


def _refuse_impossible(asked: wire.HostConfig) -> None:
    """Refuse what no engine on Linux can do, and what belongs to parts that this engine has not got.

    Fields for Windows that Docker takes no notice of on Linux are no matter.
    """
    if asked.isolation and asked.isolation.lower() != "default":
        raise errors.InvalidArgument(f"invalid isolation ({asked.isolation}): linux only supports 'default'")
    if asked.runtime and asked.runtime not in RUNTIMES:
        raise errors.InvalidArgument(f"unknown or invalid runtime name: {asked.runtime}")
    if "" in (asked.annotations or {}):
        raise errors.InvalidArgument("invalid Annotations: the empty string is not permitted as an annotation key")
    if asked.storage_opt:
        name = next(iter(asked.storage_opt))
        raise errors.InvalidArgument(
            f"--storage-opt is supported only for overlay over xfs with 'pquota' mount option: '{name}'"
        )
    if asked.device_requests:
        wanted = [word for request in asked.device_requests for word in _words_of(request.get("Capabilities"))]
        driver = str(asked.device_requests[0].get("Driver") or "")
        raise errors.InvalidArgument(
            f'could not select device driver "{driver}" with capabilities: [[{" ".join(wanted)}]]'
        )
    for entry in asked.volumes_from or ():
        mounts.volumes_from(entry)


def _words_of(capabilities: object) -> list[str]:
    lists = capabilities if isinstance(capabilities, list) else []
    return [str(word) for words in lists if isinstance(words, list) for word in words]


def _device(asked: wire.DeviceMapping) -> Device:
    if not asked.path_on_host.startswith("/"):
        raise errors.InvalidArgument(
            f'error gathering device information while adding custom device "{asked.path_on_host}": no such file or '
            f"directory"
        )
    permissions = asked.cgroup_permissions or "rwm"
    if set(permissions) - set("rwm"):
        raise errors.InvalidArgument(f"invalid device permissions '{permissions}': of r, w and m are wanted")
    return Device(
        path_on_host=asked.path_on_host,
        path_in_container=asked.path_in_container or asked.path_on_host,
        permissions=permissions,
    )


def _extra_host(entry: str) -> str:
    """Check ``NAME:ADDRESS``, which may have an equals sign in the middle."""
    separator = "=" if "=" in entry else ":"
    name, given, address = entry.partition(separator)
    if not given or not name:
        raise errors.InvalidArgument(f'bad format for add-host: "{entry}"')
    bare = address.removeprefix("[").removesuffix("]") if address.startswith("[") else address
    if bare != HOST_GATEWAY and not _is_address(bare):
        raise errors.InvalidArgument(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{bare}"


def _name_server(address: str) -> str:
    if not _is_address(address):
        raise errors.InvalidArgument(f"{address} is not an ip address")
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _refuse_unsupported(given: dict[str, object]) -> None:
    """Refuse every field that asks for something and that nothing here reads."""
    for name, value in given.items():
        if name in _SUPPORTED or not value:
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


def _throttles(devices: list[wire.ThrottleDevice] | None) -> tuple[ThrottleDevice, ...]:
    return tuple(ThrottleDevice(path=device.path, rate=device.rate) for device in devices or ())

"""From the body of a create request to the engine's types."""

import json
from typing import Any

import msgspec
import pytest

from nbcontainers import errors
from nbcontainers.api import creation, mounts
from nbcontainers.api.wire.requests import CreateRequest
from nbcontainers.engine.model import BindMount, ContainerConfig, HostConfig

# What docker CLI 28 sends for `docker run --rm busybox true`, less what has its own test.
CLI_HOST_CONFIG: dict[str, Any] = json.loads(
    """{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"default",
    "PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":true,"VolumeDriver":"",
    "VolumesFrom":null,"ConsoleSize":[24,80],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],
    "DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,
    "OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,
    "SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":67108864,
    "NanoCpus":500000000,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],
    "MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,"MaskedPaths":null}"""
)


def convert(host_config: object = None, **fields: object) -> tuple[ContainerConfig, HostConfig]:
    body = {"Image": "host", "HostConfig": host_config, **fields}
    return creation.configuration(msgspec.json.decode(json.dumps(body), type=CreateRequest))


def test_what_the_docker_cli_sends() -> None:
    endpoint = {"IPAMConfig": None, "Aliases": None, "MacAddress": "", "GwPriority": 0, "IPPrefixLen": 0}
    networking = {"EndpointsConfig": {"default": endpoint}}
    config, host = convert(CLI_HOST_CONFIG, Cmd=["true"], Entrypoint=None, Env=None, NetworkingConfig=networking)
    assert config.cmd == ("true",)
    assert config.entrypoint is None
    assert host.auto_remove
    assert (host.memory_bytes, host.nano_cpus, host.network_mode) == (64 << 20, 500_000_000, "bridge")
    assert host.shm_size_bytes == 64 << 20


def test_the_least() -> None:
    config, host = creation.configuration(msgspec.json.decode(b'{"Image":"x"}', type=CreateRequest))
    assert config.image == "x"
    assert host == HostConfig()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Privileged", True),
        ("Devices", [{"PathOnHost": "/dev/null"}]),
        ("PidMode", "host"),
        ("UsernsMode", "host"),
        ("VolumesFrom", ["x"]),
        ("MaskedPaths", ["/x"]),
        ("Init", True),
        ("MemorySwappiness", 60),
        ("SomethingNew", "x"),
        ("SecurityOpt", ["seccomp={}"]),
        ("LogConfig", {"Type": "syslog"}),
        ("LogConfig", {"Type": "json-file", "Config": {"labels": "x"}}),
    ],
)
def test_nothing_is_silently_ignored(field: str, value: object) -> None:
    with pytest.raises(errors.Unsupported):
        convert({field: value})


@pytest.mark.parametrize(
    "fields",
    [
        {"Healthcheck": {"Test": ["CMD", "true"]}},
        {"NetworkDisabled": True},
    ],
)
def test_nothing_is_ignored_outside_the_host_config_either(fields: dict[str, object]) -> None:
    with pytest.raises(errors.Unsupported):
        convert(None, **fields)


def test_log_options() -> None:
    _, host = convert({"LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}})
    assert (host.log_max_bytes, host.log_max_files) == (10 << 20, 3)
    for options in ({"max-size": "ten"}, {"max-size": "1m", "max-file": "0"}, {"max-file": "2"}):
        with pytest.raises(errors.InvalidArgument):
            convert({"LogConfig": {"Type": "json-file", "Config": options}})


def test_security_options() -> None:
    _, host = convert({"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]})
    assert host.no_new_privileges
    assert host.seccomp_unconfined


@pytest.mark.parametrize(
    ("bind", "mount"),
    [
        ("/a:/b", BindMount(kind="bind", source="/a", destination="/b", make_source=True)),
        (
            "/a:/b:ro,rslave",
            BindMount(
                kind="bind", source="/a", destination="/b", read_only=True, propagation="rslave", make_source=True
            ),
        ),
        ("data:/b:nocopy", BindMount(kind="volume", source="data", destination="/b", copy_up=False)),
        ("/a:/b:Z,cached", BindMount(kind="bind", source="/a", destination="/b", make_source=True)),
    ],
)
def test_binds(bind: str, mount: BindMount) -> None:
    assert mounts.short(bind) == mount


@pytest.mark.parametrize("bind", ["/a", "/a:b", ":/b", "/a:/b:ro:rw", "/a:/b:fast", "./a:/b", "data:/b:rslave"])
def test_binds_that_are_refused(bind: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        mounts.short(bind)


def test_mounts() -> None:
    _, host = convert(
        {
            "Mounts": [
                {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
                {"Type": "volume", "Source": "vol", "Target": "/c", "VolumeOptions": {"NoCopy": True}},
                {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448}},
            ]
        }
    )
    assert host.mounts == (
        BindMount(kind="bind", source="/a", destination="/b", read_only=True),
        BindMount(kind="volume", source="vol", destination="/c", copy_up=False),
        BindMount(kind="tmpfs", source="", destination="/d", options="size=4096,mode=700"),
    )


@pytest.mark.parametrize(
    "mount",
    [
        {"Type": "npipe", "Target": "/b"},
        {"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"NonRecursive": True}},
        {"Type": "volume", "Target": "/b", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}},
    ],
)
def test_mounts_that_are_not_supported(mount: dict[str, object]) -> None:
    with pytest.raises(errors.Unsupported):
        convert({"Mounts": [mount]})

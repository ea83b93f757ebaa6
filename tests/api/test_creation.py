"""From the body of a create request to the engine's types."""

import json
from typing import Any

import msgspec
import pytest

from nbcontainers import errors
from nbcontainers.api import creation, mounts
from nbcontainers.api.wire.requests import CreateRequest
from nbcontainers.engine.configuration import BindMount, ContainerConfig, Device, HostConfig, Namespaces

NEWEST = (1, 47)

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
    return creation.configuration(msgspec.json.decode(json.dumps(body), type=CreateRequest), NEWEST)


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
    config, host = creation.configuration(msgspec.json.decode(b'{"Image":"x"}', type=CreateRequest), NEWEST)
    assert config.image == "x"
    assert host == HostConfig()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("SomethingNew", "x"),
        ("LogConfig", {"Type": "syslog"}),
        (
            "NetworkingConfig",
            {"EndpointsConfig": {"default": {"DriverOpts": {"com.docker.network.endpoint.sysctls": "x=1"}}}},
        ),
    ],
)
def test_nothing_is_silently_ignored(field: str, value: object) -> None:
    with pytest.raises(errors.Unsupported):
        convert({field: value})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("PidMode", "container:", "invalid PID mode: container:"),
        ("PidMode", "private", "invalid PID mode: private"),
        ("IpcMode", "public", "invalid IPC mode: public"),
        ("UTSMode", "container:x", "invalid UTS mode: container:x"),
        ("CgroupnsMode", "x", "invalid cgroup namespace mode: x"),
        ("UsernsMode", "x", "invalid USER mode: x"),
        ("NetworkMode", "container:", "invalid container format container:<name|id>"),
        ("Isolation", "hyperv", "invalid isolation (hyperv): linux only supports 'default'"),
        ("Runtime", "kata", "unknown or invalid runtime name: kata"),
        ("Annotations", {"": "x"}, "the empty string is not permitted as an annotation key"),
        ("StorageOpt", {"size": "1G"}, "--storage-opt is supported only for overlay over xfs"),
        (
            "DeviceRequests",
            [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}],
            'could not select device driver "nvidia" with capabilities: [[gpu]]',
        ),
        ("Devices", [{"PathOnHost": "dev/null"}], 'adding custom device "dev/null"'),
        ("Devices", [{"PathOnHost": "/dev/null", "CgroupPermissions": "x"}], "invalid device permissions 'x'"),
        ("SecurityOpt", ["what"], 'invalid --security-opt 1: "what"'),
        ("SecurityOpt", ["what=ever"], 'invalid --security-opt 2: "what=ever"'),
        ("SecurityOpt", ["no-new-privileges=maybe"], 'invalid --security-opt 2: "no-new-privileges=maybe"'),
        ("SecurityOpt", ["systempaths=on"], 'invalid --security-opt 2: "systempaths=on"'),
        ("VolumesFrom", [""], "volumes-from specification cannot be an empty string"),
        ("VolumesFrom", ["x:fast"], "invalid mode: fast"),
        ("VolumesFrom", ["x:rslave"], "invalid mode: rslave"),
        ("ExtraHosts", ["alone"], 'bad format for add-host: "alone"'),
        ("ExtraHosts", ["a:1.2.3"], 'invalid IP address in add-host: "1.2.3"'),
        ("Dns", ["localhost"], "localhost is not an ip address"),
        ("LogConfig", {"Type": "asdf"}, "logger: no log driver named 'asdf' is registered"),
        ("LogConfig", {"Type": "json-file", "Config": {"x": "y"}}, "unknown log opt 'x' for json-file log driver"),
        ("LogConfig", {"Type": "none", "Config": {"max-size": "1m"}}, "unknown log opt 'max-size' for none log driver"),
        ("LogConfig", {"Type": "json-file", "Config": {"max-file": "0"}}, "max-file cannot be less than 1"),
        ("LogConfig", {"Type": "json-file", "Config": {"max-size": "ten"}}, "invalid value 'ten' for max-size"),
    ],
)
def test_values_that_make_no_sense(field: str, value: object, words: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        convert({field: value})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("host_config", "fields", "words"),
    [
        ({"NetworkMode": "container:x"}, {"Hostname": "h"}, "hostname and the network mode"),
        ({"NetworkMode": "container:x", "Dns": ["1.1.1.1"]}, {}, "dns and the network mode"),
        (
            {"NetworkMode": "container:x", "ExtraHosts": ["a:1.1.1.1"]},
            {},
            "custom host-to-IP mapping and the network mode",
        ),
        (
            {"NetworkMode": "container:x"},
            {"ExposedPorts": {"80/tcp": {}}},
            "port exposing and the container type network mode",
        ),
        ({"NetworkMode": "container:x"}, {"MacAddress": "02:00:00:00:00:01"}, "mac-address and the network mode"),
        ({"UTSMode": "host"}, {"Hostname": "h"}, "hostname and the UTS mode"),
    ],
)
def test_options_that_do_not_go_together(host_config: object, fields: dict[str, object], words: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=f"conflicting options: {words}"):
        convert(host_config, **fields)


def test_what_an_image_of_the_container_is_to_have() -> None:
    config, _ = convert(None, OnBuild=["RUN true"], Shell=["sh"])
    assert (config.on_build, config.shell) == (("RUN true",), ("sh",))


def test_namespaces() -> None:
    _, host = convert({"PidMode": "container:a", "IpcMode": "container:b", "UTSMode": "host", "UsernsMode": "host"})
    assert host.namespaces == Namespaces(pid="container:a", ipc="container:b", uts="host", user="host")
    _, host = convert({"Privileged": True, "CgroupnsMode": "private"})
    assert host.namespaces == Namespaces()
    assert host.writable_cgroups


def test_a_disabled_network_is_none() -> None:
    assert convert(None, NetworkDisabled=True)[1].network_mode == "none"


def test_an_environment_without_names_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="invalid environment variable: =x"):
        convert(None, Env=["A=b", "=x"])


def test_devices_and_hosts() -> None:
    _, host = convert({"Devices": [{"PathOnHost": "/dev/null"}], "ExtraHosts": ["a=[::1]", "b:host-gateway"]})
    assert host.devices == (Device(path_on_host="/dev/null", path_in_container="/dev/null", permissions="rwm"),)
    assert host.extra_hosts == ("a:::1", "b:host-gateway")


def test_log_options() -> None:
    _, host = convert({"LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}})
    assert (host.log_max_bytes, host.log_max_files) == (10 << 20, 3)
    assert convert({"LogConfig": {"Type": "", "Config": {"max-file": "100"}}})[1].log_driver == "json-file"
    _, host = convert({"LogConfig": {"Type": "local", "Config": {"compress": "true"}}})
    assert (host.log_driver, host.log_max_bytes, host.log_max_files) == ("local", 20 << 20, 5)
    compressed = {"compress": "true", "max-size": "1m", "max-file": "2", "tag": "x", "labels-regex": "^a"}
    _, host = convert({"LogConfig": {"Type": "json-file", "Config": compressed}})
    assert (host.log_compress, host.log_options) == (True, compressed)
    with pytest.raises(errors.InvalidArgument, match="compress cannot be true when max-file is less than 2"):
        convert({"LogConfig": {"Type": "json-file", "Config": {"compress": "true", "max-size": "1m"}}})


def test_modes_of_logs() -> None:
    modes = {"mode": "non-blocking", "max-buffer-size": "4m"}
    assert convert({"LogConfig": {"Type": "local", "Config": modes}})[1].log_options == modes
    for wrong in ({"mode": "x"}, {"max-buffer-size": "4m"}, {**modes, "max-buffer-size": "x"}):
        with pytest.raises(errors.InvalidArgument):
            convert({"LogConfig": {"Type": "json-file", "Config": wrong}})


def test_security_options() -> None:
    _, host = convert(
        {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label:disable"]}
    )
    assert (host.no_new_privileges, host.seccomp_profile, host.apparmor_profile) == (True, "unconfined", "unconfined")
    _, host = convert({"SecurityOpt": ["systempaths=unconfined", "no-new-privileges:false", "seccomp={}"]})
    assert (host.masked_paths, host.readonly_paths, host.no_new_privileges) == ((), (), False)
    assert host.seccomp_profile == "{}"
    assert convert({"MaskedPaths": ["/x"], "ReadonlyPaths": None})[1].masked_paths == ("/x",)


@pytest.mark.parametrize(
    ("bind", "mount"),
    [
        ("/a:/b", BindMount(kind="bind", source="/a", destination="/b", text="/a:/b", make_source=True)),
        (
            "/a:/b:ro,rslave",
            BindMount(
                kind="bind",
                source="/a",
                destination="/b",
                text="/a:/b:ro,rslave",
                mode="ro,rslave",
                read_only=True,
                propagation="rslave",
                make_source=True,
            ),
        ),
        (
            "data:/b:nocopy",
            BindMount(
                kind="volume",
                source="data",
                destination="/b",
                text="data:/b:nocopy",
                mode="nocopy",
                copy_up=False,
            ),
        ),
        ("/anonymous", BindMount(kind="volume", source="", destination="/anonymous", text="/anonymous")),
    ],
)
def test_binds(bind: str, mount: BindMount) -> None:
    assert mounts.short(bind) == mount


@pytest.mark.parametrize(
    "bind",
    [
        "a",
        "/a:b",
        ":/b",
        "/a:ro",
        "/a:/b:ro:rw",
        "/a:/b:ro,rw",
        "/a:/b:fast",
        "./a:/b",
        "data:/b:rslave",
        "xy:/",
        "x:/b",
        "/a:/b:nocopy",
    ],
)
def test_binds_that_are_refused(bind: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        mounts.short(bind)


MOUNTS: list[tuple[dict[str, object], BindMount]] = [
    (
        {"Type": "bind", "Source": "/usr/", "Target": "/b", "ReadOnly": True, "BindOptions": {"NonRecursive": True}},
        BindMount(kind="bind", source="/usr", destination="/b", read_only=True, recursive=False),
    ),
    (
        {
            "Type": "bind",
            "Source": "/not-there",
            "Target": "/b",
            "BindOptions": {"CreateMountpoint": True, "Propagation": "rslave", "ReadOnlyNonRecursive": True},
        },
        BindMount(
            kind="bind",
            source="/not-there",
            destination="/b",
            make_source=True,
            propagation="rslave",
            read_only_below=False,
        ),
    ),
    (
        {
            "Type": "volume",
            "Source": "vol",
            "Target": "/c",
            "VolumeOptions": {
                "NoCopy": True,
                "Labels": {"a": "b"},
                "Subpath": "x/y",
                "DriverConfig": {"Name": "local"},
            },
        },
        BindMount(
            kind="volume",
            source="vol",
            destination="/c",
            copy_up=False,
            labels={"a": "b"},
            subpath="x/y",
            driver="local",
        ),
    ),
    (
        {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448, "Options": [["exec"]]}},
        BindMount(kind="tmpfs", source="", destination="/d", size_bytes=4096, file_mode=0o700, options="exec"),
    ),
]


@pytest.mark.parametrize(("given", "mount"), MOUNTS)
def test_mounts(given: dict[str, object], mount: BindMount) -> None:
    assert convert({"Mounts": [given]})[1].mounts == (mount,)
    assert mounts.shown(mount) == {**given, **({"Source": mount.source} if mount.source else {})}


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"Type": "npipe", "Target": "/b"}, 'type "npipe": mount type unknown'),
        ({"Type": "bind", "Target": "/b"}, 'type "bind": field Source must not be empty'),
        ({"Type": "bind", "Source": "/a"}, 'type "bind": field Target must not be empty'),
        ({"Type": "bind", "Source": "/usr", "Target": "/"}, "destination can't be '/'"),
        ({"Type": "bind", "Source": "a", "Target": "/b"}, "invalid mount path: 'a' mount path must be absolute"),
        ({"Type": "bind", "Source": "/usr", "Target": "b"}, "invalid mount path: 'b' mount path must be absolute"),
        ({"Type": "bind", "Source": "/not-there", "Target": "/b"}, "bind source path does not exist: /not-there"),
        (
            {"Type": "bind", "Source": "/usr", "Target": "/b", "BindOptions": {"Propagation": "up"}},
            "invalid propagation mode: up",
        ),
        (
            {"Type": "bind", "Source": "/usr", "Target": "/b", "VolumeOptions": {}},
            'type "bind": field VolumeOptions must not be specified',
        ),
        ({"Type": "volume", "Target": "/b", "VolumeOptions": {"Subpath": "x"}}, "must not set Subpath when using"),
        (
            {"Type": "volume", "Source": "vol", "Target": "/b", "VolumeOptions": {"Subpath": "../x"}},
            "subpath must be a relative path within the volume",
        ),
        ({"Type": "tmpfs", "Source": "x", "Target": "/b"}, "field Source must not be specified"),
        ({"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"Options": [["uid", "1"]]}}, "invalid option: uid"),
    ],
)
def test_mounts_that_make_no_sense(mount: dict[str, object], words: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        convert({"Mounts": [mount]})
    assert words in str(caught.value)


def test_null_in_a_mount_is_nothing_said() -> None:
    _, host = convert({"Mounts": [{"Target": "/a", "Type": "tmpfs", "Source": None, "ReadOnly": None}]})
    assert [(one.kind, one.source, one.read_only) for one in host.mounts] == [("tmpfs", "", False)]


def test_older_clients_may_share_the_ipc_namespace_of_any_container() -> None:
    body = msgspec.json.decode(b'{"Image":"x"}', type=CreateRequest)
    assert creation.configuration(body, (1, 39))[1].namespaces.ipc == "shareable"
    assert creation.configuration(body, (1, 40))[1].namespaces.ipc == "private"

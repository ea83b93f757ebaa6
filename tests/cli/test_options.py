"""The grammar of ``run``, as the body that a create request gets."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from nbcontainers.cli import mounting, values
from nbcontainers.cli.configuration import configuration
from nbcontainers.cli.options import with_options


def body(*words: str) -> dict[str, Any]:
    """Return the body of a create request for docker's options."""
    found: list[dict[str, Any]] = []

    @click.command(context_settings={"allow_interspersed_args": False})
    @with_options
    @click.argument("image")
    @click.argument("command", nargs=-1, type=click.UNPROCESSED)
    def command(image: str, command: tuple[str, ...], **options: Any) -> None:
        found.append(configuration(image, command, options, remove=False, attach=True, stdin=False))

    command.main(args=[*words, "busybox", "true"], standalone_mode=False)
    return found[0]


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--pid", "container:x"), "PidMode", "container:x"),
        (("--ipc", "host"), "IpcMode", "host"),
        (("--uts=host",), "UTSMode", "host"),
        (("--cgroupns", "private"), "CgroupnsMode", "private"),
        (("--userns", "host"), "UsernsMode", "host"),
        (("--init",), "Init", True),
        (("--group-add", "1", "--group-add", "wheel"), "GroupAdd", ["1", "wheel"]),
        (("--oom-score-adj", "-5"), "OomScoreAdj", -5),
        (("--memory-swappiness", "40"), "MemorySwappiness", 40),
        (("--cpuset-mems", "0"), "CpusetMems", "0"),
        (("--blkio-weight", "300"), "BlkioWeight", 300),
        (("--blkio-weight-device", "/dev/sda:200"), "BlkioWeightDevice", [{"Path": "/dev/sda", "Weight": 200}]),
        (("--device-read-bps", "/dev/sda:1mb"), "BlkioDeviceReadBps", [{"Path": "/dev/sda", "Rate": 1 << 20}]),
        (("--device-write-iops", "/dev/sda:99"), "BlkioDeviceWriteIOps", [{"Path": "/dev/sda", "Rate": 99}]),
        (
            ("--log-driver", "local", "--log-opt", "max-size=1m"),
            "LogConfig",
            {"Type": "local", "Config": {"max-size": "1m"}},
        ),
        (("--runtime", "runc"), "Runtime", "runc"),
        (("--annotation", "a=b"), "Annotations", {"a": "b"}),
        (("--isolation", "default"), "Isolation", "default"),
        (("--dns-search", "a.org", "--dns-option", "ndots:1"), "DnsSearch", ["a.org"]),
        (("--cgroup-parent", "/x"), "CgroupParent", "/x"),
        (("--device-cgroup-rule", "c 1:3 r"), "DeviceCgroupRules", ["c 1:3 r"]),
        (("--volumes-from", "a:ro"), "VolumesFrom", ["a:ro"]),
        (("-v", "/a:/b:ro"), "Binds", ["/a:/b:ro"]),
        (("--tmpfs", "/t:size=1m"), "Tmpfs", {"/t": "size=1m"}),
        (("--security-opt", "no-new-privileges"), "SecurityOpt", ["no-new-privileges"]),
        (("--security-opt", "systempaths=unconfined"), "MaskedPaths", []),
    ],
)
def test_options(words: tuple[str, ...], field: str, value: object) -> None:
    assert body(*words)["HostConfig"][field] == value


def test_options_outside_of_the_host_configuration() -> None:
    found = body("--domainname", "d", "--mac-address", "02:00:00:00:00:01", "-v", "/anonymous", "-l", "bare")
    assert (found["Domainname"], found["MacAddress"]) == ("d", "02:00:00:00:00:01")
    assert (found["Volumes"], found["Labels"]) == ({"/anonymous": {}}, {"bare": ""})


def test_a_seccomp_profile_is_sent_along(tmp_path: Path) -> None:
    profile = tmp_path / "p.json"
    profile.write_text('{ "defaultAction":\n "SCMP_ACT_ALLOW" }')
    [option] = body("--security-opt", f"seccomp={profile}")["HostConfig"]["SecurityOpt"]
    assert json.loads(option.removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}
    with pytest.raises(click.UsageError, match="opening seccomp profile"):
        body("--security-opt", f"seccomp={tmp_path}/none")


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:r", ("/dev/a", "/dev/a", "r")),
        ("/dev/a:/dev/b:rw", ("/dev/a", "/dev/b", "rw")),
    ],
)
def test_devices(text: str, device: tuple[str, str, str]) -> None:
    assert [tuple(one.values()) for one in values.devices((text,))] == [device]


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/a", {"Type": "volume", "Target": "/a"}),
        (
            "type=bind,src=/s,dst=/d,ro,bind-propagation=rslave",
            {
                "Type": "bind",
                "Source": "/s",
                "Target": "/d",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rslave"},
            },
        ),
        (
            "type=volume,source=v,target=/d,volume-label=a=b,volume-nocopy,volume-subpath=x,volume-opt=o=p=q",
            {
                "Type": "volume",
                "Source": "v",
                "Target": "/d",
                "VolumeOptions": {
                    "Labels": {"a": "b"},
                    "NoCopy": True,
                    "Subpath": "x",
                    "DriverConfig": {"Options": {"o": "p=q"}},
                },
            },
        ),
        (
            "type=tmpfs,destination=/d,tmpfs-size=1m,tmpfs-mode=0700",
            {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
        ),
        (
            'type=bind,"source=/a,b",target=/d,bind-recursive=writable,readonly=true',
            {
                "Type": "bind",
                "Source": "/a,b",
                "Target": "/d",
                "BindOptions": {"ReadOnlyNonRecursive": True},
                "ReadOnly": True,
            },
        ),
    ],
)
def test_the_long_form_of_mounts(text: str, mount: dict[str, object]) -> None:
    assert mounting.mount(text) == mount


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=bind,source=/a", "target is required"),
        ("target=/a,color=red", "unexpected key 'color'"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("target=/a,readonly=perhaps", "invalid value for 'readonly': 'perhaps'"),
        ('target=/a,"volume-opt=o=a,b', "unexpected end of data"),
        ("target=/a,tmpfs-size=1m", "cannot mix 'tmpfs-\\*' options with mount type 'volume'"),
        ("type=tmpfs,target=/a,tmpfs-mode=9", "invalid value for 'tmpfs-mode': '9'"),
        ("type=bind,source=/a,target=/b,bind-recursive=writable", "requires 'readonly' to be specified"),
    ],
)
def test_mounts_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(click.UsageError, match=words):
        mounting.mount(text)


def test_rates_and_devices_that_make_no_sense() -> None:
    for words in (("--device-read-bps", "sda:1"), ("--device-read-bps", "/dev/sda:fast"), ("--device", "a:b:c:d")):
        with pytest.raises(click.UsageError, match="invalid value"):
            body(*words)


def test_health_checks() -> None:
    words = ("--health-cmd", "true", "--health-interval", "1m1.5s", "--health-start-period", "200ms")
    check = {"Test": ["CMD-SHELL", "true"], "Interval": 61_500_000_000, "StartPeriod": 200_000_000, "Retries": 2}
    assert body(*words, "--health-retries", "2")["Healthcheck"] == check
    assert body("--no-healthcheck")["Healthcheck"] == {"Test": ["NONE"]}
    assert body()["Healthcheck"] is None
    with pytest.raises(click.UsageError, match="conflicts"):
        body("--no-healthcheck", *words)
    with pytest.raises(click.UsageError, match="invalid value '5' for --health-timeout"):
        body("--health-timeout", "5")

"""The host configuration, carried out for real: docker CLI and docker-py ask for it, and containers look at it."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import DriverConfig, LogConfig, Mount

from nbcontainers.linux import cgroups
from tests.engine_process import EngineProcess
from tests.leaks import identity
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.peer]
SLEEP = ("busybox", "sleep", "60")


@pytest.fixture
def donor(cli: EngineProcess) -> str:
    """A container that others share things with."""
    command = ("run", "-d", "--name", "donor", "--hostname", "donors-host", "--ipc", "shareable", *SLEEP)
    return cli.docker(*command).stdout.decode().strip()


def run(cli: EngineProcess, *options: str, shell: str) -> str:
    """Run a shell's words in a container with these options, and return what it writes."""
    return cli.docker("run", "--rm", *options, "busybox", "sh", "-c", shell).stdout.decode()


def refusal(cli: EngineProcess, *options: str) -> str:
    """Create a container that must not come about, and return why."""
    done = cli.docker("create", "--name", "refused", *options, "busybox", "true", check=False)
    assert done.returncode != 0
    assert b"refused" not in cli.docker("ps", "-a", "--format", "{{.Names}}").stdout
    return done.stderr.decode()


def failure(cli: EngineProcess, *options: str) -> str:
    """Create a container that cannot be started, and return why: the command's words, which its state has as well."""
    cli.docker("create", "--name", "failing", *options, "busybox", "true")
    done = cli.docker("start", "failing", check=False)
    assert done.returncode == 1
    state = inspect(cli, "failing")["State"]
    cli.docker("rm", "failing")
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    assert state["Error"] in done.stderr.decode()
    return str(state["Error"])


def inspect(cli: EngineProcess, name: str) -> Any:
    return json.loads(cli.docker("inspect", name).stdout)[0]


# Namespaces.


def test_the_network_of_another_container(cli: EngineProcess, donor: str) -> None:
    seen = run(cli, "--network", "container:donor", shell="hostname; ip -o -4 addr show eth0; cat /etc/hosts")
    address = inspect(cli, "donor")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert seen.startswith("donors-host\n")
    assert f"inet {address}/" in seen
    assert f"{address}\tdonors-host" in seen
    cli.docker("create", "--name", "guest", "--network", "container:donor", "busybox", "true")
    assert inspect(cli, "guest")["HostConfig"]["NetworkMode"] == f"container:{donor}"
    assert inspect(cli, "guest")["Config"]["Hostname"] == "donors-host"


def test_the_processes_of_another_container(cli: EngineProcess, donor: str) -> None:
    assert "sleep 60" in run(cli, "--pid", "container:donor", shell="ps -o args")
    cli.docker("run", "-d", "--name", "guest", "--pid", f"container:{donor[:8]}", *SLEEP)
    assert inspect(cli, "guest")["HostConfig"]["PidMode"] == f"container:{donor}"
    cli.docker("kill", "donor")
    assert cli.docker("wait", "guest").stdout == b"137\n"


def test_the_processes_of_the_host(cli: EngineProcess) -> None:
    assert run(cli, "--pid", "host", "--network", "none", shell="test $$ -gt 1 && cat /proc/1/comm").strip() == (
        Path("/proc/1/comm").read_text().strip()
    )


def test_the_shared_memory_of_another_container(cli: EngineProcess, donor: str) -> None:
    run(cli, "--ipc", "container:donor", shell="echo hello > /dev/shm/file")
    assert run(cli, "--ipc", f"container:{donor}", shell="cat /dev/shm/file; ls /dev/mqueue") == "hello\n"
    cli.docker("run", "-d", "--name", "private", *SLEEP)
    assert "non-shareable IPC" in failure(cli, "--ipc", "container:private")


def test_ipc_of_the_host_and_none(cli: EngineProcess) -> None:
    path = Path(f"/dev/shm/nbcontainers-test-{os.getpid()}")
    path.write_text("of the host\n")
    try:
        assert run(cli, "--ipc", "host", shell=f"cat {path}; readlink /proc/self/ns/ipc").splitlines() == [
            "of the host",
            os.readlink("/proc/self/ns/ipc"),
        ]
    finally:
        path.unlink()
    assert run(cli, "--ipc", "none", shell="grep -c /dev/shm /proc/mounts || true").strip() == "0"


def test_host_name_and_control_groups_of_the_host(cli: EngineProcess) -> None:
    seen = run(
        cli, "--uts", "host", "--cgroupns", "host", "--userns", "host", shell="hostname; readlink /proc/self/ns/cgroup"
    )
    assert seen.splitlines() == [os.uname().nodename, os.readlink("/proc/self/ns/cgroup")]


def test_a_container_that_is_not_there_or_does_not_run(cli: EngineProcess) -> None:
    for kind in ("--pid", "--ipc"):
        said = refusal(cli, kind, "container:nobody").lower()
        assert "no such container: nobody" in said
        assert "unable to find image" not in said  # which the CLI takes 404 for
    assert failure(cli, "--network", "container:nobody") == "No such container: nobody"
    cli.docker("create", "--name", "idle", "--ipc", "shareable", "busybox", "true")
    for kind in ("--pid", "--ipc", "--network"):
        done = cli.docker("run", "--rm", kind, "container:idle", "busybox", "true", check=False)
        assert done.returncode == 125
        assert b"not running" in done.stderr or b"non running" in done.stderr


def test_what_does_not_go_together(cli: EngineProcess, donor: str) -> None:
    assert "conflicting options: hostname and the network mode" in refusal(
        cli, "--network", "container:donor", "--hostname", "x"
    )
    assert "conflicting options: dns and the network mode" in refusal(
        cli, "--network", "container:donor", "--dns", "1.1.1.1"
    )


# Privileges.


def test_privileged(cli: EngineProcess) -> None:
    shell = (
        "grep CapEff /proc/self/status; grep -w Seccomp /proc/self/status; ls -l /dev/kmsg; "
        "mount -t tmpfs none /mnt 2>&1 || mkdir /mnt && mount -t tmpfs none /mnt && echo mounted; "
        "echo 0 > /proc/sys/net/ipv4/ip_forward && echo written; head -c 3 /proc/timer_list | wc -c"
    )
    plain, privileged = run(cli, shell=f"{shell}; true"), run(cli, "--privileged", shell=shell)
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm"))
    assert f"CapEff:\t{own.split()[1]}" in privileged
    assert "Seccomp:\t0" in privileged
    assert "/dev/kmsg" in privileged
    assert all(word in privileged and word not in plain for word in ("mounted", "written"))


def test_privileged_opens_every_device(cli: EngineProcess) -> None:
    made = (
        "mknod /tmp/full c 1 7 && head -c 3 /tmp/full | wc -c; mknod /tmp/kmsg c 1 11 && (: < /tmp/kmsg) && echo open"
    )
    assert run(cli, "--privileged", shell=made).split() == ["3", "open"]
    assert "open" not in run(cli, shell=f"{made}; true")


@pytest.mark.parametrize(
    ("options", "granted"),
    [
        (("--cap-drop", "ALL"), 0),
        (("--cap-drop", "ALL", "--cap-add", "net_bind_service"), 1 << 10),
        (("--cap-drop", "all", "--cap-add", "CAP_CHOWN"), 1),
        (("--cap-add", "SYS_TIME"), 0xA80425FB | 1 << 25),
        (("--cap-drop", "CHOWN"), 0xA80425FB & ~1),
    ],
)
def test_capabilities(cli: EngineProcess, options: tuple[str, ...], granted: int) -> None:
    assert run(cli, *options, shell="grep CapEff /proc/self/status").split()[1] == f"{granted:016x}"


def test_capabilities_that_do_not_exist(cli: EngineProcess) -> None:
    assert 'invalid CapAdd: unknown capability: "CAP_FLY"' in refusal(cli, "--cap-add", "fly")
    assert 'invalid CapDrop: unknown capability: "CAP_FLY"' in refusal(cli, "--cap-drop", "cap_fly")


def test_a_seccomp_profile(cli: EngineProcess, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rules: list[dict[str, Any]] = [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"name": "chmod", "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["sethostname"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 1, "value": 4, "op": "SCMP_CMP_EQ"}],
        },
    ]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    shell = "mkdir /x 2>&1; chmod 700 /tmp 2>&1; hostname four 2>&1; hostname five5; hostname"
    seen = run(cli, "--security-opt", f"seccomp={profile}", "--cap-add", "SYS_ADMIN", shell=shell)
    assert "Function not implemented" in seen
    assert "/tmp" not in seen
    assert "sethostname: Operation not permitted" in seen
    assert seen.endswith("five5\n")
    assert "/tmp: Operation not permitted" in run(cli, "--security-opt", f"seccomp={profile}", shell=shell)


def test_seccomp_profiles_that_are_none(cli: EngineProcess, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    for text, words in (
        ('{"defaultAction": "SCMP_ACT_DANCE"}', "invalid seccomp action 'SCMP_ACT_DANCE'"),
        ('{"syscalls": []}', "decoding seccomp profile failed"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}', "decoding seccomp profile failed"),
    ):
        profile.write_text(text)
        assert words in refusal(cli, "--security-opt", f"seccomp={profile}")


def test_other_security_options(cli: EngineProcess) -> None:
    status = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; grep -c ' /proc/keys ' /proc/mounts"
    options = ("--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined")
    assert run(cli, *options, shell=status).split() == ["NoNewPrivs:", "1", "Seccomp:", "0", "1"]
    plain = ("--security-opt", "systempaths=unconfined", "--security-opt", "apparmor=x", "--security-opt", "label=y:z")
    assert run(cli, *plain, shell=f"{status}; true").split() == ["NoNewPrivs:", "0", "Seccomp:", "2", "0"]
    assert 'invalid --security-opt 2: "what=ever"' in refusal(cli, "--security-opt", "what=ever")


def test_masked_and_read_only_paths(client: docker.DockerClient) -> None:
    config = client.api.create_host_config()
    config |= {"MaskedPaths": ["/proc/uptime"], "ReadonlyPaths": ["/proc/sys/kernel"]}
    made = client.api.create_container("busybox", ["wc", "-c", "/proc/uptime"], host_config=config)["Id"]
    container = client.containers.get(made)
    assert container.attrs["HostConfig"]["MaskedPaths"] == ["/proc/uptime"]
    assert container.attrs["HostConfig"]["ReadonlyPaths"] == ["/proc/sys/kernel"]
    container.start()
    container.wait()
    assert container.logs().startswith(b"0 ")


# Devices.


def test_devices(cli: EngineProcess) -> None:
    options = ("--cap-add", "SYSLOG", "--device", "/dev/kmsg:/dev/deep/messages:r", "--device", "/dev/net")
    shell = "ls -l /dev/deep/messages /dev/net/tun; (: < /dev/deep/messages) && echo read; (: > /dev/deep/messages)"
    done = cli.docker("run", "--rm", *options, "busybox", "sh", "-c", shell, check=False)
    assert b"/dev/deep/messages" in done.stdout
    assert b"/dev/net/tun" in done.stdout
    assert b"read\n" in done.stdout
    assert b"Operation not permitted" in done.stderr
    missing = failure(cli, "--device", "/dev/nothing-like-it")
    assert 'adding custom device "/dev/nothing-like-it": no such file or directory' in missing
    assert 'adding custom device "/etc/passwd": not a device node' in failure(cli, "--device", "/etc/passwd")


def test_device_rules(cli: EngineProcess) -> None:
    shell = "mknod /tmp/kmsg c 1 11; (: < /tmp/kmsg) && echo read"
    assert run(cli, "--device-cgroup-rule", "c 1:11 r", "--cap-add", "SYSLOG", shell=shell) == "read\n"
    assert run(cli, "--cap-add", "SYSLOG", shell=f"{shell}; true") == ""
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"DeviceCgroupRules": ["c 1 r"]}}
    with pytest.raises(APIError, match="invalid device cgroup rule format: 'c 1 r'"):
        cli.client.api.create_container_from_config(body)
    assert "could not select device driver" in refusal(cli, "--gpus", "all")


# Processes.


def test_an_init(cli: EngineProcess) -> None:
    orphans = "(sleep 0.01 &); while pidof sleep; do :; done; cat /proc/1/comm; ps -o stat | grep -c Z || true"
    assert run(cli, "--init", shell=orphans).split()[-2:] == ["nbc-init", "0"]
    assert cli.docker("run", "--rm", "--init", "busybox", "sh", "-c", "exit 7", check=False).returncode == 7
    cli.docker("run", "-d", "--init", "--name", "waits", *SLEEP)
    cli.docker("stop", "waits")  # without an init, a first process that has no handler takes no notice
    assert inspect(cli, "waits")["State"]["ExitCode"] == 128 + signal.SIGTERM
    assert inspect(cli, "waits")["HostConfig"]["Init"] is True


def test_the_oom_score_groups_and_limits_of_processes(cli: EngineProcess) -> None:
    options = ("--oom-score-adj", "321", "--group-add", "1234", "--group-add", "nobody", "--ulimit", "nofile=77:99")
    seen = run(cli, *options, shell="cat /proc/self/oom_score_adj; id -G; ulimit -n; ulimit -Hn")
    assert seen.splitlines() == ["321", "0 1234 65534", "77", "99"]


def test_kernel_parameters(cli: EngineProcess) -> None:
    options = ("--sysctl", "net.ipv4.ip_forward=0", "--sysctl", "kernel.msgmax=4321")
    assert run(cli, *options, shell="sysctl -n net.ipv4.ip_forward kernel.msgmax").split() == ["0", "4321"]
    with pytest.raises(APIError, match=r'sysctl "kernel[.]panic" is not in a separate kernel namespace'):
        cli.client.containers.create("busybox", "true", sysctls={"kernel.panic": "1"})
    with pytest.raises(APIError, match="not allowed in host network namespace"):
        cli.client.containers.create("busybox", "true", sysctls={"net.ipv4.ip_forward": "1"}, network_mode="host")


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_a_user_other_than_root_may_use_any_port(cli: EngineProcess, network: str) -> None:
    listen = "nc -l -p 80 < /dev/null & "
    shell = f"{listen} until nc 127.0.0.1 80 < /dev/null 2> /dev/null; do kill -0 $! || exit 1; done; echo connected"
    assert run(cli, "--network", network, "--user", "nobody", shell=shell) == "connected\n"


def test_another_parent_of_control_groups(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "--name", "deep", "--cgroup-parent", "/mine/deep", "--pids-limit", "33", *SLEEP)
    container = inspect(cli, "deep")
    assert container["HostConfig"]["CgroupParent"] == "/mine/deep"
    pid = container["State"]["Pid"]
    place = f"/nbcontainers/{identity(cli.root)}/parents/mine/deep/{container['Id']}"
    assert place in Path(f"/proc/{pid}/cgroup").read_text()
    assert "sleep 60" in cli.docker("top", "deep").stdout.decode()
    cli.kill()  # a new engine's sweep spares it
    assert cli.start() == "ready"
    assert inspect(cli, "deep")["State"]["Pid"] == pid
    cli.docker("rm", "-f", "deep")
    assert "invalid cgroup parent" in refusal(cli, "--cgroup-parent", "../out")


def test_groups_that_a_privileged_container_has_made_go_with_it(cli: EngineProcess) -> None:
    cli.docker("run", "-d", "--privileged", "--name", "outer", *SLEEP)
    name = f"/nbcontainers/{identity(cli.root)}/{inspect(cli, 'outer')['Id']}"
    driver = cgroups.detect()
    driver.create(f"{name}/inner/innermost", {})
    cli.docker("rm", "-f", "outer")
    group = driver.open(name)
    until(lambda: not any(os.path.exists(directory) for directory in group.directories()))


# File systems.


def test_volumes_from_other_containers(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("bound\n")
    cli.docker("create", "--name", "first", "-v", f"{tmp_path}:/bound", "-v", "data:/data:ro", *SLEEP)
    cli.docker("create", "--name", "second", "-v", "/data", "-v", "/other", *SLEEP)
    seen = run(cli, "--volumes-from", "first:ro", shell="cat /bound/file; touch /bound/x; touch /data/x; true")
    assert seen == "bound\n"
    assert not (tmp_path / "x").exists()
    options = ("--volumes-from", "first", "--volumes-from", "second", "-v", "mine:/other")
    cli.docker("create", "--name", "third", *options, *SLEEP)
    mounts = {mount["Destination"]: mount for mount in inspect(cli, "third")["Mounts"]}
    anonymous = {mount["Destination"]: mount for mount in inspect(cli, "second")["Mounts"]}
    assert mounts["/bound"]["Source"] == str(tmp_path)
    assert mounts["/data"]["Name"] == anonymous["/data"]["Name"]
    assert mounts["/other"]["Name"] == "mine"
    assert inspect(cli, "third")["HostConfig"]["VolumesFrom"] == ["first", "second"]
    assert "no such container: nobody" in refusal(cli, "--volumes-from", "nobody").lower()


def test_mounts(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("bound\n")
    options = (
        *("--mount", f"type=bind,source={tmp_path},target=/ro,readonly"),
        *("--mount", f"type=bind,source={tmp_path},target=/rw,bind-propagation=private,bind-recursive=disabled"),
        *("--mount", "type=volume,source=labelled,target=/vol,volume-label=a=b,volume-nocopy"),
        *("--mount", "type=tmpfs,target=/tmpfs,tmpfs-size=1m,tmpfs-mode=0750"),
        *("--tmpfs", "/scratch:size=2m,exec,mode=700"),
    )
    shell = (
        "cat /ro/file; touch /ro/x 2>&1; touch /rw/y; stat -c %a /tmpfs /scratch; "
        "df -k /tmpfs /scratch | awk 'NR>1 {print $2}'; grep -c '/scratch .*noexec' /proc/mounts"
    )
    made = cli.docker("create", "--name", "many", *options, "busybox", "sh", "-c", f"{shell}; true")
    assert made.stderr == b""
    cli.docker("start", "-a", "many")
    seen = cli.docker("logs", "many").stdout.decode().splitlines()
    assert seen == ["bound", "touch: /ro/x: Read-only file system", "750", "700", "1024", "2048", "0"]
    assert (tmp_path / "y").exists()
    assert cli.client.volumes.get("labelled").attrs["Labels"] == {"a": "b"}
    shown = {mount["Target"]: mount for mount in inspect(cli, "many")["HostConfig"]["Mounts"]}
    assert shown["/ro"] == {"Type": "bind", "Source": str(tmp_path), "Target": "/ro", "ReadOnly": True}
    assert shown["/tmpfs"]["TmpfsOptions"] == {"SizeBytes": 1 << 20, "Mode": 0o750}
    found = {mount["Destination"]: mount for mount in inspect(cli, "many")["Mounts"]}
    assert sorted(found) == ["/ro", "/rw", "/tmpfs", "/vol"]
    assert found["/rw"]["Propagation"] == "private"
    assert found["/vol"]["Mode"] == "z"


def test_a_part_of_a_volume_and_no_way_out_of_it(client: docker.DockerClient) -> None:
    script = "mkdir /v/part; echo in > /v/part/file; ln -s / /v/up; ln -s ../../.. /v/out"
    client.containers.run("busybox", ["sh", "-c", script], volumes={"parts": {"bind": "/v"}}, remove=True)

    def listing(subpath: str) -> bytes:
        mount = Mount("/m", "parts")
        mount["VolumeOptions"] = {"Subpath": subpath}
        return bytes(client.containers.run("busybox", ["ls", "/m"], mounts=[mount], remove=True))

    try:
        assert listing("part") == b"file\n"
        for link in ("up", "out"):  # within the volume, / is the volume
            assert listing(link) == b"out\npart\nup\n"
        with pytest.raises(APIError, match="subpath 'not-there' at '/m': no such file"):
            listing("not-there")
    finally:
        for container in client.containers.list(all=True):
            container.remove(force=True)
        client.volumes.get("parts").remove()


# By mode: whether the container sees what the host mounts later, at the top and below what was mounted before; and
# whether the host sees what the container mounts, at the top and below. As with dockerd 20.10.
PROPAGATION = {
    "private": (False, True, False, False),
    "rprivate": (False, False, False, False),
    "slave": (True, True, False, False),
    "rslave": (True, True, False, False),
    "shared": (True, True, True, True),
    "rshared": (True, True, True, True),
}


def test_mounts_are_seen_by_whom_they_are_passed_on_to(cli: EngineProcess, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    _host("mount", "-t", "tmpfs", "none", str(source))
    try:
        _host("mount", "--make-private", str(source))
        for mode, kind in (("rshared", "a shared"), ("slave", "a shared or slave")):
            refused = cli.docker("run", "--rm", "-v", f"{source}:/m:{mode}", "busybox", "true", check=False)
            assert f"path {source} is mounted on {source} but it is not {kind} mount" in refused.stderr.decode()
        _host("mount", "--make-shared", str(source))
        (source / "below").mkdir()
        _host("mount", "-t", "tmpfs", "none", str(source / "below"))
        for mode in PROPAGATION:
            for directory in (f"of-host/{mode}", mode):
                (source / directory).mkdir(parents=True)
                (source / "below" / directory).mkdir(parents=True)
            rights = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--network", "none")
            cli.docker("run", "-d", "--name", f"m-{mode}", *rights, "-v", f"{source}:/m:{mode}", *SLEEP)
        for mode in PROPAGATION:
            for place in (source, source / "below"):
                _host("mount", "-t", "tmpfs", "none", str(place / "of-host" / mode))
            script = f"for at in /m /m/below; do mount -t tmpfs none $at/{mode}; done"
            cli.docker("exec", f"m-{mode}", "sh", "-c", script)
        here = Path("/proc/self/mounts").read_text()
        for mode, expected in PROPAGATION.items():
            inside = Path(f"/proc/{inspect(cli, f'm-{mode}')['State']['Pid']}/mounts").read_text()
            seen = [f" {place}/of-host/{mode} " in inside for place in ("/m", "/m/below")]
            seen += [f" {place}/{mode} " in here for place in (source, source / "below")]
            assert (mode, *seen) == (mode, *expected)
    finally:
        cli.docker("rm", "-f", *(f"m-{mode}" for mode in PROPAGATION), check=False)
        _host("umount", "--recursive", str(source))


def _host(*command: str) -> None:
    subprocess.run(command, check=True)


def test_read_only_reaches_below_unless_told_otherwise(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    _host("mount", "-t", "tmpfs", "none", str(tmp_path / "below"))
    try:
        shell = "touch /m/below/x 2>/dev/null; echo $?; test -e /m/below; echo $?"
        everywhere = f"type=bind,source={tmp_path},target=/m,readonly"
        assert run(cli, "--mount", everywhere, shell=shell).split() == ["1", "0"]
        assert run(cli, "--mount", f"{everywhere},bind-recursive=writable", shell=shell).split() == ["0", "0"]
        options = f"{everywhere},bind-recursive=readonly,bind-propagation=rprivate"
        assert run(cli, "--mount", options, shell=shell).split() == ["1", "0"]
        alone = f"type=bind,source={tmp_path},target=/m,bind-recursive=disabled"
        assert run(cli, "--mount", alone, shell="ls /m/below | wc -l").split() == ["0"]
    finally:
        _host("umount", str(tmp_path / "below"))


def test_a_host_directory_over_dev(cli: EngineProcess, tmp_path: Path) -> None:
    assert run(cli, "-v", "/dev:/dev", "--device", "/dev/kmsg:/dev/nbc-never", shell="ls /dev/kmsg") == "/dev/kmsg\n"
    assert not Path("/dev/nbc-never").exists()


def test_a_read_only_root_and_shared_memory(cli: EngineProcess) -> None:
    shell = "touch /x 2>&1; touch /tmp/y && echo ok; df -k /dev/shm | awk 'NR>1 {print $2}'"
    seen = run(cli, "--read-only", "--tmpfs", "/tmp", "--shm-size", "3m", shell=shell)
    assert seen.splitlines() == ["touch: /x: Read-only file system", "ok", "3072"]


def test_names_and_name_servers(cli: EngineProcess) -> None:
    options = (
        *("--add-host", "one:10.1.2.3", "--add-host", "six=[::6]", "--add-host", "gate:host-gateway"),
        *("--dns", "10.9.9.9", "--dns-search", "example.org", "--dns-option", "ndots:3", "--domainname", "dom"),
    )
    seen = run(cli, *options, shell="cat /etc/hosts /etc/resolv.conf; cat /proc/sys/kernel/domainname")
    for line in ("10.1.2.3\tone", "::6\tsix", "nameserver 10.9.9.9", "search example.org", "options ndots:3"):
        assert line in seen.splitlines()
    assert "host-gateway" not in seen
    assert seen.endswith("dom\n")


# What is shown, and what is said.


def test_log_options_runtimes_and_annotations(client: docker.DockerClient) -> None:
    log = LogConfig(type=LogConfig.types.JSON, config={"max-file": "100"})
    made = client.containers.create("busybox", "true", log_config=log, runtime="runc", isolation="default")
    assert made.attrs["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "100"}}
    assert made.attrs["HostConfig"]["Runtime"] == "runc"
    assert made.attrs["HostConfig"]["Isolation"] == "default"
    assert {"runc", "nbcontainers"} <= set(client.info()["Runtimes"])
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Annotations": {"a": "b"}}}
    made_id = client.api.create_container_from_config(body)["Id"]
    assert client.api.inspect_container(made_id)["HostConfig"]["Annotations"] == {"a": "b"}
    with pytest.raises(APIError, match="unknown or invalid runtime name: kata"):
        client.containers.create("busybox", "true", runtime="kata")
    client.containers.create("busybox", "true", volume_driver="x")  # it makes no volume
    mount = Mount("/m", "named", driver_config=DriverConfig("x"))
    for volumes in ({"volumes": {"named": {"bind": "/v"}}, "volume_driver": "x"}, {"mounts": [mount]}):
        with pytest.raises(NotFound, match="error looking up volume plugin x"):
            client.containers.create("busybox", "true", **volumes)


def test_warnings_of_what_this_machine_cannot_do(client: docker.DockerClient) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"BlkioWeight": 300, "OomKillDisable": True}}
    answer = client.api.create_container_from_config(body)
    disks = [path.read_text() for path in Path("/sys/block").glob("*/queue/scheduler")]
    if not any("[bfq]" in text for text in disks):
        assert any("does not support Block I/O weight" in warning for warning in answer["Warnings"])
        assert client.api.inspect_container(answer["Id"])["HostConfig"]["BlkioWeight"] == 0
    client.containers.get(answer["Id"]).start()


def test_the_size_of_a_terminal(client: docker.DockerClient) -> None:
    host_config = {"ConsoleSize": [41, 93]}
    body = {"Image": "busybox", "Cmd": ["stty", "size"], "Tty": True, "HostConfig": host_config}
    container = client.containers.get(client.api.create_container_from_config(body)["Id"])
    container.start()
    container.wait()
    assert container.logs() == b"41 93\r\n"


def test_nothing_of_a_shared_namespace_outlives_its_containers(cli: EngineProcess, donor: str) -> None:
    cli.docker("run", "-d", "--name", "guest", "--pid", "container:donor", "--ipc", "container:donor", *SLEEP)
    pid = inspect(cli, "guest")["State"]["Pid"]
    cli.docker("exec", "guest", "true", check=False)
    cli.docker("rm", "-f", "guest")
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert inspect(cli, "donor")["State"]["Running"]

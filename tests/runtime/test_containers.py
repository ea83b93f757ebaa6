"""What a container is from inside: exit codes, isolation, descriptors, privileges, terminal, standard input."""

import json
import os
import signal
from pathlib import Path

import pytest

from nbcontainers.runtime.client import StartError
from tests.runtime.conftest import Bench, output

pytestmark = [pytest.mark.root]


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 7", 7), ("kill -TERM $$; exit 3", 3)])
async def test_exit_codes(bench: Bench, script: str, code: int) -> None:
    assert (await bench.shell(script))[0] == code


async def test_a_signal_gives_128_and_its_number(bench: Bench) -> None:
    connection = await bench.launch(bench.request("sleep", "60"))
    connection.signal(signal.SIGKILL)
    status = await connection.wait()
    assert status is not None
    assert status.code == 137
    assert not status.oom_killed


@pytest.mark.parametrize(
    ("program", "code"),
    [("no-such-program", 127), ("/bin/no-such-program", 127), ("/etc/passwd", 126), ("/etc", 126)],
)
async def test_programs_that_cannot_be_executed(bench: Bench, program: str, code: int) -> None:
    with pytest.raises(StartError, match=program) as caught:
        await bench.launch(bench.request(program))
    assert caught.value.exit_code == code


async def test_refusals_name_the_value(bench: Bench, tmp_path: Path) -> None:
    requests = {name: bench.request("true") for name in ("type", "option", "limit", "user", "network")}
    requests["network"] = bench.request("true", network="nowhere")
    requests["type"]["spec"]["mounts"].append({"destination": "/x", "type": "nfs", "source": "x", "options": []})
    requests["option"]["spec"]["mounts"].append(
        {"destination": "/x", "type": "bind", "source": str(tmp_path), "options": ["sideways"]}
    )
    requests["limit"]["spec"]["process"]["rlimits"] = [{"type": "RLIMIT_WISDOM", "soft": 1, "hard": 1}]
    requests["user"]["spec"]["process"]["user"]["username"] = "nosuchuser"
    values = {"type": "nfs", "option": "sideways", "limit": "RLIMIT_WISDOM", "user": "nosuchuser", "network": "nowhere"}
    for name, request in requests.items():
        with pytest.raises(StartError, match=values[name]) as caught:
            await bench.launch(request)
        assert caught.value.exit_code == 125


@pytest.mark.parametrize("directory", ["proc", "sys", "dev"])
async def test_an_image_cannot_lead_kernel_mounts_astray(bench: Bench, directory: str) -> None:
    # Were /proc a link, it would be mounted elsewhere, and /proc/sys there be neither masked nor read-only.
    request = bench.request("true")
    upper = Path(str(request["rootfs"]["upper"]))
    (upper / "elsewhere").mkdir()
    (upper / directory).symlink_to("/elsewhere")
    with pytest.raises(StartError, match="link"):
        await bench.launch(request)


async def test_no_descriptor_of_the_host_comes_in(bench: Bench) -> None:
    code, listed = await bench.shell("cd /proc/self/fd; for fd in *; do readlink $fd; done; readlink /proc/self/exe")
    assert code == 0
    allowed = ("pipe:", "/dev/null", "/proc/", "/bin/busybox")
    assert [line for line in listed.splitlines() if not line.startswith(allowed)] == []
    code, counted = await bench.shell("ls /proc/1/fd")
    assert set(counted.split()) <= {"0", "1", "2", "3"}


async def test_it_sees_itself_alone(bench: Bench) -> None:
    code, seen = await bench.shell("echo $$; hostname; ls /sys/class/net; cat /proc/self/cgroup; cat /proc/mounts")
    lines = seen.splitlines()
    assert lines[:3] == ["1", "bench", "lo"]
    assert bench.cgroup_parent not in seen
    assert code == 0


@pytest.mark.parametrize(
    "path", ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/x"]
)
async def test_the_kernel_is_not_to_be_written(bench: Bench, path: str) -> None:
    assert (await bench.shell(f"echo > {path}"))[0] != 0


async def test_privileges_are_dockers(bench: Bench) -> None:
    _, status = await bench.shell("grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status")
    fields = dict(line.split(":\t") for line in status.splitlines())
    assert fields["CapEff"] == fields["CapBnd"] == "00000000a80425fb"
    assert fields["CapInh"] == fields["CapAmb"] == "0" * 16
    assert fields["Seccomp"] == "2"
    request = bench.request("sh", "-c", "id; grep -E 'CapEff|NoNewPrivs' /proc/self/status")
    request["spec"]["process"]["user"] = {"username": "nobody:nobody", "additionalGids": ["7"]}
    request["spec"]["process"]["noNewPrivileges"] = True
    _, written = await bench.run(request)
    assert (
        b"uid=65534(nobody) gid=65534(nobody) groups=65534(nobody),7\nCapEff:\t0000000000000000\n"
        in written.replace(b"groups=7,65534(nobody)", b"groups=65534(nobody),7")
    )
    assert written.endswith(b"NoNewPrivs:\t1\n")


async def test_what_the_specification_can_ask_for(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("bound\n")
    request = bench.request(
        "sh", "-c", "pwd; ulimit -n; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward /in/deep/there;"
        "touch /in/deep/x || echo ro; touch /x || echo ro; df /scratch | tail -n1 | cut -c1-5",
    )  # fmt: skip
    spec = request["spec"]
    spec["root"]["readonly"] = True
    spec["process"]["cwd"] = "/root"
    spec["process"]["oomScoreAdj"] = 300
    spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]
    spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    spec["mounts"] += [
        {"destination": "/in/deep", "type": "bind", "source": str(tmp_path), "options": ["rbind", "ro"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
    ]
    written = (await bench.run(request))[1].decode()
    lines = [line for line in written.splitlines() if not line.startswith("touch")]
    assert lines == ["/root", "77", "300", "1", "bound", "ro", "ro", "tmpfs"]
    assert sorted(os.listdir(tmp_path)) == ["there"]


async def test_a_link_in_the_image_cannot_lead_a_mount_out(bench: Bench, tmp_path: Path) -> None:
    request = bench.request("cat", "/etc/inside/there")
    (tmp_path / "there").write_text("inside\n")
    upper = Path(str(request["rootfs"]["upper"]))
    (upper / "way").symlink_to("../../../../../../etc")
    request["spec"]["mounts"].append(
        {"destination": "/way/inside", "type": "bind", "source": str(tmp_path), "options": ["rbind"]}
    )
    assert (await bench.run(request))[1] == b"inside\n"
    assert not Path("/etc/inside").exists()


async def test_the_machines_own_file_system(bench: Bench) -> None:
    script = "cat /etc/os-release; touch /root/of-a-test; ls -A /tmp /run"
    status, written = await bench.run(bench.request("/bin/sh", "-c", script, host=True))
    assert status.code == 0
    assert written.decode() == Path("/etc/os-release").read_text() + "/run:\n\n/tmp:\n"
    assert not Path("/root/of-a-test").exists()


async def test_memory_that_runs_out(bench: Bench) -> None:
    request = bench.request("sh", "-c", "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done")
    request["spec"]["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    status, _ = await bench.run(request)
    assert (status.code, status.oom_killed) == (137, True)


async def test_standard_input(bench: Bench) -> None:
    request = bench.request("cat", open_stdin=True)
    connection = await bench.launch(request)
    fd = await connection.stdin_fd()
    os.write(fd, b"from outside\n")
    os.close(fd)
    connection.close_stdin()
    status = await connection.wait()
    assert status is not None
    assert status.code == 0
    assert output(request) == b"from outside\n"


async def test_a_terminal(bench: Bench) -> None:
    request = bench.request("sh", "-c", "tty; read line; stty size; echo $line", tty=True)
    connection = await bench.launch(request)
    connection.resize(33, 101)
    fd = await connection.stdin_fd()
    os.write(fd, b"typed\n")
    os.close(fd)
    status = await connection.wait()
    assert status is not None
    assert status.code == 0
    # The terminal's echo may come before or after the first line.
    assert sorted(output(request).splitlines()) == [b"/dev/pts/0", b"33 101", b"typed", b"typed"]


async def test_the_exit_status_lies_on_disk(bench: Bench) -> None:
    request = bench.request("sh", "-c", "exit 5")
    await bench.run(request)
    assert json.loads(Path(request["directory"], "exit.json").read_bytes())["code"] == 5

"""``docker exec`` as docker-py and the docker CLI drive it: streams, exit codes, users, what is refused, events."""

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.utils.socket import frames_iter

from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [
    pytest.mark.root,
    # docker-py leaves sockets that it has upgraded to the collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Have the collector find within each test what docker-py has left."""
    yield
    gc.collect()


@pytest.fixture
def container(client: docker.DockerClient) -> Any:
    """A container that does nothing."""
    return client.containers.run(
        "busybox", ["sleep", "600"], detach=True, name="target", network_mode="none", environment={"OWN": "own"}
    )


def _sh(container: Any, script: str, **options: Any) -> tuple[int, str]:
    code, output = container.exec_run(["sh", "-c", script], **options)
    return code, output.decode()


def test_output_and_exit_code(container: Any) -> None:
    code, (out, err) = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    assert (code, out, err) == (3, b"out\n", b"err\n")


def test_inspect(container: Any, client: docker.DockerClient) -> None:
    api = client.api
    one = api.exec_create(container.id, ["sh", "-c", "exit 4"], user="root", stdin=True)["Id"]
    container.reload()
    assert container.attrs["ExecIDs"] == [one]
    assert api.exec_inspect(one) == {
        "ID": one,
        "Running": False,
        "ExitCode": None,
        "ProcessConfig": {
            "tty": False,
            "entrypoint": "sh",
            "arguments": ["-c", "exit 4"],
            "privileged": False,
            "user": "root",
        },
        "OpenStdin": True,
        "OpenStderr": True,
        "OpenStdout": True,
        "CanRemove": False,
        "ContainerID": container.id,
        "DetachKeys": "",
        "Pid": 0,
    }
    api.exec_start(one)
    found = api.exec_inspect(one)
    assert (found["ExitCode"], found["Running"]) == (4, False)
    assert found["Pid"] > 0
    container.reload()
    assert container.attrs["ExecIDs"] is None


def test_what_it_runs_as(container: Any) -> None:
    script = "id -u; pwd; echo $OWN $MORE $HOME; hostname; cat /proc/self/cgroup | grep -v ':/$'; umask"
    code, output = _sh(container, script, user="nobody", workdir="/tmp", environment={"MORE": "more"})
    hostname = container.attrs["Config"]["Hostname"] or container.id[:12]
    assert (code, output.splitlines()) == (0, ["65534", "/tmp", "own more /", hostname, "0022"])


def test_it_is_in_the_container(container: Any) -> None:
    namespaces = "for kind in mnt pid net uts ipc cgroup; do readlink /proc/$1/ns/$kind; done"
    assert _sh(container, namespaces.replace("$1", "1")) == _sh(container, namespaces.replace("$1", "self"))
    pids = _sh(container, "ps -o pid,args | grep -v ps")[1]
    assert pids.splitlines()[1].split() == ["1", "sleep", "600"]


def test_privileges_are_the_containers(container: Any) -> None:
    status = "grep -E '^(Cap(Prm|Eff|Bnd|Inh|Amb)|NoNewPrivs|Seccomp):' /proc/$1/status"
    own = _sh(container, status.replace("$1", "1"))
    assert _sh(container, status.replace("$1", "self")) == own
    assert "00000000a80425fb" in own[1]
    code, output = _sh(container, "grep CapEff /proc/self/status", privileged=True)
    assert code == 0
    assert int(output.split()[1], 16) > 0xA80425FB


def test_no_new_privileges_and_limits_are_the_containers(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "busybox", ["sleep", "60"], detach=True, security_opt=["no-new-privileges"], user="nobody", cap_drop=["ALL"],
        ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)], network_mode="none",
    )  # fmt: skip
    code, output = _sh(container, "grep -E 'NoNewPrivs|CapBnd' /proc/self/status; ulimit -n; ulimit -Hn; id -u")
    assert output.split() == ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "100", "200", "65534"]
    assert code == 0


def test_nothing_of_the_host_is_open_in_it(container: Any) -> None:
    code, output = _sh(container, "for fd in /proc/self/fd/*; do readlink $fd; done; echo; readlink /proc/self/cwd")
    found = output.split()
    assert found[0] == "/dev/null"
    assert all(name.startswith("pipe:") for name in found[1:3])
    assert found[-1] == "/"
    assert not [name for name in found if name.startswith("/") and name not in ("/", "/dev/null")]
    for fd in range(3, 12):
        assert container.exec_run("true", workdir=f"/proc/self/fd/{fd}").exit_code != 0
    assert code == 0


@pytest.mark.parametrize(
    ("cmd", "options", "code", "text"),
    [
        (["nope"], {}, 127, 'exec: "nope": executable file not found in $PATH: unknown'),
        (["/nope"], {}, 127, 'exec: "/nope": stat /nope: no such file or directory: unknown'),
        (["/etc"], {}, 126, 'exec: "/etc": permission denied: unknown'),
        ([""], {}, 127, 'exec: "": executable file not found in $PATH: unknown'),
        (
            ["true"],
            {"workdir": "/no"},
            127,
            'chdir to cwd ("/no") set in config.json failed: no such file or directory',
        ),
        (["true"], {"workdir": "no"}, 126, "Cwd must be an absolute path"),
        (["true"], {"user": "who"}, 126, "unable to find user who: no matching entries in passwd file"),
    ],
)
def test_what_cannot_be_executed(container: Any, cmd: list[str], options: dict[str, str], code: int, text: str) -> None:
    found, output = container.exec_run(cmd, **options)
    assert text in output.decode()
    assert output.startswith(b"OCI runtime exec failed: exec failed: ") == ("user" not in options)
    assert found == code


def test_what_is_refused(container: Any, client: docker.DockerClient) -> None:
    api = client.api

    def refused(act: Callable[[], object], status: int, text: str) -> None:
        with pytest.raises(docker.errors.APIError) as caught:
            act()
        assert caught.value.response.status_code == status
        assert text in caught.value.explanation

    refused(lambda: api.exec_create("nobody", ["true"]), 404, "o such container: nobody")
    refused(lambda: api.exec_create(container.id, []), 400, "No exec command specified")
    refused(lambda: api.exec_create(container.id, ["true"], detach_keys="ctrl"), 400, "escape keys (ctrl)")
    refused(lambda: api.exec_inspect("nothing"), 404, "No such exec instance: nothing")
    refused(lambda: api.exec_start("nothing"), 404, "No such exec instance: nothing")
    done = api.exec_create(container.id, ["true"])["Id"]
    api.exec_start(done)
    refused(lambda: api.exec_start(done, detach=True), 409, "has already run")
    bad = api.exec_create(container.id, ["nope"])["Id"]
    refused(lambda: api.exec_start(bad, detach=True), 400, "executable file not found in $PATH")
    waiting = api.exec_create(container.id, ["true"])["Id"]
    container.pause()
    paused = f"Container {container.id} is paused, unpause the container before exec"
    refused(lambda: api.exec_create(container.id, ["true"]), 409, paused)
    refused(lambda: api.exec_start(waiting), 409, paused)
    container.unpause()
    container.kill()
    refused(lambda: api.exec_create(container.id, ["true"]), 409, f"Container {container.id} is not running")
    refused(lambda: api.exec_start(waiting), 404, "No such exec instance")
    assert api.exec_inspect(done)["ExitCode"] == 0
    container.remove()
    refused(lambda: api.exec_inspect(done), 404, "No such exec instance")


def test_an_exec_ends_with_its_container(container: Any, client: docker.DockerClient) -> None:
    one = client.api.exec_create(container.id, ["sleep", "600"])["Id"]
    client.api.exec_start(one, detach=True)
    assert client.api.exec_inspect(one)["Running"]
    pid = client.api.exec_inspect(one)["Pid"]
    container.kill()
    until(lambda: client.api.exec_inspect(one)["ExitCode"] == 137)
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_left_behind_holds_up_nobody(container: Any) -> None:
    began = time.monotonic()
    assert _sh(container, "sleep 600 & echo begun") == (0, "begun\n")
    assert time.monotonic() - began < 20


def test_events(container: Any, client: docker.DockerClient) -> None:
    began = time.time()
    container.exec_run(["echo", "one", "two"])
    stream = client.events(since=began, until=time.time() + 1, decode=True, filters={"container": container.id})
    found = [event for event in stream if event["Action"].startswith("exec")]
    assert [event["Action"] for event in found] == ["exec_create: echo one two", "exec_start: echo one two", "exec_die"]
    attributes = [event["Actor"]["Attributes"] for event in found]
    assert len({one.pop("execID") for one in attributes}) == 1
    facts = {"image": "busybox", "name": "target"}
    assert attributes == [facts, facts, {**facts, "exitCode": "0"}]


def test_input_is_passed_on_and_ends(cli: EngineProcess, container: Any) -> None:
    data = os.urandom(3 << 20)
    done = cli.docker("exec", "-i", "target", "sh", "-c", "cat; echo end >&2; exit 5", stdin=data, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, data, b"end\n")


def test_without_a_reader_of_the_input(cli: EngineProcess, container: Any) -> None:
    done = cli.docker("exec", "-i", "target", "echo", "enough", stdin=bytes(8 << 20), check=False)
    assert (done.returncode, done.stdout) == (0, b"enough\n")


def test_a_lot_of_output_and_a_slow_client(container: Any, client: docker.DockerClient) -> None:
    size = 64 << 20
    one = client.api.exec_create(container.id, ["head", "-c", str(size), "/dev/zero"])["Id"]
    with contextlib.closing(client.api.exec_start(one, socket=True)) as stream, contextlib.closing(stream._sock):
        frames = frames_iter(stream, tty=False)
        received = len(next(frames)[1])
        assert container.exec_run("true").exit_code == 0  # nobody else has to wait for it
        assert client.api.exec_inspect(one)["Running"]
        for _, data in frames:
            received += len(data)
    assert received == size
    assert client.api.exec_inspect(one)["ExitCode"] == 0


def test_a_client_that_goes_leaves_the_program_running(container: Any, client: docker.DockerClient) -> None:
    script = "echo begun; read x; seq 1000000; echo done >/ended; exit 6"
    one = client.api.exec_create(container.id, ["sh", "-c", script], stdin=True)["Id"]
    with contextlib.closing(client.api.exec_start(one, socket=True)) as stream, contextlib.closing(stream._sock):
        assert b"begun" in stream._sock.recv(100)
        stream._sock.sendall(b"go\n")
    until(lambda: client.api.exec_inspect(one)["ExitCode"] == 6)
    assert _sh(container, "cat /ended") == (0, "done\n")


def test_detached(cli: EngineProcess, container: Any) -> None:
    assert cli.docker("exec", "-d", "target", "sh", "-c", "echo lost; echo kept >/kept").stdout == b""
    until(lambda: _sh(container, "cat /kept 2>/dev/null")[1] == "kept\n")


def test_the_cli(cli: EngineProcess, container: Any, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FILE=file\n")
    options = ["-e", "A=b", "--env-file", str(tmp_path / "env"), "-u", "nobody", "-w", "/tmp"]
    done = cli.docker("exec", *options, "target", "sh", "-c", "echo $A $FILE; id -u; pwd; exit 9", check=False)
    assert (done.returncode, done.stdout.split()) == (9, [b"b", b"file", b"65534", b"/tmp"])
    done = cli.docker("exec", "target", "nope", check=False)
    assert done.returncode == 127
    assert b"executable file not found in $PATH" in done.stdout + done.stderr
    container.kill()
    done = cli.docker("exec", "target", "true", check=False)
    assert done.returncode == 1
    assert b"is not running" in done.stderr

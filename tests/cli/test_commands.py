import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import docker.errors
import pandas as pd
import pytest

from nbcontainers.cli import invoke
from nbcontainers.cli.values import Size
from nbcontainers.errors import NotFound
from tests.conftest import RecordingFace
from tests.waiting import until


def test_run_passes_both_streams_on_and_returns_the_exit_code(face: RecordingFace) -> None:
    assert invoke(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"], face) == 3
    assert (face.written, face.remarks) == (b"out\n", b"err\n")
    assert face.client.containers.list(all=True) == []


def test_run_again_and_again_with_input(face: RecordingFace) -> None:
    for number in range(5):
        face.stdin = f"{number}\n".encode() * 1000
        assert invoke(["run", "--rm", "busybox", "cat"], face) == 0
    assert face.written == b"".join(f"{number}\n".encode() * 1000 for number in range(5))


@pytest.mark.parametrize("moment", ["inspect_container", "start"])
def test_an_interrupt_before_the_start_leaves_nothing(
    face: RecordingFace, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(face.client.api, moment, interrupted)
    with pytest.raises(KeyboardInterrupt, match="was stopped"):
        invoke(["run", "--rm", "busybox", "true"], face)
    assert face.client.containers.list(all=True) == []


def test_limits_reach_the_container(face: RecordingFace) -> None:
    name = invoke(["create", "-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "-e", "A=b c", "busybox", "env"], face)
    inspected = face.client.api.inspect_container(name)
    limits = inspected["HostConfig"]
    assert (limits["Memory"], limits["NanoCpus"], limits["PidsLimit"]) == (64 << 20, 5 * 10**8, 50)
    assert "A=b c" in inspected["Config"]["Env"]


def test_a_container_from_start_to_end(face: RecordingFace) -> None:
    identifier = invoke(["run", "-d", "--name", "web", "busybox", "sleep", "600"], face)
    table = invoke(["ps"], face)
    assert list(table["id"]) == [identifier]
    assert isinstance(table["created"].dtype, pd.DatetimeTZDtype)
    assert invoke(["ps", "-q", "--no-trunc"], face) == identifier
    assert invoke(["kill", "web"], face) == "web"
    assert invoke(["wait", "web"], face) == 137
    assert len(invoke(["ps"], face)) == 0
    assert invoke(["ps", "-a"], face).loc[0, "state"] == "exited"
    assert invoke(["rm", "web"], face) == "web"


def test_images_can_be_tagged_listed_and_removed(face: RecordingFace) -> None:
    assert invoke(["tag", "busybox", "other:1"], face) == "other:1"
    images = invoke(["images"], face)
    assert {"busybox", "other", "host"} <= set(images["repository"])
    assert images["size"].dtype == "int64"
    assert invoke(["rmi", "other:1"], face) == "other:1"
    assert "other" not in set(invoke(["image", "ls"], face)["repository"])


def test_wrong_words_are_refused_by_name(face: RecordingFace) -> None:
    with pytest.raises(click.UsageError, match="--memry"):
        invoke(["run", "--memry", "1", "busybox"], face)
    with pytest.raises(click.UsageError, match="invalid size '12q'"):
        invoke(["run", "-m", "12q", "busybox"], face)
    with pytest.raises(docker.errors.ImageNotFound, match="No such image: nosuch"):
        invoke(["run", "--pull", "never", "nosuch"], face)
    with pytest.raises(NotFound, match="no such object: nothing"):
        invoke(["inspect", "nothing"], face)


@pytest.mark.parametrize(
    ("text", "size"), [("64m", 64 << 20), ("1g", 1 << 30), ("1.5k", 1536), ("7", 7), ("10MB", 10 << 20), ("-1", -1)]
)
def test_sizes(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


def test_the_terminal_has_dockers_exit_codes(face: RecordingFace) -> None:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        program = "from nbcontainers.cli import main; main()"
        environment = {**os.environ, "NBCONTAINERS_HOST": str(face.url)}
        command = [sys.executable, "-c", program, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert run("run", "--rm", "busybox", "sh", "-c", "exit 4").returncode == 4
    assert run("run", "--rm", "busybox", "nosuch").returncode == 127
    assert run("container", "run", "--rm", "busybox", "/etc").returncode == 126
    assert run("run", "--rm", "nosuch").returncode == 125
    refused = run("run", "--memry", "busybox")
    assert refused.returncode == 125
    assert "--memry" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "busybox" in run("images").stdout


def test_lists_have_dockers_words(face: RecordingFace) -> None:
    identifier = invoke(["run", "-d", "--name", "told", "-l", "tier=front", "busybox", "sleep", "600"], face)
    template = '{{.ID}} {{.Image}} {{.Names}} {{.State}} {{.Label "tier"}} {{.Command}}'
    expected = f'{identifier[:12]} busybox told running front "sleep 600"'
    assert invoke(["ps", "--format", template], face) == expected
    assert invoke(["container", "ls", "--no-trunc", "--format", "{{.ID}}"], face) == identifier
    assert invoke(["ps", "-q"], face) == identifier[:12]
    assert invoke(["ps", "-q", "--no-trunc", "--filter", "label=tier=front"], face) == identifier
    assert invoke(["ps", "--format", "json"], face).startswith('{"Command":"\\"sleep 600\\""')
    assert "size_bytes" in invoke(["ps", "-s"], face).columns
    assert invoke(["images", "--format", "{{.Repository}}:{{.Tag}}", "busybox"], face) == "busybox:latest"
    assert invoke(["image", "ls", "-q", "busybox"], face) in invoke(["images", "-q"], face).splitlines()
    assert invoke(["history", "--format", "{{.Size}}", "busybox"], face)
    assert list(invoke(["top", "told"], face).columns)[:2] == ["UID", "PID"]
    assert invoke(["inspect", "-f", "{{.Name}} {{json .Config.Labels}}", "told"], face) == '/told {"tier":"front"}'
    assert invoke(["container", "inspect", "-f", "{{.State.Running}}", "told", "told"], face) == "true\ntrue"
    with pytest.raises(NotFound, match="no such image: told"):
        invoke(["image", "inspect", "told"], face)


def test_events_are_a_table(face: RecordingFace) -> None:
    invoke(["run", "--rm", "--name", "eventful", "busybox", "true"], face)
    table = invoke(["events", "--filter", "container=eventful"], face)
    assert {"create", "start", "die", "destroy"} <= set(table["action"])
    assert isinstance(table["time"].dtype, pd.DatetimeTZDtype)
    asked = ["--filter", "container=eventful", "--filter", "event=die"]
    assert invoke(["events", *asked, "--format", "{{.Actor.Attributes.exitCode}}"], face) == "0"


def test_volumes_from_create_to_prune(face: RecordingFace) -> None:
    assert invoke(["volume", "create", "--label", "of=tests", "kept"], face) == "kept"
    table = invoke(["volume", "ls", "--filter", "label=of=tests"], face)
    assert list(table["name"]) == ["kept"]
    assert invoke(["volume", "ls", "-q", "--filter", "name=kept"], face) == "kept"
    assert invoke(["volume", "inspect", "-f", "{{.Driver}}", "kept"], face) == "local"
    assert invoke(["volume", "rm", "kept"], face) == "kept"
    assert "kept" not in invoke(["volume", "ls", "-q"], face).split()


def test_what_nobody_uses_is_pruned(face: RecordingFace) -> None:
    identifier = invoke(["create", "--name", "stopped", "busybox", "true"], face)
    usage = invoke(["system", "df"], face)
    assert list(usage["type"]) == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert usage.set_index("type").loc["Containers", "total"] == 1
    removed = invoke(["container", "prune", "-f"], face)
    assert list(removed["id"]) == [identifier]
    assert len(invoke(["ps", "-a"], face)) == 0
    assert len(invoke(["system", "prune", "-f"], face)) == 0


def test_what_builds_keep_is_pruned(face: RecordingFace) -> None:
    face.stdin = b"FROM busybox\nRUN echo kept > /kept\n"
    image = invoke(["build", "-q", "-t", "kept", "-"], face)
    assert len(invoke(["builder", "prune", "-f"], face)) == 0  # the image has it
    assert len(invoke(["builder", "prune", "--all", "--keep-storage", "1g", "-f"], face)) == 0
    removed = invoke(["builder", "prune", "--all", "--filter", "description=kept", "-f"], face)
    assert set(removed["kind"]) == {"build cache"}
    assert len(removed) == 1
    assert face.client.images.get("kept").id == image.strip()
    with pytest.raises(click.UsageError, match="invalid size 'much'"):
        invoke(["builder", "prune", "--keep-storage", "much"], face)


def test_one_refusal_keeps_nobody_else(face: RecordingFace) -> None:
    invoke(["create", "--name", "there", "busybox", "true"], face)
    with pytest.raises(click.ClickException, match=r"(?s)nobody.*nothing"):
        invoke(["rm", "nobody", "there", "nothing"], face)
    assert len(invoke(["ps", "-a"], face)) == 0


def test_limits_change_while_a_container_runs(face: RecordingFace) -> None:
    invoke(["run", "-d", "--name", "grown", "-m", "64m", "busybox", "sleep", "600"], face)
    words = ["-m", "128m", "--memory-swap", "256m", "--cpus", "0.5", "--pids-limit", "9", "--restart", "on-failure:2"]
    assert invoke(["update", *words, "grown"], face) == "grown"
    asked = face.client.api.inspect_container("grown")["HostConfig"]
    assert (asked["Memory"], asked["NanoCpus"], asked["PidsLimit"]) == (128 << 20, 5 * 10**8, 9)
    assert asked["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    with pytest.raises(click.UsageError, match="nothing to change"):
        invoke(["update", "grown"], face)
    with pytest.raises(docker.errors.NotFound, match="nobody"):
        invoke(["container", "update", "-m", "64m", "nobody"], face)


@pytest.mark.parametrize("words", [["logs", "talker"], ["logs", "-f", "talker"], ["run", "busybox", "yes"]])
def test_who_reads_only_the_beginning_ends_the_command_quietly(face: RecordingFace, words: list[str]) -> None:
    invoke(["run", "-d", "--name", "talker", "--network", "none", "busybox", "sh", "-c", "seq 100000"], face)
    invoke(["wait", "talker"], face)
    program = "from nbcontainers.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NBCONTAINERS_HOST": str(face.url)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (-signal.SIGPIPE, b"")


def test_following_writes_lines_as_they_come(face: RecordingFace) -> None:
    invoke(["run", "-d", "--name", "talker", "--network", "none", "busybox", "sh", "-c", "echo out; echo oh >&2"], face)
    invoke(["logs", "-f", "--since", "1h", "talker"], face)
    assert (face.written, face.remarks) == (b"out\n", b"oh\n")
    invoke(["events", "--follow", "--since", "0", "--until", f"{time.time():.6f}", "--filter", "event=create"], face)
    assert b"container create" in face.written


def test_one_that_removes_itself_is_removed(face: RecordingFace) -> None:
    invoke(["run", "-d", "--rm", "--name", "passing", "--network", "none", "busybox", "sleep", "600"], face)
    assert invoke(["rm", "-f", "passing"], face) == "passing"
    assert "passing" not in set(invoke(["ps", "-a"], face)["name"])


def test_a_file_of_the_id_and_one_of_labels(face: RecordingFace, tmp_path: Path) -> None:
    id_file, labels = tmp_path / "id", tmp_path / "labels"
    labels.write_text("tier=web\n\n# no label\nbare\n")
    words = ["create", "--name", "target", "--cidfile", str(id_file), "--label-file", str(labels), "-l", "tier=own"]
    made = invoke([*words, "busybox", "true"], face)
    assert id_file.read_text() == made
    assert face.client.api.inspect_container("target")["Config"]["Labels"] == {"tier": "own", "bare": ""}
    with pytest.raises(click.ClickException, match="container ID file found"):
        invoke(["run", "--cidfile", str(id_file), "busybox", "true"], face)
    with pytest.raises(docker.errors.APIError):
        invoke(["create", "--name", "target", "--cidfile", str(tmp_path / "other"), "busybox", "true"], face)
    assert not (tmp_path / "other").exists()


def test_stopping_by_another_signal_and_a_template_of_use(face: RecordingFace) -> None:
    invoke(["run", "-d", "--name", "target", "--network", "none", "busybox", "sleep", "600"], face)
    wanted = ["stats", "--format", "{{.Name}} {{.CPUPerc}} {{.PIDs}}"]
    until(lambda: re.fullmatch(r"target \d+\.\d+% \d+", invoke(wanted, face)) is not None)
    assert invoke(["stop", "-s", "KILL", "--timeout", "600", "target"], face) == "target"
    assert face.client.api.inspect_container("target")["State"]["ExitCode"] == 137

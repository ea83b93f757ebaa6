"""Builds through docker-py and the docker CLI: what each instruction leaves in the image, cache, streams, errors."""

import hashlib
import http.server
import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, BuildError, ImageNotFound

from tests.engine_process import EngineProcess, running_engine


def _tar(files: dict[str, bytes | str], mode: str = "w") -> io.BytesIO:
    """Return an archive; a text is a link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            if isinstance(data, str):
                member.type, member.linkname = tarfile.SYMTYPE, data
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def _build(client: docker.DockerClient, text: str, files: dict[str, bytes | str] | None = None, **options: Any) -> str:
    """Build, and return everything that was told."""
    context = _tar({"Dockerfile": text.encode(), **(files or {})})
    messages = list(
        client.api.build(fileobj=context, custom_context=True, decode=True, tag="built", rm=True, **options)
    )
    failure = next((message for message in messages if "error" in message), None)
    if failure is not None:
        assert failure["errorDetail"]["message"] == failure["error"]
        raise BuildError(failure["error"], [])
    return "".join(message.get("stream", "") for message in messages)


def _run(client: docker.DockerClient, script: str, image: str = "built") -> str:
    output: bytes = client.containers.run(image, ["sh", "-c", script], remove=True, network_mode="none")
    return output.decode()


@pytest.fixture(autouse=True)
def _no_images_left(engine: EngineProcess) -> Iterator[None]:
    yield
    engine.remove_everything()
    for image in engine.client.images.list():
        if not {"busybox:latest", "host:latest"} & set(image.tags):
            engine.client.images.remove(image.id, force=True)


def test_a_client_of_buildkit_with_a_session(engine: EngineProcess) -> None:
    """As dockerode and testcontainers for Node ask for it: the context with the build, a session for credentials."""
    with socket.socket(socket.AF_UNIX) as session:
        session.settimeout(30)
        session.connect(engine.url.removeprefix("unix://"))
        session.sendall(b"POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        head = session.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nUpgrade: h2c\r\n" in head
        api = engine.client.api
        context = _tar({"Dockerfile": b"FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/x\n"})
        answer = api._post(api._url("/build"), data=context, params={"version": "2", "session": "s", "t": "built"})
        messages = [json.loads(line) for line in answer.text.splitlines()]
        (image,) = [message["aux"]["ID"] for message in messages if message.get("id") == "moby.image.id"]
        assert engine.client.images.get("built").id == image
        session.shutdown(socket.SHUT_WR)
        assert session.recv(1) == b""


def test_the_stream_is_the_classic_builders(client: docker.DockerClient) -> None:
    told = _build(client, "ARG V=1\nFROM busybox\nRUN echo out; echo err >&2\nENV A=$V\n")
    lines = told.splitlines()
    assert lines[0] == "Step 1/4 : ARG V=1"
    assert lines[1] == "Step 2/4 : FROM busybox"
    assert lines[4].startswith(" ---> Running in ")
    assert {"out", "\x1b[91merr"} <= set(lines)
    assert any(line.endswith("Removing intermediate container " + lines[4].split()[-1]) for line in lines)
    assert lines[-2].startswith("Successfully built ")
    assert lines[-1] == "Successfully tagged built:latest"
    image = client.images.get("built")
    assert image.short_id.removeprefix("sha256:") == lines[-2].split()[-1][: len(image.short_id) - 7]


def test_aux_has_the_id_and_quiet_says_nothing_else(client: docker.DockerClient) -> None:
    context = _tar({"Dockerfile": b"FROM busybox\nRUN echo loud"})
    messages = list(client.api.build(fileobj=context, custom_context=True, decode=True, quiet=True))
    image = messages[0]["aux"]["ID"]
    assert [message.get("stream") for message in messages[1:]] == [f"{image}\n"]


def test_copies(client: docker.DockerClient) -> None:
    files: dict[str, bytes | str] = {
        "a.txt": b"a",
        "b.txt": b"b",
        "dir/c.txt": b"c",
        "dir/sub/d.md": b"d",
        "dir/link": "c.txt",
        "top-link": "a.txt",
    }
    dockerfile = """
    FROM busybox AS base
    RUN mkdir /real && ln -s /real /alias && echo me:x:77:78::/:/bin/sh >> /etc/passwd
    FROM base
    COPY a.txt /one
    COPY *.txt /two/
    COPY dir /three
    COPY dir/ /alias/deep/
    COPY --chown=me:nobody --chmod=u=rw,go=r a.txt /four
    COPY --parents dir/sub/*.md /five/
    COPY --parents dir/./sub /six/
    COPY --exclude=*.txt --exclude=link dir /seven
    COPY top-link /eight
    COPY --link b.txt /alias2/nine
    COPY --from=busybox /bin/busybox /ten
    WORKDIR /w
    COPY a.txt b.txt ./
    """
    _build(client, "\n".join(line.strip() for line in dockerfile.splitlines()), files)
    script = (
        "cat /one; ls /two; cat /three/link; readlink /three/link; cat /real/deep/sub/d.md; stat -c '%U:%G %a' /four; "
        "find /five /six /seven -type f; stat -c '%F' /eight; cat /alias2/nine; cmp /ten /bin/busybox && ls /w"
    )
    shown = _run(client, script).split()
    assert shown[:3] == ["aa.txt", "b.txt", "cc.txt"]
    assert shown[3] == "dme:nobody"
    assert shown[4] == "644"
    assert sorted(shown[5:8]) == ["/five/dir/sub/d.md", "/seven/sub/d.md", "/six/sub/d.md"]
    assert shown[8:] == ["regular", "file", "ba.txt", "b.txt"]


def test_here_documents(client: docker.DockerClient) -> None:
    dockerfile = (
        "FROM busybox\nARG X=7\nCOPY <<A <<-'B' /d/\nx is ${X}\nA\n\t$X stays\n\tB\n"
        "RUN <<E\necho one > /r\necho two >> /r\nE\nRUN <<P cat > /p\npiped\nP\n"
        "RUN <<S\n#!/bin/sh -e\necho script > /s\nS\n"
    )
    _build(client, dockerfile)
    assert _run(client, "cat /d/A /d/B /r /p /s") == "x is 7\n$X stays\none\ntwo\npiped\nscript\n"


def test_archives_and_urls(client: docker.DockerClient, served: str) -> None:
    inner = _tar({"in/x": b"unpacked", "in/link": "x"}, "w:gz").getvalue()
    checksum = hashlib.sha256(b"fetched").hexdigest()
    dockerfile = (
        f"FROM busybox\nADD inner.tar.gz /a/\nCOPY inner.tar.gz /b/\nADD {served}/file.txt /c/\n"
        f"ADD --checksum=sha256:{checksum} --chmod=600 {served}/file.txt /d\nADD --unpack=false inner.tar.gz /e/\n"
    )
    _build(client, dockerfile, {"inner.tar.gz": inner}, network_mode="none")
    assert _run(client, "cat /a/in/link /c/file.txt /d; stat -c %a /d; ls /b /e") == (
        "unpackedfetchedfetched600\n/b:\ninner.tar.gz\n\n/e:\ninner.tar.gz\n"
    )
    with pytest.raises(BuildError, match="digest mismatch"):
        _build(client, f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {served}/file.txt /d")
    with pytest.raises(BuildError, match="status 404"):
        _build(client, f"FROM busybox\nADD {served}/missing /d")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine with one file, a Dockerfile and a context."""
    (tmp_path / "file.txt").write_bytes(b"fetched")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo remote > /r\n")
    (tmp_path / "context.tar.gz").write_bytes(
        _tar({"Dockerfile": b"FROM busybox\nCOPY x /x\n", "x": b"from afar"}, "w:gz").getvalue()
    )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *arguments: Any) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["Dockerfile", "context.tar.gz"])
def test_a_remote_context(client: docker.DockerClient, served: str, name: str) -> None:
    list(client.api.build(path=f"{served}/{name}", tag="built", decode=True))
    assert _run(client, "cat /r || cat /x").startswith(("remote", "from afar"))


def test_a_git_context_is_refused(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match="a git repository is not supported"):
        list(client.api.build(path="https://example.org/x.git", tag="built"))


@pytest.mark.parametrize("compression", ["w", "w:gz", "w:bz2", "w:xz"])
def test_contexts_in_every_compression(client: docker.DockerClient, compression: str) -> None:
    context = _tar({"Dockerfile": b"FROM busybox\nCOPY x /x", "x": b"1"}, compression)
    list(client.api.build(fileobj=context, custom_context=True, tag="built"))
    assert _run(client, "cat /x") == "1"


def test_mounts_of_run(client: docker.DockerClient) -> None:
    dockerfile = (
        "FROM busybox AS tools\nRUN mkdir /t && echo tool > /t/x && ln -s /t/x /t/l\n"
        "FROM busybox\n"
        "RUN --mount=type=bind,from=tools,source=/t,target=/m cat /m/x /m/l 2>&1 > /1; ! touch /m/y\n"
        "RUN --mount=target=/ctx,rw cat /ctx/f > /2 && touch /ctx/new\n"
        "RUN --mount=type=tmpfs,target=/tm,size=1m df /tm | tail -n 1 > /3 && touch /tm/gone\n"
        "RUN --mount=type=cache,target=/var/cache/x,uid=5,mode=0700 stat -c '%u %a' /var/cache/x > /4 && echo + "
        "> /var/cache/x/log\n"
        "RUN --mount=type=cache,id=/var/cache/x,target=/c,ro cat /c/log > /5; ! touch /c/y\n"
    )
    _build(client, dockerfile, {"f": b"context\n"})
    shown = _run(
        client, "cat /1 /2 /4 /5; awk '{print $2}' /3; ls -d /m /ctx /tm /var/cache /c 2>&1 | grep -vc No; true"
    )
    assert shown.split() == ["tool", "context", "5", "700", "+", "1024", "0"]
    assert client.api.prune_builds(filters={"label": "x"})["CachesDeleted"] is None  # nothing there has labels
    assert client.api.prune_builds()["SpaceReclaimed"] > 0


def test_a_locked_cache_is_for_one_at_a_time(client: docker.DockerClient) -> None:
    command = "mkdir /c/held && sleep 0.3 && rmdir /c/held"
    dockerfile = "".join(
        f"FROM busybox AS s{n}\nRUN --mount=type=cache,target=/c,sharing=locked {command} && touch /{n}\n"
        for n in (1, 2)
    )
    _build(client, dockerfile + "FROM busybox\nCOPY --from=s1 /1 /\nCOPY --from=s2 /2 /\n")
    client.api.prune_builds()


def test_secrets_are_seen_once_and_kept_nowhere(client: docker.DockerClient) -> None:
    answer = client.api.post(f"{client.api.base_url}/nbcontainers/v1/build/secrets", json={"key": "aHVzaA=="}).json()
    dockerfile = (
        "FROM busybox\nRUN --mount=type=secret,id=key,mode=0440,gid=9 stat -c '%a %g' /run/secrets/key > /m && wc -c "
        "< /run/secrets/key > /n\nRUN --mount=type=secret,id=key,env=K test ${#K} = 4 && ! test -e /run/secrets/key\n"
        "RUN --mount=type=secret,id=other ! test -e /run/secrets/other\n"
    )
    _build(client, dockerfile, buildargs={"NBCONTAINERS_SECRETS": answer["Token"]})
    assert _run(client, "cat /m /n; ls /run 2>/dev/null; true").split() == ["440", "9", "4"]
    assert "hush" not in json.dumps(client.api.history("built"))
    with pytest.raises(APIError, match="no longer kept"):
        _build(client, dockerfile, buildargs={"NBCONTAINERS_SECRETS": answer["Token"]})
    with pytest.raises(BuildError, match="secret key: not found"):
        _build(client, "FROM busybox\nRUN --mount=type=secret,id=key,required true")


def test_settings(client: docker.DockerClient) -> None:
    dockerfile = """FROM busybox
ENV A=1 B="two words"
ENV C $A$B
ENV PATH=$PATH:/more
ARG D=${A:-x}${NO:+y}
LABEL l="$D" "m n"=o
USER nobody:nobody
EXPOSE 80 90-91/UDP
VOLUME /v ["/w"]
WORKDIR /x
WORKDIR y
STOPSIGNAL SIGUSR1
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s --retries=2 CMD true
ENTRYPOINT ["echo"]
CMD shelled
ONBUILD RUN touch /triggered
"""
    _build(client, dockerfile, labels={"given": "yes"})
    config = client.api.inspect_image("built")["Config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert (environment["A"], environment["B"], environment["C"]) == ("1", "two words", "1two words")
    assert environment["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/more"
    assert "D" not in environment
    assert config["Labels"] == {"l": "1", "m n": "o", "given": "yes"}
    assert config["User"] == "nobody:nobody"
    assert set(config["ExposedPorts"]) == {"80/tcp", "90/udp", "91/udp"}
    assert config["WorkingDir"] == "/x/y"
    assert config["StopSignal"] == "SIGUSR1"
    assert config["Healthcheck"]["Interval"] == 5 * 10**9
    assert config["Entrypoint"] == ["echo"]
    assert config["Cmd"] == ["/bin/sh", "-ec", "shelled"]
    assert config["OnBuild"] == ["RUN touch /triggered"]


def test_triggers_run_in_the_image_built_on_it(client: docker.DockerClient) -> None:
    _build(client, "FROM busybox\nONBUILD COPY f /f\nONBUILD RUN cat /f > /g")
    client.images.get("built").tag("with-triggers")
    told = _build(client, "FROM with-triggers\nRUN echo last", {"f": b"triggered"})
    assert "# Executing 2 build triggers" in told
    assert _run(client, "cat /g") == "triggered"
    assert not client.api.inspect_image("built")["Config"].get("OnBuild")


def test_arguments(client: docker.DockerClient) -> None:
    dockerfile = (
        "ARG TAG=latest\nARG SHARED=global\nFROM busybox:$TAG\nRUN echo [$SHARED] > /1\nARG SHARED\nARG OWN=default\n"
        "ARG TARGETARCH\nRUN echo [$SHARED] [$OWN] [$TARGETARCH] [$HTTP_PROXY] > /2\n"
    )
    told = _build(client, dockerfile, buildargs={"OWN": "given", "HTTP_PROXY": "p", "UNUSED": "x"})
    assert "One or more build-args [UNUSED] were not consumed" in told
    assert "HTTP_PROXY" not in told.split("RUN")[0]
    shown = _run(client, "cat /1 /2; echo [$SHARED$OWN]").split()
    assert (shown[:3], shown[4:]) == (["[]", "[global]", "[given]"], ["[p]", "[]"])
    assert "p]" not in json.dumps(client.api.history("built"))


CACHED = "FROM busybox\nRUN head -c 8 /dev/urandom > /r\nCOPY f /f\nRUN cat /f > /g\n"


def test_the_cache_goes_by_content(client: docker.DockerClient) -> None:
    def hits(told: str) -> int:
        return told.count("---> Using cache")

    assert hits(_build(client, CACHED, {"f": b"1"})) == 0
    first = client.images.get("built").id
    assert hits(_build(client, CACHED, {"f": b"1"})) == 3
    assert client.images.get("built").id == first
    assert hits(_build(client, CACHED, {"f": b"2"})) == 1
    assert hits(_build(client, CACHED, {"f": b"1"})) == 3
    assert hits(_build(client, CACHED, {"f": b"1"}, nocache=True)) == 0
    assert hits(_build(client, CACHED, {"f": b"1"}, cache_from=["no-such-image"])) == 0
    client.images.get(first).tag("source")
    assert hits(_build(client, CACHED, {"f": b"1"}, cache_from=["source"])) == 3


def test_what_a_stage_has_counts_not_how_it_was_made(client: docker.DockerClient) -> None:
    dockerfile = (
        "FROM busybox AS a\nRUN mkdir /d && head -c 8 /dev/urandom > /d/r\n"
        "FROM busybox\nCOPY --from=a /d /d\nCOPY --from=busybox /etc/passwd /p\nRUN true\n"
    )
    _build(client, dockerfile)
    made = _run(client, "cat /d/r | base64")
    for _ in range(3):
        assert _build(client, dockerfile).count("---> Using cache") == 4
    assert "---> Using cache" not in _build(client, dockerfile, target="a", nocache=True)
    again = _run(client, "cat /d/r | base64")
    assert _build(client, dockerfile).count("---> Using cache") == 1
    assert _run(client, "cat /d/r | base64") == again != made
    excluding = dockerfile.replace("--from=a", "--from=a --exclude=r")
    _build(client, excluding)
    assert _run(client, "ls /d") == ""


def test_a_failed_build_keeps_its_finished_steps_and_no_image(client: docker.DockerClient) -> None:
    dockerfile = "FROM busybox\nRUN head -c 8 /dev/urandom > /kept\nRUN exit 3\n"
    with pytest.raises(BuildError, match="returned a non-zero code: 3"):
        _build(client, dockerfile)
    with pytest.raises(ImageNotFound):
        client.images.get("built")
    assert "---> Using cache" in _build(client, dockerfile.replace("exit 3", "true"))


@pytest.mark.parametrize(
    ("dockerfile", "place"),
    [
        (
            "FROM busybox\n\n  COPY --link nope /x",
            "Dockerfile:3:15\n  3 |   COPY --link nope /x\n    |               ^",
        ),
        ("FROM busybox\nCOPY Dockerfile n*pe* /x/\nADD x?z /x/", "Dockerfile:3:1\n"),
        ("FROM busybox\nCOPY --from=0/none f /x", "Dockerfile:2:13\n"),
        ("FROM busybox\nCOPY --chown=nobody7 Dockerfile /x", "Dockerfile:2:14\n"),
        ("FROM busybox\nUSER nobody7\nRUN true", "Dockerfile:3:1\n"),
        ("FROM busybox\nRUN true \\\n  && false", "Dockerfile:2:1\n  2 | RUN true \\\n    | ^"),
        ("FROM busybox\nRUN exit 3", "Dockerfile:2:5\n"),
        ("FROM busybox\nWORKDIR /bin/busybox/x", "Dockerfile:2:"),
        ("FROM busybox AS a\nFROM 127.0.0.1:1/none:7", "Dockerfile:2:6\n"),
    ],
)
def test_what_fails_later_shows_its_line(client: docker.DockerClient, dockerfile: str, place: str) -> None:
    with pytest.raises((BuildError, APIError)) as failed:
        _build(client, dockerfile)
    assert f"\n{place}" in str(failed.value)


def test_the_same_digest_twice(client: docker.DockerClient) -> None:
    dockerfile = "FROM busybox\nRUN mkdir /d && echo x > /d/f && ln -s f /d/l\nCOPY f /g\nWORKDIR /new/dir\n"
    ids = []
    for _ in range(2):
        _build(client, dockerfile, {"f": b"1"}, nocache=True, buildargs={"SOURCE_DATE_EPOCH": "1700000000"})
        ids.append(client.images.get("built").id)
    assert ids[0] == ids[1]
    assert client.api.inspect_image("built")["Created"].startswith("2023-11-14T22:13:20")
    assert _run(client, "stat -c %Y /d/f /d /new") == "1700000000\n" * 3


def test_a_build_held_to_a_time_is_the_same_from_any_cache_and_engine(client: docker.DockerClient) -> None:
    dockerfile = (
        "FROM busybox AS a\nRUN echo 1 > /1 && ln /1 /2\nFROM busybox\nCOPY --link f /f\nCOPY --from=a /1 /2 /\n"
    )
    held = {"SOURCE_DATE_EPOCH": "1700000000"}
    built = []
    for options in ({}, {"buildargs": held}, {"buildargs": held}, {"buildargs": held, "nocache": True}):
        _build(client, dockerfile, {"f": b"1"}, **options)
        built.append(client.images.get("built").id)
    assert len(set(built[1:])) == 1
    assert built[0] != built[1]
    base = b"".join(client.api.get_image("busybox"))
    with running_engine() as other:
        other.client.images.load(base)
        _build(other.client, dockerfile, {"f": b"1"}, buildargs=held)
        assert other.client.images.get("built").id == built[1]


def test_a_base_that_cannot_be_had_is_named(client: docker.DockerClient) -> None:
    with pytest.raises(APIError, match=r"cannot pull '127\.0\.0\.1:1/app': the registry .* be reached"):
        _build(client, "FROM 127.0.0.1:1/app\nRUN true")


def test_stages_run_side_by_side_and_unused_ones_do_not(client: docker.DockerClient) -> None:
    dockerfile = (
        "FROM busybox AS a\nRUN cat /proc/uptime > /a; sleep 2; cat /proc/uptime >> /a\n"
        "FROM busybox AS b\nRUN cat /proc/uptime > /b; sleep 2; cat /proc/uptime >> /b\n"
        "FROM busybox AS unused\nRUN exit 9\nFROM busybox AS last\nCOPY --from=a /a /\nCOPY --from=1 /b /\n"
    )
    told = _build(client, dockerfile)
    begin_a, end_a, begin_b, end_b = map(float, _run(client, "cut -d' ' -f1 /a /b").split())
    assert max(begin_a, begin_b) < min(end_a, end_b)
    assert "Step 7/7" in told
    assert "unused" not in told
    _build(client, dockerfile, target="a")
    assert _run(client, "ls /a /b 2>&1 | grep -c No") == "1\n"


def test_a_stage_that_fails_ends_the_others(client: docker.DockerClient) -> None:
    dockerfile = "FROM busybox AS a\nRUN sleep 30\nFROM busybox AS b\nRUN exit 4\nFROM a\nCOPY --from=b /x /"
    began = time.monotonic()
    with pytest.raises(BuildError, match="non-zero code: 4"):
        _build(client, dockerfile)
    assert time.monotonic() - began < 15


def test_ignore_files(client: docker.DockerClient) -> None:
    files: dict[str, bytes | str] = {
        ".dockerignore": b"*.log\nsecret\n!keep.log\n",
        "a.log": b"",
        "keep.log": b"",
        "secret/x": b"",
        "b": b"",
        "other.Dockerfile": b"FROM busybox\nCOPY . /c",
        "other.Dockerfile.dockerignore": b"b\n",
    }
    _build(client, "FROM busybox\nCOPY . /c\nRUN --mount=target=/m ls -A /m > /m.txt", files)
    assert set(_run(client, "ls -A /c").split()) >= {"keep.log", "b", "Dockerfile"}
    assert not {"a.log", "secret"} & set(_run(client, "ls -A /c; cat /m.txt").split())
    _build(client, "FROM busybox", files, dockerfile="other.Dockerfile")
    assert "b" not in _run(client, "ls -A /c").split()
    with pytest.raises(BuildError, match="file not found in build context or excluded by"):
        _build(client, "FROM busybox\nCOPY secret /s", files)


def test_limits_and_hosts_of_run(client: docker.DockerClient) -> None:
    dockerfile = (
        "FROM busybox\nRUN cat /etc/hosts > /h; df -k /dev/shm | tail -n 1 > /s\nRUN --network=none ip link > /i\n"
    )
    _build(
        client, dockerfile, extra_hosts={"far.test": "10.1.2.3"}, shmsize=1 << 20, container_limits={"memory": 64 << 20}
    )
    shown = _run(client, "cat /h; awk '{print $2}' /s; grep -c : /i")
    assert "10.1.2.3\tfar.test" in shown
    assert "\n1024\n" in shown
    with pytest.raises(APIError, match="minimum memory limit"):
        _build(client, dockerfile, container_limits={"memory": 1})


def test_names_in_a_network_of_ones_own(client: docker.DockerClient, engine: EngineProcess) -> None:
    network = client.networks.create("build-names")
    try:
        client.containers.run("busybox", ["sleep", "60"], detach=True, name="answering", network="build-names")
        _build(
            client,
            "FROM busybox\nRUN ping -c 1 answering > /n; ! ping -c 1 -W 1 nobody.invalid",
            network_mode=network.id,
        )
        assert "1 packets received" in _run(client, "cat /n")
    finally:
        engine.remove_everything()
        network.remove()


def test_links_in_a_context_lead_nowhere(client: docker.DockerClient) -> None:
    files: dict[str, bytes | str] = {"up": "../../../../etc/passwd", "abs": "/etc/shadow", "d/x": b"1"}
    with pytest.raises(BuildError, match="file not found in build context"):
        _build(client, "FROM busybox\nCOPY abs /stolen", files)
    _build(client, "FROM busybox\nRUN ln -s /etc /out\nCOPY d /out/\nCOPY d/ /tmp/../../../out2/", files)
    assert _run(client, "cat /etc/x /out2/x") == "11"
    assert not Path("/etc/x").exists()


REFUSED = [
    ({"squash": True}, "squash is not supported"),
    ({"platform": "foobar"}, '"foobar": unknown operating system or architecture: invalid argument'),
    ({"platform": "windows"}, "images for linux are built"),
    ({"target": "nothing"}, "target stage 'nothing' could not be found"),
    ({"isolation": "hyperv"}, "'isolation' is not supported"),
    ({"network_mode": "no-such-network"}, "network no-such-network not found"),
    ({"dockerfile": "missing"}, "Cannot locate specified Dockerfile: missing"),
    ({"extra_hosts": {"x": ""}}, "bad format for add-host"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[row[1] for row in REFUSED])
def test_what_is_refused_says_why(client: docker.DockerClient, options: dict[str, Any], message: str) -> None:
    with pytest.raises((APIError, BuildError), match=message):
        _build(client, "FROM busybox\nRUN true", **options)


def test_a_context_in_a_session_is_refused_with_the_way_out(client: docker.DockerClient) -> None:
    answer = client.api.post(f"{client.api.base_url}/v1.47/build", params={"version": "2", "remote": "client-session"})
    assert answer.status_code == 501
    assert "set DOCKER_BUILDKIT=0" in answer.json()["message"]


def test_errors_show_the_line_and_what_was_meant(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "My.Dockerfile").write_text("FROM busybox\nRUN true\n  COPPY a \\\n b\n")
    done = cli.docker("build", "-f", str(tmp_path / "My.Dockerfile"), str(tmp_path), check=False)
    assert done.returncode == 1
    assert b"line 3, column 3: unknown instruction: COPPY (did you mean COPY?)" in done.stderr
    assert b"My.Dockerfile:3:3\n  3 |   COPPY a" in done.stderr
    assert b"\n    |   ^" in done.stderr


def test_the_docker_cli(cli: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox AS one\nARG W=x\nCOPY w* /\nRUN echo $W > /out\nCMD ["cat", "/out"]\n'
    )
    (tmp_path / "word").write_text("w")
    iid = tmp_path / "iid"
    cli.docker("build", "-t", "cli:1", "-t", "cli:2", "--build-arg", "W=given", "--iidfile", str(iid), str(tmp_path))
    assert cli.docker("run", "--rm", "cli:2").stdout == b"given\n"
    assert cli.client.images.get("cli:1").id == iid.read_text()
    quiet = cli.docker("build", "-q", "--build-arg", "W=given", str(tmp_path)).stdout.decode().strip()
    assert quiet == iid.read_text()
    from_stdin = cli.docker("build", "-t", "cli:3", "-", stdin=b"FROM busybox\nRUN echo piped > /p\n").stdout
    assert b"Successfully tagged cli:3" in from_stdin
    context = _tar({"D": b"FROM busybox\nCOPY x /x", "x": b"1"}, "w:gz").getvalue()
    assert b"Successfully" in cli.docker("build", "-f", "D", "-", stdin=context).stdout


def test_an_interrupted_build_leaves_nothing_but_finished_steps(
    client: docker.DockerClient, engine: EngineProcess
) -> None:
    context = _tar({"Dockerfile": b"FROM busybox\nRUN echo done > /d\nRUN sleep 60\n"})
    stream = client.api.build(fileobj=context, custom_context=True, decode=True, tag="built")
    for message in stream:
        if "Step 3/3" in message.get("stream", ""):
            break
    stream.close()
    engine.kill()
    assert engine.start() == "ready"
    with pytest.raises(ImageNotFound):
        engine.client.images.get("built")
    assert list((engine.root / "build" / "scratch").iterdir()) == []
    told = _build(engine.client, "FROM busybox\nRUN echo done > /d\nRUN true\n")
    assert told.count("Using cache") == 1


def test_finished_steps_of_a_failed_build_stay_until_they_are_pruned(
    client: docker.DockerClient, engine: EngineProcess
) -> None:
    dockerfile = "FROM busybox\nRUN head -c 5000 /dev/zero > /z\nRUN {}\n"
    for _ in range(2):
        with pytest.raises(BuildError):
            _build(client, dockerfile.format("false"))
    client.api.import_image_from_data(_tar({"f": b"1"}).read(), repository="other", tag="1")
    client.images.remove("other:1")
    assert engine.stop() == 0
    assert engine.start() == "ready"
    (row,) = (one for one in engine.client.api.df()["BuildCache"] if one["Size"] == 5000)
    assert (row["UsageCount"], row["LastUsedAt"] >= row["CreatedAt"]) == (1, True)
    assert _build(engine.client, dockerfile.format("true")).count("Using cache") == 1
    engine.client.images.remove("built")
    with pytest.raises(BuildError):
        _build(engine.client, dockerfile.format("false"))
    assert engine.client.api.prune_builds()["SpaceReclaimed"] >= 5000
    assert "Using cache" not in _build(engine.client, dockerfile.format("true"))

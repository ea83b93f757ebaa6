"""Images through archives by the stock docker CLI and docker-py; lists and removals as Docker has them."""

import contextlib
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.busybox import root_file_system
from tests.engine_process import EngineProcess
from tests.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.peer]


@contextlib.contextmanager
def serving(data: bytes) -> Iterator[str]:
    """Serve bytes over HTTP, on a port of the kernel's choice."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/root.tar" else 404)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_save_and_load(cli: EngineProcess, client: docker.DockerClient, tmp_path: Path) -> None:
    client.api.import_image_from_data(root_file_system(), repository="moved", tag="1", changes=["LABEL kept=yes"])
    before = client.images.get("moved:1").attrs
    cli.docker("tag", "moved:1", "localhost:5000/moved:2")
    saved = cli.docker("save", "moved:1", "localhost:5000/moved:2").stdout
    assert cli.docker("save", before["Id"]).stdout != saved  # without names
    cli.docker("rmi", "moved:1", "localhost:5000/moved:2")
    told = cli.docker("load", stdin=saved).stdout.decode().splitlines()
    assert told == ["Loaded image: moved:1", "Loaded image: localhost:5000/moved:2"]
    after = client.images.get("moved:1").attrs
    for changed in ("Metadata", "GraphDriver", "RepoTags"):
        assert before.pop(changed) != after.pop(changed)
    assert after == before
    assert cli.docker("save", "moved:1", "localhost:5000/moved:2").stdout == saved
    lines = [
        json.loads(line) for line in _post(cli, "/images/load?quiet=0", saved).splitlines() if line.startswith(b"{")
    ]
    assert [line["progressDetail"]["current"] for line in lines if "progressDetail" in line][-1] > 1_000_000
    for name in ("moved:1", "localhost:5000/moved:2"):
        client.images.remove(name)
    done = cli.docker("load", stdin=b"nothing like it", check=False)
    assert (done.returncode, b"cannot read the archive" in done.stderr) == (1, True)


def _post(cli: EngineProcess, path: str, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(cli.socket))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_a_load_that_breaks_off_leaves_nothing(cli: EngineProcess, client: docker.DockerClient) -> None:
    saved = b"".join(client.images.get("busybox").save())
    places = [cli.root / "images/snapshots" / name for name in ("layers", "active")]

    def there() -> list[str]:
        return sorted(name for place in places for name in os.listdir(place))

    before = there()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(cli.socket))
        head = f"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: {len(saved)}\r\n\r\n"
        connection.sendall(head.encode() + saved[: len(saved) // 2])
        until(lambda: there() != before)
    until(lambda: there() == before)


def test_import_from_a_url(cli: EngineProcess, client: docker.DockerClient) -> None:
    with serving(root_file_system()) as url:
        image = cli.docker("import", "-c", "CMD true", f"{url}/root.tar", "fetched:1").stdout.decode().strip()
        refused = cli.docker("import", f"{url}/nothing", check=False)
    assert b"404" in refused.stderr
    assert client.images.get("fetched:1").id == image
    assert client.api.history(image)[0]["Comment"].startswith("Imported from http://127.0.0.1")
    client.images.remove("fetched:1")


@pytest.fixture
def named(client: docker.DockerClient) -> Iterator[str]:
    client.api.import_image_from_data(root_file_system(), repository="named", tag="1", changes=["LABEL a=1"])
    for repository in ("team/named", "localhost:5000/named"):
        client.api.tag("named:1", repository, "2")
    yield "named:1"
    for image in client.images.list(filters={"label": "a=1"}):
        client.images.remove(image.id, force=True)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("named", ["named:1"]),
        ("na*", ["named:1"]),
        ("*/named", ["localhost:5000/named:2", "team/named:2"]),
        ("team/*", ["team/named:2"]),
        ("*/*:[13]", []),
        ("*/*:[!13]", []),
        ("*/named:[^13]", ["localhost:5000/named:2", "team/named:2"]),
        ("localhost:5000/named:?", ["localhost:5000/named:2"]),
    ],
)
def test_references_that_fit_a_pattern(
    client: docker.DockerClient, named: str, pattern: str, expected: list[str]
) -> None:
    found = client.api.images(filters={"reference": pattern})
    assert sorted(tag for image in found for tag in image["RepoTags"]) == expected


@pytest.mark.parametrize("filters", [{"reference": "["}, {"dangling": "perhaps"}, {"until": "x"}, {"other": "x"}])
def test_filters_that_make_no_sense(client: docker.DockerClient, filters: dict[str, str]) -> None:
    with pytest.raises(docker.errors.APIError) as refused:
        client.api.images(filters=filters)
    assert refused.value.status_code == 400


def test_removing_by_dockers_rules(client: docker.DockerClient, named: str) -> None:
    def refusal(name: str, **options: Any) -> str:
        with pytest.raises(docker.errors.APIError) as refused:
            client.images.remove(name, **options)
        assert refused.value.status_code == 409
        return str(refused.value.explanation)

    identifier = client.images.get(named).id
    assert "must be forced) - image is referenced in multiple repositories" in refusal(identifier)
    client.images.remove("team/named:2")
    client.images.remove("localhost:5000/named:2")
    container = client.containers.run(named, ["sleep", "600"], detach=True)
    assert "(must force) - container" in refusal(named)
    assert "cannot be forced) - image is being used by running container" in refusal(identifier, force=True)
    container.kill()
    container.wait()
    assert "must be forced) - image is being used by stopped container" in refusal(identifier)
    client.images.remove(identifier, force=True)
    container.start()  # what it stands on is still there
    container.remove(force=True)


def test_inspect_has_dockers_keys(client: docker.DockerClient, named: str) -> None:
    attrs = client.images.get(named).attrs
    assert {"Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "Config", "Architecture"} <= set(attrs)
    assert {"Os", "Size", "GraphDriver", "RootFS", "Metadata", "Author", "DockerVersion"} <= set(attrs)
    assert Path(attrs["GraphDriver"]["Data"]["UpperDir"]).joinpath("bin/busybox").exists()
    assert attrs["Metadata"]["LastTagTime"] > attrs["Created"]
    assert attrs["Config"] == {**attrs["Config"], "Hostname": "", "Cmd": None, "Labels": {"a": "1"}, "OpenStdin": False}

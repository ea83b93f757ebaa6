"""``login``, ``logout``, ``pull``, ``push`` and ``run`` of what is not here, by our own commands and in a notebook."""

import json
import os
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import docker.errors
import nbformat
import pytest
from nbclient import NotebookClient

from nbcontainers.cli import invoke
from tests.conftest import RecordingFace
from tests.engine_process import EngineProcess
from tests.images.registry.servers import PASSWORD, USER, RegistryServer

pytestmark = [pytest.mark.root, pytest.mark.registry]
HELPER = """#!/bin/sh
# A credential helper that keeps what it is given in one file.
case $1 in
  store) cat > {file} ;;
  get) [ -e {file} ] && cat {file} || {{ echo credentials not found in native keychain; exit 1; }} ;;
  erase) rm -f {file} ;;
esac
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration, in a folder of its own."""
    directory = tmp_path / "docker"
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    return directory / "config.json"


def logged_in(face: RecordingFace, server: str, password: str = PASSWORD) -> object:
    face.stdin = password.encode() + b"\n"
    try:
        return invoke(["login", "-u", USER, "--password-stdin", server], face)
    finally:
        face.stdin = None


def test_login_is_kept_as_docker_keeps_it(face: RecordingFace, private_registry: RegistryServer, config: Path) -> None:
    config.parent.mkdir()
    config.write_text('{"psFormat": "kept"}')
    with pytest.raises(docker.errors.APIError, match="401 Unauthorized"):
        logged_in(face, private_registry.address, "wrong")
    assert "auths" not in json.loads(config.read_text())
    assert logged_in(face, f"http://{private_registry.address}/v2/") == "Login Succeeded"
    assert b"stored unencrypted" in face.remarks
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    kept = json.loads(config.read_text())
    assert (list(kept["auths"]), kept["psFormat"]) == ([private_registry.address], "kept")
    assert invoke(["login", private_registry.address], face) == "Login Succeeded"
    assert b"existing credentials" in face.written
    assert "Removing login credentials" in invoke(["logout", private_registry.address], face)
    assert json.loads(config.read_text()) == {"auths": {}, "psFormat": "kept"}
    assert "Not logged in" in invoke(["logout", private_registry.address], face)


def test_helper_keeps_the_password(
    face: RecordingFace, private_registry: RegistryServer, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = config.parent / "kept"
    config.parent.mkdir()
    helper = config.parent / "docker-credential-test"
    helper.write_text(HELPER.format(file=kept))
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{config.parent}:{os.environ['PATH']}")
    config.write_text(json.dumps({"credHelpers": {private_registry.address: "test"}}))
    logged_in(face, private_registry.address)
    assert json.loads(kept.read_text())["Secret"] == PASSWORD
    assert PASSWORD not in config.read_text()
    assert invoke(["login", private_registry.address], face) == "Login Succeeded"
    invoke(["logout", private_registry.address], face)
    assert not kept.exists()


def test_push_pull_and_run(face: RecordingFace, private_registry: RegistryServer) -> None:
    name = f"{private_registry.address}/team/cli:1"
    invoke(["tag", "busybox", name], face)
    with pytest.raises(click.ClickException, match="no basic auth credentials"):
        invoke(["push", name], face)
    logged_in(face, private_registry.address)
    face.written = b""
    assert invoke(["push", name], face) == name
    assert b": Pushed\n" in face.written
    assert b"1: digest: sha256:" in face.written
    invoke(["rmi", name], face)
    with pytest.raises(docker.errors.ImageNotFound):
        invoke(["run", "--rm", "--pull", "never", name, "true"], face)
    face.written, face.remarks = b"", b""
    assert invoke(["run", "--rm", name, "echo", "pulled"], face) == 0
    assert face.written == b"pulled\n"
    assert f"Unable to find image '{name}' locally".encode() in face.remarks
    assert b"Status: Downloaded newer image" in face.remarks
    face.written = b""
    assert invoke(["pull", "-q", name], face) == name
    assert face.written == b""
    assert invoke(["image", "pull", "--all-tags", name.rpartition(":")[0]], face) == name.rpartition(":")[0]
    with pytest.raises(docker.errors.NotFound, match="manifest unknown"):
        invoke(["pull", f"{private_registry.address}/team/cli:2"], face)
    with pytest.raises(click.UsageError, match="--all-tags"):
        invoke(["pull", "-a", name], face)
    invoke(["rmi", name], face)


def test_search(face: RecordingFace, private_registry: RegistryServer) -> None:
    with pytest.raises(docker.errors.APIError, match="offers no search"):
        invoke(["search", "--limit", "3", f"{private_registry.address}/app"], face)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Index) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            table = invoke(["search", "--filter", "stars=5", f"127.0.0.1:{server.server_port}/app"], face)
        finally:
            server.shutdown()
            serving.join()
    assert table.to_dict("records") == [{"name": "team/app", "description": "", "stars": 7, "official": False}]


class _Index(BaseHTTPRequestHandler):
    """A registry that can be searched."""

    def do_GET(self) -> None:
        rows = [{"name": name, "star_count": stars, "description": ""} for name, stars in (("team/app", 7), ("app", 1))]
        body = json.dumps({"num_results": 2, "results": rows}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_at_a_terminal(face: RecordingFace, faces_engine: EngineProcess, private_registry: RegistryServer) -> None:
    name = f"{private_registry.address}/team/terminal:1"
    invoke(["tag", "busybox", name], face)
    command = [sys.executable, "-c", "from nbcontainers.cli import main; main()"]
    environment = {**os.environ, "NBCONTAINERS_HOST": faces_engine.url}

    def said(*words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*command, *words], input=stdin, text=True, capture_output=True, env=environment, check=True, timeout=60
        )
        return done.stdout

    assert (
        said("login", "-u", USER, "--password-stdin", private_registry.address, stdin=PASSWORD) == "Login Succeeded\n"
    )
    assert said("push", name).endswith(f"{name}\n")
    # script(1) gives it a terminal, where layers have bars.
    line = " ".join([sys.executable, "-c", "'from nbcontainers.cli import main; main()'", "pull", name])
    shown = subprocess.run(
        ["script", "-qec", line, "/dev/null"], capture_output=True, env=environment, check=True, timeout=60
    )
    assert b"Status: Image is up to date" in shown.stdout
    invoke(["rmi", name], face)


@pytest.mark.filterwarnings("ignore")
def test_in_a_notebook(
    face: RecordingFace, faces_engine: EngineProcess, private_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBCONTAINERS_HOST", faces_engine.url)
    name = f"{private_registry.address}/team/notebook:1"
    sources = [
        "%load_ext nbcontainers",
        f"%%container login -u {USER} --password-stdin {private_registry.address}\n{PASSWORD}",
        f"%container tag busybox {name}\n%container push {name}",
        f"%container rmi {name}\n%container run --rm {name} echo from the registry",
        f"%container rmi {name}\n%container pull {name}",
        f"%container push {private_registry.address}/nowhere",
        f"%container rmi {name}",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    shown = [json.dumps(cell.outputs, ensure_ascii=False) for cell in notebook.cells]
    assert "Login Succeeded" in shown[1]
    assert "✓ 1 of 1 layers" in shown[2]
    assert "1: digest: sha256:" in shown[2]
    assert "from the registry" in shown[3]
    assert "✓" in shown[4]
    assert "Status: Downloaded newer image" in shown[4]
    assert "does not exist locally with the tag" in shown[5]
    assert "Traceback" not in "".join(shown)
    assert all(len(text) < 5000 for text in shown)

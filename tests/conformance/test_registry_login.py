"""Logging in to a registry: ``docker login``, docker-py and plain requests."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.errors
import pytest

from tests.engine_process import EngineProcess, running_engine
from tests.images.registry.servers import PASSWORD, USER, RegistryServer, TokenServer, running_registry

pytestmark = [pytest.mark.root, pytest.mark.registry]


@pytest.fixture(scope="module")
def engine(need: Callable[..., None]) -> Iterator[EngineProcess]:
    need("root")
    with running_engine() as running:
        yield running


@pytest.mark.peer
def test_docker_cli_logs_in_and_out(engine: EngineProcess, private_registry: RegistryServer, tmp_path: Path) -> None:
    def docker_cli(*words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "DOCKER_HOST": engine.url, "DOCKER_CONFIG": str(tmp_path)}
        command = ["docker", *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, check=False)

    refused = docker_cli("login", "-u", USER, "--password-stdin", private_registry.address, stdin="wrong")
    assert refused.returncode == 1
    assert "401 Unauthorized" in refused.stderr
    accepted = docker_cli("login", "-u", USER, "--password-stdin", private_registry.address, stdin=PASSWORD)
    assert "Login Succeeded" in accepted.stdout
    kept = json.loads((tmp_path / "config.json").read_text())["auths"][private_registry.address]["auth"]
    assert base64.b64decode(kept).decode() == f"{USER}:{PASSWORD}"
    assert docker_cli("logout", private_registry.address).returncode == 0


def test_docker_py_logs_in(engine: EngineProcess, private_registry: RegistryServer) -> None:
    answer = engine.client.login(USER, PASSWORD, registry=private_registry.address, reauth=True)
    assert answer == {"Status": "Login Succeeded", "IdentityToken": ""}
    with pytest.raises(docker.errors.APIError) as refused:
        engine.client.login(USER, "wrong", registry=f"http://{private_registry.address}/v2/", reauth=True)
    assert refused.value.status_code == 401
    with pytest.raises(docker.errors.APIError, match="connection refused") as unreachable:
        engine.client.login(USER, PASSWORD, registry="127.0.0.1:1", reauth=True)
    assert unreachable.value.status_code == 500


def test_token_server_gives_an_identity_token(engine: EngineProcess) -> None:
    with TokenServer() as tokens, running_registry(tokens=tokens) as server:
        answer = engine.client.login(USER, PASSWORD, registry=server.address, reauth=True)
        assert answer == {"Status": "Login Succeeded", "IdentityToken": tokens.refresh_token}
        with pytest.raises(docker.errors.APIError, match="bad credentials") as refused:
            engine.client.login(USER, "wrong", registry=server.address, reauth=True)
        assert refused.value.status_code == 401


def test_info_tells_how_registries_are_reached(engine: EngineProcess) -> None:
    config = engine.client.info()["RegistryConfig"]
    assert config["InsecureRegistryCIDRs"] == ["127.0.0.0/8", "::1/128"]
    assert config["IndexConfigs"]["docker.io"]["Secure"]

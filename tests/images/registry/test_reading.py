"""What is read from headers, the environment and the administrator's file: tables."""

from pathlib import Path

import pytest
from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry.challenges import choose, parse
from nbcontainers.images.registry.hosts import Hosts, registry_name
from nbcontainers.images.registry.proxies import proxy_of
from nbcontainers.images.registry.settings import Settings, load


def test_challenges() -> None:
    bearer = 'Bearer realm="https://auth/token",service="reg", scope="repository:a/b:pull,push repository:c:pull"'
    found = choose(['Basic realm="x, y=\\"z\\""', bearer])
    assert found is not None
    assert (found.scheme, found.parameters["service"]) == ("bearer", "reg")
    assert found.scopes == ("repository:a/b:pull,push", "repository:c:pull")
    both = parse(['Basic realm="x, y=\\"z\\"", Bearer realm=bare'])
    assert [(one.scheme, one.parameters["realm"]) for one in both] == [("basic", 'x, y="z"'), ("bearer", "bare")]
    assert choose(["Negotiate", "=nonsense", ""]) is None


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://registry.example", "", False),
        ("https://registry.example", "example", True),
        ("https://registry.example", ".example", True),
        ("https://registry.example", "registry.example:444", False),
        ("https://registry.example:444", "registry.example:444", True),
        ("https://notexample", "example", False),
        ("https://10.1.2.3:5000", "10.0.0.0/8", True),
        ("https://10.1.2.3:5000", "10.1.2.4, 10.1.2.3", True),
        ("https://registry.example", "other, *", True),
        ("http://localhost:5000", "", True),
        ("http://127.0.0.5", "", True),
    ],
)
def test_proxies(url: str, no_proxy: str, direct: bool) -> None:
    environment = {"HTTPS_PROXY": "http://proxy:1", "http_proxy": "proxy:2", "NO_PROXY": no_proxy}
    wanted = None if direct else URL("http://proxy:1")
    assert proxy_of(URL(url), environment) == wanted


def test_settings_are_the_files_and_the_command_lines(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    file.write_text('{"insecure-registries": ["reg:5000"], "registry-mirrors": ["https://mirror.example/"]}')
    settings = load(file, ["10.0.0.0/8"], ["http://first:80"], [])
    assert settings.insecure == ("10.0.0.0/8", "reg:5000")
    assert settings.mirrors == ("http://first:80", "https://mirror.example")
    with pytest.raises(errors.InvalidArgument, match="'https://reg'"):
        load(file, ["https://reg"], [], [])
    with pytest.raises(errors.InvalidArgument, match="without a path"):
        load(file, [], ["https://mirror/path"], [])
    with pytest.raises(errors.InvalidArgument, match=f"certificates '{tmp_path}/certs' does not exist"):
        load(file, [], [], [tmp_path / "certs"])
    assert load(file, [], [], [tmp_path]).certificates == (tmp_path,)
    assert load(file, [], [], []).certificates[:2] == (Path("/etc/docker/certs.d"), Path("/etc/nbcontainers/certs.d"))
    file.write_text('{"insecure-registry": []}')
    with pytest.raises(errors.InvalidArgument, match="insecure-registry"):
        load(file, [], [], [])
    with pytest.raises(errors.InvalidArgument, match="does not exist"):
        load(tmp_path / "missing", [], [], [])


@pytest.mark.parametrize(
    ("registry", "insecure"),
    [
        ("localhost:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("reg:5000", True),
        ("reg", False),
        ("10.1.1.1:5000", True),
        ("11.1.1.1:5000", False),
        ("nowhere.invalid", False),
    ],
)
async def test_who_need_not_prove_who_it_is(registry: str, insecure: bool) -> None:
    assert await Hosts(Settings(insecure=("reg:5000", "10.0.0.0/8"))).is_insecure(registry) == insecure


def test_names_of_registries() -> None:
    assert {registry_name(text) for text in ("", "https://index.docker.io/v1/", "docker.io")} == {"docker.io"}
    assert registry_name("http://localhost:5000/v2/") == "localhost:5000"

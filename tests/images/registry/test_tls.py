"""Registries that prove who they are with a private authority's certificate, and what stands before them: a proxy."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.images.registry import Credentials, Patience, Registries, Settings
from tests.images.registry.servers import (
    PASSWORD,
    USER,
    FaultyProxy,
    Issued,
    RegistryServer,
    TokenServer,
    running_registry,
)
from tests.images.registry.test_transport import Bytes
from tests.images.registry.tls import OWN_ADDRESS, Authority, ConnectProxy, own_host

pytestmark = [pytest.mark.root, pytest.mark.registry]
AUTHORITY = Authority("test authority")


@pytest.fixture(scope="module", autouse=True)
def _own_host(need: Callable[..., None]) -> Iterator[None]:
    need("root")
    with own_host():
        yield


@pytest.fixture(scope="module")
def secure(_own_host: None) -> Iterator[RegistryServer]:
    with running_registry(host=OWN_ADDRESS, tls=AUTHORITY.issue(OWN_ADDRESS)) as server:
        yield server


@pytest.fixture
async def registries(tmp_path: Path) -> AsyncIterator[Registries]:
    """A door that trusts whom ``tmp_path`` has."""
    door = Registries(Settings(certificates=(tmp_path,)), Patience(first_seconds=0.01))
    yield door
    await door.close()


async def _takes(registries: Registries, registry: str, credentials: Credentials | None = None) -> None:
    """Push a blob and find it again."""
    repository = registries.repository(registry, "team/app", credentials, push=True)
    blob = Bytes(os.urandom(1000))
    await repository.upload(blob)
    assert await repository.find_blob(blob.digest) is not None


async def test_a_private_authority_is_trusted_once_it_is_in_its_place(
    secure: RegistryServer, registries: Registries, tmp_path: Path
) -> None:
    place = f"{tmp_path}/{secure.address}/ca.crt"
    with pytest.raises(errors.RegistryError) as refused:
        await _takes(registries, secure.address)
    assert str(refused.value) == (
        f"the registry '{secure.address}' cannot be reached: x509: certificate signed by unknown authority: "
        f"put its authority into {place}, or serve with --insecure-registry {secure.address}"
    )
    directory = Authority("another").trusted_in(tmp_path, secure.address)
    with pytest.raises(errors.RegistryError, match="signed by unknown authority"):
        await _takes(registries, secure.address)
    (directory / "second.crt").write_bytes(AUTHORITY.certificate)
    await _takes(registries, secure.address)


async def test_an_insecure_registry_need_not_prove_who_it_is(secure: RegistryServer, tmp_path: Path) -> None:
    for insecure in (secure.address, f"{OWN_ADDRESS}/32"):
        door = Registries(Settings(insecure=(insecure,), certificates=(tmp_path,)))
        await _takes(door, secure.address)
        await door.close()


@pytest.mark.parametrize(
    ("issued", "reason"),
    [
        (AUTHORITY.issue(OWN_ADDRESS, expired=True), "x509: certificate has expired"),
        (AUTHORITY.issue("192.0.2.9"), f"x509: certificate is not valid for '{OWN_ADDRESS}'"),
        (None, "http: server gave HTTP response to HTTPS client: serve with --insecure-registry {}"),
    ],
)
async def test_a_bad_certificate_is_refused(
    issued: Issued | None, reason: str, registries: Registries, tmp_path: Path
) -> None:
    with running_registry(host=OWN_ADDRESS, tls=issued) as server:
        AUTHORITY.trusted_in(tmp_path, server.address)
        with pytest.raises(errors.RegistryError) as refused:
            await _takes(registries, server.address)
        text = f"the registry '{server.address}' cannot be reached: {reason.format(server.address)}"
        assert str(refused.value) == text


async def test_a_certificate_of_ours_is_shown(registries: Registries, tmp_path: Path) -> None:
    with running_registry(host=OWN_ADDRESS, tls=AUTHORITY.issue(OWN_ADDRESS), clients=AUTHORITY.certificate) as server:
        place = AUTHORITY.trusted_in(tmp_path, server.address)
        wanted = f"it wants another certificate of us: put one into {place}/client.cert, its key into client.key"
        with pytest.raises(errors.RegistryError, match=wanted):
            await _takes(registries, server.address)
        Authority("another").issue(OWN_ADDRESS).write(place, "client")
        with pytest.raises(errors.RegistryError, match=wanted):
            await _takes(registries, server.address)
        AUTHORITY.issue(OWN_ADDRESS).write(place, "client")
        await _takes(registries, server.address)


async def test_a_token_server_may_have_the_same_authority(registries: Registries, tmp_path: Path) -> None:
    issued = AUTHORITY.issue(OWN_ADDRESS)
    with (
        TokenServer(host=OWN_ADDRESS, tls=issued) as tokens,
        running_registry(host=OWN_ADDRESS, tls=issued, tokens=tokens) as server,
    ):
        AUTHORITY.trusted_in(tmp_path, server.address)
        await _takes(registries, server.address, Credentials(USER, PASSWORD))
        assert len(tokens.asked) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("ca.crt", b"nonsense", "no certificate or crl found"),
        ("client.cert", AUTHORITY.issue(OWN_ADDRESS).certificate, r"missing key '.*/client\.key'; an authority's"),
        ("client.key", AUTHORITY.issue(OWN_ADDRESS).key, r"missing certificate '.*/client\.cert' for this key"),
    ],
)
async def test_files_that_are_no_use_are_named(
    name: str, content: bytes, reason: str, registries: Registries, tmp_path: Path
) -> None:
    (tmp_path / "reg.invalid").mkdir()
    (tmp_path / "reg.invalid" / name).write_bytes(content)
    with pytest.raises(errors.RegistryError, match=rf"cannot use the certificate '.*/{name}': {reason}"):
        await registries.repository("reg.invalid", "x").tags()


@pytest.mark.parametrize("credentials", ["", "me:secret%40@"])
async def test_a_proxy_is_asked_for_a_tunnel(
    secure: RegistryServer,
    registries: Registries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    credentials: str,
) -> None:
    AUTHORITY.trusted_in(tmp_path, secure.address)
    with ConnectProxy(*(("me", "secret@") if credentials else ())) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{credentials}{proxy.address}")
        monkeypatch.setenv("NO_PROXY", f"10.0.0.0/8,{OWN_ADDRESS}")
        await _takes(registries, secure.address)
        assert proxy.tunnels == []
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
        await _takes(registries, secure.address)
        assert set(proxy.tunnels) == {secure.address}
        await registries.close()


async def test_a_proxy_is_asked_for_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_registry(host=OWN_ADDRESS) as server, FaultyProxy(server.address) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{proxy.address}")
        door = Registries(Settings(insecure=(server.address,)))
        await _takes(door, server.address)
        await door.close()
        assert proxy.received
        for method, path, headers in proxy.received:
            assert path.startswith(f"http://{server.address}/v2/"), method
            assert headers["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"


async def test_a_proxy_that_does_not_let_us_through_is_named(
    secure: RegistryServer, registries: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy("me", "secret") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:wrong@{proxy.address}")
        with pytest.raises(errors.RegistryError) as refused:
            await _takes(registries, secure.address)
        assert str(refused.value) == (
            f"the registry '{secure.address}' cannot be reached: "
            f"the proxy 'http://{proxy.address}' refuses: 407 Proxy Authentication Required"
        )
        assert len(proxy.tunnels) == 1
    with pytest.raises(
        errors.RegistryError, match=f"the proxy '{proxy.address}' cannot be reached: connection refused"
    ):
        await _takes(registries, secure.address)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@127.0.0.1:1")
    with pytest.raises(errors.RegistryError, match=r"invalid HTTPS_PROXY 'socks5://xxxxx:xxxxx@127\.0\.0\.1:1'"):
        await _takes(registries, secure.address)

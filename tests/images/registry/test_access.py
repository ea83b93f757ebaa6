"""Logging in to the real docker-registry, with a password and with tokens."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from nbcontainers import errors
from nbcontainers.images.registry import Credentials, Registries
from tests.images.registry.servers import PASSWORD, USER, RegistryServer, Server, TokenServer
from tests.images.registry.test_transport import Bytes

ANN = Credentials(USER, PASSWORD)


async def test_password(private_registry: RegistryServer, registries: Registries) -> None:
    address = private_registry.address
    with pytest.raises(errors.Unauthorized, match="no basic auth credentials"):
        await registries.repository(address, "x").find_blob(Bytes(b"x").digest)
    with pytest.raises(errors.Unauthorized, match="authentication required"):
        await registries.repository(address, "x", Credentials(USER, "wrong")).tags()
    await registries.repository(address, "x", ANN, push=True).upload(Bytes(b"x"))
    with pytest.raises(errors.Unauthorized, match="no basic auth credentials"):
        await registries.repository(address, "x").tags()  # nobody gets in on somebody else's password
    with pytest.raises(errors.Unauthorized, match="401"):
        await registries.log_in(address, Credentials(USER, "wrong"))
    assert (await registries.log_in(address, ANN)).identity_token == ""


async def test_tokens(token_registry: RegistryServer, tokens: TokenServer, registries: Registries) -> None:
    address = token_registry.address
    repository = registries.repository(address, "public/x", ANN, push=True)
    for number in range(3):
        await repository.upload(Bytes(bytes([number])))
    assert len(tokens.asked) == 1  # the token is kept
    blob = Bytes(b"\0").descriptor
    assert await registries.repository(address, "public/x").find_blob(blob.digest) is not None
    assert len(tokens.asked) == 2  # but for its user alone
    with pytest.raises(errors.Unauthorized):
        await registries.repository(address, "private/x").find_blob(blob.digest)
    with pytest.raises(errors.Unauthorized, match="bad credentials"):
        await registries.repository(address, "public/x", Credentials(USER, "wrong")).find_blob(blob.digest)
    assert await registries.repository(address, "other/x", ANN, push=True).mount(blob.digest, "public/x")
    scopes = tokens.asked[-1][1]["scope"]
    assert sorted(scopes) == ["repository:other/x:pull,push", "repository:public/x:pull"]


async def test_identity_token(token_registry: RegistryServer, tokens: TokenServer, registries: Registries) -> None:
    given = (await registries.log_in(token_registry.address, ANN)).identity_token
    assert given == tokens.refresh_token
    known = Credentials(USER, identity_token=given)
    await registries.repository(token_registry.address, "mine/x", known, push=True).upload(Bytes(b"x"))
    assert tokens.asked[-1][0] == "POST"
    with pytest.raises(errors.Unauthorized, match="bad credentials"):
        await registries.log_in(token_registry.address, Credentials(USER, identity_token="old"))


class _Elsewhere(BaseHTTPRequestHandler):
    """A registry that has its blobs elsewhere."""

    target = ""
    received: list[dict[str, str]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.received.append({"path": self.path, **self.headers})
        body = b""
        if self.path.startswith("/there"):
            body = b"blob"
            self.send_response(200)
        elif "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        else:
            self.send_response(307)
            self.send_header("Location", f"http://{self.target}/there")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    with Server(_Elsewhere) as first, Server(_Elsewhere) as second:
        _Elsewhere.target = second.address
        _Elsewhere.received.clear()
        yield first


async def test_credentials_stay_with_their_host(elsewhere: Server, registries: Registries) -> None:
    repository = registries.repository(elsewhere.address, "x", ANN)
    assert await repository.document(Bytes(b"blob").descriptor) == b"blob"
    there = [request for request in _Elsewhere.received if request["path"] == "/there"]
    assert len(there) == 1
    assert "Authorization" not in there[0]

"""Registries for tests: the real ``docker-registry``, a token server, and a proxy in front that makes faults."""

import base64
import contextlib
import datetime
import http.client
import json
import re
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

USER, PASSWORD = "ann", "secret of ann"
SERVICE, ISSUER = "test-registry", "test-issuer"
_LISTENING = re.compile(r"listening on ([\d.]+:\d+|\[::\]:\d+)")
_CHUNK = 1 << 16


@dataclass
class RegistryServer:
    """One that runs.

    Args:
        address: As references have it: ``127.0.0.1:PORT``.
        directory: Where it keeps its blobs.
    """

    address: str
    directory: Path

    def blobs(self) -> set[str]:
        """Return the digests of what it has."""
        return {f"sha256:{path.parent.name}" for path in self.directory.glob("**/blobs/sha256/*/*/data")}


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> None:
        """Write them as certs.d wants those of a client: ``NAME.cert`` and ``NAME.key``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.cert").write_bytes(self.certificate)
        (directory / f"{name}.key").write_bytes(self.key)

    def context(self) -> ssl.SSLContext:
        """Return what a server proves with who it is."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as name:
            self.write(Path(name), "server")
            context.load_cert_chain(f"{name}/server.cert", f"{name}/server.key")
        return context


@contextlib.contextmanager
def running_registry(
    *,
    htpasswd: bool = False,
    tokens: "TokenServer | None" = None,
    host: str = "127.0.0.1",
    tls: Issued | None = None,
    clients: bytes = b"",
) -> Iterator[RegistryServer]:
    """Run docker-registry: for everybody, for ``USER`` with ``PASSWORD``, or for who has a token.

    Args:
        htpasswd: Whether a password is wanted.
        tokens: Whose tokens are wanted.
        host: The address that it listens at.
        tls: What it proves with who it is; plain HTTP by default.
        clients: The authority, as PEM, that has signed the certificate of whoever may ask.
    """
    with tempfile.TemporaryDirectory(prefix="nbr-") as name:
        directory = Path(name)
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
            "http": {"addr": f"{host}:0", "secret": "x"},
        }
        if tls is not None:
            tls.write(directory, "server")
            config["http"]["tls"] = {"certificate": f"{directory}/server.cert", "key": f"{directory}/server.key"}
        if clients:
            (directory / "clients.crt").write_bytes(clients)
            config["http"]["tls"]["clientcas"] = [f"{directory}/clients.crt"]
        if htpasswd:
            hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2a")).decode()
            (directory / "htpasswd").write_text(f"{USER}:{hashed}\n")
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
        if tokens is not None:
            (directory / "certificate.pem").write_bytes(tokens.certificate_pem)
            config["auth"] = {
                "token": {
                    "realm": tokens.url,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(directory / "certificate.pem"),
                }
            }
        (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        command = ["docker-registry", "serve", str(directory / "config.yml")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield RegistryServer(_address(process), directory)
            finally:
                process.kill()


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := _LISTENING.search(line):
            # What it says later is read as well, so that it never waits for us.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1]
    raise AssertionError(f"docker-registry has not started: {''.join(said)}")


class Server:
    """An HTTP server in threads, at a port of its own, from ``__enter__`` to ``__exit__``."""

    def __init__(
        self, handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1", tls: Issued | None = None
    ) -> None:
        self._server = ThreadingHTTPServer((host, 0), handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.context().wrap_socket(self._server.socket, server_side=True)
        self.address = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> "Any":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class TokenServer(Server):
    """Gives tokens: to ``USER`` for all, to anybody for pulling from ``public/…``; remembers what it was asked.

    Args:
        seconds: How long a token is good.
        host: The address that it listens at.
        tls: What it proves with who it is; plain HTTP by default.
    """

    def __init__(self, seconds: int = 300, host: str = "127.0.0.1", tls: Issued | None = None) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                given = self.headers.get("Authorization", "")
                wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                server.asked.append(("GET", query))
                self._answer(query, known=given == f"Basic {wanted}", refused=bool(given))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                server.asked.append(("POST", form))
                form["scope"] = " ".join(form.get("scope", [])).split()
                self._answer(form, known=form.get("refresh_token") == [server.refresh_token], refused=True)

            def _answer(self, query: dict[str, list[str]], *, known: bool, refused: bool) -> None:
                if not known and refused:
                    return self._reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "bad credentials"}]})
                answer: dict[str, Any] = {"token": server.token(query.get("scope", []), known), "expires_in": seconds}
                if "offline_token" in query and known:
                    answer["refresh_token"] = server.refresh_token
                return self._reply(200, answer)

            def _reply(self, status: int, document: object) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(Handler, host, tls)
        self.url = f"{'http' if tls is None else 'https'}://{self.address}/token"
        self.refresh_token = "refresh-token-of-ann"
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.seconds = seconds
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _self_signed(self._key)
        self.certificate_pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def token(self, scopes: list[str], known: bool) -> str:
        """Return a signed token for as much of the scopes as is allowed."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            allowed = actions.split(",") if known else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        certificate = base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()
        header = {"typ": "JWT", "alg": "ES256", "x5c": [certificate]}
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": USER if known else "",
            "aud": SERVICE,
            "access": access,
            "jti": "1",
        }
        claims |= {"nbf": now - 60, "iat": now, "exp": now + self.seconds}
        signed = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test tokens")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


class Hold:
    """A request that goes no further than the proxy: ``reached`` when it is there, until it is ``over``."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()

    def wait(self) -> None:
        """Wait, and end the connections.

        Raises:
            ConnectionAbortedError: In any case.
        """
        self.reached.set()
        self.over.wait()
        raise ConnectionAbortedError


@dataclass
class Fault:
    """What goes wrong with the next requests that fit.

    Args:
        method: Which requests: a pattern.
        path: A pattern that the path has somewhere.
        times: How many.
        status: Answered in place of the registry.
        headers: Of that answer.
        cut_after: The answer's body ends, and with it the connection, after so many bytes.
        cut_request_after: The request's body is passed on so far; then both connections end.
        corrupt: A byte of the answer's body is another one.
        pause_seconds: Waited before every piece of the answer.
        hold: The request is held where it is, at ``cut_request_after`` or before it is passed on at all.
    """

    method: str
    path: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    cut_request_after: int | None = None
    corrupt: bool = False
    pause_seconds: float = 0.0
    hold: Hold | None = None


class FaultyProxy(Server):
    """Passes requests on to a registry, but for ``faults``; ``requests`` is what was asked, as ``METHOD path``."""

    def __init__(self, target: str) -> None:
        proxy = self
        self.target = target
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.received: list[tuple[str, str, dict[str, str]]] = []
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                with contextlib.suppress(ConnectionError):
                    proxy.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(Handler)

    def count(self, method: str, path: str) -> int:
        """Return how many requests there were of a kind."""
        return sum(bool(re.match(f"{method} .*{path}", request)) for request in self.requests)

    def handle(self, client: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        with self._lock:
            self.requests.append(f"{client.command} {client.path}")
            self.received.append((client.command, client.path, dict(client.headers)))
            fault = self._take(client) or Fault("", "")
        if fault.status:
            for _ in _body(client):
                pass
            client.send_response(fault.status)
            for name, value in {"Content-Length": "0", **fault.headers}.items():
                client.send_header(name, value)
            client.end_headers()
            return
        if fault.hold is not None and fault.cut_request_after is None:
            fault.hold.wait()
        connection = http.client.HTTPConnection(self.target)
        try:
            self._pass_on(client, connection, fault)
        finally:
            connection.close()

    def _take(self, client: BaseHTTPRequestHandler) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.fullmatch(fault.method, client.command) and re.search(fault.path, client.path):
                fault.times -= 1
                return fault
        return None

    def _pass_on(self, client: BaseHTTPRequestHandler, connection: http.client.HTTPConnection, fault: Fault) -> None:
        connection.putrequest(client.command, client.path, skip_host=True, skip_accept_encoding=True)
        for name, value in client.headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        chunked = "Transfer-Encoding" in client.headers
        left = fault.cut_request_after
        for data in _body(client):
            part = data if left is None else data[:left]
            connection.send(b"%x\r\n%s\r\n" % (len(part), part) if chunked and part else part)
            if left is not None:
                left -= len(part)
                if not left:
                    if fault.hold is not None:
                        fault.hold.wait()
                    client.close_connection = True
                    return
        if chunked:
            connection.send(b"0\r\n\r\n")
        self._return(client, connection.getresponse(), fault)

    def _return(self, client: BaseHTTPRequestHandler, answer: http.client.HTTPResponse, fault: Fault) -> None:
        client.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() != "transfer-encoding":
                client.send_header(name, value)
        without = answer.getheader("Content-Length") is None
        if without:
            client.send_header("Connection", "close")
        client.end_headers()
        client.close_connection = without
        left = fault.cut_after
        while client.command != "HEAD" and (data := answer.read(_CHUNK)):
            if fault.corrupt:
                data = bytes([data[0] ^ 1]) + data[1:]
            if fault.pause_seconds:
                time.sleep(fault.pause_seconds)
            client.wfile.write(data if left is None else data[:left])
            if left is not None:
                left -= len(data)
                if left <= 0:
                    client.close_connection = True
                    return


def _body(client: BaseHTTPRequestHandler) -> Iterator[bytes]:
    """Yield a request's body."""
    if "Transfer-Encoding" in client.headers:
        while size := int(client.rfile.readline().strip() or b"0", 16):
            yield client.rfile.read(size)
            client.rfile.readline()
        client.rfile.readline()
        return
    left = int(client.headers.get("Content-Length") or 0)
    while left and (data := client.rfile.read(min(left, _CHUNK))):
        yield data
        left -= len(data)

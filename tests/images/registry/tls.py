"""What stands between a client and a registry: private authorities, proxies, and a host whose address is not loopback.

A registry on this machine need not prove who it is; one at ``OWN_ADDRESS`` must, as any other.
"""

import base64
import contextlib
import datetime
import ipaddress
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nbcontainers.linux import namespaces
from tests.images.registry.servers import Issued, Server

OWN_ADDRESS = "192.0.2.1"  # RFC 5737 § 3: it is nobody's
_DAY = datetime.timedelta(days=1)


@contextlib.contextmanager
def own_host() -> Iterator[None]:
    """Be in a network namespace that has nothing but loopback, and ``OWN_ADDRESS`` on it."""
    with contextlib.ExitStack() as stack:
        before_fd = namespaces.open_namespace("net", "thread-self")
        stack.callback(os.close, before_fd)
        stack.callback(namespaces.setns, before_fd, namespaces.CLONE_NEWNET)
        namespaces.unshare(namespaces.CLONE_NEWNET)
        subprocess.run(["ip", "address", "add", f"{OWN_ADDRESS}/32", "dev", "lo"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield


class Authority:
    """A private authority.

    Args:
        name: What it is called.
    """

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        unsigned = self._builder(self._name, self._key.public_key(), expired=False)
        unsigned = unsigned.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = unsigned.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def trusted_in(self, directory: Path, registry: str) -> Path:
        """Write its certificate as certs.d wants it, and return the registry's directory."""
        place = directory / registry
        place.mkdir(parents=True, exist_ok=True)
        (place / "ca.crt").write_bytes(self.certificate)
        return place

    def issue(self, address: str, *, expired: bool = False) -> Issued:
        """Return a certificate for an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        unsigned = self._builder(name, key.public_key(), expired=expired)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        signed = unsigned.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(signed.public_bytes(serialization.Encoding.PEM), private)

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, expired: bool
    ) -> x509.CertificateBuilder:
        until = datetime.datetime.now(datetime.UTC) + (-_DAY if expired else _DAY)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(until - 9 * _DAY).not_valid_after(until)


class ConnectProxy(Server):
    """A proxy that makes tunnels; ``tunnels`` is where they were wanted to go.

    Args:
        user: With ``password``, who may; anybody by default.
        password: Of the user.
    """

    def __init__(self, user: str = "", password: str = "") -> None:
        proxy = self
        self.tunnels: list[str] = []
        self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                proxy.tunnels.append(self.path)
                if proxy.wanted and self.headers.get("Proxy-Authorization") != proxy.wanted:
                    self.send_response(407)
                    self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
                    self.end_headers()
                    return
                host, _, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port))) as there:
                    self.send_response(200)
                    self.end_headers()
                    _join(self.connection, there)

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(Handler)


def _join(one: socket.socket, two: socket.socket) -> None:
    """Pass on what comes from either side, until both have ended."""
    back = threading.Thread(target=_pass_on, args=(two, one))
    back.start()
    _pass_on(one, two)
    back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

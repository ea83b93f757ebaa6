"""Which addresses a registry has: Docker Hub's own, mirrors, plain HTTP where that is allowed, certificates.

Source: docker-docs, engine/security/certificates.md; dockerd(8) § Insecure registries; moby registry/config.go.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from yarl import URL

from nbcontainers import errors
from nbcontainers.images.registry.settings import Settings

DOCKER_HUB = "docker.io"
DOCKER_HUB_URL = URL("https://registry-1.docker.io")
_DOCKER_HUB_NAMES = ("", DOCKER_HUB, "index.docker.io", "registry-1.docker.io")


def registry_name(server: str) -> str:
    """Return the registry that an address stands for: ``https://index.docker.io/v1/`` is ``docker.io``."""
    name = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return DOCKER_HUB if name in _DOCKER_HUB_NAMES else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address of a registry.

    Args:
        url: With nothing but scheme, host and port.
        context: For TLS; None for plain HTTP.
        certificates: The directory in which its certificates are looked for last.
        insecure: Whether plain HTTP is allowed where it leads to.
        mirror: Whether it is another's: the user's credentials are not for it.
    """

    url: URL
    context: ssl.SSLContext | None = None
    certificates: Path = Path()
    insecure: bool = False
    mirror: bool = False

    def context_for(self, url: URL) -> ssl.SSLContext | bool:
        """Return what TLS with this or another host needs, that of the blobs or the tokens: the same authorities.

        Another host must prove who it is even where this one need not.
        """
        if self.context is None or (self.context.verify_mode is ssl.CERT_NONE and url.host != self.url.host):
            return True
        return self.context


Answers = Callable[[Endpoint], Awaitable[bool]]


class Hosts:
    """Finds addresses; what takes long to make is kept.

    Args:
        settings: What the administrator says.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[str, tuple[Endpoint, list[_Fingerprint]]] = {}
        self._networks = [ipaddress.ip_network(entry, strict=False) for entry in settings.insecure_networks]

    async def endpoints(self, registry: str, answers: Answers, *, mirrors: bool) -> list[Endpoint]:
        """Return a registry's addresses in the order in which they are to be tried.

        Args:
            registry: Its name, as in references.
            answers: Says whether something answers at an address.
            mirrors: Whether others may answer in its place.

        Raises:
            errors.RegistryError: A certificate cannot be read.
        """
        if registry != DOCKER_HUB:
            return [await self._insecure(registry, answers) or await self._secure(registry, URL(f"https://{registry}"))]
        found = [await self._mirror(URL(mirror), answers) for mirror in self._settings.mirrors] if mirrors else []
        return [*found, await self._secure(DOCKER_HUB, DOCKER_HUB_URL)]

    async def _insecure(self, registry: str, answers: Answers) -> Endpoint | None:
        """Return a registry that need not prove who it is, None for one that must."""
        if not await self.is_insecure(registry):
            return None
        context = self._context(registry, insecure=True)
        url = URL(f"https://{registry}")
        secure = Endpoint(url=url, context=context, certificates=self._place(registry), insecure=True)
        # Asked anew every time: the registry at localhost:5000 may be another one than before.
        return secure if await answers(secure) else Endpoint(url=URL(f"http://{registry}"), insecure=True)

    async def _secure(self, registry: str, url: URL) -> Endpoint:
        # Whoever puts a certificate in its place need not start the engine anew.
        found = [_fingerprint(file) for file in self._files(registry)]
        kept = self._kept.get(registry)
        if kept is None or kept[1] != found:
            context = await asyncio.to_thread(self._context, registry, insecure=False)  # reads some hundred authorities
            endpoint = Endpoint(url=url, context=context, certificates=self._place(registry))
            kept = self._kept[registry] = endpoint, found
        return kept[0]

    async def _mirror(self, url: URL, answers: Answers) -> Endpoint:
        if url.scheme == "http":
            return Endpoint(url=url, insecure=True, mirror=True)
        name = url.host_port_subcomponent or ""
        found = await self._insecure(name, answers) or await self._secure(name, url)
        return replace(found, mirror=True)

    async def is_insecure(self, registry: str) -> bool:
        """Say whether a registry's certificate need not be good, by its name or by its address."""
        if registry in self._settings.insecure_hosts:
            return True
        host = URL(f"https://{registry}").host or ""
        with contextlib.suppress(ValueError):
            return any(ipaddress.ip_address(host) in network for network in self._networks)
        with contextlib.suppress(OSError, UnicodeError):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
            return any(ipaddress.ip_address(text) in network for text in addresses for network in self._networks)
        return False

    def _context(self, registry: str, *, insecure: bool) -> ssl.SSLContext:
        """Return what TLS with a registry needs: further authorities, and a certificate of our own.

        Raises:
            errors.RegistryError: A file is not what its name says.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if insecure else ssl.create_default_context()
        if insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # As Go: what is named as an authority is one, whoever has signed it and whatever it lacks.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for file in self._files(registry):
            try:
                _load(context, file)
            except (OSError, ssl.SSLError) as error:
                raise errors.RegistryError(f"cannot use the certificate '{file}': {_words(error)}") from error
        return context

    def _place(self, registry: str) -> Path:
        """Return where people are told to put a registry's certificates."""
        return self._settings.certificates[-1] / registry

    def _files(self, registry: str) -> list[Path]:
        """Return the certificates and keys that there are for a registry."""
        return [file for directory in self._settings.certificates for file in sorted((directory / registry).glob("*"))]


_Fingerprint = tuple[str, int, int, int]


def _fingerprint(file: Path) -> _Fingerprint:
    """Return what changes when a file does."""
    with contextlib.suppress(OSError):
        found = file.stat()
        return str(file), found.st_ino, found.st_size, found.st_mtime_ns
    return str(file), 0, 0, 0


def _load(context: ssl.SSLContext, file: Path) -> None:
    """Take in one file: ``*.crt`` is an authority, ``*.cert`` our certificate, with the key ``*.key``."""
    if file.suffix == ".crt":
        context.load_verify_locations(file)
    elif file.suffix == ".cert":
        key = file.with_suffix(".key")
        if not key.exists():
            raise FileNotFoundError(f"missing key '{key}'; an authority's certificate is called *.crt")
        context.load_cert_chain(file, key, password=_refuse_password)
    elif file.suffix == ".key" and not (certificate := file.with_suffix(".cert")).exists():
        raise FileNotFoundError(f"missing certificate '{certificate}' for this key")


def _refuse_password() -> str:
    raise OSError("its key wants a password: one without is needed")


def _words(error: OSError) -> str:
    """Return why a file cannot be used, without its name and without OpenSSL's place in the code."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return error.strerror.lower() if error.strerror else str(error)

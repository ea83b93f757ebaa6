"""Why a registry cannot be reached, in one sentence, and whether trying again would be the same again.

The words are Docker's where people search for them: ``x509: certificate signed by unknown authority``.

Source: OpenSSL, x509_vfy.h, ``X509_V_ERR_…``; Go, crypto/x509, ``UnknownAuthorityError``; RFC 9110 § 15.5.8.
"""

import os
import ssl

import aiohttp

from nbcontainers import errors
from nbcontainers.images.registry.hosts import Endpoint
from nbcontainers.images.registry.proxies import proxy_of

BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError)
_UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
_CERTIFICATES = {
    **dict.fromkeys((2, 18, 19, 20, 21), _UNKNOWN_AUTHORITY),
    9: "x509: certificate is not yet valid",
    10: "x509: certificate has expired",
}
_OTHER_NAME = (62, 64)  # of a host, and of an address
# What a server says that has seen no certificate of ours, or not one that it knows.
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")
_PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


def is_final(error: Exception) -> bool:
    """Say whether trying again would be the same again: a certificate is not good, or a proxy refuses."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status < 500
    if (tls := _tls_error(error)) is not None:
        # What else TLS may say is of a connection that was cut.
        lasting = (*_PLAIN_HTTP, *_WANTS_CERTIFICATE)
        return isinstance(tls, ssl.SSLCertVerificationError) or any(word in (tls.reason or "") for word in lasting)
    return isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.InvalidURL)


def is_refused(error: Exception) -> bool:
    """Say whether nobody listens at an address."""
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError)


def broken(endpoint: Endpoint, error: Exception) -> errors.RegistryError:
    """Return the error for a connection that cannot be made or has ended."""
    registry = endpoint.url.host_port_subcomponent
    return errors.RegistryError(f"the registry '{registry}' cannot be reached: {_reason(endpoint, error)}")


def _reason(endpoint: Endpoint, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        proxy = proxy_of(endpoint.url, os.environ)
        return f"the proxy '{proxy.origin() if proxy else ''}' refuses: {error.status} {error.message}"
    where = ""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        where = f"the proxy '{error.host}:{error.port}' cannot be reached: "
    elif isinstance(error, aiohttp.ClientConnectorError) and error.host != endpoint.url.host:
        where = f"it sends us on to '{error.host}': "
    return where + _cause(endpoint, error)


def _cause(endpoint: Endpoint, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if (tls := _tls_error(error)) is not None:
        return _of_tls(endpoint, tls)
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        # asyncio's own sentence has the address, which is told already, and not always the same words.
        code = error.os_error.errno
        return os.strerror(code).lower() if code and code > 0 else error.os_error.strerror
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return str(error) or type(error).__name__


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return what TLS has failed with, None where it has not."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLError) and not isinstance(link, aiohttp.ClientError):
            return link
        link = link.__cause__ or link.__context__
    return None


def _of_tls(endpoint: Endpoint, error: ssl.SSLError) -> str:
    registry = endpoint.url.host_port_subcomponent
    insecure = f"serve with --insecure-registry {registry}"
    directory = endpoint.certificates
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return f"x509: {error.verify_message.rpartition(', ')[2].rstrip('.')}"
        text = _CERTIFICATES.get(error.verify_code, f"x509: {error.verify_message}")
        hint = f": put its authority into {directory}/ca.crt, or {insecure}"
        return f"{text}{hint if text == _UNKNOWN_AUTHORITY else ''}"
    said = error.reason or str(error)
    if said in _PLAIN_HTTP:
        return f"http: server gave HTTP response to HTTPS client: {insecure}"
    if any(word in said for word in _WANTS_CERTIFICATE):
        return f"it wants another certificate of us: put one into {directory}/client.cert, its key into client.key"
    return said.lower().replace("_", " ")

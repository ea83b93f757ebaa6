"""Proxies from the environment, as programs written in Go, and so Docker, read them.

Source: golang.org/x/net/http/httpproxy, ``Config``.
"""

import ipaddress
from collections.abc import Mapping

from yarl import URL

from nbcontainers import errors

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_of(url: URL, environment: Mapping[str, str]) -> URL | None:
    """Return the proxy that a URL is to be asked through, None for none; this machine is always asked directly.

    Args:
        url: What is asked.
        environment: With ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``, in capitals or not.

    Raises:
        errors.RegistryError: The environment names a proxy of a kind that is not known.
    """
    name = "HTTPS_PROXY" if url.scheme == "https" else "HTTP_PROXY"
    proxy = variable(environment, name)
    if not proxy or _is_direct(url, variable(environment, "NO_PROXY")):
        return None
    try:
        found = URL(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        found = URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise errors.RegistryError(f"invalid {name} '{shown(proxy)}': http://HOST:PORT is wanted")
    return found


def shown(proxy: str) -> str:
    """Return a proxy's address as people may read it: user and password are left out, as Docker does.

    Source: moby, daemon/config, ``MaskCredentials``.
    """
    head, at, host = proxy.rpartition("@")
    scheme = f"{head.partition('://')[0]}://" if "://" in head else ""
    return f"{scheme}xxxxx:xxxxx@{host}" if at else proxy


def variable(environment: Mapping[str, str], name: str) -> str:
    """Return a variable of the environment, whose name may be in small letters; empty where there is none."""
    return environment.get(name) or environment.get(name.lower()) or ""


def _is_direct(url: URL, no_proxy: str) -> bool:
    host, port = (url.host or "").lower(), url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_fits(entry.strip().lower(), host, port, address) for entry in no_proxy.split(",") if entry.strip())


def _fits(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Say whether one entry of ``NO_PROXY`` is about a host: all, a network, an address, or a domain."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if _address(entry) is None:
        head, colon, tail = entry.rpartition(":")
        if colon and tail.isdigit():
            if int(tail) != port:
                return False
            entry = head
    if (wanted := _address(entry.strip("[]"))) is not None:
        return wanted == address
    domain = entry.removeprefix("*")
    # ``.example.com`` is what is below it, ``example.com`` that and itself.
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

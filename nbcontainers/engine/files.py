"""The three files that Docker writes for every container: hosts, hostname and resolv.conf.

They live in the container's directory and are bind-mounted over the image's (Docker documentation, "Networking
overview"). Formats: ``hosts(5)``, ``resolv.conf(5)``.
"""

import ipaddress
from pathlib import Path

from nbcontainers.engine.model import Container
from nbcontainers.networks.model import PREDEFINED
from nbcontainers.networks.nameserver import NAME_SERVER

NAMES = ("hostname", "hosts", "resolv.conf")
HOST_GATEWAY = "host-gateway"

_LOCAL_NAMES = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def write(directory: Path, container: Container) -> dict[str, str]:
    """Write the three files of ``container`` into its directory.

    Returns:
        What to mount where: path in the container → path on the host.
    """
    texts = {"hostname": f"{container.config.hostname}\n", **contents(container)}
    for name, text in texts.items():
        with open(f"{directory}/{name}", "wb", 0) as file:
            file.write(text.encode())
    return paths(directory)


def paths(directory: Path) -> dict[str, str]:
    """Return what to mount where: path in the container → path on the host."""
    return {f"/etc/{name}": f"{directory}/{name}" for name in ("hostname", "hosts", "resolv.conf")}


def contents(container: Container) -> dict[str, str]:
    """Return the texts of the files that depend on the networks that the container is in."""
    return {"hosts": hosts(container), "resolv.conf": resolv_conf(container)}


def follow(directory: Path, before: dict[str, str], after: dict[str, str]) -> None:
    """Change the files of a running container as its networks have changed, in place: they are mounted there.

    What the container has written itself stays: lines of its own in hosts, a whole resolv.conf.
    """
    for name in ("hosts", "resolv.conf"):
        path = directory / name
        text = path.read_text(errors="replace")
        if name == "hosts":
            old, new = before[name].splitlines(keepends=True), after[name].splitlines(keepends=True)
            kept = [line for line in text.splitlines(keepends=True) if line not in old or line in new]
            changed = "".join([*kept, *(line for line in new if line not in kept)])
        else:
            changed = after[name] if text == before[name] else text
        if changed != text:
            path.write_text(changed)


def hosts(container: Container) -> str:
    """Return the text of /etc/hosts: local names, the user's extra ones, the container's own in every network."""
    config, host_config = container.config, container.host_config
    endpoints = [attachment.endpoint for attachment in container.networks.values()]
    gateway = next((endpoint.gateway for endpoint in endpoints if endpoint.gateway), "")
    lines = []
    for entry in host_config.extra_hosts:
        name, _, address = entry.partition(":")
        lines.append(f"{gateway if address == HOST_GATEWAY else address}\t{name}\n")
    if host_config.network_mode == "host":
        return _read("/etc/hosts", _LOCAL_NAMES) + "".join(lines)
    lines += [link.hosts for link in container.links]
    qualified = f"{config.hostname}.{config.domainname} " if config.domainname else ""
    for endpoint in endpoints:
        for own in (endpoint.address, endpoint.ipv6_address):
            if own:
                lines.append(f"{own}\t{qualified}{config.hostname}\n")
    return _LOCAL_NAMES + "".join(lines)


def has_name_server(container: Container) -> bool:
    """Say whether names are looked up at the engine's own server: in every network of the user's, as in Docker."""
    return any(name not in PREDEFINED for name in container.networks)


def name_servers(container: Container) -> list[str]:
    """Return the name servers that know about the world: the user's, or else the host's."""
    return list(container.host_config.dns) or _host_resolver()[0]


def resolv_conf(container: Container) -> str:
    """Return the text of /etc/resolv.conf: the host's, less what the container cannot reach, or the user's.

    Source: Docker documentation, "Networking overview" § DNS services.
    """
    asked = container.host_config
    servers, search, options = _host_resolver()
    if asked.network_mode != "host":
        servers = [server for server in servers if not is_loopback(server)]
    servers = list(asked.dns) or servers
    search = list(asked.dns_search) or search
    options = list(asked.dns_options) or options
    if has_name_server(container):
        servers = [NAME_SERVER]
        if not any(option.startswith("ndots:") for option in options):
            options.append("ndots:0")
    lines = [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines)


def _host_resolver() -> tuple[list[str], list[str], list[str]]:
    """Read the host's name servers, search domains and options."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in _read("/etc/resolv.conf", "").splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver":
            servers.extend(values[:1])
        elif keyword in ("search", "domain"):
            search = values
        elif keyword == "options":
            options.extend(values)
    return servers, search, options


def is_loopback(server: str) -> bool:
    """Say whether a name server's address is only the host's own."""
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _read(path: str, otherwise: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return otherwise

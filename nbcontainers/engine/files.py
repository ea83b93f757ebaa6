"""The three files that Docker writes for every container: hosts, hostname and resolv.conf.

They live in the container's directory and are bind-mounted over the image's (Docker documentation, "Networking
overview"). Formats: ``hosts(5)``, ``resolv.conf(5)``.
"""

import ipaddress
from pathlib import Path

from nbcontainers.engine.model import Container

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
    texts = (f"{container.config.hostname}\n", hosts(container), resolv_conf(container))
    contents = dict(zip(NAMES, texts, strict=True))
    paths = {name: f"{directory}/{name}" for name in contents}
    for name, text in contents.items():
        with open(paths[name], "wb", 0) as file:
            file.write(text.encode())
    return {f"/etc/{name}": path for name, path in paths.items()}


def hosts(container: Container) -> str:
    """Return the text of /etc/hosts: local names, the user's extra ones, the container's own."""
    config, host_config, endpoint = container.config, container.host_config, container.endpoint
    lines = []
    for entry in host_config.extra_hosts:
        name, _, address = entry.partition(":")
        lines.append(f"{endpoint.gateway if address == HOST_GATEWAY else address}\t{name}\n")
    if host_config.network_mode == "host":
        return _read("/etc/hosts", _LOCAL_NAMES) + "".join(lines)
    if endpoint.address:
        qualified = f"{config.hostname}.{config.domainname} " if config.domainname else ""
        lines.append(f"{endpoint.address}\t{qualified}{config.hostname}\n")
    return _LOCAL_NAMES + "".join(lines)


def resolv_conf(container: Container) -> str:
    """Return the text of /etc/resolv.conf: the host's, less what the container cannot reach, or the user's."""
    asked = container.host_config
    servers, search, options = _host_resolver()
    if asked.network_mode == "bridge":
        servers = [server for server in servers if not _is_loopback(server)]
    servers = list(asked.dns) or servers
    search = list(asked.dns_search) or search
    options = list(asked.dns_options) or options
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


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _read(path: str, otherwise: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return otherwise

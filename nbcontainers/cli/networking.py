"""``run`` and ``create``: docker's options about networks and ports, from words to what the engine is asked for.

Source: Docker documentation, "docker container run" § Network settings, § Publish or expose port.
"""

import re

import click

from nbcontainers.cli.values import Json

OPTIONS = [
    click.option(
        "--network",
        "--net",
        "networks",
        multiple=True,
        help="A network, none, host or container:NAME; or name=…,alias=…,ip=….",
    ),
    click.option(
        "--network-alias", "--net-alias", "network_aliases", multiple=True, help="Another name in the network."
    ),
    click.option("--ip", default="", help="IPv4 address in the network."),
    click.option("--ip6", default="", help="IPv6 address in the network."),
    click.option("--link-local-ip", "link_local_ips", multiple=True, help="Link-local address."),
    click.option("--mac-address", default="", help="Hardware address."),
    click.option("--link", "links", multiple=True, help="CONTAINER[:ALIAS] to know by another name."),
    click.option("-p", "--publish", multiple=True, help="[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL] port, or a range."),
    click.option("-P", "--publish-all", is_flag=True, help="Publish all ports that are exposed."),
    click.option("--expose", multiple=True, help="Port to expose."),
    click.option("--add-host", "extra_hosts", multiple=True, help="name:address, or name:host-gateway."),
    click.option("--dns", multiple=True, help="Name server."),
    click.option("--dns-search", multiple=True, help="Domain to look names up in."),
    click.option("--dns-option", "--dns-opt", "dns_options", multiple=True, help="Option of resolv.conf."),
]
_PORT = re.compile(
    r"(?:(?:(?P<address>\[[0-9a-fA-F:.]+\]|\d+(?:\.\d+){3}):)?(?P<outside>\d+(?:-\d+)?)?:)?"
    r"(?P<inside>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp|sctp))?"
)
_KEYS = ("alias", "driver-opt", "ip", "ip6", "link-local-ip", "mac-address", "name")


def container(options: Json) -> Json:
    """Return the fields beside HostConfig: the ports that are exposed, and what is wanted in networks."""
    bindings, networks = ports(options["publish"]), [_network(text) for text in options["networks"]]
    exposed = [
        *bindings,
        *(f"{number}/{protocol}" for text in options["expose"] for number, protocol in _exposed(text)),
    ]
    endpoints = {name: endpoint for name, endpoint in networks if len(networks) > 1 or endpoint}
    first = networks[0][0] if networks else "default"
    if own := _endpoint(options, legacy_links=first in ("default", "bridge")):
        endpoints[first] = {**endpoints.get(first, {}), **own}
    return {
        "ExposedPorts": {port: {} for port in exposed} or None,
        "NetworkingConfig": {"EndpointsConfig": endpoints} if endpoints else None,
    }


def host_config(options: Json) -> Json:
    """Return the fields of HostConfig."""
    networks = [_network(text)[0] for text in options["networks"]]
    on_bridge = not networks or networks[0] in ("default", "bridge")
    return {
        "NetworkMode": networks[0] if networks else "default",
        "PortBindings": ports(options["publish"]) or None,
        "PublishAllPorts": options["publish_all"],
        "Links": list(options["links"]) or None if on_bridge else None,
        "ExtraHosts": list(options["extra_hosts"]) or None,
        "Dns": list(options["dns"]) or None,
        "DnsSearch": list(options["dns_search"]) or None,
        "DnsOptions": list(options["dns_options"]) or None,
    }


def _endpoint(options: Json, *, legacy_links: bool) -> Json:
    """Return what the options ask of the first network."""
    addresses = {"IPv4Address": options["ip"], "IPv6Address": options["ip6"], "LinkLocalIPs": options["link_local_ips"]}
    ipam = {name: value for name, value in addresses.items() if value}
    found: Json = {
        "IPAMConfig": ipam,
        "Aliases": list(options["network_aliases"]),
        "Links": [] if legacy_links else list(options["links"]),
    }
    return {name: value for name, value in found.items() if value}


def _network(text: str) -> tuple[str, Json]:
    """Read a value of ``--network``: a name, or ``name=…`` with what is wanted there."""
    if "=" not in text or text.startswith("container:"):
        return text, {}
    name, ipam, endpoint = "", Json(), Json()
    for part in text.split(","):
        key, _, value = part.partition("=")
        match key:
            case "name":
                name = value
            case "ip" | "ip6":
                ipam["IPv4Address" if key == "ip" else "IPv6Address"] = value
            case "link-local-ip":
                ipam.setdefault("LinkLocalIPs", []).append(value)
            case "alias":
                endpoint.setdefault("Aliases", []).append(value)
            case "mac-address":
                endpoint["MacAddress"] = value
            case "driver-opt":
                option, _, setting = value.partition("=")
                endpoint.setdefault("DriverOpts", {})[option] = setting
            case _:
                raise click.UsageError(f"invalid field '{key}' in --network '{text}': {', '.join(_KEYS)} are known")
    if not name:
        raise click.UsageError(f"invalid value '{text}' for --network: it needs name=…")
    return name, {**endpoint, **({"IPAMConfig": ipam} if ipam else {})}


def ports(publish: tuple[str, ...]) -> dict[str, list[Json]]:
    """Return published ports as the engine is asked for them: container port → addresses and ports of the host.

    Raises:
        click.UsageError: One is none, or its two ranges differ in length.
    """
    result: dict[str, list[Json]] = {}
    for entry in publish:
        match = _PORT.fullmatch(entry)
        if match is None:
            raise click.UsageError(
                f"invalid value '{entry}' for --publish: "
                f"[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL] is wanted, such as 8080:80"
            )
        address = (match["address"] or "").strip("[]")
        inside, outside = _range(match["inside"]), match["outside"] or ""
        pairs = [str(number) for number in _range(outside)] if outside else [""] * len(inside)
        if len(inside) == 1 < len(pairs):
            pairs = [outside]  # any of the range will do
        if len(pairs) != len(inside):
            raise click.UsageError(f"invalid ranges in --publish '{entry}': they must be equally long")
        for number, port in zip(inside, pairs, strict=True):
            key = f"{number}/{match['protocol'] or 'tcp'}"
            result.setdefault(key, []).append({"HostIp": address, "HostPort": port})
    return result


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _exposed(text: str) -> list[tuple[int, str]]:
    numbers, _, protocol = text.partition("/")
    if not re.fullmatch(r"\d+(-\d+)?", numbers):
        raise click.UsageError(f"invalid value '{text}' for --expose: a port such as 80 or 80/udp is wanted")
    return [(number, protocol or "tcp") for number in _range(numbers)]

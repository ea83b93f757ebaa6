"""``--format``: what docker's list commands let a template see of each row, in docker's own words.

A row's fields are texts as the plain table shows them, whole: ``--no-trunc`` decides how identifiers and commands are
cut before a template sees them.

Source: Docker documentation, the section "Format the output (--format)" of each command.
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from nbcontainers.cli.printing import USE, age, command, short
from nbcontainers.client.units import human_bytes
from nbcontainers.templates import parse, to_json

Json = dict[str, Any]
Cell = Callable[[Json], Any]

_HEADINGS = {
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "CreatedBy": "CREATED BY",
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "NetIO": "NET I/O",
    "LocalVolumes": "LOCAL VOLUMES",
}


class _Headings(dict[str, Any]):
    """What a table's template sees for its first line: for every field its heading."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return (lambda label: label) if name == "Label" else _HEADINGS.get(name, name.upper())


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def _ago(seconds: int) -> str:
    return age(pd.Timestamp(seconds, unit="s", tz="UTC"))


def _labels(raw: Json) -> str:
    return ",".join(f"{name}={value}" for name, value in (raw.get("Labels") or {}).items())


def _label(raw: Json) -> Callable[[str], str]:
    return lambda name: str((raw.get("Labels") or {}).get(name, ""))


def _ports(raw: Json) -> str:
    shown = []
    for port in raw.get("Ports") or ():
        inside = f"{port['PrivatePort']}/{port['Type']}"
        shown.append(f"{port.get('IP', '')}:{port['PublicPort']}->{inside}" if "PublicPort" in port else inside)
    return ", ".join(shown)


def container(raw: Json, *, whole: bool) -> Json:
    """Return the fields of ``docker ps`` for one container of ``GET /containers/json``."""
    size = f"{human_bytes(raw.get('SizeRw', 0))} (virtual {human_bytes(raw.get('SizeRootFs', 0))})"
    return {
        "Command": f'"{raw["Command"]}"' if whole else command(raw["Command"]),
        "CreatedAt": _moment(raw["Created"]),
        "ID": raw["Id"] if whole else short(raw["Id"]),
        "Image": raw["Image"],
        "Label": _label(raw),
        "Labels": _labels(raw),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in raw.get("Mounts") or ())),
        "Mounts": ",".join(mount.get("Name") or mount.get("Source", "") for mount in raw.get("Mounts") or ()),
        "Names": ",".join(name.lstrip("/") for name in raw["Names"] or ()),
        "Networks": ",".join((raw.get("NetworkSettings") or {}).get("Networks") or ()),
        "Ports": _ports(raw),
        "RunningFor": _ago(raw["Created"]),
        "Size": size if "SizeRw" in raw or "SizeRootFs" in raw else "0B",
        "State": raw["State"],
        "Status": raw["Status"],
    }


def image(raw: Json, *, whole: bool) -> list[Json]:
    """Return the fields of ``docker images`` for one image of ``GET /images/json``: a row for each name."""
    digests = {digest.partition("@")[0]: digest.partition("@")[2] for digest in raw.get("RepoDigests") or ()}
    rows = []
    for reference in raw["RepoTags"] or ["<none>:<none>"]:
        repository, _, tag = reference.rpartition(":")
        rows.append(
            {
                "Containers": "N/A",
                "CreatedAt": _moment(raw["Created"]),
                "CreatedSince": _ago(raw["Created"]),
                "Digest": digests.get(repository, "<none>"),
                "ID": raw["Id"] if whole else short(raw["Id"]),
                "Repository": repository,
                "SharedSize": "N/A",
                "Size": human_bytes(raw["Size"]),
                "Tag": tag,
                "UniqueSize": "N/A",
                "VirtualSize": human_bytes(raw["Size"]),
            }
        )
    return rows


def history(raw: Json, *, whole: bool) -> Json:
    """Return the fields of ``docker history`` for one step."""
    return {
        "Comment": raw["Comment"],
        "CreatedAt": _moment(raw["Created"]),
        "CreatedBy": raw["CreatedBy"] if whole else raw["CreatedBy"][:45],
        "CreatedSince": _ago(raw["Created"]),
        "ID": raw["Id"] if whole else short(raw["Id"]),
        "Size": human_bytes(raw["Size"]),
    }


def volume(raw: Json) -> Json:
    """Return the fields of ``docker volume ls`` for one volume of ``GET /volumes``."""
    return {
        "Driver": raw["Driver"],
        "Label": _label(raw),
        "Labels": _labels(raw),
        "Mountpoint": raw["Mountpoint"],
        "Name": raw["Name"],
        "Scope": raw["Scope"],
    }


def network(raw: Json, *, whole: bool) -> Json:
    """Return the fields of ``docker network ls`` for one network of ``GET /networks``."""
    return {
        "CreatedAt": raw["Created"],
        "Driver": raw["Driver"],
        "ID": raw["Id"] if whole else short(raw["Id"]),
        "IPv6": str(raw["EnableIPv6"]).lower(),
        "Internal": str(raw["Internal"]).lower(),
        "Label": _label(raw),
        "Labels": _labels(raw),
        "Name": raw["Name"],
        "Scope": raw["Scope"],
    }


def use(name: str, container_id: str, row: Mapping[Hashable, Any], *, whole: bool) -> Json:
    """Return the fields of ``docker stats`` for one row of its table."""
    named = {str(column): value for column, value in row.items()}
    texts = {column.heading: column.cell(named) for column in USE}
    shown = container_id if whole else short(container_id)
    return {
        "BlockIO": texts["BLOCK I/O"],
        "CPUPerc": texts["CPU %"],
        "Container": shown,
        "ID": shown,
        "MemPerc": texts["MEM %"],
        "MemUsage": texts["MEM USAGE / LIMIT"],
        "Name": name,
        "NetIO": texts["NET I/O"],
        "PIDs": texts["PIDS"],
    }


def disk_usage(row: Mapping[Hashable, Any]) -> Json:
    """Return the fields of ``docker system df`` for one row of its table."""
    share = f" ({row['reclaimable_bytes'] * 100 // row['size_bytes']}%)" if row["size_bytes"] else ""
    return {
        "Active": str(row["active"]),
        "Reclaimable": f"{human_bytes(row['reclaimable_bytes'])}{share}",
        "Size": human_bytes(row["size_bytes"]),
        "TotalCount": str(row["total"]),
        "Type": row["type"],
    }


def formatted(rows: list[Json], wanted: str, identity: str) -> str:
    """Return rows as a template wants them, a line for each.

    Args:
        rows: What the template sees of each.
        wanted: A template; ``json``; or ``table`` and a template, whose columns tabs divide.
        identity: The heading of the id, or of the name where there is none.

    Raises:
        TemplateError: The template cannot be read, or asks for what is not there.
    """
    if wanted == "json":
        wanted = "{{json .}}"
    aligned = wanted.startswith("table ")
    template = parse(wanted.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n"))
    lines = [template.render(row) for row in rows]
    if not aligned:
        return "\n".join(lines)
    return _in_columns([template.render(_Headings(ID=identity, Name=identity)), *lines])


def shown(value: Any, wanted: str) -> str:
    """Return one document as a template wants it, ``json`` among them: what ``inspect``, ``info`` and ``version`` do.

    Raises:
        TemplateError: The template cannot be read, or asks for what is not there.
    """
    return to_json(value) if wanted == "json" else parse(wanted).render(value)


def _in_columns(lines: list[str]) -> str:
    cells = [line.split("\t") for line in lines]
    widths = [max(len(row[i]) for row in cells if i < len(row)) for i in range(max(map(len, cells)))]
    return "\n".join(
        "   ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip() for row in cells
    )

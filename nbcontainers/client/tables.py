"""The engine's answers as DataFrames: typed columns, and a friendly look in a notebook.

Times are UTC timestamps, sizes are bytes as integers, shares are percent as floats; only the HTML rounds them.
"""

import html
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

import pandas as pd
from docker import DockerClient

from nbcontainers.client import listing
from nbcontainers.client.units import human_bytes, human_delay, human_rate

_STATE_COLOURS = {"running": "#2e9e5b", "paused": "#c08a00", "exited": "#888", "created": "#4a7fc1", "dead": "#c0392b"}


class Table(pd.DataFrame):
    """A DataFrame that shows sizes, percent and states for people; its values stay what they are."""

    rows_shown: ClassVar[int] = 60
    """How many rows the HTML of a table has at most; of a longer one, those in the middle are left out."""

    @property
    def _constructor(self) -> type["Table"]:
        return Table

    def _formatter(self, name: str) -> Callable[[Any], str] | None:
        """Return how a column's values are shown; None: as they are."""
        if name in _FORMATTERS:
            return _FORMATTERS[name]
        for suffix, shown in _SUFFIXES.items():
            if name.endswith(suffix):
                return shown
        kind = self[name].dtype
        if isinstance(kind, pd.DatetimeTZDtype):
            return _moment if "proto" in self.columns else _when
        if isinstance(kind, pd.Int64Dtype):
            return _number
        return None if pd.api.types.is_numeric_dtype(kind) else _escaped

    def _repr_html_(self) -> str | None:
        formatters = {name: shown for name in map(str, self.columns) if (shown := self._formatter(name))}
        if isinstance(self.index, pd.DatetimeIndex):
            formatters["__index__"] = _moment  # pandas' name for the index
        return str(
            pd.DataFrame(self).to_html(
                formatters=formatters, escape=False, max_rows=Table.rows_shown, border=0, na_rep=""
            )
        )


def _escaped(value: object) -> str:
    return html.escape(str(value))


def _whole(shown: str) -> str:
    """Keep a browser from breaking a line in this."""
    return f'<span style="white-space:nowrap">{shown}</span>'


def _dot(state: str) -> str:
    return _whole(f'<span style="color:{_STATE_COLOURS.get(state, "#888")}">●</span> {state}')


def _short(identifier: str) -> str:
    return f"<code>{identifier.removeprefix('sha256:')[:12]}</code>" if identifier else ""


def _number(value: object) -> str:
    return "" if value is pd.NA else str(value)


def _moment(time: pd.Timestamp) -> str:
    return time.strftime("%H:%M:%S.%f")


def _when(time: pd.Timestamp) -> str:
    return "" if pd.isna(time) else _whole(time.strftime("%Y-%m-%d %H:%M:%S"))


def _percent(share: float) -> str:
    return "" if pd.isna(share) else f"{share:.1f}%"


def _limit(shown: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda limit: shown(limit) if limit else "none"


_FORMATTERS: dict[str, Callable[[Any], str]] = {"size": human_bytes, "state": _dot, "id": _short}
_FORMATTERS |= {"memory_limit_bytes": _limit(human_bytes), "pids_limit": _limit(str)}
_SUFFIXES: dict[str, Callable[[Any], str]] = {
    "_bytes": human_bytes,
    "_bits_per_second": human_rate,
    "_usec": human_delay,
    "_percent": _percent,
}


def table(rows: list[dict[str, object]], types: dict[str, str]) -> Table:
    """Make a table with all columns and their types, whether or not there are rows."""
    return typed(pd.DataFrame(rows, columns=list(types)), types)


def typed(frame: pd.DataFrame, types: dict[str, str]) -> Table:
    """Return a table with the columns of a frame made of these types; ``time``: nanoseconds or texts become UTC."""
    for name, kind in types.items():
        if kind == "time":
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.as_unit("ns")
        else:
            frame[name] = frame[name].astype(kind)  # type: ignore[call-overload]
    return Table(frame)


def table_of(titles: list[str], rows: list[list[str]]) -> Table:
    """Return a table of texts, with its titles as columns."""
    return Table(pd.DataFrame(rows, columns=titles, dtype="object"))


def containers(
    client: DockerClient,
    *,
    all: bool = False,
    filters: dict[str, list[str]] | None = None,
    limit: int = -1,
    size: bool = False,
) -> Table:
    """Return containers.

    Args:
        client: The engine.
        all: Those that do not run, too.
        filters: Docker's filters, such as ``{"name": ["web"]}``.
        limit: At most so many, the newest; -1 for all.
        size: How much they have written, too.

    Returns:
        Columns id, name, image, command, state, status (text), created (UTC timestamp), ports (text); where asked
        for, size_bytes (what was written) and root_bytes (with the image).
    """
    rows: list[dict[str, object]] = [
        {
            **asdict(listing.listed(row)),
            "created": pd.Timestamp(row["Created"], unit="s", tz="UTC"),
            "size_bytes": row.get("SizeRw", 0),
            "root_bytes": row.get("SizeRootFs", 0),
        }
        for row in client.api.containers(all=all, filters=filters or {}, limit=limit, size=size)
    ]
    types = dict.fromkeys(("id", "name", "image", "command", "state", "status"), "object")
    types |= {"created": "time", "ports": "object"}
    return table(rows, {**types, "size_bytes": "int64", "root_bytes": "int64"} if size else types)


def images(
    client: DockerClient,
    *,
    all: bool = False,
    name: str | None = None,
    filters: dict[str, list[str]] | None = None,
    digests: bool = False,
) -> Table:
    """Return images, one row per reference.

    Args:
        client: The engine.
        all: Those that others were built on, too.
        name: Only those of this repository or reference.
        filters: Docker's filters, such as ``{"dangling": ["true"]}``.
        digests: The digests they have in registries, too.

    Returns:
        Columns id, repository, tag, created (UTC timestamp), size (bytes); where asked for, digest (text).
    """
    rows: list[dict[str, object]] = []
    for image in client.api.images(name=name, all=all, filters=filters or {}):
        known = dict(digest.split("@", 1) for digest in image.get("RepoDigests") or ())
        for reference in image["RepoTags"] or ["<none>:<none>"]:
            repository, _, tag = reference.rpartition(":")
            rows.append(
                {
                    "id": image["Id"],
                    "repository": repository,
                    "tag": tag,
                    "created": pd.Timestamp(image["Created"], unit="s", tz="UTC"),
                    "size": image["Size"],
                    "digest": known.get(repository, ""),
                }
            )
    types = {"id": "object", "repository": "object", "tag": "object", "created": "time", "size": "int64"}
    return table(rows, {**types, "digest": "object"} if digests else types)


def image_history(client: DockerClient, name: str) -> Table:
    """Return how an image came about, the newest step first.

    Returns:
        Columns id, created (UTC timestamp), created_by, size (bytes), comment.
    """
    rows: list[dict[str, object]] = [
        {
            "id": row["Id"],
            "created": pd.Timestamp(row["Created"], unit="s", tz="UTC"),
            "created_by": row["CreatedBy"],
            "size": row["Size"],
            "comment": row["Comment"],
        }
        for row in client.api.history(name)
    ]
    types = {"id": "object", "created": "time", "created_by": "object", "size": "int64", "comment": "object"}
    return table(rows, types)


def changes(client: DockerClient, container: str) -> Table:
    """Return what a container has changed in its files.

    Returns:
        Columns kind (category: A added, C changed, D deleted), path (text).
    """
    kinds = pd.CategoricalDtype(["A", "C", "D"])
    rows = [{"kind": "CAD"[one["Kind"]], "path": one["Path"]} for one in client.api.diff(container) or ()]
    frame = pd.DataFrame(rows, columns=["kind", "path"]).astype({"kind": kinds, "path": "object"})
    return Table(frame)


def volumes(client: DockerClient, *, filters: dict[str, list[str]] | None = None) -> Table:
    """Return volumes.

    Returns:
        Columns name, driver, mountpoint (text), created (UTC timestamp), labels (text).
    """
    rows: list[dict[str, object]] = [
        {
            "name": row["Name"],
            "driver": row["Driver"],
            "mountpoint": row["Mountpoint"],
            "created": row.get("CreatedAt"),
            "labels": ", ".join(f"{name}={value}" for name, value in (row.get("Labels") or {}).items()),
        }
        for row in client.api.volumes(filters=filters or {})["Volumes"] or ()
    ]
    types = {"name": "object", "driver": "object", "mountpoint": "object", "created": "time", "labels": "object"}
    return table(rows, types)


def files(rows: list[dict[Any, Any]]) -> Table:
    """Return files of a volume.

    Returns:
        Columns name, type (text: file, directory, link, fifo, socket, …), size (bytes), mode (text, octal), uid, gid
        (numbers), modified (UTC timestamp), target (text: where a link leads).
    """
    types = {"name": "object", "type": "object", "size": "int64", "mode": "object", "uid": "int64", "gid": "int64"}
    ordered = sorted(rows, key=lambda row: str(row["name"]))
    return table(ordered, {**types, "modified": "datetime64[ns, UTC]", "target": "object"})


def networks(client: DockerClient, *, filters: dict[str, list[str]] | None = None) -> Table:
    """Return networks.

    Returns:
        Columns id, name, driver, subnets, gateways (text), internal, ipv6 (booleans), created (UTC timestamp; none for
        those that are always there), labels (text).
    """
    rows: list[dict[str, object]] = []
    for row in client.api.networks(filters=filters or {}):
        pools = row["IPAM"]["Config"] or []
        rows.append(
            {
                "id": row["Id"],
                "name": row["Name"],
                "driver": row["Driver"],
                "subnets": ", ".join(pool["Subnet"] for pool in pools),
                "gateways": ", ".join(pool["Gateway"] for pool in pools if pool.get("Gateway")),
                "internal": row["Internal"],
                "ipv6": row["EnableIPv6"],
                "created": None if row["Created"].startswith("0001-") else row["Created"],
                "labels": ", ".join(f"{name}={value}" for name, value in (row.get("Labels") or {}).items()),
            }
        )
    types = dict.fromkeys(("id", "name", "driver", "subnets", "gateways"), "object")
    return table(rows, {**types, "internal": "bool", "ipv6": "bool", "created": "time", "labels": "object"})


def network_members(client: DockerClient, name: str) -> Table:
    """Return the running containers that are in a network.

    Returns:
        Columns id, name, ipv4_address, ipv6_address (with the prefixes' lengths), mac_address, endpoint_id (text).
    """
    members = client.api.inspect_network(name)["Containers"] or {}
    rows: list[dict[str, object]] = [
        {
            "id": identifier,
            "name": member["Name"],
            "ipv4_address": member["IPv4Address"],
            "ipv6_address": member["IPv6Address"],
            "mac_address": member["MacAddress"],
            "endpoint_id": member["EndpointID"],
        }
        for identifier, member in members.items()
    ]
    names = ("id", "name", "ipv4_address", "ipv6_address", "mac_address", "endpoint_id")
    return table(rows, dict.fromkeys(names, "object"))


def events(client: DockerClient, *, since: str, until: str, filters: dict[str, list[str]] | None = None) -> Table:
    """Return what has happened.

    Args:
        client: The engine.
        since: A time as docker takes it: seconds, RFC 3339, or how long ago, such as ``10m``.
        until: The same.
        filters: Docker's filters, such as ``{"type": ["container"]}``.

    Returns:
        Columns time (UTC timestamp), type, action, id, name (text), attributes (dictionary).
    """
    rows: list[dict[str, object]] = [
        {
            "time": pd.Timestamp(event["timeNano"], unit="ns", tz="UTC"),
            "type": event["Type"],
            "action": event["Action"],
            "id": event["Actor"]["ID"],
            "name": event["Actor"]["Attributes"].get("name", ""),
            "attributes": event["Actor"]["Attributes"],
        }
        for event in client.api.events(since=since, until=until, filters=filters or {}, decode=True)
    ]
    types = {"time": "time", **dict.fromkeys(("type", "action", "id", "name", "attributes"), "object")}
    return table(rows, types)


def disk_usage(client: DockerClient) -> Table:
    """Return what takes room on the engine's disk.

    Returns:
        Columns type (text), total, active (numbers), size_bytes, reclaimable_bytes.
    """
    usage = client.api.df()
    images, containers = usage.get("Images") or [], usage.get("Containers") or []
    volumes, cache = usage.get("Volumes") or [], usage.get("BuildCache") or []
    used_images = [image for image in images if image.get("Containers", 0) > 0]
    running = [row for row in containers if row["State"] in ("running", "paused", "restarting")]
    used_volumes = [row for row in volumes if (row.get("UsageData") or {}).get("RefCount", 0) > 0]
    layers = usage.get("LayersSize") or 0

    def written(rows: list[dict[str, Any]]) -> int:
        return sum(row.get("SizeRw") or 0 for row in rows)

    def stored(rows: list[dict[str, Any]]) -> int:
        return sum(max((row.get("UsageData") or {}).get("Size", 0), 0) for row in rows)

    def cached(rows: list[dict[str, Any]]) -> int:
        return sum(row.get("Size", 0) for row in rows)

    in_use = [entry for entry in cache if entry.get("InUse")]
    needed = sum(image["Size"] - max(image.get("SharedSize", 0), 0) for image in used_images)
    rows: list[dict[str, object]] = []
    for kind, everything, active, size, kept in (
        ("Images", images, used_images, layers, needed),
        ("Containers", containers, running, written(containers), written(running)),
        ("Local Volumes", volumes, used_volumes, stored(volumes), stored(used_volumes)),
        ("Build Cache", cache, in_use, cached(cache), cached(in_use)),
    ):
        row = {"type": kind, "total": len(everything), "active": len(active), "size_bytes": size}
        rows.append({**row, "reclaimable_bytes": max(size - kept, 0)})
    whole = dict.fromkeys(("total", "active", "size_bytes", "reclaimable_bytes"), "int64")
    return table(rows, {"type": "object", **whole})

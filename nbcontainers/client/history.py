"""What containers use, now and over time, as DataFrames."""

import pandas as pd
from docker import DockerClient

from nbcontainers.client import extension
from nbcontainers.client.tables import Table

_COUNTERS = ("io_read_bytes", "io_write_bytes", "rx_bytes", "tx_bytes", "oom_kills")
_MEMORY = ("memory_bytes", "memory_limit_bytes", "memory_percent")
_COLUMNS = ("cpu_percent", "throttled_percent", *_MEMORY, "pids", "pids_limit", *_COUNTERS)


def stats(client: DockerClient, container: str) -> Table:
    """Return the history of what one container has used.

    Returns:
        Index time (UTC timestamps). Columns: cpu_percent (float, 100 is one processor), throttled_percent (float,
        share of the time in which it was held back), memory_bytes, memory_limit_bytes (0: none), memory_percent
        (float), pids, pids_limit (0: none), and counters since the start: io_read_bytes, io_write_bytes, rx_bytes,
        tx_bytes, oom_kills. Against Docker one row, the present.
    """
    if not extension.is_ours(client):
        return _one_of_docker(client, container)
    identifier = client.api.inspect_container(container)["Id"]
    columns = pd.DataFrame(extension.get_json(client, f"/containers/{identifier}/metrics"), dtype="int64")
    frame = pd.DataFrame(index=pd.DatetimeIndex(pd.to_datetime(columns["time_ns"], utc=True), name="time"))
    elapsed = columns["time_ns"].diff()
    for name, source in (("cpu_percent", "cpu_total_ns"), ("throttled_percent", "cpu_throttled_ns")):
        frame[name] = (columns[source].diff() / elapsed * 100).fillna(0.0).to_numpy()
    for name in ("memory_bytes", "memory_limit_bytes"):
        frame[name] = columns[name].to_numpy()
    limit = columns["memory_limit_bytes"].where(columns["memory_limit_bytes"] > 0)
    frame["memory_percent"] = (columns["memory_bytes"] / limit * 100).to_numpy()
    for name in ("pids", "pids_limit", *_COUNTERS):
        frame[name] = columns[name].to_numpy()
    return Table(frame)


def running(client: DockerClient, *, names: tuple[str, ...] = (), everything: bool = False) -> Table:
    """Return what containers use now, one row each; index name, columns as ``stats`` has them.

    Args:
        client: The engine.
        names: Which ones; by default all that run.
        everything: Those that do not run, too.
    """
    if names:
        found = [client.api.inspect_container(name) for name in names]
        wanted = [(row["Name"].lstrip("/"), row["Id"]) for row in found]
    else:
        wanted = [(row["Names"][0].lstrip("/"), row["Id"]) for row in client.api.containers(all=everything)]
    rows = {}
    for name, identifier in wanted:
        history = stats(client, identifier)
        if len(history):
            rows[name] = history.iloc[-1]
    columns = None if rows else _COLUMNS
    frame = pd.DataFrame(rows.values(), columns=columns, index=pd.Index(rows.keys(), name="name", dtype="object"))
    if not rows:
        frame = frame.astype("float64")
    whole = [name for name in frame.columns if not name.endswith("_percent")]
    return Table(frame.astype(dict.fromkeys(whole, "int64")))


def _one_of_docker(client: DockerClient, container: str) -> Table:
    sample = client.api.stats(container, stream=False)
    cpu, before = sample["cpu_stats"], sample["precpu_stats"]
    elapsed = cpu.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    memory = sample.get("memory_stats", {})
    limit = memory.get("limit", 0)
    row = {
        "cpu_percent": used / elapsed * cpu.get("online_cpus", 1) * 100 if elapsed > 0 else 0.0,
        "memory_bytes": memory.get("usage", 0),
        "memory_limit_bytes": limit,
        "memory_percent": memory.get("usage", 0) / limit * 100 if limit else float("nan"),
        "pids": sample.get("pids_stats", {}).get("current", 0),
    }
    return Table(pd.DataFrame([row], index=pd.DatetimeIndex([pd.Timestamp(sample["read"])], name="time")))

"""The same questions to any engine, for comparing the answers' keys and types: ours, and dockerd's, which are recorded.

``python -m tests.conformance.dockerd_answers unix:///path/to/docker.sock`` asks a dockerd and writes
``tests/data/dockerd.json``. It makes one container of the image busybox, and takes it away again.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import docker

RECORDED = Path(__file__).parent.parent / "data" / "dockerd.json"
NAME = "same-as-docker"
VOLUME = "same-as-docker"
_SECOND_NS = 10**9

CREATE = {
    "Image": "busybox",
    "Cmd": ["sh", "-c", "echo said; sleep 60"],
    "Env": ["A=b"],
    "Labels": {"a": "b"},
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/anonymous": {}},
    "WorkingDir": "/tmp",
    "StopSignal": "SIGUSR1",
    "StopTimeout": 1,
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": _SECOND_NS // 5, "Timeout": _SECOND_NS, "Retries": 2},
    "HostConfig": {
        "Binds": [f"{VOLUME}:/data", "/tmp:/host:ro"],
        "Memory": 64 << 20,
        "NanoCpus": 500_000_000,
        "PidsLimit": 50,
        "CapAdd": ["SYS_PTRACE"],
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "Tmpfs": {"/scratch": "size=1m"},
        "ExtraHosts": ["other:10.1.2.3"],
    },
}


NETWORK = {
    "Name": NAME,
    "Driver": "bridge",
    "Internal": True,
    "IPAM": {"Config": [{"Subnet": "10.124.0.0/24", "Gateway": "10.124.0.1", "IPRange": "10.124.0.128/25"}]},
    "Options": {"com.docker.network.bridge.enable_icc": "false"},
    "Labels": {"a": "b"},
}
CREATE_IN_NETWORK = {
    "Image": "busybox",
    "Entrypoint": ["sh", "-c"],
    "Cmd": ["sleep 60"],
    "Tty": True,
    "OpenStdin": True,
    "StdinOnce": True,
    "AttachStdin": True,
    "Hostname": "host",
    "Domainname": "example.org",
    "User": "nobody",
    "HostConfig": {
        "NetworkMode": NAME,
        "Mounts": [
            {"Type": "volume", "Source": VOLUME, "Target": "/v", "ReadOnly": True, "VolumeOptions": {"NoCopy": True}},
            {"Type": "bind", "Source": "/usr", "Target": "/b", "BindOptions": {"Propagation": "private"}},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
        ],
        "Init": True,
        "ReadonlyRootfs": True,
        "IpcMode": "shareable",
        "Sysctls": {"net.core.somaxconn": "100"},
        "Dns": ["10.124.0.1"],
        "DnsSearch": ["example.org"],
        "DnsOptions": ["ndots:1"],
        "GroupAdd": ["10"],
        "OomScoreAdj": 100,
    },
    "NetworkingConfig": {
        "EndpointsConfig": {
            NAME: {"Aliases": ["other"], "IPAMConfig": {"IPv4Address": "10.124.0.200"}, "Links": ["other:alias"]}
        }
    },
}
CREATE_LIMITED = {
    "Image": "busybox",
    "Cmd": ["no-such-program"],
    "Healthcheck": {"Test": ["NONE"]},
    "HostConfig": {
        "NetworkMode": "none",
        "PidMode": "host",
        "UTSMode": "host",
        "UsernsMode": "host",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/other", "CgroupPermissions": "r"}],
        "DeviceCgroupRules": ["c 1:3 r"],
        "CpuShares": 100,
        "CpuPeriod": 50_000,
        "CpuQuota": 25_000,
        "CpusetCpus": "0",
        "CpusetMems": "0",
        "MemoryReservation": 32 << 20,
        "Memory": 64 << 20,
        "MemorySwap": 128 << 20,
        "MemorySwappiness": 10,
        "OomKillDisable": False,
        "ShmSize": 1 << 20,
        "LogConfig": {"Type": "none", "Config": {}},
        "PublishAllPorts": True,
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        "RestartPolicy": {"Name": "unless-stopped"},
        "MaskedPaths": ["/proc/acpi"],
        "ReadonlyPaths": ["/proc/bus"],
        "CgroupnsMode": "host",
        "Isolation": "default",
        "ConsoleSize": [0, 0],
        "Runtime": "runc",
    },
}


class Asker:
    """Asks an engine in the API's own words."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._api: Any = client.api

    def get(self, path: str, **query: object) -> Any:
        """Return what a path holds."""
        return self._api._result(self._api._get(self._api._url(path), params=query), True)

    def post(self, path: str, body: object = None, **query: object) -> Any:
        """Return what the engine answers to a request with a body."""
        return self._api._result(self._api._post_json(self._api._url(path), data=body, params=query), True)


def more_answers(client: docker.DockerClient) -> dict[str, Any]:
    """Ask one engine about containers with many options, in a network or not started, networks and execs."""
    ask = Asker(client)
    found = {"network, create": ask.post("/networks/create", NETWORK)}
    try:
        found["volume, create"] = ask.post("/volumes/create", {"Name": VOLUME, "Labels": {"a": "b"}})
        ask.post("/containers/create", CREATE_IN_NETWORK, name=NAME)
        found["in a network, inspect, created"] = ask.get(f"/containers/{NAME}/json")
        client.containers.get(NAME).start()
        found["in a network, inspect"] = ask.get(f"/containers/{NAME}/json")
        found["in a network, list"] = ask.get("/containers/json", size=1)
        found["network, inspect"] = ask.get(f"/networks/{NAME}", verbose=1)
        found["networks"] = ask.get("/networks", filters=json.dumps({"name": [NAME]}))
        made = ask.post(
            f"/containers/{NAME}/exec", {"Cmd": ["true"], "Env": ["A=b"], "User": "root", "AttachStdout": True}
        )
        found["exec, inspect, created"] = ask.get(f"/exec/{made['Id']}/json")
        client.api.exec_start(made["Id"])
        found["exec, create"], found["exec, inspect"] = made, ask.get(f"/exec/{made['Id']}/json")
        client.containers.get(NAME).pause()
        found["in a network, inspect, paused"] = ask.get(f"/containers/{NAME}/json")
        client.containers.get(NAME).remove(force=True)
        ask.post("/containers/create", CREATE_LIMITED, name=NAME)
        found["limited, inspect, created"] = ask.get(f"/containers/{NAME}/json")
        with contextlib.suppress(docker.errors.APIError):
            client.containers.get(NAME).start()
        found["limited, inspect, not started"] = ask.get(f"/containers/{NAME}/json")
        found["limited, list"] = ask.get("/containers/json", all=1, filters=json.dumps({"name": [NAME]}))
    finally:
        for one in client.containers.list(all=True, filters={"name": NAME}):
            one.remove(force=True, v=True)
        client.networks.get(NAME).remove()
        client.volumes.get(VOLUME).remove()
    return found


def answers(client: docker.DockerClient) -> dict[str, Any]:
    """Ask one engine, and return its answers by what was asked for."""
    ask = Asker(client)
    get, post = ask.get, ask.post
    since = time.time()
    found = {"create": post("/containers/create", CREATE, name=NAME)}
    try:
        found["inspect, created"] = get(f"/containers/{NAME}/json")
        client.containers.get(NAME).start()
        _until_healthy(client)
        found["inspect"] = get(f"/containers/{NAME}/json", size=1)
        found["list"] = get("/containers/json", size=1)
        found["stats"] = get(f"/containers/{NAME}/stats", stream=0)
        found["top"] = get(f"/containers/{NAME}/top")
        found["update"] = post(f"/containers/{NAME}/update", {"CpuShares": 512})
        found["info"] = get("/info")
        found["version"] = get("/version")
        found["df"] = get("/system/df")
        found["images"] = get("/images/json")
        found["image"] = get("/images/busybox/json")
        found["history"] = get("/images/busybox/history")
        found["volumes"] = get("/volumes")
        found["volume"] = get(f"/volumes/{VOLUME}")
        found["network"] = get("/networks/bridge")
        client.containers.get(NAME).stop(timeout=0)
        found["wait"] = post(f"/containers/{NAME}/wait")
        found["inspect, exited"] = get(f"/containers/{NAME}/json")
        found["prune"] = post("/containers/prune", filters=json.dumps({"label": ["nobody"]}))
    finally:
        client.containers.get(NAME).remove(force=True, v=True)
        client.volumes.get(VOLUME).remove()
    past: Any = client.events(since=since, until=time.time(), decode=True)
    found["events"] = {f"{event['Type']} {event['Action']}": event for event in past}
    return {**found, **more_answers(client)}


def _until_healthy(client: docker.DockerClient) -> None:
    deadline = time.monotonic() + 20
    while client.containers.get(NAME).attrs["State"].get("Health", {}).get("Status") != "healthy":
        assert time.monotonic() < deadline, "it did not become healthy"
        time.sleep(0.05)


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(answers(docker.DockerClient(base_url=sys.argv[1])), indent=1, sort_keys=True) + "\n")

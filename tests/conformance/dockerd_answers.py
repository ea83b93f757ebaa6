"""The same questions to any engine, for comparing the answers' keys and types: ours, and dockerd's, which are recorded.

``python -m tests.conformance.dockerd_answers unix:///path/to/docker.sock`` asks a dockerd and writes
``tests/data/dockerd.json``. It makes one container of the image busybox, and takes it away again.
"""

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


def answers(client: docker.DockerClient) -> dict[str, Any]:
    """Ask one engine, and return its answers by what was asked for."""
    api: Any = client.api

    def get(path: str, **query: object) -> Any:
        return api._result(api._get(api._url(path), params=query), True)

    def post(path: str, body: object = None, **query: object) -> Any:
        return api._result(api._post_json(api._url(path), data=body, params=query), True)

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
    return found


def _until_healthy(client: docker.DockerClient) -> None:
    deadline = time.monotonic() + 20
    while client.containers.get(NAME).attrs["State"].get("Health", {}).get("Status") != "healthy":
        assert time.monotonic() < deadline, "it did not become healthy"
        time.sleep(0.05)


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(answers(docker.DockerClient(base_url=sys.argv[1])), indent=1, sort_keys=True) + "\n")

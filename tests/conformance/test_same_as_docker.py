"""Our answers have the keys of dockerd's, with values of the same kinds.

Compared with what dockerd 20.10 (API 1.41) has answered (``tests/data/dockerd.json``, see ``dockerd_answers``). Null
goes with anything, for Go's empty lists and objects are null; what we have beside that is of later API versions.
"""

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.conformance.dockerd_answers import RECORDED, answers
from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root]

# What API 1.47 has no more, or has only where it says something.
GONE = frozenset(
    (
        "BuilderSize",
        "KernelMemory",
        "KernelMemoryTCP",
        "VirtualSize",
        "Container",
        "ContainerConfig",
        "Error",
        "AllowNondistributableArtifactsCIDRs",
        "AllowNondistributableArtifactsHostnames",
        "BridgeNfIptables",
        "BridgeNfIp6tables",
    )
)
# Objects whose keys are names of things, or options.
NAMED = frozenset(("Runtimes", "IndexConfigs", "Containers", "Options", "Labels", "Attributes", "stats"))
# Docker's own defaults stand in an image's configuration; ours has what the image says (OCI image-spec).
LEFT_OUT = frozenset(("image.Config",))
KINDS = {dict: "object", list: "list", str: "text", bool: "flag", int: "number", float: "number"}


def _differences(theirs: Any, ours: Any, place: str) -> Iterator[str]:
    """Yield what is missing in our answer, or is of another kind."""
    if theirs is None or ours is None or place in LEFT_OUT:
        return
    if KINDS[type(theirs)] != KINDS[type(ours)]:
        yield f"{place}: {KINDS[type(theirs)]} there, {KINDS[type(ours)]} here"
    elif isinstance(theirs, dict):
        if place.rpartition(".")[2] in NAMED:
            return
        for key, value in theirs.items():
            if key in ours:
                yield from _differences(value, ours[key], f"{place}.{key}")
            elif key not in GONE:
                yield f"{place}.{key} is missing"
    elif isinstance(theirs, list) and theirs and ours:
        yield from _differences(theirs[0], ours[0], f"{place}[]")


@pytest.fixture(scope="module")
def ours(engine: EngineProcess) -> dict[str, Any]:
    """Our own answers."""
    return answers(engine.client)


RECORDS: dict[str, Any] = json.loads(RECORDED.read_text())


@pytest.mark.parametrize("question", sorted(RECORDS))
def test_answers(ours: dict[str, Any], question: str) -> None:
    assert list(_differences(RECORDS[question], ours[question], question)) == []


def test_what_older_versions_of_the_api_have(engine: EngineProcess) -> None:
    client = docker.DockerClient(base_url=engine.url, version="1.41")
    network = client.networks.create("older")
    try:
        container = client.containers.run(
            "busybox", ["sleep", "60"], detach=True, network="older", mac_address="02:42:0a:7c:00:05", hostname="host"
        )
        container.reload()
        assert container.attrs["Config"]["MacAddress"] == "02:42:0a:7c:00:05"
        assert container.attrs["NetworkSettings"]["Networks"]["older"]["Aliases"] == [container.id[:12], "host"]
    finally:
        engine.remove_everything()
        network.remove()
        client.close()


def test_the_comparison_finds_differences() -> None:
    theirs = {"A": 1, "B": {"C": "x"}, "D": [{"E": True}], "F": None}
    ours = {"A": 1.5, "B": {}, "D": [{"E": 1}], "F": 3}
    assert list(_differences(theirs, ours, "x")) == ["x.B.C is missing", "x.D[].E: flag there, number here"]

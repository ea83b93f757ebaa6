"""What takes room on the disk, and away with what nobody uses: sizes, df, prune."""

import contextlib
import io
import json
from typing import Any

import docker
import pytest
from docker.errors import APIError, BuildError, NotFound

from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root]
BYTES = 123_456


def _writing(client: docker.DockerClient, **options: Any) -> Any:
    """Return a container that has ended, and has written so many bytes."""
    script = f"head -c {BYTES} /dev/zero > /big"
    container: Any = client.containers.run("busybox", ["sh", "-c", script], detach=True, network_mode="none", **options)
    container.wait()
    return container


def test_sizes(client: docker.DockerClient) -> None:
    container = _writing(client)
    image_bytes = client.images.get("busybox").attrs["Size"]
    (row,) = client.api.containers(all=True, size=True)
    assert (row["SizeRw"], row["SizeRootFs"]) == (BYTES, BYTES + image_bytes)
    (row,) = client.api.containers(all=True)
    assert "SizeRw" not in row
    api: Any = client.api
    inspected = api._result(api._get(api._url(f"/containers/{container.id}/json"), params={"size": 1}), True)
    assert (inspected["SizeRw"], inspected["SizeRootFs"]) == (BYTES, BYTES + image_bytes)


def test_df(client: docker.DockerClient) -> None:
    volume: Any = client.volumes.create("kept")
    try:
        script = f"head -c {BYTES} /dev/zero > /data/big"
        client.containers.run("busybox", ["sh", "-c", script], volumes={"kept": {"bind": "/data"}}, network_mode="none")
        usage = client.df()
        assert {image["RepoTags"][0] for image in usage["Images"]} >= {"busybox:latest"}
        assert not any("host:latest" in image["RepoTags"] for image in usage["Images"])  # takes no room of the engine's
        assert usage["LayersSize"] >= client.images.get("busybox").attrs["Size"] > 0
        (container,) = usage["Containers"]
        assert container["SizeRw"] >= 0
        (found,) = usage["Volumes"]
        assert (found["Name"], found["UsageData"]) == ("kept", {"RefCount": 1, "Size": BYTES})
        api: Any = client.api
        only = api._result(api._get(api._url("/system/df"), params={"type": "volume"}), True)
        assert (only["Images"], only["Containers"], len(only["Volumes"])) == (None, None, 1)
        with pytest.raises(APIError, match="unknown object type"):
            api._result(api._get(api._url("/system/df"), params={"type": "task"}), True)
    finally:
        for container in client.containers.list(all=True):
            container.remove(force=True)
        volume.remove()


@pytest.mark.peer
def test_the_cli_shows_it(cli: EngineProcess) -> None:
    _writing(cli.client, name="writer")
    said = cli.docker("system", "df", "-v").stdout.decode()
    assert "writer" in said
    assert "123kB" in said


@pytest.mark.peer
def test_the_cli_prunes_all_of_it(cli: EngineProcess) -> None:
    container = _writing(cli.client, name="gone")
    said = cli.docker("system", "prune", "--force", "--volumes").stdout.decode()
    assert str(container.id) in said
    assert "Total reclaimed space: 123.5kB" in said
    assert cli.client.containers.list(all=True) == []
    assert cli.client.images.get("busybox")


def test_the_build_cache(client: docker.DockerClient) -> None:
    text = b"FROM busybox\nRUN --mount=type=cache,target=/c echo a > /c/a\nRUN head -c 5000 /dev/zero > /five\n"
    api: Any = client.api
    api.prune_builds()
    image, _ = client.images.build(fileobj=io.BytesIO(text), tag="cached:1")
    try:
        client.images.build(fileobj=io.BytesIO(text), tag="cached:1")
        layer, mount, empty = _cache(client)
        assert layer["Parent"] == empty["ID"]
        assert (layer["Type"], layer["Size"], layer["UsageCount"], layer["Shared"]) == ("regular", 5000, 1, True)
        assert layer["Description"] == "RUN head -c 5000 /dev/zero > /five"
        assert layer["CreatedAt"] <= layer["LastUsedAt"]
        assert (mount["Type"], mount["Size"], mount["Shared"], mount["InUse"]) == ("exec.cachemount", 2, False, False)
        assert _prune(client, filters='{"type": ["regular"]}') == {"CachesDeleted": None, "SpaceReclaimed": 0}
        assert _prune(client) == {"CachesDeleted": [mount["ID"]], "SpaceReclaimed": 2}
        assert _prune(client, all=1) == {"CachesDeleted": [empty["ID"], layer["ID"]], "SpaceReclaimed": 0}
        client.images.remove("cached:1")
        with pytest.raises(BuildError):
            client.images.build(fileobj=io.BytesIO(text + b"RUN false\n"))
        layer, mount, empty = _cache(client)
        assert _prune(client, filters='{"type": ["exec.cachemount"]}')["CachesDeleted"] == [mount["ID"]]
        assert (layer["Shared"], empty["Shared"]) == (False, False)
        for spared in ({"filters": '{"until": ["1h"]}'}, {"keep-storage": 5000}, {"filters": '{"shared": ["true"]}'}):
            assert _prune(client, **spared)["CachesDeleted"] is None
        assert _prune(client, filters=json.dumps({"id": [layer["ID"][:12]]}))["SpaceReclaimed"] == 5000
        assert _cache(client) == [empty]
        assert api._post(api._url("/build/prune"), params={"filters": '{"colour": ["red"]}'}).status_code == 400
    finally:
        with contextlib.suppress(NotFound):
            client.images.remove(str(image.id), force=True)


def _cache(client: docker.DockerClient) -> list[Any]:
    """Return the rows of the build cache, the largest first."""
    return sorted(client.df()["BuildCache"], key=lambda row: row["Size"], reverse=True)


def _prune(client: docker.DockerClient, **params: Any) -> Any:
    api: Any = client.api
    return api._result(api._post(api._url("/build/prune"), params=params), True)


def test_pruning_containers(client: docker.DockerClient) -> None:
    ended = _writing(client, labels={"a": "b"})
    running = client.containers.run("busybox", ["sleep", "60"], detach=True, network_mode="none")
    for spared in ({"label": ["a=c"]}, {"label!": ["a=b"]}, {"until": ["1h"]}):
        assert client.containers.prune(filters=spared)["ContainersDeleted"] is None
    freed = client.containers.prune(filters={"label": ["a=b"]})
    assert freed == {"ContainersDeleted": [ended.id], "SpaceReclaimed": BYTES}
    assert client.containers.list(all=True) == [running]
    for nonsense in ({"colour": ["red"]}, {"until": ["yesterday"]}):
        with pytest.raises(APIError) as caught:
            client.containers.prune(filters=nonsense)
        assert caught.value.status_code == 400


def test_pruning_volumes(client: docker.DockerClient) -> None:
    named: Any = client.volumes.create("named", labels={"a": "b"})
    try:
        unnamed = client.volumes.create()
        client.api.create_container("busybox", "true", volumes=["/data"])
        assert client.volumes.prune()["VolumesDeleted"] == [unnamed.id]
        assert client.volumes.prune(filters={"all": ["true"], "label": ["a=c"]})["VolumesDeleted"] == []
        assert client.volumes.prune(filters={"all": ["true"]})["VolumesDeleted"] == ["named"]
        with pytest.raises(NotFound):
            client.volumes.get("named")
    finally:
        with contextlib.suppress(NotFound):
            named.remove()


def test_pruning_images(client: docker.DockerClient) -> None:
    text = b"FROM busybox\nLABEL pruned=yes\nRUN head -c 5000 /dev/zero > /five\n"
    named, _ = client.images.build(fileobj=io.BytesIO(text), tag="pruned:1")
    assert client.images.prune()["ImagesDeleted"] is None
    only = {"dangling": False, "label": "pruned=yes"}
    client.containers.create("pruned:1", "true", name="user")
    assert client.images.prune(filters=only)["ImagesDeleted"] is None
    client.containers.get("user").remove()
    pruned = client.images.prune(filters=only)
    assert {"Untagged": "pruned:1"} in pruned["ImagesDeleted"]
    assert {"Deleted": named.id} in pruned["ImagesDeleted"]
    assert pruned["SpaceReclaimed"] == 5000
    with pytest.raises(APIError) as caught:
        client.images.prune(filters={"dangling": "perhaps"})
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"expose": "8080"}, True),
        ({"expose": "8000-8100/tcp"}, True),
        ({"expose": "8080/udp"}, False),
        ({"publish": "8080"}, False),
        ({"health": "none"}, True),
        ({"health": "healthy"}, False),
        ({"is-task": "true"}, False),
        ({"is-task": "false"}, True),
        ({"isolation": "default"}, True),
        ({"exited": "0"}, True),
        ({"exited": "1"}, False),
        ({"name": "^/fi"}, True),
        ({"ancestor": "busybox"}, True),
        ({"volume": "/nowhere"}, False),
    ],
)
def test_filters_of_lists(client: docker.DockerClient, filters: dict[str, str], found: bool) -> None:
    client.api.create_container("busybox", "true", name="filtered", ports=[8080])
    assert len(client.containers.list(all=True, filters=filters)) == found


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "asleep"},
        {"health": "sick"},
        {"exited": "x"},
        {"is-task": "x"},
        {"expose": "80-x"},
        {"publish": "99999"},
        {"colour": "red"},
        {"name": "["},
    ],
)
def test_nonsense_in_filters(client: docker.DockerClient, filters: dict[str, str]) -> None:
    with pytest.raises(APIError) as caught:
        client.containers.list(filters=filters)
    assert caught.value.status_code == 400

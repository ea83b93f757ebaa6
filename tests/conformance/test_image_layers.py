"""What layers hold, told by the engine and read from what it saves as from any Docker; images compared both ways."""

import io
from collections.abc import Iterator

import docker
import pandas as pd
import pytest

from nbcontainers.cli import Face, invoke
from nbcontainers.client import comparing, extension
from nbcontainers.client.image import Image
from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root, pytest.mark.busybox]
FIRST = b"""FROM busybox
RUN dd if=/dev/zero of=/big bs=1000 count=5000; mkdir -p /data/a; echo one > /data/a/x; \\
    echo two > /data/y; ln /data/y /data/z
RUN rm /big; echo more >> /data/y; chmod 700 /tmp
RUN rm -rf /data && mkdir /data && echo new > /data/fresh && ln -s fresh /data/link; rm /etc/group
ENV A=1
"""
SECOND = b"""FROM busybox
RUN mkdir -p /data; echo newer > /data/fresh; ln -s else /data/link; touch /etc/passwd; \\
    echo new > /data/fresh2; ln /data/fresh2 /data/twice
RUN rm -rf /root && ln -s data /root; chown 5 /bin/busybox; rm /data/fresh2
"""


@pytest.fixture
def names(client: docker.DockerClient) -> Iterator[tuple[str, str]]:
    for tag, text in (("layered:1", FIRST), ("layered:2", SECOND)):
        client.images.build(fileobj=io.BytesIO(text), tag=tag)
    yield "layered:1", "layered:2"
    for tag in ("layered:1", "layered:2"):
        client.images.remove(tag)


@pytest.fixture(params=["told", "saved"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the engine tells it, or its archive is read as that of a Docker, which has no such endpoint."""
    if request.param == "saved":
        monkeypatch.setattr(extension, "is_ours", lambda client: False)
    return str(request.param)


def test_layers_and_their_files(client: docker.DockerClient, names: tuple[str, str], way: str) -> None:
    image = Image(client, names[0])
    table = image.layers()
    assert list(table["digest"]) == client.images.get(names[0]).attrs["RootFS"]["Layers"]
    assert list(table["files"][1:]) == [4, 1, 2]
    assert list(table["size_bytes"][1:3]) == [5_000_008, 9]
    assert list(table["wasted_bytes"]) == [26, 5_000_008, 9, 0]
    assert table["created_by"][2].startswith("RUN dd")
    assert isinstance(table["created"].dtype, pd.DatetimeTZDtype)
    files = image.files()
    assert files["size_bytes"].groupby(files["layer"]).sum().equals(table["size_bytes"])
    last = files[files["layer"] == 4].sort_values("path")
    assert {path: str(change) for path, change in zip(last["path"], last["change"], strict=True)} == {
        "/data": "changed",
        "/data/a": "removed",
        "/data/fresh": "added",
        "/data/link": "added",
        "/data/y": "removed",
        "/data/z": "removed",
        "/etc/group": "removed",
    }
    assert list(files[files["path"] == "/big"]["hidden_by"].dropna()) == [3]


def test_two_images_compared(client: docker.DockerClient, names: tuple[str, str], way: str) -> None:
    table = comparing.diff(client, *names)
    rows = {path: (str(change), differs) for path, change, differs in table.iloc[:, :3].itertuples(index=False)}
    assert rows == {
        "/bin/busybox": ("changed", "owner"),
        "/data/fresh": ("changed", "content"),
        "/data/link": ("changed", "target"),
        "/data/twice": ("added", ""),
        "/etc/group": ("added", ""),
        "/root": ("changed", "kind"),
        "/tmp": ("changed", "mode"),
    }
    assert list(table[table["path"] == "/data/fresh"][["before_bytes", "after_bytes"]].iloc[0]) == [4, 6]
    assert len(comparing.diff(client, names[0], names[0])) == 0
    back = comparing.diff(client, names[1], names[0])
    assert str(back.set_index("path").loc["/data/twice", "change"]) == "removed"


def test_an_image_on_this_machine_changes_its_files(client: docker.DockerClient) -> None:
    text = b"FROM host\nRUN echo x > /etc/motd; rm -rf /usr/share/base-files; mkdir /lesson\n"
    client.images.build(fileobj=io.BytesIO(text), tag="layered:host")
    image = Image(client, "layered:host")
    rows = {path: str(change) for path, change in image.files()[["path", "change"]].itertuples(index=False)}
    assert rows == {"/etc/motd": "changed", "/lesson": "added", "/usr/share/base-files": "removed"}
    assert len(image.layers()) == 1
    assert len(Image(client, "host").layers()) == 0
    differing = comparing.diff(client, "host", image.id)
    assert {"/etc/motd", "/lesson"} <= set(differing["path"])
    assert not differing["path"].str.startswith("/usr/bin").any()
    client.images.remove("layered:host")


def test_the_commands(client: docker.DockerClient, names: tuple[str, str], engine: EngineProcess) -> None:
    face = Face(url=engine.url)
    assert list(invoke(["image", "layers", names[0]], face).index) == [1, 2, 3, 4]
    assert "/big" in set(invoke(["image", "layers", "--files", names[0]], face)["path"])
    assert "/root" in set(invoke(["image", "diff", *names], face)["path"])
    with pytest.raises(docker.errors.ImageNotFound):
        invoke(["image", "diff", names[0], "nothing:1"], face)
    face.client.close()


def test_names_that_are_no_text_are_told(client: docker.DockerClient) -> None:
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN touch \"$(printf '/a\\377b')\"\n"), tag="layered:odd")
    assert "/a\\xffb" in set(Image(client, "layered:odd").files()["path"])
    client.images.remove("layered:odd")


def test_an_unknown_image(client: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.APIError) as refused:
        extension.get_json(client, "/images/nothing:1/layers")
    assert refused.value.status_code == 404
    with pytest.raises(docker.errors.APIError) as refused:
        extension.get_json(client, "/images/busybox/diff")
    assert refused.value.status_code == 400

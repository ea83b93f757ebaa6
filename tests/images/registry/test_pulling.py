"""Pulling from the real docker-registry, whatever goes wrong on the way: never a wrong image, never a leftover."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.images import Images, platforms, staging
from nbcontainers.images.fetching import LayerState
from nbcontainers.images.pulling import Pulled, PullEvent, Pulls
from nbcontainers.images.references import locate
from nbcontainers.images.registry import Registries, Repository, media
from tests.images.registry.contents import COMPRESSIONS, Made, archive, digest, publish, publish_index
from tests.images.registry.servers import Fault, FaultyProxy, RegistryServer

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="unpacking keeps owners: needs root")]

LARGE = os.urandom(2 << 20)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "images", [])


@pytest.fixture
async def pulls(images: Images) -> AsyncIterator[Pulls]:
    pulls = Pulls(images)
    yield pulls
    pulls.close()
    assert os.listdir(images.snapshots.upper("x").parents[1]) == [], "something is left half done"


class Bench:
    """One repository: written to at the registry, read through the proxy."""

    def __init__(self, images: Images, pulls: Pulls, writer: Repository, reader: Repository) -> None:
        self.images, self.pulls, self.writer, self.reader = images, pulls, writer, reader
        self.told: list[PullEvent] = []
        self.name = f"{reader.registry}/{reader.name}"

    async def pull(self, mark: str = ":latest", platform: str = "linux/amd64") -> Pulled:
        location = locate(f"{self.name}{mark}")
        return await self.pulls.pull(self.reader, location, platforms.parse(platform), self.told.append)

    def statuses(self) -> list[str]:
        return [event.status for event in self.told if isinstance(event, LayerState)]

    def files(self, image_id: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for layer in self.images.layers(self.images.get(image_id)):
            root = self.images.snapshots.files(layer)
            found |= {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return found

    def nothing(self) -> bool:
        """Say whether there is no image, and no layer that somebody would look for."""
        return len(self.images.list()) == 1 and set(self.images.snapshots.committed()) == set(
            staging.on_shelf(self.images)
        )


@pytest.fixture
def bench(images: Images, pulls: Pulls, registry: RegistryServer, proxy: FaultyProxy, registries: Registries) -> Bench:
    name = f"team/app-{os.urandom(4).hex()}"
    writer = registries.repository(registry.address, name, push=True)
    return Bench(images, pulls, writer, registries.repository(proxy.address, name))


@pytest.mark.parametrize("kind", list(COMPRESSIONS))
async def test_an_image_comes_whole(bench: Bench, kind: str) -> None:
    made = Made([archive(a=b"1", dir__b=b"2"), archive(c=LARGE)], kind, config={"config": {"Cmd": ["sh"]}})
    manifest = await publish(bench.writer, made)
    pulled = await bench.pull()
    assert (pulled.image.id, pulled.digest, pulled.is_new) == (made.image_id, manifest.digest, True)
    assert pulled.image.config.config.cmd == ["sh"]
    assert pulled.image.repo_tags == [f"{bench.name}:latest"]
    assert pulled.image.repo_digests == [f"{bench.name}@{manifest.digest}"]
    assert bench.files(made.image_id) == {"a": b"1", "dir/b": b"2", "c": LARGE}
    assert pulled.image.size_bytes == 2 + len(LARGE)
    assert bench.statuses().count("Pull complete") == 2
    assert staging.on_shelf(bench.images) == []
    # What push needs to know of it.
    blobs = [bench.images.origins.blobs(diff_id)[0].digest for diff_id in pulled.image.config.rootfs.diff_ids]
    assert blobs == [digest(blob) for blob in made.blobs]
    assert [one[0] for one in bench.images.origins.manifests(made.image_id)] == [manifest.digest]
    again = await bench.pull()
    assert (again.image.id, again.is_new) == (made.image_id, False)


async def test_the_digest_alone_names_an_image(bench: Bench) -> None:
    manifest = await publish(bench.writer, Made([archive(a=b"1")]))
    pulled = await bench.pull(f":7@{manifest.digest}")
    assert (pulled.image.repo_tags, pulled.is_new) == ([], True)
    assert bench.images.get(f"{bench.name}@{manifest.digest}").id == pulled.image.id


async def test_what_is_there_already_is_not_fetched(bench: Bench, proxy: FaultyProxy) -> None:
    below = archive(a=LARGE)
    await publish(bench.writer, Made([below]), "1")
    await publish(bench.writer, Made([below, archive(b=b"2")]), "2")
    await bench.pull(":1")
    asked = proxy.count("GET", "/blobs/")
    pulled = await bench.pull(":2")
    assert bench.files(pulled.image.id) == {"a": LARGE, "b": b"2"}
    assert "Already exists" in bench.statuses()
    assert proxy.count("GET", "/blobs/") == asked + 2  # a configuration and a layer


async def test_a_layer_may_come_twice(bench: Bench) -> None:
    again = archive(a=b"1")
    made = Made([again, archive(b=b"2"), again])
    await publish(bench.writer, made)
    pulled = await bench.pull()
    assert len(bench.images.layers(pulled.image)) == 3
    assert bench.files(pulled.image.id) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize(
    ("wanted", "architecture", "variant"),
    [
        ("linux/amd64", "amd64", ""),
        ("linux/arm64", "arm64", ""),
        ("linux/arm64/v8", "arm64", ""),
        ("linux/arm", "arm", "v7"),
        ("linux/arm/v6", "arm", "v6"),
        ("linux/386", "386", ""),
    ],
)
async def test_a_platform_is_chosen(bench: Bench, wanted: str, architecture: str, variant: str) -> None:
    entries = []
    for each, kind in (("arm", "v6"), ("arm", "v7"), ("arm64", "v8"), ("386", ""), ("amd64", "")):
        made = Made([archive(a=f"{each} {kind}".encode())], architecture=each, variant=kind)
        where = {"architecture": each, "os": "linux", **({"variant": kind} if kind else {})}
        entries.append((await publish(bench.writer, made, f"{each}{kind}"), where))
    entries.append((entries[0][0], {"architecture": "unknown", "os": "unknown"}))
    index = await publish_index(bench.writer, entries, "latest")
    pulled = await bench.pull(platform=wanted)
    config = pulled.image.config
    assert (config.architecture, config.variant.replace("v8", "")) == (architecture, variant)
    assert pulled.image.repo_digests == [f"{bench.name}@{index}"]
    with pytest.raises(errors.NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
        await bench.pull(platform="linux/s390x")


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Made([b"nonsense"]), "archive"),
        (Made([archive(a=b"1")], diff_ids=["sha256:" + "1" * 64]), "don't match image configuration"),
        (Made([archive(a=b"1")], diff_ids=[]), "don't match image configuration"),
        (Made([archive(a=b"1")], config={"os": "windows"}), 'operating system "windows" when requested "linux"'),
        (Made([archive(a=b"1")], config_type="application/vnd.cncf.helm.config.v1+json"), "it is no image"),
        (Made([archive(a=b"1")], layer_type=media.OCI_FOREIGN_LAYER_GZIP), "is not in the registry"),
        (Made([archive(a=b"1")], layer_type="application/x"), "unsupported media type 'application/x'"),
        (Made([archive(ok=b"1", **{"..__out": b"1"})]), "leads out of its root"),
        (Made([archive(a=b"1")], config={"rootfs": 5}), "the configuration '.*' is damaged"),
    ],
)
async def test_what_is_wrong_is_refused(bench: Bench, made: Made, text: str) -> None:
    await publish(bench.writer, made)
    with pytest.raises(errors.Error, match=text):
        await bench.pull()
    assert bench.nothing()


async def test_a_broken_connection_is_gone_on_with(bench: Bench, proxy: FaultyProxy) -> None:
    made = Made([archive(a=LARGE), archive(b=b"2")])
    await publish(bench.writer, made)
    proxy.faults += [Fault("GET", "/blobs/", times=4, cut_after=300_000), Fault("GET", "/manifests/", status=503)]
    await bench.pull()
    assert bench.files(made.image_id) == {"a": LARGE, "b": b"2"}
    assert any("Range" in headers for _, path, headers in proxy.received if "/blobs/" in path)


async def test_a_registry_may_ask_to_wait(bench: Bench, proxy: FaultyProxy) -> None:
    await publish(bench.writer, Made([archive(a=LARGE)]))
    proxy.faults += [
        Fault("GET", "/(blobs|manifests)/", times=3, status=429, headers={"Retry-After": "0"}),
        Fault("GET", "/blobs/", times=2, pause_seconds=0.01),
    ]
    assert (await bench.pull()).is_new


@pytest.mark.parametrize("what", ["/manifests/", "/blobs/"])
async def test_a_wrong_digest_is_never_stored(bench: Bench, proxy: FaultyProxy, what: str) -> None:
    made = Made([archive(a=LARGE), archive(b=b"2")])
    await publish(bench.writer, made)
    layer = what if what == "/manifests/" else f"/blobs/{digest(made.blobs[0])}"
    proxy.faults.append(Fault("GET", layer, times=9, corrupt=True))
    with pytest.raises(errors.Error):
        await bench.pull()
    assert bench.nothing()
    assert staging.shelved(bench.images, digest(made.blobs[0])) is None
    proxy.faults.clear()
    await bench.pull()
    assert bench.files(made.image_id) == {"a": LARGE, "b": b"2"}


async def test_two_share_one_download(bench: Bench, proxy: FaultyProxy) -> None:
    shared = archive(a=LARGE)
    one, two = Made([shared, archive(b=b"2")]), Made([archive(c=b"3"), shared])
    await publish(bench.writer, one, "1")
    await publish(bench.writer, two, "2")
    blob = f"/blobs/{digest(one.blobs[0])}"
    proxy.faults.append(Fault("GET", blob, times=9, pause_seconds=0.01))
    results = await asyncio.gather(bench.pull(":1"), bench.pull(":2"), bench.pull(":1"))
    assert proxy.count("GET", blob) == 1
    assert [pulled.image.id for pulled in results] == [one.image_id, two.image_id, one.image_id]
    assert bench.files(one.image_id) == {"a": LARGE, "b": b"2"}
    assert bench.files(two.image_id) == {"a": LARGE, "c": b"3"}
    assert len(bench.images.snapshots.committed()) == 4  # whoever came later has used what was there
    bench.images.remove(one.image_id, force=True, in_use=lambda _: [])
    assert bench.files(two.image_id) == {"a": LARGE, "c": b"3"}


async def test_complete_layers_outlive_a_pull_that_is_given_up(bench: Bench, proxy: FaultyProxy) -> None:
    made = Made([archive(a=b"1"), archive(b=LARGE)])
    await publish(bench.writer, made)
    small, large = (f"/blobs/{digest(blob)}" for blob in made.blobs)
    proxy.faults.append(Fault("GET", large, pause_seconds=0.05))
    pulling = asyncio.ensure_future(bench.pull())
    while "Pull complete" not in bench.statuses():
        await asyncio.wait({pulling}, timeout=0.01)
        assert not pulling.done()
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert bench.nothing()
    assert len(staging.on_shelf(bench.images)) == 1
    # Another engine, after the first was killed.
    bench.images = Images(bench.images.root, [])
    assert len(staging.usable(bench.images)) == 1
    bench.pulls = Pulls(bench.images)
    await bench.pull()
    bench.pulls.close()
    assert bench.files(made.image_id) == {"a": b"1", "b": LARGE}
    assert (proxy.count("GET", small), proxy.count("GET", large)) == (1, 2)


async def test_one_that_goes_leaves_the_other_its_download(bench: Bench, proxy: FaultyProxy) -> None:
    made = Made([archive(a=LARGE)])
    await publish(bench.writer, made)
    blob = f"/blobs/{digest(made.blobs[0])}"
    proxy.faults.append(Fault("GET", blob, pause_seconds=0.02))
    first, second = asyncio.ensure_future(bench.pull()), asyncio.ensure_future(bench.pull())
    while bench.statuses().count("Downloading") < 2:
        await asyncio.wait({first, second}, timeout=0.01)
    first.cancel()
    assert (await second).image.id == made.image_id
    assert proxy.count("GET", blob) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_registry_is_not_believed_of_what_was_not_fetched(bench: Bench) -> None:
    made, other = Made([archive(a=b"1")]), archive(b=b"2")
    true = await publish(bench.writer, made)
    await bench.pull()
    # The same configuration, with another layer: the image is what it was, and nobody will push that layer as its own.
    false = Made([other], diff_ids=[digest(made.layers[0])])
    assert false.image_id == made.image_id
    await publish(bench.writer, false, "false")
    pulled = await bench.pull(":false")
    assert bench.files(pulled.image.id) == {"a": b"1"}
    assert [blob.digest for blob in bench.images.origins.blobs(digest(made.layers[0]))] == [digest(made.blobs[0])]
    assert [name for name, _, _ in bench.images.origins.manifests(made.image_id)] == [true.digest]
    await publish(bench.writer, Made([other, other], diff_ids=[digest(made.layers[0])]), "longer")
    with pytest.raises(errors.RegistryError, match="there are 2, not 1"):
        await bench.pull(":longer")


async def test_the_host_is_not_pulled(bench: Bench, registries: Registries) -> None:
    source = registries.repository("docker.io", "library/host")
    with pytest.raises(errors.Conflict, match="cannot be pulled"):
        await bench.pulls.pull(source, locate("host"), platforms.this(), bench.told.append)

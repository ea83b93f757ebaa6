"""Images: imported, named, removed; by several at once, on full disks, and killed at any step."""

import errno
import io
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbcontainers import errors
from nbcontainers.images import HistoryEntry, Image, ImageConfig, Images, RootFS, Snapshots
from nbcontainers.images.config import ContainerDefaults, encode
from nbcontainers.images.history import history
from nbcontainers.images.snapshots import HOST_SNAPSHOT
from nbcontainers.linux import files, mounts, namespaces
from tests.children import Fuse, in_child, killed_at

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="unpacking keeps owners: needs root")]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(tmp_path / "images", [])


def archive(**contents: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    buffer.seek(0)
    return buffer


def imported(images: Images, reference: str = "", **contents: str) -> Image:
    contents = contents or {"file": reference}
    return images.import_tar(archive(**contents), message="", reference=reference)


def built(images: Images, base: Image, *references: str, content: str = "more") -> Image:
    """Make an image of one more layer on another, as a build does."""
    key, name = os.urandom(8).hex(), os.urandom(8).hex()
    images.snapshots.prepare(key, base.snapshot)
    (images.snapshots.upper(key) / "more").write_text(content)
    images.protect(name)
    images.snapshots.commit(name, key)
    history = [*base.config.history, HistoryEntry(created="2024-05-06T07:08:09Z", created_by=f"RUN {content}")]
    config = ImageConfig(architecture="amd64", rootfs=RootFS(diff_ids=[name]), history=history)
    image = images.add(config, parent=base.id, snapshot=name, size_bytes=base.size_bytes + len(content))
    images.unprotect(name)
    for reference in references:
        images.tag(image.id, reference)
    return images.get(image.id)


def unused(_: str) -> list[str]:
    return []


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_an_archive_becomes_an_image(images: Images) -> None:
    image = images.import_tar(
        archive(a="12345", b="6"),
        message="by hand",
        reference="docker.io/one",
        defaults=ContainerDefaults(cmd=["sh", "-c"], working_dir="/srv"),
    )
    assert image.repo_tags == ["one:latest"]
    assert image.size_bytes == 6
    assert image.config.config.cmd == ["sh", "-c"]
    assert image.config.config.working_dir == "/srv"
    assert [entry.comment for entry in image.config.history] == ["by hand"]
    assert len(image.config.rootfs.diff_ids) == 1
    assert image.snapshot is not None
    assert (images.snapshots.files(image.snapshot) / "a").read_text() == "12345"
    blob = images._blobs / image.id.removeprefix("sha256:")
    assert blob.read_bytes() == encode(image.config)


@pytest.mark.parametrize(
    ("reference", "error", "text"),
    [
        ("UPPER", errors.InvalidReference, "lower case"),
        ("host", errors.Conflict, "'host' stands for this machine's own file system"),
        ("host:1", errors.Conflict, "'host' stands"),
        ("x@sha256:" + "0" * 64, errors.InvalidReference, "cannot tag by digest"),
    ],
)
def test_a_refused_import_leaves_nothing(
    images: Images, tmp_path: Path, reference: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        imported(images, reference, file="x")
    assert [image.repo_tags for image in images.list()] == [["host:latest"]]
    assert tree(tmp_path) == []


@pytest.mark.parametrize("data", [b"", b"no archive", archive(a="x" * 9000).getvalue()[:2000]])
def test_a_broken_archive_leaves_nothing(images: Images, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot unpack the archive"):
        images.import_tar(io.BytesIO(data), message="", reference="x")
    with pytest.raises(errors.NoSuchImage, match="No such image: x"):
        images.get("x")
    assert tree(tmp_path) == []


def test_names(images: Images) -> None:
    image = imported(images, "one")
    assert images.tag(image.id, "localhost:5000/team/app:1.2") == "localhost:5000/team/app:1.2"
    bare = image.id.removeprefix("sha256:")
    for name in ("one", "one:latest", "docker.io/library/one", "localhost:5000/team/app:1.2", image.id, bare, bare[:4]):
        assert images.get(name).id == image.id
    for name in (
        "two",
        "one:2",
        "",
        "sha256:",
        "sha256:" + "0" * 64,
        "0" * 64,
        bare[:3] if bare[:3].isdigit() else "abc",
    ):
        with pytest.raises(errors.NoSuchImage):
            images.get(name)
    with pytest.raises(errors.InvalidReference):
        images.get("not/VALID")


def test_a_name_goes_to_the_image_that_has_it_last(images: Images) -> None:
    old, new = imported(images, "app", file="old"), imported(images, "app", file="new")
    assert images.get("app").id == new.id
    assert images.get(old.id).repo_tags == []  # it is dangling, and still there
    assert [image.id for image in images.list()][1:] == [old.id, new.id]


def test_a_reference_comes_before_the_beginning_of_an_id(images: Images) -> None:
    other = imported(images, "other")
    digits = other.id.removeprefix("sha256:")[:6]
    named = imported(images, digits)
    assert images.get(digits).id == named.id
    assert images.get(f"sha256:{digits}").id == other.id
    assert images.remove(digits, force=False, in_use=unused) == [
        ("Untagged", f"{digits}:latest"),
        ("Deleted", named.id),
    ]
    assert images.get(digits).id == other.id


def test_an_ambiguous_id(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # there are hundreds, and none is to last
    beginnings: dict[str, int] = {}
    number = 0
    while max(beginnings.values(), default=0) < 2:  # a few hundred: the birthday paradox, on four digits
        config = ImageConfig(author=str(number))
        image = images.add(config, parent="", snapshot=None, size_bytes=0)
        beginning = image.id.removeprefix("sha256:")[:4]
        beginnings[beginning] = beginnings.get(beginning, 0) + 1
        number += 1
    with pytest.raises(errors.InvalidArgument, match="fits several images"):
        images.get(beginning)


def test_the_host_is_always_there_and_stays(images: Images) -> None:
    host = images.get("host")
    assert (host.snapshot, host.repo_tags) == (HOST_SNAPSHOT, ["host:latest"])
    assert images.get(host.id) == images.get("host:latest") == host
    for refused in (
        lambda: images.remove("host", force=True, in_use=unused),
        lambda: images.remove(host.id, force=True, in_use=unused),
        lambda: images.tag(host.id, "mine"),
        lambda: images.tag(imported(images, "x").id, "host"),
    ):
        with pytest.raises(errors.Conflict, match="'host'"):
            refused()


def test_a_tag_of_an_image_that_is_gone(images: Images) -> None:
    image = imported(images, "one")
    images.remove("one", force=False, in_use=unused)
    with pytest.raises(errors.NoSuchImage):
        images.tag(image.id, "two")
    with pytest.raises(errors.NoSuchImage):
        images.get("two")


def test_removing_the_only_reference_removes_the_image_and_its_files(images: Images, tmp_path: Path) -> None:
    image = imported(images, "one")
    assert images.remove("one", force=False, in_use=unused) == [("Untagged", "one:latest"), ("Deleted", image.id)]
    for name in ("one", image.id):
        with pytest.raises(errors.NoSuchImage):
            images.remove(name, force=True, in_use=unused)
    assert tree(tmp_path) == ["images/index.json"]


def test_digests_are_names_too(images: Images) -> None:
    image, digest = imported(images, "localhost:5000/one:1"), f"localhost:5000/one@sha256:{'a' * 64}"
    images.refer(image.id, digest)
    found = Images(images.snapshots.files("x").parents[3], []).get(f"localhost:5000/one:7@sha256:{'a' * 64}")
    assert (found.id, found.repo_tags, found.repo_digests) == (image.id, ["localhost:5000/one:1"], [digest])
    with pytest.raises(errors.InvalidReference, match="cannot tag by digest"):
        images.tag(image.id, digest)
    # Another image takes the tag: the digest still is this one's, and keeps it in the list.
    imported(images, "localhost:5000/one:1", other="x")
    assert images.get(digest).repo_tags == []
    assert images.remove(digest, force=False, in_use=unused) == [("Untagged", digest), ("Deleted", image.id)]


def test_a_repository_loses_its_digests_with_its_last_tag(images: Images) -> None:
    image, digest = imported(images, "a:1"), f"a@sha256:{'a' * 64}"
    images.refer(image.id, "a:2", "b:1", digest, f"b@sha256:{'b' * 64}")
    assert images.remove("a:1", force=False, in_use=unused) == [("Untagged", "a:1")]
    assert images.remove("a:2", force=False, in_use=unused) == [("Untagged", "a:2"), ("Untagged", digest)]
    assert images.get(image.id).repo_digests == [f"b@sha256:{'b' * 64}"]
    # A tag and digests of one repository are one name: they may go by the id, though not while a container is there.
    with pytest.raises(errors.Conflict, match="must force"):
        images.remove("b:1", force=False, in_use=lambda _: ["c" * 64])
    done = images.remove(image.id, force=False, in_use=unused)
    assert done == [("Untagged", "b:1"), ("Untagged", f"b@sha256:{'b' * 64}"), ("Deleted", image.id)]


def test_removing_one_of_several_references(images: Images) -> None:
    image = imported(images, "one")
    images.tag(image.id, "two")
    # By the id, several references go: only by force.
    with pytest.raises(errors.Conflict, match="must be forced"):
        images.remove(image.id, force=False, in_use=unused)
    assert images.remove("one", force=False, in_use=lambda _: ["container"]) == [("Untagged", "one:latest")]
    assert images.get("two").id == image.id
    images.tag(image.id, "three")
    assert images.remove(image.id, force=True, in_use=unused) == [
        ("Untagged", "three:latest"),
        ("Untagged", "two:latest"),
        ("Deleted", image.id),
    ]


def test_an_image_in_use(images: Images) -> None:
    image = imported(images, "one")

    def used(image_id: str) -> list[str]:
        return ["0123456789abcdef"] if image_id == image.id else []

    images.snapshots.prepare("container", image.snapshot)
    for name, text in (
        ("one", "container 0123456789ab is using its referenced image"),
        (image.id, r"must be forced.*image is being used by stopped container 0123456789ab"),
    ):
        with pytest.raises(errors.Conflict, match=text):
            images.remove(name, force=False, in_use=used)
    # While the container runs, force takes its name alone.
    images.tag(image.id, "two")
    assert images.remove("two", force=True, in_use=used, running=used) == [("Untagged", "two:latest")]
    assert images.remove("one", force=True, in_use=used, running=used) == [("Untagged", "one:latest")]
    with pytest.raises(errors.Conflict, match=r"cannot be forced.*used by running container 0123456789ab"):
        images.remove(image.id, force=True, in_use=used, running=used)
    # Of one that does not run the image goes; what the container stands on stays.
    assert images.remove(image.id, force=True, in_use=used) == [("Deleted", image.id)]
    assert image.snapshot is not None
    assert images.snapshots.has(image.snapshot)


def test_the_files_of_a_container_stay_though_its_image_has_gone(images: Images) -> None:
    """Nobody tells of it (the container is being made), but its snapshot stands on the layer."""
    image = imported(images, "one")
    images.snapshots.prepare("container", image.snapshot)
    images.remove("one", force=False, in_use=unused)
    assert image.snapshot is not None
    assert (images.snapshots.files(image.snapshot) / "file").read_text() == "one"
    images.snapshots.remove("container")
    images.sweep()
    assert not images.snapshots.has(image.snapshot)


def test_an_image_that_another_one_was_built_on(images: Images, tmp_path: Path) -> None:
    base = imported(images, "base")
    child = built(images, base, "child")
    assert images.snapshots.chain(child.snapshot) == [child.snapshot, base.snapshot]
    assert images.remove("base", force=False, in_use=unused) == [("Untagged", "base:latest")]
    assert [image.repo_tags for image in images.list()] == [["host:latest"], ["child:latest"]]  # it is intermediate
    for force in (False, True):
        with pytest.raises(errors.Conflict, match="image has dependent child images"):
            images.remove(base.id, force=force, in_use=unused)
    # With the last that stands on it, it goes too.
    assert images.remove("child", force=False, in_use=unused) == [
        ("Untagged", "child:latest"),
        ("Deleted", child.id),
        ("Deleted", base.id),
    ]
    assert tree(tmp_path) == ["images/index.json"]


def test_dangling_images_go_by_their_id_and_take_only_nameless_parents(images: Images) -> None:
    base = imported(images, "base")
    old, new = built(images, base, "app", content="old"), built(images, base, "app", content="new")
    assert images.get(old.id).repo_tags == []
    assert images.remove(old.id, force=False, in_use=unused) == [("Deleted", old.id)]
    assert images.get("app").id == new.id
    assert images.get("base").id == base.id


def test_two_images_on_one_layer(images: Images) -> None:
    base = imported(images, "base")
    twin = images.add(ImageConfig(author="twin"), parent="", snapshot=base.snapshot, size_bytes=base.size_bytes)
    images.remove("base", force=False, in_use=unused)
    assert twin.snapshot is not None
    assert (images.snapshots.files(twin.snapshot) / "file").read_text() == "base"


def test_history(images: Images) -> None:
    base = imported(images, "base", file="12345")
    child = built(images, base, "child", "other", content="0123456789")
    rows = history(images, "child")
    assert [(row.id, row.tags, row.size_bytes) for row in rows] == [
        (child.id, ["child:latest", "other:latest"], 10),
        (base.id, ["base:latest"], 5),
    ]
    assert [row.comment for row in rows] == ["", "Imported from -"]
    assert rows[0].created_by == "RUN 0123456789"
    assert rows[0].created_ns == 1714979289 * 10**9
    empty = HistoryEntry(created="not a time", created_by="ENV A=1", empty_layer=True)
    config = ImageConfig(history=[*child.config.history, empty])
    image = images.add(config, parent=child.id, snapshot=child.snapshot, size_bytes=15)
    assert [(row.created_by, row.size_bytes, row.created_ns > 0) for row in history(images, image.id)] == [
        ("ENV A=1", 0, False),
        ("RUN 0123456789", 10, True),
        ("", 5, True),
    ]
    assert history(images, "host") == []


def test_an_engine_finds_everything_again(images: Images, tmp_path: Path) -> None:
    base = imported(images, "base")
    child = built(images, base, "child", "other")
    again = Images(tmp_path / "images", [])
    assert again.list() == images.list()
    assert again.get("other").id == child.id
    assert history(again, "child") == history(images, "child")


def test_a_damaged_index_is_said_to_be_damaged(images: Images, tmp_path: Path) -> None:
    imported(images, "one")
    (tmp_path / "images/index.json").write_bytes(b'{"images": {"x"')
    with pytest.raises(errors.Unavailable, match=r"index\.json' is damaged"):
        Images(tmp_path / "images", [])


def test_an_image_whose_configuration_is_lost_can_be_removed(images: Images, tmp_path: Path) -> None:
    image, other = imported(images, "one"), imported(images, "two")
    images._blobs.joinpath(image.id.removeprefix("sha256:")).unlink()
    again = Images(tmp_path / "images", [])
    with pytest.raises(errors.Unavailable, match=r"is damaged.*remove the image"):
        again.get("one")
    assert again.get("two").id == other.id
    assert again.remove("one", force=False, in_use=unused)[-1] == ("Deleted", image.id)
    assert [found.id for found in again.list()][1:] == [other.id]


def test_an_image_whose_layer_is_lost_does_not_stop_a_sweep(images: Images, tmp_path: Path) -> None:
    lost, other = imported(images, "lost"), imported(images, "other")
    assert lost.snapshot is not None
    files.remove_tree(str(images.snapshots.files(lost.snapshot).parent))
    again = Images(tmp_path / "images", [])
    assert again.remove("other", force=False, in_use=unused)[-1] == ("Deleted", other.id)
    assert again.remove("lost", force=False, in_use=unused)[-1] == ("Deleted", lost.id)
    with pytest.raises(errors.NotFound):
        again.add(ImageConfig(), parent="", snapshot=lost.snapshot, size_bytes=0)


def test_killed_while_importing_leaves_no_half_image(tmp_path: Path) -> None:
    root = tmp_path / "images"

    def work(fuse: Fuse) -> None:
        images = Images(root, [])
        for name in ("mkdir", "rename", "fsync", "open", "unlink", "rmdir"):
            fuse.wrap(os, name)
        imported(images, "one", a="1", b="2")

    steps, survived = 1, 0
    while killed_at(steps, work):
        images = Images(root, [])
        images.snapshots.sweep(set())
        found = {tag: image for image in images.list() for tag in image.repo_tags or ["<none>"] if tag != "host:latest"}
        for image in found.values():  # at most the last name is missing
            assert image.snapshot is not None
            assert contents(images.snapshots, image.snapshot) == {"a": "1", "b": "2"}
            survived += 1
            images.remove(image.id, force=True, in_use=unused)
        images.sweep()
        # An index that was half written is written over by the next one.
        assert set(tree(root)) <= {"index.json", ".index.json.tmp"}, steps
        steps += 1
    assert steps > 10
    assert survived > 0


def contents(snapshots: Snapshots, layer: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in snapshots.files(layer).iterdir()}


def test_killed_while_removing(tmp_path: Path) -> None:
    root = tmp_path / "images"

    def work(fuse: Fuse) -> None:
        images = Images(root, [])
        for name in ("rename", "fsync", "open", "unlink", "rmdir"):
            fuse.wrap(os, name)
        images.remove("child", force=False, in_use=unused)

    steps = 1
    while True:
        images = Images(root, [])
        if [image.repo_tags for image in images.list()] == [["host:latest"]]:
            built(images, imported(images, "base"), "child")
        killed = killed_at(steps, work)
        images = Images(root, [])
        images.snapshots.sweep(set())
        images.sweep()
        for image in images.list():
            if image.snapshot != HOST_SNAPSHOT:
                assert images.snapshots.chain(image.snapshot)  # all of its layers are there
        if not killed:
            break
        for name in ("child", "base"):
            try:
                images.remove(name, force=False, in_use=unused)
            except errors.NoSuchImage:
                continue
        assert set(tree(root)) <= {"index.json", ".index.json.tmp"}, steps
        steps += 1
    assert steps > 6


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A directory that a child mounts a small tmpfs on."""
    directory = tmp_path / "small"
    directory.mkdir()
    return directory


def test_a_full_disk_costs_no_image(small: Path) -> None:
    """The index of images is neither cut short on the disk, nor does memory say what the disk does not."""

    def work() -> tuple[list[str], list[str], list[str], int]:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
        mounts.mount("tmpfs", str(small), "tmpfs", 0, "size=256k")
        images = Images(small / "images", [])
        image = imported(images, "one", file="x")
        with open(small / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError as error:
                number = error.errno or 0
        failed = 0
        for refused in (
            lambda: images.tag(image.id, "two"),
            lambda: images.add(ImageConfig(author="x"), parent="", snapshot=None, size_bytes=0),
            lambda: imported(images, "three", file="x" * 9000),
            lambda: images.remove("one", force=False, in_use=unused),
        ):
            try:
                refused()
            except (OSError, errors.Unavailable):
                failed += 1
        in_memory = [tag for found in images.list() for tag in found.repo_tags]
        again = Images(small / "images", [])
        assert number == errno.ENOSPC
        return in_memory, [tag for found in again.list() for tag in found.repo_tags], os.listdir(small), failed

    in_memory, on_disk, _, failed = in_child(work)
    assert in_memory == on_disk == ["host:latest", "one:latest"]
    assert failed == 4


def test_removed_by_many_at_once(images: Images) -> None:
    for _ in range(5):
        image = imported(images, "one")
        together = threading.Barrier(4)

        def remove(_: int, image: Image = image, together: threading.Barrier = together) -> int:
            together.wait(5)
            try:
                return len(images.remove(image.id, force=False, in_use=unused))
            except errors.NoSuchImage:
                return 0

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(remove, range(4))) == [0, 0, 0, 2]


def test_an_import_while_others_remove(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the layer and the image there is a moment in which nobody but the import knows of the layer."""
    commit = Snapshots.commit

    def commit_and_sweep(self: Snapshots, name: str, key: str) -> None:
        commit(self, name, key)
        imported_before = images.get("old")
        images.remove(imported_before.id, force=False, in_use=unused)

    imported(images, "old")
    with monkeypatch.context() as patch:
        patch.setattr(Snapshots, "commit", commit_and_sweep)
        image = imported(images, "new", file="content")
    assert image.snapshot is not None
    assert (images.snapshots.files(image.snapshot) / "file").read_text() == "content"
    images.sweep()
    assert images.snapshots.has(image.snapshot)
    assert images._protected == {}


def test_many_do_everything_at_once(images: Images, tmp_path: Path) -> None:
    base = imported(images, "base")

    def work(number: int) -> None:
        for turn in range(6):
            mine = imported(images, f"mine-{number}", file=f"{number}/{turn}")
            images.tag(mine.id, f"also-{number}")
            child = built(images, base, f"child-{number}", content=f"{number}/{turn}")
            assert images.get(f"also-{number}").id == mine.id
            assert history(images, child.id)
            images.list()
            images.remove(mine.id, force=True, in_use=unused)
            images.remove(child.id, force=True, in_use=unused)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert [image.repo_tags for image in images.list()] == [["host:latest"], ["base:latest"]]
    images.remove("base", force=False, in_use=unused)
    assert tree(tmp_path) == ["images/index.json"]

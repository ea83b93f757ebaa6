"""Layers without a place."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from nbcontainers.images import Images, staging

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="unpacking keeps owners: needs root")]
DIGEST = f"sha256:{'a' * 64}"


def test_what_lies_on_the_shelf_is_whole_the_moment_it_is_there(tmp_path: Path) -> None:
    images = Images(tmp_path, [], discard=lambda _: None)  # as if it were killed before it takes anything away
    archive = io.BytesIO()
    tarfile.open(fileobj=archive, mode="w").close()
    archive.seek(0)
    layer = staging.unpack(images, archive, archive.read)
    staging.shelve(images, layer, DIGEST)
    (name,) = staging.on_shelf(images)
    assert sorted(os.listdir(images.snapshots.files(name).parent)) == ["fs", "parent", "skeleton", "unpacked.json"]
    again = Images(tmp_path, [])
    assert staging.usable(again) == [name]
    found = staging.shelved(again, DIGEST)
    assert found is not None
    assert (found.diff_id, found.size_bytes, found.committed) == (layer.diff_id, 0, name)
    with staging.Stack(again) as stack:
        stack.put(found)
        assert again.snapshots.chain(stack.top) == [stack.top]
    assert staging.on_shelf(again) == []

import pytest

from nbcontainers import errors
from nbcontainers.images.references import locate, normalize, repository


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("localhost:5000/team/app:1.2-rc_3", "localhost:5000/team/app:1.2-rc_3"),
        ("a/b/c", "a/b/c:latest"),
        ("x@sha256:" + "a" * 64, "x@sha256:" + "a" * 64),
        ("x:1@sha256:" + "a" * 64, "x@sha256:" + "a" * 64),
        ("docker.io/library/x:1@sha256:" + "a" * 64, "x@sha256:" + "a" * 64),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("index.docker.io/library/busybox", "busybox:latest"),
        ("library/busybox", "busybox:latest"),
        ("docker.io/team/app", "team/app:latest"),
        ("library/a/b", "library/a/b:latest"),
        ("localhost/library/x", "localhost/library/x:latest"),
    ],
)
def test_references_in_full(given: str, full: str) -> None:
    assert normalize(given) == full


@pytest.mark.parametrize(
    "given", ["", "UPPER", "a b", "a:", ":1", "a//b", "../a", "a:b:c", "a" * 300, "x@sha256:12", "a" * 64]
)
def test_what_is_no_reference(given: str) -> None:
    with pytest.raises(errors.InvalidReference):
        normalize(given)


@pytest.mark.parametrize(
    ("given", "registry", "name", "mark"),
    [
        ("busybox", "docker.io", "library/busybox", "latest"),
        ("team/app:1", "docker.io", "team/app", "1"),
        ("localhost/app", "localhost", "app", "latest"),
        ("localhost:5000/team/app:1", "localhost:5000", "team/app", "1"),
        ("quay.io/a/b/c@sha256:" + "a" * 64, "quay.io", "a/b/c", "sha256:" + "a" * 64),
        ("x:1@sha256:" + "a" * 64, "docker.io", "library/x", "sha256:" + "a" * 64),
    ],
)
def test_where_an_image_is_to_be_found(given: str, registry: str, name: str, mark: str) -> None:
    location = locate(given)
    assert (location.registry, location.repository, location.reference) == (registry, name, mark)
    assert str(location) == normalize(given)
    assert location.name == repository(normalize(given))

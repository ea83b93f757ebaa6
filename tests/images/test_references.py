import pytest

from nbcontainers import errors
from nbcontainers.images.references import normalize


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("localhost:5000/team/app:1.2-rc_3", "localhost:5000/team/app:1.2-rc_3"),
        ("a/b/c", "a/b/c:latest"),
        ("x@sha256:" + "a" * 64, "x@sha256:" + "a" * 64),
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

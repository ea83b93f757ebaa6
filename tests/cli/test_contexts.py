"""Which engine is spoken to, and what is said of one that does not answer."""

import pytest

from nbcontainers.cli import Face, invoke
from nbcontainers.client.connect import own_address
from nbcontainers.errors import Unavailable
from tests.conftest import RecordingFace

pytestmark = [pytest.mark.root]


def test_the_engines_that_have_names(face: RecordingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///docker.sock")
    listed = invoke(["context", "ls"], face).set_index("name")
    assert listed["address"].to_dict() == {
        "default": own_address(),
        "docker": "unix:///docker.sock",
        str(face.url): face.url,
    }
    assert list(listed.index[listed["current"]]) == [face.url]
    assert invoke(["context", "show"], face) == face.url
    assert invoke(["context", "use", str(face.url)], face) == face.url
    assert invoke(["context", "show"], Face(url="docker")) == "docker"
    assert invoke(["context", "show"], Face(url=own_address())) == "default"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bogus", "'bogus' is not the address of one; give unix:///path, tcp://host:port, or docker"),
        ("unix:///no/such", "'unix:///no/such' does not answer (No such file or directory); start it where it is"),
        ("docker", "Docker is not available: 'unix:///no/such' does not answer (No such file or directory)"),
    ],
)
def test_one_that_does_not_answer(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such")
    with pytest.raises(Unavailable) as refused:
        invoke(["ps"], Face(url=url))
    assert said in str(refused.value)

from types import SimpleNamespace
from typing import Any

from nbcontainers.notebook.completion import complete
from tests.conftest import RecordingFace


def test_every_place_is_completed(face: RecordingFace) -> None:
    api = face.client.api
    api.create_container("busybox", "true", name="webserver")
    api.create_volume("webdata")
    api.create_network("webnet")
    magics: Any = SimpleNamespace(face=face)

    def offered(text: str) -> list[str]:
        return complete(text.split("\n"), magics)[0]

    try:
        assert offered("%container ru") == ["run"]
        assert offered("df = %container im") == ["image", "images", "import"]
        assert offered("%container image lay") == ["layers"]
        assert offered("%container run --memory-s") == ["--memory-swap", "--memory-swappiness"]
        assert offered("%container run --rm busy") == ["busybox"]
        assert offered("%container run --network web") == ["webnet"]
        assert offered("%container run -dv web") == ["webdata"]
        assert offered("%container run --pull a") == ["always"]
        assert offered("%container run busybox ls --al") == []
        assert offered("a, b = %container stop web") == ["webserver"]
        assert offered("%container stop webserver web") == []
        assert offered("%container rm -f $(ps -aq --fi") == ["--filter"]
        assert offered("%container volume rm web") == ["webdata"]
        assert offered("%container network inspect web") == ["webnet"]
        assert offered("%container network connect webnet web") == ["webserver"]
        assert offered("%container inspect web") == ["webdata", "webnet", "webserver"]
        assert offered("%container volume create web") == []
        assert offered("%%dockerfile --ta") == ["--tag", "--target"]
        assert offered("%%dockerfile\nFROM busy") == ["busybox"]
        assert offered("%%dockerfile\nFROM busybox\nenv") == ["env"]
        assert offered("%%dockerfile\nFROM busybox\nRUN ech") == []
        assert offered("%%container run busybox\nFR") == offered("print(web") == offered('x = "%container ') == []
    finally:
        api.remove_network("webnet")
        api.remove_volume("webdata", force=True)

import pytest
from IPython.core.error import UsageError

from nbcontainers.cli import invoke
from nbcontainers.notebook import failures
from tests.busybox import root_file_system
from tests.conftest import RecordingFace
from tests.engine_process import running_engine

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.root
def test_an_engine_killed_under_a_command_is_one_sentence_and_found_again() -> None:
    with running_engine() as engine:
        engine.client.api.import_image_from_data(root_file_system(), repository="busybox", tag="latest")
        face = RecordingFace(engine.url)

        def take(data: bytes) -> None:
            face.written += data
            engine.kill()

        face.out = take
        words = ["run", "--name", "on", "busybox", "sh", "-c", "echo up; exec sleep 600"]
        with (
            pytest.raises(UsageError, match=r"the engine is not available: 'unix://.*' broke off"),
            failures.explained(face),
        ):
            invoke(words, face)
        assert face.written == b"up\n"
        with pytest.raises(UsageError, match="does not answer"), failures.explained(face):
            invoke(["ps"], face)
        engine.start()
        assert list(invoke(["ps"], face)["name"]) == ["on"]
        face.client.close()

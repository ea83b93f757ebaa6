import nbformat
import pytest
from nbclient import NotebookClient

from tests.engine_process import EngineProcess

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _own_engine(faces_engine: EngineProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCONTAINERS_HOST", faces_engine.url)


def run_cells(*sources: str) -> list[str]:
    """Run cells in a kernel and return what each shows as text."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    shown = []
    for cell in notebook.cells:
        texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
        texts += ["\n".join(output.traceback) for output in cell.outputs if output.output_type == "error"]
        shown.append("".join(texts))
    return shown


def test_cells_run_build_and_explain() -> None:
    shown = run_cells(
        "%load_ext nbcontainers",
        "%%dockerfile -t cell:1 -o card\nFROM busybox\nRUN echo made > /made\nCMD cat /made",
        "%container run --rm cell:1",
        "%%container run --rm busybox tr a-z A-Z\nfrom the cell",
        "card.tags, df.shape if 'df' in globals() else None",
        "df = %container images\nsorted(df.columns)",
        "%container run --memry 5 busybox",
        "%%dockerfile\nFROM busybox\nRUNN x",
        "%container rmi -f cell:1",
    )
    assert shown[0] == ""
    assert "✓ RUN echo made" in shown[1]
    assert shown[2] == "made\n"
    assert shown[3] == "FROM THE CELL\n"
    assert "['cell:1']" in shown[4]
    assert "'size'" in shown[5]
    assert shown[6].startswith("UsageError: No such option '--memry'")
    assert "line 2, column 1: unknown instruction: RUNN (did you mean RUN?)" in shown[7]
    assert "Traceback" not in shown[6] + shown[7]

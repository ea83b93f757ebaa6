from pathlib import Path

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
    assert "the cell:2:1" in shown[7]
    assert "Traceback" not in shown[6] + shown[7]


def test_every_option_of_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "from the environment")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/f").write_text("in the folder")
    (tmp_path / "key").write_text("hush")
    shown = run_cells(
        "%load_ext nbcontainers\nversion, number = '1.2', 7",
        "%%dockerfile -t a:1 -t a:2 --build-arg version --build-arg TOKEN --build-arg lit=x{number}y -o made\n"
        "FROM busybox\nARG version\nARG lit\nARG TOKEN\nRUN echo $version $lit $TOKEN > /made",
        "made.tags",
        "%container run --rm a:2 cat /made",
        "%%dockerfile -f kept.dockerfile --target one\nFROM busybox AS one\nRUN echo one\nFROM one\nRUN exit 1",
        "print(open('kept.dockerfile').read())",
        "%%dockerfile --pull --platform linux/{__import__('platform').machine()} --progress plain\n"
        "FROM host\nRUN echo plainly",
        "%%dockerfile --no-cache --cache-to type=local,dest=kept\nFROM busybox AS one\nRUN echo one",
        "%%dockerfile --cache-from type=local,src=kept\nFROM busybox AS one\nRUN echo one",
        "%%dockerfile --secret id=k,src=key --secret id=t,env=TOKEN -t a:3\nFROM busybox\n"
        "RUN --mount=type=secret,id=k --mount=type=secret,id=t,env=T wc -c < /run/secrets/k > /n; echo ${#T} >> /n",
        "%container run --rm a:3 cat /n",
        "%%dockerfile --context folder --progress quiet -t a:4\nFROM busybox\nCOPY f /f",
        "%container run --rm a:4 cat /f",
        "%%dockerfile\nFROM busybox\nRUN echo why; exit 3",
        "%%dockerfile -f /nowhere/x\nFROM busybox",
        "%%dockerfile -o 'no name'\nFROM busybox",
        "%container rmi -f a:1 a:2 a:3 a:4",
    )
    assert shown[2] == "['a:1', 'a:2']"
    assert shown[3] == "1.2 x7y from the environment\n"
    assert ("RUN echo one" in shown[4], "RUN exit" in shown[4]) == (True, False)
    assert shown[5].startswith("FROM busybox AS one\nRUN echo one\nFROM one\n")
    assert "\nplainly\n" in shown[6]
    assert ("0 from the cache" in shown[7], "1 from the cache" in shown[8]) == (True, True)
    assert (tmp_path / "kept" / "index.json").exists()
    assert shown[10].split() == ["4", "20"]
    assert shown[12] == "in the folder"
    assert "✗ RUN echo why; exit 3\n  why" in shown[13]
    assert "UsageError: the cell cannot be kept in '/nowhere/x': no such file or directory" in shown[14]
    assert "UsageError: 'no name' cannot be the name of a variable" in shown[15]
    assert "Traceback" not in "".join(shown[13:16])


def test_commands_compose_and_templates_keep_their_braces() -> None:
    shown = run_cells(
        "%load_ext nbcontainers",
        "name = 'composed'\n%container run -d --name $name busybox sleep 600",
        "%container run -d --name {name + '2'} busybox sleep 600",
        "%container ps --filter name=composed --format '{{.Names}} {{.State}}'",
        "%container inspect -f '{{.State.Running}}' $name",
        "%container rm -f $(%container ps -q --filter name=composed)",
        "%container ps -aq --filter name=composed",
        "%container rm $(ps -a)",
        "def in_a_function():\n    local = 'nothing'\n    get_ipython().run_line_magic('container', 'inspect $local')\n"
        "in_a_function()",
        "%container run --rm -e A=inside busybox sh -c \"echo $A $name {1 + 1} '$name'\"",
    )
    assert shown[3].split() == ["composed2", "running", "composed", "running"]
    assert shown[4] == "true"
    assert len(shown[5].split()) == 2
    assert shown[6] == ""
    assert "'$(ps -a)' says no text" in shown[7]
    assert "no such object: nothing" in shown[8]
    assert shown[9] == "inside composed 2 $name\n"


def test_help_and_settings_read_well() -> None:
    shown = run_cells(
        "%load_ext nbcontainers",
        "%container run --help",
        "%%dockerfile --help\nFROM busybox",
        "%container",
        "%container ps --badflag",
        "%container runn",
        "%config ContainerMagics",
        "%config ContainerMagics.rows = 2",
        "for n in range(4):\n    name = %container create --name row{n} busybox true\n"
        "df = %container ps -a\ndf._repr_html_().count('<code>'), len(df)",
        "%container rm row0 row1 row2 row3",
        "%config ContainerMagics.host = 'unix:///nowhere/engine.sock'",
        "code = %container run --rm busybox sh -c 'exit 3'\ncode + 1",
        "%container run --rm busybox sh -c 'exit 3'",
    )
    assert shown[1].startswith("Usage: %container run [OPTIONS] IMAGE [COMMAND]...\n")
    assert shown[1].endswith("\n  %container run -it --rm -v data:/data debian:12 bash\n")
    assert shown[2].startswith("Usage: %%dockerfile [OPTIONS] [CONTEXT]\n")
    assert shown[3].startswith("Usage: %container [OPTIONS] COMMAND [ARGS]...\n")
    assert shown[4] == "UsageError: No such option '--badflag'. See %container ps --help\n"
    assert shown[5].startswith("UsageError: No such command 'runn'. Did you mean 'run'?")
    for name in ("host", "rows", "show_exit_code", "start_engine"):
        assert f"ContainerMagics.{name}=" in shown[6]
    assert shown[8] == "(2, 4)"
    assert "'unix:///nowhere/engine.sock' does not answer" in shown[10]
    assert "Traceback" not in shown[10]
    assert shown[11] == "exit code 3\n4"  # the engine is still the one before
    assert shown[12] == "exit code 3\n"


def test_a_cell_runs_while_packets_are_captured() -> None:
    shown = run_cells(
        "%load_ext nbcontainers\nimport nbcontainers\n%container run -d --name web --network none busybox sleep 600",
        "%%container capture web -o packets\n"
        "done = %container exec web ping -c 1 127.0.0.1\n"
        "print('the cell has run', done)",
        "sorted(set(packets['info'])), packets._repr_html_().count('echo request')",
        "%%container capture web\nprint('so far')\n1 / 0",
        "%%container capture nobody\nprint('never')",
        "with nbcontainers.capture('web') as more:\n    %container exec web ping -c 2 127.0.0.1\nlen(more.df)",
        "%container rm -f web",
    )
    assert "the cell has run" in shown[1]
    assert "echo request" in shown[1]
    assert shown[2] == "(['echo reply', 'echo request'], 1)"
    assert "so far" in shown[3]
    assert "ZeroDivisionError" in shown[3]
    assert "UsageError: the cell failed while packets were captured, see above" in shown[3]
    assert "never" not in shown[4]
    assert "no such container: nobody" in shown[4].lower()
    assert shown[5].endswith("4")


def test_no_engine_is_started_where_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBCONTAINERS_HOST")
    shown = run_cells(
        "import sys, nbcontainers.client\n"
        "sys.modules['nbcontainers.client.connect'].default_socket = lambda: '/nowhere/engine.sock'\n"
        "get_ipython().config.ContainerMagics.start_engine = False",
        "%load_ext nbcontainers",
    )
    assert "'unix:///nowhere/engine.sock' does not answer" in shown[1]
    assert "Traceback" not in shown[1]

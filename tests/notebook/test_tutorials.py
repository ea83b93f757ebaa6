"""The notebooks in ``notebooks/``: each runs, shows what it is committed with, checks its exercises, leaves nothing.

An exercise is three cells: a function with a gap (tag ``exercise``), a solution that is folded away (``solution``), and
a check (``check``). A notebook is run with one more copy of each check, before the solution: there it has to fail.
"""

import copy
import os
import re
import select
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from nbcontainers.linux import processes
from tests.engine_process import EngineProcess
from tests.notebook_run import run

DIRECTORY = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(DIRECTORY.glob("*.ipynb"))
LARGEST_BYTES = 600_000
MARK = "NBCONTAINERS_TEST_MARK"
END_SECONDS = 5.0

pytestmark = pytest.mark.filterwarnings("ignore")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def needs_debian(path: Path) -> bool:
    return "debian.provide()" in path.read_text()


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", ()))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: NotebookNode) -> set[tuple[str, ...]]:
    """Return of what kinds a cell's outputs are: streams by name, data by type."""
    return {
        (output.output_type, output.name)
        if output.output_type == "stream"
        else (output.output_type, *sorted(output.get("data", ())))
        for output in cell.outputs
    }


def stderr(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stderr")


def errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if output.output_type == "error"]


def with_early_checks(notebook: NotebookNode) -> tuple[NotebookNode, list[NotebookNode]]:
    """Return a copy in which each check stands before its solution as well, and those early checks."""
    expanded, early = copy.deepcopy(notebook), []
    cells: list[NotebookNode] = []
    for cell, following in zip(expanded.cells, [*expanded.cells[1:], None], strict=True):
        if "solution" in tags(cell):
            assert following is not None
            early.append(copy.deepcopy(following))
            early[-1].id = uuid.uuid4().hex[:8]
            early[-1].metadata.tags = ["raises-exception"]
            cells.append(early[-1])
        cells.append(cell)
    expanded.cells = cells
    return expanded, early


def processes_with(mark: str) -> list[int]:
    """Return the processes that have inherited an environment variable from the kernel, and it from this test."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def ended(pid: int) -> bool:
    """Say whether a process ends within a moment."""
    try:
        pidfd = processes.pidfd_open(pid)
    except OSError:
        return True
    try:
        return bool(select.select([pidfd], [], [], END_SECONDS)[0])
    finally:
        os.close(pidfd)


def groups() -> set[Path]:
    root = Path("/sys/fs/cgroup")
    return {group for pattern in ("lesson-*", "*/lesson-*") for group in root.glob(pattern)}


def mounts(own: Path) -> set[str]:
    """Return all mounts but those of engines and daemons that come and go beside us.

    Args:
        own: The notebook's temporary directory.
    """
    places = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {place for place in places if place.startswith(str(own)) or not place.startswith(("/tmp/", "/run/"))}


def names(engine: EngineProcess) -> set[str]:
    """Return what an engine has for somebody to remove: containers, networks, volumes, images of lessons."""
    client = engine.client
    found = {f"container {one.name}" for one in client.containers.list(all=True)}
    found |= {f"network {one.name}" for one in client.networks.list()}
    found |= {f"volume {one.name}" for one in client.volumes.list()}
    return found | {f"image {tag}" for one in client.images.list("lesson-*") for tag in one.tags}


@pytest.fixture
def engine(path: Path, request: pytest.FixtureRequest) -> EngineProcess:
    """A private engine for a notebook, with Debian where it needs that."""
    found: EngineProcess = request.getfixturevalue("debian_engine" if needs_debian(path) else "faces_engine")
    return found


@pytest.fixture
def _leaves_nothing(engine: EngineProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """That engine and a temporary directory; afterwards nothing may be left of the notebook."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("NBCONTAINERS_HOST", engine.url)
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = groups(), mounts(tmp_path)
    named = names(engine)
    yield
    monkeypatch.delenv(MARK)
    left = [pid for pid in processes_with(mark) if not ended(pid)]
    left_named = names(engine) - named
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    engine.remove_everything()
    assert left == []
    assert left_named == set()
    assert groups() <= before[0]
    assert mounts(tmp_path) <= before[1]
    assert list(tmp_path.glob("lesson-*")) == []


@pytest.mark.parametrize(
    "path",
    [
        # The first time on a machine Debian is installed, and Postgres is, if no other test has: that takes minutes.
        pytest.param(
            path, id=path.stem, marks=[pytest.mark.debian, pytest.mark.timeout(600)] if needs_debian(path) else []
        )
        for path in NOTEBOOKS
    ],
)
@pytest.mark.usefixtures("_leaves_nothing")
def test_a_notebook_runs_and_its_checks_check(path: Path) -> None:
    committed = read(path)
    executed, early = with_early_checks(committed)
    run(executed, path.parent, timeout_seconds=400 if needs_debian(path) else 120)

    for check in early:
        failures = errors(check)
        assert [failure.ename for failure in failures] == ["AssertionError"], (
            f"passes without a solution:\n{check.source}"
        )
        assert len(failures[0].evalue) > 20, f"a failure should say what is wrong:\n{check.source}"
    ids = {check.id for check in early}
    fresh = [cell for cell in code_cells(executed) if cell.id not in ids]
    for cell, saved in zip(fresh, code_cells(committed), strict=True):
        assert cell.source == saved.source
        assert shown(cell) == shown(saved), f"committed with other outputs than it shows now:\n{cell.source}"
        for one in (cell, saved):
            expected = bool({"raises-exception", "stderr"} & set(tags(one)))
            assert expected or (errors(one), stderr(one)) == ([], ""), one.source


@every_notebook
def test_a_notebook_is_committed_whole(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST_BYTES
    assert notebook.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata.language_info.name == "python"
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "execute it: python -m tests.notebook_run"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@every_notebook
def test_exercises_have_a_gap_a_solution_and_a_check(path: Path) -> None:
    cells = read(path).cells
    marked = [cell for cell in cells if {"exercise", "solution", "check"} & set(tags(cell))]
    assert [tags(cell) for cell in marked] == [["exercise"], ["solution"], ["check"]] * (len(marked) // 3)
    if path.name[:2] != "00":
        assert len(marked) // 3 >= 2
    for exercise, solution, check in zip(*(iter(marked),) * 3, strict=True):
        assert cells.index(check) == cells.index(solution) + 1 == cells.index(exercise) + 2
        name = re.match(r"%%solution (\w+)\n", solution.source)
        assert name is not None
        assert f"def {name[1]}(" in exercise.source
        assert f"def {name[1]}(" in solution.source
        assert "..." in exercise.source
        assert "..." not in solution.source
        assert solution.metadata.jupyter.source_hidden
        assert "assert " in check.source


def test_an_answer_of_ones_own_is_not_overwritten() -> None:
    sources = (
        "%load_ext nbcontainers.lessons",
        "def mine():\n    return 1\ndef open_one():\n    return ...",
        "%%solution mine\ndef mine():\n    return 2",
        "%%solution open_one\ndef open_one():\n    return 2",
        "%%solution missing\ndef missing():\n    return 2",
        "mine(), open_one(), missing()",
        "%%inside nobody\n1",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.cells[-1].metadata.tags = ["raises-exception"]
    run(notebook, DIRECTORY)
    assert notebook.cells[5].outputs[0].data["text/plain"] == "(1, 2, 2)"
    assert "'nobody' is no guest" in stderr(notebook.cells[-1])

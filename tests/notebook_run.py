"""Executes notebooks as a user would: in a kernel of their own, against one engine."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path: Path, *, save: bool = False, timeout_seconds: int = 120) -> nbformat.NotebookNode:
    """Execute a notebook from its first cell to its last; a cell that fails, unless tagged so, is an error."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout_seconds,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    if save:
        nbformat.write(notebook, path)
    return notebook


def main() -> None:
    """Execute the notebooks named on the command line, and save what they show."""
    import sys

    for name in sys.argv[1:]:
        execute(Path(name).resolve(), save=True)
        print(f"{name}: executed")


if __name__ == "__main__":
    main()

"""Executes notebooks as a user would: in a kernel of their own, against one engine."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient


def run(notebook: nbformat.NotebookNode, directory: Path, *, timeout_seconds: int = 120) -> None:
    """Execute a notebook in place, from its first cell to its last; one that fails, unless tagged so, is an error."""
    client = NotebookClient(
        notebook,
        timeout=timeout_seconds,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(directory)}},
    )
    client.execute()


def main() -> None:
    """Execute the notebooks named on the command line, and save what they show."""
    import sys

    for name in sys.argv[1:]:
        path = Path(name).resolve()
        notebook = nbformat.read(path, as_version=4)
        run(notebook, path.parent)
        nbformat.write(notebook, path)
        print(f"{name}: executed")


if __name__ == "__main__":
    main()

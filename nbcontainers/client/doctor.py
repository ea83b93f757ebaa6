"""What this machine offers for containers, as a DataFrame; it works without an engine, too."""

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from docker.errors import DockerException

from nbcontainers.client.connect import connect
from nbcontainers.errors import Unavailable

if TYPE_CHECKING:
    from nbcontainers.client.tables import Table

_ENGINE_SECONDS = 5.0


def findings() -> list[dict[str, object]]:
    """Examine this machine, in a process of its own, and ask a running engine what it lacks.

    Raises:
        Unavailable: The examination itself failed; on systems other than Linux there is nothing to examine.
    """
    if sys.platform != "linux":
        raise Unavailable(
            "the engine", f"it runs on Linux, this is {sys.platform}", "use a Docker: NBCONTAINERS_HOST=docker"
        )
    done = subprocess.run(
        [sys.executable, "-m", "nbcontainers.engine.doctor"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable("the doctor", done.stderr.strip().splitlines()[-1], "reinstall nbcontainers")
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return [*rows, *_complaints()]


def _complaints() -> list[dict[str, object]]:
    """Return what this user's engine says that it lacks, where one runs."""
    try:
        client = connect(start=False, timeout_seconds=_ENGINE_SECONDS)
    except (Unavailable, DockerException, OSError):
        return []
    try:
        warnings = client.info().get("Warnings") or ()
    except (DockerException, OSError):
        return []
    finally:
        client.close()
    remedy = "see what it says; it is looked for again when the engine is restarted"
    return [
        {
            "feature": "running engine",
            "available": False,
            "detail": str(warning).removeprefix("WARNING: "),
            "remedy": remedy,
            "needed_for": "containers",
        }
        for warning in warnings
    ]


def doctor() -> "Table":
    """Return what this machine offers.

    Returns:
        Columns feature, available (bool), detail, remedy (empty where nothing is missing), needed_for.
    """
    # Half a second, which those who only connect do not pay.
    import pandas as pd

    from nbcontainers.client.tables import Table

    frame = pd.DataFrame(findings(), columns=["feature", "available", "detail", "remedy", "needed_for"])
    return Table(frame.astype({"available": bool}))

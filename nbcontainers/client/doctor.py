"""What this machine offers for containers, as a DataFrame; it works without an engine, too."""

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from nbcontainers.errors import Unavailable

if TYPE_CHECKING:
    from nbcontainers.client.tables import Table


def findings() -> list[dict[str, object]]:
    """Examine this machine, in a process of its own.

    Raises:
        Unavailable: The examination itself failed; on systems other than Linux there is nothing to examine.
    """
    if sys.platform != "linux":
        raise Unavailable("the engine", f"it runs on Linux, this is {sys.platform}", "use connect('docker')")
    done = subprocess.run(
        [sys.executable, "-m", "nbcontainers.engine.doctor"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable("the doctor", done.stderr.strip().splitlines()[-1], "reinstall nbcontainers")
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return rows


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

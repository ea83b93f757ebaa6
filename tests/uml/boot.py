"""Boots the guest: Debian's user-mode Linux, a kernel that is a program, with this machine's files, read-only.

The guest is one processor and 1 GiB; it boots in two seconds and is several times slower than its host. It can write
into its own memory, and into one directory of the host, where its results go.

Source: Documentation/virt/uml/user_mode_linux_howto_v2.rst.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
INIT = Path(__file__).with_name("init.sh")
WORKTREE = Path(__file__).parents[2]
CONSOLE_NAME = "console"
"""The file in the results' directory that holds all the guest has said."""


def missing() -> str:
    """Return what this machine lacks to boot a guest; empty for nothing."""
    if shutil.which(KERNEL) is None or not MODULES.is_dir():
        return "apt install user-mode-linux"
    return "" if shutil.which("modprobe", path=f"{os.defpath}:/sbin:/usr/sbin") else "apt install kmod"


def run(arguments: Path, results: Path, *, hierarchy: str, seconds: float) -> str:
    """Run pytest in a guest until it powers off.

    Args:
        arguments: A file in ``results`` with pytest's arguments, one in a line.
        results: The directory that the guest may write into.
        hierarchy: What control groups it is to have: ``unified``, or ``hybrid``.
        seconds: How long it may take before it is killed.

    Returns:
        How it ended, as a sentence.
    """
    variables = {
        "worktree": WORKTREE,
        "prefix": Path(sys.prefix),
        "python": Path(sys.executable),
        "results": results,
        "arguments": arguments,
        "hierarchy": hierarchy,
    }
    # The kernel passes what it does not know on to its first process, as environment variables.
    command = [KERNEL, "rootfstype=hostfs", "rootflags=/", "ro", f"init={INIT}", "mem=1G", "quiet", "panic=-1"]
    command += [
        "con=null",
        "con0=null,fd:1",
        f"uml_dir={results}",
        *(f"{key}={value}" for key, value in variables.items()),
    ]
    if any(" " in word for word in command):
        return "the guest's kernel cannot be told a path with a space in it"
    with open(results / CONSOLE_NAME, "wb") as console:
        guest = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
        try:
            return f"the guest ended with status {guest.wait(seconds)}"
        except subprocess.TimeoutExpired:
            return f"the guest was killed after {seconds:.0f} seconds"
        finally:
            # It is several processes, all in its own group; none is left whatever happened.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(guest.pid, signal.SIGKILL)
            guest.wait()

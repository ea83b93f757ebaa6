"""What a session of tests has left on the machine; ``leaks_plugin`` looks at its end.

Others work on the same machine at the same time, engines and test sessions too. So what counts is only what was not
there before *and* bears a mark of this session: a temporary directory that it made, the eight digits of an engine on
such a directory, its process id in a name, or, of processes, its token in the environment that they inherited.
"""

import contextlib
import hashlib
import os
import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import Any

VARIABLE = "NBCONTAINERS_TEST_SESSION"
_CGROUPS = "/sys/fs/cgroup"
_PLACES = ("/tmp", "/run", "/dev/shm")


def identity(root: Path) -> str:
    """Return the eight digits by which an engine on ``root`` marks what it makes on the machine."""
    return hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]


class Watch:
    """Notes what is there, and from then on which marks are ours; ``leaks`` tells what is left; ``close`` it after.

    Args:
        roots: The names, in a temporary directory of the session, of directories that engines have their state in.
    """

    def __init__(self, roots: tuple[str, ...] = ("", "root")) -> None:
        self._roots = roots
        self._pid = os.getpid()
        self._directories: list[str] = []
        self._identities: set[str] = set()
        self._token = secrets.token_hex(8)
        self._before = dict(_seen())
        self._undo = contextlib.ExitStack()
        self._mark_processes()
        self._note_directories()

    def _mark_processes(self) -> None:
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = self._token
        self._undo.callback(lambda: os.environ.__setitem__(VARIABLE, before) if before else os.environ.pop(VARIABLE))

    def _note_directories(self) -> None:
        """Have ``tempfile`` tell of every directory that it makes."""
        original = tempfile.mkdtemp

        def noting(*arguments: Any, **options: Any) -> Any:
            directory = original(*arguments, **options)
            self._directories.append(os.fsdecode(directory))
            self._identities |= {identity(Path(os.fsdecode(directory), root)) for root in self._roots}
            return directory

        tempfile.mkdtemp = noting
        self._undo.callback(setattr, tempfile, "mkdtemp", original)

    def _is_ours(self, text: str) -> bool:
        """Say whether a name, path or table row bears one of our marks."""
        if any(directory in text or f"-{os.path.basename(directory)}" in text for directory in self._directories):
            return True
        if f"-{self._pid}" in text.replace("/", " ").split() or text.endswith(f"-{self._pid}"):
            return True
        # The names of links have room for the first digits only.
        return any(mark in text or f"nbc-{mark[:6]}" in text or f"nbv{mark[:4]}" in text for mark in self._identities)

    def leaks(self) -> list[str]:
        """Return what is left, one line each: what kind of thing, and its name."""
        found = [kind for kind in _seen() if kind not in self._before and self._is_ours(kind[1])]
        lines = [f"{kind} {name}" for kind, name in found]
        lines += [f"directory {directory}" for directory in self._directories if os.path.lexists(directory)]
        return lines + [f"process {process}" for process in self._processes()]

    def _processes(self) -> list[str]:
        """Return the processes that are not zombies and come from this session, or belong to an engine of it."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self._pid:
                continue
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                environment = (entry / "environ").read_bytes()
                ours = f"{VARIABLE}={self._token}".encode() in environment.split(b"\0")
                if command and (ours or self._is_ours(command) or self._is_ours((entry / "cgroup").read_text())):
                    found.append(f"{entry.name}: {command[:200]}")
        return found

    def close(self) -> None:
        """Note no more."""
        self._undo.close()


def _seen() -> dict[tuple[str, str], None]:
    """Return what the machine has of what engines make, by kind and name."""
    table = Path("/proc/self/mountinfo").read_text()
    found: list[tuple[str, str]] = [("mount", _place(line)) for line in table.splitlines()]
    found += [("interface", line.split(": ")[1]) for line in _output("ip", "-o", "link") if ": nb" in line]
    found += [("network namespace", line) for line in _output("ip", "netns", "list")]
    found += [("nftables table", line) for line in _output("nft", "list", "tables")]
    for directory, below, _ in os.walk(_CGROUPS):
        # Whatever has made them is recognised by the group at the top; a container may make any inside.
        found += [("control group", os.path.join(directory, name)) for name in below]
    for place in _PLACES:
        with contextlib.suppress(OSError):
            found += [("file", entry.path) for entry in os.scandir(place)]
    return dict.fromkeys(found)


def _place(line: str) -> str:
    """Return where something is mounted, of a line of mountinfo, and what."""
    words = line.split()
    return f"{words[3]} on {words[4]}"


def _output(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return done.stdout.splitlines()

"""What is left of a container when it has gone: taken out of the way at once, removed when nobody waits.

Removing a tree of files or a control group takes milliseconds, and sometimes the kernel's grace periods. Who removes
a container need not wait for that, nor should the next start: directories are renamed into a *trash*, which is one
system call, and a thread empties it, and removes control groups, when there was nothing new for a moment. What is to
be made ahead of time for later starts is made then, too (see ``stock``).

A crash in between loses nothing: the next engine empties the trash, and removes groups that belong to no container.
"""

import contextlib
import errno
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from nbcontainers.linux import cgroups, files, processes
from nbcontainers.linux.cgroups import Cgroup
from nbcontainers.runtime.shim import PREPARED

_QUIET_SECONDS = 0.03
_AT_MOST_SECONDS = 2.0
_ENDING_MS = 100
_log = logging.getLogger("nbcontainers.cleanup")


class Cleanup:
    """One engine's trash and the thread that empties it.

    Args:
        trash: A directory on the file system of all that is to be thrown in; made when missing, emptied when not.
    """

    def __init__(self, trash: Path) -> None:
        trash.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._trash = trash
        self._directories = [Path(entry.path) for entry in os.scandir(trash)]
        self._groups: dict[str, Cgroup] = {}
        self._refills: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._news = bool(self._directories)
        self._working = self._closed = False
        self._thread = threading.Thread(target=self._serve, name="cleanup", daemon=True)
        self._thread.start()

    def discard(self, directory: Path) -> None:
        """Take a directory away; one that is not there is no error."""
        thrown = self._trash / f"{directory.name}-{os.urandom(6).hex()}"
        try:
            os.rename(directory, thrown)
        except FileNotFoundError:
            return
        with self._changed:
            self._directories.append(thrown)
            self._tell()

    def remove_group(self, group: Cgroup) -> None:
        """Remove a control group, whose last process is ending."""
        with self._changed:
            self._groups[group.path] = group
            self._tell()

    def refill(self, work: Callable[[], None]) -> None:
        """Do some work now, and again whenever containers were busy and are so no more."""
        with self._changed:
            self._refills.append(work)
            self._tell()

    def postpone(self) -> None:
        """Have what is to be done at leisure wait: a container is about to start."""
        self._news = True

    def is_pending(self, path: str) -> bool:
        """Say whether a control group is still to be removed."""
        return path in self._groups

    def settle(self) -> None:
        """Do now, and wait for, all that is left to do."""
        with self._changed:
            while self._working:
                self._changed.wait()
            self._working = True
        self._work()

    def _tell(self) -> None:
        self._news = True
        self._changed.notify_all()

    def _serve(self) -> None:
        """Work whenever there was something, and then nothing new for a moment."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._news and not self._working))
                if self._closed:
                    return
                waited = 0.0
                while self._news and waited < _AT_MOST_SECONDS and not self._closed:
                    self._news = False
                    self._changed.wait(_QUIET_SECONDS)
                    waited += _QUIET_SECONDS
                self._news = False
                if self._closed or self._working:
                    continue
                self._working = True
            self._work()
            for refill in list(self._refills):
                with _failing_alone():  # on a full disk: who wants one makes it, and is told why not
                    refill()

    def _work(self) -> None:
        """Remove everything there is now."""
        with self._changed:
            directories, self._directories = self._directories, []
            groups = list(self._groups.values())
        try:
            for group in groups:
                with _failing_alone():  # the next engine's sweep finds it
                    _remove_group(group)
            for directory in directories:
                with _failing_alone():  # so does it what stays in the trash
                    files.remove_tree(str(directory))
        finally:
            with self._changed:
                for group in groups:
                    if self._groups.get(group.path) is group:
                        del self._groups[group.path]
                self._working = False
                self._changed.notify_all()

    def close(self) -> None:
        """Do what is left, and end."""
        self.settle()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()


@contextlib.contextmanager
def _failing_alone() -> Iterator[None]:
    """Keep a failure from all else that is to be done; one that no system call gave is a fault of ours, and logged."""
    try:
        yield
    except OSError:
        pass
    except Exception:
        _log.exception("something was not cleaned up")


def _remove_group(group: Cgroup) -> None:
    """Remove a control group, and those below it that a privileged container has made for itself."""
    try:
        group.remove()
    except OSError as error:
        driver = cgroups.detect()
        below = driver.children(group.path)
        if error.errno != errno.EBUSY or not below:
            raise
        for name in below:
            _remove_group(driver.open(f"{group.path}/{name}"))
        group.remove()


def sweep_prepared(cgroup_parent: str) -> None:
    """Remove the control groups of prepared shims that were killed before they got a container.

    Args:
        cgroup_parent: The group of all containers of one engine.
    """
    driver = cgroups.detect()
    for name in driver.children(cgroup_parent):
        pid = name.removeprefix(PREPARED)
        if pid.isdigit() and pid != name and _has_ended(int(pid)):
            with contextlib.suppress(OSError):  # the next engine's sweep finds it
                driver.open(f"{cgroup_parent}/{name}").remove()


def _has_ended(pid: int) -> bool:
    """Say whether a process has ended, or is about to: its files are closed some time before it is gone."""
    try:
        pidfd = processes.pidfd_open(pid)
    except OSError:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(_ENDING_MS))
    finally:
        os.close(pidfd)

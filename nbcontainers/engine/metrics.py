"""What containers use, over time: a ring of samples per container, read from descriptors that stay open.

A young container is sampled ten times a second, an old one once a second; when no container runs there is no timer.
The last sample is taken when the container ends, and the history stays until it is removed.
"""

import asyncio
import os
import time
from array import array

from nbcontainers.errors import SyscallError
from nbcontainers.linux.cgroups import Cgroup, Usage

COLUMNS = (
    "time_ns",
    "cpu_total_ns",
    "cpu_throttled_ns",
    "memory_bytes",
    "memory_limit_bytes",
    "pids",
    "pids_limit",
    "io_read_bytes",
    "io_write_bytes",
    "rx_bytes",
    "tx_bytes",
    "oom_kills",
)
RING_SAMPLES = 3600
YOUNG_SECONDS = 10.0
YOUNG_INTERVAL_SECONDS = 0.1
OLD_INTERVAL_SECONDS = 1.0
FIRST_SAMPLE_SECONDS = 0.02  # soon, but not while the container is starting


class _History:
    """The ring of one container, and what it is filled from."""

    def __init__(self, cgroup: Cgroup, pid: int) -> None:
        self._samples = array("q")
        self._oldest = 0
        self._born = time.monotonic()
        self._due = self._born
        self.cgroup: Cgroup | None = cgroup
        try:
            self._network_fd = os.open(f"/proc/{pid}/net/dev", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._network_fd = -1

    def is_due(self, now: float) -> bool:
        """Say whether it is time for a sample, and plan the next one.

        Args:
            now: Seconds of the monotonic clock; the timer goes off a little before or after the time it was set to.
        """
        interval = self.interval(now)
        if now < self._due - YOUNG_INTERVAL_SECONDS / 2:
            return False
        # Who is late goes on from there: samples that were missed are not made up for.
        self._due = max(self._due + interval, now + interval / 2)
        return True

    def interval(self, now: float) -> float:
        """Return the seconds between two samples, at this age."""
        return YOUNG_INTERVAL_SECONDS if now - self._born < YOUNG_SECONDS else OLD_INTERVAL_SECONDS

    def sample(self) -> None:
        """Append one sample, over the oldest one when the ring is full; of a group that is gone there is none."""
        if self.cgroup is None:
            return
        try:
            usage = self.cgroup.usage()
        except SyscallError:
            return
        received, sent = self._network_bytes()
        row = _row(usage, received, sent)
        if len(self._samples) < RING_SAMPLES * len(COLUMNS):
            self._samples.extend(row)
            return
        start = self._oldest * len(COLUMNS)
        self._samples[start : start + len(COLUMNS)] = array("q", row)
        self._oldest = (self._oldest + 1) % RING_SAMPLES

    def _network_bytes(self) -> tuple[int, int]:
        """Add up what all interfaces but lo have received and sent; ``proc_pid_net(5)``."""
        if self._network_fd < 0:
            return 0, 0
        try:
            lines = os.pread(self._network_fd, 16384, 0).splitlines()[2:]
        except OSError:
            return 0, 0
        received = sent = 0
        for line in lines:
            name, _, counters = line.partition(b":")
            if name.strip() != b"lo":
                words = counters.split()
                received += int(words[0])
                sent += int(words[8])
        return received, sent

    def columns(self) -> dict[str, list[int]]:
        """Return the samples as columns, oldest first; of a container that has just started the first is taken now."""
        if not self._samples:
            self.sample()
        width, split = len(COLUMNS), self._oldest * len(COLUMNS)
        ordered = self._samples[split:] + self._samples[:split]
        return {name: ordered[number::width].tolist() for number, name in enumerate(COLUMNS)}

    def close(self) -> None:
        """Stop reading; the samples stay."""
        self.cgroup = None
        if self._network_fd >= 0:
            os.close(self._network_fd)
            self._network_fd = -1


def _row(usage: Usage, received: int, sent: int) -> tuple[int, ...]:
    return (
        time.time_ns(),
        usage.cpu_total_ns,
        usage.cpu_throttled_ns,
        usage.memory_bytes,
        usage.memory_limit_bytes,
        usage.pids,
        usage.pids_limit,
        usage.io_read_bytes,
        usage.io_write_bytes,
        received,
        sent,
        usage.oom_kills,
    )


class Metrics:
    """The histories of all containers of an engine."""

    def __init__(self) -> None:
        self._histories: dict[str, _History] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, container_id: str, cgroup: Cgroup, pid: int) -> None:
        """Sample a container from now on, afresh when it was watched before.

        Args:
            container_id: Its id.
            cgroup: Its control group; stays the caller's to close.
            pid: Its first process, whose network namespace is looked at.
        """
        self._histories[container_id] = _History(cgroup, pid)
        if self._timer is None:
            self._plan(FIRST_SAMPLE_SECONDS)

    def _plan(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._sample_all)

    def _sample_all(self) -> None:
        self._timer = None
        watched = [history for history in self._histories.values() if history.cgroup is not None]
        now = time.monotonic()
        try:
            for history in watched:
                if history.is_due(now):
                    history.sample()
        finally:  # whatever is wrong with one, the others go on
            if watched:
                self._plan(min(history.interval(now) for history in watched))

    def unwatch(self, container_id: str) -> None:
        """Take the last sample of a container that has ended."""
        if history := self._histories.get(container_id):
            history.sample()
            history.close()

    def forget(self, container_id: str) -> None:
        """Drop a container's history."""
        if history := self._histories.pop(container_id, None):
            history.close()

    def columns(self, container_id: str) -> dict[str, list[int]]:
        """Return a container's history: a list per name in ``COLUMNS``, oldest first; empty lists for none."""
        history = self._histories.get(container_id)
        return history.columns() if history else {name: [] for name in COLUMNS}

    def close(self) -> None:
        """Stop sampling."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for history in self._histories.values():
            history.close()
